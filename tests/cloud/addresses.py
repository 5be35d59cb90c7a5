"""EC2's secondary addresses as its API reference describes them, where moto differs.

An address has one holder, and lives in its holder's subnet.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any, cast

from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.exceptions import EC2ClientError, InvalidParameterValue
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.ec2.responses import EC2Response

ADDRESS_FILTERS = ("addresses.private-ip-address", "private-ip-address")


def held(interface: NetworkInterface) -> list[str]:
    return [str(item["PrivateIpAddress"]) for item in interface.private_ip_addresses]


def take(interface: NetworkInterface, address: str) -> None:
    others = [item for item in interface.private_ip_addresses if item["PrivateIpAddress"] != address]
    interface.private_ip_addresses = others


def give(interface: NetworkInterface, address: str) -> None:
    if address not in held(interface):
        interface.private_ip_addresses = [
            *interface.private_ip_addresses,
            {"Primary": False, "PrivateIpAddress": address},
        ]


# "You must choose a secondary IPv4 address from the IPv4 CIDR block range of the subnet for the network
# interface." (EC2 user guide, Multiple IP addresses)
# "The first four IP addresses and the last IP address in each subnet CIDR block are not available for your
# use." (VPC user guide, Subnet CIDR blocks)
def refuse_outside(interface: NetworkInterface, address: str) -> None:
    cidr = interface.subnet.cidr
    try:
        offset = int(IPv4Address(address)) - int(cidr.network_address)
    except ValueError:
        raise InvalidParameterValue(f"invalid value for parameter address: {address}") from None
    if not 0 <= offset < cidr.num_addresses:
        raise InvalidParameterValue(f"Address {address} does not fall within the subnet's address range")
    if offset < 4 or offset == cidr.num_addresses - 1:
        raise InvalidParameterValue(f"Address {address} is in subnet's reserved address range")


# "Unlike primary private IP addresses, secondary private IP addresses can be reassigned from one instance to
# another." (EC2 user guide, Instance IP addressing)
# "AllowReassignment: Indicates whether to allow an IP address that is already assigned to another network
# interface or instance to be reassigned to the specified network interface." (API_AssignPrivateIpAddresses)
def refuse_held(holder: NetworkInterface, to: NetworkInterface, address: str, *, may_move: bool) -> None:
    if address == holder.private_ip_address:
        raise InvalidParameterValue(f"[{address}] is the primary address of {holder.id}")
    if holder.id != to.id and not may_move:
        raise InvalidParameterValue(f"[{address}] assigned, but move is not allowed.")


class LimitExceededError(EC2ClientError):
    def __init__(self, interface: NetworkInterface, limit: int) -> None:
        message = f"Number of private addresses will exceed limit: {interface.id} of its type may have {limit}"
        super().__init__("PrivateIpAddressLimitExceeded", message)


# "The number of secondary IP addresses that you can assign to an instance varies by instance type."
# (API_AssignPrivateIpAddresses) "PrivateIpAddressLimitExceeded: You've reached the limit on the number of private IP
# addresses that you can assign to the specified network interface for that type of instance." (EC2 API, Error codes)
def refuse_too_many(interface: NetworkInterface, addresses: list[str]) -> None:
    if interface.instance is None:
        return
    limit = INSTANCE_TYPES[interface.instance.instance_type]["NetworkInfo"]["Ipv4AddressesPerInterface"]
    if len({*held(interface), *addresses}) > limit:
        raise LimitExceededError(interface, limit)


class Addresses(EC2Response):
    # "When assigning multiple IP addresses to a network interface using the command line tools or API, the
    # entire operation fails if one of the IP addresses can't be assigned." (EC2 user guide, Multiple IP
    # addresses)
    def assign_private_ip_addresses(self) -> ActionResult:
        addresses = self._get_param("PrivateIpAddresses", [])
        if not addresses:  # by count: moto picks them
            return super().assign_private_ip_addresses()
        to = self.ec2_backend.get_network_interface(self._get_param("NetworkInterfaceId"))
        for address in addresses:
            self._refuse(to, address)
        refuse_too_many(to, addresses)
        for address in addresses:
            self._move(to, address)
        assigned = [{"PrivateIpAddress": address} for address in addresses]
        return ActionResult({"NetworkInterfaceId": to.id, "AssignedPrivateIpAddresses": assigned})

    def _refuse(self, to: NetworkInterface, address: str) -> None:
        refuse_outside(to, address)
        may_move = self._get_bool_param("AllowReassignment", False)
        for holder in self._holders(to, address):
            refuse_held(holder, to, address, may_move=bool(may_move))

    def _move(self, to: NetworkInterface, address: str) -> None:
        for holder in self._holders(to, address):
            if holder.id != to.id:
                take(holder, address)
        give(to, address)

    # "return: Is true if the request succeeds, and an error otherwise." (API_UnassignPrivateIpAddresses)
    def unassign_private_ip_addresses(self) -> ActionResult:
        addresses = self._get_param("PrivateIpAddresses", [])
        interface = self.ec2_backend.get_network_interface(self._get_param("NetworkInterfaceId"))
        secondary = set(held(interface)) - {interface.private_ip_address}
        if not secondary.issuperset(addresses):
            raise InvalidParameterValue(f"Some of the specified addresses are not assigned to interface {interface.id}")
        for address in addresses:
            take(interface, address)
        return EmptyResult()

    # "addresses.private-ip-address - The private IPv4 addresses associated with the network interface."
    # (API_DescribeNetworkInterfaces.) moto looks at the primary one only.
    def describe_network_interfaces(self) -> ActionResult:
        wanted = self._asked_addresses()
        found = cast("dict[str, Any]", super().describe_network_interfaces().result)["NetworkInterfaces"]
        seen = [eni for eni in found if all(set(held(eni)) & addresses for addresses in wanted)]
        return ActionResult({"NetworkInterfaces": seen})

    def _asked_addresses(self) -> list[set[str]]:
        filters = super()._filters_from_querystring()
        return [set(filters[name]) for name in ADDRESS_FILTERS if name in filters]

    def _filters_from_querystring(self) -> dict[str, str]:
        filters = super()._filters_from_querystring()
        return {name: values for name, values in filters.items() if name not in ADDRESS_FILTERS}

    def _interfaces(self) -> list[NetworkInterface]:
        return list(self.ec2_backend.enis.values())

    def _holders(self, to: NetworkInterface, address: str) -> list[NetworkInterface]:
        """Those of the same VPC: two VPCs may have the same addresses."""
        return [eni for eni in self._interfaces() if eni.vpc_id == to.vpc_id and address in held(eni)]
