"""What must hold for any bytes that arrive, over UDP and as a TCP stream.

no exception; no answer to a response; the asker's id, and QR set; an answer that a strict reader accepts
never larger than the protocol allows; the ready way and the careful way say the same
a stream's answers are those of its packets, in their order, however it is cut
"""

import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

from edge.dns.answer import Answer
from edge.dns.counters import Tally, total
from edge.dns.desk import Desk, Source
from edge.dns.guard import Deny, Policy, Verdict
from edge.dns.message import Drop, Transport
from edge.dns.orders import Order
from edge.dns.rates import Rates
from edge.dns.tcp import Connection
from edge.dns.zone import Zone
from tests.conformance.asker import expect, require
from tests.conformance.wire import BrokenError, Message, read
from tests.conformance.zone import ZONE, ZONES

SECRET = "e5e973e5a6b2a43f48e7dc849e37bfcf"  # RFC 9018 appendix A
HEADER_BYTES = 12
PLAIN_BYTES = 512
EDNS_BYTES = 1232
LAST_TURNS = 200
OPT_TYPE = b"\0\x29"
SOURCES: tuple[Source, ...] = (("192.0.2.7", 5353), ("2001:db8::7", 5353), ("198.51.100.9", 53), ("192.0.2.8", 7))
READ_MAX = 500

# Without a budget for what is answered carefully, in which one of the desks answers everything.
FREE = Rates(unprepared_per_s=0.0)
OPEN = Policy(("0.0.0.0/0", "::/0"), cookie_secrets=(SECRET,), identity="fuzz", version="1", rates=FREE)
UNLIMITED = replace(OPEN, amplification=1_000.0)  # which would hide what the other limits do
# One token for each network and thing told, and none comes back: so the moment of a question means nothing.
LIMITED = replace(OPEN, rates=replace(FREE, per_s=1e-9), cookie_required=True)
BARE = Policy(("192.0.2.0/24", "127.0.0.0/8"), Deny.REFUSE, trusted=("192.0.2.0/25", "127.0.0.0/8"), rates=FREE)


@dataclass(frozen=True, slots=True)
class Kind:
    """What a worker is told, and whether it may keep silent for other reasons than the packet."""

    zones: tuple[Zone, ...]
    policy: Policy
    silent: bool = False


KINDS = (Kind((ZONE,), OPEN), Kind(ZONES, UNLIMITED), Kind(ZONES, LIMITED, silent=True), Kind((ZONE,), BARE))


class _Noticing(Desk):
    """Knows whether the last answer was made carefully. Another desk's careful answer would only repeat that."""

    careful = False

    def _unready(self, packet: bytes, host: str, transport: Transport, verdict: Verdict) -> bytes | None:
        self.careful = True
        return super()._unready(packet, host, transport, verdict)


class _Careful(Desk):
    """Has no ready answers, and gets none."""

    def follow(self, order: Order) -> None:
        super().follow(order)
        self._table = {}

    def _learn(self, reply: Answer) -> None: ...


class Target:
    """Two desks with the same order; one does everything carefully."""

    def __init__(self, kind: Kind = KINDS[0]) -> None:
        order = Order(1, kind.zones, kind.policy)
        self._kind = kind
        self._ready, self._careful = _Noticing(Tally.create(), order), _Careful(Tally.create(), order)

    def packet(self, packet: bytes, source: Source = SOURCES[0], transport: Transport = Transport.UDP) -> None:
        wire = self._both(packet, source, transport)
        if wire is None:
            require(self._kind.silent or _may_be_silent(packet, source), "no answer, or an exception: see stderr")
        else:
            _check(packet, wire, transport)

    def stream(self, packets: Sequence[bytes], cuts: Sequence[int]) -> None:
        """`packets` framed one behind the other, and sent in pieces that end at `cuts`."""
        whole = _framed(packets)
        ends = sorted({0, *cuts, len(whole)})
        told, wanted = self._converse(whole, ends), self._desk_says(packets)
        if told != wanted:  # as in `_compare`
            told, wanted = self._converse(whole, ends), self._desk_says(packets)
        expect(told.hex(), wanted.hex(), "stream")

    def finish(self) -> None:
        """What a desk hides from its askers."""
        for desk in (self._ready, self._careful):
            expect(total([desk.tally]).dropped[Drop.INTERNAL.value], 0, "exceptions, see stderr:")

    def _both(self, packet: bytes, source: Source, transport: Transport) -> bytes | None:
        self._ready.careful = False
        ready = self._ready.answer(packet, source, transport)
        if self._kind.silent or not self._ready.careful:
            self._compare(packet, source, transport, ready)
        return ready

    def _compare(self, packet: bytes, source: Source, transport: Transport, ready: bytes | None) -> None:
        careful = self._careful.answer(packet, source, transport)
        if ready != careful:  # a cookie holds the minute: perhaps they have not yet the same
            self._look_at_clock()
            ready, careful = (desk.answer(packet, source, transport) for desk in (self._ready, self._careful))
        require(ready == careful, f"ready {ready and ready.hex()}, careful {careful and careful.hex()}")

    def _look_at_clock(self) -> None:
        for desk in (self._ready, self._careful):
            desk.look_at_clock()

    def _desk_says(self, packets: Sequence[bytes]) -> bytes:
        wires = (self._ready.answer(packet, SOURCES[0], Transport.TCP) for packet in packets)
        return _framed([wire for wire in wires if wire is not None])

    def _converse(self, whole: bytes, ends: list[int]) -> bytes:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            theirs.setblocking(False)
            connection, told = Connection(ours, SOURCES[0]), b""
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


def _framed(messages: Sequence[bytes]) -> bytes:
    return b"".join(len(message).to_bytes(2) + message for message in messages)


def _may_be_silent(packet: bytes, source: Source) -> bool:
    """Port 7 answers whatever comes (RFC 862)."""
    return len(packet) < HEADER_BYTES or bool(packet[2] & 0x80) or source[1] == 7


def _check(packet: bytes, wire: bytes, transport: Transport) -> None:
    require(not _may_be_silent(packet, SOURCES[0]), "an answer to a response, or to no packet")
    message = _read(wire[2:])
    expect(wire[:2], packet[:2], "id")
    require(message.flags & 0x8000, "QR is clear")
    expect(message.opcode, packet[2] >> 3 & 0xF, "opcode")
    if transport is Transport.UDP:
        require(len(wire) <= _limit(packet), f"{len(wire)} bytes")
    expect(message.question, packet[HEADER_BYTES : HEADER_BYTES + len(message.question)], "question")


def _limit(packet: bytes) -> int:
    """Loose: a packet with these bytes may have an OPT, one without them has none."""
    return EDNS_BYTES if OPT_TYPE in packet else PLAIN_BYTES


@lru_cache(READ_MAX)
def _read(behind_the_id: bytes) -> Message:
    """The same answer is read once."""
    try:
        return read(b"\0\0" + behind_the_id)
    except BrokenError as error:
        raise BrokenError(f"{behind_the_id.hex()}: {error}") from error
