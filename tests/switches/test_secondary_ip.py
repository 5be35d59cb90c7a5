"""The invariant: the address is on one interface or on none, and in the end on the target's."""

from typing import Any

import pytest

from edge.errors import CloudError, Fault
from edge.failover.model import Stage
from edge.switches import secondary_ip
from edge.switches.contract import Plan, Verify
from edge.switches.session import Session
from tests.cloud.emulator import Emulator
from tests.switches.site import ASSIGN, HOUR_S, MOVING, UNASSIGN, Hands, Site, furnish, intent


def wanted(plan: Plan) -> dict[str, Any]:
    [call] = plan.calls
    return dict(call.parameters)


def test_the_address_leaves_one_node_and_comes_to_the_other(site: Site) -> None:
    assert site.holders() == [site.seeded.a.interface]
    assert site.run(1, Stage.FENCE).fault is None
    assert site.holders() == []
    assert site.run(1, Stage.MOVE).fault is None
    assert site.holders() == [site.seeded.b.interface]
    assert site.mutations() == [UNASSIGN, ASSIGN]


def test_without_a_fence_the_address_is_taken_over(site: Site) -> None:
    plan = secondary_ip.Assign(site.address()).plan(intent(1))
    assert wanted(plan)["AllowReassignment"] is True
    assert site.run(1, Stage.MOVE).fault is None
    assert site.holders() == [site.seeded.b.interface]


def test_an_address_that_nobody_holds_is_not_taken_from_anybody(site: Site) -> None:
    site.run(1, Stage.FENCE)
    assert wanted(secondary_ip.Assign(site.address()).plan(intent(1)))["AllowReassignment"] is False


@pytest.mark.parametrize("stage", [Stage.FENCE, Stage.MOVE])
def test_where_the_target_holds_it_there_is_nothing_to_do(site: Site, stage: Stage) -> None:
    assert site.run(1, stage, "a").fault is None
    assert not site.mutations()


def test_reading_writes_nothing(site: Site) -> None:
    site.address().view()
    list(site.runner().foresee(intent(1)))
    assert not site.mutations()


def test_the_view_is_the_node_that_holds_it(site: Site) -> None:
    assert (site.address().view().node, site.address().view().evidence) == ("a", f"{MOVING} is on a")
    site.run(1, Stage.FENCE)
    assert (site.address().view().node, site.address().view().strange) == (None, False)
    assert site.address().view().evidence == f"{MOVING} is on no interface"
    site.run(1, Stage.MOVE)
    assert site.address().view().node == "b"


def test_a_primary_address_is_never_moved(site: Site) -> None:
    address = site.address(site.seeded.a.address)
    for read in (address.view, lambda: secondary_ip.Unassign(address).plan(intent(1))):
        with pytest.raises(CloudError, match="is a primary address: it can't move") as refused:
            read()
        assert refused.value.fault is Fault.IMPOSSIBLE


def test_addresses_are_compared_whole(aws: Emulator, shared: Session, hands: Hands) -> None:
    """10.0.1.10 is not held by who holds 10.0.1.100."""
    site = furnish(aws, shared, hands, node_a="10.0.1.20", node_b="10.0.1.21")
    assert site.address("10.0.1.10").holders() == ()
    assert site.address(MOVING).holders() == ("a",)


def test_a_strangers_address_is_not_taken(site: Site) -> None:
    subnet = site.seeded.a.subnet
    stranger = site.hands.ec2.create_network_interface(SubnetId=subnet, PrivateIpAddress="10.0.1.50")
    eni = stranger["NetworkInterface"]["NetworkInterfaceId"]
    site.hands.ec2.assign_private_ip_addresses(
        NetworkInterfaceId=eni, PrivateIpAddresses=[MOVING], AllowReassignment=True
    )
    ended = site.run(1, Stage.MOVE)
    assert ended.fault is Fault.IMPOSSIBLE
    assert "move is not allowed" in ended.sentence
    assert site.holders() == [eni]


def test_an_address_outside_the_targets_subnet_can_not_move(site: Site) -> None:
    address = site.address("10.0.7.7")
    ended = site.runner(secondary_ip.Assign(address)).run(intent(1), Stage.MOVE)
    assert ended.fault is Fault.IMPOSSIBLE
    assert "subnet" in ended.sentence


def test_a_node_that_was_terminated_hinders_nobody(site: Site) -> None:
    """Its interface is deleted with it; asked for by id, the whole describe once failed."""
    gone = site.seeded.a.interface
    site.hands.ec2.terminate_instances(InstanceIds=[site.seeded.a.instance])
    site.hands.ec2.delete_network_interface(NetworkInterfaceId=gone)
    assert site.address().view().node is None
    assert site.run(1, Stage.FENCE).fault is None
    assert site.run(1, Stage.MOVE).fault is None
    assert site.holders() == [site.seeded.b.interface]
    back = site.run(2, Stage.MOVE, "a")
    assert back.fault is Fault.IMPOSSIBLE
    assert "InvalidNetworkInterfaceID.NotFound" in back.sentence


def test_a_move_is_done_when_a_describe_shows_it(site: Site) -> None:
    """And is not sent again while the describes are late."""
    site.aws.lag(ec2_s=HOUR_S)
    site.time.at_sleep = lambda at_s: site.aws.lag(ec2_s=0) if at_s > 1.0 else None
    ended = site.run(1, Stage.MOVE)
    assert ended.fault is None
    assert ended.sentence == f"{MOVING} is on b"
    assert site.time.now() > 1.0
    assert site.sent(ASSIGN) == 1


def test_a_fence_that_the_describes_show_too_late_is_no_error(site: Site) -> None:
    """Past the settling time it is sent again, and EC2 refuses: the address is not there. That is to be read again."""
    site.aws.lag(ec2_s=HOUR_S)
    site.time.at_sleep = lambda at_s: site.aws.lag(ec2_s=0) if at_s > 2.5 else None
    assert site.run(1, Stage.FENCE).fault is None
    assert [call.result for call in site.aws.calls(UNASSIGN)] == ["ok", "InvalidParameterValue"]
    assert site.holders() == []


@pytest.mark.parametrize("serves", [True, False])
def test_a_move_is_verified_through_the_address(site: Site, serves: bool) -> None:
    probed: list[str] = []

    def reached(address: str) -> tuple[bool, str]:
        probed.append(address)
        return serves, "SMB2 NEGOTIATE answered" if serves else "no answer within 500 ms"

    site.run(1, Stage.MOVE)
    verify = Verify("secondary-address", secondary_ip.Assign(site.address()), MOVING, reached)
    plan = verify.plan(intent(1))
    assert (plan.calls, plan.pending, probed) == ((), not serves, [MOVING])
    assert ("SMB2 NEGOTIATE answered" in plan.evidence) is serves


def test_an_address_that_is_elsewhere_is_not_probed(site: Site) -> None:
    def reached(_address: str) -> tuple[bool, str]:
        raise AssertionError("it would prove the wrong node")

    verify = Verify("secondary-address", secondary_ip.Assign(site.address()), MOVING, reached)
    assert verify.plan(intent(1)).calls


def test_at_no_time_do_two_interfaces_hold_it(site: Site) -> None:
    site.journal.at_line = lambda *_: check(site)
    for epoch, node in enumerate("babba", 1):
        for stage in (Stage.FENCE, Stage.MOVE) if epoch % 2 else (Stage.MOVE,):
            assert site.run(epoch, stage, node).fault is None
            check(site)
        assert site.address().holders() == (node,)


def check(site: Site) -> None:
    assert len(site.holders()) <= 1
