"""Limits: how often, from whom, with which proof; and servers that say nothing about themselves.

Each rule asks from a network of its own, for those share a bucket; whatever it has used up stays so.
"""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from itertools import count

from tests.conformance.asker import (
    GRACE_S,
    MAX_BYTES,
    PATIENCE_S,
    ask,
    ask_tcp,
    closed_within,
    expect,
    frame,
    require,
    tcp,
    udp,
    variant,
)
from tests.conformance.rule import Rule, rule
from tests.conformance.servers import Server
from tests.conformance.variants import FRIEND
from tests.conformance.wire import CHAOS, RD, TC, Code, Message, R, T, opt, option, query, question, read
from tests.conformance.zone import APEX, DUAL, FILES, MEDIUM, MEDIUM_ADDRESSES, MISSING

CLIENT = b"8 bytes."
MANY = 60
TOKENS = 5
STRANGER = "127.0.0.8"
PROHIBITED = b"\0\x12"  # RFC 8914 section 4.19
_networks = count(1)


def _source() -> str:
    return f"127.77.{next(_networks) % 250}.1"


def _all(at: Server, packets: Sequence[bytes], source: str, friend: str = FRIEND) -> list[Message]:
    """Every answer. A question of a friend's, who is never limited, shows that all of them have been looked at."""
    found = list[Message]()
    with udp(at, source) as asker:
        for packet in packets:
            asker.send(packet)
        ask(at, query(DUAL), friend)
        asker.settimeout(GRACE_S)
        with suppress(TimeoutError):
            while True:
                found.append(read(asker.recv(MAX_BYTES)))
    return found


def _often(at: Server, packet: bytes, source: str = "") -> list[Message]:
    return _all(at, [packet] * MANY, source or _source())


def _whole(messages: Sequence[Message]) -> list[Message]:
    return [message for message in messages if not message.flags & TC]


def _slipped(messages: Sequence[Message]) -> list[Message]:
    found = [message for message in messages if message.flags & TC]
    require(found, "none was sent empty with TC")
    return found


@rule("DNS RRL 2.1")
def the_same_answer_is_told_only_so_often(server: Server) -> None:
    require(len(_whole(_often(variant(server, "rate limit"), query(FILES)))) <= TOKENS, "too many")


@rule("DNS RRL 2.2.7")
def every_second_limited_answer_slips_through(server: Server) -> None:
    found = _often(variant(server, "rate limit"), query(FILES))
    require(MANY // 2 - TOKENS <= len(_slipped(found)) <= MANY // 2, f"{len(_slipped(found))} of {MANY}")


@rule("DNS RRL 2.2.7")
def what_slips_through_is_empty_and_has_tc(server: Server) -> None:
    for message in _slipped(_often(variant(server, "rate limit"), query(FILES))):
        expect((message.answer, message.authority, message.additional), ((), (), ()), "records")


@rule("DNS RRL 2.2.7")
def what_slips_through_is_no_bigger_than_its_question(server: Server) -> None:
    for packet in (query(FILES), query(APEX, T.NS, opt()), query(FILES, T.A, opt(size=4096))):
        for message in _slipped(_often(variant(server, "rate limit"), packet)):
            require(len(message.wire) <= len(packet), f"{len(message.wire)} bytes for {len(packet)}")


@rule("RFC 1035 4.1.2")
def what_slips_through_has_its_question_and_rd(server: Server) -> None:
    for message in _slipped(_often(variant(server, "rate limit"), query(FILES.upper(), flags=RD))):
        expect((message.question, message.flags & RD), (question(FILES.upper(), T.A), RD))


@rule("RFC 6891 7")
def what_slips_through_keeps_its_opt(server: Server) -> None:
    for message in _slipped(_often(variant(server, "rate limit"), query(FILES, T.A, opt()))):
        expect(len(message.opts), 1, "OPT records")


def _limited(title: str, packets: Sequence[bytes], tokens: int = TOKENS) -> Rule:
    def check(server: Server) -> None:
        found = _all(variant(server, "rate limit"), packets, _source())
        require(len(_whole(found)) <= tokens, f"{len(_whole(found))} of {len(packets)}")

    return Rule(f"{title} are limited", "DNS RRL 2.2", check)


def _names(above: str) -> list[str]:
    return [f"x{number}.{above}" for number in range(MANY)]


KINDS = (
    _limited("denials of the same name", [query(MISSING)] * MANY),
    _limited("denials of many names, together,", [query(owner) for owner in _names(APEX)]),
    _limited("answers without data", [query(FILES, T.AAAA)] * MANY),
    _limited("refusals of many names, together,", [query(owner) for owner in _names("other.example")]),
    _limited("format errors", [query(FILES)[:-1]] * MANY),
    _limited("answers in any case, together,", [query(FILES), query(FILES.upper())] * (MANY // 2)),
    _limited("answers with any flag, together,", [query(FILES), query(FILES, flags=RD)] * (MANY // 2)),
    _limited("answers with and without EDNS, together,", [query(FILES), query(FILES, T.A, opt())] * (MANY // 2)),
)


@rule("DNS RRL 2.1")
def another_question_has_tokens_of_its_own(server: Server) -> None:
    at, source = variant(server, "rate limit"), _source()
    _often(at, query(FILES), source)
    require(_whole(_all(at, [query(APEX, T.SOA)], source)), "limited")


@rule("DNS RRL 2.1")
def another_network_has_tokens_of_its_own(server: Server) -> None:
    at = variant(server, "rate limit")
    _often(at, query(FILES))
    require(_whole(_all(at, [query(FILES)], _source())), "limited")


@rule("DNS RRL 2.1")
def a_neighbours_address_has_the_same_tokens(server: Server) -> None:
    at, source = variant(server, "rate limit"), _source()
    _often(at, query(FILES), source)
    expect(_whole(_all(at, [query(FILES)] * MANY, source + "1")), [], "answers")


@rule("DNS RRL 2.1")
def who_asks_again_over_tcp_is_answered(server: Server) -> None:
    at, source = variant(server, "rate limit"), _source()
    _often(at, query(FILES), source)
    for _ in range(MANY // 3):
        expect(len(ask_tcp(at, query(FILES), source).answer), 1, "addresses")


@rule("RFC 9018 1")
def who_has_a_valid_cookie_is_not_limited(server: Server) -> None:
    at, source = variant(server, "rate limit"), _source()
    (cookie,) = ask(at, query(FILES, T.A, opt(option(Code.COOKIE, CLIENT))), source).options(Code.COOKIE)
    expect(len(_whole(_often(at, query(FILES, T.A, opt(option(Code.COOKIE, cookie))), source))), MANY, "answers")


@rule("DNS RRL 2.1")
def who_is_trusted_is_not_limited(server: Server) -> None:
    expect(len(_whole(_often(variant(server, "rate limit"), query(FILES), FRIEND))), MANY, "answers")


@rule("DNS RRL 2.2.7")
def without_slip_what_is_limited_is_silent(server: Server) -> None:
    at, source = variant(server, "rate without slip"), _source()
    found = _all(at, [query(FILES)] * MANY, source, _source())
    require(len(found) <= TOKENS and found == _whole(found), f"{len(found)} answers")


@rule("DNS RRL 2.2")
def where_limits_are_only_counted_all_is_answered(server: Server) -> None:
    expect(len(_whole(_often(variant(server, "rate counted"), query(FILES)))), MANY, "answers")


# --- required cookies


def _with_cookie(at: Server, cookie: bytes) -> Message:
    return ask(at, query(FILES, T.A, opt(option(Code.COOKIE, cookie))))


def _told(at: Server) -> bytes:
    return _with_cookie(at, CLIENT).options(Code.COOKIE)[0]


@rule("RFC 7873 5.2.3")
def a_clients_cookie_alone_is_badcookie_where_one_is_required(server: Server) -> None:
    message = _with_cookie(variant(server, "cookies required"), CLIENT)
    expect((message.rcode, message.answer), (R.BADCOOKIE, ()))


@rule("RFC 7873 5.2.3")
def badcookie_tells_a_cookie_that_is_accepted(server: Server) -> None:
    at = variant(server, "cookies required")
    message = _with_cookie(at, _told(at))
    expect((message.rcode, len(message.answer)), (R.NOERROR, 1))


@rule("RFC 7873 5.2.4")
def a_forged_cookie_is_badcookie_where_one_is_required(server: Server) -> None:
    at = variant(server, "cookies required")
    cookie = _told(at)
    message = _with_cookie(at, cookie[:-1] + bytes([cookie[-1] ^ 1]))
    expect((message.rcode, message.answer), (R.BADCOOKIE, ()))


@rule("RFC 7873 5.2.3")
def a_required_cookie_is_another_addresss_own(server: Server) -> None:
    at = variant(server, "cookies required")
    packet = query(FILES, T.A, opt(option(Code.COOKIE, _told(at))))
    expect(ask(at, packet, STRANGER).rcode, R.BADCOOKIE, "rcode")


@rule("RFC 7873 5.2.1")
def who_knows_no_cookies_is_answered_where_one_is_required(server: Server) -> None:
    at = variant(server, "cookies required")
    for packet in (query(FILES), query(FILES, T.A, opt())):
        expect(len(ask(at, packet).answer), 1, "addresses")


@rule("RFC 7873 5.2.3")
def over_tcp_no_cookie_is_required(server: Server) -> None:
    at = variant(server, "cookies required")
    message = ask_tcp(at, query(FILES, T.A, opt(option(Code.COOKIE, CLIENT))))
    expect((message.rcode, len(message.answer)), (R.NOERROR, 1))


@rule("RFC 7873 5.2.2")
def a_broken_cookie_is_a_format_error_where_one_is_required(server: Server) -> None:
    expect(_with_cookie(variant(server, "cookies required"), b"short").rcode, R.FORMERR, "rcode")


# --- saying nothing about oneself


def _hidden(owner: str) -> Rule:
    def check(server: Server) -> None:
        message = ask(variant(server, "silent about itself"), query(owner, T.TXT, qclass=CHAOS))
        expect((message.rcode, message.answer), (R.REFUSED, ()))

    return Rule(f"{owner} is refused where it is switched off", "RFC 4892 3.1", check)


HIDDEN = tuple(map(_hidden, ("version.bind", "version.server", "hostname.bind", "id.server")))


@rule("RFC 5001 2.1")
def nsid_is_not_told_where_it_is_switched_off(server: Server) -> None:
    message = ask(variant(server, "silent about itself"), query(FILES, T.A, opt(option(Code.NSID))))
    expect((message.options(Code.NSID), len(message.answer)), ([], 1))


@rule("RFC 7873 5.2")
def cookies_are_ignored_where_they_are_switched_off(server: Server) -> None:
    message = _with_cookie(variant(server, "silent about itself"), CLIENT)
    expect((message.options(Code.COOKIE), len(message.answer)), ([], 1))


# --- who may ask


@rule("RFC 8914 4.19")
def a_stranger_is_refused_and_told_why(server: Server) -> None:
    at = variant(server, "refusing")
    for owner in (FILES, MISSING, "www.other.example"):
        message = ask(at, query(owner, T.A, opt()), STRANGER)
        expect((message.rcode, message.answer, message.authority), (R.REFUSED, (), ()))
        expect(message.options(Code.ERROR), [PROHIBITED], "extended error")


@rule("RFC 6891 6.1.1")
def a_stranger_without_edns_is_refused_without(server: Server) -> None:
    message = ask(variant(server, "refusing"), query(FILES), STRANGER)
    expect((message.rcode, message.opts), (R.REFUSED, ()))


@rule("RFC 1035 4.1.1")
def a_stranger_is_refused_over_tcp_too(server: Server) -> None:
    expect(ask_tcp(variant(server, "refusing"), query(FILES), STRANGER).rcode, R.REFUSED, "rcode")


@rule("RFC 5358 4")
def who_may_ask_is_answered_where_others_are_not(server: Server) -> None:
    for name in ("refusing", "dropping"):
        at = variant(server, name)
        expect((len(ask(at, query(FILES), FRIEND).answer), len(ask_tcp(at, query(FILES), FRIEND).answer)), (1, 1))


@rule("RFC 5358 4")
def a_stranger_gets_no_answer_where_he_is_dropped(server: Server) -> None:
    packets = [query(FILES), query(FILES, T.A, opt()), query(FILES)[:-1], query(APEX, T.SOA, opcode=4)]
    expect(_all(variant(server, "dropping"), packets, STRANGER), [], "answers")


@rule("RFC 5358 4")
def a_stranger_gets_no_answer_over_tcp_where_he_is_dropped(server: Server) -> None:
    with suppress(OSError), tcp(variant(server, "dropping"), STRANGER) as stream:
        stream.sendall(frame(query(FILES)))
        expect(stream.recv(1), b"", "first byte")
        require(closed_within(stream, PATIENCE_S), "the connection stays open")


# --- amplification


@rule("RFC 5358 3")
def who_has_proved_nothing_gets_some_times_what_he_sent(server: Server) -> None:
    packet = query(MEDIUM, T.A, opt())
    message = ask(variant(server, "amplifying little"), packet)
    require(message.flags & TC and len(message.wire) <= 4 * len(packet), f"{len(message.wire)} bytes")


@rule("RFC 9018 1")
def a_valid_cookie_proves_enough_for_a_big_answer(server: Server) -> None:
    at = variant(server, "amplifying little")
    (cookie,) = ask(at, query(FILES, T.A, opt(option(Code.COOKIE, CLIENT)))).options(Code.COOKIE)
    message = ask(at, query(MEDIUM, T.A, opt(option(Code.COOKIE, cookie))))
    expect(Counter(record.rtype for record in message.answer), {T.A: len(MEDIUM_ADDRESSES)}, "answer")


@rule("RFC 5358 3")
def who_is_trusted_gets_a_big_answer(server: Server) -> None:
    message = ask(variant(server, "amplifying little"), query(MEDIUM, T.A, opt()), FRIEND)
    expect(len(message.answer), len(MEDIUM_ADDRESSES), "addresses")


@rule("RFC 5358 3")
def over_tcp_everybody_gets_a_big_answer(server: Server) -> None:
    message = ask_tcp(variant(server, "amplifying little"), query(MEDIUM))
    expect(len(message.answer), len(MEDIUM_ADDRESSES), "addresses")
