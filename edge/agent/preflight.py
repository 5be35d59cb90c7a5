"""The preflight check: what a switch will need, tried beforehand by reading and by dry runs.

A check is a list of questions, in the order in which one would ask them; each finding says what to do. While AWS is out
each question takes seconds: those that come too late are not asked any more, which is said.
"""

import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from edge.agent.reading import Read
from edge.config import Config, Role
from edge.control.contract import Finding
from edge.dns.ask import ask
from edge.errors import CloudError, Fault, StoreError, WorldError
from edge.failover.model import Assignment, Sight, State
from edge.failover.verdict import abstains, differs, of
from edge.switches.contract import Need, Step
from edge.switches.permissions import proof
from edge.switches.session import Session
from edge.switches.virtual_interface import line

DISK_WARN_BYTES = 100 << 20  # the store writes some kilobytes a switch; a disk this full is filling up
CREDENTIALS_WARN_S = 3600.0
SKEW_WARN_S, SKEW_FAIL_S = 60.0, 240.0  # AWS refuses at 300 s (IAM, *Signing AWS API requests*)
FORWARDER_S = 2.0

_NO_KEYS = "give the agent credentials: a credential_process (IAM Roles Anywhere), or a profile"
_UNHEARD = "see whether that agent runs, probes, and reaches the shared store"
_UNASKED = "nothing moves without the store: see that agent's http.listen, and whether vantage.key_file is the same"
_UNLIKE = "let [vantage] be the same in every agent's file: each counts by its own"
_CLOCK = "let this host's clock be kept by NTP (chrony, systemd-timesyncd)"

Question = Callable[[], Iterator[Finding]]
log = logging.getLogger("edge")


def asked(service: str, questions: Sequence[Question], within_s: float) -> Iterator[Finding]:
    """The answers to as many questions as fit into the time. Blocks."""
    until = time.monotonic() + within_s
    for i, question in enumerate(questions):
        if time.monotonic() > until:
            said = f"{len(questions) - i} questions were not asked: those before took {within_s:g} s"
            yield Finding(service, "check", "fail", said, Fault.UNREACHABLE.advice)
            return
        yield from _answered(service, question)


def _answered(service: str, question: Question) -> Iterator[Finding]:
    """A question that breaks is a finding too: what only looks must not end the agent."""
    try:
        yield from question()
    except Exception as error:
        log.exception("a fault in this program")
        yield Finding(service, "check", "fail", f"a fault in this program: {error!r}", "the agent's log says where")


# --- the agent --------------------------------------------------------------------------------------------------------


def role(role_: Role) -> Iterator[Finding]:
    if role_ is Role.WITNESS:
        said = "a witness: it observes and answers, and never leads; what a switch needs is checked by those that may"
        yield Finding("", "role", "ok", said)


def agreeing(troubles: Mapping[str, str | None]) -> Iterator[Finding]:
    """Whether those answer that have to agree without the store: only then would it be found out."""
    for name, trouble in troubles.items():
        if trouble:
            yield Finding("", f"unanimous {name}", "fail", f"it does not say how it stands: {trouble}", _UNASKED)
        else:
            yield Finding("", f"unanimous {name}", "ok", "it says how it stands")


def disk(state_dir: Path) -> Iterator[Finding]:
    advice = "a full disk refuses every switch that it can't record: make room"
    try:
        free = shutil.disk_usage(state_dir).free
    except OSError as error:
        yield Finding(
            "", "disk", "fail", f"{state_dir}: {error.strerror}", "what the agent keeps has to be there: mount it"
        )
        return
    said = f"{free >> 20} MiB free in {state_dir}"
    if free < DISK_WARN_BYTES:
        yield Finding("", "disk", "warn", said, advice)
    else:
        yield Finding("", "disk", "ok", said)


def store(test: Callable[[], None]) -> Iterator[Finding]:
    try:
        test()
    except StoreError as error:
        yield Finding("", "store", "fail", str(error), "no switch can be recorded, so none will open: mend this first")
    else:
        yield Finding("", "store", "ok", "it was written and read back")


def credentials(session: Session, wall_s: float) -> Iterator[Finding]:
    try:
        ends = session.credentials_end()
        who = session.read("sts", "get_caller_identity")["Arn"]
    except CloudError as error:
        advice = _NO_KEYS if error.api == "GetCredentials" else error.fault.advice
        yield Finding("", "credentials", "fail", str(error), advice)
        return
    if ends is not None and ends - wall_s < CREDENTIALS_WARN_S:
        said = f"{who}, for {ends - wall_s:.0f} s more"
        yield Finding("", "credentials", "warn", said, Fault.EXPIRED.advice)
    else:
        lasting = "without an end" if ends is None else f"for {ends - wall_s:.0f} s"
        yield Finding("", "credentials", "ok", f"{who}, {lasting}")


def clock(ahead_s: float | None) -> Iterator[Finding]:
    """By the date of AWS's last answer, which has no fractions of a second."""
    if ahead_s is None:
        yield Finding("", "clock", "warn", "AWS has told no time yet", Fault.UNREACHABLE.advice)
        return
    off_s = abs(ahead_s)
    level = "fail" if off_s > SKEW_FAIL_S else "warn" if off_s > SKEW_WARN_S else "ok"
    said = f"{off_s:.0f} s {'behind' if ahead_s > 0 else 'ahead of'} AWS's" if off_s >= 1 else "as AWS's"
    advice = "" if level == "ok" else f"{Fault.SKEWED.advice}; {_CLOCK}"
    yield Finding("", "clock", level, said, advice)


def virtual_interface(session: Session, interface: str) -> Iterator[Finding]:
    try:
        found = line(session, interface)
    except CloudError as error:
        yield _failed("", interface, error)
        return
    said = f"{found}, as AWS tells, minutes late"
    if found.carries():
        yield Finding("", interface, "ok", said)
    else:
        yield Finding("", interface, "warn", said, "look at the router and at BGP; what the probes say counts")


def delegations(config: Config) -> Iterator[Finding]:
    """Whether each forwarder finds the zones: it is asked for their name servers, which are ours to tell."""
    for forwarder in config.forwarders:
        for zone in config.zones:
            yield _delegation(forwarder.name, forwarder.dns, zone.name, set(zone.nameservers))


def _delegation(forwarder: str, server: tuple[str, int], zone: str, names: set[str]) -> Finding:
    subject = f"delegation of {zone} at {forwarder}"
    advice = "delegate or forward the zone to the agents: docs/forwarders.md"
    try:
        told = {value.rstrip(".").lower() for value in ask(server, zone, "NS", FORWARDER_S).values}
    except WorldError as error:
        return Finding("", subject, "fail", str(error), advice)
    if told != names:
        said = f"it is told {', '.join(sorted(told)) or 'no name server'}, not {', '.join(sorted(names))}"
        return Finding("", subject, "fail", said, advice)
    return Finding("", subject, "ok", f"it is told {', '.join(sorted(told))}")


# --- a service --------------------------------------------------------------------------------------------------------


def sides(service: str, reads: Sequence[Read], live: Assignment | None) -> Iterator[Finding]:
    """What the views' own cycle has read: nobody is asked twice."""
    for each in reads:
        yield _side(service, each, live)


def _side(service: str, each: Read, live: Assignment | None) -> Finding:
    view = each.view
    if view is None:
        advice = each.fault.advice if each.fault else "it has to run, and to let this agent ask"
        return Finding(service, each.name, "fail", each.trouble, advice)
    if live and view.epoch > live.epoch:
        said = f"{view.evidence}: newer than ours ({live.epoch})"
        return Finding(service, each.name, "fail", said, Fault.CONFLICT.advice)
    if live and view.node != live.node:
        said = f"{view.evidence}: not {live.node}, which is live"
        return Finding(service, each.name, "warn", said, Fault.CONFLICT.advice)
    if view.flaw:
        said = f"{view.evidence}: {view.flaw}"
        return Finding(service, each.name, "warn", said, "docs/forwarders.md has settings that keep to it")
    return Finding(service, each.name, "ok", view.evidence)


def step(service: str, one: Step) -> Iterator[Finding]:
    subject = f"step {one.name}"
    try:
        said = one.check()
    except CloudError as error:
        yield _failed(service, subject, error)
    else:
        if said:
            yield Finding(service, subject, "ok", said)


def permissions(service: str, one: Step, session: Session, identity: str | None) -> Iterator[Finding]:
    try:
        needs = one.needs()
    except CloudError as error:
        yield _failed(service, f"permissions of {one.name}", error)
        return
    for need in needs:
        yield _permission(service, need, session, identity)


def _permission(service: str, need: Need, session: Session, identity: str | None) -> Finding:
    found = proof(session, need, identity)
    if found.allowed is None:
        advice = "compare the agent's policy with deploy/iam-policy.json"
        return Finding(service, f"permission {need.action}", "warn", f"unproven: {found.said}", advice)
    level = "ok" if found.allowed else "fail"
    advice = "" if found.allowed else Fault.DENIED.advice
    return Finding(service, f"permission {need.action}", level, found.said, advice)


def rehearsal(service: str, node: str, rehearse: Callable[[str], str]) -> Iterator[Finding]:
    subject = f"switch to {node}"
    try:
        changes = rehearse(node)
    except CloudError as error:
        yield _failed(service, subject, error)
    else:
        yield Finding(service, subject, "ok", f"it would change {changes}, and what can be tried dry passes")


def nodes(state: State, now: float) -> Iterator[Finding]:
    for node in state.policy.nodes:
        opinion = of(state, node, now)
        level = "ok" if opinion.sight is Sight.ACTIVE else "warn"
        advice = "" if level == "ok" else "it can't take over until it is up"
        yield Finding(state.policy.service, f"node {node}", level, opinion.sentence, advice)


def witnesses(state: State) -> Iterator[Finding]:
    if state.policy.witnesses:
        return
    said = "no path.witness is configured: two silent nodes look like a dead path"
    advice = "add an endpoint in AWS that is no file server"
    yield Finding(state.policy.service, "witnesses", "warn", said, advice)


def vantages(state: State, now: float) -> Iterator[Finding]:
    """Whether enough are heard, and what it means when one more is lost."""
    policy = state.policy
    why = {peer: abstains(state, peer, now) for peer in policy.peers}
    left = len(why) + 1 - sum(each is not None for each in why.values())
    thin = f"; {left} of {len(why) + 1} are left, and {policy.quorum} have to agree" if left <= policy.quorum else ""
    for peer, trouble in why.items():
        yield _vantage(
            state, peer, f"{trouble}{thin}" if trouble else None, "warn" if left >= policy.quorum else "fail"
        )


def _vantage(state: State, peer: str, trouble: str | None, level: str) -> Finding:
    subject, unlike = f"vantage {peer}", differs(state, peer)
    if trouble:
        return Finding(state.policy.service, subject, level, trouble, _UNHEARD)
    if unlike:
        return Finding(state.policy.service, subject, "warn", unlike, _UNLIKE)
    return Finding(state.policy.service, subject, "ok", "it is heard")


def _failed(service: str, subject: str, error: CloudError) -> Finding:
    return Finding(service, subject, "fail", str(error), error.fault.advice)
