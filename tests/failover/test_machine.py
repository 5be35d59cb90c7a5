"""Stories of the machine: how a switch goes, and what late, lost, refused and repeated outcomes do to it."""

from dataclasses import replace

import pytest

from edge.errors import Fault
from edge.failover import events as ev
from edge.failover.machine import SURVEY_RETRY_S
from edge.failover.model import (
    Assignment,
    Authority,
    Cause,
    Intent,
    Lease,
    Mode,
    OnOutage,
    Override,
    Phase,
    Policy,
    Stage,
)
from tests.failover.world import POLICY, Shown, World, observed

HOLD_ON_OUTAGE = replace(POLICY, on_outage=OnOutage.HOLD)
LOST = Lease(held=False, until=0.0, holder="edge-2")


def switching(stopped_at: type[ev.Effect], policy: Policy = POLICY) -> World:
    """A promotion of b at epoch 8 whose first effect of this type is not answered yet."""
    world = World(policy).started("a", 7).forgets()
    world.slow = (stopped_at,)
    world.says(ev.Promote("b", "kim", "test"))
    return world


def failing(stage: Stage, fault: Fault = Fault.UNREACHABLE, policy: Policy = POLICY) -> World:
    """A promotion of b at epoch 8 of which this stage fails, until `world.stages` is cleared."""
    world = World(policy).started("a", 7).forgets()
    world.stages[stage] = fault
    world.says(ev.Promote("b", "kim", "test"))
    return world


def after_restart(loaded: ev.Loaded, policy: Policy = POLICY) -> World:
    world = World(policy)
    world.hears(loaded)
    return world


def intent(epoch: int, node: str = "b") -> Intent:
    return Intent(epoch, node, "a", Cause.OPERATOR, "kim", "test")


# --- a switch from end to end ---------------------------------------------------------------------------------------


def test_the_steps_of_a_switch_in_order() -> None:
    world = World().started("a", 7).forgets()
    world.says(ev.Promote("b", "kim", "test"))
    steps = ["fence 8", "move 8", "publish 8", "commit 8", "serve b 8", "verify 8", "finish 8"]
    assert world.did == ["intent 8 b", *steps]
    assert world.state.phase is Phase.STEADY


def test_stages_without_steps_are_done_at_once() -> None:
    world = World(replace(POLICY, stages=frozenset())).started("a", 7).forgets()
    world.says(ev.Promote("b", "kim", "test"))
    assert world.did == ["intent 8 b", "commit 8", "serve b 8", "finish 8"]


def test_a_switch_says_how_long_each_stage_took() -> None:
    world = World().started("a", 7)
    world.sees["a"] = Shown.REFUSED
    died, world.slow = world.now, (ev.RunStage, ev.Commit, ev.WriteIntent)
    world.passes(5)
    for _ in range(6):
        world.now += 0.25
        world.slow = ()
        world._open, rest = type(world._open)([world._open.popleft()]), world._open
        world.slow = (ev.RunStage, ev.Commit, ev.WriteIntent)
        effect = world._open.popleft()
        world._open += rest
        world.heard(world._performed(effect))
        while world._open and not isinstance(world._open[0], world.slow):
            world._open.popleft()
    (agreed,) = [told for told in world.all(ev.Tell) if told.kind == "agreed"]
    assert list(agreed.marks_s) == ["detect", "decide", "fence", "move", "publish", "verify", "agree"]
    assert died
