"""The preflight check: what a switch will need, tried beforehand by reading alone. Each finding says what to do."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from edge.control.contract import Finding
from edge.errors import CloudError, Fault, StoreError, WorldError
from edge.failover.model import Assignment, Sight, State
from edge.failover.verdict import of
from edge.switches.contract import Side
from edge.switches.session import Session

DISK_WARN_BYTES = 100 << 20  # the store writes some kilobytes a switch; a disk this full is filling up
CREDENTIALS_WARN_S = 3600.0

_ADVICE = {
    Fault.DENIED: "attach deploy/iam-policy.json to the agent's identity",
    Fault.EXPIRED: "renew the credentials; a credential_process that refreshes them by itself is better",
    Fault.THROTTLED: "something else uses up the API's rate for this account",
    Fault.SKEWED: "set this host's clock: AWS refuses requests that are five minutes off",
    Fault.UNREACHABLE: "check the route to the AWS endpoint, and that its name resolves without our own zone",
    Fault.IMPOSSIBLE: "correct the configuration",
    Fault.BARRED: "ask the agent that leads",
    Fault.CONFLICT: "read `edgectl views`, and promote the node that is right",
}


def disk(state_dir: Path) -> Finding:
    free = shutil.disk_usage(state_dir).free
    said = f"{free >> 20} MiB free in {state_dir}"
    if free < DISK_WARN_BYTES:
        return Finding("disk", "warn", said, "a full disk refuses every switch that it can't record: make room")
    return Finding("disk", "ok", said)


def store(test: Callable[[], None]) -> Finding:
    try:
        test()
    except StoreError as error:
        return Finding("store", "fail", str(error), "no switch can be recorded, so none will open: mend this first")
    return Finding("store", "ok", "it was written and read back")


def credentials(session: Session, wall_s: float) -> Finding:
    try:
        ends = session.credentials_end()
        who = session.read("sts", "get_caller_identity")["Arn"]
    except CloudError as error:
        return _failed("credentials", error)
    if ends is not None and ends - wall_s < CREDENTIALS_WARN_S:
        return Finding("credentials", "warn", f"{who}, for {ends - wall_s:.0f} s more", _ADVICE[Fault.EXPIRED])
    return Finding("credentials", "ok", f"{who}, {'without an end' if ends is None else f'for {ends - wall_s:.0f} s'}")


def side(service: str, one: Side, live: Assignment | None) -> Finding:
    subject = f"{service} {one.name}"
    try:
        view = one.view()
    except CloudError as error:
        return _failed(subject, error)
    except WorldError as error:
        return Finding(subject, "fail", str(error), "it has to run, and to let this agent ask")
    if live and view.epoch > live.epoch:
        return Finding(subject, "fail", f"{view.evidence}: newer than ours ({live.epoch})", _ADVICE[Fault.CONFLICT])
    if live and view.node != live.node:
        return Finding(subject, "warn", f"{view.evidence}: not {live.node}, which is live", _ADVICE[Fault.CONFLICT])
    return Finding(subject, "ok", view.evidence)


def rehearsal(service: str, node: str, rehearse: Callable[[str], str]) -> Finding:
    subject = f"{service} switch to {node}"
    try:
        return Finding(subject, "ok", f"AWS would take what it changes: {rehearse(node)}")
    except CloudError as error:
        return _failed(subject, error)


def nodes(state: State, now: float) -> Iterator[Finding]:
    for node in state.policy.nodes:
        opinion = of(state, node, now)
        level = "ok" if opinion.sight is Sight.ACTIVE else "warn"
        advice = "" if level == "ok" else "it can't take over until it is up"
        yield Finding(f"{state.policy.service} node {node}", level, opinion.sentence, advice)


def witnesses(state: State) -> Iterator[Finding]:
    if state.policy.witnesses:
        return
    said = "no path.witness is configured: two silent nodes look like a dead path"
    yield Finding(f"{state.policy.service} witnesses", "warn", said, "add an endpoint in AWS that is no file server")


def _failed(subject: str, error: CloudError) -> Finding:
    return Finding(subject, "fail", str(error), _ADVICE[error.fault])


def sides(service: str, found: Sequence[Side], live: Assignment | None) -> Iterator[Finding]:
    for one in found:
        yield side(service, one, live)
