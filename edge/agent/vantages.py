"""What several agents tell each other of what they see, through the store that they share.

Each posts its own opinions: at once where one has changed, and else as often as the lease is renewed. They are heard as
often as that too, but five times a second by the leader while it, or somebody whom it has heard, sees a live node that
does not serve: only then may a word move anything. A report counts from when we first read its version, by our own
clock, for as long as a lease lasts; one that has not changed since we began may be from last year.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import replace

from edge.agent.driver import Driver
from edge.errors import StoreError
from edge.failover import events as ev
from edge.failover import lease, relief, verdict
from edge.failover.lease import Keeper, Peer, Word
from edge.failover.model import Assignment, Report, Sight
from edge.stores.leases import Leases

EAGER_S = 0.2  # five small reads a second cost DynamoDB's customer five cents a day
AGAIN_S = 0.1
Told = tuple[bool, Mapping[str, Sight]]
log = logging.getLogger("edge")


class Vantages:
    """On the event loop. `keeper` is the present one; `faced` is told whether we are fit to lead. Blocking reads and
    writes run in `threads`.
    """

    def __init__(
        self,
        keeper: Callable[[], Keeper],
        faced: Callable[[bool], None],
        leases: Leases,
        drivers: Mapping[str, Driver],
        now: Callable[[], float],
        *,
        threads: Executor,
    ) -> None:
        self._keeper = keeper
        self._faced = faced
        self._leases = leases
        self._drivers = drivers
        self._now = now
        self._threads = threads
        self._news, self._worry = asyncio.Event(), asyncio.Event()
        self._posted: Mapping[str, Told] = {}
        self._peers: Mapping[str, Peer] = {}
        self.strangers: set[str] = set()
        self._blind_since: float | None = None
        self._hindered: relief.Since = {}

    async def run(self) -> None:
        """Until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._speak())
            group.create_task(self._listen())

    def saw(self, service: str) -> None:
        """The driver has heard of one of its endpoints. Where no vantages are listed, nobody waits for the news."""
        counts = service in self._drivers and self._drivers[service].state.policy.peers
        if counts and _told(self._report(service)) != self._posted.get(service):
            self._news.set()
            self._worry.set()

    def hear_now(self) -> None:
        """The lease has become ours. What hindered us while another agent led is of no matter."""
        self._hindered = {}
        self._worry.set()

    # --- our own word -------------------------------------------------------------------------------------------------

    async def _speak(self) -> None:
        while True:
            self._news.clear()
            posted, timing = await self._post(), self._keeper().timing
            if posted:
                await within(timing.renew_s, self._news)
            else:
                await asyncio.sleep(timing.often_s)

    async def _post(self) -> bool:
        reports = {service: self._report(service) for service in self._drivers}
        lived = {service: driver.state.assignment for service, driver in self._drivers.items()}
        moved = {service: live for service, live in lived.items() if live and live.round}
        self._posted = {service: _told(report) for service, report in reports.items()}  # what is seen meanwhile is news
        could = frozenset(name for name, driver in self._drivers.items() if relief.could(driver.state, self._now()))
        if await self._said(Word(0, self._path_up(), self._keeper().candidate, reports, moved, could)):
            return True
        self._posted = {}
        return False

    async def _said(self, word: Word) -> bool:
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._threads, self._leases.say, self._keeper().name, word)
        except StoreError as error:
            log.debug("what this agent sees is not posted: %s", error)
            return False
        return True

    def _report(self, service: str) -> Report:
        return verdict.report(self._drivers[service].state, self._now())

    def _path_up(self) -> bool:
        """Down only where every service's endpoints are silent."""
        states = [driver.state for driver in self._drivers.values()]
        return not states or any(not verdict.path_down(state, self._now()) for state in states)

    async def withdraw(self) -> None:
        """After `run` ended: what we saw last must not stand until it is stale, whatever the others see."""
        policies = {service: driver.state.policy for service, driver in self._drivers.items()}
        gone = {service: verdict.withdrawn(policy, self._now()) for service, policy in policies.items()}
        word = Word(0, path_up=False, candidate=False, reports=gone)
        while not await self._said(word):  # noqa: ASYNC110 a store that is back sets no event
            await asyncio.sleep(AGAIN_S)

    # --- the others' --------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        while True:
            self._worry.clear()
            await self._hear()
            if self._keeper().lease().held and any(map(self._in_doubt, self._drivers.values())):
                await asyncio.sleep(EAGER_S)
            else:
                await within(self._keeper().timing.renew_s, self._worry)

    async def _hear(self) -> None:
        """Where no vantages are listed, nobody else's word matters while we see what we need."""
        self._look_around()
        if self._blind_since is None and not self._hindered:  # whatever the store says
            self._faced(True)
            if not any(driver.state.policy.peers for driver in self._drivers.values()):
                self._peers = {}  # what was said meanwhile is no news when they are heard again
                return
        try:
            loop = asyncio.get_running_loop()
            words = await loop.run_in_executor(self._threads, self._leases.heard)
        except StoreError as error:
            log.debug("what the other agents see is not heard: %s", error)
            return
        others = {name: word for name, word in words.items() if name != self._keeper().name}
        before, self._peers = self._peers, lease.heard(self._peers, others, self._now())
        self._hand_on({name: peer for name, peer in self._peers.items() if peer != before.get(name)})
        self._faced(not self._relieved())

    def _look_around(self) -> None:
        if self._path_up():
            self._blind_since = None
        elif self._blind_since is None:
            self._blind_since = self._now()
        states = [driver.state for driver in self._drivers.values()]
        self._hindered = relief.hindered(states, self._hindered, self._now())

    def _hand_on(self, moved: Mapping[str, Peer]) -> None:
        for name, peer in moved.items():
            if peer.moved_at == -math.inf:
                continue
            self._welcome(name)
            for service, report in peer.word.reports.items():
                if service in self._drivers:
                    self._drivers[service].post(ev.Reported(name, replace(report, at=peer.moved_at)))
            for service, live in peer.word.moved.items():
                self._hear_of(name, service, live)

    def _hear_of(self, name: str, service: str, live: Assignment) -> None:
        """What all agents agreed on without the store, by one that may not reach us otherwise."""
        driver = self._drivers.get(service)
        if driver and driver.state.policy.unanimous and name in driver.state.policy.peers:
            sentence = f"{live.node} is live at epoch {live.named}: {name} serves it, by the store"
            driver.post(ev.Agreed(live, sentence))

    def _welcome(self, name: str) -> None:
        """One whom our file lacks is told of once: the agents' lists differ."""
        listed = {peer for driver in self._drivers.values() for peer in driver.state.policy.peers}
        if listed and name not in listed | self.strangers:
            self.strangers.add(name)
            log.warning("%s posts what it sees, and is not among the vantages of this file: it does not count", name)

    def _relieved(self) -> bool:
        """Whether another agent, heard of since our path went down, has its own up, or sees what we can't."""
        blind, fresh_s = self._blind_since, self._keeper().timing.duration_s
        seeing = blind is not None and lease.relieved(self._peers, blind, self._now(), fresh_s)
        return seeing or relief.relieved(self._peers, self._hindered, self._now(), fresh_s)

    def _in_doubt(self, driver: Driver) -> bool:
        live, policy = driver.state.assignment, driver.state.policy
        if live is None or not policy.peers:
            return False
        ours, *theirs = (said.sight for said in verdict.vantages(driver.state, live.node, self._now()).values())
        return ours is not Sight.ACTIVE or any(sight in (Sight.DOWN, Sight.STANDBY) for sight in theirs)


def _told(report: Report) -> Told:
    """What of a report is news: the evidence changes with every probe."""
    return report.path_up, {node: said.sight for node, said in report.opinions.items()}


async def within(seconds: float, event: asyncio.Event) -> None:
    """Wait for the event; after so long it is set, whatever happens."""
    timer = asyncio.get_running_loop().call_later(seconds, event.set)
    try:
        await event.wait()
    finally:
        timer.cancel()
