"""The controller's side of the DNS port: binds the sockets, starts the workers, keeps them alive, tells them the zone.

    start()      binds, starts workers, gives them the first zone; no event loop needed, the first answer comes at once
    supervise()  runs for as long as the agent: restarts the dead, hears acknowledgements, retires older generations
    publish()    one whole new zone for everybody; published() waits until everybody answers from it
    notified()   waits until another agent says that the store has something new
    stop()       ends the workers, once they have answered what has arrived
    detach()     leaves them answering, for the next controller to replace

The sockets belong to the controller too: what arrives while a worker is dead waits in its socket for the next one.
A generation that has nothing to answer yet stays off the port for as long as an older one answers there.
"""

import asyncio
import logging
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from edge.dns.answer import everything, moving, rehearse
from edge.dns.bites import at_once
from edge.dns.counters import Counters, Tally, total
from edge.dns.guard import Guard, Policy
from edge.dns.orders import NOTIFIED, ORDER_MAX_BYTES, OTHER_VERSION, Legacy, Order
from edge.dns.ports import Address, Passed, Ports
from edge.dns.roll import Roll
from edge.dns.site import Site
from edge.dns.udp import NATIVE
from edge.dns.urgency import Urgency
from edge.dns.zone import Zone

ROLL_FILE = "dns-workers"
TICK_S = 0.05
EARLY_DEATH_S = 5.0  # a worker that lived for less counts as failing again
RESTART_PAUSES_S = (
    0.0,
    0.1,
    0.5,
    2.0,
)  # before the first, second, ... restart in a row: the first costs nobody a query
OTHER_VERSION_PAUSE_S = 120.0  # nothing but a restart of the agent helps, and the log need not say so all the time
LAST_WORDS_S = 2.0  # for a worker to answer what has arrived; an agent has 5 s to end
SEQUENCE_MAX = 2**53

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checked:
    """An order that every worker can take, as it is sent, and what is answered from it."""

    order: Order
    document: bytes
    site: Site


class Member:
    """One worker as the controller sees it: sockets and counters, which outlive it, and its present process."""

    def __init__(self, ports: Ports, roll: Roll, members: int) -> None:
        self.tally = Tally.create()
        self.acknowledged = 0
        self.alive = False
        self.notified = False
        self._ports = ports
        self._roll = roll
        self._members = members
        self._udp: list[socket.socket] = []
        self._tcp: list[socket.socket] = []
        self._failures = 0
        self._due_s = 0.0

    def bind(self, *, alone: bool) -> None:
        self._udp = self._ports.bind(socket.SOCK_DGRAM, alone=alone)
        self._tcp = self._ports.bind(socket.SOCK_STREAM, alone=alone)

    def spawn(self) -> None:
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel.setblocking(False)
        with theirs:
            self.process = _run(self._legacy(theirs))
        self._started_s = monotonic()
        self.urgency = Urgency(self.process.pid, self._started_s, self._members)
        self._sent = self.acknowledged = 0
        self.alive = True

    def tell(self, checked: Checked) -> None:
        """A worker that is too busy to take it, or dead, gets the newest at a later tick."""
        if self.alive and self._sent < checked.order.sequence:
            with suppress(OSError):
                self.channel.send(checked.document)
                self._sent = checked.order.sequence

    def hear(self) -> bool:
        """Takes in the acknowledgements, and whether it was `notified`. False when the worker is gone."""
        with suppress(BlockingIOError):
            while word := _receive(self.channel):
                if word == NOTIFIED:
                    self.notified = True
                else:
                    self.acknowledged = int(word)
            return False
        return True

    def bury(self) -> None:
        self.alive = False
        self.acknowledged = 0
        self.channel.close()
        self.process.kill()
        self.process.wait()
        self._failures = self._failures + 1 if monotonic() < self._started_s + EARLY_DEATH_S else 1
        self._due_s = monotonic() + self._pause_s()

    def dismiss(self) -> None:
        """Lets a retired worker end by itself."""
        if self.alive:
            self.channel.close()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(LAST_WORDS_S)
            self.bury()

    def put_off(self) -> None:
        self.channel.close()
        self._failures += 1
        self._due_s = monotonic() + RESTART_PAUSES_S[-1]

    def due(self) -> bool:
        return not self.alive and monotonic() >= self._due_s

    def let_go(self) -> None:
        """Our copies only: a living worker keeps its own."""
        if self.alive:
            self.channel.close()
        for owned in (*self._udp, *self._tcp):
            owned.close()

    def _pause_s(self) -> float:
        if self.process.returncode == OTHER_VERSION:
            return OTHER_VERSION_PAUSE_S
        return RESTART_PAUSES_S[min(self._failures, len(RESTART_PAUSES_S)) - 1]

    def _legacy(self, channel: socket.socket) -> Legacy:
        udp, tcp = map(self._ports.shared, (socket.SOCK_DGRAM, socket.SOCK_STREAM))
        return Legacy(
            channel=channel.fileno(),
            counters=self.tally.fd,
            roll=self._roll.fd,
            generation=self._roll.generation,
            udp=_descriptors(udp + self._udp),
            tcp=_descriptors(tcp + self._tcp),
            shared=_descriptors(udp + tcp),
        )


class Workers:
    """ConfigError for addresses that can't be bound, RefusedError while another agent has the state directory.

    `passed`: sockets that the service manager has bound for us.
    """

    def __init__(
        self, listen: Sequence[Address], count: int, policy: Policy, state_dir: Path, passed: Iterable[Passed] = ()
    ) -> None:
        self._ports = Ports(listen, passed)
        self._count = count
        self._roll_path = state_dir / ROLL_FILE
        self._policy = policy
        self._members: list[Member] = []
        self._opened = self._retired = False
        self._heard = asyncio.Event()
        self._notified = asyncio.Event()

    def start(self, zones: Zone | Sequence[Zone]) -> None:
        self._newest = _checked(Order(1, _several(zones), self._policy))
        self._roll = Roll(self._roll_path)
        log.info("UDP is answered %s", "natively" if NATIVE else "in Python: the native module was not built")
        self._members = [Member(self._ports, self._roll, self._count) for _ in range(self._count)]
        if self._withheld():
            log.warning("no assignment is known: an older generation of DNS workers answers on until there is one")
            return
        self._open()
        for member in self._members:
            self._spawn(member)

    async def supervise(self) -> None:
        """Until cancelled, which is to be done before `stop` and `detach`."""
        loop = asyncio.get_running_loop()
        for member in filter(_is_alive, self._members):
            loop.add_reader(member.channel, self._hear, member)
        try:
            while True:
                self._tick()
                await asyncio.sleep(TICK_S)
        finally:
            for member in filter(_is_alive, self._members):
                loop.remove_reader(member.channel)

    def publish(self, zones: Zone | Sequence[Zone], policy: Policy | None = None) -> None:
        """All zones that are to be answered from now on. ValueError leaves the old ones in force.

        Without a policy no more than a switch's changes are rehearsed: a thousand records take a tenth of a second.
        """
        past = self._newest
        order = Order(past.order.sequence + 1, _several(zones), policy or past.order.policy)
        self._newest = _checked(order, None if policy else past.site)
        for member in self._members:
            member.tell(self._newest)

    async def published(self) -> None:
        """Every worker answers from the zone that is the newest now. Needs `supervise` to run."""
        wanted = self._newest.order.sequence
        while any(member.acknowledged < wanted for member in self._members):
            self._heard.clear()
            await self._heard.wait()

    async def answering(self) -> None:
        """As `published`; at once while an older generation answers in our place."""
        if self._opened:
            await self.published()

    async def notified(self) -> None:
        """Until a worker has got a NOTIFY since the last time. Needs `supervise` to run."""
        await self._notified.wait()
        self._notified.clear()

    async def alone(self) -> None:
        """No worker of an earlier controller answers any more. Needs `supervise` to run."""
        while self._roll.older_live():  # noqa: ASYNC110 - other processes' locks raise no event
            await asyncio.sleep(TICK_S)

    def counters(self) -> Counters:
        return total([member.tally for member in self._members])

    async def stop(self) -> None:
        self._roll.retire_all()
        await asyncio.gather(*(asyncio.to_thread(member.dismiss) for member in self._members))
        self.detach()

    def detach(self) -> None:
        for member in self._members:
            member.let_go()
        self._roll.close()

    def _withheld(self) -> bool:
        """We know no assignment at all, and an older generation may."""
        services = [service for zone in self._newest.order.zones for service in zone.services]
        return bool(services) and not any(service.addresses for service in services) and self._roll.older_live()

    def _open(self) -> None:
        alone = not self._roll.older_live()
        for member in self._members:
            member.bind(alone=alone)
            alone = False
        self._opened = True

    def _spawn(self, member: Member) -> None:
        member.spawn()
        member.tell(self._newest)

    def _tick(self) -> None:
        if not self._opened:
            if self._withheld():
                return
            self._open()
        for member in self._members:
            if member.due():
                self._revive(member)
            if member.alive:
                member.urgency.look(monotonic())
            member.tell(self._newest)
        if not self._retired and all(member.acknowledged for member in self._members):
            self._roll.retire_older()
            self._retired = True
            _tell_cage(self.counters().cage)

    def _hear(self, member: Member) -> None:
        lives = member.hear()
        if member.notified:
            member.notified = False
            self._notified.set()
        if lives:
            self._heard.set()
            return
        asyncio.get_running_loop().remove_reader(member.channel)
        member.bury()
        log.error("DNS worker %d ended with status %d", member.process.pid, member.process.returncode)
        if member.due():  # at once: waiting for the tick would nearly double the 60 ms of a restart
            self._revive(member)

    def _revive(self, member: Member) -> None:
        try:
            self._spawn(member)
        except OSError as error:  # no memory, no process left: the others answer on, and this one is tried again
            member.put_off()
            log.error("a DNS worker can't be started: %s", error.strerror)  # noqa: TRY400 what matters is the reason
            return
        asyncio.get_running_loop().add_reader(member.channel, self._hear, member)
        log.warning("DNS worker started as %d", member.process.pid)


def _is_alive(member: Member) -> bool:
    return member.alive


def _tell_cage(cage: Mapping[str, bool]) -> None:
    if missing := [part for part, holds in cage.items() if not holds]:
        log.warning("the DNS workers are not confined by %s: this host does not allow or have it", ", ".join(missing))
    else:
        log.info("the DNS workers are confined by %s", ", ".join(cage))


def _several(zones: Zone | Sequence[Zone]) -> tuple[Zone, ...]:
    return (zones,) if isinstance(zones, Zone) else tuple(zones)


def check(zones: Sequence[Zone], policy: Policy) -> None:
    """ValueError for what `start` and `publish` would not take, however long the agent has run."""
    _checked(Order(SEQUENCE_MAX, tuple(zones), policy))


def _checked(order: Order, before: Site | None = None) -> Checked:
    """Does once what every worker will do with it: what can't be prepared never reaches them. `before`: all was
    rehearsed for this one, and now no more than a switch's changes are.
    """
    site = at_once(Site.in_bites(order.zones, order.policy, before))
    rehearse(site, moving(order.zones) if before else everything(site))
    Guard(order.policy)
    document = order.to_lines()
    if len(document) > ORDER_MAX_BYTES:
        largest = max(order.zones, key=lambda zone: sum(map(len, zone.lines())))
        told = f"{len(document)} bytes of JSON with all zones, more than {ORDER_MAX_BYTES}"
        raise ValueError(f"zone {largest.name}: {told}")
    return Checked(order, document, site)


def _descriptors(sockets: Iterable[socket.socket]) -> tuple[int, ...]:
    return tuple(each.fileno() for each in sockets)


def _run(legacy: Legacy) -> subprocess.Popen[bytes]:
    """Isolated (-I), without environment: no credentials. A session of its own: ^C is for the controller alone."""
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-I", "-m", "edge.dns.worker", legacy.to_json()],
        pass_fds=legacy.descriptors(),
        env={},
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # or who reads ours would wait for orphans; stderr is kept for tracebacks
        start_new_session=True,
    )


def _receive(channel: socket.socket) -> bytes:
    """One word, or nothing at the end: a reset means that the worker died with an order unread."""
    with suppress(ConnectionResetError):
        return channel.recv(64)
    return b""
