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
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from operator import attrgetter
from typing import Any

from edge.agent import answers, build
from edge.agent.aftermath import Aftermath
from edge.agent.driver import Driver, Surroundings
from edge.agent.examiner import Examiner
from edge.agent.forecast import forecast
from edge.agent.keeping import Keeping
from edge.agent.lookout import Lookout
from edge.agent.notices import Notices, heed
from edge.agent.peers import Peers
from edge.agent.probing import Probing
from edge.agent.reach import Reach
from edge.agent.sharing import Sharing
from edge.agent.stances import UnsignedError, key_of
from edge.agent.systemd import notify
from edge.agent.threads import Threads
from edge.agent.trails import Trails
from edge.agent.unanimity import Unanimity
from edge.agent.views import Views
from edge.agent.wake import Awake, refuse_unknown_nodes
from edge.agent.watch import Watch
from edge.agent.zones import checked, zones
from edge.config import Config, Role, Service, load
from edge.control.contract import Finding, Forecast, ServiceSnapshot, Signed, Snapshot
from edge.control.metrics import Metrics
from edge.dns.counters import BUCKETS_S
from edge.dns.guard import Policy as DnsPolicy
from edge.errors import ConfigError, Fault, RefusedError, StoreError
from edge.failover import events as ev
from edge.failover import lease
from edge.failover.model import Assignment, Lease, Sight
from edge.history import Line
from edge.probes.loop import observe
from edge.stores.dynamodb import DynamoStore
from edge.stores.leases import Leases
from edge.stores.records import Records
from edge.stores.served import Served
from edge.stores.sqlite import SqliteStore
from edge.switches.session import Session

TICK_S = 1.0
WARM_S = 5.0  # credentials that hang must not keep the probes from starting
HISTORY_LINES = 200
FIXED = ("agent", "control", "http", "store", "lease", "aws", "dns.listen", "dns.workers")  # a reload can't change them
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
        self._threads = Threads()
        self.metrics = Metrics(self.snapshot, BUCKETS_S)
        settings = build.aws(awake.config)
        self._reach = Reach(awake.clock.monotonic)
        self._session = Session(settings, self._aws_called) if settings else None
        self._lived = {name: found.assignment for name, found in awake.loaded.items() if found.assignment}
        self._drivers: dict[str, Driver] = {}
        kept = awake.kept
        self._records, self._sharing = self._reached_store(kept)
        self._keeping = Keeping(kept, self._threads.disk) if isinstance(kept, Served) else None
        self._peers = Peers(lambda: self._config)
        self._unanimity = self._agreeing(self._sharing) if self._sharing else None
        reading = self._threads.viewing, awake.clock.monotonic
        self._views = Views(*reading, self._assignment, self.metrics.view_agreed, self._sharers)
        present = (lambda: self._config), self._drivers
        self._lookout = Lookout(*present, self._session, self._views, self._threads.reading)
        self._trails = Trails(self._threads.reading, self._remarked, self.failed)
        self._notices = Notices(lambda: self._config)
        self._watch = Watch(self._views, self._lookout.sides_of, self.failed)
        self._probing = Probing(*present, self._sharing, self.metrics)
        self._aftermath = Aftermath(
            *present,
            self._session,
            metrics=self.metrics,
            lookout=self._lookout,
            watch=self._watch,
            trails=self._trails,
            notices=self._notices if self._sharing else None,
        )
        self._examiner = Examiner(
            *present,
            records=self._records,
            session=self._session,
            views=self._views,
            clock=awake.clock,
            agreeing=self._peers.troubles,
            threads=self._threads.reading,
        )
        self._fault: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.crashed = self.handing_over = False
        self._reloading = asyncio.Lock()
        self._confirmed_at = self._began
        self._dns_ready = False
        self._reload_ok = True

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
            lease_thread=self._threads.lease,
            store_thread=self._threads.store,
            reading_threads=self._threads.sharing,
        )
        return records, sharing

    def _agreeing(self, sharing: Sharing) -> Unanimity:
        patience_s, threads = self._config.lease.duration_s, self._threads.reading
        now = self._clock.monotonic
        return Unanimity(self._peers, self._drivers, sharing, self._reach, now, patience_s=patience_s, threads=threads)

    def _aws_called(self, api: str, seconds: float, fault: Fault | None) -> None:
        self.metrics.aws_called(api, seconds, fault)
        self._reach.called(api, seconds, fault)

    # --- life -------------------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """The drivers, with what the store remembers. Nothing is probed before `run`."""
        names = [service.name for service in self._config.services]
        found = {name: (self._awake.loaded.get(name), await self._lines(name)) for name in names}
        self._adopt(self._config, found)

    async def run(self) -> None:
        """Until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._until_fault())
            group.create_task(self._awake.workers.supervise())
            group.create_task(self._tell_ready())
            group.create_task(self._again_and_again(self._pet))
            await self._warm()
            self._probing.begin(group)
            for act in (self._confirm, self._test_store):
                group.create_task(self._again_and_again(act))
            group.create_task(self._lookout.run())
            group.create_task(self._examiner.run())
            if self._sharing and self._unanimity:
                group.create_task(self._sharing.run())
                group.create_task(self._unanimity.run())
                group.create_task(heed(self._awake.workers, self._sharing.look))

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
        warming = loop.run_in_executor(self._threads.acting, self._session.warm)
        with suppress(TimeoutError):
            async with asyncio.timeout(WARM_S):
                await asyncio.shield(warming)

    async def stop(self) -> None:
        """After a crash, and where a successor is announced, the workers answer on until its own have taken over."""
        self._probing.stop()
        await asyncio.gather(*(driver.stop() for driver in self._drivers.values()))
        if self._sharing and not self.handing_over:  # a successor here takes the lease over by itself
            await self._sharing.leave(LEAVE_S)
        await self._watch.stop()
        self._trails.stop()
        self._notices.stop()
        await self._peers.stop()
        if self.crashed or self.handing_over:
            self._awake.workers.detach()
        else:
            await self._awake.workers.stop()
        await self._written()
        self._threads.shutdown()
        self._awake.kept.close()

    async def _written(self) -> None:
        """What was handed to the store's thread is written; a shared one may be out of reach, and is not waited for."""
        last = [asyncio.wrap_future(each.submit(int)) for each in self._threads.writing()]
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
        self._examiner.forget_the_gone()
        self._probing.again()
        if self._sharing:
            self._sharing.look_again()
        return gone

    def _dropped(self, name: str) -> Driver:
        self._probing.ended(name)
        self._lived.pop(name, None)
        self._watch.ended(name)
        self._trails.ended(name)
        return self._drivers.pop(name)

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
            lines = await self._kept_lines([service], HISTORY_LINES)
        except StoreError as error:
            log.warning("%s: its history can't be read: %s", service, error)
            return ()
        return lines

    async def _kept_lines(self, names: Sequence[str], limit: int) -> Sequence[Line]:
        """With all that was told before."""
        loop = asyncio.get_running_loop()
        lines: Sequence[Line] = await loop.run_in_executor(self._threads.telling, self._records.history, names, limit)
        return lines

    def _around(self) -> Surroundings:
        threads = (self._threads.store, self._threads.telling, self._threads.acting, self._threads.reading)
        around = (self._records, self._clock, *threads)
        told = (self._served, self._aftermath.of, self.failed)
        return Surroundings(*around, *told, self._views.took_s, self._probing.look_closer)

    def _switches(self, service: Service) -> build.Switches:
        if self._session is None:
            return build.NO_SWITCHES
        return build.switches(service, self._session, partial(self._reached, service, asyncio.get_running_loop()))

    def _reached(self, service: Service, loop: asyncio.AbstractEventLoop, address: str) -> tuple[bool, str]:
        """Called in AWS's threads: probe an address that has moved, as the service is probed."""
        target = build.address_target(service, address)
        seen = asyncio.run_coroutine_threadsafe(observe(target), loop).result()
        return seen.sight is Sight.ACTIVE, seen.evidence

    async def _stored(self, read: Callable[..., Any], *what: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads.store, read, *what)

    # --- what happens -------------------------------------------------------------------------------------------------

    def _sharers(self) -> int:
        """How many agents ask AWS for the same account."""
        return max(len(self._config.vantage.names), 1)

    def _served(self, service: str, assignment: Assignment) -> None:
        self._lived[service] = assignment
        self._awake.workers.publish(zones(self._config, self._lived))
        if self._keeping:
            self._keeping.keep(service, assignment)

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
            async with asyncio.timeout(TICK_S):
                await self._awake.workers.published()
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
        if self._keeping:
            self._keeping.again()
        troubled = [driver for driver in self._drivers.values() if driver.state.store_trouble]
        if not troubled:
            return
        with suppress(StoreError):
            await self._stored(self._records.test)
            for driver in troubled:
                driver.recovered()

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
        await asyncio.to_thread(key_of, config)
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
            credentials_end_s=self._lookout.credentials_end_s,
            findings=self._examiner.found(),
            witness=self._config.agent.role is Role.WITNESS,
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
            without_store=self._unanimity.said(service.name) if self._unanimity else None,
        )

    async def say(self, service: str, word: ev.Event) -> ev.Reply:
        return await self._driver(service).say(word)

    async def foresee(self, service: str, word: ev.Promote) -> Forecast:
        driver = self._driver(service)
        intent = driver.foretold(word)
        configured = next(each for each in self._config.services if each.name == service)
        loop = asyncio.get_running_loop()
        steps = await loop.run_in_executor(self._threads.reading, driver.foresee, intent)
        return replace(forecast(self._config, configured, intent, driver.lines), steps=steps)

    def _driver(self, service: str) -> Driver:
        if service not in self._drivers:
            raise RefusedError(f"there is no service {service}: there is {', '.join(self._drivers)}")
        return self._drivers[service]

    async def history(self, service: str | None, limit: int) -> Sequence[Line]:
        names = [self._driver(service).service] if service else list(self._drivers)
        return await self._kept_lines(names, limit)

    def follow(self, service: str, epoch: int) -> AsyncIterator[Line]:
        return self._driver(service).follow(epoch)

    async def look(self) -> None:
        await self._lookout.look()

    async def check(self) -> Sequence[Finding]:
        await self.look()
        return await self._examiner.check()

    def stances(self, asked: Signed) -> Signed:
        if self._unanimity is None:
            raise RefusedError("this agent shares its store with nobody")
        try:
            return self._peers.answer(asked, self._unanimity.stances)
        except UnsignedError as error:
            raise RefusedError(str(error)) from error

    def _assignment(self, service: str) -> Assignment | None:
        return self._drivers[service].live() if service in self._drivers else None


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
