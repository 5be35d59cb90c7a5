"""An operator's word: what follows of it, and what it is refused for, in the sentence that the operator reads."""

from dataclasses import replace

from edge.failover import events as ev
from edge.failover import flights, lease, verdict, vetoes
from edge.failover.flights import Effects, Outcome
from edge.failover.model import IN_FLIGHT, Cause, Override, Phase, Sight, State
from edge.failover.table import Trigger


def promote(state: State, event: ev.Promote, now: float) -> Outcome:
    refusal = _refusal(state, event, now)
    if refusal:
        return state, None, (ev.Reply(accepted=False, sentence=refusal),)
    pin = Override(pinned=True, who=event.who, sentence=event.sentence)
    save: Effects = (ev.SaveOverride(pin),) if event.pin else ()
    sentence = f"{event.sentence} (forced)" if event.force else event.sentence
    state = replace(state, override=pin if event.pin else state.override, rejected=None)
    state, effects = flights.opened(state, event.node, Cause.OPERATOR, now, who=event.who, sentence=sentence)
    epoch = flights.current(state).intent.epoch
    accepted = ev.Reply(accepted=True, sentence=f"promoting {event.node} at epoch {epoch}", epoch=epoch)
    return state, Trigger.PROMOTED, (*save, *effects, accepted)


def judged(state: State, event: ev.Approve | ev.Reject, now: float) -> Outcome:
    state = vetoes.refreshed(state, vetoes.watched(state, now), now)
    need, veto = state.need, vetoes.first(state, now)
    if state.phase is not Phase.PROPOSED or need is None or need.target is None or veto:
        sentence = f"no switch is proposed{f': {veto.sentence}' if veto else ''}"
        return state, None, (ev.Reply(accepted=False, sentence=sentence),)
    if isinstance(event, ev.Reject):
        told = ev.Tell("rejected", f"{event.who} rejected the switch to {need.target}", who=event.who)
        reply = ev.Reply(accepted=True, sentence=f"rejected: {need.target} is not proposed again while this need lasts")
        return replace(state, rejected=event.who), Trigger.WITHDRAWN, (told, reply)
    sentence = f"{need.sentence} (approved)"
    state, effects = flights.opened(state, need.target, flights.cause(state), now, who=event.who, sentence=sentence)
    epoch = flights.current(state).intent.epoch
    return (
        state,
        Trigger.PROMOTED,
        (*effects, ev.Reply(accepted=True, sentence=f"approved as epoch {epoch}", epoch=epoch)),
    )


def overridden(state: State, event: ev.Hold | ev.Release) -> Outcome:
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


def _refusal(state: State, word: ev.Promote, now: float) -> str | None:
    """Why this promotion can't be done now, None when it can. `force` overrides only what the node is seen to be."""
    barred = vetoes.barred(state, now)
    return (
        _unknown(state, word)
        or _epoch(state, word)
        or (barred.sentence if barred else None)
        or _under_way(state, word)
        or (None if word.force else _already(state, word) or _not_up(state, word, now))
    )


def _unknown(state: State, word: ev.Promote) -> str | None:
    nodes = state.policy.nodes
    return None if word.node in nodes else f"{state.policy.service} has no node {word.node}: it has {', '.join(nodes)}"


def _epoch(state: State, word: ev.Promote) -> str | None:
    present = state.assignment.epoch if state.assignment else 0
    if word.expect_epoch in (None, present):
        return None
    return f"the epoch is {present}, not {word.expect_epoch}: something was switched since you looked"


def _under_way(state: State, word: ev.Promote) -> str | None:
    flight = state.flight
    if flight is None or state.phase not in IN_FLIGHT:
        return None
    replaceable = flight.waiting and state.phase is not Phase.COMMITTING and flight.intent.node != word.node
    if replaceable:
        return None
    return f"a switch to {flight.intent.node} is under way (epoch {flight.intent.epoch}, {state.phase.value})"


def _already(state: State, word: ev.Promote) -> str | None:
    live = state.assignment
    if live is None or live.node != word.node or state.phase in IN_FLIGHT:
        return None
    return f"{word.node} is live already, at epoch {live.epoch}; --force asserts it anew on every side"


def _not_up(state: State, word: ev.Promote, now: float) -> str | None:
    opinion = verdict.of(state, word.node, now)
    undecided = opinion.sight is Sight.UNKNOWN  # then a person decides with our own eyes
    if opinion.sight is Sight.ACTIVE or (undecided and verdict.opinion(state, word.node, now).sight is Sight.ACTIVE):
        return None
    return f"{word.node} can't be promoted: {opinion.sentence}; --force promotes it all the same, and is recorded"
