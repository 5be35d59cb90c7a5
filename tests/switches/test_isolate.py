"""The invariant: who is left can't be reached before anything moves, and whoever it is moved to has its own groups."""

from dataclasses import replace

import pytest

from edge.errors import CloudError, Fault
from edge.failover.model import Stage
from edge.switches import isolate
from edge.switches.isolate import TAG as KEY
from edge.switches.isolate import Isolate, Rejoin
from tests.switches.site import HOUR_S, SET_GROUPS, TAG, Site, intent


def steps(site: Site, settings: isolate.Settings) -> tuple[Isolate, Rejoin]:
    return Isolate(site.session, settings), Rejoin(site.session, settings)


def test_the_node_that_is_left_gets_the_quarantine_groups_alone(site: Site) -> None:
    settings = site.quarantine()
    ended = site.run_step(Isolate(site.session, settings))
    assert ended.fault is None
    assert ended.sentence == f"{site.interfaces['a']} of a has {settings.quarantine[0]}"
    assert site.groups("a") == set(settings.quarantine)
    assert site.groups("b") != set(settings.quarantine)
    assert site.mutations() == [TAG, SET_GROUPS]


def test_a_node_that_is_isolated_is_left_alone(site: Site) -> None:
    """Another write of the tag would forget the groups that it had."""
    step = Isolate(site.session, site.quarantine())
    assert site.run_step(step).fault is None
    assert site.run_step(step, epoch=2).fault is None
    assert site.mutations() == [TAG, SET_GROUPS]


def test_a_group_that_a_person_has_added_since_is_no_way_out(site: Site) -> None:
    """Neither when the node is left again, where the tag would lose what it had, nor as the target: it is isolated."""
    settings, own, debug = site.quarantine(), site.groups("a"), site.group("debug")
    site.run_step(Isolate(site.session, settings))
    for node in ("b", "a"):
        eni, groups = site.interfaces["a"], [*settings.quarantine, debug]
        site.hands.ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, Groups=groups)
        step = (Rejoin if node == "a" else Isolate)(site.session, settings)
        assert site.run_step(step, epoch=2, node=node).fault is None
        assert site.groups("a") == (own if node == "a" else set(settings.quarantine))


def test_the_groups_come_back_with_the_next_switch_to_the_node(site: Site) -> None:
    """By an agent that knows nothing of the first switch: what was there before lies on the interface."""
    settings, own = site.quarantine(), site.groups("a")
    site.run_step(Isolate(site.session, settings))
    ended = site.run_step(Rejoin(site.session, settings), epoch=2, node="a")
    assert ended.fault is None
    assert site.groups("a") == own


def test_all_groups_come_back(site: Site) -> None:
    settings, own = site.quarantine(), {site.group("smb"), site.group("ssh"), site.group("cluster")}
    site.hands.ec2.modify_network_interface_attribute(NetworkInterfaceId=site.interfaces["a"], Groups=list(own))
    site.run_step(Isolate(site.session, settings))
    site.run_step(Rejoin(site.session, settings), epoch=2, node="a")
    assert site.groups("a") == own


def test_a_target_with_its_own_groups_is_left_alone(site: Site) -> None:
    assert site.run_step(Rejoin(site.session, site.quarantine())).fault is None
    assert not site.mutations()


def test_a_target_that_somebody_else_isolated_is_no_target(site: Site) -> None:
    settings = site.quarantine()
    eni = site.interfaces["b"]
    site.hands.ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, Groups=list(settings.quarantine))
    ended = site.run_step(Rejoin(site.session, settings))
    assert ended.fault is Fault.IMPOSSIBLE
    assert f"no tag {KEY} says which it had before: give it its own groups" in ended.sentence
    assert site.groups("b") == set(settings.quarantine)


def test_the_tag_is_there_before_the_groups_are_gone(site: Site) -> None:
    """Cut off between the two calls, nothing is lost."""
    settings, own = site.quarantine(), site.groups("a")
    site.aws.fault(SET_GROUPS, "deny", skip=1)  # the dry one passes
    assert site.run_step(Isolate(site.session, settings)).fault is Fault.DENIED
    assert site.groups("a") == own
    site.aws.clear_faults()
    assert site.run_step(Isolate(site.session, settings)).fault is None
    site.run_step(Rejoin(site.session, settings), epoch=2, node="a")
    assert site.groups("a") == own


def test_what_aws_would_refuse_is_refused_before_the_tag(site: Site) -> None:
    settings = site.quarantine()
    site.aws.fault(SET_GROUPS, "deny")
    assert site.run_step(Isolate(site.session, settings)).fault is Fault.DENIED
    assert not site.mutations()


def test_describes_that_lag_make_no_second_tag_of_the_quarantine(site: Site) -> None:
    settings, own = site.quarantine(), site.groups("a")
    site.aws.lag(ec2_s=HOUR_S)
    site.time.at_sleep = lambda at_s: site.aws.lag(ec2_s=0) if at_s > 2.5 else None
    assert site.run_step(Isolate(site.session, settings)).fault is None
    assert site.groups("a") == set(settings.quarantine)
    site.run_step(Rejoin(site.session, settings), epoch=2, node="a")
    assert site.groups("a") == own


def test_only_who_may_still_act_is_isolated(site: Site) -> None:
    """A third node is a standby: without it the next failure would find no target."""
    settings = site.quarantine()
    third = isolate.Settings(settings.quarantine, {**settings.interfaces, "c": site.interfaces["b"]})
    plan = Isolate(site.session, third).plan(replace(intent(1, "c"), outgoing=("a",)))
    assert {call.parameters.get("NetworkInterfaceId") for call in plan.calls} == {None, site.interfaces["a"]}
    nobody = Isolate(site.session, settings).plan(replace(intent(1, "a"), outgoing=()))
    assert (nobody.calls, nobody.evidence) == ((), "no node is to be isolated")


def test_a_node_that_was_terminated_needs_no_fence(site: Site) -> None:
    site.hands.ec2.terminate_instances(InstanceIds=[site.seeded.a.instance])
    site.hands.ec2.delete_network_interface(NetworkInterfaceId=site.seeded.a.interface)
    settings = site.quarantine()
    ended = site.run_step(Isolate(site.session, settings))
    assert (ended.fault, ended.sentence) == (None, "the interface of a is gone")


def test_more_groups_than_a_tag_holds_are_not_taken_away(site: Site) -> None:
    settings = site.quarantine()
    many = [site.group(f"g{number}") for number in range(16)]
    site.hands.ec2.modify_network_interface_attribute(NetworkInterfaceId=site.interfaces["a"], Groups=many)
    ended = site.run_step(Isolate(site.session, settings))
    assert ended.fault is Fault.IMPOSSIBLE
    assert "has 16 security groups, more than its tag can keep" in ended.sentence
    assert site.groups("a") == set(many)


def test_a_quarantine_group_that_is_not_there_is_found_by_the_check(site: Site) -> None:
    unknown = isolate.Settings(("sg-0123456789abcdef0",), site.interfaces)
    with pytest.raises(CloudError, match="InvalidGroup") as refused:
        Isolate(site.session, unknown).check()
    assert refused.value.fault is Fault.IMPOSSIBLE
    Isolate(site.session, site.quarantine()).check()
    assert site.run_step(Isolate(site.session, unknown)).fault is Fault.IMPOSSIBLE


def test_isolating_is_a_fence_and_rejoining_a_move(site: Site) -> None:
    fence, rejoin = steps(site, site.quarantine())
    assert (fence.stage, rejoin.stage) == (Stage.FENCE, Stage.MOVE)
