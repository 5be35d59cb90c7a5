"""Fences that stop a node, isolate it, or ask its guest: no address moves before they hold in truth."""

from dataclasses import replace

import pytest

from edge.failover import events as ev
from tests.failover.world import Shown
from tests.simulation.machines import OWN, QUARANTINE, Fence
from tests.simulation.test_scenarios import leader_of
from tests.simulation.world import RULES, World

ACTS = {Fence.ISOLATE: ": modify_", Fence.STOP: ": stop_", Fence.GUEST: ": send_"}
"""The call of each fence."""


def fenced(kind: Fence, seed: int = 0) -> World:
    """The live node's service fails, and its system does not."""
    world = World(2, seed, fence=kind).starts()
    world.nodes.becomes("a", Shown.REFUSED)
    return world


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ACTS)
def test_the_fence_holds_before_the_address_moves(kind: Fence, seed: int) -> None:
    world = fenced(kind, seed).passes(170.0)
    assert world.live == "b"
    assert world.told(ACTS[kind])
    world.ends_well()


@pytest.mark.parametrize("moment", [0, ": assign_", ": change_"])
@pytest.mark.parametrize("kind", ACTS)
def test_the_leader_dies_in_the_middle_and_the_next_one_fences_again(kind: Fence, moment: str | int) -> None:
    world = fenced(kind, 1)
    while not world.told(str(moment or ACTS[kind])):
        world.passes(0.01)
    world.agents[leader_of(world)].kill()
    world.passes(170.0)
    assert world.live == "b"
    world.ends_well()


def test_a_node_in_quarantine_has_its_own_groups_again_once_it_is_promoted() -> None:
    world = fenced(Fence.ISOLATE).until("committed 2")
    machines = world.cloud.machines
    assert machines.interface("eni-a")["Groups"] == [{"GroupId": QUARANTINE[0]}]
    assert world.leader
    world.passes(20.0)
    assert world.leader.hears(ev.Promote("a", "anna", "test", force=True))
    world.until("committed 3")
    assert machines.interface("eni-a")["Groups"] == [{"GroupId": OWN[0]}]
    assert machines.interface("eni-b")["Groups"] == [{"GroupId": QUARANTINE[0]}]
    world.ends_well()


@pytest.mark.parametrize("required", [True, False])
def test_a_guest_that_is_dead_holds_the_switch_where_its_word_is_required(required: bool) -> None:
    world = World(2, policy=replace(RULES, fence_required=required), fence=Fence.GUEST).starts()
    world.nodes.becomes("a", Shown.SILENT)
    world.passes(90.0)
    assert world.live == ("a" if required else "b")
    world.ends_well()
