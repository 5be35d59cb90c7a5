"""An agent's part in a store that others share: it keeps the lease, and follows what the leader commits.

    store ──record──▶ keeper (edge.failover.lease) ──LeaseSaid──▶ drivers
    store ──assignments, intents, overrides──Loaded──▶ drivers
    store ──what the others see (edge.agent.vantages)──Reported──▶ drivers

Who takes the lease reads each service again *after* it is held, and the driver is told of both at once: no epoch is
opened over what another agent left. Who leads needs no reading: nobody else writes. The lease has a thread of its own,
so that no other write holds a renewal up; what may be late has others, so that it holds up no write of a switch.
"""

import asyncio
import itertools
import logging
import math
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from contextlib import suppress

from edge.agent.driver import Driver
from edge.agent.vantages import Vantages, within
from edge.errors import StoreConflictError, StoreError
from edge.failover import events as ev
from edge.failover import lease
from edge.failover.lease import Keeper, Look, Standing, Write
from edge.failover.model import Lease
from edge.stores.leases import Leases
from edge.stores.records import Records

ALL_EVERY = 16  # looks: an operator's hold, for example, shows at a follower within four renewals
BEAT_S = 0.05  # until the last call of who yields has ended
_OWN = ("lease", "assignments")  # what is read of the store that is no one service's
log = logging.getLogger("edge")


class Sharing:
    """On the event loop. `drivers` are the present ones, by service. Blocking reads and writes run in `threads`."""

    def __init__(
        self,
        keeper: Keeper,
        leases: Leases,
        records: Records,
        drivers: Mapping[str, Driver],
        now: Callable[[], float],
        *,
        lease_thread: Executor,
        store_thread: Executor,
        reading_threads: Executor,
    ) -> None:
        self._keeper = keeper
        self._leases = leases
        self._records = records
        self._drivers = drivers
        self._now = now
        self._lease_thread = lease_thread
        self._store_thread = store_thread
        self._reading_threads = reading_threads
        self._vantages = Vantages(
            lambda: self._keeper, lambda fit: self._face(fit=fit), leases, drivers, now, threads=reading_threads
        )
        self._moved = asyncio.Event()
        self._read_again = asyncio.Event()
        self._asking: asyncio.Future[Callable[[Keeper, float], Keeper]] | None = None
        self._asked: Look | Write | None = None
        self._reign = 0  # counts the times that the lease became ours
        self._admitted: set[str] = set()
        self._found: dict[str, int | None] = {}
        self._trouble: dict[str, str] = {}
        self._heard_at = now()

    def age_s(self) -> float:
        """How long ago the store told anything."""
        return self._now() - self._heard_at

    @property
    def trouble(self) -> str | None:
        """Why the store can't be used, as far as the last look at it tells. What a reload took out is of no matter."""
        present = {*_OWN, *self._drivers}
        return next((said for what, said in list(self._trouble.items()) if what in present), None)

    async def run(self) -> None:
        """Until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep())
            group.create_task(self._follow())
            group.create_task(self._vantages.run())

    async def leave(self, within_s: float) -> None:
        """Give the lease back and withdraw what we said we see, if that can be done in time: another agent then leads,
        and decides, at once. After `run` ended.
        """
        self._face(leaving=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s), asyncio.TaskGroup() as group:
                group.create_task(self._give_back())
                group.create_task(self._vantages.withdraw())

    async def _give_back(self) -> None:
        """What was on its way to the store by then may be a claim."""
        await self._hear()
        while self._keeper.standing is not Standing.FOLLOWING:
            await self._turn()

    def look_again(self) -> None:
        """There are drivers that know nothing of the store and of the lease yet."""
        self._admitted &= self._drivers.keys()
        self._found = {service: version for service, version in self._found.items() if service in self._drivers}
        self._read_again.set()

    def look(self) -> None:
        """Another agent says that it has committed something. Who leads has nothing to read: nobody else writes."""
        self._read_again.set()

    # --- the lease --------------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        while True:
            await self._turn()

    async def _turn(self) -> None:
        """Wait until something is due, or anything changed; then ask the store for it."""
        self._moved.clear()
        self._set(lease.passed(self._keeper, self._now()))
        asked = lease.due(self._keeper)
        held_up = isinstance(asked, Write) and asked.record.released and self._busy()
        at = self._now() + BEAT_S if held_up else asked.at
        if at > self._now():
            await within(min(at, self._keeper.deadline) - self._now(), self._moved)
        else:
            await self._ask(asked)

    async def _ask(self, asked: Look | Write) -> None:
        loop, sent_at, self._asked = asyncio.get_running_loop(), self._now(), asked
        self._asking = loop.run_in_executor(self._lease_thread, self._put, asked, sent_at)
        await self._hear()

    async def _hear(self) -> None:
        """Our clock goes on while the store is asked: a lease that ends meanwhile ends."""
        if self._asking is None:
            return
        while not self._asking.done():
            left_s = self._keeper.deadline - self._now()
            await asyncio.wait([self._asking], timeout=None if left_s == math.inf else max(left_s, 0.0))
            self._set(lease.passed(self._keeper, self._now()))
        asked, self._asking = self._asking, None
        heard = asked.result()
        self._heard_at = self._heard_at if "lease" in self._trouble else self._now()
        self._set(lease.passed(heard(self._keeper, self._now()), self._now()))

    def _put(self, asked: Look | Write, sent_at: float) -> Callable[[Keeper, float], Keeper]:
        """What the keeper hears. Called in the lease's thread."""
        try:
            if isinstance(asked, Write):
                self._leases.write(asked)
                heard: Callable[[Keeper, float], Keeper] = lambda keeper, now: lease.wrote(keeper, asked, sent_at, now)  # noqa: E731
            else:
                record, version = self._leases.read()
                heard = lambda keeper, now: lease.read(keeper, record, version, now)  # noqa: E731
        except StoreConflictError:
            return lease.lost
        except StoreError as error:
            self._troubled("lease", str(error))
            return lambda keeper, now: lease.unknown(keeper, asked, sent_at, now)
        self._troubled("lease", None)
        return heard

    def _set(self, keeper: Keeper) -> None:
        before, self._keeper = self._keeper, keeper
        if keeper is before:
            return
        if keeper.standing is not before.standing:
            log.info("the lease: %s: %s", keeper.standing.value, keeper.why)
        if keeper.lease() != before.lease():
            self._tell(before.lease(), keeper.lease())

    def _tell(self, before: Lease, held: Lease) -> None:
        if held.held and not before.held:
            self._reign += 1
            self._admitted.clear()
            self._read_again.set()
            self._vantages.hear_now()
            return
        for service, driver in self._drivers.items():
            if not held.held or service in self._admitted:
                driver.post(ev.LeaseSaid(held))

    def _busy(self) -> bool:
        return any(driver.busy for driver in self._drivers.values())

    # --- what the leader commits --------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        """What was committed is looked at often, and costs one question for all services; the rest now and then."""
        for looks in itertools.count():
            self._read_again.clear()
            await self._read_changed(everything=looks % ALL_EVERY == 0 or self._keeper.lease().held)
            await within(self._keeper.timing.often_s, self._read_again)

    async def _read_changed(self, *, everything: bool) -> None:
        knowing = self._admitted if self._keeper.lease().held else set()
        asking = [service for service in self._drivers if service not in knowing]
        found = await self._committed() if asking else None
        if found is None:
            return
        for service in asking:
            version = found.get(service)
            if (everything or version != self._found.get(service)) and await self._read(service):
                self._found[service] = version

    async def _committed(self) -> Mapping[str, int] | None:
        try:
            loop = asyncio.get_running_loop()
            found: Mapping[str, int] = await loop.run_in_executor(self._reading_threads, self._records.committed)
        except StoreError as error:
            self._troubled("assignments", str(error))
            return None
        self._troubled("assignments", None)
        self._heard_at = self._now()
        return found

    async def _read(self, service: str) -> bool:
        """Whether the driver was told what the store has."""
        reign = self._reign if self._keeper.lease().held else None
        loop = asyncio.get_running_loop()
        try:
            loaded = await loop.run_in_executor(self._store_thread, self._records.load, service)
        except StoreError as error:
            self._troubled(service, str(error))
            return False
        driver = self._drivers.get(service)  # a reload may have taken it out meanwhile
        if driver is None:
            return False
        self._troubled(service, unknown := _unknown_node(driver, loaded))
        if unknown:
            return False
        held = self._keeper.lease()
        if not held.held:
            driver.post(loaded)
        elif reign == self._reign:
            self._admitted.add(service)
            driver.post(ev.LeaseSaid(held, loaded))
        else:
            self._read_again.set()  # the lease came while it was read: what was read is too old
            return False
        return True

    # --- the others -------------------------------------------------------------------------------------------------

    @property
    def claiming(self) -> bool:
        """Whether a write of the lease is on its way."""
        return self._asking is not None and isinstance(self._asked, Write)

    def promise(self, until: float) -> None:
        """To the other agents: no claim of the lease is sent before."""
        self._set(lease.promised(self._keeper, until))

    @property
    def strangers(self) -> frozenset[str]:
        """Who posts what it sees, and is not among the vantages."""
        return frozenset(self._vantages.strangers)

    def saw(self, service: str) -> None:
        """The driver of a service has heard of one of its endpoints."""
        self._vantages.saw(service)

    def _face(self, *, fit: bool = True, leaving: bool = False) -> None:
        before = self._keeper
        self._set(lease.faced(before, self._now(), fit=fit, leaving=leaving))
        if self._keeper != before:
            self._moved.set()

    # --- trouble ----------------------------------------------------------------------------------------------------

    def _troubled(self, what: str, trouble: str | None) -> None:
        """Logged once."""
        before = self._trouble.pop(what, None)
        if trouble:
            self._trouble[what] = trouble
        if trouble and trouble != before:
            log.warning("the shared store, %s: %s", what, trouble)


def _unknown_node(driver: Driver, loaded: ev.Loaded) -> str | None:
    """A node that our file lacks can be neither served nor switched to."""
    named = {each.node for each in (loaded.assignment, loaded.opened, loaded.unsettled) if each}
    missing = sorted(named - set(driver.state.policy.nodes))
    return f"it has node {', '.join(missing)}, which this agent's file lacks" if missing else None
