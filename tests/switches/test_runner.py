"""The invariant: nothing is sent that is not in the journal, not permitted, or already there."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from edge.errors import CloudError, EpochOverError, Fault, StoreConflictError, StoreError
from edge.failover.model import Intent, Reason, Stage
from edge.switches import isolate, route53, secondary_ip
from edge.switches.contract import Call, Plan, Step
from edge.switches.runner import SETTLE_S, Pace
from tests.switches.site import ASSIGN, CHANGE, HOUR_S, MOVING, NAME, UNASSIGN, Site, intent, signed_in

PACE = Pace()
ACTING = [(Stage.FENCE, UNASSIGN), (Stage.MOVE, ASSIGN), (Stage.PUBLISH, CHANGE)]
acting = pytest.mark.parametrize(("stage", "api"), ACTING, ids=lambda value: getattr(value, "value", ""))


def test_a_whole_switch_in_order(site: Site) -> None:
    ends = [site.run(1, stage) for stage in Stage]
    assert [(end.epoch, end.stage, end.fault) for end in ends] == [(1, stage, None) for stage in Stage]
    assert site.mutations() == [UNASSIGN, ASSIGN, CHANGE]
    steps = ("unassign", "assign", "route53")
    assert site.journal.lines == [(1, step, state) for step in steps for state in ("begun", "done")]
    assert ends[1].sentence == f"{MOVING} is on b"
    assert "; " in ends[3].sentence  # both steps of the stage say what was read


@acting
def test_a_step_is_in_the_journal_before_aws_has_anything(site: Site, stage: Stage, api: str) -> None:
    seen: list[tuple[str, int]] = []
    site.journal.at_line = lambda _step, state: seen.append((state, site.sent(api)))
    assert site.run(1, stage).fault is None
    assert seen == [("begun", 0), ("done", 1)]


@acting
def test_a_repeated_stage_sends_nothing(site: Site, stage: Stage, api: str) -> None:
    site.run(1, stage)
    assert site.run(1, stage).fault is None
    assert site.sent(api) == 1


@acting
def test_a_call_that_took_effect_and_timed_out_is_read_back_and_not_sent_again(
    site: Site, stage: Stage, api: str
) -> None:
    site.aws.fault(api, "timeout_after", times=1)
    impatient = Site(site.aws, signed_in(site.aws, read_timeout_s=1.0), site.hands, site.seeded)
    assert impatient.run(1, stage).fault is None
    assert [call.result for call in site.aws.calls(api)] == ["timeout_after"]
    assert impatient.journal.lines[-1][2] == "done"


@acting
def test_a_throttled_call_is_sent_again_soon(site: Site, stage: Stage, api: str) -> None:
    site.aws.fault(api, "throttle", times=2)
    assert site.run(1, stage).fault is None
    assert site.sent(api) == 3
    assert site.time.now() < SETTLE_S  # it was not looked at: there is nothing to wait for


def test_an_earlier_change_that_is_not_complete_is_waited_for(site: Site) -> None:
    site.aws.fault(CHANGE, "prior_request", times=2)
    assert site.run(1, Stage.PUBLISH).fault is None


@acting
@pytest.mark.parametrize(("kind", "fault"), [("deny", Fault.DENIED), ("expired", Fault.EXPIRED)])
def test_what_trying_again_can_not_mend_ends_the_stage_at_once(
    site: Site, stage: Stage, api: str, kind: str, fault: Fault
) -> None:
    site.aws.fault(api, kind)
    ended = site.run(1, stage)
    assert ended.fault is fault
    assert (site.sent(api), site.time.now()) == (1, 0)
    assert ended.sentence.startswith(api.partition(":")[2])


def test_a_reading_that_is_denied_sends_nothing(site: Site) -> None:
    site.aws.fault("ec2:Describe*", "deny")
    assert site.run(1, Stage.MOVE).fault is Fault.DENIED
    assert not site.mutations()


def test_a_reading_that_breaks_off_is_tried_again(site: Site) -> None:
    site.aws.fault("ec2:DescribeNetworkInterfaces", "reset", times=3)
    assert site.run(1, Stage.MOVE).fault is None
    assert site.sent(ASSIGN) == 1


def test_two_steps_of_a_stage_stop_at_the_first_that_fails(site: Site) -> None:
    site.aws.fault("ec2:*", "deny")
    assert site.run(1, Stage.VERIFY).fault is Fault.DENIED
    assert not [call for call in site.aws.calls() if call.api.startswith("route53")]


# --- the right to act -----------------------------------------------------------------------------------------------


def refused(*_: Any) -> Reason:
    return Reason("lease", "our lease ends in 0.1 s, and a call may take 70.0 s")


@acting
def test_without_a_permit_nothing_is_sent_or_journalled(site: Site, stage: Stage, api: str) -> None:
    ended = site.run(1, stage, permit=refused)
    assert ended.fault is Fault.BARRED
    assert "our lease ends" in ended.sentence
    assert not site.aws.calls()
    assert not site.journal.lines


@acting
def test_a_permit_that_ends_while_aws_is_read_is_missed(site: Site, stage: Stage, api: str) -> None:
    def lost(_epoch: int, _needed_s: float) -> Reason | None:
        return refused() if site.aws.calls() else None

    assert site.run(1, stage, permit=lost).fault is Fault.BARRED
    assert site.aws.calls()
    assert not site.mutations()
    assert not site.journal.lines


@acting
def test_a_permit_that_ends_while_the_journal_is_written_is_missed(site: Site, stage: Stage, api: str) -> None:
    """A shared store may take seconds: longer than the lease has left."""

    def lost(_epoch: int, _needed_s: float) -> Reason | None:
        return refused() if site.journal.lines else None

    assert site.run(1, stage, permit=lost).fault is Fault.BARRED
    assert not site.mutations()


def test_the_permit_is_asked_for_the_longest_that_a_call_may_take(site: Site) -> None:
    asked: set[tuple[int, float]] = set()
    site.run(7, Stage.MOVE, permit=lambda epoch, needed_s: asked.add((epoch, needed_s)))
    assert asked == {(7, site.session.settings.call_s)}


def test_a_long_verification_ends_with_its_permit(site: Site) -> None:
    for stage in (Stage.FENCE, Stage.MOVE, Stage.PUBLISH):
        site.run(1, stage)

    def until_5_s(_epoch: int, _needed_s: float) -> Reason | None:
        return Reason("stopping", "the agent stops") if site.time.now() > 5 else None

    ended = site.runner(*site.steps(lambda _: (False, "no answer")), permit=until_5_s).run(intent(1), Stage.VERIFY)
    assert ended.fault is Fault.BARRED
    assert "the agent stops" in ended.sentence
    assert 5 < site.time.now() <= 5 + PACE.pause_s(Stage.VERIFY)


# --- the journal ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [StoreError("the disk is full"), StoreConflictError("epoch 1 is not open any more")])
@acting
def test_what_can_not_be_journalled_is_not_sent(site: Site, stage: Stage, api: str, error: StoreError) -> None:
    def fails(*_: str) -> None:
        raise error

    site.journal.at_line = fails
    ended = site.run(1, stage)
    assert ended.fault is Fault.UNREACHABLE
    assert ended.sentence == f"the journal can't be written: {error}"
    assert not site.mutations()


@acting
def test_an_epoch_that_the_store_has_ended_is_not_tried_again(site: Site, stage: Stage, api: str) -> None:
    def over(*_: str) -> None:
        raise EpochOverError("epoch 1 is neither open nor owed any more")

    site.journal.at_line = over
    ended = site.run(1, stage)
    assert (ended.fault, ended.found_epoch) == (Fault.CONFLICT, 0)
    assert ended.sentence == "the store ended it: epoch 1 is neither open nor owed any more"
    assert not site.mutations()


@acting
def test_a_stage_that_was_cut_off_after_its_call_is_finished_without_another(
    site: Site, stage: Stage, api: str
) -> None:
    def cut_off(_step: str, state: str) -> None:
        if state == "done":
            raise StoreError("the power went")

    site.journal.at_line = cut_off
    assert site.run(1, stage).fault is Fault.UNREACHABLE
    later = Site(site.aws, site.session, site.hands, site.seeded)
    assert later.run(1, stage).fault is None
    assert site.sent(api) == 1
    assert [state for _, _, state in later.journal.lines] == ["done"]


def test_a_switch_that_was_cut_off_between_stages_is_finished(site: Site) -> None:
    site.run(1, Stage.FENCE)
    later = Site(site.aws, site.session, site.hands, site.seeded)
    assert [later.run(1, stage).fault for stage in Stage] == [None] * 4
    assert site.mutations() == [UNASSIGN, ASSIGN, CHANGE]


def test_verifying_journals_and_sends_nothing(site: Site) -> None:
    ended = site.run(1, Stage.VERIFY)
    assert ended.fault is Fault.UNREACHABLE
    assert "AWS does not agree yet" in ended.sentence
    assert not site.mutations()
    assert not site.journal.lines


# --- time -----------------------------------------------------------------------------------------------------------


def sent_at(site: Site, api: str) -> Callable[[], list[float]]:
    """When calls were sent, on the time that the runner was given."""
    times: list[float] = []
    site.journal.at_line = lambda _step, state: times.append(site.time.now()) if state == "begun" else None
    return lambda: times


@pytest.mark.parametrize(
    ("stage", "api", "within_s"),
    [(Stage.FENCE, UNASSIGN, PACE.act_s), (Stage.MOVE, ASSIGN, PACE.move_s)],
    ids=["act", "move"],
)
def test_what_aws_does_not_show_is_sent_again_only_after_settling(
    site: Site, stage: Stage, api: str, within_s: float
) -> None:
    site.aws.lag(ec2_s=HOUR_S)
    times = sent_at(site, api)
    assert site.run(1, stage).fault is not None
    assert site.sent(api) == len(times()) == 1 + int(within_s / SETTLE_S) - (within_s % SETTLE_S == 0)
    assert all(later - earlier >= SETTLE_S for earlier, later in pairwise(times()))


def test_a_call_that_broke_off_is_sent_again_only_after_settling(site: Site) -> None:
    site.aws.fault(ASSIGN, "reset", times=2)
    times = sent_at(site, ASSIGN)
    assert site.run(1, Stage.MOVE).fault is None
    assert len(times()) == 3
    assert all(later - earlier >= SETTLE_S for earlier, later in pairwise(times()))


@pytest.mark.parametrize(
    ("stage", "within_s"),
    [(Stage.FENCE, 1.5), (Stage.MOVE, 6.0), (Stage.PUBLISH, 1.5), (Stage.VERIFY, 40.0)],
    ids=lambda value: getattr(value, "value", ""),
)
def test_a_stage_is_tried_until_its_time_is_over(site: Site, stage: Stage, within_s: float) -> None:
    site.aws.fault("*", "reset")
    pauses: list[float] = [0.0]
    site.time.at_sleep = pauses.append
    ended = site.run(1, stage, pace=Pace(act_s=1.5, move_s=6.0, verify_s=40.0))
    assert ended.fault is Fault.UNREACHABLE
    assert site.time.now() == pytest.approx(within_s)  # the last try is at the end, none is after it
    longest_s = max(later - earlier for earlier, later in pairwise(pauses))
    assert longest_s <= PACE.pause_s(stage)
    assert len(pauses) > within_s / PACE.pause_s(stage)


def test_a_change_that_stays_pending_ends_the_verification(site: Site) -> None:
    site.aws.lag(route53_s=HOUR_S)
    publish = route53.Publish(site.zone())
    steps = publish, route53.Verify(site.zone(), publish)
    assert site.runner(*steps).run(intent(1), Stage.PUBLISH).fault is None
    begun = site.time.now()
    ended = site.runner(*steps).run(intent(1), Stage.VERIFY)
    assert (ended.fault, site.time.now() - begun) == (Fault.UNREACHABLE, pytest.approx(PACE.verify_s))
    assert "PENDING" in ended.sentence
    assert site.sent(CHANGE) == 1


def test_a_change_that_arrives_is_seen(site: Site) -> None:
    site.aws.lag(route53_s=HOUR_S)
    site.time.at_sleep = lambda at_s: site.aws.lag(route53_s=0) if at_s > 30 else None
    publish = route53.Publish(site.zone())
    runner = site.runner(publish, route53.Verify(site.zone(), publish))
    assert runner.run(intent(1), Stage.PUBLISH).fault is None
    ended = runner.run(intent(1), Stage.VERIFY)
    assert ended.fault is None
    assert "INSYNC" in ended.sentence
    assert 30 < site.time.now() <= 30 + 2 * PACE.pause_s(Stage.VERIFY)


def test_chance_is_the_callers(site: Site) -> None:
    """A seeded simulation sleeps the same twice."""
    site.aws.fault("*", "reset")
    slept: list[list[float]] = []
    for _ in range(2):
        pauses: list[float] = []
        clock = {"now": site.time.now, "sleep": lambda s, to=pauses: (to.append(s), site.time.sleep(s))[0]}
        runner = type(site.runner())(
            site.steps(), site.session, site.journal, lambda *_: None, PACE, uniform=lambda _low, high: high, **clock
        )
        runner.run(intent(1), Stage.MOVE)
        slept.append(pauses)
    assert slept[0][:6] == slept[1][:6] == [0.04, 0.08, 0.16, 0.32, 0.5, 0.5]


# --- conflicts ------------------------------------------------------------------------------------------------------


def test_a_newer_epoch_ends_the_stage_with_its_number(site: Site) -> None:
    site.publish(9, "a")
    sent = site.sent(CHANGE)
    ended = site.run(3, Stage.PUBLISH)
    assert (ended.fault, ended.found_epoch) == (Fault.CONFLICT, 9)
    assert (site.sent(CHANGE), site.time.now()) == (sent, 0)


def test_who_was_stopped_past_the_deadline_hears_of_the_newer_epoch_all_the_same(site: Site) -> None:
    """Else it would look like an outage, and the answer would move to the node of the older epoch."""

    def stopped(_step: str, state: str) -> None:
        if state == "begun":
            site.publish(9, "a")
            site.time.at_s += HOUR_S

    site.journal.at_line = stopped
    ended = site.run(2, Stage.PUBLISH)
    assert (ended.fault, ended.found_epoch) == (Fault.CONFLICT, 9)
    assert site.resolved() == [(0, "10.0.1.10")]


def test_a_newer_epoch_that_comes_between_reading_and_sending_wins(site: Site) -> None:
    site.journal.at_line = lambda *_: site.publish(9, "a") if site.sent(CHANGE) == 0 else None
    ended = site.run(3, Stage.PUBLISH)
    assert (ended.fault, ended.found_epoch) == (Fault.CONFLICT, 9)
    assert site.resolved() == [(0, "10.0.1.10")]


def test_a_batch_that_met_a_change_by_hand_is_made_anew(site: Site) -> None:
    site.publish(1, "a")
    hand = iter([lambda: site.change("UPSERT", "TXT", '"epoch=2 node=a"', name=f"_edge.{NAME}")])
    site.journal.at_line = lambda *_: next(hand, lambda: None)()
    assert site.run(3, Stage.PUBLISH).fault is None
    assert [call.result for call in site.aws.calls(CHANGE)][-2:] == ["InvalidChangeBatch", "ok"]
    assert site.resolved() == [(0, "10.0.1.11")]


class Odd(Step):
    """A step that is wrong in a way that nobody thought of."""

    name, stage = "odd", Stage.MOVE

    def __init__(self, plan: Callable[[], Plan]) -> None:
        self._plan = plan

    def plan(self, intent: Intent) -> Plan:
        return self._plan()


def test_a_batch_that_route53_never_takes_is_impossible(site: Site) -> None:
    record_set = {"Name": "elsewhere.example", "Type": "A", "TTL": 0, "ResourceRecords": [{"Value": "10.0.1.10"}]}
    batch = {"Changes": [{"Action": "CREATE", "ResourceRecordSet": record_set}]}
    call = Call("route53", "change_resource_record_sets", {"HostedZoneId": site.seeded.zone_id, "ChangeBatch": batch})
    ended = site.runner(Odd(lambda: Plan("as read", (call,)))).run(intent(1), Stage.MOVE)
    assert (ended.fault, ended.found_epoch) == (Fault.IMPOSSIBLE, 0)
    assert "InvalidChangeBatch" in ended.sentence


def test_a_fault_in_this_program_ends_the_stage_too(site: Site) -> None:
    """The machine waits for the end of a stage: without one it would wait for ever."""
    ended = site.runner(Odd(lambda: {}["nothing"])).run(intent(1), Stage.MOVE)  # type: ignore[call-overload]
    assert ended.fault is Fault.IMPOSSIBLE
    assert "a fault in this program: KeyError('nothing')" in ended.sentence


def test_a_dry_run_says_what_is_missing(site: Site) -> None:
    planned = {step.name: plan for step, plan in site.runner().foresee(intent(1))}
    assert list(planned) == ["unassign", "assign", "route53", "secondary-address", "route53-insync"]
    assert [len(plan.calls) for plan in planned.values() if isinstance(plan, Plan)] == [1, 1, 1, 0, 0]
    assert not site.mutations()
    assert not site.journal.lines


def test_a_dry_run_says_exactly_what_is_then_sent(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address that the fence takes away has no holder when the move comes, though it has one now."""
    tables, settings = site.tables(2), site.quarantine()
    fence, rejoin = isolate.Isolate(site.session, settings), isolate.Rejoin(site.session, settings)
    runner = site.runner(*site.steps(), fence, rejoin, site.lay(*tables))
    found = [plan for _, plan in runner.foresee(intent(1))]
    sent: list[Call] = []
    call = site.session.call

    def heard(each: Call) -> object:
        if not each.method.startswith(("describe", "get", "list")):
            sent.append(each)
        return call(each)

    monkeypatch.setattr(site.session, "call", heard)
    for stage in Stage:
        assert runner.run(intent(1), stage).fault is None
    assert sent == [each for plan in found if isinstance(plan, Plan) for each in plan.calls]
    assert {each.parameters.get("DryRun") for each in sent} == {None, True}


def test_a_dry_run_goes_on_past_a_step_that_can_not_be_read(site: Site) -> None:
    site.aws.fault("ec2:*", "deny")
    found = {step.name: plan for step, plan in site.runner().foresee(intent(1))}
    assert isinstance(found["assign"], CloudError)
    assert isinstance(found["route53"], Plan)
    assert found["route53"].calls


def test_the_target_that_holds_the_address_is_not_fenced(site: Site) -> None:
    step = secondary_ip.Unassign(site.address())
    assert step.plan(intent(1, "a")).calls == ()
    assert len(step.plan(intent(1, "b")).calls) == 1
