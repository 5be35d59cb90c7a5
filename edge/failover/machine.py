"""The machine of one service: a table of transitions, and the step that follows it.

    SILENT ─▶ OPENING ─▶ FENCING ─▶ MOVING ─▶ PUBLISHING ─▶ COMMITTING ─▶ VERIFYING ─▶ STEADY
                 ▲                                                                       │
                 └──────────── the live node does not serve, and no veto stands ◀────────┘

Rules kept here:
- An effect belongs to entering a phase (`_enter`), so TABLE is the whole truth of what may follow what.
- Fence, move, publish are entered in this order and no other.
- Once a step may have touched AWS, a switch is never rolled back: it is tried until done, or superseded by the next
  epoch. Until that one is committed the older switch stays owed, and goes on if the newer one can't be opened. Before
  its commit, only a switch that waits for its next try is superseded; a stage that runs is waited for.
- STEADY as a target means "home": VERIFYING or FENCING where an older switch is owed, SILENT without an assignment.

What an event amounts to is told by its subject: `bootstrap` (the first assignment), `journal` (the store), `stages`
(AWS's outcomes), `drift`, `words` (operators). `flights` has what they all do to a switch, `vetoes` the need and what
stands against it, `verdict` what is seen.
"""

import math
from dataclasses import replace

from edge.failover import bootstrap, drift, flights, journal, stages, verdict, vetoes, words
from edge.failover import events as ev
from edge.failover.flights import Effects, Moved, Outcome
from edge.failover.model import IN_FLIGHT, Assignment, Mode, Opinion, Phase, Reason, State, Survey, changed
from edge.failover.table import NEXT, Trigger
from edge.failover.verdict import Seen

Learnt = ev.Observed | ev.Glimpsed | ev.Reported | ev.FreezeSaid | ev.Reconfigured | ev.StoreRecovered | ev.Elapsed


def step(state: State, event: ev.Event, now: float) -> ev.Decision:
    """The state after one fact, the effects to perform, the sentence that explains it, and when to be called again."""
    state, trigger, said = _taken(state, event, now)
    state, first = _moved(state, trigger, now)
    live = vetoes.watched(state, now)
    state, trigger, more = _considered(vetoes.refreshed(state, live, now), now)
    if trigger:
        state, last = _moved(state, trigger, now)
        return _decided(state, (*said, *first, *more, *last), vetoes.watched(state, now), now)
    return _decided(state, (*said, *first, *more), live, now)


def _decided(state: State, effects: Effects, live: Seen | None, now: float) -> ev.Decision:
    state = _looking(state, live, now)
    reason, before = _reason(state, live, now), state.reason
    if reason.slug != before.slug and {reason.slug, before.slug} & set(vetoes.HOLDS):
        effects = (*effects, ev.Tell("reason", reason.sentence))
    said = state if reason == before else changed(state, reason=reason)
    return ev.Decision(said, effects, reason, _deadline(state, now))


def _looking(state: State, live: Seen | None, now: float) -> State:
    wanted = verdict.closer(state, live, now)
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
    flight = flights.current(state)
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
    stage, flight = stages.present(state), flights.current(state)
    if stage in state.policy.stages:
        return state, (ev.RunStage(flight.intent, stage),)
    state, trigger, effects = stages.done(state, stage, now)
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
    stop, state = flights.parked(state)
    need = state.need
    sentence = f"{need.sentence}: promote {need.target}?" if need else ""
    return replace(state, phase=Phase.PROPOSED), (*stop, ev.Tell("proposed", sentence))


# --- what an event amounts to ---------------------------------------------------------------------------------------


def _taken(state: State, event: ev.Event, now: float) -> Outcome:
    if isinstance(event, Learnt):
        return _learnt(state, event, now), None, ()
    match event:
        case ev.Loaded() | ev.Agreed():
            return journal.assigned(state, event, now)
        case ev.Surveyed():
            return bootstrap.surveyed(state, event, now)
        case ev.SidesRead():
            return drift.sides_read(state, event, now)
        case ev.LeaseSaid():
            return journal.lease_said(state, event, now)
        case ev.IntentWritten() | ev.Committed() | ev.Conflicted() | ev.StoreFailed():
            return journal.stored(state, event, now)
        case ev.StageEnded():
            return stages.ended(state, event, now)
        case ev.Promote():
            return words.promote(state, event, now)
        case ev.Approve() | ev.Reject():
            return words.judged(state, event, now)
    return words.overridden(state, event)


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


# --- what follows of all that is known ------------------------------------------------------------------------------


def _considered(state: State, now: float) -> Outcome:
    if state.phase is Phase.SILENT:
        return bootstrap.considered(state, now)
    if state.phase is Phase.PROPOSED:
        asked = state.need and state.policy.mode is Mode.CONFIRM
        over = not asked or vetoes.first(state, now) is not None
        return state, Trigger.WITHDRAWN if over else None, ()
    if state.phase in (Phase.STEADY, Phase.VERIFYING) and (moved := journal.unreconciled(state, now)):
        return journal.reconciled(state, moved, now)
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
    state, effects = flights.opened(state, target, flights.cause(state), now, who=flights.SELF, sentence=sentence)
    return state, Trigger.NEEDED, effects


# --- the sentence ---------------------------------------------------------------------------------------------------


def _reason(state: State, live: Seen | None, now: float) -> Reason:
    flight = state.flight
    if state.phase in IN_FLIGHT and flight:
        under_way = Reason("switching", f"{state.phase.value} epoch {flight.intent.epoch} to {flight.intent.node}")
        return flight.trouble if flight.waiting and flight.trouble else under_way
    if state.assignment is None or live is None:
        return _silence(state, now)
    if state.phase is Phase.PROPOSED and state.need:
        return Reason("proposed", f"{state.need.sentence}: promote {state.need.target}? (approve or reject)")
    return _standing(state, state.assignment, live.together, now)


def _silence(state: State, now: float) -> Reason:
    if state.survey is not Survey.DONE:
        return Reason("silent", "no assignment is known, and AWS was not read yet: the name is not answered")
    barred = state.conflict or vetoes.barred(state, now)
    why = barred.sentence if barred else "AWS points to no node and none may be chosen: promote one"
    return Reason("silent", f"no assignment is known: {why}")


def _standing(state: State, live: Assignment, opinion: Opinion, now: float) -> Reason:
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
