"""The times by which agents live: a story comes to the same end by each set of them that is shipped."""

from dataclasses import replace

import pytest

from tests.failover.world import Shown
from tests.simulation.profiles import LEASES, Profile, shipped
from tests.simulation.test_scenarios import leader_of
from tests.simulation.world import World

DIFFERENT = {(each.interval_s, each.timeout_s, each.timing): each for each in shipped()}


@pytest.mark.parametrize("profile", DIFFERENT.values(), ids=lambda p: f"{p.interval_s}-{p.timing.duration_s}")
def test_leader_and_live_node_die_at_one_moment(profile: Profile) -> None:
    """Who is left waits for the lease, and for as long as it takes to tell that the node is dead."""
    pair = World(2, profile=profile).starts().passes(60.0)
    pair.agents[leader_of(pair)].kill()
    pair.nodes.becomes("a", Shown.SILENT)
    pair.passes(2.0 * profile.timing.duration_s + 10.0)
    assert pair.live == "b"
    pair.ends_well()


def test_the_files_that_are_shipped_have_different_times() -> None:
    assert len(DIFFERENT) == 3 * len(LEASES)


def test_a_policy_has_the_times_of_its_file() -> None:
    profile = next(each for each in shipped() if each.interval_s == 2.0)
    world = World(1, profile=profile)
    assert world.policy.thresholds.fall == 5
    assert world.policy.hold_down_s == 120.0
    assert World(1, profile=replace(profile, file=None)).policy.hold_down_s == 30.0
