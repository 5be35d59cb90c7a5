"""The Elastic IP: a public address, bound to one node's private address.

AssociateAddress moves it from wherever it is, unless it is told not to (AWS, *AssociateAddress*). So it is told to only
where one of our nodes has it; an address that something else has is not taken. It can be repeated, but each time that
it is remapped may be charged: nothing is sent where it is right.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from edge.errors import CloudError, Fault
from edge.failover.model import Intent, Stage
from edge.switches.contract import Call, Need, Plan, Step, View
from edge.switches.session import Session

_DESCRIBE = "DescribeAddresses"


@dataclass(frozen=True, slots=True)
class Settings:
    """`interfaces` and private `addresses` by node."""

    allocation_id: str
    interfaces: Mapping[str, str]
    addresses: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Bound:
    """What has the address: an interface (None: nothing) at a private address; `node`, where both are one node's."""

    public: str
    interface: str | None
    private: str | None
    node: str | None

    def __str__(self) -> str:
        if self.interface is None:
            return f"{self.public} is bound to nothing"
        return f"{self.public} is bound to {self.node or self.interface} at {self.private}"


class Address:
    """Reads which node has the address."""

    name = "elastic_ip"

    def __init__(self, session: Session, settings: Settings) -> None:
        self._session = session
        self.settings = settings

    def view(self) -> View:
        bound = self.bound()
        return View(bound.node, 0, str(bound), strange=bound.interface is not None and bound.node is None)

    def bound(self) -> Bound:
        described = self._session.read("ec2", "describe_addresses", AllocationIds=[self.settings.allocation_id])
        [found] = described["Addresses"]
        interface, private = found.get("NetworkInterfaceId") or None, found.get("PrivateIpAddress")
        return Bound(found["PublicIp"], interface, private, self._node(interface, private))

    def _node(self, interface: str | None, private: str | None) -> str | None:
        settings = self.settings
        ours = (n for n, eni in settings.interfaces.items() if (eni, settings.addresses[n]) == (interface, private))
        return next(ours, None)


class Associate(Step):
    """Stage move: the target's private address has the Elastic IP."""

    name, stage = "associate", Stage.MOVE

    def __init__(self, address: Address, within_s: float | None = None) -> None:
        self._address = address
        self.within_s = within_s

    def needs(self) -> tuple[Need, ...]:
        settings = self._address.settings
        resources = tuple(f"network-interface/{eni}" for eni in settings.interfaces.values())
        trials = tuple(self._call(node, taken=True) for node in settings.interfaces)
        return (Need("ec2:AssociateAddress", (f"elastic-ip/{settings.allocation_id}", *resources), trials),)

    def plan(self, intent: Intent) -> Plan:
        bound, settings = self._address.bound(), self._address.settings
        if bound.node == intent.node:
            return Plan(str(bound))
        if bound.interface and bound.interface not in settings.interfaces.values():
            message = f"{bound}, which is none of our nodes: it is not taken"
            raise CloudError(_DESCRIBE, Fault.IMPOSSIBLE, message)
        return Plan(str(bound), (self._call(intent.node, taken=bound.interface is not None),))

    def _call(self, node: str, *, taken: bool) -> Call:
        settings = self._address.settings
        parameters = {
            "AllocationId": settings.allocation_id,
            "NetworkInterfaceId": settings.interfaces[node],
            "PrivateIpAddress": settings.addresses[node],
            "AllowReassociation": taken,
        }
        return Call("ec2", "associate_address", parameters)
