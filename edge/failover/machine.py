"""The machine of one service: a table of transitions, and the step that follows it.

    SILENT ─▶ OPENING ─▶ FENCING ─▶ MOVING ─▶ PUBLISHING ─▶ COMMITTING ─▶ VERIFYING ─▶ STEADY
                 ▲                                                                       │
                 └──────────── the live node does not serve, and no veto stands ◀────────┘

Rules kept here:
- An effect belongs to entering a phase (`_enter`), so TABLE is the whole truth of what may follow what.
- A new epoch is one above the highest that was ever seen, whoever wrote it.
- Nothing is served before it is committed; a committed assignment is never taken back, only followed by a newer one.
- Fence, move, publish are entered in this order and no other; only a fence that is not required may be waived.
- Once a step may have touched AWS, a switch is never rolled back: it is tried until done, or superseded by the next
  epoch. Until that one is committed the older switch stays owed, and goes on if the newer one can't be opened. Before
  its commit, only a switch that waits for its next try is superseded; a stage that runs is waited for.
- STEADY as a target means "home": VERIFYING or FENCING where an older switch is owed, SILENT without an assignment.
- Who lost the lease, or met a newer epoch, owes nothing more: that is for whoever came after.
"""

import math
from dataclasses import replace
from typing import Any

from edge.errors import Fault
from edge.failover import drift, lease, verdict, vetoes, words
from edge.failover import events as ev
from edge.failover.model import (
    ANSWERS,
    IN_FLIGHT,
    Assignment,
    Authority,
    Cause,
    Drift,
    Flight,
    Intent,
    Mode,
    OnDrift,
    OnOutage,
    Override,
    Phase,
    Reason,
    Sight,
    Stage,
    State,
    Survey,
    changed,
)
from edge.failover.table import NEXT, Trigger

SELF = "edge"
"""Who did it, where no person did."""

SURVEY_RETRY_S = 5.0  # a fresh install waits for AWS: one read in 5 s is far below any API's rate
_DOUBLINGS = 32  # of any pause give more than a century: beyond, a float overflows (at 1024)
_STAGE_OF = {Phase.FENCING: Stage.FENCE, Phase.MOVING: Stage.MOVE, Phase.PUBLISHING: Stage.PUBLISH}
_ACTING = (Stage.FENCE, Stage.MOVE, Stage.PUBLISH)
_FOR_NEED = (Cause.FAILURE, Cause.FOLLOW)
_DAMPED = (*_FOR_NEED, Cause.UNANIMOUS)
_UNMOVED = (Cause.BOOTSTRAP, Cause.REPAIR)  # no other node became live, so no hold-down follows

Learnt = ev.Observed | ev.Glimpsed | ev.Reported | ev.FreezeSaid | ev.Reconfigured | ev.StoreRecovered | ev.Elapsed
Effects = tuple[ev.Effect, ...]
Moved = tuple[State, Effects]
Outcome = tuple[State, Trigger | None, Effects]
"""What an event amounts to: the state with what was learnt, the transition that it triggers, and what to do besides."""


def step(state: State, event: ev.Event, now: float) -> ev.Decision:
    """The state after one fact, the effects to perform, the sentence that explains it, and when to be called again."""
    state, trigger, said = _taken(state, event, now)
    state, first = _moved(state, trigger, now)
    state, trigger, more = _considered(_refreshed(state, now), now)
    state, last = _moved(state, trigger, now)
    return _decided(state, (*said, *first, *more, *last), now)


def _decided(state: State, effects: Effects, now: float) -> ev.Decision:
    state = _looking(state, now)
    reason, before = _reason(state, now), state.reason
    if reason.slug != before.slug and {reason.slug, before.slug} & set(vetoes.HOLDS):
        effects = (*effects, ev.Tell("reason", reason.sentence))
    said = state if reason == before else changed(state, reason=reason)
    return ev.Decision(said, effects, reason, _deadline(state, now))


def _looking(state: State, now: float) -> State:
    wanted = verdict.closer(state, _watched(state), now)
    return state if wanted == state.glimpses else changed(state, glimpses=wanted)


def _deadline(state: State, now: float) -> float | None:
    until = state.override.until if state.override and state.override.until else math.inf
    retry_at = state.flight.retry_at if state.flight else math.inf
    later = [t for t in (until, retry_at, state.survey_at, *vetoes.deadlines(state)) if now < t < math.inf]
    return min(later, default=None)


# --- entering a phase -----------------------------------------------------------------------------------------------


def _moved(state: State, trigger: Trigger | None, now: float) -> Moved:
    return _enter(state, NEXT[state.phase, trigger], now) if trigger else (state, ())


def _enter(state: State, phase: Phase, now: float) -> Moved:
    if phase is Phase.STEADY:
        return _home(state, now)
    if phase is Phase.PROPOSED:
        return _proposed(state)
    flight = _flight(state)
    again = phase is state.phase
    running = (
        replace(flight, retry_at=math.inf) if again else replace(flight, retry_at=math.inf, attempt=0, trouble=None)
    )
    state = replace(state, phase=phase, flight=running)
    if phase is Phase.OPENING:
        return state, (ev.WriteIntent(running.intent),)
    if phase is Phase.COMMITTING:
        return state, (ev.Commit(running.intent),)
    return _run(state, now)


def _run(state: State, now: float) -> Moved:
    """Begin the stage that the phase is for; one without steps is done at once."""
    stage, flight = _stage(state), _flight(state)
    if stage in state.policy.stages:
        return state, (ev.RunStage(flight.intent, stage),)
    state, trigger, effects = _stage_done(state, stage, now)
    state, more = _moved(state, trigger, now)
    return state, (*effects, *more)


def _home(state: State, now: float) -> Moved:
    owed = state.owed
    if owed is None:
        phase = Phase.SILENT if state.assignment is None else Phase.STEADY
        return replace(state, phase=phase, flight=None), ()
    if state.assignment and state.assignment.epoch == owed.intent.epoch:
        return _enter(replace(state, flight=owed, owed=None), Phase.VERIFYING, now)
    anew = replace(owed, debts=())
    return _enter(replace(state, flight=anew, owed=None), Phase.FENCING, now)


def _proposed(state: State) -> Moved:
    stop, state = _parked(state)
    need = state.need
    sentence = f"{need.sentence}: promote {need.target}?" if need else ""
    return replace(state, phase=Phase.PROPOSED), (*stop, ev.Tell("proposed", sentence))


def _parked(state: State) -> tuple[Effects, State]:
    """Leave the flight for another: it had begun, so it stays owed; what runs of it must stop."""
    flight = state.flight
    if flight is None:
        return (), state
    return (ev.StopStage(flight.intent.epoch),), replace(state, flight=None, owed=flight)


def _flight(state: State) -> Flight:
    if state.flight is None:
        raise AssertionError(f"{state.phase} without a flight")
    return state.flight


def _stage(state: State) -> Stage:
    """The stage that runs, or waits to run, in the present phase."""
    if state.phase is not Phase.VERIFYING:
        return _STAGE_OF[state.phase]
    debts = _flight(state).debts
    return debts[0] if debts else Stage.VERIFY


# --- what an event amounts to ---------------------------------------------------------------------------------------


def _taken(state: State, event: ev.Event, now: float) -> Outcome:
    if isinstance(event, Learnt):
        return _learnt(state, event, now), None, ()
    match event:
        case ev.Loaded() | ev.Agreed():
            return _assigned(state, event, now)
        case ev.Surveyed():
            return _surveyed(state, event, now)
        case ev.SidesRead():
            return _sides_read(state, event, now)
        case ev.LeaseSaid():
            return _lease_said(state, event, now)
        case ev.IntentWritten() | ev.Committed() | ev.Conflicted() | ev.StoreFailed():
            return _stored(state, event, now)
        case ev.StageEnded():
            return _stage_ended(state, event, now)
        case ev.Promote():
            return _promote(state, event, now)
        case ev.Approve() | ev.Reject():
            return _judged(state, event, now)
    return _overridden(state, event)


def _learnt(state: State, event: Learnt, now: float) -> State:
    """Facts that move nothing by themselves: what follows of them is considered after every event."""
    match event:
        case ev.Observed(seen):
            return changed(state, tracks=verdict.observed(state, seen, now))
        case ev.Glimpsed(seen):
            return changed(state, glimpses=verdict.glimpsed(state, seen))
        case ev.Reported(vantage, report):
            return _listed(replace(state, reports={**state.reports, vantage: report}))
        case ev.FreezeSaid(window):
            return replace(state, window=window)
        case ev.Reconfigured(policy):
            kept = {name: track for name, track in state.tracks.items() if name in (*policy.nodes, *policy.witnesses)}
            return _listed(replace(state, policy=policy, tracks=kept))
        case ev.StoreRecovered():
            return replace(state, store_trouble=None)
    return state


def _listed(state: State) -> State:
    """Without the reports of those who are no vantages by the present policy."""
    return replace(state, reports={name: said for name, said in state.reports.items() if name in state.policy.peers})


def _assigned(state: State, event: ev.Loaded | ev.Agreed, now: float) -> Outcome:
    return _loaded(state, event, now) if isinstance(event, ev.Loaded) else _agreed_on(state, event, now)


def _loaded(state: State, event: ev.Loaded, now: float) -> Outcome:
    """Who has nothing under way takes over what the store has; of two assignments the one of the higher epoch."""
    if state.phase not in (Phase.SILENT, Phase.STEADY):
        return state, None, ()
    opened, found, before = event.opened, event.assignment, state.assignment
    newer = found if found and (before is None or found.at > before.at) else None
    epochs = (opened.epoch if opened else 0, found.epoch if found else 0)
    state = replace(
        state,
        assignment=newer or before,
        left=_left_unfenced(state.left, found, newer or before),
        floor=max(*epochs, event.newest, state.floor),
        override=event.override,
        conflict=None if max(*epochs, event.newest) >= state.floor else state.conflict,
        **_damping(state, event, newer or before),
        drift_at=event.drift_at,
        survey_at=math.inf if newer or state.assignment else state.survey_at,
    )
    if state.assignment is None and state.survey is Survey.IDLE:
        state = replace(state, survey=Survey.PENDING, survey_at=now)
    serve: Effects = (ev.Serve(newer), *_followed(newer, before, _by_store(newer))) if newer else ()
    if not state.lease.held:
        return state, Trigger.LOADED, serve
    state, trigger, more = _resumed(state, event, now)
    return state, trigger, (*serve, *more)


def _left_unfenced(left: tuple[str, ...], found: Assignment | None, live: Assignment | None) -> tuple[str, ...]:
    """Of a move without the store, what the store says is live comes first."""
    if live is None or not live.round:
        return ()
    if found is None or found.epoch != live.epoch:
        return left
    return (found.node, *(node for node in left if node != found.node))


def _damping(state: State, event: ev.Loaded, live: Assignment | None) -> dict[str, Any]:
    """When the switches were, that damp the next one. Of a move without the store, the store has nothing yet."""
    if live is None or not live.round:
        return {"committed_at": event.committed_at, "automatic_at": event.automatic_at}
    both = tuple(sorted({*state.automatic_at, *event.automatic_at}))
    return {"committed_at": max(state.committed_at, event.committed_at), "automatic_at": both}


def _by_store(newer: Assignment) -> str:
    return f"{newer.node} is live at epoch {newer.named}: the store says so, another agent switched"


def _followed(newer: Assignment, before: Assignment | None, sentence: str) -> Effects:
    """Told where another agent switched; what was there at the start is no news."""
    if before is None:
        return ()
    if newer.round:
        return (ev.Tell("unanimous", sentence),)
    if not before.round:
        return (ev.Tell("followed", sentence, newer.epoch),)
    kept = newer.node == before.node
    how = "is in the store now" if kept else "ends: the store had moved on"
    ended = f"{sentence}; what all agents agreed on without it, {before.node} at epoch {before.named}, {how}"
    return (ev.Tell("reconciled" if kept else "outvoted", ended, newer.epoch),)


def _resumed(state: State, event: ev.Loaded, now: float) -> Outcome:
    """What the journal says was under way. Of how far it came in AWS nothing is assumed: every stage is run again."""
    live = state.assignment.epoch if state.assignment else 0
    opened = event.opened if event.opened and event.opened.epoch > live else None
    unsettled = event.unsettled if event.unsettled and event.unsettled.epoch == live else None
    owed = Flight(unsettled, now, debts=_ACTING) if unsettled else None
    if moved := _unreconciled(state, now):
        begun = Flight(opened, now) if opened and event.begun else owed
        return _reconciled(replace(state, flight=begun), moved, now)
    if opened and event.begun:
        return replace(state, flight=Flight(opened, now), owed=owed), Trigger.RESUMED, ()
    effects: Effects = _untouched(opened.epoch) if opened else ()
    if owed:
        return replace(state, flight=owed), Trigger.UNSETTLED, effects
    return state, Trigger.LOADED, effects


def _unreconciled(state: State, now: float) -> Assignment | None:
    """What the answers moved to without the store, if it may be written to it now."""
    moved = state.assignment if state.assignment and state.assignment.round else None
    return None if state.conflict or vetoes.barred(state, now) else moved


def _reconciled(state: State, live: Assignment, now: float) -> Outcome:
    """The leader's first act: what is served is the next epoch. What the last leader had begun stays owed."""
    sentence = f"all agents agreed on it while the store was out of reach, at epoch {live.named}"
    state, effects = _opened(state, live.node, Cause.UNANIMOUS, now, who=SELF, sentence=sentence)
    return state, Trigger.RECONCILED, effects


def _agreed_on(state: State, event: ev.Agreed, now: float) -> Outcome:
    """Whoever it is that says so: an assignment is served where it is newer than ours, and nothing is under way."""
    found, before = event.assignment, state.assignment
    newer = before is None or found.at > before.at
    at_rest = state.phase in (Phase.SILENT, Phase.STEADY, Phase.VERIFYING)
    if not (newer and at_rest) or found.node not in state.policy.nodes:
        return state, None, ()
    moved = replace(
        state,
        assignment=found,
        left=(*state.left, before.node) if before and found.round else (),
        floor=max(state.floor, found.epoch),
        committed_at=now,
        automatic_at=(*state.automatic_at, now),
        survey_at=math.inf,
    )
    trigger = None if state.phase is Phase.VERIFYING else Trigger.AGREED
    return moved, trigger, (ev.Serve(found), *_followed(found, before, event.sentence))


def _untouched(epoch: int) -> Effects:
    sentence = f"epoch {epoch} is abandoned: it was opened, and nothing of it had begun"
    return (ev.Close(epoch, finished=False), ev.Tell("abandoned", sentence, epoch))


def _surveyed(state: State, event: ev.Surveyed, now: float) -> Outcome:
    if event.fault is not None:
        said_before = state.survey_trouble == event.sentence
        told = ev.Tell("survey", f"which node AWS points to can't be told: {event.sentence}")
        waiting = replace(state, survey_at=now + SURVEY_RETRY_S, survey_trouble=event.sentence)
        return waiting, None, () if said_before else (told,)
    known = replace(state, survey=Survey.DONE, found=event.node, floor=max(state.floor, event.epoch))
    return known, None, (ev.Tell("survey", event.sentence),)


def _sides_read(state: State, event: ev.SidesRead, now: float) -> Outcome:
    if not state.lease.held:  # the leader changes AWS, and what it committed may not have been read yet
        return replace(state, drift=None), None, ()
    before, state = state.drift, drift.read(_refreshed(state, now), event, now)
    told, found = drift.told(before, state.drift), state.drift
    if found is None or found is before or found.times < drift.READINGS:  # what was not read now proves nothing now
        return state, None, told
    if found.epoch > state.floor:
        state, trigger, more = _outrun(state, found.epoch, f"AWS carries epoch {found.epoch}: {found.sentence}")
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
    state, effects = _opened(state, node or "", cause, now, who=SELF, sentence=sentence)
    return state, trigger, effects


def _lease_said(state: State, event: ev.LeaseSaid, now: float) -> Outcome:
    state = replace(state, lease=event.lease)
    if event.lease.held and event.loaded:
        return _loaded(replace(state, survey=Survey.IDLE), event.loaded, now)
    if event.lease.held:
        return state, None, ()
    state, flight = replace(state, owed=None), state.flight
    asked = state.phase is Phase.COMMITTING and flight is not None and not flight.waiting
    if flight is None or asked:  # the store's answer to a commit is waited for: it says what is served
        return state, None, ()
    return _left(state, flight.intent.epoch)


def _left(state: State, epoch: int) -> Outcome:
    told = ev.Tell("lost", f"the lease is lost: epoch {epoch} is left to the new leader", epoch)
    return replace(state, flight=None), Trigger.LOST, (ev.StopStage(epoch), told)


Stored = ev.IntentWritten | ev.Committed | ev.Conflicted | ev.StoreFailed


def _stored(state: State, event: Stored, now: float) -> Outcome:
    match event:
        case ev.IntentWritten(epoch) if state.phase is Phase.OPENING and epoch == _flight(state).intent.epoch:
            return _marked(state, "decide", now), Trigger.STORED, ()
        case ev.Committed(epoch) if state.phase is Phase.COMMITTING and epoch == _flight(state).intent.epoch:
            return _committed(state, now)
        case ev.Conflicted(epoch, sentence) if _news(state, epoch):
            return _outrun(state, epoch, sentence)
        case ev.StoreFailed(sentence, epoch):
            return _store_failed(replace(state, store_trouble=sentence), sentence, epoch, now)
    return state, None, ()


def _news(state: State, epoch: int) -> bool:
    """Whether a conflict is about the write that is waited for, or tells of an epoch that is newer than all we know."""
    flight = state.flight
    ours = flight.intent.epoch if flight and state.phase in (Phase.OPENING, Phase.COMMITTING) else state.floor + 1
    return epoch >= ours


def _committed(state: State, now: float) -> Outcome:
    flight = _flight(state)
    intent = flight.intent
    assignment = Assignment(intent.node, intent.epoch)
    recent, answered = (
        tuple(t for t in times if now - t < vetoes.HOUR_S) for times in (state.automatic_at, state.drift_at)
    )
    state = replace(
        _marked(state, "publish", now),
        assignment=assignment,
        left=(),
        owed=None,
        conflict=None,
        store_trouble=None,
        committed_at=state.committed_at if intent.cause in _UNMOVED else now,
        automatic_at=(*recent, now) if intent.cause in _DAMPED else recent,
        drift_at=(*answered, now) if intent.cause in ANSWERS else answered,
    )
    told = ev.Tell(
        "committed",
        f"{intent.node} is live at epoch {intent.epoch}: {intent.sentence}",
        intent.epoch,
        intent.who,
        cause=intent.cause,
    )
    effects = (ev.Serve(assignment), told)
    if state.lease.held:
        return state, Trigger.COMMITTED, effects
    state, trigger, left = _left(state, intent.epoch)
    return state, trigger, (*effects, *left)


def _store_failed(state: State, sentence: str, epoch: int | None, now: float) -> Outcome:
    if state.phase not in (Phase.OPENING, Phase.COMMITTING) or epoch != _flight(state).intent.epoch:
        return state, None, ()
    if state.phase is Phase.OPENING:
        told = ev.Tell("abandoned", f"epoch {epoch} could not be recorded, so nothing moves: {sentence}", epoch)
        return state, Trigger.REFUSED, (told,)
    if not state.lease.held:
        return _left(state, epoch)
    return _waits(state, Reason("store", f"the assignment could not be recorded: {sentence}"), now)


def _outrun(state: State, epoch: int, sentence: str) -> Outcome:
    """Somebody carries a newer epoch than ours: ours ends here, and only a person opens the next one."""
    newer = Reason("conflict", sentence)
    state = replace(state, floor=max(state.floor, epoch), conflict=newer, owed=None)
    if state.flight is None:
        return state, None, (ev.Tell("conflict", sentence),)
    ours = state.flight.intent.epoch
    trigger = Trigger.REFUSED if state.phase is Phase.OPENING else Trigger.ABANDONED
    told = ev.Tell("abandoned", f"epoch {ours} ends: {sentence}", ours)
    return state, trigger, (ev.StopStage(ours), ev.Close(ours, finished=False), told)


# --- a stage ended --------------------------------------------------------------------------------------------------


def _stage_ended(state: State, event: ev.StageEnded, now: float) -> Outcome:
    if not _expected(state, event):
        return state, None, ()
    if event.fault is None:
        told = ev.Tell("stage", f"{event.stage.value}: {event.sentence}", event.epoch)
        state, trigger, effects = _stage_done(state, event.stage, now)
        return state, trigger, (told, *effects)
    if event.fault is Fault.CONFLICT:
        return _outrun(state, event.found_epoch, event.sentence)
    if event.fault is Fault.BARRED:
        return _waits(state, Reason("lease", event.sentence), now)
    return _stage_failed(state, event.stage, event.sentence, now)


def _expected(state: State, event: ev.StageEnded) -> bool:
    """Whether this is the outcome that is waited for, and not a late one of an older epoch or an earlier try."""
    flight = state.flight
    if flight is None or flight.waiting or state.phase not in (*_STAGE_OF, Phase.VERIFYING):
        return False
    return event.epoch == flight.intent.epoch and event.stage is _stage(state)


def _stage_done(state: State, stage: Stage, now: float) -> Outcome:
    if state.phase is not Phase.VERIFYING:
        return _marked(state, stage.value, now), Trigger.DONE, ()
    if stage is not Stage.VERIFY:
        return _paid(state), Trigger.PAID, ()
    return _agreed(_marked(state, "verify", now), now)


def _paid(state: State) -> State:
    flight = _flight(state)
    return replace(state, flight=replace(flight, debts=flight.debts[1:], attempt=0, trouble=None))


def _agreed(state: State, now: float) -> Outcome:
    flight = _flight(state)
    intent, took = flight.intent, durations_s(flight, now)
    after = f"{took['agree'] * 1000:.0f} ms after the first sign"
    sentence = f"every side agrees on {intent.node} at epoch {intent.epoch}, {after}"
    agreed = ev.Tell("agreed", sentence, intent.epoch, intent.who, took)
    return state, Trigger.DONE, (ev.Close(intent.epoch, finished=True), agreed)


def _stage_failed(state: State, stage: Stage, sentence: str, now: float) -> Outcome:
    policy, flight = state.policy, _flight(state)
    told = ev.Tell("trouble", f"{stage.value} failed: {sentence}", flight.intent.epoch)
    if stage is Stage.FENCE and not policy.fence_required:
        unfenced = replace(told, sentence=f"{told.sentence}; the fence is not required, so the switch goes on unfenced")
        if state.phase is Phase.VERIFYING:
            return _paid(state), Trigger.PAID, (unfenced,)
        return _marked(state, stage.value, now), Trigger.WAIVED, (unfenced,)
    if state.phase in (Phase.MOVING, Phase.PUBLISHING) and policy.on_outage is OnOutage.ANSWER:
        owing = replace(state, flight=replace(flight, debts=(*flight.debts, stage)))
        put_off = replace(told, sentence=f"{told.sentence}; the answer moves all the same, and AWS is owed this")
        return _marked(owing, stage.value, now), Trigger.OWED, (put_off,)
    slug = "fence" if stage is Stage.FENCE else "aws"
    return _waits(state, Reason(slug, told.sentence), now)


def _waits(state: State, trouble: Reason, now: float) -> Outcome:
    """The next try is due after a pause that doubles, up to the policy's longest."""
    flight, policy = _flight(state), state.policy
    doubled = min(flight.attempt, _DOUBLINGS)
    pause_s = min(policy.retry_first_s * 2**doubled, policy.retry_most_s)
    known = flight.trouble == trouble
    waiting = replace(flight, attempt=flight.attempt + 1, trouble=trouble, retry_at=now + pause_s)
    told: Effects = () if known else (ev.Tell("trouble", trouble.sentence, flight.intent.epoch),)
    return replace(state, flight=waiting), None, told


def _marked(state: State, name: str, now: float) -> State:
    flight = _flight(state)
    return replace(state, flight=replace(flight, marks={**flight.marks, name: now}))


def durations_s(flight: Flight, now: float) -> dict[str, float]:
    """Seconds that each stage took, in order; `agree` is the whole, from the first sign of trouble until `now`."""
    ends = [flight.began, *flight.marks.values()]
    took = {name: end - begin for name, begin, end in zip(flight.marks, ends, ends[1:], strict=False)}
    return {**took, "agree": now - flight.began}


# --- an operator's word ---------------------------------------------------------------------------------------------


def _promote(state: State, event: ev.Promote, now: float) -> Outcome:
    refusal = words.refuse_promote(state, event, now)
    if refusal:
        return state, None, (ev.Reply(accepted=False, sentence=refusal),)
    pin = Override(pinned=True, who=event.who, sentence=event.sentence)
    save: Effects = (ev.SaveOverride(pin),) if event.pin else ()
    sentence = f"{event.sentence} (forced)" if event.force else event.sentence
    state = replace(state, override=pin if event.pin else state.override, rejected=None)
    state, effects = _opened(state, event.node, Cause.OPERATOR, now, who=event.who, sentence=sentence)
    epoch = _flight(state).intent.epoch
    accepted = ev.Reply(accepted=True, sentence=f"promoting {event.node} at epoch {epoch}", epoch=epoch)
    return state, Trigger.PROMOTED, (*save, *effects, accepted)


def _judged(state: State, event: ev.Approve | ev.Reject, now: float) -> Outcome:
    state = _refreshed(state, now)
    need, veto = state.need, vetoes.first(state, now)
    if state.phase is not Phase.PROPOSED or need is None or need.target is None or veto:
        sentence = f"no switch is proposed{f': {veto.sentence}' if veto else ''}"
        return state, None, (ev.Reply(accepted=False, sentence=sentence),)
    if isinstance(event, ev.Reject):
        told = ev.Tell("rejected", f"{event.who} rejected the switch to {need.target}", who=event.who)
        reply = ev.Reply(accepted=True, sentence=f"rejected: {need.target} is not proposed again while this need lasts")
        return replace(state, rejected=event.who), Trigger.WITHDRAWN, (told, reply)
    sentence = f"{need.sentence} (approved)"
    state, effects = _opened(state, need.target, _cause(state), now, who=event.who, sentence=sentence)
    epoch = _flight(state).intent.epoch
    return (
        state,
        Trigger.PROMOTED,
        (*effects, ev.Reply(accepted=True, sentence=f"approved as epoch {epoch}", epoch=epoch)),
    )


def _overridden(state: State, event: ev.Hold | ev.Release) -> Outcome:
    if not state.lease.held:  # the leader would not hear of it
        sentence = f"{lease.unled(state.lease)}, and only the leader's word is kept"
        return state, None, (ev.Reply(accepted=False, sentence=sentence),)
    pin = state.override if state.override and state.override.pinned else None
    if pin and isinstance(event, ev.Hold):
        held = f"{pin.who} pinned the service, which holds automatic switches already: release it first"
        return state, None, (ev.Reply(accepted=False, sentence=held),)
    if isinstance(event, ev.Hold):
        said: Override | None = Override(pinned=False, who=event.who, sentence=event.sentence, until=event.until)
        kind, sentence = "hold", f"{event.who} holds automatic switches: {event.sentence}"
    else:
        said, kind, sentence = None, "release", f"{event.who} releases what held automatic switches"
        state = replace(state, conflict=None, rejected=None, automatic_at=(), drift_at=())
    effects = (
        ev.SaveOverride(said, forgives=said is None),
        ev.Tell(kind, sentence, who=event.who),
        ev.Reply(accepted=True, sentence=sentence),
    )
    return replace(state, override=said), None, effects


# --- what follows of all that is known ------------------------------------------------------------------------------


def _refreshed(state: State, now: float) -> State:
    """The state with what time has ended taken out, and the present need worked out."""
    said = state.override
    if said and said.until is not None and said.until <= now:
        state = replace(state, override=None)
    live = _watched(state)
    need = vetoes.need(state, live, now) if live else None
    rejected = state.rejected if need else None
    if (need, rejected) == (state.need, state.rejected):
        return state
    return replace(state, need=need, rejected=rejected)


def _watched(state: State) -> str | None:
    """The node whose failure asks for a switch: a waiting one's target, else the live node; None while one runs."""
    if state.phase in IN_FLIGHT:
        flight = _flight(state)
        return flight.intent.node if flight.waiting and state.phase in _STAGE_OF else None
    return state.assignment.node if state.assignment else None


def _considered(state: State, now: float) -> Outcome:
    if state.phase is Phase.SILENT:
        return _bootstrapped(state, now)
    if state.phase is Phase.PROPOSED:
        asked = state.need and state.policy.mode is Mode.CONFIRM
        over = not asked or vetoes.first(state, now) is not None
        return state, Trigger.WITHDRAWN if over else None, ()
    if state.phase in (Phase.STEADY, Phase.VERIFYING) and (moved := _unreconciled(state, now)):
        return _reconciled(state, moved, now)
    if state.need and vetoes.first(state, now) is None and _may_open(state):
        return _needed(state, state.need.target or "", now)
    due = state.flight is not None and state.flight.retry_at <= now
    return state, Trigger.RETRIED if due else None, ()


def _may_open(state: State) -> bool:
    """Whether the next epoch may follow now: a switch that waits is superseded without asking only in mode auto."""
    return state.phase in (Phase.STEADY, Phase.VERIFYING) or state.policy.mode is Mode.AUTO


def _needed(state: State, target: str, now: float) -> Outcome:
    sentence = state.need.sentence if state.need else ""
    if state.policy.mode is Mode.CONFIRM:
        return state, Trigger.PROPOSED, ()
    state, effects = _opened(state, target, _cause(state), now, who=SELF, sentence=sentence)
    return state, Trigger.NEEDED, effects


def _cause(state: State) -> Cause:
    return Cause.FAILURE if state.policy.authority is Authority.AGENT else Cause.FOLLOW


def _bootstrapped(state: State, now: float) -> Outcome:
    if state.survey is not Survey.DONE:
        due = state.survey_at <= now
        return (replace(state, survey_at=math.inf), None, (ev.ReadAws(),)) if due else (state, None, ())
    node = state.found or _first_active(state, now)
    if node is None or state.conflict or vetoes.barred(state, now):
        return state, None, ()
    sentence = "AWS points to it" if state.found else "AWS points to no node, and it serves"
    state, effects = _opened(state, node, Cause.BOOTSTRAP, now, who=SELF, sentence=sentence)
    return state, Trigger.FOUND, effects


def _first_active(state: State, now: float) -> str | None:
    """The first node in configured order that serves; with a cluster manager, only if it is the only one that does."""
    serving = vetoes.actives(state, now)
    alone = state.policy.authority is Authority.AGENT or len(serving) == 1
    return serving[0] if serving and alone and state.policy.mode is Mode.AUTO else None


def _opened(state: State, node: str, cause: Cause, now: float, *, who: str, sentence: str) -> Moved:
    """A flight for the next epoch; the transition into OPENING writes it."""
    origin = next(iter(state.left), state.assignment.node if state.assignment else None)
    stop, state = _parked(state)
    epoch = state.floor + 1
    need = state.need if cause in _FOR_NEED else None
    began = min(_last_good(state, origin, need.since), need.since) if need else now
    marks = {"detect": need.since} if need else {}
    intent = Intent(epoch, node, origin, cause, who, sentence, _outgoing(state, node))
    told = ev.Tell("opened", f"epoch {epoch}: {node} is to be live ({cause.value}): {sentence}", epoch, who)
    return replace(state, flight=Flight(intent, began, marks), floor=epoch, drift=None), (*stop, told)


def _outgoing(state: State, node: str) -> tuple[str, ...]:
    live = (state.assignment.node,) if state.assignment else ()
    reached = (state.owed.intent.node, *state.owed.intent.outgoing) if state.owed else ()
    return tuple(sorted({*live, *state.left, *reached} - {node}))


def _last_good(state: State, node: str | None, default: float) -> float:
    """When the node was last seen to serve: the start of the time that detection took."""
    track = state.tracks.get(node or "")
    return track.before if track and track.seen is not Sight.ACTIVE else default


# --- the sentence ---------------------------------------------------------------------------------------------------


def _reason(state: State, now: float) -> Reason:
    flight = state.flight
    if state.phase in IN_FLIGHT and flight:
        under_way = Reason("switching", f"{state.phase.value} epoch {flight.intent.epoch} to {flight.intent.node}")
        return flight.trouble if flight.waiting and flight.trouble else under_way
    if state.assignment is None:
        return _silence(state, now)
    if state.phase is Phase.PROPOSED and state.need:
        return Reason("proposed", f"{state.need.sentence}: promote {state.need.target}? (approve or reject)")
    return _standing(state, state.assignment, now)


def _silence(state: State, now: float) -> Reason:
    if state.survey is not Survey.DONE:
        return Reason("silent", "no assignment is known, and AWS was not read yet: the name is not answered")
    barred = state.conflict or vetoes.barred(state, now)
    why = barred.sentence if barred else "AWS points to no node and none may be chosen: promote one"
    return Reason("silent", f"no assignment is known: {why}")


def _standing(state: State, live: Assignment, now: float) -> Reason:
    opinion = verdict.of(state, live.node, now)
    held = vetoes.unclear(state, opinion, now) or (vetoes.first(state, now) if state.need else None)
    if held:
        return held
    flight = state.flight
    if flight and flight.trouble:
        return Reason(
            "aws",
            f"{live.node} is live at epoch {live.named}, and AWS does not agree yet: {flight.trouble.sentence}",
        )
    return Reason("steady", f"{live.node} is live at epoch {live.named}: {opinion.sentence}")
