"""Records that never change: aliases, hosts, texts, services' locations and pointers."""

from collections.abc import Sequence
from ipaddress import ip_address

from tests.conformance.asker import ask, ask_tcp, expect, require
from tests.conformance.rule import Rule, rule
from tests.conformance.servers import Server
from tests.conformance.wire import AA, Message, R, T, name, query
from tests.conformance.zone import (
    ALIAS,
    APEX,
    CHAIN,
    ELSEWHERE,
    EXPORTED,
    FILES,
    FILES_ADDRESSES,
    HOST,
    LONG,
    LONG_TEXT,
    LOST,
    MISSING,
    ODD,
    POINTER,
    SMB,
    TEXT,
    TEXTS,
)

ODD_OWNER = b"\x0bodd (name);" + name(APEX)


def _alias(owner: str, target: str) -> tuple[bytes, int, bytes]:
    return name(owner), T.CNAME, name(target)


def _address(owner: str, text: str) -> tuple[bytes, int, bytes]:
    return name(owner), T.A, ip_address(text).packed


FILES_A = _address(FILES, FILES_ADDRESSES[0])


def _answers(message: Message, *wanted: tuple[bytes, int, bytes]) -> None:
    """In this order."""
    expect([(r.owner.lower(), int(r.rtype), r.rdata) for r in message.answer], list(wanted), "answer")


def _owners_of_soa(message: Message) -> list[bytes]:
    return [record.owner.lower() for record in message.authority if record.rtype == T.SOA]


@rule("RFC 1034 3.6.2")
def an_alias_comes_with_what_it_stands_for(server: Server) -> None:
    _answers(ask(server, query(ALIAS)), _alias(ALIAS, FILES), FILES_A)


@rule("RFC 1034 4.3.2")
def an_alias_of_an_alias_is_followed_in_order(server: Server) -> None:
    _answers(ask(server, query(CHAIN)), _alias(CHAIN, ALIAS), _alias(ALIAS, FILES), FILES_A)


@rule("RFC 1035 3.2.1")
def each_record_of_a_chain_has_its_own_ttl(server: Server) -> None:
    expect([record.ttl for record in ask(server, query(CHAIN)).answer], [61, 60, 0], "TTLs")


@rule("RFC 1034 3.6.2")
def who_asks_for_the_alias_gets_it_alone(server: Server) -> None:
    _answers(ask(server, query(CHAIN, T.CNAME)), _alias(CHAIN, ALIAS))


def _alias_for(qtype: int) -> Rule:
    def check(server: Server) -> None:
        message = ask(server, query(ALIAS, qtype))
        expect(message.rcode, R.NOERROR, "rcode")
        _answers(message, _alias(ALIAS, FILES))
        expect(_owners_of_soa(message), [name(APEX)], "SOA")

    return Rule(f"type {qtype} of an alias is the alias, and nodata at its end", "RFC 2308 2.2, RFC 1034 3.6.2", check)


ALIASED = tuple(map(_alias_for, (T.AAAA, T.TXT, T.MX, T.NS, T.SOA, T.SRV, T.PTR, T.DS, T.HTTPS, T.CAA, T.UNKNOWN)))


@rule("RFC 6604 3")
def an_alias_of_nothing_is_nxdomain_with_the_alias(server: Server) -> None:
    message = ask(server, query(LOST))
    expect(message.rcode, R.NXDOMAIN, "rcode")
    _answers(message, _alias(LOST, MISSING))


@rule("RFC 2308 2.1")
def an_alias_of_nothing_has_the_soa_of_what_is_missing(server: Server) -> None:
    expect(_owners_of_soa(ask(server, query(LOST))), [name(APEX)], "SOA")


@rule("RFC 1034 4.3.2")
def the_alias_of_nothing_itself_is_there(server: Server) -> None:
    message = ask(server, query(LOST, T.CNAME))
    expect(message.rcode, R.NOERROR, "rcode")
    _answers(message, _alias(LOST, MISSING))


@rule("RFC 1034 4.3.2")
def an_alias_of_a_name_elsewhere_is_all_that_is_said(server: Server) -> None:
    message = ask(server, query(EXPORTED))
    expect(message.rcode, R.NOERROR, "rcode")
    _answers(message, _alias(EXPORTED, ELSEWHERE))
    expect(_owners_of_soa(message), [], "SOA")


@rule("RFC 1035 4.1.1")
def an_alias_is_authoritative(server: Server) -> None:
    for owner in (ALIAS, CHAIN, LOST, EXPORTED):
        require(ask(server, query(owner)).flags & AA, f"AA is clear for {owner}")


@rule("RFC 8482 4")
def any_of_an_alias_is_no_denial(server: Server) -> None:
    require(ask_tcp(server, query(ALIAS, T.ANY)).answer, "nothing")


@rule("RFC 4343 3")
def an_alias_is_found_in_any_case(server: Server) -> None:
    _answers(ask(server, query(CHAIN.upper())), _alias(CHAIN, ALIAS), _alias(ALIAS, FILES), FILES_A)


@rule("RFC 6672 2.2")
def nothing_lies_below_an_alias(server: Server) -> None:
    expect(ask(server, query(f"x.{ALIAS}")).rcode, R.NXDOMAIN, "rcode")


@rule("RFC 7766 5")
def an_alias_over_tcp_is_the_same(server: Server) -> None:
    for owner in (CHAIN, LOST, EXPORTED):
        expect(ask_tcp(server, query(owner)).answer, ask(server, query(owner)).answer, owner)


@rule("RFC 1035 3.4.1")
def a_host_has_all_its_addresses(server: Server) -> None:
    found = {record.rdata for record in ask(server, query(HOST)).answer}
    expect(found, {ip_address("10.0.9.9").packed, ip_address("10.0.9.10").packed}, "A")


@rule("RFC 3596 2.2")
def a_host_has_its_ipv6_address(server: Server) -> None:
    expect([r.rdata for r in ask(server, query(HOST, T.AAAA)).answer], [ip_address("fd00::9:9").packed], "AAAA")


@rule("RFC 1035 3.2.1")
def a_static_ttl_is_what_the_zone_says(server: Server) -> None:
    expect({record.ttl for record in ask(server, query(HOST)).answer}, {300}, "TTL")


@rule("RFC 2782")
def a_services_location_is_answered(server: Server) -> None:
    wanted = {b"\0\0\0\x0a\x01\xbd" + name(FILES), b"\0\1\0\0\xff\xff" + name(HOST)}
    expect({record.rdata for record in ask(server, query(SMB, T.SRV)).answer}, wanted, "SRV")


@rule("RFC 2782")
def a_location_is_found_in_any_case(server: Server) -> None:
    expect(len(ask(server, query(SMB.upper(), T.SRV)).answer), 2, "SRV records")


@rule("RFC 4592 2.2.2")
def what_is_above_a_location_is_nodata(server: Server) -> None:
    message = ask(server, query(f"_tcp.{APEX}", T.SRV))
    expect((message.rcode, message.answer), (R.NOERROR, ()))


@rule("RFC 2308 2.2")
def another_type_of_a_location_is_nodata(server: Server) -> None:
    message = ask(server, query(SMB, T.A))
    expect((message.rcode, message.answer, _owners_of_soa(message)), (R.NOERROR, (), [name(APEX)]))


@rule("RFC 1035 3.3.12")
def a_pointer_is_answered(server: Server) -> None:
    _answers(ask(server, query(POINTER, T.PTR)), (name(POINTER), T.PTR, name(HOST)))


def _strings(texts: Sequence[str]) -> set[bytes]:
    return {bytes([len(text.encode())]) + text.encode() for text in texts}


@rule("RFC 1035 3.3.14")
def texts_come_back_byte_by_byte(server: Server) -> None:
    """Quotes, a backslash, UTF-8, and an empty string, which is one byte."""
    expect({record.rdata for record in ask(server, query(TEXT, T.TXT)).answer}, _strings(TEXTS), "TXT")


@rule("RFC 1035 3.3")
def a_long_text_comes_in_strings_of_255_bytes(server: Server) -> None:
    text = LONG_TEXT.encode()
    wanted = b"\xff" + text[:255] + b"\xff" + text[255:510] + bytes([len(text) - 510]) + text[510:]
    expect([record.rdata for record in ask_tcp(server, query(LONG, T.TXT)).answer], [wanted], "TXT")


@rule("RFC 2181 11")
def any_byte_may_stand_in_a_name(server: Server) -> None:
    expect([r.rdata for r in ask(server, query(ODD_OWNER)).answer], [ip_address("10.0.9.11").packed], "A")
    require(ODD_OWNER[1:12] == ODD.split(".")[0].encode(), "this rule is wrong")


@rule("RFC 4343 3")
def an_odd_name_is_found_in_any_case(server: Server) -> None:
    expect(len(ask(server, query(ODD_OWNER.replace(b"odd", b"ODD"))).answer), 1, "A records")
