"""What goes into the machine (events: facts) and what comes out (effects: values that a shell performs).

A shell posts an event for the outcome of each effect that has one; nothing else tells the machine what became of it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from edge.errors import Fault
from edge.failover.model import (
    Assignment,
    Cause,
    Intent,
    Lease,
    Observation,
    Override,
    Pointing,
    Policy,
    Reason,
    Report,
    Stage,
    State,
)

# --- events ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the store had: at the start, and with a shared one each time that it was read again.

    `opened`: an intent that was neither committed nor abandoned; `begun` when a step of it may have touched AWS.
    `newest`: the highest epoch that the store knows, abandoned ones too.
    `unsettled`: the intent of `assignment`, while its AWS side is not yet known to agree.
    `committed_at`, `automatic_at`, `drift_at`: past switches on the present monotonic clock. The lease is said before:
    who does not hold it serves what is committed, and leaves the rest to the leader.
    """

    assignment: Assignment | None
    opened: Intent | None = None
    begun: bool = False
    unsettled: Intent | None = None
    override: Override | None = None
    newest: int = 0
    committed_at: float = -math.inf
    automatic_at: tuple[float, ...] = ()
    drift_at: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Observed:
    """Our own probe of one endpoint ended."""

    observation: Observation


@dataclass(frozen=True, slots=True)
class Glimpsed:
    """A probe beside the schedule ended, of an endpoint at which a closer look is wanted (`State.glimpses`)."""

    observation: Observation


@dataclass(frozen=True, slots=True)
class Reported:
    """A peer agent posted its opinions."""

    vantage: str
    report: Report


@dataclass(frozen=True, slots=True)
class Surveyed:
    """What AWS said of a service that has no assignment: the node it points to, None where it points nowhere.

    `fault` when AWS could not be read or its parts disagree: `sentence` says how, and nothing is concluded.
    """

    node: str | None
    epoch: int
    sentence: str
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class SidesRead:
    """What every side of AWS was read to say, while the assignment of `epoch` was live."""

    epoch: int
    sides: tuple[Pointing, ...]


@dataclass(frozen=True, slots=True)
class LeaseSaid:
    """`loaded`: what a shared store had once the lease was ours, told with the first word of it."""

    lease: Lease
    loaded: Loaded | None = None


@dataclass(frozen=True, slots=True)
class IntentWritten:
    epoch: int


@dataclass(frozen=True, slots=True)
class Conflicted:
    """The write of `epoch` met as new an epoch in the store, or a newer one: `epoch` is the newest that is known of."""

    epoch: int
    sentence: str


@dataclass(frozen=True, slots=True)
class StoreFailed:
    """A write failed: that of an intent or an assignment of `epoch`, or (None) another one."""

    sentence: str
    epoch: int | None = None


@dataclass(frozen=True, slots=True)
class StoreRecovered:
    pass


@dataclass(frozen=True, slots=True)
class Committed:
    epoch: int


@dataclass(frozen=True, slots=True)
class StageEnded:
    """The runner is through with a stage. `fault` None: done, and read back. `found_epoch`: of a conflict."""

    epoch: int
    stage: Stage
    sentence: str
    fault: Fault | None = None
    found_epoch: int = 0


@dataclass(frozen=True, slots=True)
class Agreed:
    """All agents have agreed on this assignment, or one of them says that it serves it: `sentence` says which."""

    assignment: Assignment
    sentence: str


@dataclass(frozen=True, slots=True)
class Promote:
    """An operator wants `node` live. `expect_epoch` None: whatever the present epoch is."""

    node: str
    who: str
    sentence: str
    force: bool = False
    pin: bool = False
    expect_epoch: int | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """No automatic switch until released, or until the monotonic time `until`."""

    who: str
    sentence: str
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Release:
    who: str


@dataclass(frozen=True, slots=True)
class Approve:
    who: str


@dataclass(frozen=True, slots=True)
class Reject:
    who: str


@dataclass(frozen=True, slots=True)
class FreezeSaid:
    """The freeze window that is open now, None when none is. The calendar, wall-clock time, is read outside."""

    window: str | None


@dataclass(frozen=True, slots=True)
class Reconfigured:
    policy: Policy


@dataclass(frozen=True, slots=True)
class Elapsed:
    """Nothing but time passed."""


Event = (
    Loaded
    | Observed
    | Glimpsed
    | Reported
    | Surveyed
    | SidesRead
    | LeaseSaid
    | IntentWritten
    | Conflicted
    | StoreFailed
    | StoreRecovered
    | Committed
    | StageEnded
    | Agreed
    | Promote
    | Hold
    | Release
    | Approve
    | Reject
    | FreezeSaid
    | Reconfigured
    | Elapsed
)

# --- effects --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReadAws:
    """Read (never write) which node AWS points to -> Surveyed."""


@dataclass(frozen=True, slots=True)
class WriteIntent:
    """-> IntentWritten, Conflicted or StoreFailed."""

    intent: Intent


@dataclass(frozen=True, slots=True)
class RunStage:
    """-> StageEnded."""

    intent: Intent
    stage: Stage


@dataclass(frozen=True, slots=True)
class StopStage:
    """The flight was dropped: whatever runs for this epoch must not begin another step."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Commit:
    """-> Committed, Conflicted or StoreFailed."""

    intent: Intent


@dataclass(frozen=True, slots=True)
class Close:
    """The switch of this epoch is over: finished (committed, and every side agrees), or given up to a newer one."""

    epoch: int
    finished: bool


@dataclass(frozen=True, slots=True)
class Serve:
    """From now on the name is answered with this assignment."""

    assignment: Assignment


@dataclass(frozen=True, slots=True)
class SaveOverride:
    """`forgives`: the switches of the last hour are to be forgotten too, so that the budgets are new."""

    override: Override | None
    forgives: bool = False


@dataclass(frozen=True, slots=True)
class Tell:
    """One sentence for log and history. `marks_s`: seconds that each stage took, where a switch is told of."""

    kind: str
    sentence: str
    epoch: int | None = None
    who: str | None = None
    marks_s: Mapping[str, float] | None = None
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to an operator's word, in the same decision. `epoch` names the switch that was opened, if one was."""

    accepted: bool
    sentence: str
    epoch: int | None = None


Effect = ReadAws | WriteIntent | RunStage | StopStage | Commit | Close | Serve | SaveOverride | Tell | Reply


@dataclass(frozen=True, slots=True)
class Decision:
    """`deadline`: the monotonic time at which the machine wants `Elapsed`, None when only an event changes anything."""

    state: State
    effects: tuple[Effect, ...]
    reason: Reason
    deadline: float | None
