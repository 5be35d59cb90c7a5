"""One view as it was read, and what it says of the assignment."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from edge.control.contract import ViewSnapshot
from edge.errors import Fault, WorldError
from edge.failover.model import Assignment, Pointing
from edge.switches.contract import Side, View

log = logging.getLogger("edge")


@dataclass(frozen=True, slots=True)
class Read:
    """When it was read (monotonic seconds). `view` None: it could not be, and `trouble` says why."""

    name: str
    at: float
    view: View | None
    trouble: str = ""
    fault: Fault | None = None


def agrees(read: Read, live: Assignment) -> bool | None:
    """None where the side could not be read. A side without epochs (0) agrees by its node alone."""
    if read.view is None:
        return None
    return read.view.node == live.node and read.view.epoch in (0, live.epoch)


def snapshot(each: Read, live: Assignment | None, now: float) -> ViewSnapshot:
    view = each.view or View(None, 0, each.trouble)
    agreeing = agrees(each, live) if live else None
    return ViewSnapshot(each.name, view.node, view.epoch, view.evidence, agreeing, now - each.at, view.ttl_s, view.flaw)


def read(side: Side, clock: Callable[[], float]) -> Read:
    """Blocks."""
    try:
        view = side.view()
    except WorldError as error:
        return Read(side.name, clock(), None, str(error), getattr(error, "fault", None))
    except Exception as error:
        log.exception("a fault in this program, in reading %s", side.name)
        return Read(side.name, clock(), None, f"a fault in this program: {error!r}", Fault.IMPOSSIBLE)
    return Read(side.name, clock(), view)


def pointing(read_: Read) -> Pointing:
    """What the core is told of a side of AWS."""
    if read_.view is None:
        return Pointing(read_.name, None, 0, read_.trouble, readable=False)
    return Pointing(read_.name, read_.view.node, read_.view.epoch, read_.view.evidence, read_.view.flaw)
