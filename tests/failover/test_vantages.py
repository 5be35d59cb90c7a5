"""What several vantages make of a node together: who counts, who abstains, and what they have to agree on."""

from dataclasses import replace

import pytest

from edge.failover import events as ev
from edge.failover import verdict, vetoes
from edge.failover.model import Listed, Opinion, Policy, Report, Sight
from tests.failover.world import POLICY, Shown, World

TWO = replace(POLICY, vantage="dc1", peers=("dc2",), quorum=2)
THREE = replace(POLICY, vantage="dc1", peers=("dc2", "vpc"), quorum=2)


def watching(policy: Policy) -> World:
    return World(policy).started()


def says(world: World, peer: str, sight: Sight, *, path_up: bool = True, node: str = "a") -> World:
    """The peer posts what it sees; the other node is up."""
    opinions = {each: Opinion(Sight.ACTIVE, f"{each} is active") for each in "ab"}
    opinions[node] = Opinion(sight, f"{node} is {sight.value}")
    world.hears(ev.Reported(peer, Report(world.now, path_up, opinions)))
    return world


def dead(world: World, node: str = "a") -> World:
    """As our own probes see it."""
    world.sees[node] = Shown.SILENT
    return world.passes(5.0)


def opinion(world: World, node: str = "a") -> Opinion:
    return verdict.of(world.state, node, world.now)


# --- a quorum ---------------------------------------------------------------------------------------------------------


def test_who_has_no_peers_decides_alone() -> None:
    world = dead(watching(replace(POLICY, quorum=2)))
    assert world.live == "b"


def test_two_of_two_see_it_dead_and_it_moves() -> None:
    world = dead(says(watching(TWO), "dc2", Sight.ACTIVE))
    assert world.live == "a"
    says(world, "dc2", Sight.DOWN)
    assert world.live == "b"
    assert "; so say dc1 and dc2" in world.told("opened")[0]


@pytest.mark.parametrize("quorum", [1, 2])
def test_one_of_two_sees_it_alive_and_it_holds(quorum: int) -> None:
    """Also where one would do: two that disagree move nothing."""
    world = says(dead(says(watching(replace(TWO, quorum=quorum)), "dc2", Sight.ACTIVE)), "dc2", Sight.ACTIVE)
    world.passes(5.0)
    assert world.live == "a"
    assert world.state.reason.slug == "quorum"
    assert world.state.reason.sentence == "the vantages disagree on a: dc1 sees it down, dc2 sees it active"


def test_one_of_two_moves_alone_where_one_is_enough_and_the_other_abstains() -> None:
    world = dead(says(watching(replace(TWO, quorum=1)), "dc2", Sight.ACTIVE, path_up=False))
    assert world.live == "b"
    assert world.told("opened")[0].endswith("; so says dc1")


def test_one_of_two_moves_alone_once_the_others_word_is_stale() -> None:
    """The other agent died with the node."""
    world = dead(says(watching(replace(TWO, quorum=1, report_s=8.0)), "dc2", Sight.ACTIVE))
    assert world.live == "a"
    world.passes(4.0)
    assert world.live == "b"


def test_two_of_two_hold_while_one_is_not_heard_of_and_say_so_before_anything_fails() -> None:
    world = watching(TWO)
    assert world.state.reason.slug == "quorum"
    says(world, "dc2", Sight.ACTIVE)
    assert world.state.reason.slug == "steady"
    world.passes(TWO.report_s + 1.0)
    expected = "too few vantages can tell of a, 2 of 2 have to agree: dc1 sees it active, dc2 can't tell (it was not"
    assert world.state.reason.sentence.startswith(expected)
    assert dead(world).live == "a"


def test_two_of_three_move_without_the_one_whose_path_is_down() -> None:
    world = says(says(watching(THREE), "dc2", Sight.ACTIVE, path_up=False), "vpc", Sight.DOWN)
    assert dead(world).live == "b"
    assert "so say dc1 and vpc" in world.told("opened")[0]


def test_two_of_three_outvote_the_third() -> None:
    world = says(says(watching(THREE), "dc2", Sight.ACTIVE), "vpc", Sight.DOWN)
    assert dead(world).live == "b"
    world = says(says(watching(THREE), "dc2", Sight.DOWN), "vpc", Sight.DOWN)
    assert world.live == "b", "we see it alive, and the two others do not"


def test_one_of_three_does_not_outvote_anybody() -> None:
    """Where less than a majority is enough: who disagrees counts all the same."""
    world = says(says(watching(replace(THREE, quorum=1)), "dc2", Sight.DOWN), "vpc", Sight.DOWN)
    assert world.live == "b"
    world = says(watching(replace(THREE, quorum=1)), "dc2", Sight.DOWN)
    assert world.live == "a", "we see it alive"


def test_the_target_too_is_seen_by_a_quorum() -> None:
    world = says(says(watching(THREE), "dc2", Sight.DOWN), "vpc", Sight.DOWN, node="b")
    says(world, "dc2", Sight.DOWN, node="b")
    assert opinion(world, "b").sight is Sight.DOWN
    assert dead(world).live == "a"


# --- who abstains -----------------------------------------------------------------------------------------------------


def test_why_a_vantage_abstains() -> None:
    world = watching(THREE)
    assert verdict.abstains(world.state, "dc2", world.now) == "it was not heard of yet"
    says(world, "dc2", Sight.ACTIVE)
    assert verdict.abstains(world.state, "dc2", world.now) is None
    world.passes(THREE.report_s)
    assert verdict.abstains(world.state, "dc2", world.now) == "it was not heard of for 15.0 s"
    says(world, "dc2", Sight.ACTIVE, path_up=False)
    assert verdict.abstains(world.state, "dc2", world.now) == "its own path is down"


def test_who_has_stopped_withdraws_what_it_saw() -> None:
    world = says(watching(replace(TWO, quorum=1)), "dc2", Sight.ACTIVE)
    world.hears(ev.Reported("dc2", verdict.withdrawn(TWO, world.now)))
    assert dead(world).live == "b"
    world = watching(TWO)
    world.hears(ev.Reported("dc2", verdict.withdrawn(TWO, world.now)))
    assert opinion(world).sentence.endswith("dc2 can't tell (it has stopped)")


def test_the_machine_wants_to_be_called_when_a_word_becomes_stale() -> None:
    world = says(watching(TWO), "dc2", Sight.ACTIVE)
    assert world.now + TWO.report_s in vetoes.deadlines(world.state)


def test_who_does_not_probe_a_node_has_no_say_of_it() -> None:
    world = watching(TWO)
    world.hears(ev.Reported("dc2", Report(world.now, path_up=True, opinions={})))
    assert "dc2 can't tell (it does not probe a)" in opinion(world).sentence


def test_the_peers_say_what_our_own_dead_path_hides_and_we_move_nothing_by_it() -> None:
    world = watching(replace(TWO, quorum=1))
    world.path_up = False
    world.passes(5.0)
    assert "dc1 can't tell (nothing answers over the path" in opinion(world).sentence
    says(world, "dc2", Sight.DOWN)
    assert opinion(world).sight is Sight.DOWN
    assert world.live == "a"
    assert world.state.reason.slug == "path_down"


def test_who_is_not_listed_has_no_say_and_is_forgotten() -> None:
    world = says(watching(TWO), "stranger", Sight.DOWN)
    assert not world.state.reports
    says(world, "dc2", Sight.ACTIVE)
    world.hears(ev.Reconfigured(POLICY))
    assert not world.state.reports


# --- our own word -----------------------------------------------------------------------------------------------------


def test_we_post_what_we_see() -> None:
    world = dead(watching(TWO))
    posted = verdict.report(world.state, world.now)
    assert posted.path_up
    assert {node: said.sight for node, said in posted.opinions.items()} == {"a": Sight.DOWN, "b": Sight.ACTIVE}
    assert posted.opinions["a"].sentence == verdict.opinion(world.state, "a", world.now).sentence


def test_over_a_dead_path_we_post_that_we_can_not_tell() -> None:
    world = watching(TWO)
    world.path_up = False
    posted = verdict.report(world.passes(5.0).state, world.now)
    assert not posted.path_up
    assert {said.sight for said in posted.opinions.values()} == {Sight.UNKNOWN}


def test_over_a_path_that_loses_too_much_we_call_nobody_dead() -> None:
    """The one who leads would not act upon its own word then either."""
    world = watching(TWO)
    world.sees["a"] = Shown.SILENT
    for turn in range(64):
        world.sees.update(dict.fromkeys("bw", Shown.SILENT if turn % 8 < 2 else Shown.ACTIVE))
        world.passes(1.0)
    assert verdict.opinion(world.state, "a", world.now).sight is Sight.DOWN
    posted = verdict.report(world.state, world.now)
    assert posted.path_up
    assert posted.opinions["a"].sight is Sight.UNKNOWN
    assert "the path loses packets" in posted.opinions["a"].sentence
    assert posted.opinions["b"].sight is Sight.ACTIVE


# --- a person ---------------------------------------------------------------------------------------------------------


def test_a_person_needs_no_quorum_where_our_own_eyes_see_the_target() -> None:
    world = watching(TWO)
    assert world.says(ev.Promote("b", "kim", "test")).accepted
    world = dead(watching(TWO), "b")
    refused = world.says(ev.Promote("b", "kim", "test"))
    assert "too few vantages can tell of b" in refused.sentence


def test_a_person_is_told_where_the_quorum_sees_the_target_down() -> None:
    world = says(says(watching(THREE), "dc2", Sight.DOWN, node="b"), "vpc", Sight.DOWN, node="b")
    refused = world.says(ev.Promote("b", "kim", "test"))
    assert not refused.accepted
    assert "so say dc2 and vpc" in refused.sentence


# --- files that differ ------------------------------------------------------------------------------------------------


def test_a_file_that_lists_the_vantages_otherwise_is_told_of_and_its_word_counts_all_the_same() -> None:
    ours = Listed(("dc1", "dc2"), (), 2)
    world = says(watching(replace(TWO, listed=ours)), "dc2", Sight.ACTIVE)
    assert verdict.differs(world.state, "dc2") is None, "an older version does not tell"
    assert verdict.differs(world.state, "vpc") is None
    for theirs, said in (
        (ours, None),
        (replace(ours, quorum=1), "its file has quorum 1, and ours 2"),
        (replace(ours, witnesses=("vpc",)), "its file has witnesses vpc, and ours none"),
        (Listed(("dc2", "dc3"), (), 1), "its file has agents dc2, dc3, and ours dc1, dc2; quorum 1, and ours 2"),
    ):
        opinions = {"a": Opinion(Sight.ACTIVE, "a is active")}
        world.hears(ev.Reported("dc2", Report(world.now, path_up=True, opinions=opinions, listed=theirs)))
        assert verdict.differs(world.state, "dc2") == said
        assert verdict.abstains(world.state, "dc2", world.now) is None
    assert verdict.report(world.state, world.now).listed == ours


@pytest.mark.parametrize("later", range(8))
def test_what_we_fail_to_reach_is_no_target_on_another_vantages_word_alone(later: int) -> None:
    """Neither while it still counts as serving, nor while nothing proves yet that it is down; then the two disagree."""
    world = World(replace(TWO, quorum=1)).started()
    world.sees["b"] = Shown.SILENT
    for half_seconds in range(60):
        if half_seconds == later:
            world.sees["a"] = Shown.REFUSED
        said = {"a": Opinion(Sight.DOWN, "a is down"), "b": Opinion(Sight.ACTIVE, "b is active")}
        world.hears(ev.Reported("dc2", Report(world.now, path_up=True, opinions=said)))
        world.passes(0.5)
    assert world.live == "a"
    assert world.state.reason.slug == "no_target"


# --- a target of which they disagree ----------------------------------------------------------------------------------


def disputing(policy: Policy, seconds: float) -> World:
    """We see the other node serve; the peers, who see the live one dead as well, see it down."""
    world = World(policy).started()
    world.sees["a"] = Shown.SILENT
    said = {node: Opinion(Sight.DOWN, f"{node} is down") for node in "ab"}
    for _ in range(int(seconds)):
        for peer in policy.peers:
            world.hears(ev.Reported(peer, Report(world.now, path_up=True, opinions=said)))
        world.passes(1.0)
    return world


def test_one_of_two_sees_the_target_serve_and_it_is_moved_to_once_that_has_lasted() -> None:
    policy = replace(TWO, quorum=1)
    world = disputing(policy, 1.0 + policy.report_s)
    assert (world.live, world.state.reason.slug) == ("a", "no_target")
    world = disputing(policy, 5.0 + policy.report_s)
    assert world.live == "b"


def test_the_machine_wants_to_be_called_when_a_disputed_target_may_be_moved_to() -> None:
    world = disputing(replace(TWO, quorum=1), 5.0)
    assert world.state.need
    world.unprobed().passes(0.01)
    assert world.state.need.since + TWO.report_s in vetoes.deadlines(world.state)


@pytest.mark.parametrize("policy", [TWO, replace(THREE, quorum=1), THREE], ids=["2 of 2", "outvoted", "2 of 3"])
def test_a_target_that_more_see_down_or_fewer_than_the_quorum_see_serve_is_none(policy: Policy) -> None:
    world = disputing(policy, 60.0)
    assert (world.live, world.state.reason.slug) == ("a", "no_target")
