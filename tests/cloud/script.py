"""What a test may script: how slow AWS is, what fails next, and what was asked of it.

A lag is read when somebody looks, not when a change is made. So a test sets an hour, makes its change, sees
the old state for as long as it likes, sets 0 and sees the new one: nothing waits, and no slow machine can
upset it. What has been seen once stays seen.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatchcase
from typing import Any, Literal

SPARED = "EDGESPAREDKEY0000000"  # whoever signs with this key meets no fault


class FaultKind(Enum):
    THROTTLE = "throttle"
    DENY = "deny"
    EXPIRED = "expired"
    SKEWED = "skewed"  # the caller's clock is wrong
    PRIOR_REQUEST = "prior_request"
    BLACK_HOLE = "black_hole"  # take the request, do nothing, never answer
    RESET = "reset"  # take the request, do nothing, break the connection
    HELD = "held"  # take the request, wait until the faults are cleared, then do what is asked and answer
    TIMEOUT_AFTER = "timeout_after"  # do what is asked, then never answer
    STALE = (
        "stale"  # an EC2 describe, a list of commands or a DynamoDB read without consistency: without the last change
    )


@dataclass(frozen=True, slots=True)
class ApiError:
    status: int
    code: str
    message: str


# EC2 has its own words (EC2 API reference, "Error codes"), as have those that speak JSON (DynamoDB developer guide,
# "Error handling"; "Common Errors" of Direct Connect and of Systems Manager). The others use the common ones (their
# "Common Errors" and, for PriorRequestNotComplete, the Route 53 developer guide, "Quotas"). A clock that is wrong: IAM
# user guide, "Troubleshoot Signature Version 4 signing"; EC2 takes a request that is at most 15 minutes old.
SKEW_S = 1200.0
SIGNED_LATE = "Signature expired: 20260101T000000Z is now earlier than 20260101T001500Z (20260101T002000Z - 5 min.)"
EC2_ERRORS = {
    FaultKind.THROTTLE: ApiError(503, "RequestLimitExceeded", "Request limit exceeded."),
    FaultKind.DENY: ApiError(403, "UnauthorizedOperation", "You are not authorized to perform this operation."),
    FaultKind.EXPIRED: ApiError(400, "RequestExpired", "Request has expired."),
    FaultKind.SKEWED: ApiError(400, "RequestExpired", "Request has expired."),  # only the clocks tell
}
JSON_ERRORS = {
    FaultKind.THROTTLE: ApiError(400, "ThrottlingException", "Rate exceeded"),
    FaultKind.DENY: ApiError(400, "AccessDeniedException", "User is not authorized to perform this action."),
    FaultKind.EXPIRED: ApiError(400, "ExpiredTokenException", "The security token included in the request is expired"),
    FaultKind.SKEWED: ApiError(400, "InvalidSignatureException", SIGNED_LATE),
}
COMMON_ERRORS = {
    FaultKind.THROTTLE: ApiError(400, "Throttling", "Rate exceeded"),
    FaultKind.DENY: ApiError(403, "AccessDenied", "User is not authorized to perform this action."),
    FaultKind.EXPIRED: ApiError(403, "ExpiredToken", "The security token included in the request is expired"),
    FaultKind.SKEWED: ApiError(403, "SignatureDoesNotMatch", SIGNED_LATE),
    FaultKind.PRIOR_REQUEST: ApiError(
        400, "PriorRequestNotComplete", "The request was rejected because an earlier one is not complete."
    ),
}
OWN_ERRORS = {"ec2": EC2_ERRORS, **dict.fromkeys(("dynamodb", "directconnect", "ssm"), JSON_ERRORS)}


def error_of(kind: FaultKind, service: str) -> ApiError | None:
    """The error that the service answers with, or None for the kinds that end without an answer."""
    return OWN_ERRORS.get(service, {}).get(kind) or COMMON_ERRORS.get(kind)


@dataclass(slots=True)
class Fault:
    api: str  # "ec2:AssignPrivateIpAddresses", "route53:*", "*"
    kind: FaultKind
    times: int | None = None  # None: until cleared
    skip: int = 0  # so many calls pass before
    after: str | None = None  # an API that has to be called first
    spares_dry_runs: bool = False

    def take(self, api: str, *, dry: bool) -> bool:
        if fnmatchcase(api, self.after or ""):
            self.after = None
        if self.times == 0 or self.after or (dry and self.spares_dry_runs) or not fnmatchcase(api, self.api):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True


@dataclass(frozen=True, slots=True)
class Call:
    api: str
    parameters: dict[str, Any]
    at_s: float  # monotonic, as the emulator's machine counts
    result: str  # "ok", AWS's error code, or the kind of the fault that left it unanswered


VifState = Literal[
    "confirming",
    "verifying",
    "pending",
    "available",
    "down",
    "testing",
    "deleting",
    "deleted",
    "rejected",
    "unknown",
]
BgpStatus = Literal["up", "down", "unknown"]


@dataclass(frozen=True, slots=True)
class Vif:
    """A virtual interface of Direct Connect (API_VirtualInterface, API_BGPPeer)."""

    id: str
    state: VifState = "available"
    bgp: BgpStatus = "up"
    connection: str = "dxcon-fg5678gh"


@dataclass(slots=True)
class Outcome:
    """How a document ends: the words of StatusDetails, and what it printed."""

    document: str
    details: str = "Success"
    output: str = ""
    times: int | None = None  # None: until the next reset

    def take(self, document: str) -> bool:
        if self.document != document or self.times == 0:
            return False
        if self.times is not None:
            self.times -= 1
        return True


@dataclass(slots=True)
class Script:
    route53_lag_s: float = 0.0
    ec2_lag_s: float = 0.0
    dynamodb_lag_s: float = 0.0
    stop_lag_s: float = 0.0
    ssm_lag_s: float = 0.0  # until a command that was sent is listed
    delivery_lag_s: float = 0.0  # until it is at the instance
    run_lag_s: float = 0.0  # how long it runs there
    impaired: set[str] = field(default_factory=set)  # instances
    vifs: dict[str, Vif] = field(default_factory=dict)
    agents: dict[str, tuple[str, str]] = field(default_factory=dict)  # of managed instances: ping status and platform
    outcomes: list[Outcome] = field(default_factory=list)
    ran: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)  # instance, document, parameters
    faults: list[Fault] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    trail: list[dict[str, Any]] = field(default_factory=list)  # for CloudTrail: the changes, by region
    lock: threading.Lock = field(default_factory=threading.Lock)
    gate: threading.Event = field(default_factory=threading.Event)  # what is held waits at it

    def clear_faults(self) -> None:
        with self.lock:
            self.faults.clear()
            opened, self.gate = self.gate, threading.Event()
        opened.set()

    def fault_for(self, api: str, *, dry: bool) -> FaultKind | None:
        with self.lock:
            return next((fault.kind for fault in self.faults if fault.take(api, dry=dry)), None)

    def clear(self) -> None:
        known = (self.impaired, self.vifs, self.agents, self.outcomes, self.ran, self.faults, self.calls, self.trail)
        for scripted in known:
            scripted.clear()

    def outcome_of(self, document: str) -> Outcome:
        """Of those that were scripted, the newest."""
        scripted = (each for each in reversed(self.outcomes) if each.take(document))
        return next(scripted, Outcome(document, output=f"{document} was run"))

    def record(self, api: str, parameters: dict[str, Any], result: str) -> None:
        with self.lock:
            self.calls.append(Call(api, parameters, time.monotonic(), result))
