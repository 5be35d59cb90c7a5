"""Several zones on one server: one below another, and reverse ones."""

from tests.conformance.asker import NotOfferedError, ask, ask_tcp, expect, require
from tests.conformance.rule import Rule, rule
from tests.conformance.servers import Server
from tests.conformance.wire import AA, BrokenError, R, T, name, query
from tests.conformance.zone import (
    ABROAD,
    APEX,
    CHILD,
    CHILD_HOST,
    DUAL,
    FILES,
    LENT,
    NEGATIVE_TTL_S,
    NS1,
    REVERSE,
    REVERSE6,
    REVERSE6_DUAL,
    REVERSE_FILES,
    ZONES,
)


def _needs(server: Server, owner: str) -> None:
    if CHILD in owner and not ask(server, query(CHILD, T.SOA)).answer:
        raise NotOfferedError("a zone below another")


def _denied_by(server: Server, owner: str, qtype: int, rcode: int, apex: str) -> None:
    _needs(server, owner)
    message = ask(server, query(owner, qtype))
    expect((message.rcode, message.answer), (rcode, ()))
    expect([(r.owner.lower(), r.rtype, r.ttl) for r in message.authority], [(name(apex), T.SOA, NEGATIVE_TTL_S)])
    require(message.flags & AA, "AA is clear")


def _denial(owner: str, qtype: int, rcode: int, apex: str, source: str) -> Rule:
    return Rule(
        f"{T(qtype).name} of {owner[-40:]} is denied by {apex}",
        source,
        lambda server: _denied_by(server, owner, qtype, rcode, apex),
    )


DENIALS = (
    _denial(CHILD, T.DS, R.NOERROR, APEX, "RFC 4035 3.1.4.1"),
    _denial(CHILD, T.A, R.NOERROR, CHILD, "RFC 1034 4.3.2"),
    _denial(CHILD, T.DNSKEY, R.NOERROR, CHILD, "RFC 4035 3.1"),
    _denial(CHILD_HOST, T.AAAA, R.NOERROR, CHILD, "RFC 1034 4.3.2"),
    _denial(CHILD_HOST, T.DS, R.NOERROR, CHILD, "RFC 4035 3.1.4.1"),
    _denial(f"missing.{CHILD}", T.A, R.NXDOMAIN, CHILD, "RFC 2308 2.1"),
    _denial(f"missing.{CHILD}", T.DS, R.NXDOMAIN, CHILD, "RFC 4035 3.1.4.1"),
    _denial(f"not{CHILD}", T.A, R.NXDOMAIN, APEX, "RFC 1034 3.1"),
    _denial(REVERSE, T.DS, R.NOERROR, REVERSE, "RFC 4035 3.1.4.1"),
    _denial(REVERSE, T.PTR, R.NOERROR, REVERSE, "RFC 2308 2.2"),
    _denial(REVERSE_FILES, T.A, R.NOERROR, REVERSE, "RFC 2308 2.2"),
    _denial(f"1.{REVERSE}", T.PTR, R.NOERROR, REVERSE, "RFC 4592 2.2.2"),
    _denial(f"99.1.{REVERSE}", T.PTR, R.NXDOMAIN, REVERSE, "RFC 2308 2.1"),
    _denial(REVERSE6, T.PTR, R.NOERROR, REVERSE6, "RFC 2308 2.2"),
    _denial(f"f.{REVERSE6}", T.PTR, R.NXDOMAIN, REVERSE6, "RFC 8020 2"),
)


def _served(apex: str) -> Rule:
    def check(server: Server) -> None:
        _needs(server, apex)
        soa, nameservers = (ask(server, query(apex, qtype)) for qtype in (T.SOA, T.NS))
        expect([(r.owner.lower(), r.rtype) for r in soa.answer], [(name(apex), T.SOA)], "SOA")
        expect({r.rdata for r in nameservers.answer}, {name(NS1), name(ABROAD)}, "NS")
        require(soa.flags & nameservers.flags & AA, "AA is clear")

    return Rule(f"{apex} has its SOA and nameservers", "RFC 1034 4.2.1", check)


APEXES = tuple(_served(zone.name) for zone in ZONES)


@rule("RFC 1034 4.3.2")
def a_name_in_the_zone_below_is_answered_and_not_referred(server: Server) -> None:
    _needs(server, CHILD)
    message = ask(server, query(CHILD_HOST))
    expect([record.rdata for record in message.answer], [b"\x0a\0\x09\x0c"], "A")
    require(message.flags & AA, "AA is clear")


@rule("RFC 1034 4.3.2")
def an_alias_into_the_zone_below_is_at_least_told(server: Server) -> None:
    message = ask(server, query(LENT))
    expect(message.rcode, R.NOERROR, "rcode")
    told = [(record.owner.lower(), record.rtype) for record in message.answer]
    expect(told, [(name(LENT), T.CNAME), (name(CHILD_HOST), T.A)][: max(1, len(told))], "answer")


def _points(title: str, owner: str, target: str) -> Rule:
    def check(server: Server) -> None:
        message = ask(server, query(owner, T.PTR))
        expect([(r.owner.lower(), r.rtype, r.rdata) for r in message.answer], [(name(owner), T.PTR, name(target))])

    return Rule(f"{title} has its name", "RFC 1035 3.5, RFC 3596 2.5", check)


POINTERS = (_points("an IPv4 address", REVERSE_FILES, FILES), _points("an IPv6 address", REVERSE6_DUAL, DUAL))


@rule("RFC 8020 2")
def every_nibble_above_an_ipv6_pointer_exists(server: Server) -> None:
    labels = REVERSE6_DUAL.split(".")
    for depth in range(1, len(labels) - REVERSE6.count(".")):
        expect(ask(server, query(".".join(labels[depth:]), T.PTR)).rcode, R.NOERROR, f"rcode at depth {depth}")


def _not_ours(owner: str) -> Rule:
    return Rule(
        f"{owner} is refused",
        "RFC 1035 4.1.1",
        lambda server: expect(ask(server, query(owner, T.PTR)).rcode, R.REFUSED, "rcode"),
    )


ABOVE = tuple(map(_not_ours, ("10.in-addr.arpa", "1.10.in-addr.arpa", "in-addr.arpa", "ip6.arpa", "1.0.d.f.ip6.arpa")))


def _kept(apex: str) -> Rule:
    def check(server: Server) -> None:
        _needs(server, apex)
        try:
            message = ask_tcp(server, query(apex, T.AXFR))
        except BrokenError as error:
            require("closed" in str(error), str(error))
            return
        require(message.rcode in {R.REFUSED, R.NOTAUTH, R.NOTIMP}, f"rcode {message.rcode}")

    return Rule(f"{apex} is transferred to nobody", "RFC 5936 2.2.1", check)


TRANSFERS = tuple(_kept(zone.name) for zone in ZONES[1:])
