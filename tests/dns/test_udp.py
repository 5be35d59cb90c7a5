"""The UDP ports of a worker in this process, on real sockets."""

import socket
from collections.abc import Iterator

import pytest

from edge.dns.batch import COUNT
from edge.dns.counters import total
from edge.dns.guard import Policy
from edge.dns.udp import BatchPort, UdpPort, WildcardPort
from tests.dns.desks import A_QUERY, desk, dropped


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
