"""The nodes' network interfaces, as EC2 describes them: what several kinds of switch read."""

from collections.abc import Mapping
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
