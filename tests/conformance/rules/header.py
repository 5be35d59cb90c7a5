"""The header's bits and codes, and the question that comes back."""

from tests.conformance.asker import ask, expect, require
from tests.conformance.rule import Rule, rule
from tests.conformance.servers import Server
from tests.conformance.wire import AA, AD, CD, QR, RA, RD, TC, Message, R, T, Z, query, question
from tests.conformance.zone import APEX, DUAL, EVIDENCE, FILES, HALF_WAY, MISSING, NS1

OUTSIDE = "www.other.example"
MIXED = "fIlEs.Fs.CoRP.eXamPLe"


def _bit(message: Message, bit: int) -> int:
    return message.flags & bit


def _same_as_plain(server: Server, flags: int) -> None:
    plain, with_flags = ask(server, query(FILES)), ask(server, query(FILES, flags=flags))
    expect(with_flags.answer, plain.answer, "answer")
    expect(with_flags.rcode, R.NOERROR, "rcode")


@rule("RFC 1035 4.1.1")
def the_id_is_echoed_whatever_it_is(server: Server) -> None:
    for ident in (0, 1, 0x8000, 0xFFFF):
        expect(ask(server, query(FILES, ident=ident)).ident, ident)


@rule("RFC 1035 4.1.1")
def qr_is_set(server: Server) -> None:
    require(_bit(ask(server, query(FILES)), QR), "QR is clear")


@rule("RFC 1035 4.1.1")
def the_opcode_of_an_answer_is_query(server: Server) -> None:
    expect(ask(server, query(FILES)).opcode, 0)


@rule("RFC 1035 4.1.1")
def aa_is_set_on_an_address(server: Server) -> None:
    require(_bit(ask(server, query(FILES)), AA), "AA is clear")


@rule("RFC 1035 4.1.1")
def aa_is_set_on_the_apex(server: Server) -> None:
    require(_bit(ask(server, query(APEX, T.SOA)), AA), "AA is clear")


@rule("RFC 2308 2.2")
def aa_is_set_on_nodata(server: Server) -> None:
    require(_bit(ask(server, query(FILES, T.MX)), AA), "AA is clear")


@rule("RFC 2308 2.1")
def aa_is_set_on_nxdomain(server: Server) -> None:
    require(_bit(ask(server, query(MISSING)), AA), "AA is clear")


@rule("RFC 4592 2.2.2")
def aa_is_set_on_an_empty_non_terminal(server: Server) -> None:
    require(_bit(ask(server, query(HALF_WAY)), AA), "AA is clear")


@rule("RFC 1035 4.1.1")
def aa_is_clear_outside_the_zone(server: Server) -> None:
    expect(_bit(ask(server, query(OUTSIDE)), AA), 0, "AA")


@rule("RFC 1035 4.1.1")
def ra_is_clear(server: Server) -> None:
    for packet in (query(FILES), query(MISSING), query(OUTSIDE)):
        expect(_bit(ask(server, packet), RA), 0, "RA")


@rule("RFC 1035 4.1.1")
def ra_is_clear_when_recursion_is_desired(server: Server) -> None:
    for packet in (query(FILES, flags=RD), query(MISSING, flags=RD), query(OUTSIDE, flags=RD)):
        expect(_bit(ask(server, packet), RA), 0, "RA")


@rule("RFC 1035 4.1.1")
def rd_is_copied_when_set(server: Server) -> None:
    for owner in (FILES, MISSING, HALF_WAY, OUTSIDE):
        require(_bit(ask(server, query(owner, flags=RD)), RD), f"RD is clear for {owner}")


@rule("RFC 1035 4.1.1")
def rd_is_copied_when_clear(server: Server) -> None:
    for owner in (FILES, MISSING, HALF_WAY, OUTSIDE):
        expect(_bit(ask(server, query(owner)), RD), 0, f"RD for {owner}")


@rule("RFC 1034 4.3.1")
def recursion_desired_changes_nothing_else(server: Server) -> None:
    _same_as_plain(server, RD)


@rule("RFC 1035 4.1.1")
def z_is_clear(server: Server) -> None:
    expect(_bit(ask(server, query(FILES)), Z), 0, "Z")


@rule("RFC 1035 4.1.1")
def z_in_a_question_is_not_copied(server: Server) -> None:
    expect(_bit(ask(server, query(FILES, flags=Z)), Z), 0, "Z")


@rule("RFC 4035 3.1.6")
def ad_is_clear(server: Server) -> None:
    expect(_bit(ask(server, query(FILES)), AD), 0, "AD")


@rule("RFC 4035 3.1.6")
def ad_in_a_question_is_not_copied(server: Server) -> None:
    expect(_bit(ask(server, query(FILES, flags=AD)), AD), 0, "AD")


@rule("RFC 6840 5.7")
def ad_in_a_question_changes_no_data(server: Server) -> None:
    _same_as_plain(server, AD)


@rule("RFC 4035 3.1.6")
def cd_is_clear(server: Server) -> None:
    expect(_bit(ask(server, query(FILES)), CD), 0, "CD")


@rule("RFC 4035 3.1.6")
def cd_in_a_question_is_not_copied(server: Server) -> None:
    expect(_bit(ask(server, query(FILES, flags=CD)), CD), 0, "CD")


@rule("RFC 4035 3.1.6")
def cd_in_a_question_changes_no_data(server: Server) -> None:
    _same_as_plain(server, CD)


@rule("RFC 4035 3.1.6")
def every_mixture_of_rd_ad_and_cd_is_answered(server: Server) -> None:
    for flags in (RD | AD, RD | CD, AD | CD, RD | AD | CD):
        _same_as_plain(server, flags)


@rule("RFC 1035 4.1.1")
def aa_in_a_question_means_nothing(server: Server) -> None:
    _same_as_plain(server, AA)


@rule("RFC 1035 4.1.1")
def ra_in_a_question_means_nothing(server: Server) -> None:
    _same_as_plain(server, RA)


@rule("RFC 2181 9")
def tc_is_clear_on_a_whole_answer(server: Server) -> None:
    for packet in (query(FILES), query(MISSING), query(APEX, T.SOA)):
        expect(_bit(ask(server, packet), TC), 0, "TC")


@rule("RFC 1035 4.1.1")
def an_answer_has_one_question(server: Server) -> None:
    for owner in (FILES, MISSING, HALF_WAY):
        expect(ask(server, query(owner)).wire[4:6], b"\0\1", "QDCOUNT")


@rule("RFC 1035 4.1.2")
def the_question_is_echoed_with_an_address(server: Server) -> None:
    expect(ask(server, query(FILES)).question, question(FILES, T.A))


@rule("RFC 1035 4.1.2")
def the_question_is_echoed_with_nodata(server: Server) -> None:
    expect(ask(server, query(FILES, T.CAA)).question, question(FILES, T.CAA))


@rule("RFC 1035 4.1.2")
def the_question_is_echoed_with_nxdomain(server: Server) -> None:
    expect(ask(server, query(MISSING, T.AAAA)).question, question(MISSING, T.AAAA))


@rule("RFC 3597 3")
def a_question_of_an_unknown_type_is_echoed(server: Server) -> None:
    expect(ask(server, query(FILES, T.UNKNOWN)).question, question(FILES, T.UNKNOWN))


def _letters_come_back(title: str, owner: str, qtype: int) -> Rule:
    def check(server: Server) -> None:
        swapped = "".join(letter.upper() if at % 2 else letter for at, letter in enumerate(owner))
        expect(ask(server, query(swapped, qtype)).question, question(swapped, qtype))

    return Rule(f"the case of letters comes back with {title}", "RFC 4343 4.1", check)


CASE_KEPT = (
    _letters_come_back("an address", FILES, T.A),
    _letters_come_back("an SOA", APEX, T.SOA),
    _letters_come_back("nodata", FILES, T.AAAA),
    _letters_come_back("nxdomain", MISSING, T.A),
    _letters_come_back("an empty non-terminal", HALF_WAY, T.A),
)


def _found_in_any_case(owner: str, qtype: int) -> Rule:
    def check(server: Server) -> None:
        lower, upper = (ask(server, query(text, qtype)) for text in (owner, owner.upper()))
        require(upper.answer, "nothing found for upper case")
        expect(sorted(r.key for r in upper.answer), sorted(r.key for r in lower.answer), "answer")

    return Rule(f"{T(qtype).name} of {owner} is found in upper case", "RFC 4343 3", check)


ANY_CASE = (
    _found_in_any_case(FILES, T.A),
    _found_in_any_case(DUAL, T.AAAA),
    _found_in_any_case(EVIDENCE, T.TXT),
    _found_in_any_case(APEX, T.NS),
    _found_in_any_case(NS1, T.A),
)


@rule("RFC 4343 4.1")
def the_owner_of_an_answer_is_the_name_that_was_asked(server: Server) -> None:
    for record in ask(server, query(MIXED)).answer:
        expect(record.owner.lower(), question(FILES, T.A)[:-4], "owner")


@rule("RFC 4343 3")
def only_letters_are_folded(server: Server) -> None:
    """0x5F is the underscore: with the bit of the letters' case, 0x7F."""
    owner = question(EVIDENCE, T.TXT)[:-4].replace(b"_", b"\x7f")
    expect(ask(server, query(owner, T.TXT)).rcode, R.NXDOMAIN, "rcode")
