"""What AWS points to, for a service that never had an assignment: read, never written, and never guessed at."""

import logging
from collections.abc import Sequence

from edge.errors import CloudError, Fault
from edge.failover.events import Surveyed
from edge.switches.contract import Side, View

log = logging.getLogger("edge")


def survey(sides: Sequence[Side]) -> Surveyed:
    """The node that every side which points anywhere points to. Blocks; what disagrees is for a person to settle."""
    try:
        views = {side.name: side.view() for side in sides}
    except CloudError as error:
        return Surveyed(None, 0, str(error), error.fault)
    except Exception as error:
        log.exception("a fault in this program, in reading AWS")
        return Surveyed(None, 0, f"a fault in this program: {error!r}", Fault.IMPOSSIBLE)
    pointed = {view.node for view in views.values() if view.node}
    epoch = max((view.epoch for view in views.values()), default=0)
    strange = {name: view for name, view in views.items() if view.strange}
    if strange:
        return Surveyed(None, epoch, f"AWS points to no node of ours: {_said(strange)}; promote a node", Fault.CONFLICT)
    if len(pointed) > 1:
        return Surveyed(None, epoch, f"AWS disagrees with itself: {_said(views)}; promote a node", Fault.CONFLICT)
    return Surveyed(next(iter(pointed), None), epoch, f"AWS was read: {_said(views) or 'no switch is configured'}")


def _said(views: dict[str, View]) -> str:
    return ", ".join(f"{name}: {view.evidence}" for name, view in views.items())
