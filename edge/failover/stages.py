"""The stages of a switch that change AWS or read it back: which one is due, and what follows of its outcome.

Only a fence that is not required may be waived.
"""

from dataclasses import replace

from edge.errors import Fault
from edge.failover import events as ev
from edge.failover import flights
from edge.failover.flights import Outcome
from edge.failover.model import STAGE_OF, OnOutage, Phase, Reason, Stage, State
from edge.failover.table import Trigger


def present(state: State) -> Stage:
    """The stage that runs, or waits to run, in the present phase."""
    if state.phase is not Phase.VERIFYING:
        return STAGE_OF[state.phase]
    debts = flights.current(state).debts
    return debts[0] if debts else Stage.VERIFY


def ended(state: State, event: ev.StageEnded, now: float) -> Outcome:
    if not _expected(state, event):
        return state, None, ()
    if event.fault is None:
        told = ev.Tell("stage", f"{event.stage.value}: {event.sentence}", event.epoch)
        state, trigger, effects = done(state, event.stage, now)
        return state, trigger, (told, *effects)
    if event.fault is Fault.CONFLICT:
        return flights.outrun(state, event.found_epoch, event.sentence)
    if event.fault is Fault.BARRED:
        return flights.waits(state, Reason("lease", event.sentence), now)
    return _failed(state, event.stage, event.sentence, now)


def _expected(state: State, event: ev.StageEnded) -> bool:
    """Whether this is the outcome that is waited for, and not a late one of an older epoch or an earlier try."""
    flight = state.flight
    if flight is None or flight.waiting or state.phase not in (*STAGE_OF, Phase.VERIFYING):
        return False
    return event.epoch == flight.intent.epoch and event.stage is present(state)


def done(state: State, stage: Stage, now: float) -> Outcome:
    if state.phase is not Phase.VERIFYING:
        return flights.marked(state, stage.value, now), Trigger.DONE, ()
    if stage is not Stage.VERIFY:
        return _paid(state), Trigger.PAID, ()
    return _agreed(flights.marked(state, "verify", now), now)


def _paid(state: State) -> State:
    flight = flights.current(state)
    return replace(state, flight=replace(flight, debts=flight.debts[1:], attempt=0, trouble=None))


def _agreed(state: State, now: float) -> Outcome:
    flight = flights.current(state)
    intent, took = flight.intent, flights.durations_s(flight, now)
    after = f"{took['agree'] * 1000:.0f} ms after the first sign"
    sentence = f"every side agrees on {intent.node} at epoch {intent.epoch}, {after}"
    agreed = ev.Tell("agreed", sentence, intent.epoch, intent.who, took)
    return state, Trigger.DONE, (ev.Close(intent.epoch, finished=True), agreed)


def _failed(state: State, stage: Stage, sentence: str, now: float) -> Outcome:
    policy, flight = state.policy, flights.current(state)
    told = ev.Tell("trouble", f"{stage.value} failed: {sentence}", flight.intent.epoch)
    if stage is Stage.FENCE and not policy.fence_required:
        unfenced = replace(told, sentence=f"{told.sentence}; the fence is not required, so the switch goes on unfenced")
        if state.phase is Phase.VERIFYING:
            return _paid(state), Trigger.PAID, (unfenced,)
        return flights.marked(state, stage.value, now), Trigger.WAIVED, (unfenced,)
    if state.phase in (Phase.MOVING, Phase.PUBLISHING) and policy.on_outage is OnOutage.ANSWER:
        owing = replace(state, flight=replace(flight, debts=(*flight.debts, stage)))
        put_off = replace(told, sentence=f"{told.sentence}; the answer moves all the same, and AWS is owed this")
        return flights.marked(owing, stage.value, now), Trigger.OWED, (put_off,)
    slug = "fence" if stage is Stage.FENCE else "aws"
    return flights.waits(state, Reason(slug, told.sentence), now)
