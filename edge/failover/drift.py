"""Drift: AWS was changed by somebody else, and says no longer what is committed.

One reading proves nothing, for a describe may be older than our own last change (AWS, *Eventual consistency in the EC2
API*): what is acted upon was seen in two readings in a row, and apart. Nothing is looked for while a switch is under
way or owes AWS something: then AWS differs by our own doing. What `drift` says is done for a drift alone: a live node
that does not serve comes first.

An answer takes the next epoch, so the lease, the journal and the fences hold as for any switch. Answers are counted:
who keeps changing AWS back is not fought for longer than `drift_per_hour` of them.
"""

from collections.abc import Sequence
from dataclasses import replace

from edge.failover import flights, verdict, vetoes
from edge.failover.events import SidesRead, Tell
from edge.failover.flights import Outcome
from edge.failover.model import Assignment, Cause, Drift, OnDrift, Phase, Pointing, Reason, Sight, State
from edge.failover.table import Trigger

READINGS = 2
APART_S = 2.0  # a describe is as old as that at most, as the runner takes it too; people may read views at any time

_OTHERS = frozenset({"manual", "rejected", "hold_down", "flap_budget"})
"""Vetoes that are about a live node that fails: a drift has a word and a budget of its own."""


def sides_read(state: State, event: SidesRead, now: float) -> Outcome:
    if not state.lease.held:  # the leader changes AWS, and what it committed may not have been read yet
        return replace(state, drift=None), None, ()
    before, state = state.drift, vetoes.refreshed(state, vetoes.watched(state, now), now)
    state = _read(state, event, now)
    told, found = _told(before, state.drift), state.drift
    if found is None or found is before or found.times < READINGS:  # what was not read now proves nothing now
        return state, None, told
    if found.epoch > state.floor:
        state, trigger, more = flights.outrun(state, found.epoch, f"AWS carries epoch {found.epoch}: {found.sentence}")
        return state, trigger, (*told, *more)
    if found.held:
        return state, None, told
    state, trigger, more = _answered(state, found, now)
    return state, trigger, (*told, *more)


def _answered(state: State, found: Drift, now: float) -> Outcome:
    adopts = state.policy.on_drift is OnDrift.ADOPT
    node = found.node if adopts else state.assignment and state.assignment.node
    cause, trigger = (Cause.ADOPT, Trigger.ADOPTED) if adopts else (Cause.REPAIR, Trigger.REPAIRED)
    sentence = f"AWS was changed by somebody else: {found.sentence}"
    state, effects = flights.opened(state, node or "", cause, now, who=flights.SELF, sentence=sentence)
    return state, trigger, effects


def _read(state: State, event: SidesRead, now: float) -> State:
    """With what this reading of AWS shows. Where a side could not be read, the others do not prove that all is well."""
    live = state.assignment
    if live is None or live.round or event.epoch != live.epoch or not _at_rest(state):
        return replace(state, drift=None)
    astray = [side for side in event.sides if side.readable and not _agrees(side, live)]
    if astray:
        return replace(state, drift=_drift(state, astray, event.sides, now))
    return state if any(not side.readable for side in event.sides) else replace(state, drift=None)


def _at_rest(state: State) -> bool:
    """Also while a switch is read back, which takes Route 53 a minute: what is changed by then would never agree."""
    verifying = state.phase is Phase.VERIFYING and state.flight is not None and not state.flight.debts
    return verifying or state.phase is Phase.STEADY


def _agrees(side: Pointing, live: Assignment) -> bool:
    return side.node == live.node and side.epoch in (0, live.epoch) and not side.flaw


def _drift(state: State, astray: Sequence[Pointing], sides: Sequence[Pointing], now: float) -> Drift:
    node = _common(state, sides)
    before = state.drift if state.drift and state.drift.node == node else None
    soon = before is not None and now < before.counted_at + APART_S
    times, counted_at = (before.times + (not soon), before.counted_at if soon else now) if before else (1, now)
    since = state.drift.since if state.drift else now
    sentence = ", ".join(f"{side.name}: {side.evidence}{f'; {side.flaw}' if side.flaw else ''}" for side in astray)
    found = Drift(sentence, node, max(side.epoch for side in sides), since, times, counted_at)
    return replace(found, held=_held(state, found, now))


def _common(state: State, sides: Sequence[Pointing]) -> str | None:
    """The other node that every side points to."""
    nodes = {side.node for side in sides}
    return nodes.pop() if len(nodes) == 1 and not nodes & {state.assignment and state.assignment.node} else None


def _held(state: State, found: Drift, now: float) -> Reason | None:
    """Why nothing is done about it, None when something may be."""
    if state.policy.on_drift is OnDrift.ALERT:
        return Reason("alert", 'drift is "alert": nothing is changed')
    if found.times < READINGS:
        return Reason("unconfirmed", "it was read once: the next reading decides")
    if state.need:
        return Reason("need", f"{state.need.sentence}: that comes first")
    astray = _not_adoptable(state, found, now) if state.policy.on_drift is OnDrift.ADOPT else None
    return astray or _vetoed(state, now) or _budget(state, now)


def _not_adoptable(state: State, found: Drift, now: float) -> Reason | None:
    if found.node is None:
        return Reason("astray", "AWS as a whole does not point to one other node")
    opinion = verdict.of(state, found.node, now)
    if opinion.sight is not Sight.ACTIVE:
        return Reason("target", f"{opinion.sentence}: it can't be adopted")
    return None


def _vetoed(state: State, now: float) -> Reason | None:
    """A pin is for the live node, and so is a repair."""
    repairs = state.policy.on_drift is OnDrift.REPAIR
    beside = {*_OTHERS, "pinned"} if repairs else _OTHERS
    return next((veto for veto in vetoes.standing(state, now) if veto.slug not in beside), None)


def _budget(state: State, now: float) -> Reason | None:
    recent = [at for at in state.drift_at if now < at + vetoes.HOUR_S]
    if len(recent) < state.policy.drift_per_hour:
        return None
    sentence = f"AWS was changed behind us {len(recent)} times within an hour: who does it is not fought any longer"
    return Reason("drift_budget", sentence)


def _told(before: Drift | None, after: Drift | None) -> tuple[Tell, ...]:
    """Once for each drift that two readings show, again when it or the answer to it changes, and when it is over."""
    if after is None:
        over = Tell("drift", "AWS says again what is committed")
        return (over,) if before and before.times >= READINGS else ()
    known = before is not None and before.times >= READINGS and _said(before) == _said(after)
    return () if known or after.times < READINGS else (Tell("drift", _said(after)),)


def _said(found: Drift) -> str:
    return f"AWS was changed by somebody else: {found.sentence}{f'; {found.held.sentence}' if found.held else ''}"
