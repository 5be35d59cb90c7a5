"""While a service is switched its views are read often, so that their windows are measured; before and after, seldom.

Each view is read until it tells the switch's target, anew from each stage on. A name server bears a question every
tenth of a second; AWS's API is asked once a second, and Route 53's less often still (edge.agent.views.RATION_S). What
takes longer than `WATCH_S` is left to the usual readings.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from edge.agent.answering import Answers
from edge.agent.views import Views
from edge.failover.model import Assignment
from edge.switches.contract import Side

WATCH_S = 60.0
FIRST_PAUSE_S = 0.01  # our own workers have the new zone within some milliseconds of the commit
ASKING_S, READING_S = 0.1, 1.0


class Watch:
    """`sides`: a service's, at present. `failed` is told of a fault in this program."""

    def __init__(
        self, views: Views, sides: Callable[[str], Sequence[Side]], failed: Callable[[BaseException], None]
    ) -> None:
        self._views = views
        self._sides = sides
        self._failed = failed
        self._watching: dict[str, asyncio.Task[None]] = {}

    def opened(self, service: str, wanted: Assignment) -> None:
        self._views.opened(service, wanted, [side.name for side in self._sides(service)])
        self.stirred(service)

    def committed(self, service: str) -> None:
        self._views.committed(service)
        self.stirred(service)

    def stirred(self, service: str) -> None:
        """Something has just changed: whatever does not agree yet is read at once."""
        self._cancel(service)
        task = asyncio.get_running_loop().create_task(self._watch(service))
        self._watching[service] = task
        task.add_done_callback(partial(self._done, service))

    def ended(self, service: str) -> None:
        self._views.ended(service)
        self._cancel(service)

    async def stop(self) -> None:
        tasks = list(self._watching.values())
        for service in list(self._watching):
            self.ended(service)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _cancel(self, service: str) -> None:
        if task := self._watching.pop(service, None):
            task.cancel()

    def _done(self, service: str, task: asyncio.Task[None]) -> None:
        if self._watching.get(service) is task:
            del self._watching[service]
        fault = None if task.cancelled() else task.exception()
        if fault:
            self._failed(fault)

    async def _watch(self, service: str) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(WATCH_S), asyncio.TaskGroup() as following:
                for side in self._sides(service):
                    following.create_task(self._follow(service, side))

    async def _follow(self, service: str, side: Side) -> None:
        asked = isinstance(side, Answers)
        pause_s = FIRST_PAUSE_S if asked else READING_S
        while self._views.awaits(service, side.name):
            await self._views.read(service, side)
            await asyncio.sleep(pause_s * len(self._watching))  # many services at once are read as often together
            pause_s = min(2 * pause_s, ASKING_S if asked else READING_S)
