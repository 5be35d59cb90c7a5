"""The failure catalogue of docs/design.md, row by row, as far as the core decides it.

Rows that other parts answer for, and that are tested there: 14 (a forwarder's old answer is a view), 19 (a bad reload
never reaches the core), 20 (the DNS workers' limits), 26 (a damaged state file is refused by the store), 28 (the runner
reads back before it decides), 31 and 32 (what a document in a guest comes to is the step's to say).
"""

from dataclasses import replace
from pathlib import Path

import pytest

from edge.errors import Fault
from edge.failover import events as ev
from edge.failover.model import (
    Assignment,
    Authority,
    Cause,
    Intent,
    Lease,
    Mode,
    OnDrift,
    OnOutage,
    Opinion,
    Phase,
    Pointing,
    Report,
    Sight,
    Stage,
)
from tests.failover.world import POLICY, Shown, World

SWITCHED_S = 5.0  # fall 3 at a second each, the time-out, and one interval to spare


def held(world: World, slug: str) -> None:
    """It answers as before, did nothing, says why, and has told so."""
    assert world.live == "a"
    assert not [done for done in world.did if not done.startswith("serve a")]
    assert world.state.reason.slug == slug
    assert len(world.told("reason")) > len(World().started().told("reason"))


@pytest.mark.parametrize("shown", [Shown.SILENT, Shown.REFUSED])
def test_01_the_active_node_crashes(shown: Shown) -> None:
    world = World().started("a", 7)
    world.sees["a"] = shown
    assert world.passes(2.0).live == "a"
    assert world.passes(SWITCHED_S - 2.0).live == "b"
    assert world.state.assignment == Assignment("b", 8)
    assert world.state.phase is Phase.STEADY


def test_02_it_hangs_and_its_port_accepts() -> None:
    world = World().started()
    world.sees["a"] = Shown.HUNG
    assert world.passes(SWITCHED_S).live == "b"


def test_03_a_standby_is_no_target() -> None:
    world = World().started()
    world.sees.update(a=Shown.REFUSED, b=Shown.STANDBY)
    held(world.passes(60), "no_target")


def test_03_a_live_node_that_became_standby_does_not_serve() -> None:
    world = World().started()
    world.sees["a"] = Shown.STANDBY
    assert world.passes(SWITCHED_S).live == "b"


def test_04_direct_connect_is_down() -> None:
    world = World().started()
    world.path_up = False
    held(world.passes(600), "path_down")
    world.path_up = True
    world.passes(120)
    assert (world.live, world.state.reason.slug) == ("a", "steady")


def test_05_direct_connect_works_in_one_direction_only() -> None:
    """What arrives there and is answered is not seen here: every round trip fails."""
    world = World().started()
    world.sees.update(a=Shown.SILENT, b=Shown.SILENT, w=Shown.SILENT)
    held(world.passes(600), "path_down")


def test_06_direct_connect_loses_packets_and_a_person_may_still_promote() -> None:
    world = World().started(warm_s=64)
    for second in range(120):
        world.path_up = second % 3 > 0
        world.passes(1.0)
    world.path_up, world.sees["a"] = True, Shown.REFUSED
    held(world.passes(SWITCHED_S), "path_lossy")
    assert world.says(ev.Promote("b", "kim", "the path is ill, a is dead")).accepted
    assert world.live == "b"


def test_07_bgp_flaps() -> None:
    """Outages of two probes at a time never end a run of three, but they fill every bucket."""
    world = World().started(warm_s=64)
    for second in range(300):
        world.path_up = second % 3 > 1
        world.passes(1.0)
    assert world.live == "a"
    assert not world.all(ev.WriteIntent)


def test_07_switches_too_close_together_are_held() -> None:
    world = World(replace(POLICY, switches_per_hour=2)).started()
    for node in ("a", "b", "a"):
        world.sees.update(a=Shown.ACTIVE, b=Shown.ACTIVE)
        world.passes(POLICY.hold_down_s)
        world.sees[node] = Shown.REFUSED
        world.passes(SWITCHED_S)
    assert (world.live, world.state.reason.slug) == ("a", "flap_budget")
    assert len(world.all(ev.WriteIntent)) == 2


def test_08_an_availability_zone_fails() -> None:
    """Everything in it is silent, a witness there too."""
    world = World(replace(POLICY, witnesses=("w", "w2"))).started()
    world.sees.update(a=Shown.SILENT, w=Shown.SILENT)
    assert world.passes(SWITCHED_S).live == "b"


def test_09_the_control_plane_is_out_and_the_answer_moves() -> None:
    world = World().started()
    world.stages = dict.fromkeys((Stage.MOVE, Stage.PUBLISH, Stage.VERIFY), Fault.UNREACHABLE)
    world.sees["a"] = Shown.SILENT
    assert world.passes(SWITCHED_S).live == "b"
    assert world.state.reason.slug == "aws"
    world.stages.clear()
    world.passes(POLICY.retry_most_s)
    assert world.state.reason.slug == "steady"
    assert world.did[-4:] == ["move 8", "publish 8", "verify 8", "finish 8"]


def test_09_the_control_plane_is_out_and_the_answer_holds() -> None:
    world = World(replace(POLICY, on_outage=OnOutage.HOLD)).started()
    world.stages[Stage.PUBLISH] = Fault.UNREACHABLE
    world.sees["a"] = Shown.SILENT
    world.passes(60)
    assert (world.live, world.state.reason.slug) == ("a", "aws")
    world.stages.clear()
    assert world.passes(POLICY.retry_most_s).live == "b"


@pytest.mark.parametrize("fault", [Fault.DENIED, Fault.EXPIRED])
def test_10_credentials_or_a_permission_are_missing(fault: Fault) -> None:
    world = World().started()
    world.stages[Stage.PUBLISH] = fault
    world.sees["a"] = Shown.SILENT
    assert world.passes(SWITCHED_S).live == "b"
    assert any(fault.value in sentence for sentence in world.told("trouble"))


def test_11_both_nodes_claim_to_be_active() -> None:
    world = World(replace(POLICY, authority=Authority.CLUSTER)).started(warm_s=0)
    world.sees.update(a=Shown.ACTIVE, b=Shown.STANDBY)
    world.passes(3)
    world.sees["b"] = Shown.ACTIVE
    held(world.passes(60), "split_brain")


def test_12_no_node_is_up_and_the_path_is_fine() -> None:
    world = World().started()
    world.sees.update(b=Shown.SILENT)
    world.passes(5)
    world.sees.update(a=Shown.SILENT)
    held(world.passes(600), "no_target")


@pytest.mark.parametrize("phase", range(10))
@pytest.mark.parametrize("shown", [Shown.SILENT, Shown.REFUSED, Shown.HUNG, Shown.STANDBY])
def test_12_what_ends_both_nodes_at_one_moment_moves_nothing(shown: Shown, phase: int) -> None:
    """Whichever is noticed first: a node that has just failed a probe too is no target."""
    world = World().started(warm_s=100 + phase / 10)
    world.sees.update(a=shown, b=shown)
    world.passes(60)
    assert world.state.assignment == Assignment("a", 7)
    assert not world.all(ev.WriteIntent)


def test_12_a_target_that_has_just_lost_a_probe_is_one_again_with_the_next() -> None:
    world = World().started()
    world.sees["a"] = Shown.REFUSED
    world.passes(1.2)
    world.sees["b"] = Shown.SILENT
    held(world.passes(1.0), "no_target")
    assert world.state.reason.sentence.endswith("; b has just failed a probe too")
    world.sees["b"] = Shown.ACTIVE
    assert world.passes(1.0).live == "b"


def test_12_a_proposal_stays_while_its_target_loses_a_probe() -> None:
    world = World(replace(POLICY, mode=Mode.CONFIRM)).started()
    world.sees["a"] = Shown.REFUSED
    world.passes(SWITCHED_S)
    world.sees["b"] = Shown.SILENT
    world.passes(1.5)
    world.sees["b"] = Shown.ACTIVE
    world.passes(5.0)
    assert world.state.phase is Phase.PROPOSED
    assert len(world.told("proposed")) == 1


def test_13_the_standbys_copy_is_stale() -> None:
    world = World().started()
    world.sees["b"] = Shown.STANDBY
    world.passes(3)
    assert "b is standby" in world.says(ev.Promote("b", "kim", "test")).sentence
    assert world.says(ev.Promote("b", "kim", "data of yesterday will do", force=True)).accepted
    assert "(forced)" in world.told("committed")[0]


@pytest.mark.parametrize("stage", [Stage.FENCE, Stage.MOVE, Stage.PUBLISH, Stage.VERIFY])
def test_15_the_agent_dies_in_the_middle_of_a_switch(stage: Stage) -> None:
    first = World().started("a", 7)
    first.stages[stage] = Fault.UNREACHABLE
    first.slow = (ev.Commit,)
    first.says(ev.Promote("b", "kim", "test"))
    intent = first.all(ev.WriteIntent)[0].intent
    second = World()
    second.hears(ev.Loaded(Assignment("a", 7), opened=intent, begun=True))
    assert (second.live, second.state.phase) == ("b", Phase.STEADY)
    assert second.did[1:4] == ["fence 8", "move 8", "publish 8"]


def test_16_two_agents_disagree() -> None:
    """Only one of two gets the epoch. The other keeps what is committed, and leaves the rest to people."""
    world = World().started("a", 7)
    world.store, world.found_epoch = ev.Conflicted, 8
    world.sees["a"] = Shown.REFUSED
    world.passes(60)
    assert len(world.all(ev.WriteIntent)) == 1
    assert (world.live, world.state.reason.slug) == ("a", "conflict")


def test_16_who_does_not_lead_does_nothing() -> None:
    world = World().started()
    world.hears(ev.LeaseSaid(Lease(held=False, until=0.0, holder="edge-2")))
    world.sees["a"] = Shown.REFUSED
    held(world.passes(60), "lease")


def test_17_the_core_has_no_clock_that_could_jump() -> None:
    """`now` is all that it knows of time: the same story an age later makes the same effects at the same distances."""
    stories = []
    for start in (0.0, 5.0, 1e8):
        world = World(now=start).started()
        world.sees["a"] = Shown.SILENT
        world.passes(60)
        stories.append((world.did, world.told("reason")))
    assert stories[0] == stories[1] == stories[2]


def test_18_the_disk_is_full() -> None:
    world = World().started()
    world.store = ev.StoreFailed
    world.sees["a"] = Shown.REFUSED
    world.passes(60)
    assert (world.live, world.state.reason.slug) == ("a", "store")
    assert world.did.count("intent 8 b") == 1
    assert "the disk is full" in world.says(ev.Promote("b", "kim", "test")).sentence
    world.store = None
    world.hears(ev.StoreRecovered())
    assert world.live == "b"


def test_21_the_secondary_address_arrives_late() -> None:
    world = World(replace(POLICY, on_outage=OnOutage.HOLD)).started()
    world.stages[Stage.MOVE] = Fault.UNREACHABLE
    world.says(ev.Promote("b", "kim", "test"))
    assert world.passes(5).live == "a"
    world.stages = {Stage.VERIFY: Fault.UNREACHABLE}
    assert world.passes(10).live == "b"
    assert not world.told("agreed")
    world.stages.clear()
    assert world.passes(10).told("agreed")


def test_22_the_old_active_node_comes_back() -> None:
    world = World().started()
    world.sees["a"] = Shown.SILENT
    world.passes(60)
    world.sees["a"] = Shown.ACTIVE
    world.forgets().passes(7200)
    assert (world.live, world.did) == ("b", [])


def test_23_a_paused_agent_wakes_up_after_its_lease_went() -> None:
    world = World(replace(POLICY, lease_margin_s=4.0)).started()
    world.hears(ev.LeaseSaid(Lease(held=True, until=world.now + 10.0, holder="edge-1")))
    world.slow = (ev.RunStage,)
    world.says(ev.Promote("b", "kim", "test"))
    world.now += 60.0
    world.forgets().hears(ev.LeaseSaid(Lease(held=False, until=0.0, holder="edge-2")))
    world.slow = ()
    world.settles().passes(60)
    assert (world.did, world.live) == (["stop 8"], "a")


@pytest.mark.parametrize(("on_drift", "live", "epoch"), [("alert", "a", 7), ("repair", "a", 8), ("adopt", "b", 8)])
def test_24_somebody_changes_aws_by_hand(on_drift: str, live: str, epoch: int) -> None:
    world = World(replace(POLICY, on_drift=OnDrift(on_drift))).started("a", 7)
    for _ in range(2):
        world.passes(3).hears(ev.SidesRead(7, (Pointing("route53", "b", 7, "10.0.2.10, epoch 7"),)))
    assert world.state.assignment == Assignment(live, epoch)
    assert "route53: 10.0.2.10, epoch 7" in "".join([*world.told("drift"), *world.told("opened")])


def test_25_the_leaders_own_path_is_down() -> None:
    """It abstains, whatever it sees; and it serves on when the other agent leads."""
    world = World(replace(POLICY, peers=("edge-2",), quorum=2)).started()
    world.hears(ev.Reported("edge-2", Report(world.now, True, {"a": Opinion(Sight.ACTIVE, "edge-2 sees a")})))
    world.path_up = False
    world.passes(4)
    assert world.state.reason.slug == "path_down"
    world.hears(ev.LeaseSaid(Lease(held=False, until=0.0, holder="edge-2")))
    held(world.passes(60), "path_down")


def test_27_a_restart_while_aws_is_out_of_reach() -> None:
    world = World()
    world.survey = ev.Surveyed(None, 0, "no route to AWS", Fault.UNREACHABLE)
    assert world.hears(ev.Loaded(Assignment("b", 8)))[0] == ev.Serve(Assignment("b", 8))
    assert "read" not in world.did


def test_29_the_target_dies_while_a_stage_runs_and_the_next_epoch_decides() -> None:
    world = World(replace(POLICY, hold_down_s=5.0)).started()
    world.slow = (ev.RunStage,)
    world.says(ev.Promote("b", "kim", "test"))
    world.sees["b"] = Shown.SILENT
    world.passes(10)
    assert world.state.flight.intent.epoch == 8
    world.slow = ()
    world.settles()
    assert world.live == "b"
    world.passes(10)
    assert (world.live, world.state.assignment.epoch) == ("a", 9)


def test_29_the_target_dies_while_its_switch_waits() -> None:
    world = World().started()
    world.stages[Stage.FENCE] = Fault.UNREACHABLE
    world.says(ev.Promote("b", "kim", "test"))
    world.sees["b"] = Shown.SILENT
    world.passes(10)
    world.stages.clear()
    world.passes(POLICY.retry_most_s)
    assert (world.live, world.state.assignment.epoch) == ("a", 9)


def test_30_a_flapping_node() -> None:
    """Two failures, one answer, on and on: never three in a row. It is left once, and not returned to."""
    world = World().started(warm_s=70)
    for second in range(300):
        world.sees["a"] = Shown.SILENT if second % 3 < 2 else Shown.ACTIVE
        world.passes(1.0)
    assert world.live == "b"
    assert [effect.intent.cause for effect in world.all(ev.WriteIntent)] == [Cause.FAILURE]


def test_30_two_flapping_nodes_use_up_the_budget() -> None:
    world = World().started()
    for minute in range(50):
        world.sees.update(a=Shown.ACTIVE, b=Shown.ACTIVE)
        world.passes(40)
        world.sees["ab"[minute % 2]] = Shown.REFUSED
        world.passes(20)
    assert len(world.all(ev.WriteIntent)) == POLICY.switches_per_hour


def test_confirm_proposes_in_each_case_in_which_auto_switches() -> None:
    world = World(replace(POLICY, mode=Mode.CONFIRM)).started()
    world.sees["a"] = Shown.SILENT
    assert world.passes(SWITCHED_S).state.phase is Phase.PROPOSED
    assert not world.all(ev.WriteIntent)


def test_an_intent_carries_all_that_people_ask_for() -> None:
    world = World().started("a", 7)
    world.sees["a"] = Shown.REFUSED
    world.passes(SWITCHED_S)
    intent = world.all(ev.WriteIntent)[0].intent
    assert (intent.epoch, intent.node, intent.origin, intent.cause, intent.who) == (8, "b", "a", Cause.FAILURE, "edge")
    assert "connection refused" in intent.sentence
    assert isinstance(intent, Intent)


def test_the_catalogue_is_complete() -> None:
    """Each row has a test here, or stands in this file's first lines with the part that answers for it."""
    text = Path(__file__).read_text()
    elsewhere = {14, 19, 20, 26, 28, 31, 32}
    assert {row for row in range(1, 33) if f"def test_{row:02}_" in text} == set(range(1, 33)) - elsewhere
