"""What must hold for a worker's UDP port, whatever arrives: it answers as the desk behind it would, and counts so."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from edge.dns.counters import Counters, Tally, total
from edge.dns.desk import Desk
from edge.dns.message import Transport
from edge.dns.orders import Order
from edge.dns.udp import udp_port
from tests.conformance.asker import expect
from tests.fuzz.target import KINDS, Kind

HOST = "127.0.0.1"
BATCH = 64  # answers and questions of so many fit a receive buffer of the usual size
PACKET_MAX_BYTES = 65535


class PortTarget:
    """A port on loopback, and a desk with the same order that is asked the same."""

    def __init__(self, kind: Kind = KINDS[0]) -> None:
        order = Order(1, kind.zones, kind.policy)
        self._desk, self._like = (Desk(Tally.create(), order) for _ in range(2))
        self._port = udp_port(_socket(), self._desk)
        self._asker = _socket()
        self._asker.connect(self._port.socket.getsockname())

    def batch(self, packets: Sequence[bytes]) -> None:
        """At most `BATCH` of them."""
        told, wanted = list(self._asked(packets)), self._desk_says(packets)
        if told != wanted:  # a cookie holds the minute: perhaps they had not yet the same
            told, wanted = list(self._asked(packets)), self._desk_says(packets)
        expect(told, wanted, "answers")
        expect(_counted(self._desk), _counted(self._like), "counted")

    def close(self) -> None:
        self._port.close()
        self._asker.close()

    def _asked(self, packets: Sequence[bytes]) -> Iterator[str]:
        for packet in packets:
            self._asker.send(packet)
        while self._port.turn():
            pass
        with suppress(BlockingIOError):
            while True:
                yield self._asker.recv(PACKET_MAX_BYTES).hex()

    def _desk_says(self, packets: Sequence[bytes]) -> list[str]:
        self._like.look_at_clock()
        source = self._asker.getsockname()
        wires = (self._like.answer(packet, source, Transport.UDP) for packet in packets)
        return [wire.hex() for wire in wires if wire is not None]


def _socket() -> socket.socket:
    found = socket.socket(type=socket.SOCK_DGRAM)
    found.bind((HOST, 0))
    found.setblocking(False)
    return found


def _counted(desk: Desk) -> Counters:
    """But for times."""
    return replace(total([desk.tally]), responses=(), response_s=0.0, zone_swapped_ns=0)
