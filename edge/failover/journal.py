"""What the store says: what it had when it was read, and whether it took what was written to it. Also what the agents
agreed on without it, until it is written there, and the lease that it keeps.

Nothing is served before it is committed; a committed assignment is never taken back, only followed by a newer one.
"""

import math
from dataclasses import replace
from typing import Any

from edge.failover import events as ev
from edge.failover import flights, vetoes
from edge.failover.flights import Effects, Outcome
from edge.failover.model import ANSWERS, Assignment, Cause, Flight, Phase, Reason, Stage, State, Survey
from edge.failover.table import Trigger

_ACTING = (Stage.FENCE, Stage.MOVE, Stage.PUBLISH)
_DAMPED = (*flights.FOR_NEED, Cause.UNANIMOUS)
_UNMOVED = (Cause.BOOTSTRAP, Cause.REPAIR)  # no other node became live, so no hold-down follows

Stored = ev.IntentWritten | ev.Committed | ev.Conflicted | ev.StoreFailed


def assigned(state: State, event: ev.Loaded | ev.Agreed, now: float) -> Outcome:
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
    if moved := unreconciled(state, now):
        begun = Flight(opened, now) if opened and event.begun else owed
        return reconciled(replace(state, flight=begun), moved, now)
    if opened and event.begun:
        return replace(state, flight=Flight(opened, now), owed=owed), Trigger.RESUMED, ()
    effects: Effects = _untouched(opened.epoch) if opened else ()
    if owed:
        return replace(state, flight=owed), Trigger.UNSETTLED, effects
    return state, Trigger.LOADED, effects


def unreconciled(state: State, now: float) -> Assignment | None:
    """What the answers moved to without the store, if it may be written to it now."""
    moved = state.assignment if state.assignment and state.assignment.round else None
    return None if moved is None or state.conflict or vetoes.barred(state, now) else moved


def reconciled(state: State, live: Assignment, now: float) -> Outcome:
    """The leader's first act: what is served is the next epoch. What the last leader had begun stays owed."""
    sentence = f"all agents agreed on it while the store was out of reach, at epoch {live.named}"
    state, effects = flights.opened(state, live.node, Cause.UNANIMOUS, now, who=flights.SELF, sentence=sentence)
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


def lease_said(state: State, event: ev.LeaseSaid, now: float) -> Outcome:
    state = replace(state, lease=event.lease)
    if event.lease.held and event.loaded:
        return _loaded(replace(state, survey=Survey.IDLE), event.loaded, now)
    if event.lease.held:
        return state, None, ()
    state, flight = replace(state, owed=None), state.flight
    asked = state.phase is Phase.COMMITTING and flight is not None and not flight.waiting
    if flight is None or asked:  # the store's answer to a commit is waited for: it says what is served
        return state, None, ()
    return flights.left(state, flight.intent.epoch)


def stored(state: State, event: Stored, now: float) -> Outcome:
    match event:
        case ev.IntentWritten(epoch) if state.phase is Phase.OPENING and epoch == flights.current(state).intent.epoch:
            return flights.marked(state, "decide", now), Trigger.STORED, ()
        case ev.Committed(epoch) if state.phase is Phase.COMMITTING and epoch == flights.current(state).intent.epoch:
            return _committed(state, now)
        case ev.Conflicted(epoch, sentence) if _news(state, epoch):
            return flights.outrun(state, epoch, sentence)
        case ev.StoreFailed(sentence, epoch):
            return _store_failed(replace(state, store_trouble=sentence), sentence, epoch, now)
    return state, None, ()


def _news(state: State, epoch: int) -> bool:
    """Whether a conflict is about the write that is waited for, or tells of an epoch that is newer than all we know."""
    flight = state.flight
    ours = flight.intent.epoch if flight and state.phase in (Phase.OPENING, Phase.COMMITTING) else state.floor + 1
    return epoch >= ours


def _committed(state: State, now: float) -> Outcome:
    flight = flights.current(state)
    intent = flight.intent
    assignment = Assignment(intent.node, intent.epoch)
    recent, answered = (
        tuple(t for t in times if now - t < vetoes.HOUR_S) for times in (state.automatic_at, state.drift_at)
    )
    state = replace(
        flights.marked(state, "publish", now),
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
    state, trigger, left = flights.left(state, intent.epoch)
    return state, trigger, (*effects, *left)


def _store_failed(state: State, sentence: str, epoch: int | None, now: float) -> Outcome:
    if state.phase not in (Phase.OPENING, Phase.COMMITTING) or epoch != flights.current(state).intent.epoch:
        return state, None, ()
    if state.phase is Phase.OPENING:
        told = ev.Tell("abandoned", f"epoch {epoch} could not be recorded, so nothing moves: {sentence}", epoch)
        return state, Trigger.REFUSED, (told,)
    if not state.lease.held:
        return flights.left(state, epoch)
    return flights.waits(state, Reason("store", f"the assignment could not be recorded: {sentence}"), now)
