"""The invariant: the address is bound to one of our nodes' own addresses, and never taken from anybody else."""

import pytest

from edge.errors import CloudError, Fault
from edge.switches import elastic_ip
from edge.switches.elastic_ip import Associate
from tests.switches.site import ASSOCIATE, MOVING, Site, intent


def test_the_address_is_bound_to_the_targets_own_address(site: Site) -> None:
    eip = site.allocated()
    ended = site.run_step(Associate(site.elastic(eip)))
    assert ended.fault is None
    assert site.bound(eip) == (site.seeded.b.interface, site.seeded.b.address)
    assert site.mutations() == [ASSOCIATE]
    assert ended.sentence.endswith("is bound to b at 10.0.1.11")


def test_a_nodes_own_address_need_not_be_its_first(site: Site) -> None:
    eip, b = site.allocated(), site.seeded.b.interface
    site.hands.ec2.assign_private_ip_addresses(NetworkInterfaceId=b, PrivateIpAddresses=["10.0.1.77"])
    settings = elastic_ip.Settings(eip, site.interfaces, {"a": "10.0.1.10", "b": "10.0.1.77"})
    assert site.run_step(Associate(elastic_ip.Address(site.session, settings))).fault is None
    assert site.bound(eip) == (b, "10.0.1.77")


def test_where_it_is_right_nothing_is_sent(site: Site) -> None:
    """Each remapping may be charged."""
    eip = site.allocated()
    assert site.run_step(Associate(site.elastic(eip)), node="a").fault is None
    assert not site.mutations()


@pytest.mark.parametrize(("at", "allowed"), [("a", True), (None, False)])
def test_it_may_be_taken_from_our_nodes_only(site: Site, at: str | None, allowed: bool) -> None:
    [call] = Associate(site.elastic(site.allocated(at))).plan(intent(1)).calls
    assert call.parameters["AllowReassociation"] is allowed


def test_who_has_bound_it_meanwhile_keeps_it(site: Site) -> None:
    """It was free when it was read; AWS itself then refuses, and the next reading says why."""
    eip, eni = site.allocated(None), stranger(site)
    hand = iter([lambda: site.hands.ec2.associate_address(AllocationId=eip, NetworkInterfaceId=eni)])
    site.journal.at_line = lambda *_: next(hand, lambda: None)()
    ended = site.run_step(Associate(site.elastic(eip)))
    assert ended.fault is Fault.IMPOSSIBLE
    assert "none of our nodes" in ended.sentence
    assert [call.result for call in site.aws.calls(ASSOCIATE)] == ["ok", "Resource.AlreadyAssociated"]
    assert site.bound(eip)[0] == eni


def test_a_strangers_address_is_not_taken(site: Site) -> None:
    eip, eni = site.allocated(None), stranger(site)
    site.hands.ec2.associate_address(AllocationId=eip, NetworkInterfaceId=eni)
    site.aws.forget_calls()
    ended = site.run_step(Associate(site.elastic(eip)))
    assert ended.fault is Fault.IMPOSSIBLE
    assert "none of our nodes" in ended.sentence
    assert not site.mutations()
    assert site.elastic(eip).view().strange


def stranger(site: Site) -> str:
    made = site.hands.ec2.create_network_interface(SubnetId=site.seeded.a.subnet, PrivateIpAddress="10.0.1.50")
    return str(made["NetworkInterface"]["NetworkInterfaceId"])


def test_the_view_is_the_node_that_has_it(site: Site) -> None:
    eip = site.allocated()
    view = site.elastic(eip).view()
    assert (view.node, view.strange, view.evidence.partition(" ")[2]) == ("a", False, "is bound to a at 10.0.1.10")
    free = site.elastic(site.allocated(None)).view()
    assert (free.node, free.strange, free.evidence.partition(" ")[2]) == (None, False, "is bound to nothing")


def test_another_address_of_a_node_is_not_its_own(site: Site) -> None:
    """It would leave with the secondary address."""
    eip = site.allocated(None)
    site.hands.ec2.associate_address(
        AllocationId=eip, NetworkInterfaceId=site.seeded.a.interface, PrivateIpAddress=MOVING
    )
    assert site.elastic(eip).view().strange
    assert site.run_step(Associate(site.elastic(eip)), node="a").fault is None
    assert site.bound(eip) == (site.seeded.a.interface, site.seeded.a.address)


def test_an_allocation_that_is_not_there_is_told(site: Site) -> None:
    with pytest.raises(CloudError, match="InvalidAllocationID") as refused:
        site.elastic("eipalloc-0123456789abcdef0").view()
    assert refused.value.fault is Fault.IMPOSSIBLE


def test_reading_writes_nothing(site: Site) -> None:
    eip = site.allocated()
    site.elastic(eip).view()
    list(site.runner(Associate(site.elastic(eip))).foresee(intent(1)))
    assert not site.mutations()
