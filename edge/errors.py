"""The error tree: whose fault it is, and so who can mend it.

EdgeError
 ├── ConfigError          our configuration: the operator mends the file; every problem is listed
 ├── RefusedError         what an operator asked for can't be done now; the sentence says why
 └── WorldError           the world is down: retried, shown, never guessed at
      ├── StoreError      the store can't be read or written
      │    ├── StoreConflictError   somebody else wrote first: the version is not the one that was read
      │    │    └── EpochOverError  the epoch that it is for was ended meanwhile
      │    └── StoreSchemaError     the store is damaged or from another version of this program
      ├── ControlError    the agent's control socket can't be reached or answers nonsense
      └── CloudError      an AWS call failed; `fault` says how (see `Fault`)

A packet that can't be read is no exception: the DNS side answers FORMERR or drops it (edge.dns.answer).
"""

from collections.abc import Sequence
from enum import Enum


class Fault(Enum):
    """How an AWS call failed, which is all that the decision to retry, hold or alert needs."""

    DENIED = "denied"
    EXPIRED = "credentials expired"
    THROTTLED = "throttled"
    SKEWED = "clock skewed"
    UNREACHABLE = "unreachable"
    CONFLICT = "conflict"
    IMPOSSIBLE = "impossible"
    BARRED = "barred"  # not sent: we may not act now

    @property
    def advice(self) -> str:
        """What to do about it."""
        return _ADVICE[self]


_ADVICE = {
    Fault.DENIED: "attach deploy/iam-policy.json to the agent's identity; where the keys are refused, correct them",
    Fault.EXPIRED: "renew the credentials; a credential_process that refreshes them by itself is better",
    Fault.THROTTLED: "something else uses up the API's rate for this account",
    Fault.SKEWED: "set this host's clock: AWS refuses requests that are five minutes off",
    Fault.UNREACHABLE: "check the route to the AWS endpoint, and that its name resolves without our own zone",
    Fault.IMPOSSIBLE: "correct the configuration",
    Fault.BARRED: "ask the agent that leads",
    Fault.CONFLICT: "read `edgectl views`, and promote the node that is right",
}


class EdgeError(Exception):
    """Whatever this program raises on purpose."""


class ConfigError(EdgeError):
    """The configuration can't work. `problems` has one sentence a mistake: file, key, what was found, what would be
    right.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class RefusedError(EdgeError):
    """An operator's word was refused; the message is the reason to show."""


class WorldError(EdgeError):
    """Something outside this process is unavailable."""


class StoreError(WorldError):
    """The store can't be read or written: no new epoch until it can."""


class StoreConflictError(StoreError):
    """A compare-and-set met another version than the one that was read."""


class EpochOverError(StoreConflictError):
    """The store does not have the epoch as one to act for: somebody ended it, or opened the next."""


class StoreSchemaError(StoreError):
    """The store is damaged or was written by another version: the message says what to do."""


class ControlError(WorldError):
    """The agent can't be reached over its control socket."""


class CloudError(WorldError):
    """An AWS call failed. `api` is its name, `fault` the class, the message AWS's own words."""

    def __init__(self, api: str, fault: Fault, message: str) -> None:
        self.api = api
        self.fault = fault
        super().__init__(f"{api}: {fault.value}: {message}")
