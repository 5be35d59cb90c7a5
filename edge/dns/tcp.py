"""The TCP port of a worker: who may connect, how many, for how long, and what each stream gets (RFC 7766)."""

import selectors
import socket
from collections import Counter
from contextlib import suppress
from functools import partial
from time import monotonic

from edge.dns.desk import VERDICT_DROPS, Desk, Source
from edge.dns.guard import Verdict
from edge.dns.message import Drop, Transport

ACCEPTS = 16  # a turn: a flood of connections leaves room in the backlog, and holds up the UDP port for under 1 ms
LAST_TURNS = 256  # let in what a backlog of 4,096 holds, Linux' default for the largest
BITE_BYTES = 1024  # some 25 queries: a few milliseconds at most, even if each goes the careful way


class Connection:
    """RFC 7766: any number of queries, each behind its length, answered in their order.

    What the client does not fetch stops us from reading more of it, and its idle time runs on.
    """

    def __init__(self, stream: socket.socket, source: Source, *, trusted: bool = False) -> None:
        self.stream = stream
        self.source = source
        self.trusted = trusted
        self.deadline_s = 0.0
        self.outbox = bytearray()
        self._inbox = bytearray()
        self.ended = False

    def turn(self, desk: Desk) -> bool:
        """One bite: read, answer, send. True if a query was answered. `ended` is seen only with everything sent."""
        queued = len(self.outbox)
        desk.look_at_clock()
        if not queued:
            self._receive()
            self._answer(desk)
        answered = len(self.outbox) > queued
        self._flush()
        return answered

    def _receive(self) -> None:
        with suppress(BlockingIOError):
            data = self.stream.recv(BITE_BYTES)
            self.ended = not data
            self._inbox += data

    def _answer(self, desk: Desk) -> None:
        while (packet := self._next()) is not None:
            wire = desk.answer(packet, self.source, Transport.TCP)
            if wire is not None:
                self.outbox += len(wire).to_bytes(2) + wire

    def _next(self) -> bytes | None:
        end = 2 + int.from_bytes(self._inbox[:2])
        if len(self._inbox) < max(2, end):
            return None
        packet = bytes(self._inbox[2:end])
        del self._inbox[:end]
        return packet

    def _flush(self) -> None:
        if self.outbox:
            with suppress(BlockingIOError):
                del self.outbox[: self.stream.send(self.outbox)]


class TcpPort:
    """All TCP connections of this worker: those of trusted forwarders and the strangers', each in the order of their
    deadlines. When all are taken, the stranger that is idle for longest makes room for whoever comes. Where there is
    none, a trusted newcomer takes the place of one of its kind, and a stranger is turned away.
    """

    def __init__(self, selector: selectors.BaseSelector, desk: Desk) -> None:
        self._selector = selector
        self._desk = desk
        self._strangers: dict[Connection, None] = {}
        self._trusted: dict[Connection, None] = {}
        self._clients = Counter[str]()

    def turn(self, listener: socket.socket) -> bool:
        """True while more may be waiting to be let in."""
        return all(self.accept(listener) for _ in range(ACCEPTS))

    def accept(self, listener: socket.socket) -> bool:
        try:
            stream, source = listener.accept()
        except OSError:  # nobody there any more
            return False
        verdict = self._desk.judge(source[0], source[1])
        if self._admits(source, verdict):
            self._open(Connection(stream, source, trusted=verdict is Verdict.TRUSTED))
        else:
            stream.close()
        return True

    def expire(self, now_s: float) -> None:
        for ordered in (self._strangers, self._trusted):
            while (first := next(iter(ordered), None)) and first.deadline_s <= now_s:
                self._close(first)

    def patience_s(self, now_s: float) -> float | None:
        """None without connections."""
        firsts = (next(iter(ordered)) for ordered in (self._strangers, self._trusted) if ordered)
        return min((first.deadline_s - now_s for first in firsts), default=None)

    def close(self, listener: socket.socket) -> None:
        """First lets in who waits; a flood may not keep us from closing."""
        for _ in range(LAST_TURNS):
            if not self.turn(listener):
                break
        listener.close()

    def finish(self) -> None:
        for connection in (*self._strangers, *self._trusted):
            self._turn(connection)

    def _admits(self, source: Source, verdict: Verdict) -> bool:
        drop = VERDICT_DROPS.get(verdict)
        if drop is None and not (self._has_share(source[0]) and self._has_room(verdict)):
            drop = Drop.TCP_LIMIT
        if drop is not None:
            self._desk.tally.dropped(drop)
        return drop is None

    def _has_share(self, host: str) -> bool:
        return self._clients[host] < self._desk.tcp_limits.per_client

    def _has_room(self, verdict: Verdict) -> bool:
        return verdict is Verdict.TRUSTED or bool(self._strangers) or not self._full()

    def _full(self) -> bool:
        return len(self._strangers) + len(self._trusted) >= self._desk.tcp_limits.connections

    def _open(self, connection: Connection) -> None:
        if self._full():
            self._desk.tally.dropped(Drop.TCP_LIMIT)
            self._close(next(iter(self._strangers or self._trusted)))
        connection.stream.setblocking(False)
        connection.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._clients[connection.source[0]] += 1
        self._selector.register(connection.stream, selectors.EVENT_READ, partial(self._turn, connection))
        self._touch(connection)

    def _turn(self, connection: Connection) -> None:
        if connection not in self._kind(connection):
            return  # closed since the selector spoke, to make room
        with suppress(OSError):  # reset by the client
            if connection.turn(self._desk):
                self._touch(connection)
            if not connection.ended:
                self._listen(connection)
                return
        self._close(connection)

    def _listen(self, connection: Connection) -> None:
        wanted = selectors.EVENT_WRITE if connection.outbox else selectors.EVENT_READ
        if self._selector.get_key(connection.stream).events != wanted:
            self._selector.modify(connection.stream, wanted, partial(self._turn, connection))

    def _touch(self, connection: Connection) -> None:
        ordered = self._kind(connection)
        ordered.pop(connection, None)
        ordered[connection] = None
        connection.deadline_s = monotonic() + self._desk.tcp_limits.idle_s

    def _kind(self, connection: Connection) -> dict[Connection, None]:
        return self._trusted if connection.trusted else self._strangers

    def _close(self, connection: Connection) -> None:
        del self._kind(connection)[connection]
        self._leave(connection.source[0])
        self._selector.unregister(connection.stream)
        connection.stream.close()

    def _leave(self, host: str) -> None:
        self._clients[host] -= 1
        if not self._clients[host]:
            del self._clients[host]
