"""Stories of the machine: how a switch goes, and what late, lost, refused and repeated outcomes do to it."""

from dataclasses import replace

import pytest

from edge.errors import Fault
from edge.failover import events as ev
from edge.failover.bootstrap import SURVEY_RETRY_S
from edge.failover.machine import step
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
    Pointing,
    Policy,
    Stage,
    State,
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


# --- whom a fence is for --------------------------------------------------------------------------------------------


def intents(world: World) -> list[Intent]:
    return [effect.intent for effect in world.all(ev.WriteIntent)]


def test_a_fence_is_for_the_node_that_was_live() -> None:
    world = World().started("a", 7).forgets()
    world.says(ev.Promote("b", "kim", "test"))
    assert intents(world)[0].outgoing == ("a",)


def test_a_fence_is_not_for_a_live_node_that_is_asserted_anew() -> None:
    world = World().started("a", 7).forgets()
    world.says(ev.Promote("a", "kim", "test", force=True))
    assert intents(world)[0].outgoing == ()


def test_a_fence_is_also_for_the_target_of_an_unfinished_switch() -> None:
    """b may have the address by now: turned back to a, the switch has to fence b."""
    world = failing(Stage.MOVE, policy=HOLD_ON_OUTAGE)
    world.says(ev.Promote("a", "kim", "back", force=True))
    assert [(each.epoch, each.outgoing) for each in intents(world)] == [(8, ("a",)), (9, ("b",))]


def test_a_first_assignment_fences_nobody() -> None:
    world = World()
    world.hears(ev.Loaded(None))
    world.hears(ev.Surveyed("a", 0, "AWS was read"))
    assert intents(world)[0].outgoing == ()


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
    world.slow = (ev.WriteIntent, ev.RunStage, ev.Commit)
    world.sees["a"], died = Shown.REFUSED, world.now
    world.passes(2.5)
    for _ in range(6):
        world.now += 0.25
        world.answers()
    (took_s,) = [told.marks_s for told in world.all(ev.Tell) if told.kind == "agreed"]
    assert list(took_s) == ["detect", "decide", "fence", "move", "publish", "verify", "agree"]
    assert [took_s[name] for name in ("fence", "move", "verify")] == pytest.approx([0.25] * 3)
    assert took_s["publish"] == pytest.approx(0.5), "with the commit"
    assert sum(took_s.values()) == pytest.approx(2 * took_s["agree"])
    assert took_s["agree"] == pytest.approx(world.now - died, abs=1.0)


def test_a_bootstrap_is_no_switch_for_hold_down_or_budget() -> None:
    world = World().started(None)
    assert (world.live, world.state.automatic_at, world.state.committed_at) == ("a", (), float("-inf"))


@pytest.mark.parametrize(("authority", "cause"), [(Authority.AGENT, Cause.FAILURE), (Authority.CLUSTER, Cause.FOLLOW)])
def test_a_switch_by_itself_is_counted(authority: Authority, cause: Cause) -> None:
    world = World(replace(POLICY, authority=authority)).started()
    world.sees.update(a=Shown.STANDBY)
    world.passes(3)
    assert world.all(ev.WriteIntent)[0].intent.cause is cause
    assert len(world.state.automatic_at) == 1
    assert world.state.committed_at == world.state.automatic_at[0]


def test_what_is_older_than_an_hour_is_forgotten_at_the_next_commit() -> None:
    world = World()
    world.hears(ev.Loaded(Assignment("a", 7), automatic_at=(world.now - 4000.0, world.now - 10.0)))
    world.says(ev.Promote("b", "kim", "test", force=True))
    assert world.state.automatic_at == (world.now - 10.0,)


# --- AWS does not take it -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", [Stage.MOVE, Stage.PUBLISH])
def test_on_outage_answer_the_answer_moves_and_the_stage_is_owed(stage: Stage) -> None:
    world = failing(stage)
    assert (world.live, world.state.phase, world.state.flight.debts) == ("b", Phase.VERIFYING, (stage,))
    assert world.state.reason.slug == "aws"
    world.stages.clear()
    world.forgets().passes(1)
    assert world.did == [f"{stage.value} 8", "verify 8", "finish 8"]
    assert world.state.reason.slug == "steady"


def test_debts_are_paid_in_order() -> None:
    world = World().started("a", 7).forgets()
    world.stages.update({Stage.MOVE: Fault.DENIED, Stage.PUBLISH: Fault.UNREACHABLE})
    world.says(ev.Promote("b", "kim", "test"))
    del world.stages[Stage.PUBLISH]
    world.forgets().passes(1)
    assert set(world.did) == {"move 8"}
    world.stages.clear()
    world.forgets().passes(2)
    assert world.did == ["move 8", "publish 8", "verify 8", "finish 8"]


@pytest.mark.parametrize("stage", [Stage.MOVE, Stage.PUBLISH])
def test_on_outage_hold_nothing_moves_until_aws_takes_it(stage: Stage) -> None:
    world = failing(stage, policy=HOLD_ON_OUTAGE)
    world.passes(10)
    assert (world.live, world.state.reason.slug) == ("a", "aws")
    world.stages.clear()
    assert world.passes(30).live == "b"


def test_a_hold_does_not_take_the_place_of_a_pin() -> None:
    """It might end by itself, and nothing would hold the service any more."""
    world = World().started("a", 7)
    world.says(ev.Promote("b", "kim", "test", pin=True))
    reply = world.says(ev.Hold("lee", "router", until=world.now + 2))
    assert not reply.accepted
    assert world.state.override is not None
    assert world.state.override.pinned


def test_a_write_of_another_epoch_that_fails_does_not_stop_the_one_that_opens() -> None:
    world = World().started("a", 7)
    world.slow = (ev.WriteIntent,)
    world.says(ev.Promote("b", "kim", "test"))
    world.heard(ev.StoreFailed("busy", epoch=7))
    assert (world.state.phase, world.state.store_trouble) == (Phase.OPENING, "busy")


def test_an_epoch_that_was_abandoned_before_a_restart_is_not_claimed_again() -> None:
    world = World()
    world.hears(ev.Loaded(Assignment("a", 7), newest=9))
    assert world.state.floor == 9


@pytest.mark.parametrize("stage", [Stage.FENCE, Stage.MOVE, Stage.PUBLISH])
def test_a_stage_that_may_not_act_is_no_outage_and_moves_nothing(stage: Stage) -> None:
    """An agent whose permit is refused must not go on to a commit, however an outage is to be taken."""
    world = World(replace(POLICY, fence_required=False)).started("a", 7).forgets()
    world.stages[stage] = Fault.BARRED
    world.says(ev.Promote("b", "kim", "test"))
    assert (world.live, world.state.reason.slug) == ("a", "lease")


def test_a_required_fence_that_fails_keeps_everything_where_it_is() -> None:
    world = failing(Stage.FENCE)
    world.passes(60)
    assert (world.live, world.state.reason.slug) == ("a", "fence")
    assert not [done for done in world.did if done.startswith(("move", "publish", "commit"))]
    world.stages.clear()
    assert world.passes(31).live == "b"


def test_a_fence_that_is_not_required_is_waived_and_said() -> None:
    world = failing(Stage.FENCE, policy=replace(POLICY, fence_required=False))
    assert world.live == "b"
    assert "goes on unfenced" in world.told("trouble")[0]


def test_a_fence_that_is_not_required_stops_no_debts() -> None:
    """After a restart every stage is owed. A dead node can't be fenced, and the address has to move all the same."""
    world = World(replace(POLICY, fence_required=False))
    world.stages[Stage.FENCE] = Fault.IMPOSSIBLE
    world.hears(ev.Loaded(Assignment("b", 8), unsettled=intent(8)))
    assert world.did == ["serve b 8", "fence 8", "move 8", "publish 8", "verify 8", "finish 8"]


def test_tries_come_at_pauses_that_double_up_to_the_longest() -> None:
    world = failing(Stage.FENCE, policy=replace(POLICY, retry_first_s=1.0, retry_most_s=10.0, witnesses=()))
    tries = []
    for _ in range(6):
        before = world.now
        while not world.forgets().did:
            world.now = world.deadline
            world.hears(ev.Elapsed())
            if world.did:
                break
        tries.append(world.now - before)
    assert tries == pytest.approx([1, 2, 4, 8, 10, 10])


def test_an_outage_of_days_overflows_nothing() -> None:
    world = failing(Stage.FENCE)
    world.state = replace(world.state, flight=replace(world.state.flight, attempt=5000))
    world.now = world.state.flight.retry_at
    world.hears(ev.Elapsed())
    assert world.state.flight.retry_at == world.now + POLICY.retry_most_s


def test_the_same_trouble_is_told_once_and_another_one_again() -> None:
    world = failing(Stage.FENCE)
    world.passes(60)
    assert len(world.told("trouble")) == 1
    world.stages[Stage.FENCE] = Fault.THROTTLED
    world.passes(60)
    assert len(world.told("trouble")) == 2


def test_the_reading_back_is_repeated_until_every_side_agrees() -> None:
    world = failing(Stage.VERIFY)
    assert world.live == "b"
    world.passes(60)
    assert world.state.reason.slug == "aws"
    world.stages.clear()
    world.passes(31)
    assert world.state.phase is Phase.STEADY


# --- outcomes that come late, twice, or not at all ------------------------------------------------------------------


def test_an_outcome_of_an_older_epoch_says_nothing() -> None:
    world = switching(ev.RunStage)
    before = world.state
    world.hears(ev.StageEnded(7, Stage.FENCE, "late"))
    world.hears(ev.StageEnded(8, Stage.MOVE, "not asked for"))
    world.hears(ev.IntentWritten(8))
    world.hears(ev.IntentWritten(7))
    world.hears(ev.Committed(8))
    assert world.state == before


def test_an_outcome_that_comes_twice_counts_once() -> None:
    world = failing(Stage.FENCE)
    before = world.state
    world.hears(ev.StageEnded(8, Stage.FENCE, "again", Fault.UNREACHABLE))
    world.hears(ev.StageEnded(8, Stage.FENCE, "done after all"))
    assert world.state == before


def test_an_outcome_after_everything_is_over_says_nothing() -> None:
    world = World().started().forgets()
    for event in (ev.IntentWritten(7), ev.Committed(7), ev.StageEnded(7, Stage.VERIFY, "late")):
        world.hears(event)
    assert not world.effects


def test_the_store_fails_before_the_epoch_is_open() -> None:
    world = World().started("a", 7)
    world.store = ev.StoreFailed
    world.says(ev.Promote("b", "kim", "test"))
    assert (world.state.phase, world.live) == (Phase.STEADY, "a")
    assert not [done for done in world.did if done.startswith("fence")]
    assert "so nothing moves" in world.told("abandoned")[0]


def test_the_store_fails_at_the_commit_and_is_asked_again() -> None:
    world = switching(ev.Commit)
    world.store, world.slow = ev.StoreFailed, ()
    world.settles()
    assert world.state.reason.slug == "store"
    assert world.passes(5).live == "a"
    world.store = None
    assert world.passes(30).live == "b"
    assert world.state.store_trouble is None


@pytest.mark.parametrize(("effect", "last"), [(ev.WriteIntent, "stop 8"), (ev.Commit, "abandon 8")])
def test_the_store_has_a_newer_epoch(effect: type[ev.Effect], last: str) -> None:
    """An epoch that could not be claimed is another agent's, and not ours to end."""
    world = switching(effect)
    world.store, world.found_epoch, world.slow = ev.Conflicted, 12, ()
    world.settles()
    assert (world.state.phase, world.live, world.state.floor) == (Phase.STEADY, "a", 12)
    assert world.did[-1] == last
    world.store = None
    assert world.says(ev.Promote("b", "kim", "again")).epoch == 13


@pytest.mark.parametrize("stage", [Stage.FENCE, Stage.MOVE, Stage.PUBLISH, Stage.VERIFY])
def test_aws_carries_a_newer_epoch(stage: Stage) -> None:
    world = World().started("a", 7).forgets()
    world.stages[stage], world.found_epoch = Fault.CONFLICT, 12
    world.says(ev.Promote("b", "kim", "test"))
    assert (world.state.phase, world.state.floor) == (Phase.STEADY, 12)
    assert world.state.conflict.slug == "conflict"
    assert world.did[-1] == "abandon 8"
    assert world.live == ("b" if stage is Stage.VERIFY else "a")


def test_a_conflict_while_a_stage_runs_stops_it() -> None:
    world = switching(ev.RunStage)
    world.forgets().hears(ev.Conflicted(12, "the store has epoch 12"))
    assert world.did == ["stop 8", "abandon 8"]


def test_a_late_conflict_of_an_older_epoch_ends_no_newer_one() -> None:
    world = switching(ev.WriteIntent)
    world.hears(ev.Conflicted(7, "late"))
    assert world.state.phase is Phase.OPENING
    world.slow = ()
    world.settles()
    world.hears(ev.Conflicted(8, "later still"))
    assert (world.state.phase, world.state.conflict) == (Phase.STEADY, None)


def test_a_conflict_without_a_switch_is_told_and_held() -> None:
    world = World().started("a", 7)
    world.hears(ev.Conflicted(9, "the store has epoch 9"))
    assert world.told("conflict") == ["the store has epoch 9"]
    assert world.state.floor == 9


# --- a switch overtakes another -------------------------------------------------------------------------------------


def test_the_target_fails_while_its_switch_waits_and_the_next_epoch_goes_back() -> None:
    world = failing(Stage.MOVE, policy=HOLD_ON_OUTAGE)
    world.stages.clear()
    world.stages[Stage.MOVE] = Fault.UNREACHABLE
    world.sees["b"] = Shown.REFUSED
    world.passes(4)
    assert world.all(ev.WriteIntent)[-1].intent.node == "a"
    assert "stop 8" in world.did
    assert world.did.index("stop 8") < world.did.index("intent 9 a")


@pytest.mark.parametrize("mode", [Mode.CONFIRM, Mode.MANUAL])
def test_a_switch_that_waits_is_overtaken_by_itself_only_in_mode_auto(mode: Mode) -> None:
    world = failing(Stage.FENCE, policy=replace(POLICY, mode=mode))
    world.sees["b"] = Shown.REFUSED
    world.passes(20)
    assert world.state.flight.intent.epoch == 8


def test_a_stage_that_runs_is_not_overtaken() -> None:
    world = switching(ev.RunStage)
    world.sees["b"] = Shown.REFUSED
    world.passes(20)
    assert (world.state.phase, world.state.flight.intent.epoch) == (Phase.FENCING, 8)


def test_the_new_live_node_fails_while_every_side_is_read_back() -> None:
    world = switching(ev.RunStage, replace(POLICY, hold_down_s=5.0, stages=frozenset({Stage.VERIFY})))
    assert (world.live, world.state.phase) == ("b", Phase.VERIFYING)
    world.sees["b"] = Shown.REFUSED
    world.passes(8)
    assert world.did[-3:] == ["intent 9 a", "commit 9", "serve a 9"] or "serve a 9" in world.did


def test_what_is_owed_goes_on_when_the_next_epoch_cannot_be_opened() -> None:
    world = failing(Stage.PUBLISH)
    world.store = ev.StoreFailed
    world.forgets().says(ev.Promote("a", "kim", "back"))
    assert world.did == ["stop 8", "intent 9 a", "publish 8"]
    assert (world.live, world.state.phase, world.state.owed) == ("b", Phase.VERIFYING, None)
    world.stages.clear()
    world.passes(31)
    assert world.did[-2:] == ["verify 8", "finish 8"]


def test_a_switch_that_had_begun_goes_on_when_the_next_epoch_cannot_be_opened() -> None:
    """AWS may have half of it: it is not left there."""
    world = failing(Stage.MOVE, policy=HOLD_ON_OUTAGE)
    world.store = ev.StoreFailed
    world.forgets().says(ev.Promote("a", "kim", "back", force=True))
    assert world.did == ["stop 8", "intent 9 a", "fence 8", "move 8"]
    world.stages.clear()
    world.store = None
    world.passes(31)
    assert (world.live, world.state.assignment.epoch, world.state.phase) == ("b", 8, Phase.STEADY)


def test_the_next_commit_pays_for_all() -> None:
    world = failing(Stage.PUBLISH)
    world.stages.clear()
    world.forgets().says(ev.Promote("a", "kim", "back"))
    assert world.did[-2:] == ["verify 9", "finish 9"]
    assert world.state.owed is None


def test_what_is_owed_waits_while_a_switch_is_proposed_and_goes_on_after() -> None:
    world = World(replace(POLICY, mode=Mode.CONFIRM, hold_down_s=0.0)).started("a", 7)
    world.stages[Stage.PUBLISH] = Fault.UNREACHABLE
    world.says(ev.Promote("b", "kim", "test"))
    world.sees["b"] = Shown.REFUSED
    world.passes(5)
    assert (world.state.phase, world.state.owed.debts) == (Phase.PROPOSED, (Stage.PUBLISH,))
    world.says(ev.Reject("kim"))
    assert (world.state.phase, world.state.flight.debts) == (Phase.VERIFYING, (Stage.PUBLISH,))


# --- the lease goes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stopped_at", [ev.WriteIntent, ev.RunStage])
def test_without_the_lease_a_switch_is_left_to_the_new_leader(stopped_at: type[ev.Effect]) -> None:
    world = switching(stopped_at)
    world.forgets().hears(ev.LeaseSaid(LOST))
    assert world.did == ["stop 8"]
    assert (world.state.phase, world.live) == (Phase.STEADY, "a")
    world.slow = ()
    world.settles().passes(60)
    assert world.did == ["stop 8"]


@pytest.mark.parametrize("stage", [Stage.FENCE, Stage.MOVE, Stage.PUBLISH, Stage.VERIFY])
def test_without_the_lease_nothing_is_tried_again(stage: Stage) -> None:
    world = failing(stage, policy=HOLD_ON_OUTAGE)
    world.hears(ev.LeaseSaid(LOST))
    world.forgets().passes(120)
    assert not world.did


def test_the_answer_to_a_commit_is_waited_for_even_without_the_lease() -> None:
    """If the store took it, every agent serves it: so does this one."""
    world = switching(ev.Commit)
    world.hears(ev.LeaseSaid(LOST))
    assert world.state.phase is Phase.COMMITTING
    world.forgets().slow = ()
    world.settles().passes(60)
    assert world.did == ["serve b 8", "stop 8"]
    assert (world.live, world.state.phase) == ("b", Phase.STEADY)


def test_a_commit_that_failed_is_not_tried_again_without_the_lease() -> None:
    world = switching(ev.Commit)
    world.hears(ev.LeaseSaid(LOST))
    world.forgets().hears(ev.StoreFailed("busy", 8))
    assert world.did == ["stop 8"]
    assert (world.live, world.state.phase) == ("a", Phase.STEADY)


def test_a_commit_that_waits_for_its_next_try_ends_with_the_lease() -> None:
    world = switching(ev.Commit)
    world.heard(ev.StoreFailed("busy", 8))
    world.heard(ev.LeaseSaid(LOST))
    assert world.state.phase is Phase.STEADY


def test_without_the_lease_nothing_owed_comes_back_from_a_proposal() -> None:
    world = World(replace(POLICY, mode=Mode.CONFIRM, hold_down_s=0.0)).started("a", 7)
    world.stages[Stage.PUBLISH] = Fault.UNREACHABLE
    world.says(ev.Promote("b", "kim", "test"))
    world.sees["b"] = Shown.REFUSED
    world.passes(5)
    world.forgets().hears(ev.LeaseSaid(LOST))
    assert (world.state.phase, world.state.owed, world.did) == (Phase.STEADY, None, [])


def test_a_lease_that_is_renewed_changes_nothing() -> None:
    world = switching(ev.RunStage)
    before = world.state
    world.hears(ev.LeaseSaid(Lease(held=True, until=9e9, holder="edge-1")))
    assert world.state.flight == before.flight


# --- beginning ------------------------------------------------------------------------------------------------------


def test_with_nothing_stored_aws_is_read_and_followed() -> None:
    world = World()
    world.survey = ev.Surveyed("b", 12, "Route 53 points to b at epoch 12")
    world.hears(ev.Loaded(None))
    assert world.did[:2] == ["read", "intent 13 b"]
    assert (world.live, world.state.assignment.epoch) == ("b", 13)


def test_with_nothing_stored_and_nothing_in_aws_the_first_node_that_serves_is_live() -> None:
    world = World()
    world.sees["a"] = Shown.REFUSED
    assert world.started(None, warm_s=5).live == "b"


@pytest.mark.parametrize("mode", [Mode.CONFIRM, Mode.MANUAL])
def test_no_node_is_chosen_for_people_who_want_to_be_asked(mode: Mode) -> None:
    world = World(replace(POLICY, mode=mode)).started(None, warm_s=10)
    assert (world.live, world.state.reason.slug) == (None, "silent")
    assert "promote one" in world.state.reason.sentence
    assert world.says(ev.Promote("b", "kim", "first")).accepted
    assert (world.live, world.state.assignment.epoch) == ("b", 1)


def test_no_node_is_chosen_where_two_claim_the_data() -> None:
    world = World(replace(POLICY, authority=Authority.CLUSTER))
    assert world.started(None, warm_s=10).live in {None, "a"}
    world = World(replace(POLICY, authority=Authority.CLUSTER))
    world.sees["b"] = Shown.STANDBY
    assert world.started(None, warm_s=10).live == "a"


def test_a_survey_that_fails_is_repeated_and_concludes_nothing() -> None:
    world = World()
    world.survey = ev.Surveyed(None, 0, "no credentials", Fault.EXPIRED)
    world.started(None, warm_s=SURVEY_RETRY_S * 2 + 0.5)
    assert world.did == ["read"] * 3
    assert (world.live, world.state.reason.slug) == (None, "silent")
    world.survey = ev.Surveyed("b", 3, "Route 53 points to b")
    assert world.passes(SURVEY_RETRY_S).live == "b"


def test_what_aws_points_to_is_still_known_when_the_first_try_fails() -> None:
    """Another node must not become the first by chance."""
    world = World()
    world.survey = ev.Surveyed("b", 3, "Route 53 points to b")
    world.store = ev.StoreFailed
    world.started(None, warm_s=5)
    assert (world.live, world.state.phase) == (None, Phase.SILENT)
    assert "the disk is full" in world.state.reason.sentence
    world.store = None
    world.hears(ev.StoreRecovered())
    assert world.live == "b"


def test_who_finds_that_another_was_first_leaves_it_to_people() -> None:
    world = World()
    world.survey = ev.Surveyed("b", 3, "Route 53 points to b")
    world.store = ev.Conflicted
    world.started(None, warm_s=5)
    assert world.did.count("intent 4 b") == 1
    assert len(world.all(ev.WriteIntent)) == 1
    assert "newer epoch" in world.state.reason.sentence


def test_a_node_that_aws_points_to_and_that_is_down_is_live_first_and_then_followed() -> None:
    world = World()
    world.sees["a"] = Shown.REFUSED
    world.survey = ev.Surveyed("a", 3, "Route 53 points to a")
    world.started(None, warm_s=6)
    assert [effect.intent.node for effect in world.all(ev.WriteIntent)] == ["a", "b"]


def test_a_survey_that_fails_again_for_the_same_reason_is_told_once() -> None:
    world = World()
    world.survey = ev.Surveyed(None, 0, "no credentials", Fault.EXPIRED)
    world.hears(ev.Loaded(None))
    world.passes(5 * SURVEY_RETRY_S)
    assert len(world.told("survey")) == 1


def test_a_late_survey_teaches_the_epoch_and_moves_nothing() -> None:
    world = World().started("a", 7).forgets()
    world.hears(ev.Surveyed("b", 12, "Route 53 points to b"))
    assert not world.did
    assert world.says(ev.Promote("b", "kim", "test")).epoch == 13


def test_a_restart_serves_at_once_what_was_committed() -> None:
    override = Override(pinned=False, who="kim", sentence="maintenance")
    world = after_restart(ev.Loaded(Assignment("b", 8), override=override, committed_at=900.0, automatic_at=(900.0,)))
    assert world.did == ["serve b 8"]
    assert (world.state.override, world.state.committed_at, world.state.automatic_at) == (override, 900.0, (900.0,))


def test_a_restart_forgets_a_hold_that_has_ended() -> None:
    ended = Override(pinned=False, who="kim", sentence="maintenance", until=999.0)
    assert after_restart(ev.Loaded(Assignment("b", 8), override=ended)).state.override is None


def test_a_switch_that_had_begun_is_finished_after_a_restart() -> None:
    world = after_restart(ev.Loaded(Assignment("a", 7), opened=intent(8), begun=True))
    steps = ["fence 8", "move 8", "publish 8", "commit 8", "serve b 8", "verify 8", "finish 8"]
    assert world.did == ["serve a 7", *steps]


def test_a_switch_of_which_nothing_had_begun_is_abandoned_after_a_restart() -> None:
    world = after_restart(ev.Loaded(Assignment("a", 7), opened=intent(8)))
    assert world.did == ["serve a 7", "abandon 8"]
    assert world.says(ev.Promote("b", "kim", "test", force=True)).epoch == 9


def test_the_first_switch_of_all_that_had_begun_is_finished_after_a_restart() -> None:
    world = after_restart(ev.Loaded(None, opened=intent(1), begun=True))
    assert world.did[-3:] == ["serve b 1", "verify 1", "finish 1"]
    assert "read" not in world.did


def test_a_committed_switch_is_made_sure_of_after_a_restart() -> None:
    world = after_restart(ev.Loaded(Assignment("b", 8), unsettled=intent(8)))
    assert world.did == ["serve b 8", "fence 8", "move 8", "publish 8", "verify 8", "finish 8"]


def test_an_open_switch_is_abandoned_and_the_one_before_it_made_sure_of() -> None:
    world = after_restart(ev.Loaded(Assignment("b", 8), opened=intent(9, "a"), unsettled=intent(8)))
    assert world.did[:3] == ["serve b 8", "abandon 9", "fence 8"]


def test_an_open_switch_that_had_begun_comes_before_what_is_owed() -> None:
    world = World()
    world.stages[Stage.FENCE], world.found_epoch = Fault.UNREACHABLE, 0
    world.hears(ev.Loaded(Assignment("b", 8), opened=intent(9, "a"), begun=True, unsettled=intent(8)))
    assert (world.state.flight.intent.epoch, world.state.owed.intent.epoch) == (9, 8)
    world.stages.clear()
    world.passes(1)
    assert (world.live, world.state.owed) == ("a", None)


def test_who_does_not_lead_serves_and_leaves_the_rest_alone() -> None:
    world = World(held=False)
    world.hears(ev.Loaded(Assignment("a", 7), opened=intent(8), begun=True, unsettled=intent(7, "a")))
    assert world.did == ["serve a 7"]
    world.sees["a"] = Shown.REFUSED
    world.probed().passes(30)
    assert world.did == ["serve a 7"]


def test_what_the_store_had_is_heard_once() -> None:
    world = World().started("a", 7)
    before = world.state
    world.hears(ev.Loaded(Assignment("b", 3)))
    assert world.state == before


def test_a_state_that_no_event_leads_to_is_refused() -> None:
    with pytest.raises(AssertionError, match="FENCING without a flight"):
        step(State(POLICY, phase=Phase.FENCING), ev.Elapsed(), 0.0)


# --- time and sentences ---------------------------------------------------------------------------------------------


def test_each_change_of_reason_is_told_once() -> None:
    world = World().started()
    world.sees["b"] = Shown.REFUSED
    world.passes(5)
    world.sees["a"] = Shown.REFUSED
    world.forgets().passes(60)
    assert len(world.told("reason")) == 1
    assert "no other node is up" in world.told("reason")[0]


def test_a_probing_loop_that_hangs_makes_every_node_unknown_at_its_deadline() -> None:
    world = World().started()
    world._probes.clear()
    world.passes(POLICY.stale_s)
    assert world.state.reason.slug == "unknown"


def test_a_policy_can_change_in_the_middle_of_a_switch() -> None:
    world = switching(ev.RunStage)
    world.hears(ev.Reconfigured(replace(POLICY, stages=frozenset())))
    world.slow = ()
    world.settles()
    assert world.did[-3:] == ["commit 8", "serve b 8", "finish 8"]


def test_the_live_node_leaves_the_configuration_and_is_served_on() -> None:
    world = World().started("a", 7)
    world.hears(ev.Reconfigured(replace(POLICY, nodes=("b", "c"))))
    world.passes(60)
    assert (world.live, world.state.reason.slug) == ("a", "unknown")


def test_a_late_probe_of_an_endpoint_that_left_is_not_kept() -> None:
    world = World().started("a", 7)
    world.hears(ev.Reconfigured(replace(POLICY, nodes=("b", "c"))))
    world.hears(observed("a", Shown.ACTIVE))
    assert "a" not in world.state.tracks


# --- with a leader elsewhere ------------------------------------------------------------------------------------------


def follower(node: str = "a", epoch: int = 7) -> World:
    world = World(held=False)
    world.hears(ev.Loaded(Assignment(node, epoch)))
    return world.probed().passes(3)


def led(loaded: ev.Loaded) -> ev.LeaseSaid:
    return ev.LeaseSaid(Lease(held=True, until=9e9, holder="edge-1"), loaded)


def test_a_follower_serves_what_is_newer_and_keeps_what_is_not_older() -> None:
    world = follower()
    world.hears(ev.Loaded(Assignment("b", 8)))
    assert world.all(ev.Serve)[-1] == ev.Serve(Assignment("b", 8))
    assert world.told("followed") == ["b is live at epoch 8: the store says so, another agent switched"]
    served = len(world.all(ev.Serve))
    for older in (Assignment("b", 8), Assignment("a", 3), None):
        world.hears(ev.Loaded(older))
    assert len(world.all(ev.Serve)) == served
    assert world.state.assignment == Assignment("b", 8)


def test_a_follower_takes_no_hold_and_names_the_leader() -> None:
    reply = follower().says(ev.Hold("kim", "router work"))
    assert not reply.accepted
    assert reply.sentence == "the leader is edge-2, not this agent, and only the leader's word is kept"


def test_a_follower_draws_nothing_from_what_the_leader_does_to_aws() -> None:
    """It publishes before it commits, and the follower reads the store later still."""
    world = follower()
    for _ in range(3):
        world.hears(ev.SidesRead(7, (Pointing("route53", "b", 8, "b, epoch 8"),)))
    assert world.state.conflict is None
    world.hears(led(ev.Loaded(Assignment("b", 8))))
    assert world.says(ev.Promote("a", "kim", "back")).accepted


def test_the_store_explains_the_newer_epoch_that_this_agent_met_in_aws() -> None:
    world = World().started()
    world.found_epoch = 9
    world.stages[Stage.PUBLISH] = Fault.CONFLICT
    world.says(ev.Promote("b", "kim", "test"))
    assert world.state.conflict
    world.hears(ev.LeaseSaid(LOST))
    world.hears(ev.Loaded(Assignment("b", 8)))
    assert world.state.conflict, "the store knows less than AWS"
    world.hears(ev.Loaded(Assignment("b", 9)))
    assert world.state.conflict is None


def test_who_takes_the_lease_opens_above_what_the_last_leader_left() -> None:
    world = follower()
    world.hears(led(ev.Loaded(Assignment("b", 11), newest=12)))
    assert world.state.assignment == Assignment("b", 11)
    assert world.says(ev.Promote("a", "kim", "back")).epoch == 13


def test_what_the_store_has_under_way_is_not_resumed_where_we_know_better() -> None:
    """A table that was restored from a backup is behind what this agent served."""
    world = follower("a", 20)
    world.hears(led(ev.Loaded(Assignment("b", 8), opened=intent(9), begun=True, unsettled=intent(8))))
    assert world.state.phase is Phase.STEADY
    assert world.state.assignment == Assignment("a", 20)
    assert not world.all(ev.RunStage)


def test_who_takes_the_lease_of_a_service_that_nobody_served_reads_aws_anew() -> None:
    world = World(held=False)
    world.survey = ev.Surveyed(None, 0, "AWS points to no node")
    world.hears(ev.Loaded(None))
    world.survey = ev.Surveyed("b", 3, "AWS points to b")
    world.hears(led(ev.Loaded(None)))
    assert world.state.assignment == Assignment("b", 4)
