"""The route: one address outside the VPC's range (/32) leads to one node's interface, in each of the route tables.

The tables are one step: all are read, each that leads elsewhere is written, all are read back. CreateRoute where there
is no route, ReplaceRoute where it leads to another node (each refuses the other's case: AWS, *CreateRoute*,
*ReplaceRoute*); several are tried dry before the first is written. A table half-way is finished at the next try, and by
the next epoch where this one can't: there is no way back, as the old node is fenced. EC2 has no compare-and-set for
routes; see edge.switches.secondary_ip.

A route that leads to anything but our nodes is somebody else's and never overwritten. Whoever receives packets for an
address that is not its own must have the source/destination check off (VPC user guide, *Middlebox routing*). A route is
a `blackhole` where nobody runs behind its target. A table that was deleted routes nobody and hinders nobody.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

from edge.errors import CloudError, Fault
from edge.failover.model import Intent, Stage
from edge.switches import interfaces
from edge.switches.contract import Call, Need, Plan, Step, View
from edge.switches.session import Session

_DESCRIBE = "DescribeRouteTables"
_TARGETS = ("GatewayId", "NatGatewayId", "TransitGatewayId", "VpcPeeringConnectionId", "NetworkInterfaceId")


@dataclass(frozen=True, slots=True)
class Settings:
    """`destination`: one address as a prefix. `interfaces`: the network interface (eni-...) of each node."""

    destination: str
    tables: tuple[str, ...]
    interfaces: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Lead:
    """Where one table leads: to a node, to somebody else's `target`, or (both None) nowhere."""

    table: str
    node: str | None = None
    target: str | None = None
    blackhole: bool = False

    def __str__(self) -> str:
        where = f"to {self.node or self.target}" if self.node or self.target else "nowhere"
        return f"{self.table} leads {where}{' (blackhole)' if self.blackhole else ''}"


class Routes:
    """Reads where the tables lead."""

    name = "route_table"

    def __init__(self, session: Session, settings: Settings) -> None:
        self._session = session
        self.settings = settings

    def view(self) -> View:
        """The node that all tables lead to; where they disagree, or lead elsewhere, none."""
        self.unchecked()
        leads = self.leads()
        nodes = {lead.node for lead in leads}
        strange = len(nodes) > 1 or any(lead.target for lead in leads)
        return View(None if strange else next(iter(nodes)), 0, self.said(leads), strange)

    def unchecked(self) -> str:
        """Raises CloudError where a node would drop what is routed to it."""
        described = interfaces.described(self._session, self.settings.interfaces)
        for node, interface in described.items():
            refuse_checked(node, interface)
        return f"the source/destination check is off at {' and '.join(described) or 'no node'}"

    def leads(self) -> tuple[Lead, ...]:
        wanted = {"Name": "route-table-id", "Values": list(self.settings.tables)}
        described = self._session.read("ec2", "describe_route_tables", Filters=[wanted])["RouteTables"]
        if not described:
            raise CloudError(_DESCRIBE, Fault.IMPOSSIBLE, f"there is no {' and no '.join(self.settings.tables)}")
        return tuple(self._lead(table) for table in sorted(described, key=lambda table: str(table["RouteTableId"])))

    def _lead(self, table: Mapping[str, Any]) -> Lead:
        name, destination = table["RouteTableId"], self.settings.destination
        for route in table["Routes"]:
            prefix = route.get("DestinationCidrBlock")
            if prefix == destination:
                return self._led(name, route)
            if route.get("GatewayId") == "local" and prefix and _within(destination, prefix):
                message = f"{destination} is in the VPC's own range {prefix}, where only whole subnets can be routed"
                raise CloudError(_DESCRIBE, Fault.IMPOSSIBLE, message)
        return Lead(name)

    def _led(self, table: str, route: Mapping[str, Any]) -> Lead:
        eni, blackhole = route.get("NetworkInterfaceId"), route.get("State") == "blackhole"
        for node, own in self.settings.interfaces.items():
            if eni == own:
                return Lead(table, node, blackhole=blackhole)
        target = next((route[kind] for kind in _TARGETS if route.get(kind)), "an unknown target")
        return Lead(table, target=target, blackhole=blackhole)

    def said(self, leads: tuple[Lead, ...]) -> str:
        gone = sorted(set(self.settings.tables) - {lead.table for lead in leads})
        return ", ".join([f"{self.settings.destination}: {leads[0]}", *map(str, leads[1:]), *(f"no {t}" for t in gone)])


class Lay(Step):
    """Stage move: every table leads to the target."""

    name, stage = "route", Stage.MOVE

    def __init__(self, routes: Routes, session: Session, within_s: float | None = None) -> None:
        self._routes = routes
        self._session = session
        self.within_s = within_s

    def check(self) -> str:
        return self._routes.unchecked()

    def needs(self) -> tuple[Need, ...]:
        tables, node = self._routes.settings.tables, next(iter(self._routes.settings.interfaces))
        resources = tuple(f"route-table/{table}" for table in tables)
        return (
            Need("ec2:ReplaceRoute", resources, tuple(self._call(Lead(table, node), node) for table in tables)),
            Need("ec2:CreateRoute", resources, tuple(self._call(Lead(table), node) for table in tables)),
        )

    def plan(self, intent: Intent) -> Plan:
        leads, settings = self._routes.leads(), self._routes.settings
        refuse_foreign(leads, settings.destination)
        evidence = self._routes.said(leads)
        missing = tuple(self._call(lead, intent.node) for lead in leads if lead.node != intent.node)
        if missing:
            refuse_checked(intent.node, interfaces.there(self._session, settings.interfaces, intent.node))
        return Plan(evidence, missing, pending=any(lead.blackhole for lead in leads))

    def _call(self, lead: Lead, node: str) -> Call:
        settings = self._routes.settings
        parameters = {
            "RouteTableId": lead.table,
            "DestinationCidrBlock": settings.destination,
            "NetworkInterfaceId": settings.interfaces[node],
        }
        return Call("ec2", "replace_route", parameters) if lead.node else Call("ec2", "create_route", parameters)


def refuse_checked(node: str, interface: Mapping[str, Any]) -> None:
    if interface.get("SourceDestCheck", True):
        eni = interface["NetworkInterfaceId"]
        message = f"{eni} of {node} drops what is routed to it: switch its source/destination check off"
        raise CloudError(interfaces.DESCRIBE, Fault.IMPOSSIBLE, message)


def refuse_foreign(leads: tuple[Lead, ...], destination: str) -> None:
    foreign = [str(lead) for lead in leads if lead.target]
    if foreign:
        message = f"{destination} is somebody else's: {', '.join(foreign)}; it is not overwritten"
        raise CloudError(_DESCRIBE, Fault.IMPOSSIBLE, message)


def _within(destination: str, prefix: str) -> bool:
    return IPv4Network(destination).subnet_of(IPv4Network(prefix))
