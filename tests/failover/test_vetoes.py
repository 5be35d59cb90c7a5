"""Every veto alone: the live node is dead, the other is up, and only this one thing stands against the switch."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from edge.failover import events as ev
from edge.failover import vetoes
from edge.failover.model import Authority, Lease, Mode, Policy
from tests.failover.world import POLICY, Shown, World


def dead(world: World, seconds: float = 6.0) -> World:
    world.sees["a"] = Shown.REFUSED
    return world.passes(seconds)


def held_by(world: World) -> str | None:
    """The slug with which the machine holds, None when it switched."""
    return None if world.live == "b" else world.state.reason.slug


def started(policy: Policy = POLICY) -> World:
    return World(policy).started()


def test_without_a_veto_it_switches() -> None:
    assert held_by(dead(started())) is None


def test_path_down() -> None:
    world = started()
    world.path_up = False
    assert held_by(world.passes(10)) == "path_down"


def test_path_lossy() -> None:
    world = started()
    world.path_up = False
    world.passes(20)
    world.path_up = True
    assert held_by(dead(world)) == "path_lossy"


def test_unknown() -> None:
    world = started()
    world.sees["a"] = Shown.TROUBLE
    assert held_by(world.passes(10)) == "unknown"


def test_split_brain() -> None:
    world = started(replace(POLICY, authority=Authority.CLUSTER, nodes=("a", "b", "c")))
    world.sees["c"] = Shown.ACTIVE
    world.probed()
    assert held_by(dead(world)) == "split_brain"
    assert vetoes.first(world.state, world.now).slug == "split_brain"


def test_no_target() -> None:
    world = started()
    world.sees["b"] = Shown.STANDBY
    assert held_by(dead(world)) == "no_target"
    assert "no_target" not in [reason.slug for reason in vetoes.standing(world.state, world.now)]


def test_conflict() -> None:
    world = started()
    world.hears(ev.Conflicted(9, "the store has epoch 9"))
    assert held_by(dead(world)) == "conflict"
    world.says(ev.Release("kim"))
    assert held_by(world.passes(1)) is None
    assert world.state.assignment.epoch == 10


def test_held() -> None:
    world = started()
    world.says(ev.Hold("kim", "maintenance"))
    assert held_by(dead(world)) == "held"
    world.says(ev.Release("kim"))
    assert held_by(world) is None


def test_held_until() -> None:
    world = started()
    world.says(ev.Hold("kim", "maintenance", until=world.now + 20.0))
    assert held_by(dead(world, 19.9)) == "held"
    assert held_by(world.passes(0.2)) is None


def test_pinned() -> None:
    world = World().started("b")
    assert world.says(ev.Promote("a", "kim", "a is newer", pin=True)).accepted
    world.passes(40)
    assert held_by(dead(world)) == "pinned"


def test_frozen() -> None:
    world = started()
    world.hears(ev.FreezeSaid("month's end"))
    assert held_by(dead(world)) == "frozen"
    world.hears(ev.FreezeSaid(None))
    assert held_by(world) is None


def test_manual() -> None:
    assert held_by(dead(started(replace(POLICY, mode=Mode.MANUAL)))) == "manual"


def test_rejected() -> None:
    world = dead(started(replace(POLICY, mode=Mode.CONFIRM)))
    assert held_by(world) == "proposed"
    world.says(ev.Reject("kim"))
    assert held_by(world.passes(10)) == "rejected"


def test_hold_down() -> None:
    world = World().started("b")
    world.says(ev.Promote("a", "kim", "test"))
    switched = world.now
    assert held_by(dead(world, 29.0)) == "hold_down"
    world.passes(switched + 30.1 - world.now)
    assert held_by(world) is None


def test_flap_budget() -> None:
    """The budget counts automatic switches alone, and each for an hour."""
    world = World()
    past = (world.now - 3000.0, world.now - 2000.0, world.now - 1000.0)
    world.hears(ev.Loaded(ev.Assignment("a", 7), committed_at=past[-1], automatic_at=past))
    world.probed().passes(3)
    assert held_by(dead(world, 596.0)) == "flap_budget"
    assert held_by(world.passes(2.0)) is None


def test_flap_budget_is_given_back_by_release() -> None:
    world = World(replace(POLICY, switches_per_hour=0)).started()
    assert held_by(dead(world)) == "flap_budget"
    spent = replace(world.state, policy=replace(POLICY, switches_per_hour=1), automatic_at=(world.now,))
    assert vetoes.first(spent, world.now).slug == "flap_budget"
    world.state = spent
    world.says(ev.Release("kim"))
    assert held_by(world) is None


@pytest.mark.parametrize("lease", [Lease(False, math.inf, "edge-2"), Lease(True, 1003.0, "edge-1")])
def test_lease(lease: Lease) -> None:
    world = started()
    world.hears(ev.LeaseSaid(lease))
    assert held_by(dead(world)) == "lease"


def test_store() -> None:
    world = started()
    world.hears(ev.StoreFailed("the disk is full"))
    assert held_by(dead(world)) == "store"
    world.hears(ev.StoreRecovered())
    assert held_by(world) is None


def test_fence_and_aws_and_silent_are_reasons_of_the_machine() -> None:
    assert set(vetoes.HOLDS) >= {"fence", "aws", "silent"}


def test_the_worst_comes_first() -> None:
    world = started(replace(POLICY, mode=Mode.MANUAL))
    world.says(ev.Hold("kim", "maintenance"))
    world.hears(ev.FreezeSaid("month's end"))
    assert [reason.slug for reason in vetoes.standing(world.state, world.now)] == ["held", "frozen", "manual"]
    assert held_by(dead(world)) == "held"


CHANGES: dict[str, Callable[[World], object]] = {
    "hold_down": lambda w: w.says(ev.Promote("b", "kim", "test")),
    "lease": lambda w: w.hears(ev.LeaseSaid(Lease(True, w.now + 50.0, "edge-1"))),
    "override": lambda w: w.says(ev.Hold("kim", "maintenance", until=w.now + 50.0)),
    "tracks": lambda w: w.hears(ev.Elapsed()),
    "report": lambda w: w.hears(ev.Reported("edge-2", ev.Report(w.now, True, {}))),
}


@pytest.mark.parametrize("what", CHANGES)
def test_whatever_time_alone_can_change_has_a_deadline(what: str) -> None:
    """Without another event, calling the machine at its deadlines alone is as good as calling it all the time."""
    world = World(replace(POLICY, peers=("edge-2",))).started()
    CHANGES[what](world)
    last = max(at for at in vetoes.deadlines(world.state) if at < math.inf) + 60.0
    while world.now < last:
        reasons = {reason.slug for reason in vetoes.standing(world.state, world.now)}
        upcoming = min(last, world.deadline or last)
        assert upcoming > world.now
        almost = world.now + (upcoming - world.now) * 0.999
        assert {reason.slug for reason in vetoes.standing(world.state, almost)} == reasons
        world.now = upcoming
        world.hears(ev.Elapsed())


def test_every_hour_old_switch_has_its_own_deadline() -> None:
    world = World()
    past = (world.now - 3000.0, world.now - 1000.0)
    world.hears(ev.Loaded(ev.Assignment("a", 7), automatic_at=past))
    assert {at + vetoes.HOUR_S for at in past} <= set(vetoes.deadlines(world.state))
