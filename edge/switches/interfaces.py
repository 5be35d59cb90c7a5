"""The nodes' network interfaces, as EC2 describes them: what several kinds of switch read."""

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from edge.errors import CloudError, Fault
from edge.switches.session import Session

DESCRIBE = "DescribeNetworkInterfaces"


def described(session: Session, interfaces: Mapping[str, str]) -> dict[str, Mapping[str, Any]]:
    """By node. One that is gone, with its instance, is missing: asked for by its id it would be an error."""
    wanted = {"Name": "network-interface-id", "Values": list(interfaces.values())}
    found = session.read("ec2", "describe_network_interfaces", Filters=[wanted])
    by_id = {each["NetworkInterfaceId"]: each for each in found["NetworkInterfaces"]}
    return {node: by_id[eni] for node, eni in interfaces.items() if eni in by_id}


def there(session: Session, interfaces: Mapping[str, str], node: str) -> Mapping[str, Any]:
    """One node's, which has to be there."""
    found = described(session, {node: interfaces[node]})
    if node not in found:
        raise CloudError(DESCRIBE, Fault.IMPOSSIBLE, f"{interfaces[node]} of {node} is gone")
    return found[node]


def unfit(message: str) -> CloudError:
    return CloudError(DESCRIBE, Fault.IMPOSSIBLE, message)


def outside(address: str, cidr: str) -> str | None:
    """Why a subnet of this range can't have the address. "The first four IP addresses and the last IP address in each
    subnet CIDR block are not available for your use" (VPC user guide, *Subnet CIDR blocks*).
    """
    subnet, own = ip_network(cidr), ip_address(address)
    if own not in subnet:
        return f"is not in the subnet's range {cidr}"
    place = int(own) - int(subnet.network_address)
    return f"is reserved in {cidr}" if place < 4 or own == subnet.broadcast_address else None


def room(session: Session, found: Mapping[str, Mapping[str, Any]], address: str) -> str:
    """How full the nodes' interfaces are. Raises CloudError where one without the address could not have it too: the
    number of addresses is limited by instance type (EC2 user guide, *IP addresses per network interface*).
    """
    types = _types(session, {node: _instance(node, interface) for node, interface in found.items()})
    described = session.read("ec2", "describe_instance_types", InstanceTypes=sorted(set(types.values())))
    networks = {str(each["InstanceType"]): each["NetworkInfo"] for each in described["InstanceTypes"]}
    limits = {kind: int(network["Ipv4AddressesPerInterface"]) for kind, network in networks.items()}
    return ", ".join(_fill(node, found[node], address, kind, limits[kind]) for node, kind in types.items())


def _instance(node: str, interface: Mapping[str, Any]) -> str:
    attached = interface.get("Attachment", {}).get("InstanceId")
    if not attached:
        raise unfit(f"{interface['NetworkInterfaceId']} of {node} is attached to no instance")
    return str(attached)


def _types(session: Session, instances: Mapping[str, str]) -> dict[str, str]:
    described = session.read("ec2", "describe_instances", InstanceIds=sorted(set(instances.values())))
    found = [instance for each in described["Reservations"] for instance in each["Instances"]]
    types = {str(instance["InstanceId"]): str(instance["InstanceType"]) for instance in found}
    return {node: types[instance] for node, instance in instances.items()}


def _fill(node: str, interface: Mapping[str, Any], address: str, kind: str, limit: int) -> str:
    has = {str(each["PrivateIpAddress"]) for each in interface["PrivateIpAddresses"]}
    said = f"{interface['NetworkInterfaceId']} of {node} has {len(has)} of the {limit} addresses of a {kind}"
    if address not in has and len(has) >= limit:
        raise unfit(f"{said}: none is left for {address}")
    return said
