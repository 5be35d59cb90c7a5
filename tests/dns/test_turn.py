"""The native turn alone: what it is given is looked at, and it keeps nothing. What it answers is in test_udp.py."""

import gc
import shutil
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from edge.dns import udp
from edge.dns.answer import lookup
from edge.dns.desk import ASK, FIRST, READY
from edge.dns.guard import Policy
from tests.dns.desks import A_QUERY, desk

_turn = pytest.importorskip("edge.dns._turn", reason="the native module was not built")
SOURCE = Path(udp.__file__).with_name("_turn.c")
HOST = bytes((127, 0, 0, 1))
NO_PORT = bytes(65536)
ANSWER = b"the answer of somebody else"
MANY = 100_000
BACKLOG = 200  # a receive buffer of Linux' default size has room for some more
SLACK_KIB = 2_048


class Side:
    """A port and who asks it, `answer` being Python's side; `counters` and `hosts` are this test's own."""

    def __init__(self, ours: socket.socket, theirs: socket.socket) -> None:
        self.ours, self.theirs = ours, theirs
        self.counters = memoryview(bytearray(8 * 4)).cast("Q")
        self.port = _turn.Port(ours.fileno(), self.counters)
        self.hosts: Any = {HOST: READY}
        self.table: Any = {}
        self.asked: list[object] = []

    def answer(self, packet: bytes, source: tuple[str, int]) -> Any:
        self.asked.append((packet, source))
        return ANSWER

    def turn(self, *packets: bytes) -> list[bytes]:
        """What is answered, to who asks in turn."""
        for packet in packets:
            self.theirs.send(packet)
        taken, unsent, more = self.port.turn(self.table, self.hosts, NO_PORT, self.answer)
        assert (taken, unsent, more) == (len(packets), 0, False)
        return list(self.replies())

    def replies(self) -> Iterator[bytes]:
        """On loopback they lie there when the call that sends them returns; a last word makes sure."""
        self.ours.sendto(b"last", self.theirs.getsockname())
        yield from iter(lambda: self.theirs.recv(4096), b"last")


@pytest.fixture
def side() -> Iterator[Side]:
    with socket.socket(type=socket.SOCK_DGRAM) as ours, socket.socket(type=socket.SOCK_DGRAM) as theirs:
        ours.bind(("127.0.0.1", 0))
        theirs.connect(ours.getsockname())
        theirs.settimeout(30)
        yield Side(ours, theirs)


def ready(**changes: object) -> tuple[object, ...]:
    found = lookup(desk().shortcuts[0], A_QUERY)
    assert found is not None
    return tuple({**found._asdict(), "slot": 1, **changes}.values())


def test_both_sides_mean_the_same_by_a_batch() -> None:
    assert _turn.COUNT == udp.COUNT


def test_a_ready_answer_is_counted_in_its_slot_and_python_is_not_asked(side: Side) -> None:
    side.table = {A_QUERY[4:].lower(): ready()}
    found = lookup(desk().shortcuts[0], A_QUERY)
    assert found is not None
    assert side.turn(A_QUERY, A_QUERY) == [found.answer(A_QUERY)] * 2
    assert (side.asked, list(side.counters)) == ([], [0, 2, 0, 0])


def test_a_name_in_any_case_has_its_ready_answer(side: Side) -> None:
    side.table = {A_QUERY[4:].lower(): ready()}
    shouted = A_QUERY[:12] + A_QUERY[12:].upper()
    assert [wire[: len(shouted)][12:] for wire in side.turn(shouted)] == [shouted[12:]]
    assert side.asked == []


def test_python_is_asked_for_what_is_not_ready(side: Side) -> None:
    assert side.turn(A_QUERY) == [ANSWER]
    assert side.asked == [(A_QUERY, side.theirs.getsockname())]


@pytest.mark.parametrize("flags", [0x80, 0x78, 0x04, 0x02])
def test_python_is_asked_for_what_is_no_plain_query(side: Side, flags: int) -> None:
    side.table = {A_QUERY[4:].lower(): ready()}
    assert side.turn(A_QUERY[:2] + bytes([flags]) + A_QUERY[3:]) == [ANSWER]


def test_python_is_asked_where_the_source_port_is_doubtful(side: Side) -> None:
    side.table = {A_QUERY[4:].lower(): ready()}
    side.theirs.send(A_QUERY)
    port = side.theirs.getsockname()[1]
    ports = bytes(port) + b"\1" + bytes(65535 - port)
    assert side.port.turn(side.table, side.hosts, ports, side.answer) == (1, 0, False)
    assert list(side.replies()) == [ANSWER]


@pytest.mark.parametrize(("said", "told"), [(2, []), (-1, [ANSWER]), (-99, [ANSWER]), (4, []), (2**40, [])])
def test_a_word_of_hosts_drops_or_asks_and_counts_nowhere_else(side: Side, said: int, told: list[bytes]) -> None:
    side.hosts = {HOST: said}
    assert side.turn(A_QUERY) == told
    assert list(side.counters) == [0, 0, said == 2, 0]


@pytest.mark.parametrize("changes", [
    {"heads": ()}, {"heads": (b"short", b"short")}, {"heads": 1}, {"heads": (1, 1)}, {"tail": "text"},
    {"question_end": 11}, {"question_end": -1}, {"question_end": 2**40}, {"question_end": len(A_QUERY) + 1},
    {"tail": bytes(5000)},
])  # fmt: skip
def test_a_ready_answer_that_is_none_is_not_used(side: Side, changes: dict[str, object]) -> None:
    side.table = {A_QUERY[4:].lower(): ready(**changes)}
    assert side.turn(A_QUERY) == [ANSWER]


@pytest.mark.parametrize("odd", [1, (), (1, 2, 3)])
def test_a_table_of_something_else_is_not_used(side: Side, odd: object) -> None:
    side.table = {A_QUERY[4:].lower(): odd}
    assert side.turn(A_QUERY) == [ANSWER]


@pytest.mark.parametrize("slot", [-1, 4, 2**40])
def test_a_slot_that_is_not_there_is_not_written(side: Side, slot: int) -> None:
    side.table = {A_QUERY[4:].lower(): ready(slot=slot)}
    assert len(side.turn(A_QUERY)) == 1
    assert not any(side.counters)


class Failing(dict[bytes, object]):
    def __missing__(self, key: bytes) -> object:
        raise ValueError("no word")


@pytest.mark.parametrize(("attribute", "value"), [
    ("hosts", Failing()), ("hosts", {}), ("hosts", {HOST: "text"}), ("hosts", {HOST: 2**80}),
])  # fmt: skip
def test_without_a_word_nobody_is_answered_and_it_is_told(
    side: Side, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, attribute: str, value: object
) -> None:
    told: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    setattr(side, attribute, value)
    assert side.turn(A_QUERY, A_QUERY) == []
    assert (len(told), side.asked) == (2, [])


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_costs_one_answer(side: Side, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]) -> None:
    def answer(packet: bytes, source: object) -> bytes:
        if packet == b"bad":
            raise error
        return packet

    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: told.append(unraisable.exc_type))
    side.answer = answer  # type: ignore[method-assign,assignment]
    assert side.turn(b"one", b"bad", b"two", b"bad") == [b"one", b"two"]
    assert told == [error, error]


def test_a_turn_within_a_turn_is_refused_and_the_outer_one_goes_on(side: Side) -> None:
    refused: list[str] = []

    def answer(packet: bytes, _: object) -> bytes:
        with pytest.raises(RuntimeError) as caught:
            side.port.turn({}, side.hosts, NO_PORT, answer)
        refused.append(str(caught.value))
        return packet

    side.answer = answer  # type: ignore[method-assign,assignment]
    assert [side.turn(b"one", b"two"), side.turn(b"three")] == [[b"one", b"two"], [b"three"]]
    assert refused == ["a turn within a turn of the same port"] * 3


FORWARDER = bytes((127, 0, 0, 2))


@pytest.fixture
def forwarder(side: Side) -> Iterator[socket.socket]:
    with socket.socket(type=socket.SOCK_DGRAM) as asking:
        asking.bind((socket.inet_ntoa(FORWARDER), 0))
        asking.connect(side.ours.getsockname())
        asking.settimeout(30)
        side.hosts[FORWARDER] = FIRST
        yield asking


@pytest.mark.parametrize("stranger", [READY, ASK])
def test_a_trusted_forwarder_is_answered_before_those_who_came_first(
    side: Side, forwarder: socket.socket, stranger: int
) -> None:
    side.hosts[HOST] = stranger
    side.answer = lambda packet, source: order.append(source[1]) or packet  # type: ignore[method-assign,assignment]
    order: list[int] = []
    for asking in (side.theirs, side.theirs, forwarder, side.theirs, forwarder):
        asking.send(b"not ready")
    assert side.port.turn({}, side.hosts, NO_PORT, side.answer) == (5, 0, False)
    theirs, trusted = side.theirs.getsockname()[1], forwarder.getsockname()[1]
    assert order == [trusted] * 2 + [theirs] * 3


def test_a_trusted_forwarder_who_comes_later_waits_for_a_bite_of_a_flood_only(
    side: Side, forwarder: socket.socket
) -> None:
    order: list[bytes] = []

    def answer(packet: bytes, _: object) -> None:
        order.append(packet)
        if len(order) == 2:
            forwarder.send(b"trusted")

    flood = [b"flood %d" % number for number in range(60)]
    for packet in flood:
        side.theirs.send(packet)
    while side.port.turn({}, {**side.hosts, HOST: ASK}, NO_PORT, answer)[2]:
        pass
    assert order.index(b"trusted") <= 15
    assert [packet for packet in order if packet != b"trusted"] == flood


def test_a_turn_ends_with_others_waiting_and_the_next_goes_on(side: Side) -> None:
    count = 3 * _turn.COUNT
    for number in range(count):
        side.theirs.send(b"%d" % number)
    turns = [side.port.turn({}, side.hosts, NO_PORT, side.answer)]
    while turns[-1][2]:
        turns.append(side.port.turn({}, side.hosts, NO_PORT, side.answer))
    assert len(turns) > 3
    assert sum(taken for taken, _, _ in turns) == count
    assert [packet for packet, _ in side.asked] == [b"%d" % number for number in range(count)]


def test_the_queue_has_room_for_whatever_arrives(side: Side) -> None:
    """As many come as are decided, and more than a drain takes: so the queue gets as long as it can."""
    order: list[int] = []

    def send(number: int) -> None:
        side.theirs.send(b"%d" % number)

    def answer(packet: bytes, _: object) -> None:
        order.append(int(packet))
        if (number := len(order) + BACKLOG) <= MANY // 20:
            send(number - 1)

    for number in range(BACKLOG):
        send(number)
    while side.port.turn({}, side.hosts, NO_PORT, answer)[2]:
        pass
    assert order == list(range(MANY // 20))


@pytest.mark.parametrize("odd", [None, "text", 1, b"", bytearray(b"x")])
def test_what_is_no_answer_is_not_sent(side: Side, odd: object) -> None:
    side.answer = lambda *_: odd  # type: ignore[method-assign]
    assert side.turn(A_QUERY, A_QUERY) == []


@pytest.mark.parametrize("terms", [
    (1, {}, NO_PORT, print), ({}, 1, NO_PORT, print), ({}, {}, NO_PORT[1:], print), ({}, {}, "text", print), (),
])  # fmt: skip
def test_terms_that_are_none_are_refused(side: Side, terms: tuple[Any, ...]) -> None:
    with pytest.raises((TypeError, ValueError)):
        side.port.turn(*terms)


@pytest.mark.parametrize("arguments", [(), (1,), ("text", memoryview(b"")), (1, b"read-only")])
def test_a_port_needs_a_descriptor_and_counters(arguments: tuple[Any, ...]) -> None:
    with pytest.raises((TypeError, BufferError)):
        _turn.Port(*arguments)


def test_a_closed_socket_receives_nothing(side: Side) -> None:
    side.ours.close()
    assert side.port.turn({}, {}, NO_PORT, print) == (0, 0, False)


def test_no_reference_is_kept(side: Side) -> None:
    """All that a turn is given, and the answers that it asked for, whatever way they went."""
    answer = ready()
    side.table = {A_QUERY[4:].lower(): answer}
    things = [answer, *answer, side.table, side.hosts, NO_PORT, ANSWER, HOST, READY]
    side.turn(A_QUERY, b"not ready")  # what is made once is made now
    before = [sys.getrefcount(thing) for thing in things]
    for _ in range(50):
        side.turn(A_QUERY, b"not ready", b"", A_QUERY.upper())
        side.asked.clear()
    assert [sys.getrefcount(thing) for thing in things] == before


def test_a_port_lets_its_counters_go() -> None:
    counters = bytearray(32)
    port = _turn.Port(0, counters)
    with pytest.raises(BufferError):
        counters.append(0)
    del port
    gc.collect()
    counters.append(0)


def test_memory_does_not_grow(side: Side) -> None:
    """Over ready answers, others, and packets that get none."""
    at = desk(Policy(("127.0.0.0/8",)))
    packets = [A_QUERY, A_QUERY.upper(), A_QUERY[:20], b"", A_QUERY + b"\0"] * 8
    port = udp.NativePort(side.ours, at)
    side.theirs.setblocking(False)
    start_kib = 0
    for number in range(MANY // len(packets)):
        for packet in packets:
            side.theirs.send(packet)
        port.turn()
        drain(side.theirs)
        start_kib = resident_kib() if number == 50 else start_kib
    assert resident_kib() < start_kib + SLACK_KIB


def drain(asker: socket.socket) -> None:
    with suppress(BlockingIOError):
        while asker.recv(4096):
            pass


def resident_kib() -> int:
    return int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0])


def test_it_compiles_without_a_warning(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if not compiler:
        pytest.skip("no C compiler")
    include = sysconfig.get_paths()["include"]
    strict = ["-std=gnu11", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-O2"]
    # Python's own headers are not held to it.
    command = [compiler, *strict, "-isystem", include, "-c", str(SOURCE), "-o", str(tmp_path / "turn.o")]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
