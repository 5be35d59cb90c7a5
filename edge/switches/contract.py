"""What a switch is: something that reads AWS, and says which calls would make it agree with an intent.

A step has one method, `plan`: it reads, never writes, and returns the calls that are still missing. No calls: AWS
agrees. So the same method observes, plans, reads back and verifies, a dry run is a plan that nobody applies, and a step
can be repeated at any time. It raises CloudError; NewerEpochError where AWS carries a newer epoch.

A side is what an in-VPC client is told by one means: a view of it says which node AWS points to now.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from edge.errors import CloudError, Fault
from edge.failover.model import Intent, Stage


@dataclass(frozen=True, slots=True)
class Call:
    """One AWS call, exactly as it is sent: `service` and `method` are boto3's names. `region`: another than ours."""

    service: str
    method: str
    parameters: Mapping[str, Any]
    region: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """`calls` are still missing; `pending`: none is, but AWS has not finished. `evidence` is what was read."""

    evidence: str
    calls: tuple[Call, ...] = ()
    pending: bool = False


@dataclass(frozen=True, slots=True)
class Need:
    """A permission that a switch may need: an IAM action (`ec2:StopInstances`) on each of the resources.

    `resources`: the ends of their ARNs, `instance/i-...`; another service's than the action's has its name before it,
    `ec2:instance/i-...`. `trials`: calls whose dry runs prove it, where AWS has such.
    `context`: IAM condition keys, and the values that a call would have.
    """

    action: str
    resources: tuple[str, ...]
    trials: tuple[Call, ...] = ()
    context: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class View:
    """Which node one side points to (None: to none), and at which epoch, where it carries one (else 0).

    `strange`: it points to something that is no single node's, so that somebody else has a use for it.
    `ttl_s`: how long who asks may keep what it was told. `flaw`: what else is not as we would have it.
    """

    node: str | None
    epoch: int
    evidence: str
    strange: bool = False
    ttl_s: int | None = None
    flaw: str = ""


class Step(ABC):
    """One journalled part of a stage. `name` is its key in the journal, unique within a service.

    `within_s`: seconds within which a new try may begin; None: the stage's own (edge.switches.runner.Pace).
    `required`: the stage fails with it; else what went wrong is told, and the stage goes on.
    """

    name: str
    stage: Stage
    within_s: float | None = None
    required: bool = True

    @abstractmethod
    def plan(self, intent: Intent) -> Plan: ...

    def foreseen(self, intent: Intent, before: Sequence[Call]) -> Plan:  # noqa: ARG002 for those whom it concerns
        """The plan as it will be once the calls of the steps `before` have been made."""
        return self.plan(intent)

    def applied(self, intent: Intent, answer: Mapping[str, Any]) -> None:  # noqa: B027 for those who need it
        """AWS's answer to a call of the plan, for a step that needs something of it later."""

    def check(self) -> str | None:
        """Read what no plan reads and a switch would stumble over, and say what was found; None where there is nothing
        of the kind. Raises CloudError.
        """
        return None

    def needs(self) -> tuple[Need, ...]:
        """What has to be allowed beside reading. May read; raises CloudError."""
        return ()


Reached = Callable[[str], tuple[bool, str]]
"""Probes an address as the service is probed: whether it serves, and the evidence. Blocks."""


class Verify(Step):
    """Stage verify: what a step has made true still is, and the service answers at the address, where one is given."""

    stage = Stage.VERIFY

    def __init__(self, name: str, acting: Step, address: str | None, reached: Reached) -> None:
        self.name = name
        self._acting = acting
        self._address = address
        self._reached = reached

    def plan(self, intent: Intent) -> Plan:
        plan = self._acting.plan(intent)
        if plan.calls or plan.pending or self._address is None:
            return plan
        serves, evidence = self._reached(self._address)
        return Plan(f"{plan.evidence}; probed: {evidence}", pending=not serves)


class Side(Protocol):
    @property
    def name(self) -> str: ...

    def view(self) -> View: ...


class NewerEpochError(CloudError):
    """AWS carries a newer epoch than ours: whoever wrote it acts now."""

    def __init__(self, api: str, found_epoch: int, message: str) -> None:
        self.found_epoch = found_epoch
        super().__init__(api, Fault.CONFLICT, message)
