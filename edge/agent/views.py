"""Views: what each side tells who asks, read in turn and compared with the assignment. Reading decides nothing."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from edge.control.contract import ViewSnapshot
from edge.errors import Fault, WorldError
from edge.failover.model import Assignment, Pointing
from edge.switches.contract import Side, View


@dataclass(frozen=True, slots=True)
class Read:
    """One view, when it was read (monotonic seconds). `view` None: it could not be, and `trouble` says why."""

    name: str
    at: float
    view: View | None
    trouble: str = ""
    fault: Fault | None = None


def read(side: Side, now: float) -> Read:
    """Blocks."""
    try:
        return Read(side.name, now, side.view())
    except WorldError as error:
        return Read(side.name, now, None, str(error), getattr(error, "fault", None))


def agrees(read_: Read, live: Assignment) -> bool | None:
    """None where the side could not be read. A side without epochs (0) agrees by its node alone."""
    if read_.view is None:
        return None
    return read_.view.node == live.node and read_.view.epoch in (0, live.epoch)


def pointing(read_: Read) -> Pointing:
    """What the core is told of a side of AWS."""
    if read_.view is None:
        return Pointing(read_.name, None, 0, read_.trouble, readable=False)
    return Pointing(read_.name, read_.view.node, read_.view.epoch, read_.view.evidence, read_.view.flaw)


def _snapshot(each: Read, live: Assignment | None, now: float) -> ViewSnapshot:
    view = each.view or View(None, 0, each.trouble)
    return ViewSnapshot(
        each.name,
        view.node,
        view.epoch,
        view.evidence,
        agrees(each, live) if live else None,
        now - each.at,
        view.ttl_s,
        view.flaw,
    )


class Views:
    """The last reading of every side of every service, and since when one of them disagrees."""

    def __init__(self, threads: Executor) -> None:
        self._threads = threads
        self._reads: dict[str, Sequence[Read]] = {}
        self._disagreed_at: dict[str, float] = {}

    async def look(
        self, service: str, sides: Sequence[Side], live_now: Callable[[], Assignment | None], now: float
    ) -> Sequence[Read]:
        """`live_now` is asked after the reading: a switch that was committed meanwhile is what counts."""
        loop = asyncio.get_running_loop()
        reading = (loop.run_in_executor(self._threads, read, side, now) for side in sides)
        self._reads[service] = reads = await asyncio.gather(*reading)
        live = live_now()
        if live and any(agrees(each, live) is False for each in reads):
            self._disagreed_at.setdefault(service, now)
        else:
            self._disagreed_at.pop(service, None)
        return reads

    def reads(self, service: str) -> Sequence[Read]:
        return self._reads.get(service, ())

    def seen(self, service: str, live: Assignment | None, now: float) -> tuple[ViewSnapshot, ...]:
        return tuple(_snapshot(each, live, now) for each in self._reads.get(service, ()))

    def disagreement_s(self, service: str, now: float) -> float:
        return now - self._disagreed_at.get(service, now)
