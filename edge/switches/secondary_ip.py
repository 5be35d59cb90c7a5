"""The secondary private address: it leaves one node's network interface and is assigned to the other's, in one subnet.

AssignPrivateIpAddresses is asynchronous, has no client token, and with AllowReassignment takes the address from
whichever interface holds it (AWS, *AssignPrivateIpAddresses*). So each step reads who holds the address first, and is
done only when a describe shows it where it belongs and nowhere else, and, to verify, when a probe through the address
is answered: the guest has to carry it too. EC2 has no compare-and-set; the lease, and the holder of the newest epoch,
are what keeps an old agent out (docs/design.md).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge.errors import CloudError, Fault
from edge.failover.model import Intent, Stage
from edge.switches import interfaces
from edge.switches.contract import Call, Need, Plan, Step, View
from edge.switches.session import Session


@dataclass(frozen=True, slots=True)
class Settings:
    """`interfaces`: the network interface (eni-...) of each node."""

    address: str
    interfaces: Mapping[str, str]


class Address:
    """Reads which nodes' interfaces hold the address."""

    name = "secondary_ip"

    def __init__(self, session: Session, settings: Settings) -> None:
        self._session = session
        self.settings = settings

    def view(self) -> View:
        holders = self.holders()
        return View(holders[0] if len(holders) == 1 else None, 0, self.said(holders), strange=len(holders) > 1)

    def holders(self) -> tuple[str, ...]:
        described = interfaces.described(self._session, self.settings.interfaces)
        return tuple(node for node, interface in described.items() if self._holds(interface))

    def _holds(self, interface: Mapping[str, Any]) -> bool:
        """Addresses are compared whole: 10.0.1.1 is not a part of 10.0.1.10."""
        for each in interface["PrivateIpAddresses"]:
            if each["PrivateIpAddress"] == self.settings.address:
                if each.get("Primary"):
                    message = f"{self.settings.address} is a primary address: it can't move"
                    raise CloudError(interfaces.DESCRIBE, Fault.IMPOSSIBLE, message)
                return True
        return False

    def need(self, api: str) -> Need:
        return Need(f"ec2:{api}", tuple(f"network-interface/{eni}" for eni in self.settings.interfaces.values()))

    def check(self) -> str:
        """Whether either interface can have it: one subnet, whose range it lies in, unreserved, and room for it."""
        own, address = self.settings.interfaces, self.settings.address
        found = {node: interfaces.there(self._session, own, node) for node in own}
        subnets = {str(interface["SubnetId"]) for interface in found.values()}
        if len(subnets) > 1:
            said = " and ".join(sorted(subnets))
            raise interfaces.unfit(f"{' and '.join(own.values())} are in {said}: an address moves within one subnet")
        described = self._session.read("ec2", "describe_subnets", SubnetIds=sorted(subnets))
        cidr = str(described["Subnets"][0]["CidrBlock"])
        if trouble := interfaces.outside(address, cidr):
            raise interfaces.unfit(f"{address} {trouble}")
        room = interfaces.room(self._session, found, address)
        return f"{address} is in {cidr} ({subnets.pop()}); {room}"

    def said(self, holders: tuple[str, ...]) -> str:
        return f"{self.settings.address} is on {' and '.join(holders) or 'no interface'}"


class Unassign(Step):
    """Stage fence: the address leaves every node but the target. Who can't be reached at it can't write behind it."""

    name, stage = "unassign", Stage.FENCE

    def __init__(self, address: Address, within_s: float | None = None) -> None:
        self._address = address
        self.within_s = within_s

    def needs(self) -> tuple[Need, ...]:
        return (self._address.need("UnassignPrivateIpAddresses"),)

    def plan(self, intent: Intent) -> Plan:
        holders = self._address.holders()
        settings = self._address.settings
        calls = tuple(
            Call(
                "ec2",
                "unassign_private_ip_addresses",
                {"NetworkInterfaceId": settings.interfaces[node], "PrivateIpAddresses": [settings.address]},
            )
            for node in holders
            if node != intent.node
        )
        return Plan(self._address.said(holders), calls)


class Assign(Step):
    """Stage move: the target's interface holds the address, and no other does."""

    name, stage = "assign", Stage.MOVE

    def __init__(self, address: Address, within_s: float | None = None) -> None:
        self._address = address
        self.within_s = within_s

    def check(self) -> str:
        return self._address.check()

    def needs(self) -> tuple[Need, ...]:
        return (self._address.need("AssignPrivateIpAddresses"),)

    def plan(self, intent: Intent) -> Plan:
        return self._plan(intent, self._address.holders())

    def foreseen(self, intent: Intent, before: Sequence[Call]) -> Plan:
        """An address that the fence takes away has no holder then, and needs no leave to be taken."""
        left = {
            call.parameters["NetworkInterfaceId"] for call in before if call.method == "unassign_private_ip_addresses"
        }
        own = self._address.settings.interfaces
        return self._plan(intent, tuple(node for node in self._address.holders() if own[node] not in left))

    def _plan(self, intent: Intent, holders: tuple[str, ...]) -> Plan:
        settings, evidence = self._address.settings, self._address.said(holders)
        if holders == (intent.node,):
            return Plan(evidence)
        parameters = {
            "NetworkInterfaceId": settings.interfaces[intent.node],
            "PrivateIpAddresses": [settings.address],
            "AllowReassignment": bool(holders),
        }
        return Plan(evidence, (Call("ec2", "assign_private_ip_addresses", parameters),))
