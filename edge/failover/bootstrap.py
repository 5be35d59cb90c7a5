"""The first assignment, where no store knows one: AWS is asked which node it points to."""

import math
from dataclasses import replace

from edge.failover import events as ev
from edge.failover import flights, vetoes
from edge.failover.flights import Outcome
from edge.failover.model import Authority, Cause, Mode, State, Survey
from edge.failover.table import Trigger

SURVEY_RETRY_S = 5.0  # a fresh install waits for AWS: one read in 5 s is far below any API's rate


def surveyed(state: State, event: ev.Surveyed, now: float) -> Outcome:
    if event.fault is not None:
        said_before = state.survey_trouble == event.sentence
        told = ev.Tell("survey", f"which node AWS points to can't be told: {event.sentence}")
        waiting = replace(state, survey_at=now + SURVEY_RETRY_S, survey_trouble=event.sentence)
        return waiting, None, () if said_before else (told,)
    known = replace(state, survey=Survey.DONE, found=event.node, floor=max(state.floor, event.epoch))
    return known, None, (ev.Tell("survey", event.sentence),)


def considered(state: State, now: float) -> Outcome:
    if state.survey is not Survey.DONE:
        due = state.survey_at <= now
        return (replace(state, survey_at=math.inf), None, (ev.ReadAws(),)) if due else (state, None, ())
    node = state.found or _first_active(state, now)
    if node is None or state.conflict or vetoes.barred(state, now):
        return state, None, ()
    sentence = "AWS points to it" if state.found else "AWS points to no node, and it serves"
    state, effects = flights.opened(state, node, Cause.BOOTSTRAP, now, who=flights.SELF, sentence=sentence)
    return state, Trigger.FOUND, effects


def _first_active(state: State, now: float) -> str | None:
    """The first node in configured order that serves; with a cluster manager, only if it is the only one that does."""
    serving = vetoes.actives(state, now)
    alone = state.policy.authority is Authority.AGENT or len(serving) == 1
    return serving[0] if serving and alone and state.policy.mode is Mode.AUTO else None
