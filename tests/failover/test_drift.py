"""Drift: what AWS says in two readings in a row is told, and answered as `drift` says, or not, with the reason."""

from dataclasses import replace

import pytest

from edge.errors import Fault
from edge.failover import events as ev
from edge.failover.drift import APART_S
from edge.failover.model import Assignment, Authority, Cause, Mode, OnDrift, Phase, Pointing, Policy, Stage
from tests.failover.world import POLICY, Shown, World

REPAIR = replace(POLICY, on_drift=OnDrift.REPAIR)
ADOPT = replace(POLICY, on_drift=OnDrift.ADOPT)
HOUR_S = 3600.0


def zone(node: str | None = "b", epoch: int = 7, flaw: str = "") -> Pointing:
    return Pointing("route53", node, epoch, f"{node}, epoch {epoch}", flaw)


def address(node: str | None = "b") -> Pointing:
    return Pointing("secondary_ip", node, 0, f"on {node}")


UNREAD = Pointing("secondary_ip", None, 0, "denied", readable=False)


def read(world: World, *sides: Pointing, times: int = 2) -> World:
    for _ in range(times):
        assert world.state.assignment
        world.passes(APART_S).hears(ev.SidesRead(world.state.assignment.epoch, sides or (zone(),)))
    return world


def held(world: World, slug: str) -> None:
    """Nothing was done, and the status and the history say why."""
    found = world.state.drift
    assert found
    assert found.held
    assert found.held.slug == slug
    assert not world.all(ev.WriteIntent)
    assert found.held.sentence in world.told("drift")[-1]


# --- what is seen ---------------------------------------------------------------------------------------------------


def test_alert_tells_and_changes_nothing() -> None:
    world = read(World().started(), times=1)
    assert world.state.drift
    assert (world.state.drift.since, world.told("drift")) == (world.now, [])
    held(read(world, times=5), "alert")
    assert len(world.told("drift")) == 1
    assert "route53: b, epoch 7" in world.told("drift")[0]
    assert world.state.reason.slug == "steady"


def test_one_reading_proves_nothing() -> None:
    world = World(REPAIR).started()
    for _ in range(5):
        read(world, times=1)
        read(world, zone("a"), times=1)
    assert (world.state.drift, world.told("drift"), world.all(ev.WriteIntent)) == (None, [], [])


def test_two_readings_at_once_are_one() -> None:
    world = World(REPAIR).started()
    for _ in range(5):
        world.hears(ev.SidesRead(7, (zone(),)))
    assert (world.state.drift and world.state.drift.times, world.all(ev.WriteIntent)) == (1, [])
    assert read(world, times=1).all(ev.WriteIntent)


def test_what_is_changed_while_a_switch_is_read_back_is_repaired_and_what_the_switch_owes_is_no_drift() -> None:
    world = World(REPAIR).started("a", 7)
    world.stages[Stage.VERIFY] = Fault.UNREACHABLE
    world.says(ev.Promote("b", "kim", "test"))
    assert read(world, zone("a", 8)).state.assignment == Assignment("b", 9)
    owing = World(REPAIR).started("a", 7)
    owing.stages[Stage.PUBLISH] = Fault.UNREACHABLE
    owing.says(ev.Promote("b", "kim", "test"))
    assert read(owing, zone("a", 7)).state.assignment == Assignment("b", 8)
    assert owing.state.drift is None


def test_two_readings_that_show_two_things_prove_neither() -> None:
    world = World(REPAIR).started()
    for node in ("b", None, "b", None):
        read(world, zone(node), times=1)
    assert not world.all(ev.WriteIntent)


def test_a_drift_that_is_over_is_told() -> None:
    world = read(read(World().started()), zone("a"), times=1)
    assert world.state.drift is None
    assert world.told("drift")[1:] == ["AWS says again what is committed"]


def test_another_drift_is_told_again() -> None:
    world = read(read(World().started()), zone(), address(), times=1)
    assert [said.count("secondary_ip") for said in world.told("drift")] == [0, 1]


def test_what_could_not_be_read_ends_no_drift_and_makes_none() -> None:
    world = read(World(REPAIR).started(), zone("a"), UNREAD)
    assert world.state.drift is None
    world = read(read(World().started()), zone("a"), UNREAD, times=1)
    assert world.state.drift


def test_what_could_not_be_read_again_is_not_acted_upon() -> None:
    """A conflict was found by the reading before: it was once repaired over by one that read nothing."""
    world = read(World(REPAIR).started("a", 7), zone("b", 12))
    assert world.state.conflict
    assert not read(world, UNREAD).all(ev.WriteIntent)


@pytest.mark.parametrize(
    "side",
    [zone(), zone(None), zone("a", 6), zone("a", 7, "TTL 300"), zone("a", 0, "no epoch"), address(), address(None)],
)
def test_whatever_differs_is_repaired(side: Pointing) -> None:
    world = read(World(REPAIR).started("a", 7), side)
    assert world.state.assignment == Assignment("a", 8)


def test_an_address_carries_no_epoch() -> None:
    assert read(World().started(), zone("a"), address("a")).state.drift is None


# --- repair ---------------------------------------------------------------------------------------------------------


def test_repair_runs_the_stages_again_for_the_live_node_at_the_next_epoch() -> None:
    world = read(World(REPAIR).started("a", 7).forgets(), zone(), address("a"))
    assert world.did == [
        "intent 8 a", "fence 8", "move 8", "publish 8", "commit 8", "serve a 8", "verify 8", "finish 8",
    ]  # fmt: skip
    [written] = world.all(ev.WriteIntent)
    assert (written.intent.cause, written.intent.outgoing) == (Cause.REPAIR, ())
    assert "AWS was changed by somebody else: route53: b, epoch 7" in world.told("opened")[0]
    assert world.told("drift") == ["AWS was changed by somebody else: route53: b, epoch 7"]
    assert world.state.drift is None


def test_a_repair_neither_starts_a_hold_down_nor_waits_for_one() -> None:
    world = read(World(REPAIR).started())
    assert world.state.committed_at < 0
    world.says(ev.Promote("b", "kim", "test"))
    assert read(world, zone("a", 9)).state.assignment == Assignment("b", 10)
    world.sees["b"] = Shown.REFUSED
    assert world.passes(40).live == "a"


@pytest.mark.parametrize("mode", Mode)
def test_modes_are_about_failures_and_a_pin_is_for_the_live_node(mode: Mode) -> None:
    world = World(replace(REPAIR, mode=mode)).started()
    world.says(ev.Promote("b", "kim", "stays", pin=True))
    assert read(world.forgets(), zone("a", 8)).state.assignment == Assignment("b", 9)


def test_who_changes_it_back_is_not_fought_for_ever() -> None:
    world = World(replace(REPAIR, drift_per_hour=2)).started("a", 7)
    for epoch in (7, 8, 9):
        read(world, zone("b", epoch))
    assert world.state.assignment == Assignment("a", 9)
    assert world.state.drift
    assert world.state.drift.held
    assert world.state.drift.held.slug == "drift_budget"
    assert "2 times within an hour" in world.told("drift")[-1]
    assert read(world.passes(HOUR_S), zone("b", 9)).state.assignment == Assignment("a", 10)
    assert len(world.state.drift_at) == 1


def test_release_gives_a_new_budget_and_a_restart_does_not() -> None:
    world = World(replace(REPAIR, drift_per_hour=1))
    world.hears(ev.Loaded(Assignment("a", 7), drift_at=(world.now - 10.0,)))
    held(read(world.probed().passes(3)), "drift_budget")
    world.says(ev.Release("kim"))
    assert read(world, times=1).state.assignment == Assignment("a", 8)


# --- what holds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [REPAIR, ADOPT])
def test_a_hold_a_freeze_window_and_the_store_hold(policy: Policy) -> None:
    held_by = World(policy).started()
    held_by.says(ev.Hold("kim", "work on the zone"))
    held(read(held_by), "held")
    frozen = World(policy).started()
    frozen.hears(ev.FreezeSaid("month's end"))
    held(read(frozen), "frozen")
    full = World(policy).started()
    full.hears(ev.StoreFailed("the disk is full"))
    held(read(full), "store")
    full.hears(ev.StoreRecovered())
    assert read(full, times=1).all(ev.WriteIntent)


def test_a_dead_path_holds() -> None:
    world = World(REPAIR).started()
    world.path_up = False
    held(read(world.passes(20)), "path_down")


def test_a_live_node_that_does_not_serve_comes_first() -> None:
    world = World(REPAIR).started()
    world.sees["b"] = Shown.REFUSED
    world.passes(10).sees["a"] = Shown.REFUSED
    held(read(world.passes(10)), "need")


def test_only_the_leader_looks() -> None:
    world = read(World(REPAIR, held=False).started())
    assert (world.state.drift, world.did) == (None, ["serve a 7"])


def test_nothing_is_concluded_while_a_switch_is_under_way_or_of_an_older_assignment() -> None:
    world = World(REPAIR).started("a", 7)
    world.slow = (ev.RunStage,)
    world.says(ev.Promote("b", "kim", "test"))
    assert read(world).state.drift is None
    world.slow = ()
    world.settles()
    for _ in range(3):
        world.hears(ev.SidesRead(7, (zone("a"),)))
    assert (world.state.drift, world.state.assignment) == (None, Assignment("b", 8))


def test_nothing_is_concluded_without_an_assignment() -> None:
    world = World(REPAIR)
    for _ in range(2):
        world.hears(ev.SidesRead(0, (zone(),)))
    assert (world.state.drift, world.state.phase) == (None, Phase.SILENT)


def test_a_newer_epoch_is_a_conflict_and_no_drift() -> None:
    world = read(World(REPAIR).started("a", 7), zone("b", 12), times=1)
    assert world.state.conflict is None
    held(read(world, zone("b", 12), times=3), "conflict")
    assert world.told("conflict") == ["AWS carries epoch 12: route53: b, epoch 12"]
    assert world.state.floor == 12


# --- adopt ----------------------------------------------------------------------------------------------------------


def test_adopt_follows_aws_to_the_node_that_all_of_it_points_to() -> None:
    world = read(World(ADOPT).started("a", 7).forgets(), zone(), address())
    assert world.state.assignment == Assignment("b", 8)
    [written] = world.all(ev.WriteIntent)
    assert (written.intent.cause, written.intent.outgoing) == (Cause.ADOPT, ("a",))
    assert world.state.committed_at == world.now


@pytest.mark.parametrize("sides", [(zone(), address("a")), (zone(None),), (zone(), UNREAD), (zone("a", 7, "TTL 300"),)])
def test_what_does_not_point_to_one_other_node_is_not_followed(sides: tuple[Pointing, ...]) -> None:
    held(read(World(ADOPT).started(), *sides), "astray")


def test_a_node_that_does_not_serve_is_not_adopted() -> None:
    world = World(ADOPT).started()
    world.sees["b"] = Shown.STANDBY
    held(read(world.passes(5)), "target")


def test_a_node_that_is_not_configured_is_not_adopted() -> None:
    held(read(World(ADOPT).started(), zone("z")), "target")


def test_a_pin_and_two_active_nodes_of_a_cluster_bar_adoption() -> None:
    pinned = World(ADOPT).started()
    pinned.says(ev.Promote("a", "kim", "stays", pin=True, force=True))
    held(read(pinned.forgets(), zone("b", 8)), "pinned")
    cluster = World(replace(ADOPT, authority=Authority.CLUSTER)).started()
    held(read(cluster), "split_brain")
