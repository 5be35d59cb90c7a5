"""One test for each sentence of the EC2 documentation that secondary addresses rely on."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from .emulator import Emulator, Layout, Seeded, SeededNode

HOUR_S = 3600.0
VIP = "10.0.1.100"


class Subnet:
    """Two interfaces in one subnet, the address in question on the first."""

    def __init__(self, aws: Emulator, layout: Layout) -> None:
        self.seeded: Seeded = aws.seed(layout)
        self.client = aws.client("ec2")
        self.a, self.b = self.seeded.a, self.seeded.b

    def assign(self, node: SeededNode, *addresses: str, **more: Any) -> dict[str, Any]:
        assigned: dict[str, Any] = self.client.assign_private_ip_addresses(
            NetworkInterfaceId=node.interface, PrivateIpAddresses=list(addresses), **more
        )
        return assigned

    def refused(self, node: SeededNode, *addresses: str, **more: Any) -> str:
        with pytest.raises(ClientError) as refusal:
            self.assign(node, *addresses, **more)
        return _code(refusal.value)

    def unassign_refused(self, node: SeededNode, *addresses: str) -> str:
        with pytest.raises(ClientError) as refusal:
            self.client.unassign_private_ip_addresses(
                NetworkInterfaceId=node.interface, PrivateIpAddresses=list(addresses)
            )
        return _code(refusal.value)

    def held(self) -> tuple[list[str], list[str]]:
        described = self.client.describe_network_interfaces()["NetworkInterfaces"]
        by_id = {interface["NetworkInterfaceId"]: interface for interface in described}
        return _addresses(by_id[self.a.interface]), _addresses(by_id[self.b.interface])

    def held_by_instance(self, node: SeededNode) -> list[str]:
        described = self.client.describe_instances(InstanceIds=[node.instance])
        return _addresses(described["Reservations"][0]["Instances"][0]["NetworkInterfaces"][0])


def _addresses(interface: dict[str, Any]) -> list[str]:
    return [item["PrivateIpAddress"] for item in interface["PrivateIpAddresses"]]


def _code(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])


@pytest.fixture
def subnet(aws: Emulator) -> Subnet:
    return Subnet(aws, Layout(secondary=VIP))


def test_a_reassigned_address_leaves_the_other_interface(subnet: Subnet) -> None:
    subnet.assign(subnet.b, VIP, AllowReassignment=True)
    assert subnet.held() == (["10.0.1.10"], ["10.0.1.11", VIP])


def test_an_assignment_tells_the_assigned_addresses_only(subnet: Subnet) -> None:
    assigned = subnet.assign(subnet.b, VIP, AllowReassignment=True)["AssignedPrivateIpAddresses"]
    assert assigned == [{"PrivateIpAddress": VIP}]


def test_a_held_address_does_not_move_without_allow_reassignment(subnet: Subnet) -> None:
    assert subnet.refused(subnet.b, VIP) == "InvalidParameterValue"
    assert subnet.held() == (["10.0.1.10", VIP], ["10.0.1.11"])


@pytest.mark.parametrize("address", ["10.0.1.10", "10.0.1.11"])
def test_a_primary_address_cannot_be_reassigned(subnet: Subnet, address: str) -> None:
    assert subnet.refused(subnet.b, address, AllowReassignment=True) == "InvalidParameterValue"


@pytest.mark.parametrize(
    "address", ["10.0.1.0", "10.0.1.1", "10.0.1.2", "10.0.1.3", "10.0.1.255"], ids=lambda a: f"last-{a[7:]}"
)
def test_the_first_four_addresses_and_the_last_are_reserved(subnet: Subnet, address: str) -> None:
    assert subnet.refused(subnet.b, address) == "InvalidParameterValue"


def test_an_address_must_lie_in_the_interfaces_subnet(aws: Emulator) -> None:
    two = Subnet(aws, Layout(node_b="10.0.2.10", subnets=("10.0.1.0/24", "10.0.2.0/24"), secondary=VIP))
    assert two.refused(two.b, VIP, AllowReassignment=True) == "InvalidParameterValue"
    assert two.refused(two.a, "10.0.2.100") == "InvalidParameterValue"
    assert two.held() == (["10.0.1.10", VIP], ["10.0.2.10"])


def test_nonsense_is_no_address(subnet: Subnet) -> None:
    assert subnet.refused(subnet.b, "10.0.1.300") == "InvalidParameterValue"


def test_an_assignment_fails_as_a_whole_if_one_address_cannot_be_assigned(subnet: Subnet) -> None:
    assert subnet.refused(subnet.b, "10.0.1.101", "10.0.1.255") == "InvalidParameterValue"
    assert subnet.held()[1] == ["10.0.1.11"]


@pytest.mark.parametrize("address", [VIP, "10.0.1.11"], ids=["not-held", "primary"])
def test_only_an_interfaces_own_secondary_address_can_be_unassigned(subnet: Subnet, address: str) -> None:
    assert subnet.unassign_refused(subnet.b, address) == "InvalidParameterValue"
    assert subnet.held() == (["10.0.1.10", VIP], ["10.0.1.11"])


def test_an_interface_holds_as_many_addresses_as_its_instances_type_allows(subnet: Subnet) -> None:
    subnet.assign(subnet.a, "10.0.1.101", "10.0.1.102")  # an m1.small: four
    assert subnet.refused(subnet.a, "10.0.1.103") == "PrivateIpAddressLimitExceeded"
    assert subnet.held()[0] == ["10.0.1.10", VIP, "10.0.1.101", "10.0.1.102"]


def test_describes_may_show_a_move_late(aws: Emulator, subnet: Subnet) -> None:
    aws.lag(ec2_s=HOUR_S)
    subnet.assign(subnet.b, VIP, AllowReassignment=True)
    assert subnet.held() == (["10.0.1.10", VIP], ["10.0.1.11"])
    assert subnet.held_by_instance(subnet.b) == ["10.0.1.11"]
    aws.lag(ec2_s=0)
    assert subnet.held() == (["10.0.1.10"], ["10.0.1.11", VIP])
    assert subnet.held_by_instance(subnet.b) == ["10.0.1.11", VIP]


def test_what_is_not_seen_yet_has_happened_all_the_same(aws: Emulator, subnet: Subnet) -> None:
    aws.lag(ec2_s=HOUR_S)
    subnet.assign(subnet.b, VIP, AllowReassignment=True)
    assert subnet.unassign_refused(subnet.a, VIP) == "InvalidParameterValue"


def test_the_address_filter_finds_secondary_addresses_and_compares_exactly(subnet: Subnet) -> None:
    def holders(address: str) -> list[str]:
        asked = [{"Name": "addresses.private-ip-address", "Values": [address]}]
        found = subnet.client.describe_network_interfaces(Filters=asked)["NetworkInterfaces"]
        return [interface["NetworkInterfaceId"] for interface in found]

    assert holders(VIP) == [subnet.a.interface]
    assert holders("10.0.1.1") == []
