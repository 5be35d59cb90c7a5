"""What people say just as a switch enters a phase: it comes to its end all the same, and their words are kept."""

import random
from dataclasses import replace

import pytest

from edge.failover import events as ev
from edge.failover.model import Mode, Phase
from tests.failover.world import Shown
from tests.simulation.moments import PHASES
from tests.simulation.test_scenarios import leader_of
from tests.simulation.world import RULES, World

HOLD = ev.Hold("anna", "test")


@pytest.fixture
def asking() -> World:
    """Mode confirm, and b is proposed."""
    world = World(2, policy=replace(RULES, mode=Mode.CONFIRM)).starts()
    world.nodes.becomes("a", Shown.SILENT)
    return world.until("promote b?")


@pytest.mark.parametrize("phase", PHASES[1:])
@pytest.mark.parametrize(
    "word", [HOLD, ev.Promote("a", "anna", "test", force=True), ev.Promote("b", "anna", "test", pin=True)]
)
def test_a_word_at_any_moment_of_a_switch(pair: World, phase: Phase, word: ev.Event) -> None:
    for _ in range(2):  # the one after it too
        pair.when(f"enters {phase.value}", lambda _: [agent.hears(word) for agent in pair.agents.values()])
    pair.nodes.becomes("a", Shown.SILENT)
    pair.passes(40.0)
    assert pair.told(f"{type(word).__name__}: ")
    pair.ends_well()


def test_a_hold_outlives_the_leader_that_took_it(pair: World) -> None:
    leader = pair.agents[leader_of(pair)]
    leader.hears(HOLD)
    pair.passes(1.0)
    leader.loses_power()
    pair.nodes.becomes("a", Shown.SILENT)
    pair.passes(60.0)
    assert pair.live == "a"
    pair.release()
    pair.passes(10.0)
    assert pair.live == "b"
    pair.ends_well()


class Slow(random.Random):
    def random(self) -> float:
        return 0.75


def test_who_speaks_to_a_leader_whose_lease_ends_before_it_is_recorded_is_told_so(pair: World) -> None:
    leader = pair.agents[leader_of(pair)]
    leader.store.deaf = "lease/"
    assert leader.sharing
    while leader.sharing._keeper.until - leader.process.clock() > 1.0:
        pair.passes(0.1)
    leader.store.slow_s, leader.store.rng = 3.9, Slow()
    leader.hears(HOLD)
    pair.passes(10.0)
    assert pair.told("holds automatic switches: test; but whoever leads now may not know of it, say it there again")


def test_a_leader_whose_lease_ends_while_the_store_is_slow_opens_no_epoch(pair: World) -> None:
    """Random stories found it: the store is read before an epoch is claimed, and by then another may lead."""
    leader = pair.agents[leader_of(pair)]
    leader.store.deaf = "lease/"
    assert leader.sharing
    while leader.sharing._keeper.until - leader.process.clock() > pair.profile.call_s + 0.2:
        pair.passes(0.05)
    leader.store.slow_s, leader.store.rng = 3.9, Slow()
    reply = leader.hears(ev.Promote("b", "anna", "test"))
    assert reply
    assert reply.accepted
    pair.passes(20.0)
    assert not pair.told("intent 2")
    pair.ends_well()


def test_a_proposal_is_approved(asking: World) -> None:
    asking.passes(30.0)
    assert asking.live == "a"
    asking.agents[leader_of(asking)].hears(ev.Approve("bert"))
    asking.passes(10.0)
    assert asking.live == "b"
    asking.ends_well()


def test_a_proposal_is_rejected_and_not_made_again(asking: World) -> None:
    asking.agents[leader_of(asking)].hears(ev.Reject("bert"))
    asking.passes(60.0)
    assert asking.live == "a"
    assert len(asking.told("promote b?")) == 1
    asking.ends_well()


def test_a_proposal_is_made_again_by_the_next_leader(asking: World) -> None:
    asking.agents[leader_of(asking)].kill()
    asking.until("promote b?")
    asking.agents[leader_of(asking)].hears(ev.Approve("bert"))
    asking.passes(10.0)
    assert asking.live == "b"
    asking.ends_well()
