"""Named stories of several agents: the rows of the failure catalogue that are about deciding, and what seeds found."""

import math
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from edge.errors import Fault
from edge.failover import events as ev
from edge.failover.model import Authority, Cause, Intent, OnDrift
from edge.failover.unanimity import Stance
from edge.stores.records import Clock, Records
from tests.failover.world import Shown
from tests.simulation.agent import Agent
from tests.simulation.profiles import TIMING
from tests.simulation.world import RULES, World

MOMENTS = (
    "epoch 2: b is to be live",
    "intent 2",
    ": unassign_",
    ": assign_",
    "move: ",
    ": change_",
    "epoch=2",
    "committed 2",
    "b is live",
)
"""Of the switch to b: what the story tells then."""


@pytest.fixture(params=[1, 2, 3])
def world(request: pytest.FixtureRequest) -> World:
    return World(request.param).starts()


def leader_of(world: World) -> str:
    assert world.leader
    return world.leader.name


def test_at_rest_nothing_moves(world: World) -> None:
    world.passes(300.0)
    assert (world.live, world.epoch) == ("a", 1)
    world.ends_well()


@pytest.mark.parametrize("shown", [Shown.SILENT, Shown.HUNG, Shown.REFUSED])
def test_the_live_node_fails_and_comes_back(world: World, shown: Shown) -> None:
    world.nodes.becomes("a", shown)
    world.passes(20.0)
    assert all(agent.answer == ("b", 2) for agent in world.agents.values())
    world.ends_well()
    assert world.epoch == 2, "no fail-back by itself"


def test_everybodys_path_is_down(world: World) -> None:
    for agent in world.agents.values():
        agent.path.up = False
    world.passes(120.0)
    assert world.epoch == 1
    world.ends_well()


@pytest.mark.parametrize("agents", [1, 2])
def test_the_path_has_always_lost_packets_and_nothing_moves_but_by_hand(agents: int) -> None:
    world = World(agents)
    for agent in world.agents.values():
        agent.path.trouble = 0.3
    world.starts().passes(200.0)
    assert world.epoch == 1
    assert world.leader
    assert world.leader.hears(ev.Promote("b", "anna", "test", force=True))
    world.passes(30.0)
    assert world.live == "b"


def test_the_path_flaps(world: World) -> None:
    for _ in range(20):
        for up_s, up in ((4.0, False), (6.0, True)):
            for agent in world.agents.values():
                agent.path.up = up
            world.passes(up_s)
    assert world.epoch == 1
    world.ends_well()


@pytest.mark.parametrize("agents", [1, 2])
def test_a_cluster_manager_decides_and_two_that_claim_to_be_active_are_held(agents: int) -> None:
    world = World(agents, policy=replace(RULES, authority=Authority.CLUSTER))
    world.nodes.becomes("b", Shown.STANDBY)
    world.starts()
    world.nodes.becomes("b", Shown.ACTIVE)
    world.passes(60.0)
    assert world.epoch == 1
    world.nodes.becomes("a", Shown.STANDBY)
    world.passes(60.0)
    assert (world.live, world.epoch) == ("b", 2)


def test_no_node_is_up(world: World) -> None:
    for node in "ab":
        world.nodes.becomes(node, Shown.SILENT)
    world.passes(60.0)
    assert all(agent.answer == ("a", 1) for agent in world.agents.values())
    world.ends_well()


def test_a_standby_is_no_target(world: World) -> None:
    world.nodes.becomes("b", Shown.STANDBY)
    world.nodes.becomes("a", Shown.SILENT)
    world.passes(60.0)
    assert world.live == "a"
    world.ends_well()


def test_a_node_flaps(world: World) -> None:
    for _ in range(60):
        for node in "ab":
            world.nodes.becomes(node, Shown.SILENT)
            world.passes(15.0)
            world.nodes.becomes(node, Shown.ACTIVE)
    assert world.epoch <= 1 + world.policy.switches_per_hour
    world.ends_well()


@pytest.mark.parametrize("fault", [Fault.UNREACHABLE, Fault.DENIED, Fault.THROTTLED, Fault.EXPIRED])
def test_aws_is_out_while_the_live_node_dies(world: World, fault: Fault) -> None:
    world.cloud.fault = fault
    world.nodes.becomes("a", Shown.SILENT)
    world.passes(60.0)
    assert world.live == "a", "the fence is required"
    world.cloud.fault = None
    world.passes(60.0)
    assert world.live == "b"
    world.ends_well()


def test_leader_and_live_node_die_at_one_moment(pair: World) -> None:
    pair.agents[leader_of(pair)].kill()
    pair.nodes.becomes("a", Shown.SILENT)
    pair.passes(40.0)
    assert pair.leader
    assert pair.leader.answer == ("b", 2)
    pair.ends_well()


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_leader_dies_in_the_middle_of_a_switch(pair: World, moment: str) -> None:
    pair.nodes.becomes("a", Shown.SILENT)
    pair.until(moment)
    pair.agents[leader_of(pair)].kill()
    pair.passes(60.0)
    assert pair.live == "b"
    pair.ends_well()


@pytest.mark.parametrize("agents", [1, 2])
@pytest.mark.parametrize("moment", MOMENTS)
def test_what_a_leader_left_half_way_is_finished_though_nothing_asks_for_it_any_more(agents: int, moment: str) -> None:
    """Drift is only told here: it mends nothing."""
    world = World(agents, policy=replace(RULES, on_drift=OnDrift.ALERT)).starts()
    world.nodes.becomes("a", Shown.SILENT)
    world.until(moment)
    world.agents[leader_of(world)].kill()
    world.nodes.becomes("a", Shown.ACTIVE)
    world.ends_well()


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_leader_stands_still_in_the_middle_of_a_switch_and_wakes_up(pair: World, moment: str) -> None:
    pair.nodes.becomes("a", Shown.SILENT)
    pair.until(moment)
    sleeper = pair.agents[leader_of(pair)]
    sleeper.pause()
    pair.passes(60.0)
    assert pair.live == "b"
    sleeper.resume()
    pair.passes(60.0)
    assert not sleeper.leads()
    assert sleeper.answer == pair.agents[leader_of(pair)].answer
    pair.ends_well()


def test_who_stood_still_while_the_live_node_failed_and_loses_a_probe_afterwards_moves_nothing() -> None:
    world = World(1).starts()
    (agent,) = world.agents.values()
    world.nodes.becomes("a", Shown.SILENT)
    world.passes(2.0)
    agent.pause()
    world.passes(20.0)
    world.nodes.becomes("a", Shown.ACTIVE)
    world.passes(20.0)
    agent.unreachable["a"] = world.timeline.now + 1.0
    agent.resume()
    world.passes(1.0)
    agent.unreachable.clear()
    world.passes(10.0)
    assert world.epoch == 1
    world.ends_well()


def test_the_leader_stops_and_another_leads_at_once(pair: World) -> None:
    before = pair.agents[leader_of(pair)]
    before.stop()
    pair.passes(3.0)
    assert pair.leader
    assert pair.leader is not before
    pair.ends_well()


def test_a_leader_that_stops_while_the_store_owes_it_an_answer_meets_no_fault(pair: World) -> None:
    """Seed 261125513: the write fails when nobody waits for it any more."""
    leader = pair.agents[leader_of(pair)]
    pair.nodes.becomes("a", Shown.SILENT)
    pair.until("epoch 2: b is to be live")
    leader.store.up = False
    leader.stop()
    pair.passes(60.0)
    assert pair.live == "b"
    pair.ends_well()


def test_only_the_leaders_path_is_down(pair: World) -> None:
    before = pair.agents[leader_of(pair)]
    before.path.up = False
    pair.passes(30.0)
    assert pair.leader
    assert pair.leader is not before
    pair.ends_well()


@pytest.mark.parametrize("quorum", [None, 1])
def test_the_leader_alone_can_not_reach_the_target_and_hands_the_lease_on(quorum: int | None) -> None:
    """When that has lasted for as long as a leader is waited for that is dead."""
    world = World(2, quorum=quorum).starts()
    before = world.agents[leader_of(world)]
    before.unreachable["b"] = math.inf
    world.nodes.becomes("a", Shown.SILENT)
    world.passes(TIMING.duration_s)
    assert (world.live, world.leader) == ("a", before)
    world.passes(TIMING.duration_s)
    assert world.live == "b"
    assert world.leader is not before
    world.ends_well()


def test_the_leaders_path_alone_loses_too_much_and_it_hands_the_lease_on(pair: World) -> None:
    before = pair.agents[leader_of(pair)]
    before.path.trouble = 0.6
    pair.passes(60.0)
    pair.nodes.becomes("a", Shown.SILENT)
    pair.passes(2 * TIMING.duration_s)
    assert pair.live == "b"
    assert pair.leader is not before
    pair.ends_well()


def test_of_two_that_have_to_agree_one_sees_no_target_and_nothing_moves() -> None:
    world = World(2, quorum=2).starts()
    before = world.agents[leader_of(world)]
    before.unreachable["b"] = math.inf
    world.nodes.becomes("a", Shown.SILENT)
    world.passes(120.0)
    assert (world.live, world.leader) == ("a", before)
    world.ends_well()


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("quorum", [None, 1])
def test_two_that_each_see_half_hand_the_lease_on_no_more_often_than_they_may_switch(
    seed: int, quorum: int | None
) -> None:
    """The nodes live and die at random, and for one agent a is never there, for the other one b."""
    world, rng = World(2, seed, quorum=quorum).starts(), random.Random(seed)
    for agent, node in zip(world.agents.values(), "ab", strict=True):
        agent.unreachable[node] = math.inf
    leaders = [leader_of(world)]
    for _ in range(60):
        world.nodes.becomes(rng.choice("ab"), rng.choice((Shown.ACTIVE, Shown.SILENT)))
        for _ in range(20):
            leader = world.passes(1.0).leader
            leaders += [leader.name] if leader and leader.name != leaders[-1] else []
    assert len(leaders) - 1 <= world.epoch
    world.ends_well()


def test_the_store_is_gone_and_nothing_moves(pair: World) -> None:
    for agent in pair.agents.values():
        agent.store.up = False
    pair.passes(30.0)
    pair.nodes.becomes("a", Shown.SILENT)
    pair.passes(60.0)
    assert pair.leader is None
    assert all(agent.answer == ("a", 1) for agent in pair.agents.values())
    pair.ends_well()


def test_the_disk_is_full_and_the_live_node_dies() -> None:
    world = World(1).starts()
    (agent,) = world.agents.values()
    agent.disk.full = True
    world.nodes.becomes("a", Shown.SILENT)
    world.passes(60.0)
    assert agent.answer == ("a", 1)
    reply = agent.hears(ev.Promote("b", "anna", "test"))
    assert reply
    assert not reply.accepted
    agent.disk.full = False
    world.passes(60.0)
    assert agent.answer == ("b", world.epoch)
    world.ends_well()


def test_all_agents_start_anew_while_store_and_aws_are_gone(pair: World) -> None:
    for agent in pair.agents.values():
        agent.kill()
        agent.store.up = agent.aws.up = False
        agent.start()
    pair.passes(60.0)
    assert all(agent.answer == ("a", 1) for agent in pair.agents.values())
    pair.ends_well()


def test_a_store_that_is_restored_from_an_older_backup_takes_no_answer_back(pair: World) -> None:
    backup = dict(pair.kept.items)
    pair.nodes.becomes("a", Shown.SILENT)
    pair.passes(60.0)
    pair.kept.items = backup
    for agent in pair.agents.values():
        agent.kill()
        agent.start()
    pair.passes(60.0)
    assert all(agent.answer == ("b", 2) for agent in pair.agents.values())


def test_somebody_moves_the_address_by_hand(world: World) -> None:
    world.cloud.move_by_hand("b")
    world.passes(90.0)
    assert world.holders() == ("a",)
    world.ends_well()


def test_the_target_dies_while_the_switch_runs(world: World) -> None:
    world.nodes.becomes("a", Shown.SILENT)
    world.until(": assign_")
    world.nodes.becomes("b", Shown.SILENT)
    world.nodes.becomes("a", Shown.ACTIVE)
    world.passes(90.0)
    assert world.live == "a"
    world.ends_well()


def test_the_target_dies_while_the_switch_waits_for_aws(world: World) -> None:
    world.cloud.fault = Fault.UNREACHABLE
    world.nodes.becomes("a", Shown.SILENT)
    world.passes(20.0)
    world.nodes.becomes("a", Shown.ACTIVE)
    world.nodes.becomes("b", Shown.SILENT)
    world.passes(20.0)
    world.cloud.fault = None
    world.passes(60.0)
    assert (world.live, world.epoch) == ("a", 3), "the next epoch decides"
    world.ends_well()


def owing(agents: int, on_drift: OnDrift) -> World:
    """AWS is out, no fence is required, and the answer has moved all the same."""
    world = World(agents, policy=replace(RULES, fence_required=False, on_drift=on_drift)).starts()
    world.cloud.fault = Fault.UNREACHABLE
    world.nodes.becomes("a", Shown.SILENT)
    world.passes(60.0)
    assert (world.live, world.holders()) == ("b", ("a",))
    return world


def test_a_switch_that_somebody_took_out_of_the_store_ends_and_people_are_asked() -> None:
    world = World(2).starts()
    world.cloud.fault = Fault.THROTTLED
    world.nodes.becomes("a", Shown.SILENT)
    world.until("intent 2")
    intent = world.kept.items[f"intent/{RULES.service}"]
    world.kept.compare_and_set(intent.key, {**intent.value, "state": "abandoned"}, intent.version)
    world.cloud.fault = None
    world.passes(60.0)
    assert world.told("epoch 2 ends: the store ended it")
    assert (world.live, world.epoch) == ("a", 1)
    world.release()
    world.passes(30.0)
    assert (world.live, world.epoch) == ("b", 3)
    world.ends_well()


def test_a_debt_is_paid_once_a_newer_epoch_was_given_up() -> None:
    """An epoch that is abandoned is open no more: random stories found a rule that held it to be."""
    world = owing(2, OnDrift.ALERT)
    assert world.leader
    world.leader.hears(ev.Promote("a", "anna", "test", force=True))
    world.until("intent 3")
    world.agents[leader_of(world)].kill()
    world.cloud.fault = None
    world.passes(60.0)
    assert world.told("epoch 3 is abandoned")
    assert (world.live, world.holders()) == ("b", ("b",))
    world.ends_well()


@pytest.mark.parametrize("agents", [1, 2])
def test_a_debt_is_not_paid_for_an_epoch_that_is_over(agents: int) -> None:
    """AWS takes each change, hardly answers, and the new live node dies."""
    world = owing(agents, OnDrift.REPAIR)
    world.nodes.becomes("a", Shown.ACTIVE)
    for agent in world.agents.values():
        agent.aws.slow_s = 3.9
    world.nodes.becomes("b", Shown.SILENT)
    world.passes(4.0)
    world.cloud.fault = None
    world.passes(120.0)
    assert world.live == "a"
    world.ends_well()


@pytest.mark.parametrize("agents", [1, 2])
def test_a_debt_outlives_the_leader(agents: int) -> None:
    world = owing(agents, OnDrift.ALERT)
    world.agents[leader_of(world)].kill()
    world.passes(30.0)
    world.ends_well()
    assert world.holders() == ("b",)


def test_a_switch_that_the_lease_does_not_outlive_makes_no_call(pair: World) -> None:
    """The record of the lease can't be written, all else can, and AWS takes each change and does not answer."""
    leader = pair.agents[leader_of(pair)]
    leader.store.deaf, leader.aws.slow_s = "lease/", 1000.0
    pair.passes(5.0)
    pair.nodes.becomes("a", Shown.SILENT)
    pair.passes(60.0)
    assert pair.live == "b"
    pair.ends_well()


@pytest.mark.parametrize("seed", range(8))  # how late the last answer is, is chance
def test_a_lease_counts_from_before_it_was_asked_for(seed: int) -> None:
    """Renewals that are answered just in time, then never again; the others see each as soon as it is written."""
    pair = World(2, seed).starts()
    leader = pair.agents[leader_of(pair)]
    leader.store.slow_s = 3.9
    pair.passes(60.0)
    leader.store.deaf = "lease/"
    pair.passes(60.0)
    assert not leader.leads()
    pair.ends_well()


def test_an_operator_promotes_and_holds(world: World) -> None:
    assert world.leader
    reply = world.leader.hears(ev.Promote("b", "anna", "test"))
    assert reply
    assert reply.accepted
    world.passes(20.0)
    assert world.live == "b"
    assert world.leader.hears(ev.Hold("anna", "test"))
    world.nodes.becomes("b", Shown.SILENT)
    world.passes(120.0)
    assert world.live == "b"
    world.ends_well()


def test_a_follower_names_the_leader(pair: World) -> None:
    (follower,) = [agent for agent in pair.agents.values() if not agent.leads()]
    reply = follower.hears(ev.Promote("b", "anna", "test"))
    assert reply
    assert not reply.accepted
    assert leader_of(pair) in reply.sentence


# --- many eyes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quorum", [1, 2])
def test_the_leader_alone_can_not_reach_the_live_node_and_it_holds(quorum: int) -> None:
    world = World(2, quorum=quorum).starts()
    leader = leader_of(world)
    world.agents[leader].unreachable["a"] = math.inf
    world.passes(60.0)
    assert world.live == "a"
    assert world.told("the vantages disagree on a")
    for agent in world.agents.values():
        agent.unreachable["a"] = math.inf
    world.passes(10.0)
    assert world.live == "b"
    world.ends_well()


@pytest.mark.parametrize(("agents", "quorum"), [(2, 1), (3, 2)])
def test_the_leader_dies_with_the_live_node_and_those_that_are_left_move(agents: int, quorum: int) -> None:
    world = World(agents, quorum=quorum, witnesses=agents - 2).starts()
    world.agents[leader_of(world)].kill()
    world.nodes.becomes("a", Shown.SILENT)
    world.passes(22.0)
    assert world.live == "b"
    world.ends_well()


@pytest.mark.parametrize("leader", [True, False])
def test_one_of_two_stops_and_what_it_saw_keeps_the_other_from_nothing(leader: bool) -> None:
    world = World(2, quorum=1).starts()
    next(agent for agent in world.agents.values() if agent.leads() is leader).stop()
    world.nodes.becomes("a", Shown.SILENT)
    world.passes(8.0)
    assert world.live == "b"
    world.ends_well()


def test_of_two_that_have_to_agree_one_dies_and_nothing_moves_but_by_hand() -> None:
    world = World(2, quorum=2).starts()
    next(agent for agent in world.agents.values() if not agent.leads()).kill()
    world.nodes.becomes("a", Shown.SILENT)
    world.passes(120.0)
    assert world.live == "a"
    assert world.told("too few vantages can tell of a")
    leader = world.leader
    assert leader
    assert leader.hears(ev.Promote("b", "anna", "test"))
    world.passes(10.0)
    assert world.live == "b"
    world.ends_well()


@pytest.mark.parametrize("lost", ["path", "store"])
def test_one_of_three_that_loses_its_path_or_the_store_abstains_and_the_others_move(lost: str) -> None:
    world = World(3, quorum=2, witnesses=1).starts()
    follower = next(agent for agent in world.agents.values() if not agent.leads())
    getattr(follower, lost).up = False
    world.passes(30.0)
    world.nodes.becomes("a", Shown.SILENT)
    world.passes(10.0)
    assert world.live == "b"
    world.ends_well()


def test_a_witness_is_left_alone_and_nobody_leads() -> None:
    world = World(3, quorum=2, witnesses=1).starts()
    for agent in list(world.agents.values())[:2]:
        agent.kill()
    world.nodes.becomes("a", Shown.SILENT)
    world.passes(120.0)
    assert world.leader is None
    assert world.agents["edge-3"].answer == ("a", 1)
    world.ends_well()


@pytest.mark.parametrize("quorum", [1, 2])
def test_the_store_is_gone_and_no_vantage_is_heard(quorum: int) -> None:
    """All serve on, and nobody moves, until it is back: then at once, by what is seen now."""
    world = World(3, quorum=quorum, witnesses=1).starts()
    for agent in world.agents.values():
        agent.store.up = False
    world.passes(30.0)
    world.nodes.becomes("a", Shown.SILENT)
    world.passes(120.0)
    assert world.leader is None
    assert {agent.answer for agent in world.agents.values()} == {("a", 1)}
    for agent in world.agents.values():
        agent.store.mend()
    world.passes(25.0)
    assert {agent.answer for agent in world.agents.values()} == {("b", 2)}
    world.ends_well()


def test_the_lease_is_not_given_up_to_a_witness() -> None:
    world = World(2, quorum=1, witnesses=1).starts()
    world.agents["edge-1"].path.up = False
    world.passes(120.0)
    assert leader_of(world) == "edge-1"
    world.ends_well()


def test_the_witness_sees_what_the_leaders_line_hides() -> None:
    """The leader loses packets at random: it takes the live node for dead at worst, and the others do not."""
    world = World(3, quorum=2, witnesses=1).starts()
    world.agents[leader_of(world)].path.trouble = 0.6
    world.passes(120.0)
    assert (world.live, world.epoch) == ("a", 1)
    world.ends_well()


def test_an_availability_zone_fails(world: World) -> None:
    """Everything in it is silent, the witness there too."""
    for name in "aw":
        world.nodes.becomes(name, Shown.SILENT)
    world.passes(30.0)
    assert world.live == "b"
    world.ends_well()


def test_a_standby_is_promoted_by_force_alone(world: World) -> None:
    world.nodes.becomes("b", Shown.STANDBY)
    world.passes(10.0)
    leader = world.leader
    assert leader
    refused = leader.hears(ev.Promote("b", "anna", "test"))
    assert refused
    assert not refused.accepted
    assert leader.hears(ev.Promote("b", "anna", "data of yesterday will do", force=True))
    world.passes(20.0)
    assert world.live == "b"
    world.ends_well()


@pytest.mark.parametrize("by_s", [-1e9, 1e9])
def test_the_time_of_day_jumps_and_damps_and_decides_nothing(world: World, by_s: float) -> None:
    world.nodes.becomes("a", Shown.SILENT)
    world.until("committed 2")
    for agent in world.agents.values():
        agent.clock.moved_s = by_s
    world.nodes.becomes("a", Shown.ACTIVE)
    world.agents[leader_of(world)].kill()
    for agent in world.agents.values():
        if not agent.alive:
            agent.start()
    world.nodes.becomes("b", Shown.SILENT)
    world.passes(world.policy.hold_down_s * 0.8)
    assert (world.live, world.epoch) == ("b", 2)
    world.ends_well()


# --- the failure catalogue --------------------------------------------------------------------------------------------

STORIES = {
    1: test_the_live_node_fails_and_comes_back,
    2: test_the_live_node_fails_and_comes_back,
    3: test_a_standby_is_no_target,
    4: test_everybodys_path_is_down,
    5: test_everybodys_path_is_down,
    6: test_the_path_has_always_lost_packets_and_nothing_moves_but_by_hand,
    7: test_the_path_flaps,
    8: test_an_availability_zone_fails,
    9: test_a_debt_outlives_the_leader,
    10: test_aws_is_out_while_the_live_node_dies,
    11: test_a_cluster_manager_decides_and_two_that_claim_to_be_active_are_held,
    12: test_no_node_is_up,
    13: test_a_standby_is_promoted_by_force_alone,
    15: test_the_leader_dies_in_the_middle_of_a_switch,
    16: test_a_follower_names_the_leader,
    17: test_the_time_of_day_jumps_and_damps_and_decides_nothing,
    18: test_the_disk_is_full_and_the_live_node_dies,
    22: test_the_live_node_fails_and_comes_back,
    23: test_the_leader_stands_still_in_the_middle_of_a_switch_and_wakes_up,
    24: test_somebody_moves_the_address_by_hand,
    25: test_only_the_leaders_path_is_down,
    27: test_all_agents_start_anew_while_store_and_aws_are_gone,
    29: test_the_target_dies_while_the_switch_runs,
    30: test_a_node_flaps,
}
REAL = {
    14: "agent/test_answering.py::test_14_a_forwarder_that_keeps_an_answer_is_warned_of_and_is_seen_to_be_stale",
    19: "agent/test_agent.py::test_a_bad_reload_keeps_the_old_configuration_and_a_good_one_is_taken",
    20: "dns/test_desk.py::test_neither_the_trusted_nor_tcp_have_a_rate",
    21: "switches/test_secondary_ip.py::test_a_move_is_done_when_a_describe_shows_it",
    26: "stores/test_sqlite.py::test_a_damaged_file_is_refused_with_what_to_do",
    28: "switches/test_runner.py::test_a_call_that_took_effect_and_timed_out_is_read_back_and_not_sent_again",
    31: "agent/test_guest.py::test_a_guest_that_does_not_let_go_holds_the_switch",
    32: "agent/test_guest.py::test_a_guest_that_knows_a_newer_epoch_ends_the_switch",
}
"""Of a forwarder, the configuration, the sockets, the disk's own format, AWS's own ways and a guest there is no story:
the test of the real thing.
"""


def test_each_row_of_the_catalogue_has_its_story_or_its_test_of_the_real_thing() -> None:
    tests = Path(__file__).parents[1]
    design = (tests.parent / "docs" / "design.md").read_text()
    table = design[design.index("## The failure catalogue") : design.index("## Drift")]
    assert sorted((*STORIES, *REAL)) == [int(row) for row in re.findall(r"(?m)^\| (\d+) \|", table)]
    for name in REAL.values():
        file, _, test = name.partition("::")
        assert f"def {test}(" in (tests / file).read_text()


# --- without the store ------------------------------------------------------------------------------------------------

ALL = replace(RULES, unanimous=True, fence_required=False)


def stranded(agents: int = 3, seed: int = 0) -> World:
    """Neither store nor AWS, and the live node has died; nobody can have agreed yet."""
    world = World(agents, seed, ALL, quorum=2).starts()
    for agent in world.agents.values():
        agent.store.up = agent.aws.up = False
    world.nodes.becomes("a", Shown.SILENT)
    return world.passes(10.0)


def at_each_yes(agent: Agent, then: Callable[[], object]) -> None:
    """Before it is on its way."""
    assert agent.unanimity
    stances = agent.unanimity.stances

    def told() -> Mapping[str, Stance]:
        said = stances()
        if any(each.node for each in said.values()):
            then()
        return said

    agent.unanimity.stances = told  # type: ignore[method-assign]


def answered(world: World) -> set[tuple[tuple[str, int] | None, int]]:
    return {(agent.answer, agent.round) for agent in world.agents.values()}


def test_all_agree_without_the_store_and_it_is_told_when_it_is_back() -> None:
    world = stranded().passes(30.0)
    assert answered(world) == {(("b", 1), 1)}
    assert world.live == "a"
    world.ends_well()
    assert (world.live, world.epoch) == ("b", 2)
    assert world.told("2: b is to be live (unanimous)")


def test_all_agree_twice_without_the_store() -> None:
    world = stranded().passes(60.0)
    world.nodes.becomes("a", Shown.ACTIVE)
    world.nodes.becomes("b", Shown.SILENT)
    assert answered(world.passes(40.0)) == {(("a", 1), 2)}
    world.ends_well()
    assert (world.live, world.epoch) == ("a", 2)


def _dead(agent: Agent) -> None:
    agent.kill()


def _still(agent: Agent) -> None:
    agent.process.paused = True


def _unheard(agent: Agent) -> None:
    agent.talk.up = False


def _with_the_store(agent: Agent) -> None:
    agent.store.up = True


def _with_aws(agent: Agent) -> None:
    agent.aws.up = True


@pytest.mark.parametrize("otherwise", [_dead, _still, _unheard, _with_the_store, _with_aws])
@pytest.mark.parametrize("name", ["edge-1", "edge-2", "edge-3"])
def test_one_that_does_not_agree_is_enough(name: str, otherwise: Callable[[Agent], None]) -> None:
    world = stranded()
    otherwise(world.agents[name])
    assert all(agreed == 0 for _, agreed in answered(world.passes(60.0)))
    world.ends_well()


@pytest.mark.parametrize("seed", range(48, 64))
def test_the_store_is_back_for_who_has_just_agreed_and_the_answer_is_slow(seed: int) -> None:
    """It may lead only once its word has been decided by, or not. In two of these, who breaks it leads before."""
    world = stranded(2, seed)
    world.agents["edge-1"].talk.slow_s = 0.9
    later = world.agents["edge-2"]
    at_each_yes(later, later.store.mend)
    world.passes(30.0)
    world.ends_well()


def test_one_dies_with_its_yes_on_the_way() -> None:
    """A random story had it: its yes counts, and it hears of the move when it is back."""
    world = stranded(2)
    later = world.agents["edge-2"]
    at_each_yes(later, lambda: world.timeline.after(0.0, later.kill))
    world.passes(20.0)
    assert world.agents["edge-1"].round == 1
    assert not later.alive
    later.start()
    assert answered(world.passes(20.0)) == {(("b", 1), 1)}
    world.ends_well()


@pytest.mark.parametrize("dies", ["edge-1", "edge-2", "edge-3"])
def test_one_dies_as_soon_as_they_agreed(dies: str) -> None:
    world = stranded().until("agree, and see neither store nor AWS").passes(0.1)
    world.agents[dies].kill()
    world.passes(20.0)
    world.agents[dies].start()
    assert answered(world.passes(20.0)) == {(("b", 1), 1)}
    world.ends_well()
    assert world.live == "b"


def test_what_ended_with_who_decided_it_before_its_disk_had_it_is_decided_anew() -> None:
    world = stranded().until("agree, and see neither store nor AWS")
    world.agents["edge-1"].kill()
    assert answered(world.passes(20.0)) == {(("b", 1), 1), (("a", 1), 0)}, "its workers answer on"
    world.agents["edge-1"].start()
    assert answered(world) == {(("a", 1), 0)}
    assert answered(world.passes(40.0)) == {(("b", 1), 1)}
    world.ends_well()


def test_a_commit_that_arrives_late_wins_over_what_all_agreed_on() -> None:
    world = stranded().until("agree, and see neither store nor AWS")
    late = Records(world.kept, Clock("boot-edge-1", lambda: 0.0, lambda: 0.0), "edge-1")
    intent = Intent(2, "a", "a", Cause.OPERATOR, "anna", "asserted anew")
    late.write_intent(RULES.service, intent)
    late.commit(RULES.service, intent)
    world.ends_well()
    assert (world.live, world.epoch) == ("a", 2)
    assert world.told("what all agents agreed on without it, b at epoch 1 round 1, ends")
