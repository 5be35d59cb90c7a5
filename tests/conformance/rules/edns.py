"""EDNS: versions, options, sizes, and everything that may be wrong with an OPT record."""

import struct

from tests.conformance.asker import NotOfferedError, answers, ask, ask_tcp, expect, require
from tests.conformance.rule import Rule, rule
from tests.conformance.servers import Server
from tests.conformance.wire import DO, HEADER, IN, Code, Message, R, Record, T, name, opt, option, query, question
from tests.conformance.zone import APEX, FILES, HALF_WAY, MISSING

A_RECORD = name("x.example") + struct.pack("!HHIH", T.A, IN, 0, 4) + b"\xc0\0\2\1"
EARLY_OPT = HEADER.pack(9, 0, 1, 1, 0, 0) + question(FILES, T.A) + opt()


def _opt(message: Message) -> Record:
    expect(len(message.opts), 1, "OPT records")
    return message.opts[0]


def _answered(server: Server, *content: bytes) -> Message:
    """An option, or several, must not get into the way of the answer."""
    message = ask(server, query(FILES, T.A, opt(*content)))
    expect(message.rcode, R.NOERROR, "rcode")
    expect(len(message.answer), 1, "addresses")
    _opt(message)
    return message


def _formerr(server: Server, *additional: bytes) -> None:
    (wire,) = answers(server, query(FILES, T.A, *additional)) or [b""]
    require(wire, "no answer")
    expect(wire[3] & 0xF, R.FORMERR, "rcode")


# --- OPT is answered with OPT


def _has_opt(title: str, packet: bytes) -> Rule:
    return Rule(f"{title} with EDNS has one OPT", "RFC 6891 6.1.1", lambda server: _opt(ask(server, packet)))


def _has_none(title: str, packet: bytes) -> Rule:
    return Rule(
        f"{title} without EDNS has no OPT",
        "RFC 6891 6.1.1",
        lambda server: expect(ask(server, packet).opts, (), "OPT"),
    )


ECHOES = (
    _has_opt("an address", query(FILES, T.A, opt())),
    _has_opt("nodata", query(FILES, T.AAAA, opt())),
    _has_opt("nxdomain", query(MISSING, T.A, opt())),
    _has_opt("an empty non-terminal", query(HALF_WAY, T.A, opt())),
    _has_opt("refused", query("www.other.example", T.A, opt())),
    _has_opt("an SOA", query(APEX, T.SOA, opt())),
    _has_none("an address", query(FILES)),
    _has_none("nodata", query(FILES, T.AAAA)),
    _has_none("nxdomain", query(MISSING)),
    _has_none("refused", query("www.other.example")),
)


@rule("RFC 6891 6.1.2")
def the_root_owns_the_opt(server: Server) -> None:
    expect(_opt(ask(server, query(FILES, T.A, opt()))).owner, b"\0", "owner")


@rule("RFC 6891 6.1.3")
def the_version_is_zero(server: Server) -> None:
    expect(_opt(ask(server, query(FILES, T.A, opt()))).ttl >> 16 & 0xFF, 0, "version")


@rule("RFC 6891 6.2.3")
def the_servers_own_size_is_at_least_512(server: Server) -> None:
    size = _opt(ask(server, query(FILES, T.A, opt()))).rclass
    require(size >= 512, f"size {size}")


@rule("RFC 9715 3.1")
def the_servers_own_size_avoids_fragments(server: Server) -> None:
    size = _opt(ask(server, query(FILES, T.A, opt()))).rclass
    require(size <= 1472, f"size {size}")


@rule("RFC 6891 6.1.4")
def the_flags_that_nobody_defined_are_clear(server: Server) -> None:
    expect(_opt(ask(server, query(FILES, T.A, opt(flags=0x7FFF)))).ttl & 0x7FFF, 0, "Z")


@rule("RFC 3225 3")
def do_is_copied_when_set(server: Server) -> None:
    for owner in (FILES, MISSING, HALF_WAY):
        require(_opt(ask(server, query(owner, T.A, opt(flags=DO)))).ttl & DO, f"DO is clear for {owner}")


@rule("RFC 3225 3")
def do_is_copied_when_clear(server: Server) -> None:
    for owner in (FILES, MISSING, HALF_WAY):
        expect(_opt(ask(server, query(owner, T.A, opt()))).ttl & DO, 0, "DO")


@rule("RFC 4035 3.1")
def do_brings_no_signatures_into_an_unsigned_zone(server: Server) -> None:
    message = ask(server, query(FILES, T.A, opt(flags=DO)))
    types = {record.rtype for record in (*message.answer, *message.authority)}
    expect(types & {T.RRSIG, T.NSEC, 50}, set(), "types")


@rule("RFC 6891 6.1.4")
def unknown_flags_in_a_question_change_nothing(server: Server) -> None:
    plain, flagged = (ask(server, query(FILES, T.A, opt(flags=flags))) for flags in (0, 0x7FFF))
    expect(flagged.answer, plain.answer)


@rule("RFC 6891 6.1.3")
def the_upper_rcode_in_a_question_means_nothing(server: Server) -> None:
    strange = opt().replace(b"\0\0\0\0\0\0", b"\x55\0\0\0\0\0")
    expect(ask(server, query(FILES, T.A, strange)).rcode, R.NOERROR, "rcode")


# --- versions


def _bad_version(version: int) -> Rule:
    def check(server: Server) -> None:
        message = ask(server, query(FILES, T.A, opt(version=version)))
        expect(message.rcode, R.BADVERS, "rcode")
        expect(_opt(message).ttl >> 16 & 0xFF, 0, "version")

    return Rule(f"EDNS version {version} is BADVERS and 0 is told", "RFC 6891 6.1.3", check)


VERSIONS = tuple(_bad_version(version) for version in (1, 2, 100, 255))


@rule("RFC 6891 6.1.3")
def badvers_has_no_data(server: Server) -> None:
    message = ask(server, query(FILES, T.A, opt(version=1)))
    expect((message.answer, message.authority), ((), ()), "records")


@rule("RFC 6891 6.1.3")
def badvers_echoes_the_question(server: Server) -> None:
    expect(ask(server, query(FILES, T.A, opt(version=1))).question, question(FILES, T.A))


@rule("RFC 6891 6.1.3")
def badvers_comes_for_a_name_that_is_not_there(server: Server) -> None:
    expect(ask(server, query(MISSING, T.A, opt(version=1))).rcode, R.BADVERS, "rcode")


@rule("RFC 6891 6.1.3")
def badvers_comes_in_spite_of_an_option(server: Server) -> None:
    message = ask(server, query(FILES, T.A, opt(option(Code.LOCAL, b"new"), version=1)))
    expect(message.rcode, R.BADVERS, "rcode")


@rule("RFC 6891 6.1.3")
def badvers_over_tcp(server: Server) -> None:
    expect(ask_tcp(server, query(FILES, T.A, opt(version=1))).rcode, R.BADVERS, "rcode")


# --- options


def _harmless(title: str, source: str, *content: bytes) -> Rule:
    return Rule(f"{title} does no harm", source, lambda server: _answered(server, *content))


HARMLESS = (
    _harmless("an unknown option", "RFC 6891 6.1.2", option(Code.LOCAL, b"hello")),
    _harmless("an unknown option without data", "RFC 6891 6.1.2", option(Code.LOCAL)),
    _harmless("a reserved option", "RFC 6891 6.1.2", option(0, b"x"), option(65535, b"y")),
    _harmless("an unknown option of 1,000 bytes", "RFC 6891 6.1.2", option(Code.LOCAL, b"z" * 1000)),
    _harmless("the same unknown option twice", "RFC 6891 6.1.2", *[option(Code.LOCAL, b"a")] * 2),
    _harmless("a hundred unknown options", "RFC 6891 6.1.2", *[option(code) for code in range(65001, 65101)]),
    _harmless("padding", "RFC 7830 3", option(Code.PADDING, b"\0" * 100)),
    _harmless("padding that is not zero", "RFC 7830 3", option(Code.PADDING, b"\xaa" * 10)),
    _harmless("an empty padding", "RFC 7830 3", option(Code.PADDING)),
    _harmless("a client's subnet", "RFC 7871 7.2", option(Code.SUBNET, b"\0\1\x18\0\x0a\0\1")),
    _harmless("a client's empty subnet", "RFC 7871 7.1.2", option(Code.SUBNET, b"\0\1\0\0")),
    _harmless("EXPIRE", "RFC 7314 3", option(Code.EXPIRE)),
    _harmless("DAU", "RFC 6975 4.2", option(Code.DAU, b"\x08\x0d")),
    _harmless("CHAIN", "RFC 7901 4", option(Code.CHAIN, b"\0")),
    _harmless("an extended error in a question", "RFC 8914 3", option(Code.ERROR, b"\0\0")),
    _harmless("keepalive over UDP", "RFC 7828 3.3.1", option(Code.KEEPALIVE)),
    _harmless("NSID", "RFC 5001 2.1", option(Code.NSID)),
    _harmless("NSID between unknown options", "RFC 5001 2.1", option(65001), option(Code.NSID), option(65002)),
)


@rule("RFC 6891 6.1.2")
def an_unknown_option_does_not_come_back(server: Server) -> None:
    expect(_answered(server, option(Code.LOCAL, b"hello")).options(Code.LOCAL), [], "options")


@rule("RFC 7828 3.3.1")
def keepalive_is_never_told_over_udp(server: Server) -> None:
    expect(_answered(server, option(Code.KEEPALIVE)).options(Code.KEEPALIVE), [], "options")


@rule("RFC 7830 4")
def nobody_pads_over_udp_unasked(server: Server) -> None:
    expect(_answered(server).options(Code.PADDING), [], "options")


@rule("RFC 7871 7.2.1")
def a_subnet_comes_back_right_or_not_at_all(server: Server) -> None:
    for data in _answered(server, option(Code.SUBNET, b"\0\1\x18\0\x0a\0\1")).options(Code.SUBNET):
        expect(data[:3] + data[4:], b"\0\1\x18\x0a\0\1", "family, source prefix and address")


@rule("RFC 5001 2.3")
def nsid_is_told_to_who_asks(server: Server) -> None:
    told = _answered(server, option(Code.NSID)).options(Code.NSID)
    if not told:
        raise NotOfferedError("NSID")
    require(len(told) == 1 and told[0], f"NSID {told}")


@rule("RFC 5001 2.2")
def nsid_is_told_to_nobody_else(server: Server) -> None:
    expect(_answered(server).options(Code.NSID), [], "options")


@rule("RFC 5001 2.3")
def nsid_is_told_over_tcp_too(server: Server) -> None:
    packet = query(FILES, T.A, opt(option(Code.NSID)))
    if not ask(server, packet).options(Code.NSID):
        raise NotOfferedError("NSID")
    expect(ask_tcp(server, packet).options(Code.NSID), ask(server, packet).options(Code.NSID))


@rule("RFC 5001 2.3")
def nsid_comes_with_negative_answers_too(server: Server) -> None:
    if not _answered(server, option(Code.NSID)).options(Code.NSID):
        raise NotOfferedError("NSID")
    require(ask(server, query(MISSING, T.A, opt(option(Code.NSID)))).options(Code.NSID), "no NSID with NXDOMAIN")


@rule("RFC 8914 2")
def an_extended_error_has_a_code(server: Server) -> None:
    found = ask(server, query("www.other.example", T.A, opt())).options(Code.ERROR)
    if not found:
        raise NotOfferedError("extended errors")
    for data in found:
        require(len(data) >= 2, f"{len(data)} bytes")


# --- malformed OPT records


@rule("RFC 6891 6.1.1")
def two_opts_are_a_format_error(server: Server) -> None:
    _formerr(server, opt(), opt())


@rule("RFC 6891 6.1.1")
def two_different_opts_are_a_format_error(server: Server) -> None:
    _formerr(server, opt(size=512), opt(size=4096, flags=DO))


@rule("RFC 6891 6.1.1")
def two_opts_with_a_record_between_are_a_format_error(server: Server) -> None:
    _formerr(server, opt(), A_RECORD, opt())


@rule("RFC 6891 6.1.2")
def an_opt_that_the_root_does_not_own_is_a_format_error(server: Server) -> None:
    _formerr(server, opt(owner=name("x.example")))


@rule("RFC 6891 6.1.2")
def an_option_over_the_end_of_the_opt_is_a_format_error(server: Server) -> None:
    _formerr(server, opt(struct.pack("!HH", Code.LOCAL, 9) + b"x"))


@rule("RFC 6891 6.1.2")
def half_an_option_header_is_a_format_error(server: Server) -> None:
    for length in (1, 2, 3):
        _formerr(server, opt(b"\0" * length))


@rule("RFC 6891 6.1.2")
def a_second_option_over_the_end_is_a_format_error(server: Server) -> None:
    _formerr(server, opt(option(Code.LOCAL, b"good"), struct.pack("!HH", 65002, 200)))


@rule("RFC 6891 6.1.2")
def an_opt_over_the_end_of_the_packet_is_no_answer_or_a_format_error(server: Server) -> None:
    for wire in answers(server, query(FILES, T.A, opt(option(Code.LOCAL, b"hello"))[:-3])):
        expect(wire[3] & 0xF, R.FORMERR, "rcode")


@rule("RFC 6891 6.1.1")
def an_opt_in_the_answer_section_is_ignored_or_a_format_error(server: Server) -> None:
    message = ask(server, EARLY_OPT)
    require(message.rcode in {R.NOERROR, R.FORMERR}, f"rcode {message.rcode}")


@rule("RFC 6891 6.1.1")
def an_opt_may_follow_another_record(server: Server) -> None:
    message = ask(server, query(FILES, T.A, A_RECORD, opt(flags=DO)))
    require(message.rcode == R.FORMERR or _opt(message).ttl & DO, "the OPT behind another record was not seen")


@rule("RFC 6891 6.1.1")
def an_opt_may_stand_in_front_of_another_record(server: Server) -> None:
    message = ask(server, query(FILES, T.A, opt(flags=DO), A_RECORD))
    require(message.rcode == R.FORMERR or _opt(message).ttl & DO, "the OPT in front of another record was not seen")


@rule("RFC 6891 7")
def edns_and_another_opcode_do_no_harm(server: Server) -> None:
    message = ask(server, query(FILES, T.A, opt(), opcode=2))
    expect(message.rcode, R.NOTIMP, "rcode")
