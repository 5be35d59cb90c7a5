"""One agent: the real driver, sharing, lease, runner, steps and records, put together as the agent does it."""

import asyncio
import math
import random
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from edge.agent.build import Switches
from edge.agent.driver import Driver, Surroundings
from edge.agent.keeping import Keeping
from edge.agent.reach import Reach
from edge.agent.reading import Read, pointing
from edge.agent.sharing import Sharing
from edge.agent.unanimity import Unanimity
from edge.agent.wake import remembered
from edge.errors import CloudError, StoreError
from edge.failover import events as ev
from edge.failover import lease
from edge.failover.lease import Keeper
from edge.failover.model import Assignment, Lease, Observation, Policy, Reason, Survey
from edge.failover.unanimity import Stance
from edge.stores.leases import Leases
from edge.stores.records import Clock, Records
from edge.switches import route53, secondary_ip
from edge.switches.contract import Verify
from edge.switches.runner import Pace, Runner
from tests.failover.laws import Laws
from tests.simulation import clocks, far
from tests.simulation.disk import Disk, Kept
from tests.simulation.eyes import Closer, Probe
from tests.simulation.host import Mutex, Process, Threads, acting_for
from tests.simulation.machines import Fence, fencing, promoting

if TYPE_CHECKING:
    from tests.simulation.world import World

LOOK_S, TICK_S, ASK_S = 20.0, 1.0, 1.0
NOT_YET = Lease(held=False, until=float("inf"), holder=lease.NOBODY)


class Watched(Driver):
    """Each of its steps is held against the laws of the machine."""

    laws: Laws
    rng: random.Random
    process: Process
    stepped: Callable[[float], None]
    decided: Callable[[ev.Decision], None]

    def _made_runner(self, session: Any, switches: Switches) -> Runner:
        process, rng = self.process, self.rng
        way = {"sleep": process.sleep, "now": process.clock, "uniform": rng.uniform}
        return Runner(switches.steps, session, self._journal, self._permit, switches.pace, **way)

    def _permit(self, epoch: int, needed_s: float) -> Reason | None:
        acting_for(epoch)
        return super()._permit(epoch, needed_s)

    def _step(self, event: ev.Event, now: float) -> ev.Decision:
        began = time.perf_counter()
        decision = super()._step(event, now)
        self.stepped(time.perf_counter() - began)
        self.laws.check(self.state, event, decision, now)
        if decision.state.phase is not self.state.phase:
            self.decided(decision)
        return decision


class Agent:
    """A host that outlives its processes: its clock goes on, its disk keeps, and its DNS workers answer."""

    def __init__(self, name: str, world: "World", rng: random.Random, policy: Policy, candidate: bool = True) -> None:
        self.name, self._world, self._rng, self._policy, self.candidate = name, world, rng, policy, candidate
        self.unreachable: dict[str, float] = {}  # nodes that this agent can't reach, and until when
        self.path = far.Line(rng)
        self.store = far.Line(rng)
        self.aws = far.Line(rng)
        self.talk = far.Line(rng)  # to the other agents; it is lost where either side's is
        self.disk = Disk(random.Random(rng.random()))
        self.answer: tuple[str, int] | None = None
        self.round = 0
        self.clock = clocks.Clock(world.timeline, random.Random(rng.random()), world.off)
        self.nodes, self.profile = world.nodes, world.profile
        self.process = self._made_process()
        self.process.dead = True
        self.died_at = -math.inf
        self.driver: Watched | None = None
        self.sharing: Sharing | None = None
        self.unanimity: Unanimity | None = None
        self._kept: Keeper | None = None
        self._keeping: Keeping | None = None
        self._boots = 1
        self._leaving = False

    @property
    def alive(self) -> bool:
        return not self.process.dead

    @property
    def stands_still(self) -> bool:
        return self.process.dead or self.process.paused

    def leads(self) -> bool:
        """Whether it believes so, also while it stands still."""
        if not self.alive or self.driver is None:
            return False
        if self.sharing is None:
            return True
        return lease.outlives(self.sharing._keeper.lease(), self.process.clock(), 0.0)

    @property
    def misled(self) -> bool:
        """It believes that it leads, and only because its clock stood still: of that it can't know."""
        if self.sharing is None or not self.leads():
            return False
        held, confirmed_at = self.sharing._keeper.lease(), self.sharing._keeper.until - self.profile.timing.held_s
        return not lease.outlives(held, self.process.clock() + self.clock.lost_s(confirmed_at), 0.0)

    def lost_s(self, seconds: float) -> float:
        """For how long its clock stood still in the last so many seconds of that clock."""
        return self.clock.lost_s(self.clock.now() - seconds / (1 - clocks.ASTRAY))

    @property
    def dazed(self) -> bool:
        """Its host was suspended, and what it had begun before, or begins misled, may still be under way."""
        woke_s = self._world.timeline.now - self.clock.woke_at
        return self.clock.suspended_at is not None or woke_s < self.profile.over_s / (1 - clocks.ASTRAY)

    def _turned(self) -> None:
        """Whatever its process did: that somebody leads begins with what its keeper knows."""
        keeper = self.sharing._keeper if self.sharing else None
        if keeper is not self._kept or self.process.faults:
            self._kept = keeper
            self._world.rules.check()

    # --- its life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self.clock.wakes(self.process)
        self._world.tell(self.name, "starts")
        self._leaving = False
        self.process = process = self._made_process()
        clock = Clock(self._boot, process.clock, lambda: process.clock() + self.clock.moved_s)
        alone = self._world.alone
        store = far.Store(self._world.kept, process, self.store, self.profile.call_s, disk=self.disk if alone else None)
        records = Records(store, clock, None if alone else self.name)
        records._one = Mutex(process)  # type: ignore[assignment]
        threads = Threads(process, 1)
        around = Surroundings(
            records=records,
            clock=clock,
            store_threads=threads,
            telling_threads=Threads(process, 1),
            acting_threads=Threads(process, 8),
            reading_threads=Threads(process, 8),
            served=self._served,
            told=lambda line, _cause: self._world.tell(self.name, line.sentence),
            failed=process.faults.append,
            agreeing=_agreed,
            closer=self._look_closer,
        )
        self.driver = driver = self._made_driver(around)
        self.sharing = self._keeping = None
        if not alone:
            kept = self._opened()
            self._keeping = Keeping(kept, Threads(process, 1))
            self.sharing = self._made_sharing(Leases(store), records, driver, threads, kept)
        self.unanimity = self._made_unanimity(driver, self.sharing) if self.sharing else None
        process.begin(self._run(driver, records, threads))

    def _made_process(self) -> Process:
        return Process(self.name, self._world.timeline, self.clock.rate, self.clock.offset, self._turned)

    def _made_driver(self, around: Surroundings) -> Watched:
        self.reach = Reach(self.process.clock)
        line, heard = self.aws, self.reach.called
        session: Any = far.Session(
            self._world.cloud, self.process, line, self.profile.call_s, self._world.rules, heard=heard
        )
        made = Watched.__new__(Watched)
        made.laws, made.rng, made.process = Laws(), self._rng, self.process
        made.stepped, made.decided = self._world.stepped, partial(self._world.decided, self.name)
        made.__init__(self._policy, session, self._switches(session), around)  # type: ignore[misc]
        return made

    def _switches(self, session: Any) -> Switches:
        zone = route53.Zone(session, route53.Settings("Z1", far.NAME, far.OWN))
        address = secondary_ip.Address(session, secondary_ip.Settings(far.ADDRESS, far.ENI))
        publish, assign = route53.Publish(zone), secondary_ip.Assign(address)
        verify = Verify("assigned", assign, far.ADDRESS, self._reached)
        kind = self._world.fence
        fence = (secondary_ip.Unassign(address),) if kind is Fence.UNASSIGN else fencing(kind, session)
        moving = (assign, verify, *promoting(kind, session))
        return Switches((*fence, *moving, publish, route53.Verify(zone, publish)), (address, zone), Pace())

    def _reached(self, _address: str) -> tuple[bool, str]:
        self.process.sleep(0.02)
        return True, "answered"

    @property
    def _boot(self) -> str:
        return f"boot-{self.name}-{self._boots}"

    def keeps(self, live: tuple[str, int]) -> bool:
        """Whether its own disk has this, where there is one for it."""
        return self._keeping is None or self.disk.believed == Assignment(*live)

    def _opened(self) -> Kept:
        """The disk: from it the name is answered before anybody is asked."""
        kept = Kept(self.disk, self.process)
        live = kept.live().get(self._policy.service)
        self._world.rules.remembers(self.name, self.disk.believed, live)
        self.answer, self.round = ((live.node, live.epoch), live.round) if live else (None, 0)
        return kept

    def _made_sharing(self, leases: Leases, records: Records, driver: Driver, threads: Threads, kept: Kept) -> Sharing:
        process = self.process
        by = f"{self._boot}/{kept.identity}"
        keeper = Keeper(self.name, by, self.profile.timing, candidate=self.candidate)
        return Sharing(
            keeper,
            leases,
            records,
            {self._policy.service: driver},
            process.clock,
            lease_thread=Threads(process, 1),
            store_thread=threads,
            reading_threads=Threads(process, 8),
        )

    def pause(self) -> None:
        self._world.tell(self.name, "stands still")
        self.process.paused = True

    def suspend(self) -> None:
        """Its host: what comes meanwhile is found once it wakes, and its clock has stood still."""
        if self.alive and not self.process.paused:
            self._world.tell(self.name, "is suspended")
            self.process.paused = True
            self.clock.suspend(self.process)

    def resume(self) -> None:
        self.clock.wakes(self.process)
        if self.process.paused:
            self.process.resume()
            self._world.rules.check()

    def _made_unanimity(self, driver: Driver, sharing: Sharing) -> Unanimity:
        drivers, threads = {self._policy.service: driver}, Threads(self.process, 8)
        return Unanimity(
            self,
            drivers,
            sharing,
            self.reach,
            self.process.clock,
            patience_s=self.profile.timing.duration_s,
            threads=threads,
        )

    # --- the other agents ---------------------------------------------------------------------------------------------

    def names(self) -> tuple[str, ...]:
        return self._policy.peers if self._policy.unanimous else ()

    def troubles(self) -> Mapping[str, str | None]:
        return {}

    async def ask(self, name: str) -> Mapping[str, Stance] | None:
        """None where no answer comes in time. A question that nobody answers was heard all the same."""
        other, (there, back) = self._world.agents[name], self.talk.fate()
        if there is None or there > ASK_S:
            await asyncio.sleep(ASK_S)
            return None
        await asyncio.sleep(there)
        deaf = other.stands_still or not other.talk.up
        said = other.unanimity.stances() if other.unanimity and not deaf else None
        late = said is None or back is None or there + back > ASK_S
        await asyncio.sleep(ASK_S - there if late else back or 0.0)
        return None if late else said

    def kill(self) -> None:
        self._world.tell(self.name, "is killed")
        self.process.kill()
        self.died_at = self._world.timeline.now

    def loses_power(self) -> None:
        """Its whole host: the DNS workers too. Its next boot's clock can't count from before now."""
        self.kill()
        self.disk.loses_power()
        self.answer, self.round = None, 0
        self._boots += 1
        self.clock.boots()

    def stop(self) -> None:
        """As SIGTERM does it: the lease is given back, if that can be done in 5 s."""
        if self.alive and not self.process.paused and not self._leaving:
            self._leaving = True
            self._world.tell(self.name, "is stopped")
            self.process.begin(self._leave(self.process))

    async def _leave(self, process: Process) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        if self.driver:
            await self.driver.stop()
        if self.sharing:
            await self.sharing.leave(5.0)
        self._world.timeline.after(0.0, lambda: self.kill() if process is self.process and self.alive else None)

    async def _run(self, driver: Watched, records: Records, threads: Threads) -> None:
        self._running = asyncio.current_task()  # type: ignore[assignment]
        driver.start(
            await self._known(driver, records, threads), NOT_YET if self.sharing else lease.sole(self.name), ()
        )
        probes = self._probing(driver)
        try:
            await self._run_all(driver, records, threads)
        finally:
            for probe in probes:
                probe.stop()

    async def _run_all(self, driver: Watched, records: Records, threads: Threads) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look(driver))
            group.create_task(self._try_store(driver, records, threads))
            if self.sharing:
                group.create_task(self.sharing.run())
            if self.unanimity and self.names():
                group.create_task(self.unanimity.run())

    async def _known(self, driver: Driver, records: Records, threads: Threads) -> ev.Loaded | None:
        if self.sharing:
            live = Assignment(*self.answer, self.round) if self.answer else None
            return remembered(live, driver._around.clock) if live else None
        while True:
            try:
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(threads, records.load, self._policy.service)
            except StoreError:
                await asyncio.sleep(TICK_S)

    def _served(self, service: str, assignment: Assignment) -> None:
        if self.alive:
            before = Assignment(*self.answer, self.round) if self.answer else None
            self._world.rules.served(self.name, before, assignment)
            self.answer, self.round = (assignment.node, assignment.epoch), assignment.round
            if self._keeping:
                self._keeping.keep(service, assignment)

    # --- what it sees -------------------------------------------------------------------------------------------------

    def reaches(self, node: str, within_s: float = 0.0) -> bool:
        """And did so at every moment of the last `within_s` seconds."""
        return self.unreachable.get(node, -math.inf) < self._world.timeline.now - within_s

    def _probing(self, driver: Watched) -> list[Probe | Closer]:
        def saw(event: type[ev.Observed | ev.Glimpsed], seen: Observation) -> None:
            driver.post(event(seen))
            if self.sharing:
                self.sharing.saw(driver.service)

        self._closer = Closer(self, driver, partial(saw, ev.Glimpsed))
        probes = [Probe(self, name, partial(saw, ev.Observed)) for name in self.nodes.names]
        for number, probe in enumerate(probes):
            probe.plan(self.process.clock() + (number + self._rng.random()) * self.profile.interval_s / len(probes))
        return [*probes, self._closer]

    def _look_closer(self) -> None:
        self._closer.wanted()

    async def _look(self, driver: Driver) -> None:
        loop = asyncio.get_running_loop()
        while True:
            drift = driver.state.drift
            await asyncio.sleep(3.0 if drift and drift.times < 2 else LOOK_S)
            live = driver.live()
            if live is None or driver.state.survey is Survey.PENDING:
                continue
            reads = [await loop.run_in_executor(driver._around.reading_threads, self._view, s) for s in driver.sides]
            driver.post(ev.SidesRead(live.epoch, tuple(pointing(each) for each in reads)))

    def _view(self, side: Any) -> Read:
        try:
            return Read(side.name, self.process.clock(), side.view())
        except CloudError as error:
            return Read(side.name, self.process.clock(), None, str(error))

    async def _try_store(self, driver: Driver, records: Records, threads: Threads) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(TICK_S)
            if self._keeping:
                self._keeping.again()
            if driver.state.store_trouble:
                try:
                    await loop.run_in_executor(threads, records.test)
                except StoreError:
                    continue
                driver.recovered()

    # --- what people say ----------------------------------------------------------------------------------------------

    def hears(self, word: ev.Event) -> ev.Reply | None:
        """None where nobody listens."""
        if self.stands_still or self.driver is None or not self._began:
            return None
        driver, replies = self.driver, list[ev.Reply]()
        with self._world.rules.heard(word, replies):
            self.process.happens(lambda: replies.extend(e for e in driver.post(word) if isinstance(e, ev.Reply)))
        (reply,) = replies
        self._world.tell(self.name, f"{type(word).__name__}: {reply.sentence}")
        self.process.begin(self._recorded(driver, word, reply))
        return reply

    async def _recorded(self, driver: Driver, word: ev.Event, reply: ev.Reply) -> None:
        """Whether whoever spoke is told that it was."""
        spoken_at = self._world.timeline.now
        told = await driver.recorded(reply)
        if told == reply:
            self._world.rules.recorded(self.name, word, reply, spoken_at)
        else:
            self._world.tell(self.name, told.sentence)

    @property
    def _began(self) -> bool:
        return self.driver is not None and (self.sharing is not None or self.driver.state.assignment is not None)


async def _agreed(_service: str, _epoch: int, _within_s: float | None) -> dict[str, float | None]:
    return {}
