"""What the zone holds, and what it says of that which it does not hold."""

from ipaddress import ip_address

from tests.conformance.asker import ask, ask_tcp, expect, require
from tests.conformance.rule import Rule, rule
from tests.conformance.servers import Server
from tests.conformance.wire import AA, BrokenError, Message, R, Record, T, name, query
from tests.conformance.zone import (
    ABROAD,
    APEX,
    BIG,
    BIG_ADDRESSES,
    DUAL,
    DUAL_ADDRESSES,
    EVIDENCE,
    FILES,
    FILES_ADDRESSES,
    HALF_WAY,
    MEDIUM,
    MEDIUM_ADDRESSES,
    MISSING,
    NEGATIVE_TTL_S,
    NS1,
    NS_TTL_S,
    SERIAL,
)

LONGEST_LABEL = "x" * 63
TIMERS = b"".join(number.to_bytes(4) for number in (SERIAL, 3600, 600, 1209600, NEGATIVE_TTL_S))
SOA_RDATA = name(NS1) + name("hostmaster.corp.example") + TIMERS


def _rdata(records: tuple[Record, ...]) -> set[bytes]:
    return {record.rdata for record in records}


def _packed(addresses: tuple[str, ...], version: int) -> set[bytes]:
    return {ip_address(text).packed for text in addresses if ip_address(text).version == version}


def _one_type(message: Message, owner: str, qtype: int) -> None:
    expect({(r.owner.lower(), r.rtype, r.rclass) for r in message.answer}, {(name(owner), qtype, 1)}, "answer")


def _negative(message: Message, rcode: int) -> None:
    """RFC 2308 sections 2 and 3: no answer, and the SOA in the authority section, once."""
    expect(message.rcode, rcode, "rcode")
    expect(message.answer, (), "answer")
    expect([(r.owner.lower(), r.rtype) for r in message.authority], [(name(APEX), T.SOA)], "authority")
    require(message.flags & AA, "AA is clear")


@rule("RFC 1035 3.4.1")
def an_address_is_answered(server: Server) -> None:
    message = ask(server, query(FILES))
    _one_type(message, FILES, T.A)
    expect(_rdata(message.answer), _packed(FILES_ADDRESSES, 4))


@rule("RFC 1035 3.2.1")
def a_ttl_of_zero_stays_zero(server: Server) -> None:
    expect([record.ttl for record in ask(server, query(FILES)).answer], [0], "TTL")


@rule("RFC 1035 3.2.1")
def a_ttl_is_what_the_zone_says(server: Server) -> None:
    expect([record.ttl for record in ask(server, query(DUAL)).answer], [3], "TTL")


@rule("RFC 3596 2.2")
def an_ipv6_address_is_answered(server: Server) -> None:
    message = ask(server, query(DUAL, T.AAAA))
    _one_type(message, DUAL, T.AAAA)
    expect(_rdata(message.answer), _packed(DUAL_ADDRESSES, 6))


@rule("RFC 3596 2.1")
def a_question_for_a_gets_no_aaaa_in_the_answer(server: Server) -> None:
    _one_type(ask(server, query(DUAL)), DUAL, T.A)


@rule("RFC 2181 5")
def an_rrset_comes_whole(server: Server) -> None:
    expect(_rdata(ask_tcp(server, query(MEDIUM)).answer), _packed(MEDIUM_ADDRESSES, 4))


@rule("RFC 2181 5")
def a_big_rrset_comes_whole(server: Server) -> None:
    expect(_rdata(ask_tcp(server, query(BIG)).answer), _packed(BIG_ADDRESSES, 4))


@rule("RFC 2181 5")
def no_record_comes_twice(server: Server) -> None:
    for packet in (query(BIG), query(APEX, T.NS), query(FILES)):
        message = ask_tcp(server, packet)
        keys = [record.key for record in (*message.answer, *message.authority, *message.additional)]
        expect(len(keys), len(set(keys)), "records")


@rule("RFC 2181 5.2")
def an_rrset_has_one_ttl(server: Server) -> None:
    expect({record.ttl for record in ask_tcp(server, query(BIG)).answer}, {5}, "TTLs")


@rule("RFC 1035 3.3.14")
def a_text_is_answered(server: Server) -> None:
    message = ask(server, query(EVIDENCE, T.TXT))
    _one_type(message, EVIDENCE, T.TXT)
    expect(_rdata(message.answer), {b"\x0fepoch=12 node=a"})


@rule("RFC 1035 3.3.13")
def the_apex_has_its_soa(server: Server) -> None:
    message = ask(server, query(APEX, T.SOA))
    _one_type(message, APEX, T.SOA)
    expect(_rdata(message.answer), {SOA_RDATA})


@rule("RFC 1035 3.3.13")
def the_soa_has_the_ttl_of_the_zone(server: Server) -> None:
    expect([record.ttl for record in ask(server, query(APEX, T.SOA)).answer], [NS_TTL_S], "TTL")


@rule("RFC 1034 4.2.1")
def the_apex_has_its_nameservers(server: Server) -> None:
    message = ask(server, query(APEX, T.NS))
    _one_type(message, APEX, T.NS)
    expect(_rdata(message.answer), {name(NS1), name(ABROAD)})


@rule("RFC 1035 3.3.11")
def the_nameservers_ipv4_address_comes_along(server: Server) -> None:
    extra = [record.rdata for record in ask(server, query(APEX, T.NS)).additional if record.rtype == T.A]
    expect(extra, [ip_address("10.10.0.53").packed], "additional A")


@rule("RFC 3596 3")
def the_nameservers_ipv6_address_comes_along(server: Server) -> None:
    extra = [record.rdata for record in ask(server, query(APEX, T.NS)).additional if record.rtype == T.AAAA]
    expect(extra, [ip_address("fd00::53").packed], "additional AAAA")


@rule("RFC 2181 5.4.1")
def nothing_is_said_about_names_of_other_zones(server: Server) -> None:
    owners = {record.owner.lower() for record in ask(server, query(APEX, T.NS)).additional}
    require(name(ABROAD) not in owners, "an address for a nameserver that lies in another zone")


@rule("RFC 1034 4.2.1")
def a_nameservers_own_address_is_authoritative(server: Server) -> None:
    message = ask(server, query(NS1))
    _one_type(message, NS1, T.A)
    require(message.flags & AA, "AA is clear")


@rule("RFC 2181 8")
def no_ttl_has_its_highest_bit_set(server: Server) -> None:
    for packet in (query(FILES), query(MISSING), query(APEX, T.NS), query(APEX, T.SOA)):
        message = ask(server, packet)
        for record in (*message.answer, *message.authority, *message.additional):
            require(record.ttl < 2**31, f"TTL {record.ttl}")


@rule("RFC 1034 4.3.2")
def nothing_foreign_is_in_the_authority_section(server: Server) -> None:
    for record in ask(server, query(FILES)).authority:
        expect((record.owner.lower(), record.rtype), (name(APEX), T.NS), "authority")


# --- NODATA


def _nodata(owner: str, qtype: int, title: str, source: str) -> Rule:
    return Rule(
        f"{title} is nodata with the SOA", source, lambda server: _negative(ask(server, query(owner, qtype)), R.NOERROR)
    )


NODATA = (
    _nodata(FILES, T.AAAA, "AAAA of a name with only A", "RFC 4074 3"),
    _nodata(FILES, T.MX, "MX of a service", "RFC 2308 2.2"),
    _nodata(FILES, T.TXT, "TXT of a service", "RFC 2308 2.2"),
    _nodata(FILES, T.CNAME, "CNAME of a service", "RFC 2308 2.2"),
    _nodata(FILES, T.NS, "NS below the apex", "RFC 9156 2.3"),
    _nodata(FILES, T.SOA, "SOA below the apex", "RFC 2308 2.2"),
    _nodata(FILES, T.DS, "DS below the apex", "RFC 4035 3.1.4.1"),
    _nodata(FILES, T.SVCB, "SVCB of a service", "RFC 9460 4.1"),
    _nodata(FILES, T.HTTPS, "HTTPS of a service", "RFC 9460 4.1"),
    _nodata(FILES, T.SRV, "SRV of a service", "RFC 2308 2.2"),
    _nodata(FILES, T.CAA, "CAA of a service", "RFC 8659 3"),
    _nodata(FILES, T.UNKNOWN, "a private type", "RFC 3597 3"),
    _nodata(FILES, 4711, "an unassigned type", "RFC 3597 3"),
    _nodata(FILES, 65534, "the last private type", "RFC 3597 3"),
    _nodata(APEX, T.A, "A of the apex", "RFC 2308 2.2"),
    _nodata(APEX, T.DS, "DS of the apex", "RFC 4035 3.1.4.1"),
    _nodata(APEX, T.DNSKEY, "DNSKEY of the apex", "RFC 4035 3.1"),
    _nodata(APEX, T.NSEC3PARAM, "NSEC3PARAM of the apex", "RFC 5155 4"),
    _nodata(APEX, T.CDS, "CDS of the apex", "RFC 7344 3"),
    _nodata(APEX, T.NSEC, "NSEC of an unsigned zone", "RFC 4035 3.1.3"),
    _nodata(EVIDENCE, T.A, "A of a name with only TXT", "RFC 2308 2.2"),
    _nodata(NS1, T.TXT, "TXT of a nameserver", "RFC 2308 2.2"),
    _nodata(HALF_WAY, T.A, "A of an empty non-terminal", "RFC 4592 2.2.2"),
    _nodata(HALF_WAY, T.NS, "NS of an empty non-terminal", "RFC 9156 2.3"),
    _nodata(HALF_WAY, T.TXT, "TXT of an empty non-terminal", "RFC 8020 2"),
    _nodata(HALF_WAY, T.UNKNOWN, "a private type of an empty non-terminal", "RFC 4592 2.2.2"),
)


# --- NXDOMAIN


def _nxdomain(owner: str | bytes, qtype: int, title: str, source: str) -> Rule:
    return Rule(
        f"{title} is nxdomain with the SOA",
        source,
        lambda server: _negative(ask(server, query(owner, qtype)), R.NXDOMAIN),
    )


def _below_apex(*labels: bytes) -> bytes:
    return b"".join(bytes([len(label)]) + label for label in labels) + name(APEX)


NXDOMAIN = (
    _nxdomain(MISSING, T.A, "A of a name that is not there", "RFC 2308 2.1"),
    _nxdomain(MISSING, T.AAAA, "AAAA of a name that is not there", "RFC 2308 2.1"),
    _nxdomain(MISSING, T.NS, "NS of a name that is not there", "RFC 9156 2.3"),
    _nxdomain(MISSING, T.SOA, "SOA of a name that is not there", "RFC 2308 2.1"),
    _nxdomain(MISSING, T.UNKNOWN, "a private type of a name that is not there", "RFC 3597 3"),
    _nxdomain(MISSING, T.ANY, "ANY of a name that is not there", "RFC 8482 4"),
    _nxdomain(f"x.{MISSING}", T.A, "a name below one that is not there", "RFC 8020 2"),
    _nxdomain(f"x.y.z.{MISSING}", T.A, "a name far below one that is not there", "RFC 8020 2"),
    _nxdomain(f"x.{FILES}", T.A, "a name below a service", "RFC 1034 4.3.2"),
    _nxdomain(f"x.{HALF_WAY}", T.A, "a name beside the one below an empty non-terminal", "RFC 4592 2.2.2"),
    _nxdomain(f"*.{APEX}", T.A, "an asterisk where there is no wildcard", "RFC 4592 2.1.1"),
    _nxdomain(f"{LONGEST_LABEL}.{APEX}", T.A, "a label of 63 bytes", "RFC 1035 2.3.4"),
    _nxdomain(_below_apex(*[b"y" * 63] * 3, b"z" * 45), T.A, "a name of 255 bytes", "RFC 1035 2.3.4"),
    _nxdomain(_below_apex(*[b"a"] * 119), T.A, "a name of 122 labels", "RFC 1035 2.3.4"),
    _nxdomain(_below_apex(b"\xff\x80\xfe"), T.A, "a label of bytes above 127", "RFC 2181 11"),
    _nxdomain(_below_apex(b"\0"), T.A, "a label that is a zero byte", "RFC 2181 11"),
    _nxdomain(_below_apex(b" "), T.A, "a label that is a blank", "RFC 2181 11"),
    _nxdomain(_below_apex(b"deep.below"), T.A, "a dot inside of a label, which separates nothing,", "RFC 2181 11"),
    _nxdomain(_below_apex(b"files\0"), T.A, "a zero byte behind a known label", "RFC 2181 11"),
    _nxdomain(_below_apex(b"file"), T.A, "the beginning of a known label", "RFC 1034 3.1"),
    _nxdomain(_below_apex(b"filess"), T.A, "a known label and a letter", "RFC 1034 3.1"),
)


@rule("RFC 2308 3")
def the_soa_of_nxdomain_has_the_negative_ttl(server: Server) -> None:
    expect([record.ttl for record in ask(server, query(MISSING)).authority], [NEGATIVE_TTL_S], "TTL")


@rule("RFC 2308 3")
def the_soa_of_nodata_has_the_negative_ttl(server: Server) -> None:
    expect([record.ttl for record in ask(server, query(FILES, T.AAAA)).authority], [NEGATIVE_TTL_S], "TTL")


@rule("RFC 2308 3")
def the_soa_of_nxdomain_is_the_one_of_the_apex(server: Server) -> None:
    expect(_rdata(ask(server, query(MISSING)).authority), {SOA_RDATA})


@rule("RFC 2308 3")
def the_soa_of_nodata_is_the_one_of_the_apex(server: Server) -> None:
    expect(_rdata(ask(server, query(FILES, T.AAAA)).authority), {SOA_RDATA})


@rule("RFC 2308 2.1")
def a_negative_answer_has_nothing_in_additional(server: Server) -> None:
    for packet in (query(MISSING), query(FILES, T.AAAA), query(HALF_WAY)):
        expect(ask(server, packet).additional, (), "additional")


@rule("RFC 4074 4.2")
def a_missing_type_is_never_nxdomain(server: Server) -> None:
    for qtype in (T.AAAA, T.MX, T.TXT, T.HTTPS, T.NS, T.DS, T.UNKNOWN):
        expect(ask(server, query(FILES, qtype)).rcode, R.NOERROR, f"rcode of type {qtype}")


@rule("RFC 9156 2.3")
def every_ancestor_of_a_name_exists(server: Server) -> None:
    for owner in (APEX, HALF_WAY, DUAL, FILES, EVIDENCE):
        expect(ask(server, query(owner, T.NS)).rcode, R.NOERROR, f"rcode of {owner}")


# --- outside


OUTSIDE_NAMES = {
    "another name": "www.other.example",
    "the parent": "corp.example",
    "a sibling": "www.corp.example",
    "the root": ".",
    "the top-level domain": "example",
    "a name that ends in the zone's letters but not in its labels": "xfs.corp.example",
    "the zone's name below another": f"{APEX}.org",
    "a reverse name": "10.1.0.11.in-addr.arpa",
}


def _outside(title: str, owner: str) -> Rule:
    def check(server: Server) -> None:
        message = ask(server, query(owner))
        expect(message.rcode, R.REFUSED, "rcode")
        expect((message.answer, message.authority, message.additional), ((), (), ()), "records")

    return Rule(f"{title} is refused without a record", "RFC 1035 4.1.1, RFC 9520 2.2", check)


REFUSED = tuple(_outside(title, owner) for title, owner in OUTSIDE_NAMES.items())


@rule("RFC 1035 4.1.1, RFC 9520 2.2")
def the_roots_nameservers_are_not_told(server: Server) -> None:
    message = ask(server, query(".", T.NS))
    expect((message.answer, message.authority), ((), ()), "an upward referral")


# --- ANY


@rule("RFC 8482 4")
def any_is_answered_with_something_that_exists(server: Server) -> None:
    message = ask_tcp(server, query(DUAL, T.ANY))
    expect(message.rcode, R.NOERROR, "rcode")
    require(message.answer, "an empty answer would deny the name's data")
    expect({record.owner.lower() for record in message.answer}, {name(DUAL)}, "owner")


@rule("RFC 8482 4.1")
def any_at_the_apex_tells_nothing_wrong(server: Server) -> None:
    known = {record.key for qtype in (T.SOA, T.NS) for record in ask(server, query(APEX, qtype)).answer}
    told = {record.key for record in ask_tcp(server, query(APEX, T.ANY)).answer if record.rtype != 13}
    require(told <= known, f"unknown records: {told - known}")


@rule("RFC 8482 4")
def any_of_an_empty_non_terminal_is_nodata_or_hinfo(server: Server) -> None:
    message = ask(server, query(HALF_WAY, T.ANY))
    expect(message.rcode, R.NOERROR, "rcode")
    require({record.rtype for record in message.answer} <= {13}, "records at an empty non-terminal")


# --- encoding


@rule("RFC 1035 4.1.4")
def every_pointer_leads_back_to_a_label(server: Server) -> None:
    for owner in (FILES, APEX, DUAL, EVIDENCE, MISSING, NS1):
        for qtype in (T.A, T.AAAA, T.NS, T.SOA, T.TXT):
            ask(server, query(owner, qtype))


@rule("RFC 1035 4.1.4")
def repeated_names_are_compressed(server: Server) -> None:
    """40 owners in full would take 1,000 bytes more; NS and glue, which may come along, take 150."""
    size = len(ask_tcp(server, query(MEDIUM)).wire)
    require(size < 16 * 40 + 200, f"{size} bytes")


@rule("RFC 2181 5")
def the_same_question_gets_the_same_records(server: Server) -> None:
    seen = {frozenset(record.key for record in ask(server, query(DUAL)).answer) for _ in range(50)}
    expect(len(seen), 1, "different answers")


@rule("RFC 7766 5")
def both_transports_say_the_same(server: Server) -> None:
    for packet in (query(FILES), query(MISSING), query(APEX, T.NS), query(FILES, T.AAAA), query(APEX, T.DS)):
        over_udp, over_tcp = ask(server, packet), ask_tcp(server, packet)
        for section in ("answer", "authority", "additional"):
            one, other = ({record.key for record in getattr(m, section)} for m in (over_udp, over_tcp))
            expect(one, other, section)
        expect(over_udp.flags, over_tcp.flags, "flags")


@rule("RFC 5936 4.2")
def a_transfer_over_udp_transfers_nothing(server: Server) -> None:
    for qtype in (T.AXFR, T.IXFR):
        message = ask(server, query(APEX, qtype))
        require(len(message.answer) <= 1, f"{len(message.answer)} records")


@rule("RFC 5936 2.2.1")
def a_transfer_over_tcp_is_refused(server: Server) -> None:
    try:
        message = ask_tcp(server, query(APEX, T.AXFR))
    except BrokenError as error:
        if "closed" in str(error):
            return
        raise
    require(message.rcode in {R.REFUSED, R.NOTAUTH, R.NOTIMP}, f"rcode {message.rcode}")
    expect(message.answer, (), "records")
