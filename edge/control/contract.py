"""What the control side is told of the agent, and what it may ask of it.

`Snapshot` is one moment of everything that status, metrics and pages show: they are functions of it, and reading
changes nothing. `Desk` is the agent as an operator meets it: questions, and words that are answered with a `Reply`.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from edge.failover.events import Event, Promote, Reply
from edge.failover.model import State
from edge.history import Line


class DnsCounts(Protocol):
    """What the DNS workers count; see edge.dns.counters.Counters."""

    @property
    def queries(self) -> Mapping[tuple[str, str, str], int]: ...  # (qtype, rcode, transport)

    @property
    def dropped(self) -> Mapping[str, int]: ...

    @property
    def events(self) -> Mapping[str, int]: ...

    @property
    def responses(self) -> Sequence[int]: ...

    @property
    def response_s(self) -> float: ...

    @property
    def cage(self) -> Mapping[str, bool]: ...


@dataclass(frozen=True, slots=True)
class ViewSnapshot:
    """What one side tells who asks. `agrees` None: it could not be read, and `said` is why.

    `ttl_s`: how long it may be kept, where that is known. `warning`: what else is not as it should be.
    """

    name: str
    node: str | None
    epoch: int
    said: str
    agrees: bool | None
    age_s: float
    ttl_s: int | None = None
    warning: str = ""


@dataclass(frozen=True, slots=True)
class ServiceSnapshot:
    """`addresses`: what each node's name answer would be. `disagreement_s`: how long some view has not agreed; 0 when
    all do.

    `assignment_age_s`: seconds since the assignment that is served was committed, as far as this boot knows.
    `without_store`: while the store is out of reach, what stands against a move that all agents agree on.
    """

    state: State
    addresses: Mapping[str, tuple[str, ...]]
    views: tuple[ViewSnapshot, ...]
    disagreement_s: float
    assignment_age_s: float | None
    without_store: str | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`now` is monotonic, `wall_s` and `credentials_end_s` are seconds since 1970. `answer_age_s`: since the
    controller, which alone can change the answers, last confirmed them to the workers. `store_age_s`: since a shared
    store last told anything, which is how old this agent's truth may be; 0 for one of its own. `dns_ready`: every
    worker serves the newest zone. `witness`: this agent observes and answers, and never leads.
    """

    agent: str
    now: float
    wall_s: float
    uptime_s: float
    services: tuple[ServiceSnapshot, ...]
    store_up: bool
    store_age_s: float
    dns: DnsCounts
    dns_ready: bool
    answer_age_s: float
    reload_ok: bool
    credentials_end_s: float | None
    findings: tuple["Finding", ...] = ()
    witness: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the preflight check, of a service or ("") of the agent. `advice`: what to do about it."""

    service: str
    subject: str
    level: str  # one of LEVELS
    sentence: str
    advice: str = ""

    @property
    def what(self) -> str:
        return f"{self.service} {self.subject}" if self.service else self.subject


@dataclass(frozen=True, slots=True)
class ForeseenCall:
    """`service` is boto3's name of it, `operation` AWS's name of the call."""

    service: str
    operation: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ForeseenStep:
    """`reads`: what the step reads now, or why it can't, which is `trouble`. `calls`: what it would then send."""

    stage: str
    step: str
    reads: str
    calls: tuple[ForeseenCall, ...] = ()
    trouble: bool = False


@dataclass(frozen=True, slots=True)
class Cost:
    """A part of an outage: at worst, and in the last switch (None: not known)."""

    name: str
    worst_s: float
    last_s: float | None
    arithmetic: str


@dataclass(frozen=True, slots=True)
class Forecast:
    """A promotion that is not done."""

    service: str
    sentence: str
    node: str
    epoch: int
    steps: tuple[ForeseenStep, ...]
    outage: tuple[Cost, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Signed:
    """What one agent says to another; `mac`: that it has the key, in hex."""

    text: str
    mac: str


class Desk(Protocol):
    """Every method may raise WorldError; RefusedError where there is no such service or operation."""

    def snapshot(self) -> Snapshot: ...

    async def say(self, service: str, word: Event) -> Reply:
        """Give the machine an operator's word (Promote, Hold, Release, Approve, Reject)."""
        ...

    async def foresee(self, service: str, word: Promote) -> Forecast:
        """What the word would do; nothing is changed. Raises RefusedError as the word would be refused."""
        ...

    def monotonic(self) -> float:
        """The agent's clock: what `Hold.until` counts on."""
        ...

    async def history(self, service: str | None, limit: int) -> Sequence[Line]: ...

    def follow(self, service: str, epoch: int) -> AsyncIterator[Line]:
        """The lines of one switch, past and coming, as they are told; ends after the one that ends it (see FINAL)."""
        ...

    async def look(self) -> None:
        """Read every view anew, so that the next snapshot is fresh."""
        ...

    async def check(self) -> Sequence[Finding]: ...

    def stances(self, asked: Signed) -> Signed:
        """How this agent stands to a move without the store, for another agent. Raises RefusedError for anybody else's
        question.
        """
        ...


LEVELS = ("ok", "warn", "fail")
FINAL = frozenset({"agreed", "abandoned", "lost"})
"""The kinds of line after which a switch is over."""
