"""The transition table: all that may follow what, as data. What is done on entering a phase is `machine`'s.

STEADY as a target means "home": VERIFYING or FENCING where an older switch is owed, SILENT without an assignment.
"""

from dataclasses import dataclass
from enum import Enum

from edge.failover.model import Phase


class Trigger(Enum):
    """What an event, or the lapse of time, amounts to."""

    LOADED = "loaded"
    RESUMED = "resumed"
    UNSETTLED = "unsettled"
    FOUND = "found"
    NEEDED = "needed"
    PROPOSED = "proposed"
    WITHDRAWN = "withdrawn"
    PROMOTED = "promoted"
    STORED = "stored"
    REFUSED = "refused"
    DONE = "done"
    WAIVED = "waived"
    OWED = "owed"
    PAID = "paid"
    RETRIED = "retried"
    COMMITTED = "committed"
    ABANDONED = "abandoned"
    LOST = "lost"
    REPAIRED = "repaired"
    ADOPTED = "adopted"
    AGREED = "agreed"
    RECONCILED = "reconciled"


@dataclass(frozen=True, slots=True)
class Row:
    """One transition. `because` is for the reader: the diagram and the table in docs/design.md are made of them."""

    phase: Phase
    trigger: Trigger
    to: Phase
    because: str


_P, _T = Phase, Trigger
TABLE: tuple[Row, ...] = (
    Row(_P.SILENT, _T.LOADED, _P.STEADY, "the store was read"),
    Row(_P.SILENT, _T.RESUMED, _P.FENCING, "the journal has a switch that had begun: it is finished"),
    Row(_P.SILENT, _T.UNSETTLED, _P.VERIFYING, "committed, but AWS was not yet seen to agree"),
    Row(
        _P.SILENT,
        _T.FOUND,
        _P.OPENING,
        "AWS points to a node, or to none and one is up: the first assignment",
    ),
    Row(_P.SILENT, _T.PROMOTED, _P.OPENING, "an operator names the first node"),
    Row(_P.SILENT, _T.AGREED, _P.STEADY, "another agent tells what it serves"),
    Row(_P.STEADY, _T.AGREED, _P.STEADY, "all agents have agreed to move the answer, or one tells of what is newer"),
    Row(_P.STEADY, _T.LOADED, _P.STEADY, "a shared store was read again: what another agent committed is served"),
    Row(_P.STEADY, _T.RESUMED, _P.FENCING, "the lease is ours now, and a switch of the last leader had begun"),
    Row(_P.STEADY, _T.UNSETTLED, _P.VERIFYING, "the lease is ours now, and AWS was not yet seen to agree"),
    Row(_P.STEADY, _T.NEEDED, _P.OPENING, "the live node does not serve, another does, no veto stands"),
    Row(_P.STEADY, _T.PROPOSED, _P.PROPOSED, "as needed, in mode confirm"),
    Row(_P.STEADY, _T.PROMOTED, _P.OPENING, "an operator promotes"),
    Row(_P.STEADY, _T.REPAIRED, _P.OPENING, "AWS was changed by somebody else, drift is repair: asserted anew"),
    Row(_P.STEADY, _T.ADOPTED, _P.OPENING, "AWS was changed to another node that serves, drift is adopt: followed"),
    Row(_P.STEADY, _T.RECONCILED, _P.OPENING, "the store is back: what all agents agreed on is the next epoch"),
    Row(_P.PROPOSED, _T.PROMOTED, _P.OPENING, "a person approves, or promotes"),
    Row(_P.PROPOSED, _T.WITHDRAWN, _P.STEADY, "rejected, or the need is over, or a veto came up"),
    Row(_P.OPENING, _T.STORED, _P.FENCING, "the intent is in the journal"),
    Row(_P.OPENING, _T.REFUSED, _P.STEADY, "the store has a newer epoch, or could not write"),
    Row(_P.OPENING, _T.LOST, _P.STEADY, "the lease is lost"),
    Row(_P.FENCING, _T.DONE, _P.MOVING, "fenced"),
    Row(_P.FENCING, _T.WAIVED, _P.MOVING, "the fence failed and is not required"),
    Row(_P.FENCING, _T.RETRIED, _P.FENCING, "a required fence failed: again, nothing moves before"),
    Row(_P.FENCING, _T.NEEDED, _P.OPENING, "waiting, and the target failed meanwhile: the next epoch"),
    Row(_P.FENCING, _T.PROMOTED, _P.OPENING, "waiting, and an operator promotes: the next epoch"),
    Row(_P.FENCING, _T.ABANDONED, _P.STEADY, "AWS carries a newer epoch"),
    Row(_P.FENCING, _T.LOST, _P.STEADY, "the lease is lost"),
    Row(_P.MOVING, _T.DONE, _P.PUBLISHING, "moved and read back"),
    Row(_P.MOVING, _T.OWED, _P.PUBLISHING, "AWS does not take it, and on_aws_outage is answer"),
    Row(_P.MOVING, _T.RETRIED, _P.MOVING, "AWS does not take it, and on_aws_outage is hold: again"),
    Row(_P.MOVING, _T.NEEDED, _P.OPENING, "waiting, and the target failed meanwhile: the next epoch"),
    Row(_P.MOVING, _T.PROMOTED, _P.OPENING, "waiting, and an operator promotes: the next epoch"),
    Row(_P.MOVING, _T.ABANDONED, _P.STEADY, "AWS carries a newer epoch"),
    Row(_P.MOVING, _T.LOST, _P.STEADY, "the lease is lost"),
    Row(_P.PUBLISHING, _T.DONE, _P.COMMITTING, "the batch was accepted"),
    Row(_P.PUBLISHING, _T.OWED, _P.COMMITTING, "AWS does not take it, and on_aws_outage is answer"),
    Row(_P.PUBLISHING, _T.RETRIED, _P.PUBLISHING, "AWS does not take it, and on_aws_outage is hold: again"),
    Row(_P.PUBLISHING, _T.NEEDED, _P.OPENING, "waiting, and the target failed meanwhile: the next epoch"),
    Row(_P.PUBLISHING, _T.PROMOTED, _P.OPENING, "waiting, and an operator promotes: the next epoch"),
    Row(_P.PUBLISHING, _T.ABANDONED, _P.STEADY, "AWS carries a newer epoch"),
    Row(_P.PUBLISHING, _T.LOST, _P.STEADY, "the lease is lost"),
    Row(_P.COMMITTING, _T.COMMITTED, _P.VERIFYING, "the assignment is in the store"),
    Row(_P.COMMITTING, _T.RETRIED, _P.COMMITTING, "the store could not write: again"),
    Row(_P.COMMITTING, _T.ABANDONED, _P.STEADY, "the store has a newer epoch"),
    Row(_P.COMMITTING, _T.LOST, _P.STEADY, "the lease is lost"),
    Row(_P.VERIFYING, _T.DONE, _P.STEADY, "every side agrees"),
    Row(_P.VERIFYING, _T.PAID, _P.VERIFYING, "a debt is paid: the next one, or the reading back"),
    Row(_P.VERIFYING, _T.RETRIED, _P.VERIFYING, "a debt or the reading back failed: again"),
    Row(_P.VERIFYING, _T.NEEDED, _P.OPENING, "the new live node does not serve"),
    Row(_P.VERIFYING, _T.PROPOSED, _P.PROPOSED, "as needed, in mode confirm"),
    Row(_P.VERIFYING, _T.REPAIRED, _P.OPENING, "as in STEADY: what was changed meanwhile would never agree"),
    Row(_P.VERIFYING, _T.ADOPTED, _P.OPENING, "as in STEADY"),
    Row(_P.VERIFYING, _T.RECONCILED, _P.OPENING, "as in STEADY"),
    Row(_P.VERIFYING, _T.PROMOTED, _P.OPENING, "an operator promotes"),
    Row(_P.VERIFYING, _T.ABANDONED, _P.STEADY, "AWS carries a newer epoch"),
    Row(_P.VERIFYING, _T.LOST, _P.STEADY, "the lease is lost"),
)
NEXT = {(row.phase, row.trigger): row.to for row in TABLE}
