"""DNS cookies. A server need not have them (RFC 7873); who has them has them right (RFC 9018)."""

import struct
from time import time

from tests.conformance.asker import NotOfferedError, answers, ask, ask_tcp, expect, require
from tests.conformance.rule import Rule, rule
from tests.conformance.servers import Server
from tests.conformance.wire import HEADER, Code, Message, R, T, opt, option, query
from tests.conformance.zone import FILES, MISSING

CLIENT = b"\x24\x64\xc4\xab\xcf\x10\xc9\x57"  # RFC 9018 appendix A
OTHER_CLIENT = b"otherone"
CLOCK_SLACK_S = 300  # RFC 9018 section 4.3


def _ask(server: Server, cookie: bytes, owner: str = FILES, source: str = "") -> Message:
    return ask(server, query(owner, T.A, opt(option(Code.COOKIE, cookie))), source)


def _told(message: Message) -> bytes:
    cookies = message.options(Code.COOKIE)
    if not cookies:
        raise NotOfferedError("cookies")
    expect(len(cookies), 1, "COOKIE options")
    return cookies[0]


def _cookie(server: Server, client: bytes = CLIENT, source: str = "") -> bytes:
    return _told(_ask(server, client, source=source))


@rule("RFC 7873 5.2.3")
def a_clients_cookie_alone_gets_the_answer_or_badcookie(server: Server) -> None:
    message = _ask(server, CLIENT)
    expect((message.rcode, len(message.answer)), (R.NOERROR, 1) if message.answer else (R.BADCOOKIE, 0))


@rule("RFC 7873 5.2.3")
def a_clients_cookie_comes_back_in_front(server: Server) -> None:
    expect(_cookie(server)[:8], CLIENT, "client's part")


@rule("RFC 7873 4")
def a_servers_cookie_has_8_to_32_bytes(server: Server) -> None:
    require(16 <= len(_cookie(server)) <= 40, "length")


@rule("RFC 9018 4")
def a_servers_cookie_has_16_bytes(server: Server) -> None:
    expect(len(_cookie(server)), 24, "length of both")


@rule("RFC 9018 4.1")
def a_servers_cookie_is_of_version_1(server: Server) -> None:
    expect(_cookie(server)[8], 1, "version")


@rule("RFC 9018 4.2")
def the_reserved_bytes_of_a_servers_cookie_are_zero(server: Server) -> None:
    expect(_cookie(server)[9:12], b"\0\0\0", "reserved")


@rule("RFC 9018 4.3")
def a_servers_cookie_tells_the_time(server: Server) -> None:
    cookie = _cookie(server)
    require(len(cookie) >= 16, "no room for a time")
    off_s = abs(struct.unpack_from("!I", cookie, 12)[0] - int(time()))
    require(off_s <= CLOCK_SLACK_S, f"off by {off_s} s")


@rule("RFC 7873 5.2.5")
def a_whole_cookie_is_accepted(server: Server) -> None:
    cookie = _cookie(server)
    message = _ask(server, cookie)
    expect(message.rcode, R.NOERROR, "rcode")
    expect(_told(message)[:8], CLIENT, "client's part")


@rule("RFC 7873 5.2.4")
def a_forged_cookie_is_answered_with_a_new_one_or_badcookie(server: Server) -> None:
    cookie = _cookie(server)
    forged = cookie[:-1] + bytes([cookie[-1] ^ 1])
    message = _ask(server, forged)
    require(message.rcode in {R.NOERROR, R.BADCOOKIE}, f"rcode {message.rcode}")
    require(_told(message) != forged, "the forged cookie came back")


@rule("RFC 7873 6")
def another_clients_cookie_differs(server: Server) -> None:
    require(_cookie(server)[8:] != _cookie(server, OTHER_CLIENT)[8:], "the same for two client cookies")


@rule("RFC 9018 4.4")
def another_address_gets_another_cookie(server: Server) -> None:
    require(_cookie(server)[-8:] != _cookie(server, source="127.0.0.9")[-8:], "the same for two addresses")


@rule("RFC 7873 5.2.3")
def a_cookie_comes_with_negative_answers_too(server: Server) -> None:
    _cookie(server)
    require(_ask(server, CLIENT, MISSING).options(Code.COOKIE), "no cookie with NXDOMAIN")


@rule("RFC 7873 5.2")
def a_cookie_comes_over_tcp_too(server: Server) -> None:
    _cookie(server)
    message = ask_tcp(server, query(FILES, T.A, opt(option(Code.COOKIE, CLIENT))))
    require(message.options(Code.COOKIE), "no cookie over TCP")


@rule("RFC 7873 5.2.1")
def who_has_no_cookie_gets_none(server: Server) -> None:
    expect(ask(server, query(FILES, T.A, opt())).options(Code.COOKIE), [], "options")


def _bad_length(length: int) -> Rule:
    def check(server: Server) -> None:
        _cookie(server)
        expect(_ask(server, b"c" * length).rcode, R.FORMERR, "rcode")

    return Rule(f"a cookie of {length} bytes is a format error", "RFC 7873 5.2.2", check)


LENGTHS = tuple(_bad_length(length) for length in (0, 7, 9, 15, 41))


@rule("RFC 7873 5.2.2")
def a_servers_cookie_of_another_make_is_not_a_format_error(server: Server) -> None:
    _cookie(server)
    for length in (8, 16, 32):
        message = _ask(server, CLIENT + b"s" * length)
        require(message.rcode in {R.NOERROR, R.BADCOOKIE}, f"rcode {message.rcode}")


@rule("RFC 7873 5.4")
def a_cookie_can_be_asked_for_without_a_question(server: Server) -> None:
    _cookie(server)
    (wire,) = answers(server, HEADER.pack(3, 0, 0, 0, 0, 1) + opt(option(Code.COOKIE, CLIENT))) or [b"\0" * 4]
    require(wire[2] & 0x80 and wire[3] & 0xF in {R.NOERROR, R.FORMERR}, f"answer {wire.hex()}")
