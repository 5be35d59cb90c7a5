"""The process that owns the port: `python -m edge.dns.worker LEGACY`, started by `edge.dns.server` and by nothing else.

It has no credentials and no event loop, only one thread that turns packets into answers:

    channel readable   a new order: prepared in bites while packets are answered from the one before, swapped whole
                       between two packets, then acknowledged
    UDP readable       a batch of packets, each answered at once
    TCP readable       a small bite of one connection: nobody's stream holds up the UDP port or a neighbour

A NOTIFY of another agent is passed on to the controller, several within RING_S as one.

When the controller is gone (EOF on the channel) it goes on answering what it knew, until a newer generation of workers
has taken over (`edge.dns.roll`). Then it empties its sockets and ends; those that others read too it leaves to them.
"""

import gc
import os
import selectors
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from time import monotonic

from edge.dns.bites import emptying
from edge.dns.cage import enter
from edge.dns.counters import Tally
from edge.dns.desk import Desk
from edge.dns.orders import NOTIFIED, ORDER_MAX_BYTES, OTHER_VERSION, Legacy, Order
from edge.dns.roll import Place
from edge.dns.tcp import TcpPort
from edge.dns.udp import udp_port
from edge.errors import RefusedError

ORPHAN_LOOKS_S = 0.05
RING_S = 0.05  # source addresses can be forged: a flood of NOTIFY is worth twenty words a second
DONE = object()
NICE = -10  # ahead of what else runs here; with `LimitNICE=` or as root, else as it comes. See edge.dns.urgency
LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # where a socket that is bound to all addresses finds itself


class Worker:
    def __init__(self, legacy: Legacy, channel: socket.socket, order: Order) -> None:
        self._place = Place(legacy.roll, legacy.generation)
        udp = [socket.socket(fileno=fd) for fd in legacy.udp]
        self._desk = Desk(Tally(legacy.counters), order, [port.getsockname()[:2] for port in udp])
        self._selector = selectors.DefaultSelector()
        self._channel = channel
        self._orphaned = False
        self._newest = b""
        self._ring_at_s = 0.0
        self._bites: Iterator[None] | None = None
        self._udp = [udp_port(port, self._desk) for port in udp]
        self._listeners = [socket.socket(fileno=fd) for fd in legacy.tcp]
        self._tcp = TcpPort(self._selector, self._desk)
        self._shared = legacy.shared
        self._order = order

    def run(self) -> None:
        self._watch_all()
        self._desk.tally.caged(enter())
        self._acknowledge(self._order)
        gc.freeze()  # what is loaded stays: to look it over for garbage takes Python milliseconds
        while not (self._orphaned and self._place.retired()):
            for key, _ in self._selector.select(self._patience_s()):
                key.data()
            for port in self._udp:
                if port.behind:
                    port.turn()
            self._nibble()
            self._ring()
            self._tcp.expire(monotonic())
        self._leave()

    def _watch_all(self) -> None:
        self._watch(self._channel, self._obey)
        for port in self._udp:
            self._watch(port.socket, port.turn)
        for listener in self._listeners:
            self._watch(listener, partial(self._tcp.turn, listener))

    def _watch(self, watched: socket.socket, turn: Callable[[], object]) -> None:
        watched.setblocking(False)
        self._selector.register(watched, selectors.EVENT_READ, turn)

    def _patience_s(self) -> float | None:
        if self._bites or self._newest or any(port.behind for port in self._udp):
            return 0.0
        now_s = monotonic()
        patience_s = ORPHAN_LOOKS_S if self._orphaned else self._tcp.patience_s(now_s)
        if not self._desk.notified:
            return patience_s
        ring_s = max(0.0, self._ring_at_s - now_s)
        return ring_s if patience_s is None else min(ring_s, patience_s)

    def _obey(self) -> None:
        """Keeps the newest order that has arrived. EOF: the controller is gone."""
        if document := _receive(self._channel):
            self._newest = document
            return
        self._orphaned = True
        self._selector.unregister(self._channel)
        with suppress(OSError):  # who would say so in a flood is gone, and the next one has to start beside it
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))

    def _nibble(self) -> None:
        """Follows the newest order, once the one that was begun holds: orders in a hurry don't keep each other off."""
        if self._bites is None and self._newest:
            document, self._newest = self._newest, b""
            self._bites = self._following(document)
        if self._bites is None:
            return
        if next(self._bites, DONE) is DONE:
            self._bites = None
        gc.freeze()  # as at the start: what an order makes lasts, and what it replaces goes without being looked for

    def _following(self, document: bytes) -> Iterator[None]:
        order = yield from Order.reading(document)
        past = yield from self._desk.adopting(order)
        self._acknowledge(order)
        yield from emptying(past)

    def _ring(self) -> None:
        if self._desk.notified and monotonic() >= self._ring_at_s:
            self._desk.notified, self._ring_at_s = False, monotonic() + RING_S
            self._say(NOTIFIED)

    def _acknowledge(self, order: Order) -> None:
        self._say(str(order.sequence).encode())

    def _say(self, word: bytes) -> None:
        with suppress(OSError):  # the controller is gone: the next look at the channel sees it
            self._channel.send(word)

    def _leave(self) -> None:
        for port in self._udp:
            if port.socket.fileno() in self._shared:
                port.let_go()
            else:
                _withdraw(port.socket)
                port.close()
        for listener in self._listeners:
            if listener.fileno() not in self._shared:
                self._tcp.close(listener)
        self._tcp.finish()


def _withdraw(udp: socket.socket) -> None:
    """Nothing new comes, what has come can still be answered: the kernel has other sockets for whom we aren't connected
    to, and we connect to ourselves.
    """
    host, port = udp.getsockname()[:2]
    with suppress(OSError):
        udp.connect((LOOPBACK.get(host, host), port))


def _receive(channel: socket.socket) -> bytes:
    """One order, or nothing at the end: a reset means that the controller died with acknowledgements unread."""
    with suppress(ConnectionResetError):
        return channel.recv(ORDER_MAX_BYTES)
    return b""


def main() -> None:
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
    try:
        legacy = Legacy.from_json(sys.argv[1])
    except RefusedError as refusal:
        sys.stderr.write(f"no DNS worker can be started: {refusal}\n")
        sys.exit(OTHER_VERSION)
    channel = socket.socket(fileno=legacy.channel)
    if document := _receive(channel):
        Worker(legacy, channel, Order.from_lines(document)).run()


if __name__ == "__main__":
    main()
