"""The process that owns the port: `python -m edge.dns.worker LEGACY`, started by `edge.dns.server` and by nothing else.

It has no credentials and no event loop, only one thread that turns packets into answers:

    channel readable   a new order: zone, table and guard are replaced between two packets, then acknowledged
    UDP readable       a batch of packets, each answered at once
    TCP readable       a small bite of one connection: nobody's stream holds up the UDP port or a neighbour

When the controller is gone (EOF on the channel) it goes on answering what it knew, until a newer generation of workers
has taken over (`edge.dns.roll`). Then it empties its sockets and ends.
"""

import selectors
import socket
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from time import monotonic, monotonic_ns, perf_counter_ns, time

from edge.dns.answer import (
    Answer,
    Asker,
    Ready,
    Silence,
    cookie_bytes,
    lookup,
    lookup_without,
    prepare,
    refuse,
    respond,
    slip,
)
from edge.dns.batch import COUNT, LAYOUT_KNOWN, Batch
from edge.dns.cookies import MINUTE_S
from edge.dns.counters import Tally
from edge.dns.guard import Guard, Verdict
from edge.dns.message import Drop, Event, Rcode, Transport
from edge.dns.orders import ORDER_MAX_BYTES, Legacy, Order
from edge.dns.rates import Limiter, Pace
from edge.dns.roll import Place
from edge.dns.site import Site
from edge.dns.wildcard import ANCILLARY_BYTES, Ancillary, is_wildcard, origin

LAST_TURNS = 100  # more than a full receive buffer holds
PACKET_MAX_BYTES = 65535  # RFC 768
BITE_BYTES = 1024  # some 25 queries: a few milliseconds at most, even if each goes the careful way
ORPHAN_LOOKS_S = 0.05

PASS, TRUSTED, UDP = Verdict.PASS, Verdict.TRUSTED, Transport.UDP  # an Enum's member costs 40 ns to look up

Source = tuple[str, int]
Reply = Answer | Silence
VERDICT_DROPS = {
    Verdict.DENIED: Drop.DENIED,
    Verdict.PORT_ZERO: Drop.PORT_ZERO,
    Verdict.LOOP: Drop.LOOP,
}


class Desk:
    """Guard, ready answers, the careful way, limits and the counting: from one packet to its answer."""

    def __init__(self, tally: Tally, order: Order, own: Iterable[tuple[str, int]] = ()) -> None:
        self.tally = tally
        self._slots = tally.slots
        self._own = tuple(own)
        self._told = False
        self.look_at_clock()
        self.follow(order)

    def follow(self, order: Order) -> None:
        site = Site(order.zones, order.policy)
        table, guard = prepare(site), Guard(order.policy, self._own)
        self._site, self._table, self._jar, self.judge = site, table, site.jar, guard.judge
        self._rates = order.policy.rates
        self._limiter = Limiter(self._rates)
        self._limiting = self._rates.per_s > 0
        self.tcp_limits = order.policy.tcp
        self.tally.swapped(order.sequence, monotonic_ns())

    def look_at_clock(self) -> None:
        """Once a turn, not once a packet."""
        self._now_s = time()
        self._minute = int(self._now_s) // MINUTE_S

    def answer(self, packet: bytes, source: Source, transport: Transport) -> bytes | None:
        verdict = self.judge(source[0], source[1])
        if verdict is TRUSTED or verdict is PASS:
            ready = lookup(self._table, packet)
            if ready is not None:
                if verdict is PASS and self._limiting and transport is UDP:
                    return self._paced(ready.answer(packet), ready, source[0])
                self._slots[ready.slot + transport] += 1
                return ready.answer(packet)
            if size := cookie_bytes(packet):
                return self._with_cookie(packet, source[0], transport, verdict, size)
        return self._unready(packet, source[0], transport, verdict)

    def _with_cookie(self, packet: bytes, host: str, transport: Transport, verdict: Verdict, size: int) -> bytes | None:
        """The ready way, but for those who have to be told that their cookie is bad."""
        ready = lookup_without(self._table, packet, size)
        stamp = self._jar.stamp(host, packet[-size:], self._minute) if self._jar and ready else None
        proven = stamp is not None and stamp.valid
        if ready is None or (stamp and not proven and self._site.policy.cookie_required):
            return self._unready(packet, host, transport, verdict)
        wire = ready.stamped(packet, stamp) if stamp else ready.answer(packet)
        if self._limiting and verdict is PASS and transport is UDP and not proven:
            return self._paced(wire, ready, host)
        self._slots[ready.slot + transport] += 1
        return wire

    def _unready(self, packet: bytes, host: str, transport: Transport, verdict: Verdict) -> bytes | None:
        if (drop := VERDICT_DROPS.get(verdict)) is not None:
            return self._silent(drop)
        trusted = verdict is Verdict.TRUSTED
        asker = Asker(transport, host, self._now_s, trusted, self.tcp_limits.idle_s)
        reply = self._carefully(packet, asker, refuse if verdict is Verdict.REFUSE else respond)
        if isinstance(reply, Silence):
            return self._silent(reply.reason)
        if reply.truncated:
            self.tally.happened(Event.TRUNCATED)
        if reply.rcode is Rcode.BADCOOKIE:
            self.tally.happened(Event.BAD_COOKIE)
        if self._limiting and transport is UDP and not (trusted or reply.proven):
            return self._paced(reply.wire, reply, host)
        self._slots[reply.slot + transport] += 1
        return reply.wire

    def _carefully(self, packet: bytes, asker: Asker, way: Callable[[Site, bytes, Asker], Reply]) -> Reply:
        try:
            return way(self._site, packet, asker)
        except Exception:  # noqa: BLE001 - one packet that we get wrong must not take the port down
            self._tell_once()
            return Silence(Drop.INTERNAL)

    def _paced(self, wire: bytes, like: Answer | Ready, host: str) -> bytes | None:
        """For UDP, and those who are neither trusted nor proven. `like`: what `wire` was made from."""
        pace = self._limiter.pace(host, like.told, self._now_s)
        if pace is not Pace.PASS and self._rates.log_only:
            self.tally.happened(Event.WOULD_LIMIT)
        elif pace is Pace.DROP:
            return self._silent(Drop.RATE)
        elif pace is Pace.SLIP:
            self.tally.happened(Event.SLIPPED)
            wire = slip(wire, like.question_end, like.opt_start)
        self._slots[like.slot + UDP] += 1
        return wire

    def _silent(self, reason: Drop) -> bytes | None:
        self.tally.dropped(reason)
        return None

    def _tell_once(self) -> None:
        """stderr may be gone together with the controller."""
        if not self._told:
            self._told = True
            with suppress(OSError):
                traceback.print_exc()


class UdpPort:
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
        wire = self._desk.answer(packet, source, Transport.UDP)
        if wire is not None:
            self._send(wire, source)
        return True

    def _send(self, wire: bytes, source: Source) -> None:
        try:
            self.socket.sendto(wire, source)
        except OSError:  # no room or no route: the asker asks again
            self._desk.tally.dropped(Drop.SEND)


class BatchPort(UdpPort):
    """The same with a system call for many packets."""

    def __init__(self, port: socket.socket, desk: Desk) -> None:
        super().__init__(port, desk)
        self._batch = Batch(port)

    def turn(self) -> bool:
        """Times the batch: its first packet waits for the last one's answer."""
        started_ns, batch, answer, received = perf_counter_ns(), self._batch, self._desk.answer, 0
        self._desk.look_at_clock()
        for packet, source, number in batch.receive():
            received += 1
            if (wire := answer(packet, source, UDP)) is not None:
                batch.reply(wire, number)
        for _ in range(batch.send()):
            self._desk.tally.dropped(Drop.SEND)
        if received:
            self._desk.tally.took(perf_counter_ns() - started_ns)
        return received == COUNT


class WildcardPort(UdpPort):
    """Bound to all addresses, and so dearer: the kernel has to be asked where each packet was sent to."""

    def _one(self) -> bool:
        try:
            packet, received, _, source = self.socket.recvmsg(PACKET_MAX_BYTES, ANCILLARY_BYTES)
        except OSError:
            return False
        wire = self._desk.answer(packet, source, UDP)
        if wire is not None:
            self._send_from(wire, source, origin(received))
        return True

    def _send_from(self, wire: bytes, source: Source, where: list[Ancillary]) -> None:
        try:
            self.socket.sendmsg([wire], where, 0, source)
        except OSError:
            self._desk.tally.dropped(Drop.SEND)


def udp_port(port: socket.socket, desk: Desk) -> UdpPort:
    if is_wildcard(port.getsockname()[0]):
        return WildcardPort(port, desk)
    return BatchPort(port, desk) if LAYOUT_KNOWN else UdpPort(port, desk)


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


class Worker:
    def __init__(self, legacy: Legacy, channel: socket.socket, order: Order) -> None:
        self._place = Place(legacy.roll, legacy.generation)
        udp = [socket.socket(fileno=fd) for fd in legacy.udp]
        self._desk = Desk(Tally(legacy.counters), order, [port.getsockname()[:2] for port in udp])
        self._selector = selectors.DefaultSelector()
        self._channel = channel
        self._orphaned = False
        self._udp = [udp_port(port, self._desk) for port in udp]
        self._listeners = [socket.socket(fileno=fd) for fd in legacy.tcp]
        self._tcp = TcpPort(self._selector, self._desk)
        self._acknowledge(order)

    def run(self) -> None:
        self._watch_all()
        while not (self._orphaned and self._place.retired()):
            for key, _ in self._selector.select(self._patience_s()):
                key.data()
            self._tcp.expire(monotonic())
        self._leave()

    def _watch_all(self) -> None:
        self._watch(self._channel, self._obey)
        for port in self._udp:
            self._watch(port.socket, port.turn)
        for listener in self._listeners:
            self._watch(listener, partial(self._tcp.accept, listener))

    def _watch(self, watched: socket.socket, turn: Callable[[], object]) -> None:
        watched.setblocking(False)
        self._selector.register(watched, selectors.EVENT_READ, turn)

    def _patience_s(self) -> float | None:
        return ORPHAN_LOOKS_S if self._orphaned else self._tcp.patience_s(monotonic())

    def _obey(self) -> None:
        """Follows the newest order that has arrived. EOF: the controller is gone."""
        newest = b""
        with suppress(BlockingIOError):
            while document := _receive(self._channel):
                newest = document
            self._orphaned = True
            self._selector.unregister(self._channel)
        if newest:
            self._follow(Order.from_json(newest))

    def _follow(self, order: Order) -> None:
        self._desk.follow(order)
        self._acknowledge(order)

    def _acknowledge(self, order: Order) -> None:
        with suppress(OSError):  # the controller is gone: the next look at the channel sees it
            self._channel.send(str(order.sequence).encode())

    def _leave(self) -> None:
        for port in self._udp:
            port.close()
        for listener in self._listeners:
            self._tcp.close(listener)
        self._tcp.finish()


def _receive(channel: socket.socket) -> bytes:
    """One order, or nothing at the end: a reset means that the controller died with acknowledgements unread."""
    with suppress(ConnectionResetError):
        return channel.recv(ORDER_MAX_BYTES)
    return b""


def main() -> None:
    legacy = Legacy.from_json(sys.argv[1])
    channel = socket.socket(fileno=legacy.channel)
    if document := _receive(channel):
        Worker(legacy, channel, Order.from_json(document)).run()


if __name__ == "__main__":
    main()
