"""From one packet and its source to the answer's bytes: guard, ready answers, the careful way, limits, counting."""

import traceback
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from itertools import chain
from time import monotonic_ns, time

from edge.dns.answer import (
    Answer,
    Asker,
    Ready,
    Silence,
    Table,
    cookie_bytes,
    is_usual,
    kept,
    lookup,
    lookup_without,
    moving,
    prepared,
    preparing,
    refuse,
    respond,
    slip,
)
from edge.dns.bites import at_once
from edge.dns.cookies import MINUTE_S
from edge.dns.counters import Tally, drop_slot
from edge.dns.guard import REMEMBERED, Guard, Policy, Verdict, doubtful_ports
from edge.dns.message import Drop, Event, Opcode, Rcode, Transport
from edge.dns.orders import Order
from edge.dns.rates import Limiter, Pace
from edge.dns.site import Site

PASS, TRUSTED, UDP = Verdict.PASS, Verdict.TRUSTED, Transport.UDP  # an Enum's member costs 40 ns to look up

Source = tuple[str, int]
Reply = Answer | Silence
VERDICT_DROPS = {
    Verdict.DENIED: Drop.DENIED,
    Verdict.PORT_ZERO: Drop.PORT_ZERO,
    Verdict.LOOP: Drop.LOOP,
}
ASK, READY, FIRST = -1, -2, -3  # as in _turn.c
PORTS = 65536


class Hosts(dict[bytes, int]):
    """What `_turn.c` may do for a packed source address before it asks: FIRST, READY, ASK, or the slot of a drop."""

    def __init__(self, guard: Guard, *, limiting: bool) -> None:
        self._judge = guard.judge_host
        self._words = {TRUSTED: FIRST, PASS: ASK if limiting else READY}

    def __missing__(self, packed: bytes) -> int:
        if len(self) >= REMEMBERED:
            self.clear()
        said = self[packed] = self._say(self._judge(packed))
        return said

    def _say(self, verdict: Verdict) -> int:
        return drop_slot(VERDICT_DROPS[verdict]) if verdict in VERDICT_DROPS else self._words.get(verdict, ASK)


class Desk:
    """`notified`: a NOTIFY that is heeded has come; who passes it on clears it."""

    def __init__(self, tally: Tally, order: Order, own: Iterable[tuple[str, int]] = ()) -> None:
        self.tally = tally
        self._slots = tally.slots
        self._own = tuple(own)
        doubtful = doubtful_ports(self._own)
        self._ports = bytes(port in doubtful for port in range(PORTS))
        self._told = self.notified = False
        self._limiter = Limiter(order.policy.rates)
        self._policy: Policy | None = None
        self._seen = set[bytes]()
        self._site, self._table = Site(order.zones, order.policy), Table()
        self.look_at_clock()
        self.follow(order)

    def follow(self, order: Order) -> None:
        at_once(self.adopting(order))

    def adopting(self, order: Order) -> Generator[None, None, Table]:
        """In bites, between which packets are answered from the order before; the last one is the swap.

        What a switch changes is ready by then, and what was asked for before; all else when it is first asked for: most
        of it never is. What is returned is the table before, for who frees it in bites too.
        """
        site = yield from Site.in_bites(order.zones, order.policy, self._site)
        table, seen = Table(), set[bytes]()
        for question in chain(moving(order.zones), tuple(self._seen)):
            if question in seen:
                continue
            yield
            ready = kept(self._site, self._table, site, question)
            if not ready:
                yield
                ready = yield from preparing(site, question)
            if ready:
                table.update(ready)
                seen.add(question)
        yield
        past, self._seen = self._table, seen
        self._swap(order, site, table)
        return past

    def _swap(self, order: Order, site: Site, table: Table) -> None:
        self._site, self._table, self._jar = site, table, site.jar
        if order.policy != self._policy:
            self._obey(order.policy)
        self.tally.swapped(order.sequence, monotonic_ns())

    def _obey(self, policy: Policy) -> None:
        guard = Guard(policy, self._own)
        self._policy, self.judge, self._rates = policy, guard.judge, policy.rates
        if self._rates != self._limiter.rates:  # else the buckets stay: an order that filled them would be no limit
            self._limiter = Limiter(self._rates)
        self._limiting = self._rates.per_s > 0
        self._hosts = Hosts(guard, limiting=self._limiting)
        self.tcp_limits = policy.tcp

    @property
    def shortcuts(self) -> tuple[Table, Hosts, bytes]:
        """By which `_turn.c` comes to what `answer` would say: ready answers, addresses, ports."""
        return self._table, self._hosts, self._ports

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
        if transport is UDP and not trusted and not self._limiter.affords(host, self._now_s):
            if not self._rates.log_only:
                return self._silent(Drop.RATE)
            self.tally.happened(Event.WOULD_LIMIT)
        asker = Asker(transport, host, self._now_s, trusted, self.tcp_limits.idle_s)
        reply = self._carefully(packet, asker, refuse if verdict is Verdict.REFUSE else respond)
        if isinstance(reply, Silence):
            return self._silent(reply.reason)
        self._learn(reply)
        if packet[2] >> 3 & 0xF == Opcode.NOTIFY:
            self._note(reply)
        if reply.truncated:
            self.tally.happened(Event.TRUNCATED)
        if reply.rcode is Rcode.BADCOOKIE:
            self.tally.happened(Event.BAD_COOKIE)
        if self._limiting and transport is UDP and not (trusted or reply.proven):
            return self._paced(reply.wire, reply, host)
        self._slots[reply.slot + transport] += 1
        return reply.wire

    def _learn(self, reply: Answer) -> None:
        if is_usual(reply) and reply.told not in self._seen:
            self._seen.add(reply.told)
            self._table.update(prepared(self._site, reply.told))

    def _note(self, reply: Answer) -> None:
        heeded = reply.rcode is Rcode.NOERROR
        self.notified = self.notified or heeded
        self.tally.happened(Event.NOTIFIED if heeded else Event.NOTIFY_DENIED)

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
