"""What must hold for any bytes that arrive, over UDP and as a TCP stream.

no exception; no answer to a response; the asker's id, and QR set; an answer that a strict reader accepts
never larger than the protocol allows; the ready way and the careful way say the same
a stream's answers are those of its packets, in their order, however it is cut
"""

import socket
from collections.abc import Iterable
from contextlib import suppress
from itertools import pairwise

from edge.dns.counters import Tally
from edge.dns.desk import Desk
from edge.dns.guard import Policy
from edge.dns.message import Transport
from edge.dns.orders import Order
from edge.dns.rates import Rates
from edge.dns.tcp import Connection
from tests.conformance.asker import expect, require
from tests.conformance.wire import BrokenError, Message, read
from tests.conformance.zone import ZONE

SOURCE = ("192.0.2.7", 5353)
SECRET = "e5e973e5a6b2a43f48e7dc849e37bfcf"  # RFC 9018 appendix A
HEADER_BYTES = 12
PLAIN_BYTES = 512
EDNS_BYTES = 1232
LAST_TURNS = 200
OPT_TYPE = b"\0\x29"


class Target:
    """Two desks with the same order; one has lost its ready answers, and so does everything carefully."""

    def __init__(self, amplification: float = 10.0) -> None:
        policy = Policy(
            ("0.0.0.0/0",),
            cookie_secrets=(SECRET,),
            identity="fuzz",
            version="1",
            amplification=amplification,
            rates=Rates(unprepared_per_s=0.0),
        )
        order = Order(1, (ZONE,), policy)
        self._ready, self._careful = (Desk(Tally.create(), order) for _ in range(2))
        self._careful._table = {}
        self._stop_clock()

    def packet(self, packet: bytes) -> None:
        for transport in Transport:
            wire = self._both(packet, transport)
            if wire is None:
                require(_may_be_silent(packet), "no answer")
            else:
                _check(packet, wire, transport)

    def stream(self, packets: Iterable[bytes], cuts: Iterable[int]) -> None:
        """`packets` framed one behind the other, and sent in pieces that end at `cuts`."""
        whole = b"".join(len(packet).to_bytes(2) + packet for packet in packets)
        answers = (self._ready.answer(packet, SOURCE, Transport.TCP) for packet in packets)
        wanted = b"".join(len(wire).to_bytes(2) + wire for wire in answers if wire is not None)
        expect(self._converse(whole, sorted({0, *cuts, len(whole)})).hex(), wanted.hex(), "stream")

    def _both(self, packet: bytes, transport: Transport) -> bytes | None:
        ready, careful = (desk.answer(packet, SOURCE, transport) for desk in (self._ready, self._careful))
        require(not self._ready._told and not self._careful._told, "an exception; see stderr")
        require(ready == careful, f"ready {ready and ready.hex()}, careful {careful and careful.hex()}")
        return ready

    def _converse(self, whole: bytes, ends: list[int]) -> bytes:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            theirs.setblocking(False)
            connection, told = Connection(ours, SOURCE), b""
            for start, end in pairwise(ends):
                theirs.sendall(whole[start:end])
                told += self._turn(connection, theirs)
            theirs.shutdown(socket.SHUT_WR)
            for _ in range(LAST_TURNS):
                told += self._turn(connection, theirs)
            require(connection.ended, "the connection does not end")
        return told

    def _turn(self, connection: Connection, theirs: socket.socket) -> bytes:
        connection.turn(self._ready)
        with suppress(BlockingIOError):
            return theirs.recv(1 << 20)
        return b""

    def _stop_clock(self) -> None:
        """Cookies hold the time; both desks, and a stream told twice, are to have the same."""
        self._careful._now_s, self._careful._minute = self._ready._now_s, self._ready._minute
        for desk in (self._ready, self._careful):
            desk.look_at_clock = lambda: None  # type: ignore[method-assign]


def _may_be_silent(packet: bytes) -> bool:
    return len(packet) < HEADER_BYTES or bool(packet[2] & 0x80)


def _check(packet: bytes, wire: bytes, transport: Transport) -> None:
    require(not _may_be_silent(packet), "an answer to a response, or to no packet")
    message = _readable(wire)
    expect(message.ident, int.from_bytes(packet[:2]), "id")
    require(message.flags & 0x8000, "QR is clear")
    expect(message.opcode, packet[2] >> 3 & 0xF, "opcode")
    if transport is Transport.UDP:
        require(len(wire) <= _limit(packet), f"{len(wire)} bytes")
    expect(message.question, packet[HEADER_BYTES : HEADER_BYTES + len(message.question)], "question")


def _limit(packet: bytes) -> int:
    """Loose: a packet with these bytes may have an OPT, one without them has none."""
    return EDNS_BYTES if OPT_TYPE in packet else PLAIN_BYTES


def _readable(wire: bytes) -> Message:
    try:
        return read(wire)
    except BrokenError as error:
        raise BrokenError(f"{wire.hex()}: {error}") from error
