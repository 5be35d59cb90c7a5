"""The agent while it lives: probes, drivers, views and the control side around one event loop.

Who tells whom:

    probers ──Observed──▶ drivers ──Serve──▶ DNS workers
                            │  ▲
              RunStage, ... ▼  │ outcomes
                     store and AWS threads
"""

import asyncio
import logging
import math
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from operator import attrgetter
from random import Random
from typing import Any

from edge.agent import answering, answers, build, preflight
from edge.agent.checks import AGENT, Checks, pause_s
from edge.agent.driver import Driver, Surroundings
from edge.agent.forecast import forecast
from edge.agent.reading import pointing
from edge.agent.sharing import Sharing
from edge.agent.systemd import notify
from edge.agent.trails import Trails, trail
from edge.agent.views import Views
from edge.agent.wake import Awake, refuse_unknown_nodes
from edge.agent.watch import Watch
from edge.agent.zones import checked, zones
from edge.config import Config, Service, load
from edge.control.api import serve_control
from edge.control.contract import Finding, Forecast, ServiceSnapshot, Snapshot
from edge.control.metrics import Metrics
from edge.control.pages import serve_http
from edge.dns.counters import BUCKETS_S
from edge.dns.guard import Policy as DnsPolicy
from edge.errors import CloudError, ConfigError, ControlError, RefusedError, StoreError
from edge.failover import events as ev
from edge.failover import lease
from edge.failover.drift import READINGS
from edge.failover.model import Assignment, Cause, Lease, Observation, Sight
from edge.history import Line
from edge.probes.loop import Prober, observe
from edge.stores.dynamodb import DynamoStore
from edge.stores.leases import Leases
from edge.stores.records import Records
from edge.stores.served import Served
from edge.stores.sqlite import SqliteStore
from edge.switches.session import Session

TICK_S = 1.0
CHECK_S = 600.0
CHECKED_AT_A_TIME = 4
PATIENCE_S = 20.0  # for one part: `edgectl check` waits for a minute
VIEWS_S = 30.0  # without AWS only our own answer is read
DOUBT_S = 5.0  # EC2's describes are old for a second or two (AWS, *Eventual consistency in the EC2 API*)
WARM_S = 5.0  # credentials that hang must not keep the probes from starting
ACTING_THREADS = 64  # one a service that switches: nobody waits for another's; threads are made as they are needed
READING_THREADS = 32
VIEWING_THREADS = 32  # apart from those that verify, who may wait for long
HISTORY_LINES = 200
FIXED = ("agent", "control", "http", "store", "lease", "aws", "dns.listen", "dns.workers")  # a reload can't change them
SETTLED = frozenset({"committed", "agreed", "conflict"})
LEAVE_S = 1.5  # SIGTERM ends within 5 s: the lease and the last writes have as long each
NOT_YET = Lease(held=False, until=math.inf, holder=lease.NOBODY)
Found = tuple[ev.Loaded | None, Sequence[Line]]
log = logging.getLogger("edge")


class Live:
    """Also the desk at which the control side asks (edge.control.contract.Desk)."""

    def __init__(self, awake: Awake) -> None:
        self._awake = awake
        self._config = awake.config
        self._clock = awake.clock
        self._began = awake.clock.monotonic()
        self._store_threads = ThreadPoolExecutor(1, "store")
        self._lease_threads = ThreadPoolExecutor(1, "lease")
        self._disk_threads = ThreadPoolExecutor(1, "disk")
        self._acting_threads = ThreadPoolExecutor(ACTING_THREADS, "acting")
        self._reading_threads = ThreadPoolExecutor(READING_THREADS, "reading")
        self.metrics = Metrics(self.snapshot, BUCKETS_S)
        settings = build.aws(awake.config)
        self._session = Session(settings, self.metrics.aws_called) if settings else None
        self._lived = {name: found.assignment for name, found in awake.loaded.items() if found.assignment}
        self._drivers: dict[str, Driver] = {}
        self._records, self._sharing = self._reached_store(awake.kept)
        self._probers: dict[str, Prober] = {}
        self._probing: dict[str, asyncio.Task[None]] = {}
        self._viewing_threads = ThreadPoolExecutor(VIEWING_THREADS, "viewing")
        self._views = Views(self._viewing_threads, awake.clock.monotonic, self._assignment, self.metrics.view_agreed)
        self._trails = Trails(self._reading_threads, self._remarked, self.failed)
        self._watch = Watch(self._views, self._sides_of, self.failed)
        self._checks = Checks()
        self._fault: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.crashed = self.handing_over = False
        self._look_again = asyncio.Event()
        self._reloading = asyncio.Lock()
        self._probing_began = False
        self._looking = asyncio.Lock()
        self._confirmed_at = self._began
        self._dns_ready = False
        self._reload_ok = True
        self._credentials_end: float | None = None

    def _reached_store(self, kept: SqliteStore | Served) -> tuple[Records, Sharing | None]:
        if isinstance(kept, SqliteStore):
            return Records(kept, self._clock), None
        if self._session is None:
            raise AssertionError("a shared store without AWS")
        name, store = self._config.agent.name, DynamoStore(build.dynamodb(self._session), self._config.store.table)
        records = Records(store, self._clock, name)
        keeper = build.keeper(self._config, self._clock, kept)
        sharing = Sharing(
            keeper,
            Leases(store),
            records,
            self._drivers,
            self._clock.monotonic,
            lease_thread=self._lease_threads,
            store_thread=self._store_threads,
            reading_threads=self._reading_threads,
        )
        return records, sharing

    # --- life -------------------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """The drivers, with what the store remembers. Nothing is probed before `run`."""
        names = [service.name for service in self._config.services]
        found = {name: (self._awake.loaded.get(name), await self._lines(name)) for name in names}
        self._adopt(self._config, found)

    async def run(self) -> None:
        """Until it is cancelled."""
        async with asyncio.TaskGroup() as self._group:
            self._group.create_task(self._until_fault())
            self._group.create_task(self._awake.workers.supervise())
            self._group.create_task(self._tell_ready())
            self._group.create_task(self._again_and_again(self._pet))
            await self._warm()
            self._probing_began = True
            self._probe_all()
            for act in (self._confirm, self._test_store):
                self._group.create_task(self._again_and_again(act))
            self._group.create_task(self._keep_looking())
            self._group.create_task(self._keep_checking())
            if self._sharing:
                self._group.create_task(self._sharing.run())

    async def _again_and_again(self, act: Callable[[], Awaitable[None]]) -> None:
        while True:
            await act()
            await asyncio.sleep(TICK_S)

    async def _tell_ready(self) -> None:
        await self._awake.workers.answering()
        notify("READY=1")

    async def _until_fault(self) -> None:
        await self._fault

    def failed(self, fault: BaseException) -> None:
        if not self._fault.done():
            self._fault.set_exception(fault)

    async def _warm(self) -> None:
        """Everything that holds the interpreter happens before the first probe is timed."""
        if self._session is None:
            return
        loop = asyncio.get_running_loop()
        warming = loop.run_in_executor(self._acting_threads, self._session.warm)
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(warming), WARM_S)

    async def stop(self) -> None:
        """After a crash, and where a successor is announced, the workers answer on until its own have taken over."""
        for probing in self._probing.values():
            probing.cancel()
        await asyncio.gather(*(driver.stop() for driver in self._drivers.values()))
        if self._sharing and not self.handing_over:  # a successor here takes the lease over by itself
            await self._sharing.leave(LEAVE_S)
        await self._watch.stop()
        self._trails.stop()
        if self.crashed or self.handing_over:
            self._awake.workers.detach()
        else:
            await self._awake.workers.stop()
        await self._written()
        asking = (self._acting_threads, self._reading_threads, self._viewing_threads, self._lease_threads)
        for threads in (*asking, self._store_threads, self._disk_threads):
            threads.shutdown(wait=False, cancel_futures=True)
        self._awake.kept.close()

    async def _written(self) -> None:
        """What was handed to the store's thread is written; a shared one may be out of reach, and is not waited for."""
        last = [asyncio.wrap_future(each.submit(int)) for each in (self._store_threads, self._disk_threads)]
        await asyncio.wait(last, timeout=LEAVE_S if self._sharing else None)

    def _adopt(self, config: Config, found: Mapping[str, Found]) -> list[Driver]:
        """Make the running parts those of this configuration, at once. Returns the drivers that are to be stopped.

        A service that stays keeps its state; `found` is what the store has of those that come.
        """
        before = {service.name: service for service in self._config.services}
        self._config = config
        gone = [self._dropped(name) for name in self._drivers.keys() - {service.name for service in config.services}]
        for service in config.services:
            if service.name in self._drivers:
                self._reconfigure(before[service.name], service)
            else:
                self._begin(service, *found[service.name])
        self._checks.keep(self._parts())
        if self._probing_began:
            self._probe_all()
        if self._sharing:
            self._sharing.look_again()
        return gone

    def _dropped(self, name: str) -> Driver:
        if name in self._probing:
            self._probing.pop(name).cancel()
            self._probers.pop(name)
        self._lived.pop(name, None)
        self._watch.ended(name)
        self._trails.ended(name)
        return self._drivers.pop(name)

    def _probe_all(self) -> None:
        for service in self._config.services:
            self._probe(service.name, build.node_targets(service), partial(self._observed, service.name))
        self._probe("", build.witness_targets(self._config), self._witnessed)

    def _reconfigure(self, old: Service, new: Service) -> None:
        """Switches that stay the same are kept: they know which change of theirs is still PENDING."""
        alike = all(
            getattr(old, part) == getattr(new, part) for part in ("switch", "nodes", "fence", "guest", "answer")
        )
        policy = build.policy(self._config, new)
        self._drivers[new.name].reconfigured(policy, self._session, None if alike else self._switches(new))

    def _begin(self, service: Service, loaded: ev.Loaded | None, lines: Sequence[Line]) -> None:
        policy, switches = build.policy(self._config, service), self._switches(service)
        driver = self._drivers[service.name] = Driver(policy, self._session, switches, self._around())
        driver.start(loaded, NOT_YET if self._sharing else lease.sole(self._config.agent.name), lines)
        driver.post(ev.FreezeSaid(self._window(service)))

    async def _lines(self, service: str) -> Sequence[Line]:
        """The newest history, for those who follow a switch; an agent can do without, and starts without AWS."""
        if self._sharing:
            return ()
        try:
            lines: Sequence[Line] = await self._stored(self._records.history, [service], HISTORY_LINES)
        except StoreError as error:
            log.warning("%s: its history can't be read: %s", service, error)
            return ()
        return lines

    def _around(self) -> Surroundings:
        threads = (self._store_threads, self._acting_threads, self._reading_threads)
        around = (self._records, self._clock, *threads)
        return Surroundings(*around, self._served, self._told, self.failed, self._views.took_s)

    def _switches(self, service: Service) -> build.Switches:
        if self._session is None:
            return build.NO_SWITCHES
        return build.switches(service, self._session, partial(self._reached, service, asyncio.get_running_loop()))

    def _reached(self, service: Service, loop: asyncio.AbstractEventLoop, address: str) -> tuple[bool, str]:
        """Called in AWS's threads: probe an address that has moved, as the service is probed."""
        target = build.address_target(service, address)
        seen = asyncio.run_coroutine_threadsafe(observe(target), loop).result()
        return seen.sight is Sight.ACTIVE, seen.evidence

    def _probe(self, name: str, targets: Sequence[Any], emit: Callable[[Observation], None]) -> None:
        if name in self._probers:
            self._probers[name].replace(targets)
            return
        self._probers[name] = Prober(targets, emit, Random())  # noqa: S311 jitter, no secret
        self._probing[name] = self._group.create_task(self._probers[name].run())

    async def _stored(self, read: Callable[..., Any], *what: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._store_threads, read, *what)

    # --- what happens -------------------------------------------------------------------------------------------------

    def _observed(self, service: str, seen: Observation) -> None:
        self.metrics.probed(service, seen.endpoint, seen)
        if service in self._drivers:  # a probe may end just after its service was taken out
            self._drivers[service].post(ev.Observed(seen))

    def _witnessed(self, seen: Observation) -> None:
        for driver in self._drivers.values():
            driver.post(ev.Observed(seen))

    def _served(self, service: str, assignment: Assignment) -> None:
        self._lived[service] = assignment
        self._awake.workers.publish(zones(self._config, self._lived))
        if isinstance(self._awake.kept, Served):
            self._disk_threads.submit(_remember, self._awake.kept, service, assignment)

    def _told(self, line: Line, cause: Cause | None) -> None:
        if line.kind == "committed" and cause:
            self.metrics.failed_over(line.service, cause)
        if line.took_s:
            self.metrics.stages(line.service, line.took_s)
        if line.kind in SETTLED:
            self._look_again.set()
        self._watched(line)

    def _watched(self, line: Line) -> None:
        """The views of a switch are read often; a first assignment is no switch."""
        driver = self._drivers.get(line.service)
        flight = driver.state.flight if driver else None
        match line.kind:
            case "opened" if flight and flight.intent.origin:
                self._watch.opened(line.service, Assignment(flight.intent.node, flight.intent.epoch))
            case "stage":
                self._watch.stirred(line.service)
            case "committed":
                self._watch.committed(line.service)
            case "abandoned" | "lost":
                self._watch.ended(line.service)
            case "drift":
                self._ask_who(line)

    def _ask_who(self, line: Line) -> None:
        asked = self._config.aws and self._config.aws.cloudtrail
        service = next((each for each in self._config.services if each.name == line.service), None)
        if asked and service and self._session:
            self._trails.ask(service.name, trail(service, self._session), line.wall_s)

    def _remarked(self, service: str, sentence: str) -> None:
        if service in self._drivers:
            self._drivers[service].remark("trail", sentence)

    async def _pet(self) -> None:
        notify("WATCHDOG=1")
        for service in self._config.services:
            self._open_window(service)

    async def _confirm(self) -> None:
        """Whether every worker answers from the newest zone."""
        try:
            await asyncio.wait_for(self._awake.workers.published(), TICK_S)
        except TimeoutError:
            self._dns_ready = False
        else:
            self._dns_ready, self._confirmed_at = True, self._clock.monotonic()

    def _open_window(self, service: Service) -> None:
        driver, window = self._drivers[service.name], self._window(service)
        if driver.state.window != window:
            driver.post(ev.FreezeSaid(window))

    def _window(self, service: Service) -> str | None:
        at = datetime.fromtimestamp(self._clock.wall(), UTC)
        return next((freeze.name for freeze in service.freezes if freeze.covers(at)), None)

    async def _test_store(self) -> None:
        troubled = [driver for driver in self._drivers.values() if driver.state.store_trouble]
        if not troubled:
            return
        with suppress(StoreError):
            await self._stored(self._records.test)
            for driver in troubled:
                driver.recovered()

    async def _keep_looking(self) -> None:
        while True:
            self._look_again.clear()  # before the reading: what happens during it is looked at again
            await self.look()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._look_again.wait(), self._views_s())

    def _views_s(self) -> float:
        """What was read once, and is not yet believed, is soon read again."""
        usual_s = self._config.aws.views_interval_s if self._config.aws else VIEWS_S
        doubted = any(d.state.drift and d.state.drift.times < READINGS for d in self._drivers.values())
        return min(usual_s, DOUBT_S) if doubted else usual_s

    # --- reload -------------------------------------------------------------------------------------------------------

    async def reload(self) -> None:
        """A file that can't be taken over leaves everything as it was."""
        async with self._reloading:
            try:
                config, dns_policy, found = await self._prepared()
            except (ConfigError, StoreError) as error:
                self._reload_ok = False
                log.warning("the configuration is not reloaded, the old one stays:\n%s", error)
                return
            gone = self._adopt(config, found)
            self._awake.workers.publish(zones(config, self._lived), dns_policy)
            self._reload_ok = True
            log.info("the configuration is reloaded")
        await asyncio.gather(*(driver.stop() for driver in gone))

    async def _prepared(self) -> tuple[Config, DnsPolicy, dict[str, Found]]:
        """All that a reload needs, read and judged before anything is changed."""
        config = load(self._awake.path)
        dns_policy = await asyncio.to_thread(checked, config)
        new = [service.name for service in config.services if service.name not in self._drivers]
        loaded = {name: await self._stored(self._records.load, name) for name in new if not self._sharing}
        refuse_unknown_nodes(config, loaded)
        found = {name: (loaded.get(name), await self._lines(name)) for name in new}
        _refuse(self._config, config, {name: driver.named() for name, driver in self._drivers.items()})
        return config, dns_policy, found

    # --- the desk -----------------------------------------------------------------------------------------------------

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def snapshot(self) -> Snapshot:
        now = self._clock.monotonic()
        return Snapshot(
            agent=self._config.agent.name,
            now=now,
            wall_s=self._clock.wall(),
            uptime_s=now - self._began,
            services=tuple(self._service_snapshot(service, now) for service in self._config.services),
            store_up=self._store_up(),
            store_age_s=self._sharing.age_s() if self._sharing else 0.0,
            dns=self._awake.workers.counters(),
            dns_ready=self._dns_ready,
            answer_age_s=now - self._confirmed_at,
            reload_ok=self._reload_ok,
            credentials_end_s=self._credentials_end,
            findings=self._checks.found(),
        )

    def _store_up(self) -> bool:
        troubled = any(driver.state.store_trouble for driver in self._drivers.values())
        return not troubled and not (self._sharing and self._sharing.trouble)

    def _service_snapshot(self, service: Service, now: float) -> ServiceSnapshot:
        state = self._drivers[service.name].state
        return ServiceSnapshot(
            state=state,
            addresses=answers.answers(service),
            views=self._views.seen(service.name, now),
            disagreement_s=self._views.disagreement_s(service.name, now),
            assignment_age_s=now - state.committed_at if state.committed_at > 0 else None,
        )

    async def say(self, service: str, word: ev.Event) -> ev.Reply:
        return await self._driver(service).say(word)

    async def foresee(self, service: str, word: ev.Promote) -> Forecast:
        driver = self._driver(service)
        intent = driver.foretold(word)
        configured = next(each for each in self._config.services if each.name == service)
        loop = asyncio.get_running_loop()
        steps = await loop.run_in_executor(self._reading_threads, driver.foresee, intent)
        return replace(forecast(self._config, configured, intent, driver.lines), steps=steps)

    def _driver(self, service: str) -> Driver:
        if service not in self._drivers:
            raise RefusedError(f"there is no service {service}: there is {', '.join(self._drivers)}")
        return self._drivers[service]

    async def history(self, service: str | None, limit: int) -> Sequence[Line]:
        names = [self._driver(service).service] if service else list(self._drivers)
        lines: Sequence[Line] = await self._stored(self._records.history, names, limit)
        return lines

    def follow(self, service: str, epoch: int) -> AsyncIterator[Line]:
        return self._driver(service).follow(epoch)

    async def look(self) -> None:
        async with self._looking:
            for service in self._config.services:
                if driver := self._drivers.get(service.name):  # a reload may take one out meanwhile
                    await self._look_at(service, driver)
            await self._look_at_credentials()

    async def _look_at(self, service: Service, driver: Driver) -> None:
        """All views; of AWS's sides the machine is told what they said of the assignment that was live before."""
        live, ours = driver.live(), {side.name for side in driver.sides}
        reads = await self._views.look(service.name, self._sides(service))
        if live and ours and self._drivers.get(service.name) is driver:
            sides = tuple(pointing(each) for each in reads if each.name in ours)
            driver.post(ev.SidesRead(live.epoch, sides))

    def _assignment(self, service: str) -> Assignment | None:
        return self._drivers[service].live() if service in self._drivers else None

    def _sides_of(self, name: str) -> list[Any]:
        return next((self._sides(service) for service in self._config.services if service.name == name), [])

    def _sides(self, service: Service) -> list[Any]:
        return [*answering.views(self._config, service), *self._drivers[service.name].sides]

    async def _look_at_credentials(self) -> None:
        if self._session is None:
            return
        with suppress(CloudError):
            loop = asyncio.get_running_loop()
            self._credentials_end = await loop.run_in_executor(self._reading_threads, self._session.credentials_end)

    async def check(self) -> Sequence[Finding]:
        """Now, all of it; a few services at a time, as the account's rate is shared with the views and the switches."""
        await self.look()
        at_a_time = asyncio.Semaphore(CHECKED_AT_A_TIME)

        async def checked(part: str) -> None:
            async with at_a_time:
                await self._check(part)

        await asyncio.gather(*map(checked, self._parts()))
        return self._checks.found()

    def _parts(self) -> list[str]:
        return [AGENT, *self._drivers]

    async def _keep_checking(self) -> None:
        """The same, spread over the interval."""
        first = True
        while True:
            parts = self._parts()
            for part in parts:
                await asyncio.sleep(pause_s(len(parts), self._check_s(), first=first))
                if part in self._parts():
                    await self._check(part)
            first = False

    def _check_s(self) -> float:
        return self._config.aws.check_interval_s if self._config.aws else CHECK_S

    async def _check(self, part: str) -> None:
        questions = self._of_agent() if part == AGENT else self._of_service(self._drivers[part])
        ask = partial(preflight.asked, part, questions, PATIENCE_S)
        found = await asyncio.get_running_loop().run_in_executor(self._reading_threads, lambda: list(ask()))
        if part in self._parts():
            self._checks.heard(part, found)

    def _of_agent(self) -> list[preflight.Question]:
        config, session = self._config, self._session
        questions: list[preflight.Question] = [
            partial(preflight.disk, config.agent.state_dir),
            partial(preflight.store, self._records.test),
            partial(preflight.delegations, config),
        ]
        if session is None:
            return questions
        lines = [partial(preflight.virtual_interface, session, each) for each in config.path.virtual_interfaces]
        asked = partial(preflight.credentials, session, self._clock.wall())
        return [*questions, asked, lambda: preflight.clock(session.ahead_s), *lines]

    def _of_service(self, driver: Driver) -> list[preflight.Question]:
        name, state, session = driver.service, driver.state, self._session
        questions: list[preflight.Question] = [
            partial(preflight.sides, name, self._views.reads(name), state.assignment),
            partial(preflight.nodes, state, self._clock.monotonic()),
            partial(preflight.witnesses, state),
        ]
        if session is None or self._config.aws is None:
            return questions
        identity = self._config.aws.identity
        questions += [partial(preflight.step, name, each) for each in driver.steps]
        questions += [partial(preflight.permissions, name, each, session, identity) for each in driver.steps]
        return questions + [partial(preflight.rehearsal, name, node, driver.rehearse) for node in state.policy.nodes]


def _remember(kept: Served, service: str, assignment: Assignment) -> None:
    try:
        kept.keep(service, assignment)
    except StoreError as error:
        log.warning("%s: after a restart without the shared store it would not be known: %s", service, error)


def _refuse(old: Config, new: Config, named: Mapping[str, set[str]]) -> None:
    """What a running agent can't take over: where it listens, where it keeps its state, how it reaches AWS; the loss of
    a live node.
    """
    changed = [key for key in FIXED if attrgetter(key)(old) != attrgetter(key)(new)]
    problems = [f"{key}: it changed, which needs a restart" for key in changed]
    for i, service in enumerate(new.services):
        missing = named.get(service.name, set()) - {node.name for node in service.nodes}
        problems += [f"service[{i}].node: {name} is live and can't be taken out; promote another" for name in missing]
    if problems:
        raise ConfigError(problems)


async def live(awake: Awake, leaving: threading.Event) -> int:
    """Runs the agent until SIGTERM, SIGINT or SIGUSR1, or not at all if `leaving` is set by now. Returns the exit
    status.

    A control socket or metrics port that can't be opened is told, and done without.
    """
    agent, http, ended = Live(awake), awake.config.http.listen, asyncio.Event()
    _on_signals(agent, ended)
    if leaving.is_set():
        ended.set()
    async with AsyncExitStack() as ends:
        ends.push_async_callback(agent.stop)
        await agent.begin()
        for serving in (
            serve_control(agent, awake.config.control.socket),
            serve_http(agent, agent.metrics, http.address, http.port),
        ):
            try:
                ends.push_async_callback((await serving).cleanup)
            except ControlError as error:  # the name is answered, and that comes first
                log.error("the agent goes on without it: %s", error)  # noqa: TRY400 what matters is the reason
        running = asyncio.create_task(agent.run())
        running.add_done_callback(lambda _: ended.set())
        await ended.wait()
        notify("STOPPING=1")
        agent.crashed = running.done()
        if agent.crashed:
            log.critical("the agent ends by a fault in this program", exc_info=running.exception())
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return 1 if agent.crashed else 0


def _on_signals(agent: Live, ended: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    reloads: set[asyncio.Task[None]] = set()

    def ended_reload(task: asyncio.Task[None]) -> None:
        reloads.discard(task)
        fault = None if task.cancelled() else task.exception()
        if fault:
            agent.failed(fault)

    def reload() -> None:
        task = loop.create_task(agent.reload())
        reloads.add(task)
        task.add_done_callback(ended_reload)

    def hand_over() -> None:
        agent.handing_over = True
        ended.set()

    loop.add_signal_handler(signal.SIGUSR1, hand_over)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    loop.add_signal_handler(signal.SIGHUP, reload)
