"""What clients of the forwarders are told while both agents switch, while one of them is gone, and after both were.

    a switch      asked sparsely or 20 times a second: the questions around it
    one gone      one agent out and back, then the other: how long questions take, and whether they are answered
    both gone     both out and back: seconds from both answering again to each forwarder's first good answer

Out is `Outage.SILENT` (the machine's packets vanish), `Outage.CLOSED` (killed: its port refuses) or `Outage.STOPPED`
(ended in order, as before a restart).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from enum import Enum

from tests.lab.asker import Asked, Asker, keep_asking
from tests.lab.authorities import NODES, Authority
from tests.lab.two_agents import TwoAgents

Askers = Mapping[str, Asker]
Heard = dict[str, list[Asked]]  # by forwarder

BUSY_S = 0.05
SPARSE_S = 3.0
RECOVERY_S = 0.2
LOOK_S = 0.05


class Outage(Enum):
    SILENT = "silent"
    CLOSED = "closed"
    STOPPED = "stopped"

    def begin(self, agent: Authority) -> None:
        {Outage.SILENT: agent.silence, Outage.CLOSED: agent.kill, Outage.STOPPED: agent.stop}[self]()

    def end(self, agent: Authority) -> None:
        agent.unsilence() if self is Outage.SILENT else agent.start()


@dataclass(frozen=True, slots=True)
class Switch:
    """`switched_s`: when both agents were heard to answer the new node."""

    switched_s: float
    old: str
    new: str
    heard: Heard

    def old_for_s(self, name: str) -> float | None:
        """How long after the switch a question was still answered with the old node; None when none was.

        A question that was asked while one from before the switch was still under way may have been answered together
        with it.
        """
        asked = self.heard[name]
        clear_s = max([self.switched_s, *(each.heard_s for each in asked if each.asked_s <= self.switched_s)])
        late = [each.asked_s for each in asked if each.asked_s > clear_s and each.answer == self.old]
        return max(late) - self.switched_s if late else None

    def wrong(self, name: str) -> list[Asked]:
        """Neither node's address: silence, a refusal, no data."""
        return [each for each in self.heard[name] if each.answer not in (self.old, self.new)]


async def sparse_switch(lab: TwoAgents, askers: Askers, before_s: float, after_s: float) -> Switch:
    """One question so long before the order to switch, one so long after the switch."""
    old = NODES[lab.live]
    before = await ask_all(askers)
    await asyncio.sleep(before_s)
    switched_s = await lab.switch()
    await asyncio.sleep(after_s)
    after = await ask_all(askers)
    return Switch(switched_s, old, NODES[lab.live], {name: [before[name], after[name]] for name in askers})


async def busy_switch(lab: TwoAgents, askers: Askers, before_s: float, after_s: float) -> Switch:
    old = NODES[lab.live]
    async with asking(askers, BUSY_S) as heard:
        await asyncio.sleep(before_s)
        switched_s = await lab.switch()
        await asyncio.sleep(after_s)
    return Switch(switched_s, old, NODES[lab.live], heard)


async def one_gone(
    lab: TwoAgents, clients: Mapping[float, Askers], outage: Outage, *, out_s: float, back_s: float
) -> Heard:
    """Each agent in turn is out for `out_s`, and then answers again for `back_s`. `clients`: by the seconds between
    their questions.
    """
    async with AsyncExitStack() as ends:
        heard = [await ends.enter_async_context(asking(askers, every_s)) for every_s, askers in clients.items()]
        await asyncio.sleep(back_s)
        for agent in lab.agents:
            await out([agent], outage, out_s)
            await lab.answered_by_both()
            await asyncio.sleep(back_s)
    return {name: asked for each in heard for name, asked in each.items()}


async def both_gone(
    lab: TwoAgents, askers: Askers, outage: Outage, out_s: float, patience_s: float
) -> dict[str, float | None]:
    """Seconds until each forwarder's first good answer; None when there was none for `patience_s`."""
    async with asking(askers, RECOVERY_S) as heard:
        await out(lab.agents, outage, out_s)
        back_s = await lab.answered_by_both()
        while time.monotonic() < back_s + patience_s:
            await asyncio.sleep(LOOK_S)
            if None not in recovered(heard, NODES[lab.live], back_s).values():
                break
    return recovered(heard, NODES[lab.live], back_s)


def recovered(heard: Heard, good: str, back_s: float) -> dict[str, float | None]:
    good_s = {name: [each.heard_s for each in asked if each.answer == good] for name, asked in heard.items()}
    return {name: min((at - back_s for at in ats if at > back_s), default=None) for name, ats in good_s.items()}


async def out(agents: Sequence[Authority], outage: Outage, out_s: float) -> None:
    for agent in agents:
        await asyncio.to_thread(outage.begin, agent)
    await asyncio.sleep(out_s)
    for agent in agents:
        await asyncio.to_thread(outage.end, agent)


async def ask_all(askers: Askers) -> dict[str, Asked]:
    return dict(zip(askers, await asyncio.gather(*(asker.ask() for asker in askers.values())), strict=True))


@asynccontextmanager
async def asking(askers: Askers, every_s: float) -> AsyncIterator[Heard]:
    """One client a forwarder asks while the block runs, their beats spread over the period; then all are answered."""
    heard: Heard = {name: [] for name in askers}
    over = asyncio.Event()

    async def one(name: str, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await keep_asking(askers[name], every_s, lambda: not over.is_set(), heard[name])

    async with asyncio.TaskGroup() as clients:
        for i, name in enumerate(askers):
            clients.create_task(one(name, i * every_s / len(askers)))
        yield heard
        over.set()
