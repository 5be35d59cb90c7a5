"""Other ways to the same server: IPv6, and sockets that are bound to all addresses.

The askers' sockets are connected: they take an answer from the very address that was asked, and from no other.
"""

from collections.abc import Callable
from dataclasses import replace

from tests.conformance.asker import ask, ask_tcp, expect, require, variant
from tests.conformance.rule import Rule
from tests.conformance.servers import Server
from tests.conformance.wire import TC, Code, R, T, opt, option, query
from tests.conformance.zone import APEX, BIG, BIG_ADDRESSES, FILES, MISSING

CLIENT = b"8 bytes."


def _address(at: Server) -> None:
    expect([record.rdata for record in ask(at, query(FILES)).answer], [b"\x0a\0\1\x0a"], "A")


def _denial(at: Server) -> None:
    expect(ask(at, query(MISSING)).rcode, R.NXDOMAIN, "rcode")


def _truncated(at: Server) -> None:
    require(ask(at, query(BIG, T.A, opt())).flags & TC, "TC is clear")


def _whole(at: Server) -> None:
    expect(len(ask_tcp(at, query(BIG)).answer), len(BIG_ADDRESSES), "answers over TCP")


def _broken(at: Server) -> None:
    expect(ask(at, query(FILES)[:-1]).rcode, R.FORMERR, "rcode")


def _cookie(at: Server) -> None:
    cookie = option(Code.COOKIE, CLIENT)
    told = ask(at, query(FILES, T.A, opt(cookie))).options(Code.COOKIE)[0]
    expect(told[:8], CLIENT, "client's part")
    expect(ask(at, query(FILES, T.A, opt(option(Code.COOKIE, told)))).options(Code.COOKIE), [told], "cookie")


def _many(at: Server) -> None:
    for ident in range(100):
        expect(ask(at, query(APEX, T.SOA, ident=ident)).rcode, R.NOERROR, "rcode")


CHECKS: dict[str, Callable[[Server], None]] = {
    "an address is answered": _address,
    "a missing name is denied": _denial,
    "a big answer is truncated": _truncated,
    "a big answer comes whole over TCP": _whole,
    "a broken question is a format error": _broken,
    "a cookie of the server's is accepted": _cookie,
    "a hundred questions are answered": _many,
}


def _way(name: str, title: str, check: Callable[[Server], None], source: str, host: str = "") -> Rule:
    def at(server: Server) -> None:
        found = variant(server, name)
        check(replace(found, host=host or found.host))

    return Rule(title, source, at)


BY_IPV6 = tuple(_way("IPv6", f"{title}, over IPv6", check, "RFC 3901 4") for title, check in CHECKS.items())
FROM_THERE = tuple(
    _way("all addresses", f"{title}, from the address that was asked", check, "RFC 2181 4.1")
    for title, check in CHECKS.items()
)
FROM_THERE_6 = tuple(
    _way("all IPv6 addresses", f"{title}, from the IPv6 address that was asked", check, "RFC 2181 4.1")
    for title, check in CHECKS.items()
)
ANYWHERE = tuple(
    _way("all addresses", f"{host} is answered from {host}", _address, "RFC 2181 4.1", host)
    for host in ("127.0.0.1", "127.0.0.3", "127.200.0.1")
)
