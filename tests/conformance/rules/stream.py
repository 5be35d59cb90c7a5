"""TCP: framing, pipelines, impatience, and clients that mean harm."""

import socket
from contextlib import ExitStack, suppress
from time import sleep

from tests.conformance.asker import (
    PATIENCE_S,
    NotOfferedError,
    ask,
    ask_tcp,
    closed_within,
    expect,
    frame,
    require,
    take,
    tcp,
)
from tests.conformance.rule import rule
from tests.conformance.servers import Server
from tests.conformance.wire import QR, BrokenError, Code, R, T, opt, option, query
from tests.conformance.zone import APEX, BIG, BIG_ADDRESSES, FILES, MISSING

IDLE_S = 20.0  # every server here is configured for about 5 s, or has 10 s
LORIS_S = 20.0
LORIS_PAUSE_S = 0.5


def _alive(server: Server) -> None:
    expect(ask_tcp(server, query(FILES)).rcode, R.NOERROR, "rcode")


@rule("RFC 7766 5")
def tcp_is_there(server: Server) -> None:
    _alive(server)


@rule("RFC 1035 4.2.2")
def the_length_in_front_is_right(server: Server) -> None:
    with tcp(server) as stream:
        stream.sendall(frame(query(FILES)))
        take(stream)
        stream.shutdown(socket.SHUT_WR)
        expect(stream.recv(10), b"", "bytes behind the answer")


@rule("RFC 7766 6.2.1")
def a_connection_serves_one_question_after_the_other(server: Server) -> None:
    with tcp(server) as stream:
        for ident in range(10):
            stream.sendall(frame(query(FILES, ident=ident)))
            expect(take(stream).ident, ident, "id")


@rule("RFC 7766 6.2.1.1")
def questions_may_be_sent_ahead(server: Server) -> None:
    with tcp(server) as stream:
        stream.sendall(frame(*(query(FILES, ident=ident) for ident in range(20))))
        expect({take(stream).ident for _ in range(20)}, set(range(20)), "ids")


@rule("RFC 7766 7")
def each_of_many_answers_belongs_to_its_question(server: Server) -> None:
    kinds = {1: (FILES, T.A, 1), 2: (MISSING, T.A, 0), 3: (BIG, T.A, len(BIG_ADDRESSES)), 4: (APEX, T.NS, 2)}
    with tcp(server) as stream:
        stream.sendall(frame(*(query(owner, qtype, ident=at) for at, (owner, qtype, _) in kinds.items())))
        told = {message.ident: len(message.answer) for message in (take(stream) for _ in kinds)}
    expect(told, {at: count for at, (*_, count) in kinds.items()}, "answers")


@rule("RFC 7766 8")
def a_question_may_come_byte_by_byte(server: Server) -> None:
    with tcp(server) as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in frame(query(FILES)):
            stream.sendall(bytes([byte]))
        expect(take(stream).rcode, R.NOERROR, "rcode")


@rule("RFC 7766 8")
def length_and_question_may_come_apart(server: Server) -> None:
    whole = frame(query(FILES))
    for cut in (1, 2, 14):
        with tcp(server) as stream:
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stream.sendall(whole[:cut])
            sleep(0.05)
            stream.sendall(whole[cut:])
            expect(take(stream).rcode, R.NOERROR, "rcode")


@rule("RFC 7766 8")
def a_segment_may_end_within_the_second_question(server: Server) -> None:
    both = frame(query(FILES, ident=1), query(MISSING, ident=2))
    with tcp(server) as stream:
        stream.sendall(both[:-9])
        first = take(stream)
        stream.sendall(both[-9:])
        expect({first.ident, take(stream).ident}, {1, 2}, "ids")


@rule("RFC 7766 6.2.4")
def who_closes_his_half_is_still_answered(server: Server) -> None:
    with tcp(server) as stream:
        stream.sendall(frame(query(FILES)))
        stream.shutdown(socket.SHUT_WR)
        expect(take(stream).rcode, R.NOERROR, "rcode")


@rule("RFC 7766 6.2.4")
def a_pipeline_is_answered_after_a_half_close(server: Server) -> None:
    with tcp(server) as stream:
        stream.sendall(frame(*(query(BIG, ident=ident) for ident in range(10))))
        stream.shutdown(socket.SHUT_WR)
        expect({take(stream).ident for _ in range(10)}, set(range(10)), "ids")


@rule("RFC 7766 6.2.4")
def who_closes_is_closed(server: Server) -> None:
    with tcp(server) as stream:
        stream.shutdown(socket.SHUT_WR)
        require(closed_within(stream, PATIENCE_S), "the connection stays open")


@rule("RFC 7766 6.2.3")
def who_says_nothing_is_closed(server: Server) -> None:
    with tcp(server) as stream:
        require(closed_within(stream, IDLE_S), f"open after {IDLE_S} s")


@rule("RFC 7766 6.2.3")
def who_asked_once_and_says_nothing_is_closed(server: Server) -> None:
    with tcp(server) as stream:
        stream.sendall(frame(query(FILES)))
        require(closed_within(stream, IDLE_S), f"open after {IDLE_S} s")


@rule("RFC 7766 6.1")
def an_idle_connection_is_kept_for_a_moment(server: Server) -> None:
    with tcp(server) as stream:
        for _ in range(2):
            stream.sendall(frame(query(FILES)))
            take(stream)
            sleep(1.0)


@rule("RFC 7766 10")
def half_a_question_does_not_hold_a_connection(server: Server) -> None:
    with tcp(server) as stream:
        stream.sendall(frame(query(FILES))[:9])
        require(closed_within(stream, IDLE_S), f"open after {IDLE_S} s")


@rule("RFC 7766 10")
def a_question_that_trickles_does_not_hold_a_connection(server: Server) -> None:
    """Slow loris: a byte now and then, never a whole message."""
    with tcp(server) as stream:
        stream.sendall(b"\xff\xff")
        for _ in range(int(LORIS_S / LORIS_PAUSE_S)):
            if closed_within(stream, LORIS_PAUSE_S):
                return
            with suppress(OSError):
                stream.send(b"x")
    raise BrokenError(f"open after {LORIS_S} s")


@rule("RFC 7766 10")
def connections_that_say_nothing_shut_nobody_out(server: Server) -> None:
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(tcp(server))
        _alive(server)


@rule("RFC 7766 10")
def who_vanishes_in_the_middle_harms_nobody(server: Server) -> None:
    for cut in (1, 2, 5, 20):
        with tcp(server) as stream:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # closes with a reset
            stream.sendall(frame(query(BIG))[:cut])
    _alive(server)


@rule("RFC 7766 10")
def who_does_not_fetch_his_answers_harms_nobody(server: Server) -> None:
    with tcp(server) as stream:
        stream.settimeout(0.2)
        with suppress(OSError):
            stream.sendall(frame(query(BIG)) * 2000)
        _alive(server)
        expect(ask(server, query(FILES)).rcode, R.NOERROR, "rcode over UDP")


@rule("RFC 1035 4.2.2")
def a_length_of_zero_harms_nobody(server: Server) -> None:
    with tcp(server) as stream, suppress(OSError):
        stream.sendall(b"\0\0" * 5)
    _alive(server)


@rule("RFC 1035 4.2.2")
def a_message_shorter_than_a_header_harms_nobody(server: Server) -> None:
    with tcp(server) as stream, suppress(OSError):
        stream.sendall(frame(b"short"))
    _alive(server)


@rule("RFC 1035 4.2.2")
def the_longest_message_harms_nobody(server: Server) -> None:
    with tcp(server) as stream, suppress(OSError):
        stream.sendall(frame(query(FILES) + b"\0" * (65535 - len(query(FILES)))))
        stream.recv(1)
    _alive(server)


@rule("RFC 1035 4.1.1")
def a_response_over_tcp_gets_no_answer(server: Server) -> None:
    with tcp(server) as stream:
        stream.sendall(frame(query(FILES, ident=1, flags=QR), query(FILES, ident=2)))
        stream.settimeout(1.0)
        with suppress(OSError):
            first = stream.recv(4)
            require(not first or first[2:4] == b"\0\2", f"answered: {first.hex()}")


@rule("RFC 9619 4")
def a_broken_question_over_tcp_is_a_format_error_or_closes(server: Server) -> None:
    with tcp(server) as stream:
        stream.sendall(frame(query(FILES)[:20]))
        with suppress(OSError):
            if header := stream.recv(16):
                expect(header[5] & 0xF, R.FORMERR, "rcode")


@rule("RFC 1035 4.1.1")
def another_opcode_over_tcp_is_not_implemented(server: Server) -> None:
    expect(ask_tcp(server, query(FILES, opcode=2)).rcode, R.NOTIMP, "rcode")


@rule("RFC 7828 3.3.2")
def keepalive_over_tcp_has_a_time_out(server: Server) -> None:
    told = ask_tcp(server, query(FILES, T.A, opt(option(Code.KEEPALIVE)))).options(Code.KEEPALIVE)
    if not told:
        raise NotOfferedError("keepalive")
    expect([len(data) for data in told], [2], "length")


@rule("RFC 7828 3.3.2")
def keepalive_does_no_harm_over_tcp(server: Server) -> None:
    message = ask_tcp(server, query(FILES, T.A, opt(option(Code.KEEPALIVE))))
    expect((message.rcode, len(message.answer)), (R.NOERROR, 1))


@rule("RFC 6891 6.1.1")
def without_edns_nothing_of_it_comes_over_tcp(server: Server) -> None:
    expect(ask_tcp(server, query(FILES)).opts, (), "OPT")
