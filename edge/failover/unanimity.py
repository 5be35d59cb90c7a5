"""When answers may move without the store: by the word of all agents that are configured, and of no fewer.

Each agent says how it stands to a service: what it serves, and to which node it would move the answer by its own eyes
alone, or why it would not. One of them, the proposer, asks all; where all stand alike, it has decided, and who hears of
that serves the same. So there is no majority that another could contradict, and nothing that can be decided twice:

- The word of each agent is needed, so whatever one of them knows of a newer assignment forbids it.
- One agent decides, by name. Two proposals can't meet.
- Who says yes claims no lease for PROMISE_S, by its own clock; the proposer decides sooner, counted from before it
  asked. So between the first yes and the decision no listed agent led: no epoch was opened, and none committed.
- An assignment that was so decided is (epoch, round): the epoch as the store gave it out, and how many times the
  answers moved since. The store's next epoch is above all rounds of the one before. No number is used that it could
  give out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from edge.failover import verdict, vetoes
from edge.failover.lease import DRIFT
from edge.failover.model import Assignment, Listed, Mode, Phase, State

PROMISE_S = 3.0
"""For so long who has said yes claims no lease."""

COUNTED_S = PROMISE_S * (1 - DRIFT)
"""What of it the proposer counts on, whatever the clocks do."""


@dataclass(frozen=True, slots=True)
class Stance:
    """How an agent stands to a service. `node`: to which it would move the answer; None: it would not, and `why`.

    `listed`: who has to agree, by its own file.
    """

    assignment: Assignment | None
    node: str | None
    why: str
    listed: Listed


def proposer(listed: Listed) -> str | None:
    """The one that decides: as all have to agree, nothing is lost where it is gone."""
    return min(listed.agents, default=None)


def stance(state: State, cut_off: str | None, now: float) -> Stance:
    """`cut_off`: why this agent can't say that store and AWS are out of reach and all agents are not; None: it can."""
    why = cut_off or _engaged(state)
    node, sentence = (None, why) if why else _by_itself(_alone(state, now), now)
    return Stance(state.assignment, node, sentence, state.policy.listed)


def _by_itself(alone: State, now: float) -> tuple[str | None, str]:
    """The node to which it would move the answer, None: to none; and why."""
    need = alone.need
    if need is None:
        return None, f"{alone.assignment.node if alone.assignment else 'nobody'} is not seen to fail"
    veto = vetoes.beside_the_store(alone, now)
    return (None, veto.sentence) if veto else (need.target, need.sentence)


def _alone(state: State, now: float) -> State:
    """As if there were no other vantage: the others see with their own eyes."""
    alone = replace(state, policy=replace(state.policy, peers=(), quorum=1), need=None)
    live = state.assignment
    return replace(alone, need=vetoes.need(alone, live.node, verdict.of(alone, live.node, now), now)) if live else alone


def _engaged(state: State) -> str | None:
    if not state.policy.unanimous:
        return "on_store_loss is hold"
    if state.policy.mode is not Mode.AUTO:
        return f"mode is {state.policy.mode.value}: a person switches, and that needs the store"
    if state.assignment is None:
        return "no assignment is known"
    if state.lease.held:
        return "this agent leads"
    return None if state.phase is Phase.STEADY else f"a switch is under way ({state.phase.value})"


def decided(ours: Stance, others: Mapping[str, Stance], us: str) -> Assignment | str:
    """What all agree on, or why they don't. `others`: who has answered in time, this agent not among them."""
    listed = (*ours.listed.agents, *ours.listed.witnesses)
    missing = [name for name in listed if name != us and name not in others]
    if missing:
        return f"{', '.join(missing)} {'does' if len(missing) == 1 else 'do'} not answer"
    live, node = ours.assignment, ours.node
    if live is None or node is None:
        return f"{us} would not move it: {ours.why}"
    unlike = next((f"{name} {how}" for name, said in others.items() if (how := _unlike(ours, said))), None)
    return unlike or Assignment(node, live.epoch, live.round + 1)


def _unlike(ours: Stance, said: Stance) -> str | None:
    """Why who said this does not stand as we do, and for a move."""
    if said.node is None:
        return f"would not move it: {said.why}"
    if said.assignment != ours.assignment:
        return f"serves {_named(said.assignment)}, and we {_named(ours.assignment)}"
    if said.listed != ours.listed:
        return "lists other vantages"
    return None if said.node == ours.node else f"would move it to {said.node}, and we to {ours.node}"


def _named(live: Assignment | None) -> str:
    return f"{live.node} at epoch {live.named}" if live else "nothing"
