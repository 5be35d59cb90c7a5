"""The parts of a worker in this process, on real sockets; whole worker processes are in test_server.py."""

import selectors
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from time import monotonic

import pytest
from dnslib import DNSRecord

from edge.dns import worker
from edge.dns.batch import COUNT
from edge.dns.counters import Tally, total
from edge.dns.guard import Deny, Policy, TcpLimits
from edge.dns.message import Qtype, Transport
from edge.dns.orders import Order
from edge.dns.rates import Rates
from edge.dns.worker import BITE_BYTES, BatchPort, Connection, Desk, TcpPort, UdpPort, WildcardPort
from tests.dns.samples import ZONE, opt, option, packet

HOME = ("127.0.0.1", 5353)
LOCAL = Policy(("127.0.0.0/8",))
A_QUERY = packet("files.fs.corp.example", Qtype.A)
SOA_QUERY = packet("fs.corp.example", Qtype.SOA)


def desk(policy: Policy = LOCAL) -> Desk:
    return Desk(Tally.create(), Order(1, (ZONE,), policy))


def dropped(at: Desk) -> dict[str, int]:
    return {reason: count for reason, count in total([at.tally]).dropped.items() if count}


def framed(*messages: bytes) -> bytes:
    return b"".join(len(message).to_bytes(2) + message for message in messages)


# --- Desk


def test_both_ways_are_counted_under_the_same_label() -> None:
    at = desk()
    cookie = packet("files.fs.corp.example", Qtype.A, b"\0\0\x29\x04\xd0\0\0\0\0\0\x0c\0\x0a\0\x08cookies!")
    for data in (A_QUERY, cookie):
        assert at.answer(data, HOME, Transport.UDP) is not None
    assert total([at.tally]).queries["A", "NOERROR", "udp"] == 2


def test_who_may_not_ask_gets_silence_or_refused() -> None:
    silent, polite = desk(), desk(Policy((), Deny.REFUSE))
    assert silent.answer(A_QUERY, ("192.0.2.1", 5353), Transport.UDP) is None
    assert dropped(silent) == {"denied": 1}
    refusal = polite.answer(A_QUERY, HOME, Transport.TCP)
    assert refusal is not None
    assert DNSRecord.parse(refusal).header.rcode == 5
    assert total([polite.tally]).queries["A", "REFUSED", "tcp"] == 1


def test_a_packet_that_we_get_wrong_is_dropped_and_told_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong(*_: object) -> None:
        raise IndexError("a mistake of ours")

    monkeypatch.setattr(worker, "respond", wrong)
    at = desk()
    for _ in range(2):
        assert at.answer(packet("no.fs.corp.example", Qtype.A), HOME, Transport.UDP) is None
    assert dropped(at) == {"internal": 2}
    assert capsys.readouterr().err.count("a mistake of ours") == 2  # once as source, once as message


ABROAD = ("198.51.100.7", 5353)
SECRET = "e5e973e5a6b2a43f48e7dc849e37bfcf"
LIMITED = Policy(("0.0.0.0/0",), trusted=("127.0.0.0/8",), rates=Rates(per_s=2.0, burst_s=1.0))
NOBODY = packet("no.fs.corp.example", Qtype.A)


def with_cookie(cookie: bytes = b"client c") -> bytes:
    return packet("files.fs.corp.example", Qtype.A, opt(options=option(10, cookie)))


def happened(at: Desk) -> dict[str, int]:
    return {event: count for event, count in total([at.tally]).events.items() if count}


def answers(at: Desk, data: bytes, count: int, source: tuple[str, int] = ABROAD) -> list[bytes | None]:
    """All in the same moment."""
    return [at.answer(data, source, Transport.UDP) for _ in range(count)]


def is_slip(wire: bytes | None, data: bytes) -> bool:
    record = DNSRecord.parse(wire or b"")
    return bool(record.header.tc) and not record.rr + record.auth and (wire or b"")[12:].startswith(data[12:27])


@pytest.mark.parametrize("data", [A_QUERY, NOBODY, with_cookie(), packet("www.example", Qtype.A)])
def test_over_its_rate_a_network_gets_every_second_answer_and_that_one_empty(data: bytes) -> None:
    at = desk(LIMITED)
    first, second, *over = answers(at, data, 6)
    assert not any(DNSRecord.parse(wire or b"").header.tc for wire in (first, second))
    assert [wire is None for wire in over] == [True, False, True, False]
    assert is_slip(over[1], data)
    assert (dropped(at), happened(at)) == ({"rate": 2}, {"slipped": 2})
    assert sum(total([at.tally]).queries.values()) == 4


@pytest.mark.parametrize("data", [A_QUERY, NOBODY])
def test_neither_the_trusted_nor_tcp_have_a_rate(data: bytes) -> None:
    at = desk(LIMITED)
    assert None not in answers(at, data, 50, HOME)
    assert None not in [at.answer(data, ABROAD, Transport.TCP) for _ in range(50)]
    assert (dropped(at), happened(at)) == ({}, {})


@pytest.mark.parametrize("name", ["files.fs.corp.example", "no.fs.corp.example"])
def test_who_shows_a_valid_cookie_has_no_rate(name: str) -> None:
    at = desk(replace(LIMITED, cookie_secrets=(SECRET,)))
    (first,) = answers(at, with_cookie(), 1)
    proven = packet(name, Qtype.A, opt(options=option(10, bytes(DNSRecord.parse(first or b"").ar[0].rdata[0].data))))
    assert None not in answers(at, proven, 50)
    assert None in answers(at, with_cookie(), 50)


def test_a_limit_can_be_watched_before_it_is_enforced() -> None:
    at = desk(replace(LIMITED, rates=replace(LIMITED.rates, log_only=True)))
    assert len(set(answers(at, A_QUERY, 10))) == 1
    assert (dropped(at), happened(at)) == ({}, {"would_limit": 8})


@pytest.mark.parametrize("name", ["files.fs.corp.example", "no.fs.corp.example"])
def test_a_required_cookie_is_required_whatever_the_way(name: str) -> None:
    at = desk(replace(LOCAL, cookie_secrets=(SECRET,), cookie_required=True))
    data = packet(name, Qtype.A, opt(options=option(10, b"client c")))
    record = DNSRecord.parse(at.answer(data, HOME, Transport.UDP) or b"")
    assert (record.header.rcode, record.ar[0].edns_rcode) == (7, 1)
    assert happened(at) == {"bad_cookie": 1}


def test_a_truncated_answer_is_counted() -> None:
    at = desk(replace(LOCAL, amplification=2.0))
    assert DNSRecord.parse(at.answer(SOA_QUERY, HOME, Transport.UDP) or b"").header.tc == 1
    assert happened(at) == {"truncated": 1}
    trusting = desk(replace(LOCAL, amplification=2.0, trusted=LOCAL.allow_query))
    assert DNSRecord.parse(trusting.answer(SOA_QUERY, HOME, Transport.UDP) or b"").header.tc == 0


def test_a_packet_from_our_own_port_is_a_loop() -> None:
    at = Desk(Tally.create(), Order(1, (ZONE,), LOCAL), own=[("127.0.0.1", 53)])
    assert at.answer(A_QUERY, ("127.0.0.1", 53), Transport.UDP) is None
    assert dropped(at) == {"loop": 1}


# --- UDP


@pytest.fixture
def udp() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.socket(type=socket.SOCK_DGRAM) as ours, socket.socket(type=socket.SOCK_DGRAM) as theirs:
        for end in (ours, theirs):
            end.bind(("127.0.0.1", 0))
        ours.setblocking(False)
        theirs.settimeout(30)
        theirs.connect(ours.getsockname())
        yield ours, theirs


PORTS = pytest.mark.parametrize("kind", [UdpPort, BatchPort, WildcardPort])


@PORTS
def test_a_turn_ends_after_a_batch(udp: tuple[socket.socket, socket.socket], kind: type[UdpPort]) -> None:
    ours, theirs = udp
    port = kind(ours, desk())
    for _ in range(COUNT + 1):
        theirs.send(A_QUERY)
    assert [port.turn(), port.turn(), port.turn()] == [True, False, False]
    assert all(theirs.recv(512)[:2] == A_QUERY[:2] for _ in range(COUNT + 1))


@PORTS
def test_the_first_of_a_batch_is_timed(udp: tuple[socket.socket, socket.socket], kind: type[UdpPort]) -> None:
    ours, theirs = udp
    at = desk()
    for _ in range(3):
        theirs.send(A_QUERY)
    kind(ours, at).turn()
    assert sum(total([at.tally]).responses) == 1


def test_an_answer_that_cannot_be_sent_is_counted(udp: tuple[socket.socket, socket.socket]) -> None:
    at = desk()
    UdpPort(udp[0], at)._send(b"answer", ("127.0.0.1", 0))
    WildcardPort(udp[0], at)._send_from(b"answer", ("127.0.0.1", 0), [])
    assert dropped(at) == {"send": 2}


def test_a_batch_counts_what_cannot_be_sent(udp: tuple[socket.socket, socket.socket]) -> None:
    """To port 0: a guard would not have let it through."""
    ours, theirs = udp
    at = desk()
    port = BatchPort(ours, at)
    at.answer = lambda packet, *_: port._batch._names.write(b"\2\0\0\0") and packet  # type: ignore[method-assign]
    theirs.send(A_QUERY)
    port.turn()
    assert dropped(at) == {"send": 1}


def test_a_batch_without_anything_to_say_sends_nothing(udp: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = udp
    at = desk(Policy(()))
    theirs.send(A_QUERY)
    assert not BatchPort(ours, at).turn()
    assert dropped(at) == {"denied": 1}


@PORTS
def test_closing_answers_what_has_arrived(udp: tuple[socket.socket, socket.socket], kind: type[UdpPort]) -> None:
    ours, theirs = udp
    for _ in range(2 * COUNT):
        theirs.send(A_QUERY)
    kind(ours, desk()).close()
    assert ours.fileno() == -1
    assert len([theirs.recv(512) for _ in range(2 * COUNT)]) == 2 * COUNT


# --- TCP


@dataclass
class Tcp:
    """A TcpPort and its selector, turned by hand."""

    port: TcpPort
    desk: Desk
    selector: selectors.BaseSelector
    listener: socket.socket
    connect: Callable[[], socket.socket]

    def client(self) -> socket.socket:
        made = self.connect()
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

        def connect() -> socket.socket:
            made = stack.enter_context(socket.create_connection(listener.getsockname(), 30))
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
    first, second = tcp.port._connections
    assert first.source == trickler.getsockname()
    tcp.port.expire(first.deadline_s)
    assert closed(trickler)
    assert list(tcp.port._connections) == [second]


def narrow(tcp: Tcp) -> tuple[socket.socket, Connection]:
    """A client on a line that holds a few KB."""
    stream = tcp.client()
    (connection,) = tcp.port._connections
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
    assert not tcp.port._connections


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
    streams = [tcp.connect(), tcp.connect()]
    for stream in streams:
        stream.sendall(framed(A_QUERY))
    tcp.port.close(tcp.listener)
    tcp.port.finish()
    assert [stream.recv(512)[2:4] for stream in streams] == [A_QUERY[:2]] * 2


def test_nobody_waiting_is_no_error(tcp: Tcp) -> None:
    assert not tcp.port.accept(tcp.listener)
