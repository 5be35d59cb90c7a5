"""The verdict: when a node counts as down, what the path is called, and what several vantages make of it together."""

from dataclasses import replace

import pytest

from edge.failover import events as ev
from edge.failover import verdict
from edge.failover.model import Sight, Thresholds
from tests.failover.world import POLICY, Shown, World, observed

ALONE = replace(POLICY, witnesses=())


def sight(world: World, node: str = "a") -> Sight:
    return verdict.of(world.state, node, world.now).sight


def sentence(world: World, node: str = "a") -> str:
    return verdict.of(world.state, node, world.now).sentence


def slug(world: World) -> str | None:
    reason = verdict.path(world.state, world.now)
    return reason.slug if reason else None


def watching(policy=POLICY, warm_s: float = 70.0) -> World:
    """A world that watches and never acts: freezing keeps the verdicts free of what follows of them."""
    world = World(policy)
    world.hears(ev.FreezeSaid("test"))
    return world.started(warm_s=warm_s)


def test_a_silent_node_is_down_once_another_was_asked_and_answered_meanwhile() -> None:
    world = watching()
    world.sees["a"] = Shown.SILENT
    assert sight(world.passes(2.4)) is Sight.ACTIVE
    assert sight(world.passes(1.2)) is Sight.DOWN
    assert "b, w answered meanwhile" in sentence(world)


def test_what_failed_before_this_agent_stood_still_is_in_a_row_with_nothing_after() -> None:
    world = watching()
    world.sees["a"] = Shown.SILENT
    world.passes(2.4).unprobed()
    world.now += 60.0
    for name, shown in {"a": Shown.SILENT, "b": Shown.ACTIVE, "w": Shown.ACTIVE}.items():
        world.hears(observed(name, shown))
    assert world.state.tracks["a"].run == 1
    assert world.state.tracks["b"].health is Sight.UNKNOWN
    assert sight(world) is Sight.UNKNOWN


def test_a_silent_node_without_any_other_endpoint_that_answers_is_unknown() -> None:
    world = watching()
    world.sees.update(a=Shown.SILENT, b=Shown.SILENT, w=Shown.SILENT)
    for _ in range(30):
        assert sight(world.passes(0.5)) is not Sight.DOWN


def test_both_nodes_silent_and_no_witness_is_a_dead_path() -> None:
    world = watching(ALONE)
    world.sees.update(a=Shown.SILENT, b=Shown.SILENT)
    assert slug(world.passes(5)) == "path_down"
    assert sight(world) is Sight.UNKNOWN


def test_both_nodes_silent_while_a_witness_answers_are_down() -> None:
    world = watching()
    world.sees.update(a=Shown.SILENT, b=Shown.SILENT)
    world.passes(5)
    assert slug(world) is None
    assert (sight(world, "a"), sight(world, "b")) == (Sight.DOWN, Sight.DOWN)


def test_a_node_whose_host_refuses_needs_no_witness() -> None:
    world = watching(ALONE)
    world.sees.update(a=Shown.REFUSED, b=Shown.REFUSED)
    world.passes(5)
    assert slug(world) is None
    assert sight(world) is Sight.DOWN
    assert "its own host answered" in sentence(world)


def test_a_node_that_accepts_and_falls_silent_needs_another_that_answers() -> None:
    """Loss on the way after the handshake looks the same."""
    world = watching(ALONE)
    world.sees["a"] = Shown.HUNG
    assert sight(world.passes(5)) is Sight.DOWN
    world.sees["b"] = Shown.HUNG
    assert sight(world.passes(5)) is Sight.UNKNOWN
    assert slug(world) is None, "they accept: the path is there"


@pytest.mark.parametrize(("shown", "sight_then"), [(Shown.REFUSED, Sight.DOWN), (Shown.HUNG, Sight.UNKNOWN)])
def test_with_fall_1_a_refusal_is_enough_and_a_cut_connection_is_not(shown: Shown, sight_then: Sight) -> None:
    world = watching(replace(POLICY, thresholds=Thresholds(fall=1, rise=1, leaky=0)))
    world.sees["a"] = shown
    assert sight(world.passes(0.9)) is sight_then


def test_a_node_that_answers_again_is_neither_down_nor_up_until_it_has_risen() -> None:
    world = watching()
    world.sees["a"] = Shown.REFUSED
    world.passes(5)
    world.sees["a"] = Shown.ACTIVE
    assert sight(world.passes(1.0)) is Sight.UNKNOWN
    assert "not yet back" in sentence(world)
    assert sight(world.passes(1.0)) is Sight.ACTIVE


def test_what_was_not_heard_of_is_unknown() -> None:
    world = watching()
    world.now += 5.0
    assert sight(world) is Sight.UNKNOWN
    assert "not heard of for 5.0 s" in sentence(world)
    assert slug(world) is None


def test_who_never_answered_vouches_for_nobody() -> None:
    world = watching(ALONE, warm_s=0)
    world.sees.update(a=Shown.SILENT, b=Shown.TROUBLE)
    assert sight(world.passes(20)) is Sight.UNKNOWN


def test_who_stopped_answering_vouches_for_nobody() -> None:
    """The node died, and then the path died too: when it comes back, the node is asked before it is judged."""
    world = watching()
    world.sees["a"] = Shown.SILENT
    assert sight(world.passes(4)) is Sight.DOWN
    world.path_up = False
    assert sight(world.passes(4)) is Sight.UNKNOWN


def test_our_own_trouble_is_no_failure() -> None:
    world = watching()
    world.sees["a"] = Shown.TROUBLE
    assert sight(world.passes(4)) is Sight.ACTIVE
    assert sight(world.passes(4)) is Sight.UNKNOWN


def test_a_probe_of_an_endpoint_that_is_not_configured_says_nothing() -> None:
    world = watching()
    before = world.state.tracks
    world.hears(ev.Observed(replace(before["a"].last, endpoint="stranger")))
    assert world.state.tracks == before


def test_an_endpoint_that_left_the_configuration_is_forgotten() -> None:
    world = watching()
    world.hears(ev.Reconfigured(ALONE))
    assert set(world.state.tracks) == {"a", "b"}


def test_failures_here_and_there_count_against_a_node_only_beside_an_endpoint_that_lost_nothing() -> None:
    world = watching()
    flap(world, ["a"])
    assert sight(world) is Sight.DOWN
    assert "b answered every one of its last 64 probes" in sentence(world)


def test_failures_here_and_there_on_every_endpoint_count_against_none() -> None:
    world = watching()
    flap(world, ["a", "b", "w"])
    assert sight(world) is not Sight.DOWN


def flap(world: World, endpoints: list[str]) -> None:
    """Ten rounds of two lost probes and one answer; the last one seen was lost."""
    for shown in (Shown.SILENT, Shown.SILENT, Shown.ACTIVE) * 10 + (Shown.SILENT, Shown.SILENT):
        world.sees.update(dict.fromkeys(endpoints, shown))
        world.passes(1.0)
    world.passes(0.4)


def lossy(world: World, lost: int, of: int, rounds: int, endpoints: str = "abw") -> None:
    """Every endpoint loses `lost` of `of` probes, in turn."""
    for number in range(rounds):
        world.sees.update(dict.fromkeys(endpoints, Shown.ACTIVE if number % of < of - lost else Shown.SILENT))
        world.passes(1.0)
    world.sees.update(dict.fromkeys(endpoints, Shown.ACTIVE))


def test_a_path_that_loses_too_much_is_said_to_be_lossy() -> None:
    world = watching()
    lossy(world, lost=1, of=4, rounds=64)
    assert slug(world.passes(1)) == "path_lossy"


def test_a_path_that_loses_little_is_trusted() -> None:
    world = watching()
    lossy(world, lost=1, of=8, rounds=64)
    assert slug(world.passes(1)) is None


def test_the_best_endpoint_speaks_for_the_path() -> None:
    world = watching()
    lossy(world, lost=1, of=2, rounds=64, endpoints="ab")
    assert slug(world.passes(1)) is None


@pytest.mark.parametrize(("loss_of", "needed"), [(None, 3), (64, 4), (32, 5), (16, 6)])
def test_the_more_the_path_loses_the_longer_silence_must_last(loss_of: int | None, needed: int) -> None:
    """So long that it comes by chance less than once in a million; where nothing was lost, `fall` is enough."""
    world = watching()
    if loss_of:
        lossy(world, lost=1, of=loss_of, rounds=64)
    world.passes(4)
    world.sees["a"] = Shown.SILENT
    world.passes(needed - 0.5)
    assert sight(world) is not Sight.DOWN
    world.passes(0.3)
    assert sight(world) is Sight.DOWN
