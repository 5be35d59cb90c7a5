"""The TCP port of a worker: who may connect, how many, for how long, and what each stream gets (RFC 7766)."""

import selectors
import socket
from collections import Counter
from contextlib import suppress
from functools import partial
from time import monotonic

from edge.dns.desk import VERDICT_DROPS, Desk, Source
from edge.dns.message import Drop, Transport

BITE_BYTES = 1024  # some 25 queries: a few milliseconds at most, even if each goes the careful way


class Connection:
    """RFC 7766: any number of queries, each behind its length, answered in their order.

    What the client does not fetch stops us from reading more of it, and its idle time runs on.
    """

    def __init__(self, stream: socket.socket, source: Source) -> None:
        self.stream = stream
        self.source = source
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
    """All TCP connections of this worker. `_connections` is in the order of their deadlines."""

    def __init__(self, selector: selectors.BaseSelector, desk: Desk) -> None:
        self._selector = selector
        self._desk = desk
        self._connections: dict[Connection, None] = {}
        self._clients = Counter[str]()

    def accept(self, listener: socket.socket) -> bool:
        try:
            stream, source = listener.accept()
        except OSError:  # nobody there any more
            return False
        if self._admits(source):
            self._open(Connection(stream, source))
        else:
            stream.close()
        return True

    def expire(self, now_s: float) -> None:
        while (wait_s := self.patience_s(now_s)) is not None and wait_s <= 0:
            self._close(next(iter(self._connections)))

    def patience_s(self, now_s: float) -> float | None:
        """None without connections."""
        return next((connection.deadline_s - now_s for connection in self._connections), None)

    def close(self, listener: socket.socket) -> None:
        while self.accept(listener):
            pass
        listener.close()

    def finish(self) -> None:
        for connection in tuple(self._connections):
            self._turn(connection)

    def _admits(self, source: Source) -> bool:
        if (drop := VERDICT_DROPS.get(self._desk.judge(source[0], source[1]))) is not None:
            self._desk.tally.dropped(drop)
            return False
        if self._clients[source[0]] >= self._desk.tcp_limits.per_client:
            self._desk.tally.dropped(Drop.TCP_LIMIT)
            return False
        return True

    def _open(self, connection: Connection) -> None:
        if len(self._connections) >= self._desk.tcp_limits.connections:
            self._desk.tally.dropped(Drop.TCP_LIMIT)
            self._close(next(iter(self._connections)))
        connection.stream.setblocking(False)
        connection.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._clients[connection.source[0]] += 1
        self._selector.register(connection.stream, selectors.EVENT_READ, partial(self._turn, connection))
        self._touch(connection)

    def _turn(self, connection: Connection) -> None:
        if connection not in self._connections:
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
        self._connections.pop(connection, None)
        self._connections[connection] = None
        connection.deadline_s = monotonic() + self._desk.tcp_limits.idle_s

    def _close(self, connection: Connection) -> None:
        del self._connections[connection]
        self._clients -= Counter([connection.source[0]])  # forgets who has none left
        self._selector.unregister(connection.stream)
        connection.stream.close()
