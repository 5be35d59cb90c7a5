"""Real sockets. That a BatchPort answers as a UdpPort does is in test_worker.py."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from edge.dns import batch
from edge.dns.batch import COUNT, LAYOUT_KNOWN, SLOT_BYTES, Batch

pytestmark = pytest.mark.skipif(not LAYOUT_KNOWN, reason="the kernel's tables are known for 64-bit Linux")
Pair = tuple[socket.socket, socket.socket]


@pytest.fixture(params=["127.0.0.1", "::1"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Ours, and an asker that is connected to it."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with ExitStack() as stack:
        ours, theirs = (stack.enter_context(socket.socket(family, socket.SOCK_DGRAM)) for _ in range(2))
        for end in (ours, theirs):
            end.bind((request.param, 0))
        ours.setblocking(False)
        theirs.settimeout(30)
        theirs.connect(ours.getsockname())
        yield ours, theirs


def sent(theirs: socket.socket, count: int) -> list[bytes]:
    packets = [b"packet %d" % number for number in range(count)]
    for packet in packets:
        theirs.send(packet)
    return packets


def test_packets_come_in_their_order_with_their_source(pair: Pair) -> None:
    ours, theirs = pair
    packets, many = sent(theirs, COUNT + 1), Batch(ours)
    source = theirs.getsockname()[:2]
    assert list(many.receive()) == [(packet, source, number) for number, packet in enumerate(packets[:-1])]
    assert list(many.receive()) == [(packets[-1], source, 0)]
    assert list(many.receive()) == []


def test_everybody_gets_his_own_answer_and_some_get_none(pair: Pair) -> None:
    ours, theirs = pair
    many = Batch(ours)
    with socket.socket(ours.family, socket.SOCK_DGRAM) as other:
        other.connect(ours.getsockname())
        other.settimeout(30)
        for _ in range(2):
            for asker, word in ((theirs, b"dropped"), (theirs, b"theirs"), (other, b"a longer word of others")):
                asker.send(word)
            for packet, _, number in list(many.receive()):
                if packet != b"dropped":
                    many.reply(packet.upper(), number)
            assert many.send() == 0
            assert (theirs.recv(512), other.recv(512)) == (b"THEIRS", b"A LONGER WORD OF OTHERS")


def test_what_does_not_fit_its_slot_is_cut(pair: Pair) -> None:
    ours, theirs = pair
    theirs.send(bytes(SLOT_BYTES + 1))
    theirs.send(b"next")
    assert [len(packet) for packet, _, _ in Batch(ours).receive()] == [SLOT_BYTES, 4]


def test_one_that_cannot_be_sent_does_not_stop_the_others(pair: Pair) -> None:
    """Nothing can be sent to port 0, which is written over the first and the last source's port."""
    ours, theirs = pair
    sent(theirs, 4)
    many = Batch(ours)
    for packet, _, number in many.receive():
        many.reply(packet, number)
    for number in (0, 3):
        many._names[number * batch.NAME_BYTES + 2 : number * batch.NAME_BYTES + 4] = b"\0\0"
    assert many.send() == 2
    assert (theirs.recv(512), theirs.recv(512)) == (b"packet 1", b"packet 2")


def test_the_remembered_addresses_are_bounded(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "HOSTS", 1)
    ours, theirs = pair
    many = Batch(ours)
    many._hosts[b"somebody"] = "somebody"
    sent(theirs, 1)
    assert [host for _, (host, _), _ in many.receive()] == [theirs.getsockname()[0]]
    assert b"somebody" not in many._hosts
