"""What all agents agree on while the store is out of reach, and what of it others tell.

    peers ──stances──▶ here ──Agreed──▶ drivers        each asks all the others, again and again
    peers ◀──stances── here                            who says yes claims no lease for a while

Theory and rules: edge.failover.unanimity. Where `on_store_loss` is "hold", nobody is asked and nothing is told.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from typing import Protocol

from edge.agent.driver import Driver
from edge.agent.reach import Reach
from edge.agent.reading import Read, read
from edge.agent.sharing import Sharing
from edge.agent.stances import Stances
from edge.errors import Fault
from edge.failover import events as ev
from edge.failover import unanimity
from edge.failover.model import Assignment
from edge.failover.unanimity import COUNTED_S, PROMISE_S, Stance

PACE_S = 0.5  # a question and an answer of some hundred bytes on one's own network
HEARD_S = 3.0  # a peer that has answered within that is seen
TRY_S = 2.0  # between two readings of AWS, while the store is out of reach


class Others(Protocol):
    """The other agents that have to agree; see edge.agent.peers.Peers."""

    def names(self) -> tuple[str, ...]: ...

    def troubles(self) -> Mapping[str, str | None]: ...

    async def ask(self, name: str) -> Stances | None: ...


class Unanimity:
    """On the event loop. `patience_s`: for so long store and AWS have to be silent. Readings of AWS block, and run in
    `threads`.
    """

    def __init__(
        self,
        others: Others,
        drivers: Mapping[str, Driver],
        sharing: Sharing,
        reach: Reach,
        now: Callable[[], float],
        *,
        patience_s: float,
        threads: Executor,
    ) -> None:
        self._others = others
        self._drivers = drivers
        self._sharing = sharing
        self._reach = reach
        self._now = now
        self._patience_s = patience_s
        self._threads = threads
        self._heard: dict[str, float] = {}
        self._tried: dict[str, tuple[float, str | None]] = {}
        self._said: dict[str, str] = {}
        if others.names():
            sharing.promise(now() + PROMISE_S)  # what was promised before a restart is kept

    async def run(self) -> None:
        """Until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._again(self._confer, PACE_S))
            group.create_task(self._again(self._try_aws, TRY_S))

    async def _again(self, act: Callable[[], Awaitable[None]], pause_s: float) -> None:
        while True:
            await act()
            await asyncio.sleep(pause_s)

    # --- what we say --------------------------------------------------------------------------------------------------

    def stances(self) -> Stances:
        """As they are told to another agent: a yes is a promise."""
        said = {service: self._stance(service, driver) for service, driver in self._drivers.items()}
        if any(each.node for each in said.values()):
            self._sharing.promise(self._now() + PROMISE_S)
        return said

    def said(self, service: str) -> str | None:
        """What stands against a move, or who decides it, while the store is out of reach; None while it is not, and
        where that is not wanted.
        """
        driver = self._drivers.get(service)
        if driver is None or not driver.state.policy.unanimous or self._store_lost():
            return None
        ours, listed = self._stance(service, driver), driver.state.policy.listed
        if ours.node is None:
            return f"{driver.state.policy.vantage} would not move it: {ours.why}"
        decides = unanimity.proposer(listed)
        told = self._said.get(service, "the others are asked")
        return told if decides == driver.state.policy.vantage else f"we would move it to {ours.node}; {decides} decides"

    def _stance(self, service: str, driver: Driver) -> Stance:
        return unanimity.stance(driver.state, self._cut_off(service), self._now())

    def _cut_off(self, service: str) -> str | None:
        """Why it can't be said that store and AWS are out of reach, and all agents are not; None: so it is."""
        return self._store_lost() or self._aws_lost(service) or self._unseen() or self._strangers()

    def _store_lost(self) -> str | None:
        if self._sharing.claiming:
            return "a claim of the lease is on its way"
        age_s = self._sharing.age_s()
        return None if age_s >= self._patience_s else f"the store answered {age_s:.0f} s ago"

    def _aws_lost(self, service: str) -> str | None:
        silent_s, (tried_at, why) = self._reach.silent_s(), self._tried.get(service, (None, None))
        if silent_s < self._patience_s:
            return f"AWS answered {silent_s:.0f} s ago"
        if tried_at is None or self._now() - tried_at > self._patience_s:
            return "AWS was not asked yet"
        return why

    def _unseen(self) -> str | None:
        unseen = [name for name in self._others.names() if self._now() - self._heard.get(name, -HEARD_S) >= HEARD_S]
        troubles = self._others.troubles()
        said = [f"{name} ({why})" if (why := troubles.get(name)) else name for name in unseen]
        return f"it does not hear {', '.join(said)}" if said else None

    def _strangers(self) -> str | None:
        strangers = self._sharing.strangers
        return f"{', '.join(sorted(strangers))} shares the store and is not listed" if strangers else None

    # --- what the others say ------------------------------------------------------------------------------------------

    async def _confer(self) -> None:
        names, began = self._others.names(), self._now()
        told = await asyncio.gather(*map(self._others.ask, names))
        others = {name: said for name, said in zip(names, told, strict=True) if said is not None}
        self._heard |= dict.fromkeys(others, began)
        for name, said in others.items():
            self._hear(name, {service: each.assignment for service, each in said.items()})
        if names and self._now() - began < COUNTED_S:
            self._decide(others)

    def _hear(self, name: str, live: Mapping[str, Assignment | None]) -> None:
        """What is newer than ours is news."""
        for service, found in live.items():
            driver = self._drivers.get(service)
            ours = driver.live() if driver else None
            if driver and found and (ours is None or found.at > ours.at):
                sentence = f"{found.node} is live at epoch {found.named}: {name} serves it"
                driver.post(ev.Agreed(found, sentence))

    def _decide(self, others: Mapping[str, Stances]) -> None:
        """All within one turn of the loop: nothing happens in between."""
        for service, driver in self._drivers.items():
            policy = driver.state.policy
            if unanimity.proposer(policy.listed) != policy.vantage:
                continue
            ours = self._stance(service, driver)
            theirs = {name: said[service] for name, said in others.items() if service in said}
            found = unanimity.decided(ours, theirs, policy.vantage)
            if isinstance(found, Assignment):
                driver.post(ev.Agreed(found, _decision(found, ours, (policy.vantage, *theirs))))
            else:
                self._said[service] = found

    # --- AWS ----------------------------------------------------------------------------------------------------------

    async def _try_aws(self) -> None:
        """The store is in AWS too; but its other sides may answer while DynamoDB does not."""
        if not self._others.names() or self._store_lost():
            return
        loop, began = asyncio.get_running_loop(), self._now()
        for service, driver in list(self._drivers.items()):
            reads = [loop.run_in_executor(self._threads, read, side, self._now) for side in driver.sides]
            self._tried[service] = (began, _answering(await asyncio.gather(*reads)))


def _answering(reads: list[Read]) -> str | None:
    return next((f"{each.name} is not out of reach" for each in reads if each.fault is not Fault.UNREACHABLE), None)


def _decision(found: Assignment, ours: Stance, names: tuple[str, ...]) -> str:
    agreed = f"{found.node} is live at epoch {found.named}: {', '.join(names)} agree, and see neither store nor AWS"
    return f"{agreed}: {ours.why}"
