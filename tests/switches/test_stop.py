"""The invariant: the fence holds when EC2 shows the instance down, whatever the call has said."""

from dataclasses import replace

from edge.errors import Fault
from tests.switches.site import HOUR_S, STOP, Site, intent


def test_the_instance_is_stopped_by_force(site: Site) -> None:
    ended = site.run_step(site.stops())
    assert ended.fault is None
    assert ended.sentence == f"{site.seeded.a.instance} of a is stopped"
    [call] = site.aws.calls(STOP)
    assert call.parameters == {"InstanceIds": [site.seeded.a.instance], "Force": True}
    assert (site.state("a"), site.state("b")) == ("stopped", "running")


def test_the_guests_shutdown_can_be_left_out(site: Site) -> None:
    [call] = site.stops(skip_os_shutdown=True).plan(intent(1)).calls
    assert call.parameters["SkipOsShutdown"] is True


def test_an_instance_that_is_stopping_is_not_fenced_yet(site: Site) -> None:
    site.aws.lag(stop_s=HOUR_S)
    ended = site.run_step(site.stops())
    assert ended.fault is Fault.UNREACHABLE
    assert f"does not agree yet: {site.seeded.a.instance} of a is stopping" in ended.sentence
    assert site.sent(STOP) == 1


def test_a_stop_that_takes_its_time_is_waited_for(site: Site) -> None:
    site.aws.lag(stop_s=HOUR_S)
    site.time.at_sleep = lambda at_s: site.aws.lag(stop_s=0) if at_s > 40 else None
    step = site.stops()
    step.within_s = 60.0
    assert site.run_step(step).fault is None
    assert 40 < site.time.now() < 60
    assert site.sent(STOP) == 1


def test_an_instance_whose_host_is_ill_is_stopped(site: Site) -> None:
    """It hangs in stopping for ever, unless it is forced."""
    site.aws.impair(site.seeded.a.instance)
    assert site.run_step(site.stops()).fault is None


def test_where_it_is_stopped_nothing_is_sent(site: Site) -> None:
    site.hands.ec2.stop_instances(InstanceIds=[site.seeded.a.instance])
    site.aws.forget_calls()
    assert site.run_step(site.stops()).fault is None
    assert not site.mutations()


def test_a_terminated_instance_is_down(site: Site) -> None:
    site.hands.ec2.terminate_instances(InstanceIds=[site.seeded.a.instance])
    assert site.run_step(site.stops()).sentence.endswith("is terminated")


def test_an_instance_that_ec2_does_not_know_proves_nothing(site: Site) -> None:
    unknown = site.stops()
    unknown._settings = replace(unknown._settings, instances={"a": "i-0123456789abcdef0"})
    ended = site.run_step(unknown)
    assert ended.fault is Fault.IMPOSSIBLE
    assert "InvalidInstanceID.NotFound" in ended.sentence


def test_only_who_may_still_act_is_stopped(site: Site) -> None:
    nobody = site.stops().plan(replace(intent(1, "a"), outgoing=()))
    assert (nobody.calls, nobody.pending) == ((), False)
    [call] = site.stops().plan(intent(1)).calls
    assert call.parameters["InstanceIds"] == [site.seeded.a.instance]


def test_an_instance_that_may_not_be_stopped_is_told(site: Site) -> None:
    instance = site.seeded.a.instance
    site.hands.ec2.modify_instance_attribute(InstanceId=instance, DisableApiStop={"Value": True})
    ended = site.run_step(site.stops())
    assert ended.fault is Fault.IMPOSSIBLE
    assert "OperationNotPermitted" in ended.sentence


def test_a_reading_that_lags_is_read_again(site: Site) -> None:
    site.aws.fault("ec2:DescribeInstances", "stale", times=1, skip=1)
    assert site.run_step(site.stops()).fault is None
    assert site.state("a") == "stopped"
