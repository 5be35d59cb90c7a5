"""The invariant: a document runs once for a switch where AWS lets it, and done is what the guest says is done."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from edge.errors import CloudError, Fault
from edge.failover.model import Cause, Reason, Stage
from edge.switches import guest
from edge.switches.guest import OUTPUT_LIMIT
from edge.switches.permissions import proof
from edge.switches.session import Session
from tests.cloud.emulator import REGION
from tests.switches.site import HOUR_S, MOVING, NAME, RELEASE, SEND, STOP, TAKE, Site, intent, signed_in

IDENTITY = "arn:aws:iam::123456789012:role/edge"
LIST = "ssm:ListCommandInvocations"


@pytest.fixture
def guests(site: Site) -> Site:
    site.documents()
    return site


def after(site: Site, at_s: float, act: Callable[[], Any]) -> None:
    """Once, when so much time has passed."""
    site.time.at_sleep = lambda now_s: act() if now_s > at_s else None


def test_the_target_takes_over(guests: Site) -> None:
    guests.aws.outcome(TAKE, output="share  is\nup\n")
    ended = guests.run_step(guests.takes(), epoch=13)
    assert ended.fault is None
    assert ended.sentence == f"{TAKE} at {guests.instances['b']} of b: Success: share is up"
    [(instance, document, given)] = guests.aws.ran()
    assert (instance, document) == (guests.instances["b"], TAKE)
    assert given == {"service": NAME, "epoch": "13", "node": "b", "address": MOVING}
    assert guests.journal.lines == [(13, "promote", "begun"), (13, "promote", "done")]


def test_the_nodes_that_may_still_act_let_go(guests: Site) -> None:
    assert guests.run_step(guests.releases()).fault is None
    assert guests.ran(RELEASE) == ["a"]
    both = replace(intent(2), outgoing=("a", "b"))
    assert guests.runner(guests.releases()).run(both, Stage.FENCE).fault is None
    assert guests.ran(RELEASE) == ["a", "a", "b"]
    nobody = guests.releases().plan(replace(intent(3), outgoing=()))
    assert (nobody.calls, nobody.pending, nobody.evidence) == ((), False, f"no node is to run {RELEASE}")


def test_a_repeated_step_sends_nothing(guests: Site) -> None:
    for _ in range(2):
        assert guests.run_step(guests.takes()).fault is None
    step = guests.takes()
    for _ in range(2):
        assert guests.run_step(step).fault is None
    assert guests.sent(SEND) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"epoch": 2},
        {"sentence": "b is asked for"},
        {"who": "kim"},
        {"cause": Cause.OPERATOR},
    ],
)
def test_another_switch_is_another_command(guests: Site, other: dict[str, Any]) -> None:
    """Of an epoch that was there before, too: a state directory that was lost begins at 1 again."""
    guests.run_step(guests.takes())
    assert guests.runner(guests.takes()).run(replace(intent(1), **other), Stage.MOVE).fault is None
    assert guests.ran(TAKE) == ["b", "b"]


def test_another_service_is_another_command(guests: Site) -> None:
    guests.run_step(guests.takes())
    guests.run_step(guests.takes(service="more.fs.corp.example"))
    assert guests.ran(TAKE) == ["b", "b"]


def test_a_command_of_long_ago_is_not_taken_for_this_one(guests: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    guests.run_step(guests.takes())
    monkeypatch.setattr(guest, "REMEMBERED", timedelta(hours=-1))  # so that the one just sent is older
    guests.run_step(guests.takes())
    assert guests.ran(TAKE) == ["b", "b"]


def test_a_long_name_leaves_room_for_what_tells_switches_apart(guests: Site) -> None:
    name = f"{'files-' * 10}.{'x' * 60}.fs.corp.example"
    for epoch in (1, 2):
        assert guests.run_step(guests.takes(service=name), epoch=epoch).fault is None
        assert guests.run_step(guests.takes(service=name), epoch=epoch).fault is None
    assert guests.sent(SEND) == 2


def test_a_document_that_takes_its_time_is_waited_for(guests: Site) -> None:
    guests.aws.lag(run_s=HOUR_S)
    after(guests, 7.0, lambda: guests.aws.lag(run_s=0))
    assert guests.run_step(guests.takes()).fault is None
    assert 7 < guests.time.now() < 10
    assert guests.sent(SEND) == 1


def test_a_document_that_takes_too_long_is_taken_up_again(guests: Site) -> None:
    guests.aws.lag(run_s=HOUR_S)
    step = guests.takes()
    ended = guests.run_step(step)
    assert ended.fault is Fault.UNREACHABLE
    assert "does not agree yet" in ended.sentence
    assert "In Progress" in ended.sentence
    guests.aws.lag(run_s=0)
    assert guests.run_step(step).fault is None
    assert guests.run_step(guests.takes()).fault is None  # another agent's
    assert guests.sent(SEND) == 1


def test_a_list_that_lags_sends_no_second_command(guests: Site) -> None:
    guests.aws.lag(ssm_s=HOUR_S)
    after(guests, 5.0, lambda: guests.aws.lag(ssm_s=0))
    assert guests.run_step(guests.takes()).fault is None
    assert guests.sent(SEND) == 1


def test_a_command_that_was_sent_and_timed_out_is_found(guests: Site, aws_impatient: Session) -> None:
    guests.aws.fault(SEND, "timeout_after", times=1)
    impatient = Site(guests.aws, aws_impatient, guests.hands, guests.seeded)
    ended = impatient.run_step(impatient.takes())
    assert ended.fault is None
    assert [call.result for call in guests.aws.calls(SEND)] == ["timeout_after"]
    assert guests.ran(TAKE) == ["b"]


@pytest.fixture
def aws_impatient(guests: Site) -> Session:
    return signed_in(guests.aws, read_timeout_s=1.0)


def test_a_list_of_several_pages_is_read_to_its_end(guests: Site) -> None:
    guests.run_step(guests.takes())
    given = {"service": ["x"], "epoch": ["1"], "node": ["b"], "address": [MOVING]}
    for _ in range(51):
        guests.hands.ssm.send_command(InstanceIds=[guests.instances["b"]], DocumentName=TAKE, Parameters=given)
    guests.aws.forget_calls()
    assert guests.run_step(guests.takes()).fault is None
    assert guests.sent(SEND) == 0
    assert guests.sent(LIST) == 2


@pytest.mark.parametrize(
    "details", ["Failed", "Execution Timed Out", "Delivery Timed Out", "Undeliverable", "Cancelled"]
)
def test_a_document_that_fails_is_told_and_run_by_the_next_try(guests: Site, details: str) -> None:
    guests.aws.outcome(TAKE, details, "the share is busy", times=1)
    step = guests.takes()
    ended = guests.run_step(step)
    assert ended.fault is Fault.IMPOSSIBLE
    assert ended.sentence.startswith(f"SendCommand: impossible: {TAKE} at {guests.instances['b']} of b: {details}")
    assert "the share is busy" in ended.sentence
    assert (guests.sent(SEND), guests.time.now() < 1) == (1, True)
    assert guests.run_step(step).fault is None
    assert guests.sent(SEND) == 2


def test_another_agent_tells_of_the_failure_and_then_tries_again(guests: Site) -> None:
    guests.aws.outcome(TAKE, "Failed", times=1)
    guests.run_step(guests.takes())
    successor = guests.takes()
    assert guests.run_step(successor).fault is Fault.IMPOSSIBLE
    assert guests.sent(SEND) == 1
    assert guests.run_step(successor).fault is None
    assert guests.run_step(guests.takes()).fault is None
    assert guests.sent(SEND) == 2


def test_a_long_output_is_cut(guests: Site) -> None:
    guests.aws.outcome(TAKE, output="y" * 2 * OUTPUT_LIMIT)
    assert guests.run_step(guests.takes()).sentence.count("y") == OUTPUT_LIMIT


def test_a_guest_that_knows_a_newer_epoch_ends_the_switch(guests: Site) -> None:
    guests.aws.outcome(TAKE, "Failed", "edge: epoch 14 is newer than 13")
    ended = guests.run_step(guests.takes(), epoch=13)
    assert (ended.fault, ended.found_epoch) == (Fault.CONFLICT, 14)
    optional = guests.releases(required=False)
    guests.aws.outcome(RELEASE, "Failed", "edge: epoch 15 is newer than 14")
    ended = guests.run_step(optional, epoch=14)
    assert (ended.fault, ended.found_epoch) == (Fault.CONFLICT, 15)


# --- agents and instances ---------------------------------------------------------------------------------------------


def test_an_instance_that_is_not_managed_is_refused(site: Site) -> None:
    ended = site.run_step(site.takes())
    assert ended.fault is Fault.IMPOSSIBLE
    assert f"{site.instances['b']} of b is not managed by Systems Manager" in ended.sentence
    assert not site.mutations()


def test_an_agent_that_is_not_online_is_waited_for(guests: Site) -> None:
    b = guests.instances["b"]
    guests.aws.agent(b, ping="ConnectionLost")
    ended = guests.run_step(guests.takes())
    assert ended.fault is Fault.UNREACHABLE
    assert f"the SSM agent of {b} of b is not online: ConnectionLost" in ended.sentence
    assert not guests.mutations()
    guests.time.at_s = 0
    after(guests, 5.0, lambda: guests.aws.agent(b))
    assert guests.run_step(guests.takes()).fault is None


def test_a_document_is_for_one_system(guests: Site) -> None:
    guests.aws.agent(guests.instances["b"], platform="Windows")
    ended = guests.run_step(guests.takes(platform="Linux"))
    assert ended.fault is Fault.IMPOSSIBLE
    assert f"{guests.instances['b']} of b runs Windows, and {TAKE} is for Linux" in ended.sentence
    assert guests.run_step(guests.releases(platform="Linux")).fault is None


@pytest.mark.parametrize("state", ["stopped", "terminated"])
def test_a_node_that_is_down_has_let_go(guests: Site, state: str) -> None:
    ids = [guests.instances["a"]]
    {"stopped": guests.hands.ec2.stop_instances, "terminated": guests.hands.ec2.terminate_instances}[state](
        InstanceIds=ids
    )
    ended = guests.run_step(guests.releases())
    assert (ended.fault, ended.sentence) == (None, f"{ids[0]} of a is {state}")
    assert guests.sent(SEND) == 0


def test_a_target_that_is_down_has_taken_nothing(guests: Site) -> None:
    guests.hands.ec2.stop_instances(InstanceIds=[guests.instances["b"]])
    assert guests.run_step(guests.takes()).fault is Fault.IMPOSSIBLE


def test_a_node_that_runs_without_an_agent_has_not_let_go(site: Site) -> None:
    ended = site.run_step(site.releases())
    assert ended.fault is Fault.IMPOSSIBLE
    assert "is not managed" in ended.sentence


def test_a_node_that_is_stopped_while_a_command_is_on_its_way_has_let_go(guests: Site) -> None:
    guests.aws.lag(delivery_s=HOUR_S)
    step = guests.releases()
    assert guests.run_step(step).fault is Fault.UNREACHABLE
    guests.hands.ec2.stop_instances(InstanceIds=[guests.instances["a"]])
    told = guests.run_step(step)
    assert (told.fault, "Undeliverable" in told.sentence) == (Fault.IMPOSSIBLE, True)
    assert guests.run_step(step).sentence.endswith("is stopped")
    assert guests.ran(RELEASE) == []


def test_a_demotion_that_is_no_fence_is_passed_over_and_told(site: Site) -> None:
    """The fence beside it is what holds."""
    ended = site.runner(site.releases(required=False), site.stops()).run(intent(1), Stage.FENCE)
    assert ended.fault is None
    assert ended.sentence.startswith("demote is passed over: DescribeInstanceInformation: impossible: ")
    assert ended.sentence.endswith(f"{site.instances['a']} of a is stopped")
    assert site.mutations() == [STOP]


def test_a_lost_agent_is_not_waited_for_where_it_may_be_passed_over(guests: Site) -> None:
    guests.aws.agent(guests.instances["a"], ping="ConnectionLost")
    ended = guests.run_step(guests.releases(required=False))
    assert (ended.fault, guests.time.now()) == (None, 0)
    assert "is passed over" in ended.sentence


def test_a_demotion_is_not_passed_over_where_nobody_may_act(guests: Site) -> None:
    barred = guests.runner(guests.releases(required=False), permit=lambda *_: Reason("lease", "it is gone"))
    assert barred.run(intent(1), Stage.FENCE).fault is Fault.BARRED
    assert not guests.mutations()


# --- the check --------------------------------------------------------------------------------------------------------


def test_the_check_finds_what_a_switch_would_stumble_over(guests: Site) -> None:
    assert guests.takes().check() == f"{TAKE} is there, and the SSM agents of a and b are online"
    with pytest.raises(CloudError, match="InvalidDocument"):
        guests.takes(document="Files-Drop").check()
    more = {node: {"address": MOVING, "mode": "x", "lun": "1"} for node in guests.instances}
    with pytest.raises(CloudError, match=f"{TAKE} has no parameter lun, mode, which it is given"):
        guests.takes(given=more).check()
    guests.aws.agent(guests.instances["a"], ping="ConnectionLost")
    with pytest.raises(CloudError, match="of a is not online"):
        guests.takes().check()
    assert not guests.mutations()


def test_the_check_refuses_instances_that_are_not_managed(site: Site) -> None:
    with pytest.raises(CloudError, match="of a is not managed by Systems Manager"):
        site.takes().check()


def test_iam_is_asked_about_the_document_and_the_instances(guests: Site) -> None:
    [need] = guests.takes().needs()
    assert need.action == SEND
    assert proof(guests.session, need, IDENTITY).allowed is True
    guests.aws.fault(SEND, "deny")
    denied = proof(guests.session, need, IDENTITY)
    document = f"arn:aws:ssm:{REGION}:123456789012:document/{TAKE}"
    ends = [f"arn:aws:ec2:{REGION}:123456789012:instance/{instance}" for instance in guests.instances.values()]
    assert (denied.allowed, denied.said) == (False, f"IAM would refuse {IDENTITY} on {', '.join([document, *ends])}")


def test_a_rehearsal_says_what_would_run_and_runs_nothing(guests: Site) -> None:
    said = guests.runner(guests.releases(), guests.takes()).rehearse(intent(1))
    assert said == "demote, promote"
    assert not guests.mutations()
