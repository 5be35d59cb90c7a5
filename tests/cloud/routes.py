"""EC2's routes as its API reference and the VPC guide describe them, where moto differs."""

from __future__ import annotations

from ipaddress import IPv4Network

from moto.core.responses import ActionResult
from moto.ec2.exceptions import InvalidParameterValue, RouteAlreadyExistsError
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.models.route_tables import Route, RouteTable
from moto.ec2.responses import EC2Response


class MendedRoute(Route):
    # "The blackhole state indicates that the route's target isn't available." (API_Route)
    @property
    def state(self) -> str:
        return "active" if self.interface is None or available(self.interface) else "blackhole"


def available(interface: NetworkInterface) -> bool:
    """Whether somebody runs behind it: an interface that is gone, detached, or whose instance is stopped has nobody."""
    instance = interface.instance
    return interface.id in interface.ec2_backend.enis and instance is not None and instance._state.name == "running"


# "The destination for the route must match the entire IPv4 or IPv6 CIDR block of a subnet in your VPC" where it is more
# specific than the local route. (VPC user guide, Example routing options)
def refuse_inside(table: RouteTable, destination: str) -> None:
    wanted, backend = IPv4Network(destination), table.ec2_backend
    local = [IPv4Network(route.destination_cidr_block) for route in table.routes if route.local]
    subnets = [IPv4Network(s.cidr_block) for zone in backend.subnets.values() for s in zone.values()]
    if any(wanted.subnet_of(own) for own in local) and wanted not in subnets:
        raise InvalidParameterValue("Route destination doesn't match any subnet CIDR blocks.")


class Routes(EC2Response):
    # A route table has one route for a destination: RouteAlreadyExists. (EC2 API, Error codes)
    def create_route(self) -> ActionResult:
        table = self._table()
        destination = self._get_param("DestinationCidrBlock")
        if any(route.destination_cidr_block == destination for route in table.routes):
            raise RouteAlreadyExistsError(destination)
        refuse_inside(table, destination)
        return self._mended(super().create_route())

    # "The value that you provide must match the CIDR of an existing route in the table." (API_ReplaceRoute)
    def replace_route(self) -> ActionResult:
        self._table()
        return self._mended(super().replace_route())

    def _table(self) -> RouteTable:
        table: RouteTable = self.ec2_backend.get_route_table(self._get_param("RouteTableId"))
        return table

    def _mended(self, answer: ActionResult) -> ActionResult:
        for route in self._table().routes:
            route.__class__ = MendedRoute
        return answer
