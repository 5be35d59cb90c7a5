"""The UDP ports of a worker: the native one, and for where that was not built, two in Python."""

import socket
from functools import partial
from time import perf_counter_ns

from edge.dns.desk import UDP, Desk, Source
from edge.dns.message import Drop
from edge.dns.wildcard import ANCILLARY_BYTES, Ancillary, is_wildcard, origin

try:
    from edge.dns import _turn

    NATIVE = True
except ImportError:
    NATIVE = False

COUNT = 64  # from one socket before the others get their turn; as in _turn.c
LAST_TURNS = 100  # more than a full receive buffer holds
PACKET_MAX_BYTES = 65535  # RFC 768


class UdpPort:
    """`behind`: it holds packets that no look at the socket would tell of."""

    behind = False

    def __init__(self, port: socket.socket, desk: Desk) -> None:
        self.socket = port
        self._desk = desk

    def turn(self) -> bool:
        """Answers a batch and times its first packet. True while there may be more."""
        started_ns = perf_counter_ns()
        self._desk.look_at_clock()
        if not self._one():
            return False
        self._desk.tally.took(perf_counter_ns() - started_ns)
        return all(self._one() for _ in range(COUNT - 1))

    def let_go(self) -> None:
        """Answers what it holds: the next who reads this socket can't. A flood may not keep us from ending."""
        for _ in range(LAST_TURNS):
            if not self.behind:
                break
            self.turn()

    def close(self) -> None:
        """First answers what has arrived; a flood may not keep us from closing."""
        for _ in range(LAST_TURNS):
            if not self.turn():
                break
        self.socket.close()

    def _one(self) -> bool:
        try:
            packet, source = self.socket.recvfrom(PACKET_MAX_BYTES)
        except OSError:  # nothing there, as a rule BlockingIOError
            return False
        wire = self._desk.answer(packet, source, transport=UDP)
        if wire is not None:
            self._send(wire, source)
        return True

    def _send(self, wire: bytes, source: Source) -> None:
        try:
            self.socket.sendto(wire, source)
        except OSError:  # no room or no route: the asker asks again
            self._desk.tally.dropped(Drop.SEND)


class WildcardPort(UdpPort):
    """Bound to all addresses, and so dearer: the kernel has to be asked where each packet was sent to."""

    def _one(self) -> bool:
        try:
            packet, received, _, source = self.socket.recvmsg(PACKET_MAX_BYTES, ANCILLARY_BYTES)
        except OSError:
            return False
        wire = self._desk.answer(packet, source, transport=UDP)
        if wire is not None:
            self._send_from(wire, source, origin(received))
        return True

    def _send_from(self, wire: bytes, source: Source, where: list[Ancillary]) -> None:
        try:
            self.socket.sendmsg([wire], where, 0, source)
        except OSError:
            self._desk.tally.dropped(Drop.SEND)


class NativePort(UdpPort):
    """Many packets a system call, trusted forwarders first, no Python where the answer is ready; for wildcards too."""

    def __init__(self, port: socket.socket, desk: Desk) -> None:
        super().__init__(port, desk)
        self._native = _turn.Port(port.fileno(), desk.tally.slots)
        self._answer = partial(desk.answer, transport=UDP)

    def turn(self) -> bool:
        """Times the batch: its first packet waits for the last one's answer."""
        started_ns, desk = perf_counter_ns(), self._desk
        desk.look_at_clock()
        received, unsent, self.behind = self._native.turn(*desk.shortcuts, self._answer)
        for _ in range(unsent):
            desk.tally.dropped(Drop.SEND)
        if received:
            desk.tally.took(perf_counter_ns() - started_ns)
        return self.behind


def udp_port(port: socket.socket, desk: Desk) -> UdpPort:
    if NATIVE:
        return NativePort(port, desk)
    return WildcardPort(port, desk) if is_wildcard(port.getsockname()[0]) else UdpPort(port, desk)
