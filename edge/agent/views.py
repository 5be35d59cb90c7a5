"""Views: what each side tells who asks, read in turn and compared with the assignment. Reading decides nothing."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field

from edge.agent.reading import Read, agrees, read, snapshot
from edge.agent.windows import Window
from edge.control.contract import ViewSnapshot
from edge.failover.model import Assignment
from edge.switches.contract import Side

RATIONED = "route53"
RATION_S = 0.4  # Route 53 grants the whole account 5 requests a second (DNSLimitations): half of it is for switches


@dataclass(slots=True)
class Measuring:
    """`over`: every view agrees, or nobody waits for it any more."""

    window: Window
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Views:
    """The last reading of every side of every service, since when one disagrees, and the window of the last switch.

    `live`: a service's assignment, None without one. `measured` is told how long each view's window was. `sharers`: how
    many agents share the account's ration.
    """

    def __init__(
        self,
        threads: Executor,
        clock: Callable[[], float],
        live: Callable[[str], Assignment | None],
        measured: Callable[[str, str, float], None],
        sharers: Callable[[], int] = lambda: 1,
    ) -> None:
        self._threads = threads
        self._clock = clock
        self._live = live
        self._measured = measured
        self._sharers = sharers
        self._reads: dict[str, dict[str, Read]] = {}
        self._disagreed_at: dict[str, float] = {}
        self._measurings: dict[str, Measuring] = {}
        self._ration = asyncio.Lock()

    # --- reading ----------------------------------------------------------------------------------------------------

    async def look(self, service: str, sides: Sequence[Side]) -> Sequence[Read]:
        """All sides, once. One that is none any more is forgotten."""
        names = {side.name for side in sides}
        self._reads[service] = {name: each for name, each in self._reads.get(service, {}).items() if name in names}
        return await asyncio.gather(*(self.read(service, side) for side in sides))

    async def read(self, service: str, side: Side) -> Read:
        if side.name == RATIONED:
            await self._turn()
        each = await asyncio.get_running_loop().run_in_executor(self._threads, read, side, self._clock)
        self._note(service, each)
        return each

    async def _turn(self) -> None:
        """One reading of all agents' may begin in each ration."""
        await self._ration.acquire()
        asyncio.get_running_loop().call_later(RATION_S * self._sharers(), self._ration.release)

    def _note(self, service: str, each: Read) -> None:
        """A switch that was committed during the reading is what counts."""
        self._reads.setdefault(service, {})[each.name] = each
        if service in self._measurings:
            self._measurings[service].window.note(each)
            self._told(service)
        live = self._live(service)
        if live and any(agrees(one, live) is False for one in self._reads[service].values()):
            self._disagreed_at.setdefault(service, self._since(service, each.at))
        else:
            self._disagreed_at.pop(service, None)

    def _since(self, service: str, at: float) -> float:
        """A view that is first seen to disagree after a switch has done so since the switch."""
        measuring = self._measurings.get(service)
        began = measuring.window.began if measuring and not measuring.over.is_set() else None
        return at if began is None else began

    # --- switches -----------------------------------------------------------------------------------------------------

    def opened(self, service: str, wanted: Assignment, names: Sequence[str]) -> None:
        self.ended(service)
        window = Window(wanted, names, self._reads.get(service, {}).values())
        self._measurings[service] = Measuring(window)

    def committed(self, service: str) -> None:
        if service in self._measurings:
            self._measurings[service].window.committed(self._clock())
            self._told(service)

    def ended(self, service: str) -> None:
        """The window is closed, whatever is missing."""
        if measuring := self._measurings.pop(service, None):
            measuring.over.set()

    def awaits(self, service: str, name: str) -> bool:
        return service in self._measurings and self._measurings[service].window.awaits(name)

    def _told(self, service: str) -> None:
        measuring = self._measurings[service]
        for name, took_s in measuring.window.fresh_s().items():
            self._measured(service, name, took_s)
        if measuring.window.whole:
            measuring.over.set()

    async def took_s(self, service: str, epoch: int, within_s: float | None) -> Mapping[str, float | None]:
        """The windows of a switch, once they are all known or the time is over; empty where it is not measured."""
        measuring = self._measurings.get(service)
        if measuring is None or measuring.window.wanted.epoch != epoch:
            return {}
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await measuring.over.wait()
        return measuring.window.took_s()

    # --- what is shown ------------------------------------------------------------------------------------------------

    def reads(self, service: str) -> Sequence[Read]:
        return tuple(self._reads.get(service, {}).values())

    def seen(self, service: str, now: float) -> tuple[ViewSnapshot, ...]:
        live = self._live(service)
        return tuple(snapshot(each, live, now) for each in self._reads.get(service, {}).values())

    def disagreement_s(self, service: str, now: float) -> float:
        return now - self._disagreed_at.get(service, now)
