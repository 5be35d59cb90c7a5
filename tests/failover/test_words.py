"""An operator's words: what is refused, and with which sentence; what is accepted, and what follows."""

from dataclasses import replace

import pytest

from edge.errors import Fault
from edge.failover import events as ev
from edge.failover.model import Lease, Mode, Phase, Stage
from tests.failover.world import POLICY, Shown, World


def refused(world: World, node: str = "b", **how) -> str:
    """The sentence of the refusal; and nothing else came of the word."""
    world.forgets()
    before = world.state
    reply = world.says(ev.Promote(node, "kim", "test", **how))
    assert not reply.accepted
    assert reply.epoch is None
    assert not world.did
    assert (world.state.assignment, world.state.flight, world.state.override) == (
        before.assignment,
        before.flight,
        before.override,
    )
    return reply.sentence


def test_a_promotion_opens_the_next_epoch_and_says_which() -> None:
    world = World().started("a", 7)
    reply = world.says(ev.Promote("b", "kim", "patch day"))
    assert (reply.accepted, reply.epoch, world.live) == (True, 8, "b")
    assert "patch day" in world.told("committed")[0]


def test_an_unknown_node() -> None:
    assert refused(World().started(), "c").endswith("has no node c: it has a, b")


def test_another_epoch_than_expected() -> None:
    assert refused(World().started("a", 7), expect_epoch=6).startswith("the epoch is 7, not 6")
    assert World().started("a", 7).says(ev.Promote("b", "kim", "test", expect_epoch=7)).accepted
    assert World().started(None).says(ev.Promote("b", "kim", "test", expect_epoch=0)).accepted is False


def test_without_the_lease() -> None:
    world = World().started()
    world.hears(ev.LeaseSaid(Lease(held=False, until=0.0, holder="edge-2")))
    assert "edge-2" in refused(world, force=True)


def test_without_the_store() -> None:
    world = World().started()
    world.hears(ev.StoreFailed("the disk is full"))
    assert "the disk is full" in refused(world, force=True)


@pytest.mark.parametrize(
    "slow",
    [ev.WriteIntent, ev.RunStage, ev.Commit],
)
def test_while_a_switch_is_under_way(slow: type[ev.Effect]) -> None:
    world = World().started()
    world.slow = (slow,)
    world.says(ev.Promote("b", "kim", "test"))
    assert "a switch to b is under way (epoch 8" in refused(world, "a", force=True)


def test_a_switch_that_waits_gives_way_to_another_node_and_to_no_other_word() -> None:
    world = World().started()
    world.stages[Stage.FENCE] = Fault.UNREACHABLE
    world.says(ev.Promote("b", "kim", "test"))
    assert world.state.phase is Phase.FENCING
    assert "a switch to b is under way" in refused(world, "b", force=True)
    world.stages.clear()
    assert world.says(ev.Promote("a", "kim", "back")).epoch == 9
    assert world.live == "a"


def test_a_commit_that_waits_gives_way_to_nobody() -> None:
    world = World().started()
    world.slow = (ev.Commit,)
    world.says(ev.Promote("b", "kim", "test"))
    world.heard(ev.StoreFailed("busy", world.state.floor))
    world.heard(ev.StoreRecovered())
    assert "committing" in refused(world, "a", force=True)


def test_the_node_that_is_live_already_and_force_asserts_it_anew() -> None:
    world = World().started("a", 7)
    assert "a is live already, at epoch 7" in refused(world, "a")
    assert world.says(ev.Promote("a", "kim", "again", force=True)).epoch == 8
    assert (world.live, world.state.assignment.epoch) == ("a", 8)


@pytest.mark.parametrize("shown", [Shown.STANDBY, Shown.REFUSED, Shown.SILENT])
def test_a_node_that_is_not_up_and_force_is_recorded(shown: Shown) -> None:
    world = World().started()
    world.sees["b"] = shown
    world.passes(5)
    assert refused(world, "b").startswith("b can't be promoted: ")
    assert world.says(ev.Promote("b", "kim", "I know", force=True)).accepted
    assert "I know (forced)" in world.told("committed")[0]


def test_hold_manual_freeze_and_conflict_bind_the_machine_and_not_a_person() -> None:
    world = World(replace(POLICY, mode=Mode.MANUAL)).started()
    world.says(ev.Hold("kim", "maintenance"))
    world.hears(ev.FreezeSaid("month's end"))
    world.hears(ev.Conflicted(9, "the store has epoch 9"))
    assert world.says(ev.Promote("b", "kim", "test")).epoch == 10
    assert world.live == "b"
    assert world.state.conflict is None


def test_a_pin_is_saved_and_a_plain_promotion_leaves_what_was_said() -> None:
    world = World().started()
    world.says(ev.Promote("b", "kim", "for good", pin=True))
    (saved,) = world.all(ev.SaveOverride)
    assert saved.override == world.state.override
    assert (saved.override.pinned, saved.override.who, saved.override.sentence) == (True, "kim", "for good")
    world.forgets().says(ev.Promote("a", "lee", "for a while"))
    assert not world.all(ev.SaveOverride)
    assert world.state.override == saved.override


def test_hold_and_release_are_saved_and_told() -> None:
    world = World().started()
    assert world.says(ev.Hold("kim", "maintenance", until=2000.0)).accepted
    assert world.says(ev.Release("lee")).accepted
    held, released = world.all(ev.SaveOverride)
    assert (held.override.who, held.override.until, held.forgives) == ("kim", 2000.0, False)
    assert released == ev.SaveOverride(None, forgives=True)
    assert world.told("hold") == ["kim holds automatic switches: maintenance"]
    assert world.told("release") == ["lee releases what held automatic switches"]


@pytest.mark.parametrize("word", [ev.Approve("kim"), ev.Reject("kim")])
def test_nothing_is_proposed(word: ev.Event) -> None:
    reply = World().started().says(word)
    assert (reply.accepted, reply.sentence) == (False, "no switch is proposed")


def proposed() -> World:
    world = World(replace(POLICY, mode=Mode.CONFIRM)).started()
    world.sees["a"] = Shown.REFUSED
    world.passes(4)
    assert world.state.phase is Phase.PROPOSED
    assert world.told("proposed")[-1].endswith("promote b?")
    return world


def test_approve() -> None:
    world = proposed()
    reply = world.says(ev.Approve("kim"))
    assert (reply.accepted, reply.epoch, world.live) == (True, 8, "b")
    assert world.state.automatic_at == (world.now,)


def test_approve_comes_too_late_for_the_lease() -> None:
    world = proposed()
    world.hears(ev.LeaseSaid(Lease(held=True, until=world.now + 5.0, holder="edge-1")))
    world.now += 6.0
    reply = world.says(ev.Approve("kim"))
    assert not reply.accepted
    assert "our lease ends" in reply.sentence


def test_approve_comes_when_the_nodes_are_no_longer_known() -> None:
    world = proposed()
    world.now += 60.0
    assert not world.says(ev.Approve("kim")).accepted


def test_reject_lasts_as_long_as_the_need() -> None:
    world = proposed()
    assert world.says(ev.Reject("kim")).accepted
    world.passes(20)
    assert (world.state.phase, len(world.told("proposed"))) == (Phase.STEADY, 1)
    world.sees["a"] = Shown.ACTIVE
    world.passes(5)
    world.sees["a"] = Shown.REFUSED
    world.passes(5)
    assert (world.state.phase, len(world.told("proposed"))) == (Phase.PROPOSED, 2)


def test_a_proposal_is_withdrawn_when_the_node_is_back() -> None:
    world = proposed()
    world.sees["a"] = Shown.ACTIVE
    assert world.passes(5).state.phase is Phase.STEADY


def test_a_proposal_is_withdrawn_when_the_mode_changes() -> None:
    world = proposed()
    world.hears(ev.Reconfigured(POLICY))
    world.passes(1)
    assert world.live == "b"
