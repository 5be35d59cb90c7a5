"""Moves without the store: who stands how, what all of them decide, and what becomes of it once the store is back."""

import math
from dataclasses import replace

import pytest

from edge.errors import Fault
from edge.failover import events as ev
from edge.failover import lease, unanimity
from edge.failover.lease import Keeper, Look, Record, Timing, Write
from edge.failover.model import (
    Assignment,
    Authority,
    Cause,
    Intent,
    Lease,
    Listed,
    Mode,
    Opinion,
    Override,
    Phase,
    Report,
    Sight,
    Stage,
)
from edge.failover.unanimity import Stance
from tests.failover.world import POLICY, Shown, World

LISTED = Listed(("dc1", "dc2"), ("vpc",), 2)
THREE = replace(
    POLICY, vantage="dc1", peers=("dc2", "vpc"), quorum=2, listed=LISTED, unanimous=True, fence_required=False
)
A7 = Assignment("a", 7)
B71 = Assignment("b", 7, 1)


def follower() -> World:
    """Nobody leads, as the store is gone; what the others saw is stale."""
    return World(THREE, held=False).started()


def stance(world: World, cut_off: str | None = None) -> Stance:
    return unanimity.stance(world.state, cut_off, world.now)


def dead(world: World, node: str = "a") -> World:
    world.sees[node] = Shown.SILENT
    return world.passes(6.0)


def led(world: World, loaded: ev.Loaded) -> World:
    """The store is back, and this agent leads."""
    world.hears(ev.LeaseSaid(lease.sole("dc1"), loaded))
    return world


# --- how one agent stands ---------------------------------------------------------------------------------------------


def test_who_sees_the_live_node_dead_and_another_serve_would_move_it() -> None:
    world = dead(follower())
    assert world.state.need is None, "by the quorum nothing can be told"
    said = stance(world)
    assert (said.assignment, said.node, said.listed) == (A7, "b", LISTED)
    assert said.why.startswith("a is down: ")


def test_who_is_not_cut_off_would_not() -> None:
    said = stance(dead(follower()), "the store answered 2.0 s ago")
    assert (said.node, said.why) == (None, "the store answered 2.0 s ago")


def test_each_has_to_see_it_with_its_own_eyes() -> None:
    world = follower()
    gone = {"a": Opinion(Sight.DOWN, "a is down"), "b": Opinion(Sight.ACTIVE, "b is active")}
    for peer in THREE.peers:
        world.hears(ev.Reported(peer, Report(world.now, path_up=True, opinions=gone)))
    assert stance(world).why == "a is not seen to fail"
    world.path_up = False
    assert stance(world.passes(6.0)).node is None, "a dead path is no dead node"


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"policy": replace(THREE, unanimous=False)}, "on_store_loss is hold"),
        ({"policy": replace(THREE, mode=Mode.CONFIRM)}, "mode is confirm"),
        ({"policy": replace(THREE, mode=Mode.MANUAL)}, "mode is manual"),
        ({"assignment": None}, "no assignment is known"),
        ({"lease": lease.sole("dc1")}, "this agent leads"),
        ({"phase": Phase.COMMITTING}, "a switch is under way (committing)"),
        ({"override": Override(False, "kim", "router work")}, "automatic switches held by kim"),
        ({"override": Override(True, "kim", "stays")}, "promoted for good by kim"),
        ({"window": "month's end"}, "the freeze window month's end is open"),
        ({"committed_at": math.inf}, "the last switch was less than"),
        ({"automatic_at": (math.inf,) * 3}, "3 automatic switches within an hour"),
    ],
)
def test_what_stands_against_it(wrong: dict, why: str) -> None:
    world = dead(follower())
    world.state = replace(world.state, **wrong)
    said = stance(world)
    assert (said.node, said.why.startswith(why)) == (None, True), said.why


def test_neither_lease_nor_store_is_asked_for() -> None:
    world = dead(follower())
    world.state = replace(world.state, store_trouble="no answer", lease=Lease(False, math.inf, "dc2"))
    assert stance(world).node == "b"


def test_without_a_target_nobody_moves() -> None:
    assert stance(dead(dead(follower()), "b")).why.endswith("no other node is up")


def test_where_a_cluster_manager_decides_a_standby_is_no_target() -> None:
    world = dead(follower())
    world.state = replace(world.state, policy=replace(THREE, authority=Authority.CLUSTER))
    assert stance(world).node == "b"
    world.sees["b"] = Shown.STANDBY
    assert stance(world.passes(5.0)).node is None


# --- what they decide -------------------------------------------------------------------------------------------------

YES = Stance(A7, "b", "a is down", LISTED)


def decided(ours: Stance = YES, **others: Stance) -> Assignment | str:
    return unanimity.decided(ours, others, "dc1")


def test_all_of_them_decide_and_no_fewer() -> None:
    assert decided(dc2=YES, vpc=YES) == B71
    assert decided(dc2=YES) == "vpc does not answer"
    assert decided() == "dc2, vpc do not answer"
    assert decided(dc2=YES, edge9=YES) == "vpc does not answer"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (replace(YES, node=None, why="AWS answered"), "vpc would not move it: AWS answered"),
        (replace(YES, assignment=Assignment("a", 8)), "vpc serves a at epoch 8, and we a at epoch 7"),
        (replace(YES, assignment=B71), "vpc serves b at epoch 7 round 1, and we a at epoch 7"),
        (replace(YES, assignment=None), "vpc serves nothing, and we a at epoch 7"),
        (replace(YES, listed=replace(LISTED, quorum=1)), "vpc lists other vantages"),
        (replace(YES, node="c"), "vpc would move it to c, and we to b"),
    ],
)
def test_who_stands_otherwise_stops_all(said: Stance, why: str) -> None:
    assert decided(dc2=YES, vpc=said) == why
    assert decided(said, dc2=said, vpc=YES) != B71


def test_the_proposer_is_one_of_those_that_may_lead() -> None:
    assert unanimity.proposer(Listed(("dc2", "dc1"), ("aws",))) == "dc1"
    assert unanimity.proposer(Listed()) is None


def test_the_next_round_is_decided_over_the_last_one() -> None:
    again = replace(YES, assignment=B71, node="a")
    assert decided(again, dc2=again, vpc=again) == Assignment("a", 7, 2)


def test_who_says_yes_claims_no_lease_before_its_word_has_ended() -> None:
    """Neither one that has run out, nor its own, nor one that is free."""
    assert pytest.approx(unanimity.PROMISE_S * 0.9) == unanimity.COUNTED_S
    for record in (
        None,
        Record(3, "dc2", "theirs", 8.0),
        Record(3, "dc2", "theirs", 8.0, True),
        Record(3, "x", "us", 8.0),
    ):
        keeper = lease.promised(Keeper("dc1", "us", Timing(8.0, 2.0)), 130.0)
        keeper = lease.read(keeper, record, 5, 100.0)
        keeper = replace(lease.read(keeper, record, 5, 110.0), next_at=129.9)
        assert isinstance(lease.due(keeper), Look)
        due = lease.due(replace(keeper, next_at=130.0))
        assert isinstance(due, Write)
        assert due.at == 130.0
    assert lease.promised(keeper, 7.0).promised == 130.0


# --- what is served ---------------------------------------------------------------------------------------------------


def test_what_was_decided_is_served_at_once_and_touches_neither_store_nor_aws() -> None:
    world = dead(follower()).forgets()
    world.hears(ev.Agreed(B71, "all agents agree"))
    assert world.did == ["serve b 7"]
    assert world.told("unanimous") == ["all agents agree"]
    assert world.state.assignment == B71
    world.sees["a"] = Shown.ACTIVE
    world.sees["b"] = Shown.REFUSED
    assert "the last switch was less than" in stance(world.passes(6.0)).why, "the hold-down holds for it too"


@pytest.mark.parametrize("found", [A7, Assignment("b", 6, 9), Assignment("z", 7, 1)])
def test_what_is_not_newer_or_no_node_of_ours_is_not_served(found: Assignment) -> None:
    world = follower().forgets()
    world.hears(ev.Agreed(found, "so they say"))
    assert (world.did, world.state.assignment) == ([], A7)


def test_what_another_agent_has_read_of_the_store_is_served_too() -> None:
    world = follower().forgets()
    world.hears(ev.Agreed(Assignment("b", 8), "dc2 serves it"))
    assert (world.did, world.told("followed")) == (["serve b 8"], ["dc2 serves it"])
    assert world.state.floor == 8


def test_a_switch_under_way_is_not_disturbed() -> None:
    world = World(THREE).started()
    world.slow = (ev.RunStage,)
    world.says(ev.Promote("b", "kim", "test"))
    world.forgets().hears(ev.Agreed(Assignment("b", 7, 1), "so they say"))
    assert (world.did, world.state.assignment) == ([], A7)


# --- the store is back ------------------------------------------------------------------------------------------------


def moved() -> World:
    world = dead(follower())
    world.hears(ev.Agreed(B71, "all agents agree"))
    return world.passes(5.0).forgets()


def test_the_leaders_first_act_writes_it_as_the_next_epoch_and_fences_the_old_node() -> None:
    world = led(moved(), ev.Loaded(A7, newest=7))
    (intent,) = [effect.intent for effect in world.all(ev.WriteIntent)]
    assert (intent.epoch, intent.node, intent.origin, intent.outgoing) == (8, "b", "a", ("a",))
    assert intent.cause is Cause.UNANIMOUS
    assert intent.sentence == "all agents agreed on it while the store was out of reach, at epoch 7 round 1"
    assert world.did == [
        "intent 8 b",
        "fence 8",
        "move 8",
        "publish 8",
        "commit 8",
        "serve b 8",
        "verify 8",
        "finish 8",
    ]
    assert world.state.assignment == Assignment("b", 8)
    assert world.state.left == ()
    assert len(world.state.automatic_at) == 2, "it may damp too much, and never too little"


def test_a_follower_keeps_it_until_the_store_has_a_newer_epoch() -> None:
    world = moved()
    automatic_at = world.state.automatic_at
    world.hears(ev.Loaded(A7, newest=7, committed_at=1.0))
    assert (world.did, world.state.assignment) == ([], B71)
    assert world.state.automatic_at == automatic_at
    assert world.state.committed_at > 1.0
    world.hears(ev.Loaded(Assignment("b", 8), newest=8))
    assert world.did == ["serve b 8"]
    (told,) = world.told("reconciled")
    assert "what all agents agreed on without it, b at epoch 7 round 1, is in the store now" in told


@pytest.mark.parametrize(("node", "kind"), [("b", "reconciled"), ("a", "outvoted")])
def test_what_the_store_says_may_be_heard_from_another_agent_first(node: str, kind: str) -> None:
    world = moved()
    world.hears(ev.Agreed(Assignment(node, 8), f"{node} is live at epoch 8: dc2 serves it"))
    assert world.told(kind)[0].startswith(f"{node} is live at epoch 8: dc2 serves it; what all agents agreed on")


def test_a_store_that_had_moved_on_wins() -> None:
    """The last leader's commit had arrived, unheard."""
    world = led(
        moved(), ev.Loaded(Assignment("a", 8), newest=8, unsettled=Intent(8, "a", "a", Cause.OPERATOR, "k", "t"))
    )
    assert world.did[0] == "serve a 8"
    (told,) = world.told("outvoted")
    assert told.startswith("a is live at epoch 8: the store says so")
    assert told.endswith("b at epoch 7 round 1, ends: the store had moved on")
    assert not world.all(ev.WriteIntent) or world.all(ev.WriteIntent)[0].intent.epoch > 8


@pytest.mark.parametrize("begun", [False, True])
def test_an_epoch_that_the_last_leader_had_opened_is_passed_over(begun: bool) -> None:
    """Where it had begun, whom it may have reached is fenced too."""
    world = moved()
    opened = Intent(9, "c", "a", Cause.FAILURE, "edge", "a is down", ("a",))
    world.state = replace(world.state, policy=replace(world.state.policy, nodes=("a", "b", "c")))
    led(world, ev.Loaded(A7, opened=opened, begun=begun, newest=9))
    (intent,) = [effect.intent for effect in world.all(ev.WriteIntent)]
    assert (intent.epoch, intent.node) == (10, "b")
    assert intent.outgoing == (("a", "c") if begun else ("a",))
    assert world.state.assignment == Assignment("b", 10)


def test_debts_of_the_epoch_before_are_passed_over() -> None:
    world = led(moved(), ev.Loaded(A7, unsettled=Intent(7, "a", "b", Cause.OPERATOR, "kim", "test"), newest=7))
    assert world.all(ev.WriteIntent)[0].intent.epoch == 8
    assert world.state.owed is None


def test_after_a_restart_the_disk_has_it_and_it_is_reconciled_all_the_same() -> None:
    world = World(THREE, held=False)
    world.hears(ev.Loaded(B71))
    world.hears(ev.Loaded(A7, newest=7))
    assert world.did == ["serve b 7"]
    led(world, ev.Loaded(A7, newest=7))
    assert world.all(ev.WriteIntent)[0].intent.outgoing == ("a",)
    assert world.state.assignment == Assignment("b", 8)


def test_several_rounds_leave_several_nodes_unfenced() -> None:
    world = follower()
    world.state = replace(world.state, policy=replace(THREE, nodes=("a", "b", "c")))
    world.hears(ev.Agreed(B71, "all agree"))
    world.hears(ev.Agreed(Assignment("c", 7, 2), "all agree again"))
    world.hears(ev.Loaded(Assignment("x", 6), newest=7))
    led(world, ev.Loaded(A7, newest=7))
    intent = world.all(ev.WriteIntent)[0].intent
    assert (intent.node, intent.origin, intent.outgoing) == ("c", "a", ("a", "b"))


def test_a_leader_that_had_not_heard_of_it_hears_of_it_then() -> None:
    world = World(replace(THREE, peers=(), quorum=1)).started().forgets()
    world.hears(ev.Agreed(B71, "dc2 serves it"))
    assert world.did[:2] == ["serve b 7", "intent 8 b"]
    assert world.state.assignment == Assignment("b", 8)


def test_it_waits_for_a_store_that_can_be_written() -> None:
    world = moved()
    world.store = ev.StoreFailed
    led(world, ev.Loaded(A7, newest=7))
    assert (world.did, world.state.assignment) == (["intent 8 b"], B71)
    world.store = None
    world.passes(5.0).hears(ev.StoreRecovered())
    assert world.state.assignment == Assignment("b", 9)


def test_a_leader_without_time_left_for_a_call_goes_on_with_what_was_begun() -> None:
    """The store's next epoch is above every round."""
    world = moved()
    world.state = replace(world.state, policy=replace(world.state.policy, lease_margin_s=60.0))
    opened = Intent(8, "b", "a", Cause.FAILURE, "edge", "a is down", ("a",))
    world.hears(ev.LeaseSaid(Lease(True, world.now + 30.0, "dc1"), ev.Loaded(A7, opened=opened, begun=True, newest=8)))
    assert not world.all(ev.WriteIntent)
    assert world.state.assignment == Assignment("b", 8)


def test_aws_that_is_still_out_is_owed() -> None:
    world = moved()
    world.stages = dict.fromkeys((Stage.FENCE, Stage.MOVE, Stage.PUBLISH), Fault.UNREACHABLE)
    led(world, ev.Loaded(A7, newest=7))
    assert world.state.assignment == Assignment("b", 8)
    assert world.state.flight
    assert world.state.flight.debts


def test_it_is_no_drift_of_aws() -> None:
    world = moved()
    world.hears(ev.SidesRead(7, ()))
    assert world.state.drift is None
