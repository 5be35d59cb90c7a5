"""The TCP port of a worker in this process, on real sockets; whole worker processes are in test_server.py."""

import selectors
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from time import monotonic

import pytest
from dnslib import DNSRecord

from edge.dns import tcp as tcp_port
from edge.dns.desk import Desk
from edge.dns.guard import Policy, TcpLimits
from edge.dns.message import Qtype, Transport
from edge.dns.orders import Order
from edge.dns.tcp import ACCEPTS, BITE_BYTES, Connection, TcpPort
from tests.dns.desks import A_QUERY, HOME, LOCAL, SOA_QUERY, desk, dropped
from tests.dns.samples import ZONE


def framed(*messages: bytes) -> bytes:
    return b"".join(len(message).to_bytes(2) + message for message in messages)


@dataclass
class Tcp:
    """A TcpPort and its selector, turned by hand."""

    port: TcpPort
    desk: Desk
    selector: selectors.BaseSelector
    listener: socket.socket
    connect: Callable[[str], socket.socket]

    def client(self, source: str = "127.0.0.1") -> socket.socket:
        made = self.connect(source)
        assert self.port.accept(self.listener)
        return made

    def settle(self) -> None:
        """Turns until nothing has happened for a while."""
        for _ in range(100_000):
            if not (ready := self.selector.select(0.2)):
                return
            for key, _ in ready:
                key.data()
        pytest.fail("there is no end of it")

    def talk(self, stream: socket.socket, data: bytes, size: int = 65536) -> bytes:
        stream.sendall(data)
        self.settle()
        return stream.recv(size)


@pytest.fixture
def tcp() -> Iterator[Tcp]:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=512))
        listener.setblocking(False)
        selector = stack.enter_context(selectors.DefaultSelector())

        def connect(source: str) -> socket.socket:
            made = stack.enter_context(socket.create_connection(listener.getsockname(), 30, (source, 0)))
            selectors_ready(listener)
            return made

        at = desk()
        yield Tcp(TcpPort(selector, at), at, selector, listener, connect)


def selectors_ready(listener: socket.socket) -> None:
    with selectors.DefaultSelector() as waiting:
        waiting.register(listener, selectors.EVENT_READ)
        assert waiting.select(30)


def closed(stream: socket.socket) -> bool:
    stream.settimeout(30)
    try:
        return stream.recv(1) == b""
    except ConnectionResetError:
        return True


def test_pipelined_queries_are_answered_in_their_order(tcp: Tcp) -> None:
    answers = tcp.talk(tcp.client(), framed(A_QUERY, SOA_QUERY, A_QUERY))
    lengths = []
    while answers:
        end = 2 + int.from_bytes(answers[:2])
        lengths.append(DNSRecord.parse(answers[2:end]).q.qtype)
        answers = answers[end:]
    assert lengths == [Qtype.A, Qtype.SOA, Qtype.A]


def test_a_query_in_single_bytes_is_put_together(tcp: Tcp) -> None:
    stream = tcp.client()
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    *most, last = framed(A_QUERY)
    for byte in most:
        stream.sendall(bytes([byte]))
        for key, _ in tcp.selector.select(30):
            key.data()
    assert tcp.talk(stream, bytes([last]))[2:4] == A_QUERY[:2]


def test_a_client_that_has_said_its_last_word_still_gets_its_answer(tcp: Tcp) -> None:
    stream = tcp.client()
    stream.sendall(framed(A_QUERY))
    stream.shutdown(socket.SHUT_WR)
    tcp.settle()
    assert stream.recv(512)[2:4] == A_QUERY[:2]
    assert closed(stream)
    assert tcp.port.patience_s(0) is None


def test_a_client_that_resets_is_forgotten(tcp: Tcp) -> None:
    stream = tcp.client()
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    stream.close()
    tcp.settle()
    assert tcp.port.patience_s(0) is None
    assert not tcp.port._clients


def test_an_idle_connection_is_closed_at_its_deadline(tcp: Tcp) -> None:
    stream = tcp.client()
    now_s = monotonic()
    tcp.port.expire(now_s + LOCAL.tcp.idle_s - 5)
    assert tcp.port.patience_s(now_s) == pytest.approx(LOCAL.tcp.idle_s, abs=5)
    tcp.port.expire(now_s + LOCAL.tcp.idle_s + 1)
    assert closed(stream)


def test_only_an_answered_query_puts_the_deadline_off(tcp: Tcp) -> None:
    trickler, asker = tcp.client(), tcp.client()
    tcp.talk(asker, framed(A_QUERY))
    trickler.sendall(framed(A_QUERY)[:5])
    tcp.settle()
    first, second = tcp.port._strangers
    assert first.source == trickler.getsockname()
    tcp.port.expire(first.deadline_s)
    assert closed(trickler)
    assert list(tcp.port._strangers) == [second]


def narrow(tcp: Tcp) -> tuple[socket.socket, Connection]:
    """A client on a line that holds a few KB."""
    stream = tcp.client()
    (connection,) = tcp.port._strangers
    for end in (stream, connection.stream):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
    return stream, connection


def test_who_does_not_fetch_answers_is_not_read_any_more_and_runs_out_of_time(tcp: Tcp) -> None:
    lazy, connection = narrow(tcp)
    lazy.setblocking(False)
    burst = framed(*[SOA_QUERY] * 2000)
    with suppress(BlockingIOError):
        while True:  # until nothing fits into the line any more
            lazy.send(burst)
            tcp.settle()
    assert 0 < len(connection.outbox) < 40 * BITE_BYTES
    assert tcp.selector.get_key(connection.stream).events == selectors.EVENT_WRITE
    tcp.port.expire(connection.deadline_s)
    assert not tcp.port._strangers


def test_nothing_is_read_while_answers_wait() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        at, connection = desk(), Connection(ours, HOME)
        connection.outbox += b"waiting"
        theirs.sendall(framed(A_QUERY))
        assert not connection.turn(at)
        assert theirs.recv(512) == b"waiting"
        assert connection.turn(at)


def test_answers_go_on_when_they_are_fetched_again(tcp: Tcp) -> None:
    slow, connection = narrow(tcp)
    count = slow.send(framed(*[SOA_QUERY] * 1000)) // len(framed(SOA_QUERY))
    tcp.settle()
    assert connection.outbox
    received = b""
    wanted = count * (2 + len(tcp.desk.answer(SOA_QUERY, HOME, Transport.TCP) or b""))
    while len(received) < wanted:
        received += slow.recv(65536)
        for key, _ in tcp.selector.select(0):
            key.data()
    assert (len(received), connection.outbox) == (wanted, b"")


def test_one_client_cannot_have_every_connection(tcp: Tcp) -> None:
    tcp.desk.tcp_limits = TcpLimits(per_client=2)
    first, _, third = tcp.client(), tcp.client(), tcp.client()
    assert closed(third)
    assert dropped(tcp.desk) == {"tcp_limit": 1}
    first.close()
    tcp.settle()
    assert tcp.talk(tcp.client(), framed(A_QUERY))[2:4] == A_QUERY[:2]


def test_when_all_are_taken_the_longest_idle_makes_room(tcp: Tcp) -> None:
    tcp.desk.tcp_limits = TcpLimits(connections=2)
    first, second = tcp.client(), tcp.client()
    tcp.talk(first, framed(A_QUERY))
    third = tcp.client()
    assert closed(second)
    assert dropped(tcp.desk) == {"tcp_limit": 1}
    for stream in (first, third):
        assert tcp.talk(stream, framed(A_QUERY))[2:4] == A_QUERY[:2]


FORWARDER, STRANGER = "127.0.0.2", "127.66.0.1"


def guarded(tcp: Tcp, connections: int, per_client: int = 32) -> None:
    limits = TcpLimits(connections=connections, per_client=per_client)
    tcp.desk.follow(Order(2, (ZONE,), Policy(("127.0.0.0/8",), trusted=(FORWARDER,), tcp=limits)))


def answers(tcp: Tcp, stream: socket.socket) -> bool:
    return tcp.talk(stream, framed(A_QUERY))[2:4] == A_QUERY[:2]


def test_a_stranger_makes_room_before_a_trusted_forwarder_that_is_idle_for_longer(tcp: Tcp) -> None:
    guarded(tcp, 2)
    forwarder, stranger = tcp.client(FORWARDER), tcp.client(STRANGER)
    newcomer = tcp.client(STRANGER)
    assert closed(stranger)
    assert answers(tcp, forwarder)
    assert answers(tcp, newcomer)


def test_a_stranger_is_turned_away_where_all_connections_are_trusted(tcp: Tcp) -> None:
    guarded(tcp, 2)
    forwarders = [tcp.client(FORWARDER), tcp.client(FORWARDER)]
    assert closed(tcp.client(STRANGER))
    assert dropped(tcp.desk) == {"tcp_limit": 1}
    assert all(answers(tcp, forwarder) for forwarder in forwarders)


def test_a_trusted_newcomer_takes_a_stranger_s_place(tcp: Tcp) -> None:
    guarded(tcp, 1)
    stranger, forwarder = tcp.client(STRANGER), tcp.client(FORWARDER)
    assert closed(stranger)
    assert answers(tcp, forwarder)


def test_among_the_trusted_the_longest_idle_makes_room(tcp: Tcp) -> None:
    guarded(tcp, 2)
    first, second = tcp.client(FORWARDER), tcp.client(FORWARDER)
    assert answers(tcp, first)
    assert answers(tcp, tcp.client(FORWARDER))
    assert closed(second)


def test_a_trusted_forwarder_too_has_its_share_and_no_more(tcp: Tcp) -> None:
    guarded(tcp, 8, per_client=1)
    kept = tcp.client(FORWARDER)
    assert closed(tcp.client(FORWARDER))
    assert answers(tcp, kept)


@pytest.mark.parametrize(("longer", "shorter"), [(FORWARDER, STRANGER), (STRANGER, FORWARDER)])
def test_whoever_ends_first_is_waited_for(tcp: Tcp, longer: str, shorter: str) -> None:
    guarded(tcp, 8)
    ends = tcp.client(shorter)
    (first,) = (*tcp.port._strangers, *tcp.port._trusted)
    stays = tcp.client(longer)
    assert tcp.port.patience_s(first.deadline_s) == 0
    tcp.port.expire(first.deadline_s)
    assert closed(ends)
    assert answers(tcp, stays)


def test_a_turn_lets_in_many_and_then_leaves_the_others_to_the_udp_port(tcp: Tcp) -> None:
    tcp.desk.tcp_limits = TcpLimits(per_client=100)
    for _ in range(ACCEPTS + 1):
        tcp.connect("127.0.0.1")
    assert [tcp.port.turn(tcp.listener), tcp.port.turn(tcp.listener)] == [True, False]
    assert len(tcp.port._strangers) == ACCEPTS + 1


def test_a_flood_of_connections_does_not_keep_the_port_from_closing(tcp: Tcp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp_port, "LAST_TURNS", 1)
    tcp.desk.tcp_limits = TcpLimits(per_client=100)
    for _ in range(ACCEPTS + 1):
        tcp.connect("127.0.0.1")
    tcp.port.close(tcp.listener)
    assert len(tcp.port._strangers) == ACCEPTS


def test_a_connection_closed_to_make_room_in_the_same_round_is_not_touched(tcp: Tcp) -> None:
    stream = tcp.client()
    stream.sendall(framed(A_QUERY))
    ((key, _),) = tcp.selector.select(30)
    tcp.port.expire(monotonic() + LOCAL.tcp.idle_s + 1)
    key.data()
    assert tcp.port.patience_s(0) is None


def test_who_may_not_ask_is_not_even_let_in(tcp: Tcp) -> None:
    tcp.desk.follow(Order(2, (ZONE,), Policy(("10.0.0.0/8",))))
    assert closed(tcp.client())
    assert dropped(tcp.desk) == {"denied": 1}


def test_closing_lets_in_and_answers_those_who_wait(tcp: Tcp) -> None:
    streams = [tcp.connect("127.0.0.1"), tcp.connect("127.0.0.1")]
    for stream in streams:
        stream.sendall(framed(A_QUERY))
    tcp.port.close(tcp.listener)
    tcp.port.finish()
    assert [stream.recv(512)[2:4] for stream in streams] == [A_QUERY[:2]] * 2


def test_nobody_waiting_is_no_error(tcp: Tcp) -> None:
    assert not tcp.port.accept(tcp.listener)
