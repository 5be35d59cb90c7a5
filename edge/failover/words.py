"""What an operator's word is refused for. Each refusal is the sentence that the operator reads."""

from edge.failover import verdict, vetoes
from edge.failover.events import Promote
from edge.failover.model import IN_FLIGHT, Phase, Sight, State


def refuse_promote(state: State, word: Promote, now: float) -> str | None:
    """Why this promotion can't be done now, None when it can. `force` overrides only what the node is seen to be."""
    barred = vetoes.barred(state, now)
    return (
        _unknown(state, word)
        or _epoch(state, word)
        or (barred.sentence if barred else None)
        or _under_way(state, word)
        or (None if word.force else _already(state, word) or _not_up(state, word, now))
    )


def _unknown(state: State, word: Promote) -> str | None:
    nodes = state.policy.nodes
    return None if word.node in nodes else f"{state.policy.service} has no node {word.node}: it has {', '.join(nodes)}"


def _epoch(state: State, word: Promote) -> str | None:
    present = state.assignment.epoch if state.assignment else 0
    if word.expect_epoch in (None, present):
        return None
    return f"the epoch is {present}, not {word.expect_epoch}: something was switched since you looked"


def _under_way(state: State, word: Promote) -> str | None:
    flight = state.flight
    if flight is None or state.phase not in IN_FLIGHT:
        return None
    replaceable = flight.waiting and state.phase is not Phase.COMMITTING and flight.intent.node != word.node
    if replaceable:
        return None
    return f"a switch to {flight.intent.node} is under way (epoch {flight.intent.epoch}, {state.phase.value})"


def _already(state: State, word: Promote) -> str | None:
    live = state.assignment
    if live is None or live.node != word.node or state.phase in IN_FLIGHT:
        return None
    return f"{word.node} is live already, at epoch {live.epoch}; --force asserts it anew on every side"


def _not_up(state: State, word: Promote, now: float) -> str | None:
    opinion = verdict.of(state, word.node, now)
    undecided = opinion.sight is Sight.UNKNOWN  # then a person decides with our own eyes
    if opinion.sight is Sight.ACTIVE or (undecided and verdict.opinion(state, word.node, now).sight is Sight.ACTIVE):
        return None
    return f"{word.node} can't be promoted: {opinion.sentence}; --force promotes it all the same, and is recorded"
