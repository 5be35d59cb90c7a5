"""The probing loop: one task an endpoint, each with its own jittered schedule.

Two probes of one endpoint never overlap: a task waits for its probe before it plans the next. A probe that is due while
the loop was held up is made once, at once, and those that were missed are not made up for.

A closer look at an endpoint is beside its schedule and changes nothing of it: many probes, which are told apart as
glimpses and may overlap, since one that is not answered would hold up the others until its time-out.

A new kind is one file with one coroutine, and one line in KINDS.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from random import Random

from edge.config import ProbeKind
from edge.failover.model import Observation, Sight
from edge.probes import smb, tcp
from edge.probes.tcp import Outcome

Kind = Callable[[str, int, float], Awaitable[Outcome]]
"""`await kind(address, port, timeout_s)` ends by the time-out, and raises nothing for what the world does."""

KINDS: Mapping[ProbeKind, Kind] = {
    ProbeKind.TCP: tcp.probe,
    ProbeKind.SMB: smb.probe,
}
WITNESS: Kind = tcp.witness
GLIMPSES_PER_PROBE = 10
QUICKEST_S = 0.02  # between two glimpses: 50 connections a second are no load, and as many as a short look needs


@dataclass(frozen=True, slots=True)
class Target:
    endpoint: str
    address: str
    port: int
    kind: Kind
    interval_s: float
    timeout_s: float
    jitter: float

    @property
    def glimpse_s(self) -> float:
        """Between two glimpses."""
        return max(self.interval_s / GLIMPSES_PER_PROBE, QUICKEST_S)


Emit = Callable[[Observation], None]


Way = Callable[[Target], Coroutine[None, None, None]]


class Prober:
    def __init__(self, targets: Iterable[Target], emit: Emit, glimpsed: Emit, random: Random) -> None:
        self._emit = emit
        self._glimpsed = glimpsed
        self._random = random
        self._wanted = frozenset(targets)
        self._closer: frozenset[str] = frozenset()
        self._changed = asyncio.Event()

    def replace(self, targets: Iterable[Target]) -> None:
        """From the loop's own thread. A target that stays as it was keeps its schedule."""
        self._wanted = frozenset(targets)
        self._changed.set()

    def look_closer(self, endpoints: frozenset[str]) -> None:
        """At these from now on, and at no others. From the loop's own thread."""
        if endpoints != self._closer:
            self._closer = endpoints
            self._changed.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        tasks: dict[tuple[Way, Target], asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                self._changed.clear()
                wanted = {(self._watch, target) for target in self._wanted}
                wanted |= {(self._glimpse, target) for target in self._wanted if target.endpoint in self._closer}
                await _stop(tasks.pop(gone) for gone in tasks.keys() - wanted)
                tasks |= {(way, target): group.create_task(way(target)) for way, target in wanted - tasks.keys()}
                await self._changed.wait()

    async def _watch(self, target: Target) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + self._random.uniform(0, target.jitter) * target.interval_s
        while True:
            await asyncio.sleep(due - loop.time())
            self._emit(await observe(target))
            due = max(due + self._pause_s(target), loop.time())

    async def _glimpse(self, target: Target) -> None:
        """From any moment on, so that the endpoints don't keep step."""
        await asyncio.sleep(self._random.uniform(0, target.glimpse_s))
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(self._glimpse_once(target))
                await asyncio.sleep(target.glimpse_s)

    async def _glimpse_once(self, target: Target) -> None:
        self._glimpsed(await observe(target))

    def _pause_s(self, target: Target) -> float:
        return target.interval_s * self._random.uniform(1 - target.jitter, 1 + target.jitter)


async def _stop(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Waits for them: the successor of a probe must not overlap with it."""
    ending = list(tasks)
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)


async def observe(target: Target) -> Observation:
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        seen = await target.kind(target.address, target.port, target.timeout_s)
    except Exception as error:  # noqa: BLE001 - a fault in a kind is our own trouble: it counts against no node
        seen = Outcome(Sight.UNKNOWN, answered=False, evidence=f"this agent's own trouble: {error!r}")
    return observation(target.endpoint, seen, loop.time() - began, target.timeout_s)


def observation(endpoint: str, seen: Outcome, took_s: float, timeout_s: float) -> Observation:
    """What a probe shows that took so long. One that this agent was much too late to end shows nothing: an answer may
    have lain unread in the socket, and the node may be another one by now.
    """
    late_s = took_s - timeout_s
    if late_s > timeout_s / 2:
        evidence = f"this agent was {late_s * 1000:.0f} ms late itself"
        return Observation(endpoint, Sight.UNKNOWN, answered=False, evidence=evidence)
    if not seen.answered or late_s >= 0:
        return Observation(endpoint, seen.sight, seen.answered, seen.evidence)
    return Observation(endpoint, seen.sight, seen.answered, f"{seen.evidence}, {took_s * 1000:.0f} ms", took_s)
