"""The controller's side of the DNS port: binds the sockets, starts the workers, keeps them alive, tells them the zone.

    start()      binds, starts workers, gives them the first zone; no event loop needed, the first answer comes at once
    supervise()  runs for as long as the agent: restarts the dead, hears acknowledgements, retires older generations
    publish()    one whole new zone for everybody; published() waits until everybody answers from it
    stop()       ends the workers          detach()  leaves them answering, for the next controller to replace

The sockets belong to the controller too: what arrives while a worker is dead waits in its socket for the next one.
"""

import asyncio
import logging
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic

from edge.dns.answer import prepare
from edge.dns.counters import Counters, Tally, total
from edge.dns.guard import Guard, Policy
from edge.dns.orders import ORDER_MAX_BYTES, Legacy, Order
from edge.dns.roll import Roll
from edge.dns.site import Site
from edge.dns.udp import NATIVE
from edge.dns.wildcard import ask_where_sent, is_wildcard
from edge.dns.zone import Zone
from edge.errors import ConfigError

ROLL_FILE = "dns-workers"
TICK_S = 0.05
EARLY_DEATH_S = 5.0  # a worker that lived for less counts as failing again
RESTART_PAUSES_S = (
    0.0,
    0.1,
    0.5,
    2.0,
)  # before the first, second, ... restart in a row: the first costs nobody a query
RECEIVE_BUFFER_BYTES = (
    4 << 20
)  # holds some 5,000 queries while a worker is started anew; the kernel caps it at rmem_max
BACKLOG = 256
SEQUENCE_MAX = 2**53

Address = tuple[str, int]
log = logging.getLogger(__name__)


class Member:
    """One worker as the controller sees it: sockets and counters, which outlive it, and its present process."""

    def __init__(self, listen: Sequence[Address], roll: Roll) -> None:
        self.tally = Tally.create()
        self.acknowledged = 0
        self.alive = False
        self._roll = roll
        self._udp = [_bind(address, socket.SOCK_DGRAM) for address in listen]
        self._tcp = [_bind(address, socket.SOCK_STREAM) for address in listen]
        self._failures = 0
        self._due_s = 0.0

    def spawn(self) -> None:
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel.setblocking(False)
        with theirs:
            self.process = _run(self._legacy(theirs))
        self._started_s = monotonic()
        self._sent = self.acknowledged = 0
        self.alive = True

    def tell(self, order: Order) -> None:
        """A worker that is too busy to take it, or dead, gets the newest at a later tick."""
        if self.alive and self._sent < order.sequence:
            with suppress(OSError):
                self.channel.send(order.to_json())
                self._sent = order.sequence

    def hear(self) -> bool:
        """Takes in the acknowledgements. False when the worker is gone."""
        with suppress(BlockingIOError):
            while word := _receive(self.channel):
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
        self._due_s = monotonic() + RESTART_PAUSES_S[min(self._failures, len(RESTART_PAUSES_S)) - 1]

    def put_off(self) -> None:
        self.channel.close()
        self._failures += 1
        self._due_s = monotonic() + RESTART_PAUSES_S[-1]

    def due(self) -> bool:
        return not self.alive and monotonic() >= self._due_s

    def let_go(self) -> None:
        """Our copies only: a living worker keeps its own."""
        for owned in (self.channel, *self._udp, *self._tcp):
            owned.close()

    def _legacy(self, channel: socket.socket) -> Legacy:
        return Legacy(
            channel=channel.fileno(),
            counters=self.tally.fd,
            roll=self._roll.fd,
            generation=self._roll.generation,
            udp=tuple(port.fileno() for port in self._udp),
            tcp=tuple(listener.fileno() for listener in self._tcp),
        )


class Workers:
    """ConfigError for addresses that can't be bound, RefusedError while another agent has the state directory."""

    def __init__(self, listen: Sequence[Address], count: int, policy: Policy, state_dir: Path) -> None:
        self._listen = listen
        self._count = count
        self._roll_path = state_dir / ROLL_FILE
        self._policy = policy
        self._members: list[Member] = []
        self._retired = False
        self._heard = asyncio.Event()

    def start(self, zones: Zone | Sequence[Zone]) -> None:
        self._order = _checked(Order(1, _several(zones), self._policy))
        self._roll = Roll(self._roll_path)
        log.info("UDP is answered %s", "natively" if NATIVE else "in Python: the native module was not built")
        self._members = [Member(self._listen, self._roll) for _ in range(self._count)]
        for member in self._members:
            self._spawn(member)

    async def supervise(self) -> None:
        """Until cancelled, which is to be done before `stop` and `detach`."""
        loop = asyncio.get_running_loop()
        for member in self._members:
            loop.add_reader(member.channel, self._hear, member)
        try:
            while True:
                self._tick()
                await asyncio.sleep(TICK_S)
        finally:
            for member in filter(lambda member: member.alive, self._members):
                loop.remove_reader(member.channel)

    def publish(self, zones: Zone | Sequence[Zone], policy: Policy | None = None) -> None:
        """All zones that are to be answered from now on. ValueError leaves the old ones in force."""
        self._order = _checked(Order(self._order.sequence + 1, _several(zones), policy or self._order.policy))
        for member in self._members:
            member.tell(self._order)

    async def published(self) -> None:
        """Every worker answers from the zone that is the newest now. Needs `supervise` to run."""
        wanted = self._order.sequence
        while any(member.acknowledged < wanted for member in self._members):
            self._heard.clear()
            await self._heard.wait()

    async def alone(self) -> None:
        """No worker of an earlier controller answers any more. Needs `supervise` to run."""
        while self._roll.older_live():  # noqa: ASYNC110 - other processes' locks raise no event
            await asyncio.sleep(TICK_S)

    def counters(self) -> Counters:
        return total([member.tally for member in self._members])

    async def stop(self) -> None:
        await asyncio.gather(*(asyncio.to_thread(member.bury) for member in self._members))
        self.detach()

    def detach(self) -> None:
        for member in self._members:
            member.let_go()
        self._roll.close()

    def _spawn(self, member: Member) -> None:
        member.spawn()
        member.tell(self._order)

    def _tick(self) -> None:
        for member in self._members:
            if member.due():
                self._revive(member)
            member.tell(self._order)
        if not self._retired and all(member.acknowledged for member in self._members):
            self._roll.retire_older()
            self._retired = True

    def _hear(self, member: Member) -> None:
        if member.hear():
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
        log.warning("DNS worker started again as %d", member.process.pid)


def _several(zones: Zone | Sequence[Zone]) -> tuple[Zone, ...]:
    return (zones,) if isinstance(zones, Zone) else tuple(zones)


def check(zones: Sequence[Zone], policy: Policy) -> None:
    """ValueError for what `start` and `publish` would not take, however long the agent has run."""
    _checked(Order(SEQUENCE_MAX, tuple(zones), policy))


def _checked(order: Order) -> Order:
    """Does once what every worker will do with it: what can't be prepared never reaches them."""
    prepare(Site(order.zones, order.policy))
    Guard(order.policy)
    if (size := len(order.to_json())) > ORDER_MAX_BYTES:
        largest = max(order.zones, key=lambda zone: len(zone.to_json()))
        raise ValueError(f"zone {largest.name}: {size} bytes of JSON with all zones, more than {ORDER_MAX_BYTES}")
    return order


def _bind(address: Address, kind: socket.SocketKind) -> socket.socket:
    host, port = address
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
    _set_options(bound)
    if is_wildcard(host) and kind is socket.SOCK_DGRAM:
        ask_where_sent(bound)
    try:
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise ConfigError([f"dns.listen: {host} port {port}: {error.strerror}"]) from error
    if kind is socket.SOCK_STREAM:
        bound.listen(BACKLOG)
    return bound


def _set_options(unbound: socket.socket) -> None:
    unbound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if unbound.family is socket.AF_INET6:
        unbound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if unbound.type is socket.SOCK_STREAM:
        unbound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # over connections in TIME_WAIT
    else:
        unbound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)


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
