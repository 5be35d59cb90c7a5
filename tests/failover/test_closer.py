"""A closer look: when it is wanted, what it shows, and that it can only keep a switch from opening."""

from dataclasses import replace

import pytest

from edge.errors import Fault
from edge.failover import events as ev
from edge.failover import health
from edge.failover.model import Observation, Sight, Thresholds
from tests.failover.world import POLICY, RTT_S, Shown, World, observed

ALL = {"a", "b", "w"}


def quiet() -> World:
    """For 70 s all is well."""
    return World().started(warm_s=70.0).unprobed()


def sees(world: World, after_s: float = 0.2, **shown: Shown) -> World:
    """A probe of each of these ends."""
    for name, each in shown.items():
        world.passes(after_s / len(shown)).hears(observed(name, each))
    return world


def glimpses(world: World, name: str, answered: int, lost: int) -> World:
    for shown in [Shown.ACTIVE] * answered + [Shown.SILENT] * lost:
        world.hears(ev.Glimpsed(observed(name, shown).observation))
    return world


def fails(world: World, times: int) -> World:
    """Node a is silent so often, and the others answer each time, as they happened to before."""
    for _ in range(times):
        sees(world, 1.0, a=Shown.SILENT, b=Shown.ACTIVE, w=Shown.ACTIVE)
    return world


def test_it_is_wanted_of_every_endpoint_from_the_live_nodes_first_silence_until_it_is_judged() -> None:
    world = quiet()
    assert not world.state.glimpses
    assert fails(world, 1).state.glimpses.keys() == ALL
    assert fails(world, 1).state.glimpses.keys() == ALL
    assert fails(world, 1).all(ev.WriteIntent)
    assert not world.state.glimpses


@pytest.mark.parametrize("shown", [Shown.ACTIVE, Shown.STANDBY, Shown.REFUSED])
def test_it_is_over_with_an_answer(shown: Shown) -> None:
    assert not sees(fails(quiet(), 1), a=shown).state.glimpses


def test_it_begins_anew_with_the_next_silence() -> None:
    world = sees(glimpses(fails(quiet(), 1), "a", 0, 5), a=Shown.ACTIVE)
    assert fails(world, 1).state.glimpses["a"].samples == 0


def test_a_node_that_accepts_and_falls_silent_is_looked_at_closely() -> None:
    assert sees(quiet(), a=Shown.HUNG).state.glimpses


def test_nobody_looks_at_a_node_that_is_not_live_nor_without_a_live_one() -> None:
    assert not sees(quiet(), b=Shown.SILENT).state.glimpses
    world = World()
    world.survey = ev.Surveyed(None, 0, "no answer", Fault.UNREACHABLE)
    world.started(node=None)
    assert not sees(world, a=Shown.SILENT).state.glimpses


def test_nobody_looks_over_a_dead_path_or_at_what_was_not_heard_of() -> None:
    world = quiet()
    for _ in range(3):
        sees(world, 1.0, a=Shown.SILENT, b=Shown.SILENT, w=Shown.SILENT)
    assert world.state.reason.slug == "path_down"
    assert not world.state.glimpses
    world = fails(quiet(), 1).passes(POLICY.stale_s + 0.1)
    assert not world.state.glimpses


def test_nobody_looks_while_a_switch_runs() -> None:
    world = quiet()
    world.slow = (ev.RunStage,)
    fails(world, 3)
    assert not sees(world, a=Shown.SILENT).state.glimpses


def test_a_dead_node_is_judged_as_soon_as_without_it() -> None:
    world = fails(quiet(), 2)
    for name, answered, lost in (("a", 0, 15), ("b", 20, 0), ("w", 20, 0)):
        glimpses(world, name, answered, lost)
    assert fails(world, 1).all(ev.WriteIntent)
    assert "b, w answered meanwhile, and of 15 probes more it lost 15" in world.told("opened")[0]


def test_loss_that_strikes_everybody_is_seen_though_the_others_answered_each_time() -> None:
    world = fails(quiet(), 2)
    for name in ALL:
        glimpses(world, name, 12, 6)
    assert not fails(world, 1).all(ev.WriteIntent)
    assert world.state.reason.slug == "unknown"
    assert "of 18 probes more it answered 12: the path may lose them" in world.state.reason.sentence
    assert world.state.glimpses


def test_a_node_that_loses_much_more_than_the_others_is_judged_though_it_answers_now_and_then() -> None:
    world = fails(quiet(), 2)
    for name, answered, lost in (("a", 9, 9), ("b", 20, 0), ("w", 20, 0)):
        glimpses(world, name, answered, lost)
    assert fails(world, 1).all(ev.WriteIntent)


def test_a_node_that_answers_the_closer_look_is_not_dead_though_nobody_else_loses_a_probe() -> None:
    world = fails(quiet(), 2)
    for name in ALL:
        glimpses(world, name, 20, 0)
    assert not fails(world, 1).all(ev.WriteIntent)


def test_what_is_doubted_is_judged_once_the_node_is_seen_to_be_worse() -> None:
    """It died while the path lost something: what it answered before leaves the window at the end."""
    world = fails(quiet(), 2)
    for name in ALL:
        glimpses(world, name, 18, 2)
    assert not fails(world, 1).all(ev.WriteIntent)
    glimpses(world, "a", 0, 30)
    assert world.all(ev.WriteIntent)


def test_a_witness_that_always_loses_much_delays_nothing() -> None:
    world = quiet()
    for number in range(health.WINDOW):
        sees(world, w=Shown.SILENT if number % 2 else Shown.ACTIVE, a=Shown.ACTIVE, b=Shown.ACTIVE)
    fails(world, 2)
    for name, answered, lost in (("a", 0, 18), ("b", 18, 0), ("w", 9, 9)):
        glimpses(world, name, answered, lost)
    assert fails(world, 1).live == "b"


def test_our_own_trouble_shows_nothing_and_who_was_not_asked_nothing_either() -> None:
    world = fails(quiet(), 2)
    world.hears(ev.Glimpsed(observed("a", Shown.TROUBLE).observation))
    world.hears(ev.Glimpsed(Observation("stranger", Sight.ACTIVE, True, "", RTT_S)))
    assert world.state.glimpses.keys() == ALL
    assert {each.samples for each in world.state.glimpses.values()} == {0}
    glimpses(world, "b", 0, 9)
    assert fails(world, 1).all(ev.WriteIntent), "without a glimpse of the node itself there is nothing to hold against"


def test_what_comes_after_the_end_says_nothing() -> None:
    world = sees(fails(quiet(), 1), a=Shown.ACTIVE)
    before = world.state
    assert glimpses(world, "a", 3, 3).state.glimpses == before.glimpses
    assert world.state.tracks == before.tracks


def test_by_itself_it_calls_nobody_down_and_turns_no_health() -> None:
    world = fails(quiet(), 1)
    before = world.state.tracks
    glimpses(world, "a", 0, 60)
    glimpses(world, "b", 0, 60)
    assert world.state.tracks == before
    assert not world.all(ev.WriteIntent)


def test_it_keeps_the_newest_of_a_window() -> None:
    seen = glimpses(fails(quiet(), 1), "a", 10, health.WINDOW).state.glimpses["a"]
    assert (seen.samples, health.lost(seen)) == (health.WINDOW, health.WINDOW)


def test_an_endpoint_that_left_the_configuration_is_looked_at_no_more() -> None:
    world = glimpses(fails(quiet(), 1), "b", 2, 0)
    world.hears(ev.Reconfigured(replace(POLICY, witnesses=())))
    assert {name: seen.samples for name, seen in world.state.glimpses.items()} == {"a": 0, "b": 2}


def test_with_probes_and_glimpses_at_their_paces_a_dead_node_is_found_on_time() -> None:
    for fall in (1, 3, 5):
        policy = replace(POLICY, thresholds=Thresholds(fall=fall, rise=2, leaky=0))
        world = World(policy).started(warm_s=70.0)
        world.sees["a"] = Shown.SILENT
        died = world.now
        world.passes(20.0)
        assert world.live == "b"
        assert world.state.committed_at - died <= max(fall, 3) + 0.5
