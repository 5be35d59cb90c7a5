"""The values that the core reasons about: frozen, without behaviour beyond naming what they hold.

Times are seconds on one monotonic clock, the agent's own (`now`); no wall-clock time enters the core.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Sight(Enum):
    """What is seen of an endpoint: by one probe, by the counters (health) or by the vantages together (verdict)."""

    ACTIVE = "active"
    STANDBY = "standby"
    DOWN = "down"
    UNKNOWN = "unknown"


class Mode(Enum):
    AUTO = "auto"
    CONFIRM = "confirm"
    MANUAL = "manual"


class Authority(Enum):
    """Who decides which node owns the data: the agent, or a cluster manager that the agent follows."""

    AGENT = "agent"
    CLUSTER = "cluster"


class OnOutage(Enum):
    """What a switch does when AWS does not take its change: answer the new node all the same, or wait."""

    ANSWER = "answer"
    HOLD = "hold"


class OnDrift(Enum):
    """What is done when somebody else has changed AWS: say so, assert the assignment anew, or follow."""

    ALERT = "alert"
    REPAIR = "repair"
    ADOPT = "adopt"


class Phase(Enum):
    SILENT = "silent"
    STEADY = "steady"
    PROPOSED = "proposed"
    OPENING = "opening"
    FENCING = "fencing"
    MOVING = "moving"
    PUBLISHING = "publishing"
    COMMITTING = "committing"
    VERIFYING = "verifying"


IN_FLIGHT = frozenset({Phase.OPENING, Phase.FENCING, Phase.MOVING, Phase.PUBLISHING, Phase.COMMITTING})
"""The phases in which an epoch is open and not yet committed."""


class Stage(Enum):
    """A part of a switch that the runner performs; the runner journals its steps."""

    FENCE = "fence"
    MOVE = "move"
    PUBLISH = "publish"
    VERIFY = "verify"


STAGE_OF = {Phase.FENCING: Stage.FENCE, Phase.MOVING: Stage.MOVE, Phase.PUBLISHING: Stage.PUBLISH}
"""The stage that a phase before the commit is for."""


class Survey(Enum):
    """How far the reading of AWS is, for a service that never had an assignment."""

    IDLE = "idle"  # the store was not read yet, which may have one
    PENDING = "pending"
    DONE = "done"


class Cause(Enum):
    """Why an epoch was opened: the label of `edge_failovers_total`."""

    BOOTSTRAP = "bootstrap"
    FAILURE = "failure"
    FOLLOW = "follow"
    OPERATOR = "operator"
    REPAIR = "repair"
    ADOPT = "adopt"
    UNANIMOUS = "unanimous"  # what all agents agreed on without the store is committed


ANSWERS = frozenset({Cause.REPAIR, Cause.ADOPT})
"""The causes that answer a drift."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One probe of one endpoint.

    `answered`: a packet came back from the far side (a TCP RST counts). `rtt_s`: from the probe's beginning to its end,
    None where its time-out ended it. `evidence`: one phrase for the operator, such as "connection refused".
    """

    endpoint: str
    sight: Sight
    answered: bool
    evidence: str
    rtt_s: float | None = None

    @property
    def in_time(self) -> bool:
        """Whether the path carried all that was said. Who accepts and then falls silent may be lost on the way."""
        return self.answered and self.rtt_s is not None


@dataclass(frozen=True, slots=True)
class Reason:
    """One sentence for the operator, with a slug that is stable enough for a metric's label."""

    slug: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Assignment:
    """The committed truth: `node` serves the service since `epoch`.

    `round`: how many times the answers have moved since then by the word of all agents, while the store was out of
    reach; 0: as it was committed.
    """

    node: str
    epoch: int
    round: int = 0

    @property
    def at(self) -> tuple[int, int]:
        """Of two assignments the one that is higher in this is the newer one."""
        return self.epoch, self.round

    @property
    def named(self) -> str:
        """For people."""
        return f"{self.epoch} round {self.round}" if self.round else str(self.epoch)


@dataclass(frozen=True, slots=True)
class Intent:
    """A switch that was opened: what the journal has before AWS has anything. `origin` is the node that was live.

    `outgoing`: the nodes that may still act for the service, which a fence is for. Besides the live one, those that an
    unfinished switch may have reached.
    """

    epoch: int
    node: str
    origin: str | None
    cause: Cause
    who: str
    sentence: str
    outgoing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Override:
    """An operator's word that stays: no automatic switch (`hold`), or none away from a promoted node (`pinned`)."""

    pinned: bool
    who: str
    sentence: str
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to open epochs and to act, as this agent knows it. A single agent holds it for ever."""

    held: bool
    until: float
    holder: str


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one vantage says of one node, and why."""

    sight: Sight
    sentence: str


@dataclass(frozen=True, slots=True)
class Listed:
    """The vantages as an agent's file lists them, by name, and how many have to agree. The same on all agents."""

    agents: tuple[str, ...] = ()
    witnesses: tuple[str, ...] = ()
    quorum: int = 1


@dataclass(frozen=True, slots=True)
class Report:
    """What a vantage says of each node, as it is posted. `at`: when we first read it, by our own clock. A report from
    a dead path abstains. `listed`: what its file says of the vantages; None where it tells nothing of it.
    """

    at: float
    path_up: bool
    opinions: Mapping[str, Opinion]
    listed: Listed | None = None


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When an endpoint's observations turn its health.

    `fall`, `rise`: observations in a row. `leaky`: the bucket's limit in failures; a failure adds one, a success takes
    a quarter away, so it fills only for an endpoint that fails more than one probe in five (0: no bucket).
    """

    fall: int
    rise: int
    leaky: int


@dataclass(frozen=True, slots=True)
class Policy:
    """One service's rules, as configured.

    `vantage` is this agent, `peers` are the other vantages that are `listed`: `quorum` of them all have to agree.
    """

    service: str
    nodes: tuple[str, ...]
    witnesses: tuple[str, ...]
    thresholds: Thresholds
    stale_s: float  # an endpoint that was not heard of for so long is unknown
    hold_down_s: float
    switches_per_hour: int
    loss_limit: float  # share of recent probes lost by the endpoints that do answer
    stages: frozenset[Stage]  # the stages that have steps
    mode: Mode = Mode.AUTO
    authority: Authority = Authority.AGENT
    on_outage: OnOutage = OnOutage.ANSWER
    fence_required: bool = True
    on_drift: OnDrift = OnDrift.ALERT
    drift_per_hour: int = 3
    vantage: str = "self"
    peers: tuple[str, ...] = ()
    quorum: int = 1
    listed: Listed = Listed()
    unanimous: bool = False  # whether answers may move without the store, where all agents agree
    report_s: float = 15.0  # for so long a peer's report counts, from when we first read it
    lease_margin_s: float = 0.0
    retry_first_s: float = 0.5
    retry_most_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Track:
    """The counters of one endpoint (`health.observe` turns them).

    `run` observations in a row saw `seen`, the first of them at `since`; it was last seen otherwise at `before`.
    `history` has a bit for each of the last `samples` observations, newest lowest, 1 where it answered in time.
    `bucket` is in quarters of a failure. The newest probe began no earlier than `asked_at`; during a run of failures,
    another endpoint first answered a probe that began after the run's first failure at `vouched_at`: infinite until one
    did.
    """

    health: Sight = Sight.UNKNOWN
    seen: Sight = Sight.UNKNOWN
    run: int = 0
    since: float = 0.0
    before: float = 0.0
    heard_at: float | None = None
    asked_at: float = -math.inf
    vouched_at: float = math.inf
    history: int = 0
    samples: int = 0
    bucket: int = 0
    last: Observation | None = None


@dataclass(frozen=True, slots=True)
class Glimpses:
    """What an endpoint showed to the probes beside its schedule, a bit for each as in `Track`."""

    history: int = 0
    samples: int = 0


@dataclass(frozen=True, slots=True)
class Flight:
    """A switch under way.

    `began` is when the trouble that it answers was first seen; `marks` when each stage of it ended, by name, in order.
    `debts`: stages that AWS's outage put off. `trouble`: why the last try failed; the next one is due at `retry_at`,
    which is infinite while a stage runs.
    """

    intent: Intent
    began: float
    marks: Mapping[str, float] = field(default_factory=dict)
    debts: tuple[Stage, ...] = ()
    attempt: int = 0
    trouble: Reason | None = None
    retry_at: float = math.inf

    @property
    def waiting(self) -> bool:
        return self.retry_at < math.inf


@dataclass(frozen=True, slots=True)
class Pointing:
    """Which node one side of AWS was read to point to (None: to none), and at which epoch (0: it carries none).

    `flaw`: what else is not as this agent wrote it. Where the side was not `readable`, `evidence` says why.
    """

    name: str
    node: str | None
    epoch: int
    evidence: str
    flaw: str = ""
    readable: bool = True


@dataclass(frozen=True, slots=True)
class Drift:
    """How AWS differs from the assignment, by the last `times` readings in a row; something has since `since`.

    `node`: the one other node that all of it points to. `epoch`: the highest that it carries. The newest reading that
    counts was at `counted_at`. `held`: why nothing is done about it.
    """

    sentence: str
    node: str | None
    epoch: int
    since: float
    times: int
    counted_at: float
    held: Reason | None = None


@dataclass(frozen=True, slots=True)
class Need:
    """Why a switch is wanted, since when, and to which node (None: there is no node that could serve)."""

    sentence: str
    since: float
    target: str | None


@dataclass(frozen=True)
class State:
    """All that the machine of one service knows. Without slots, as it is copied with each event (`changed`).

    `floor` is the highest epoch seen anywhere. `flight` is the switch under way, `owed` the one that it took over from,
    where that had begun and AWS does not agree with it yet. `left`: the nodes that the answers moved away from without
    the store, so that none was fenced; the committed one first. `automatic_at` are the commits of automatic switches in
    the last hour, `drift_at` those of answers to a drift. `glimpses` has the endpoints at which a closer look is
    wanted, with what it has shown so far; it is empty while none is.
    """

    policy: Policy
    phase: Phase = Phase.SILENT
    tracks: Mapping[str, Track] = field(default_factory=dict)
    glimpses: Mapping[str, Glimpses] = field(default_factory=dict)
    reports: Mapping[str, Report] = field(default_factory=dict)
    assignment: Assignment | None = None
    floor: int = 0
    flight: Flight | None = None
    owed: Flight | None = None
    left: tuple[str, ...] = ()
    need: Need | None = None
    override: Override | None = None
    window: str | None = None
    lease: Lease = Lease(held=False, until=0.0, holder="nobody")
    store_trouble: str | None = None
    conflict: Reason | None = None
    rejected: str | None = None
    committed_at: float = -math.inf
    automatic_at: tuple[float, ...] = ()
    drift: Drift | None = None
    drift_at: tuple[float, ...] = ()
    survey: Survey = Survey.IDLE
    found: str | None = None
    survey_at: float = math.inf
    survey_trouble: str | None = None
    reason: Reason = Reason("silent", "nothing is known yet")


def changed(state: State, **changes: Any) -> State:
    """`replace`, which takes a fifth of a step: no field is set anew but these."""
    copy = object.__new__(State)
    copy.__dict__.update(state.__dict__, **changes)
    return copy
