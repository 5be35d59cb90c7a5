"""Of one service: the ways in which it moves, the fence and the guests."""

import itertools
import re
from collections.abc import Iterator

from edge.config.clashes.clash import Clash, Loc, ServiceCheck
from edge.config.models import Service
from edge.config.values import Answer, FenceKind, GuestOs, families


def _secondary_answer_exists(at: Loc, service: Service) -> Iterator[Clash]:
    if service.answer is Answer.SECONDARY and service.switch.secondary_ip is None:
        text = '"secondary" needs [service.switch.secondary_ip] with the address that moves'
        yield Clash(((*at, "answer"), (*at, "switch")), text)


def _secondary_is_movable(at: Loc, service: Service) -> Iterator[Clash]:
    secondary = service.switch.secondary_ip
    if secondary is None:
        return
    key = (*at, "switch", "secondary_ip", "address")
    if families((secondary.address,)) == {6}:
        yield Clash((key,), f'"{secondary.address}": AssignPrivateIpAddresses moves IPv4 addresses only')
    for j, node in enumerate(service.nodes):
        if secondary.address in node.addresses:
            text = f'"{secondary.address}" is node "{node.name}"\'s own address; the secondary one is a third'
            yield Clash((key, (*at, "node", j, "address")), text)


def _nodes_have_what_moves_need(at: Loc, service: Service) -> Iterator[Clash]:
    for (j, node), word in itertools.product(enumerate(service.nodes), ("interface", "subnet")):
        needs = _what_needs(service, word)
        if needs and getattr(node, word) is None:
            keys = ((*at, "node", j, word), (*at, "switch"), (*at, "fence", "kind"))
            yield Clash(keys, f"missing: {needs} needs the {word}")


def _what_needs(service: Service, word: str) -> str | None:
    switch = service.switch
    if switch.secondary_ip:
        return "switch.secondary_ip"
    if word == "subnet":
        return None
    fence = "fence.kind isolate" if service.fence.kind is FenceKind.ISOLATE else None
    return "switch.route_table" if switch.route_table else "switch.elastic_ip" if switch.elastic_ip else fence


def _secondary_in_one_subnet(at: Loc, service: Service) -> Iterator[Clash]:
    subnets = sorted({node.subnet for node in service.nodes if node.subnet})
    if service.switch.secondary_ip is not None and len(subnets) > 1:
        text = f"the nodes are in {', '.join(subnets)}: an address cannot leave its subnet; use switch.route53"
        keys = [(*at, "node", j, "subnet") for j in range(len(service.nodes))]
        yield Clash(((*at, "switch", "secondary_ip"), *keys), text)


def _route_reaches_clients(at: Loc, service: Service) -> Iterator[Clash]:
    route = service.switch.route_table
    if route is not None and route.topology is None:
        text = (
            "missing: over a private virtual interface on a virtual private gateway, Direct Connect carries the VPC's"
            f' own range only, and {route.destination} lies outside of it; "transit_gateway" if clients come that way,'
            ' "vpc_only" if only those inside the VPC use it'
        )
        yield Clash(((*at, "switch", "route_table", "topology"),), text)


def _route_leads_away(at: Loc, service: Service) -> Iterator[Clash]:
    route = service.switch.route_table
    for j, node in enumerate(service.nodes if route else ()):
        if route and route.destination.removesuffix("/32") in node.addresses:
            key, text = (*at, "switch", "route_table", "destination"), f'is node "{node.name}"\'s own address'
            yield Clash((key, (*at, "node", j, "address")), f'"{route.destination}" {text}: a route leads to a third')


def _route_tables_distinct(at: Loc, service: Service) -> Iterator[Clash]:
    tables = service.switch.route_table.tables if service.switch.route_table else ()
    for table in sorted({table for table in tables if tables.count(table) > 1}):
        yield Clash(((*at, "switch", "route_table", "tables"),), f'"{table}" is listed twice')


def _resolvers_distinct(at: Loc, service: Service) -> Iterator[Clash]:
    resolvers = service.switch.route53.resolver if service.switch.route53 else ()
    for endpoint in sorted({each for each in resolvers if resolvers.count(each) > 1}):
        yield Clash(((*at, "switch", "route53", "resolver"),), f'"{endpoint}" is listed twice')


def _public_on_purpose(at: Loc, service: Service) -> Iterator[Clash]:
    elastic = service.switch.elastic_ip
    if elastic is not None and not elastic.allow_public:
        text = (
            "false, but an Elastic IP is a public address: whoever the security groups let in reaches the file server"
            " from the internet; true if that is meant"
        )
        yield Clash(((*at, "switch", "elastic_ip", "allow_public"),), text)


def _elastic_has_ipv4(at: Loc, service: Service) -> Iterator[Clash]:
    for j, node in enumerate(service.nodes if service.switch.elastic_ip else ()):
        if 4 not in families(node.addresses):
            keys = ((*at, "node", j, "address"), (*at, "switch", "elastic_ip"))
            yield Clash(keys, "has no IPv4 address, which an Elastic IP is bound to")


def _fence_has_its_keys(at: Loc, service: Service) -> Iterator[Clash]:
    fence, key = service.fence, (*at, "fence")
    isolates, stops = fence.kind is FenceKind.ISOLATE, fence.kind is FenceKind.STOP
    if isolates and not fence.quarantine:
        text = 'missing: "isolate" gives the old node these security groups, and takes all others away'
        yield Clash(((*key, "quarantine"), (*key, "kind")), text)
    if fence.quarantine and not isolates:
        yield Clash(((*key, "quarantine"), (*key, "kind")), f'is for kind "isolate", and this is "{fence.kind.value}"')
    if fence.skip_os_shutdown and not stops:
        text = f'is for kind "stop", and this is "{fence.kind.value}"'
        yield Clash(((*key, "skip_os_shutdown"), (*key, "kind")), text)
    for j, node in enumerate(service.nodes if stops else ()):
        if node.instance is None:
            yield Clash(((*at, "node", j, "instance"), (*key, "kind")), 'missing: the fence "stop" needs the instance')


_LINUX_INTERFACE = re.compile(r"[A-Za-z0-9._-]{1,15}")  # IFNAMSIZ is 16 (netdevice(7))


def _guest_has_work(at: Loc, service: Service) -> Iterator[Clash]:
    guest, key = service.guest, (*at, "guest")
    if guest and not (guest.demotion or guest.promotion):
        text = 'has nothing to do: "os" brings the address that moves up, on_demote and on_promote name your documents'
        yield Clash((key,), text)
    if guest and guest.interface_name and guest.os is None:
        text = f'"{guest.interface_name}" is where "os" brings an address up, and there is no "os"'
        yield Clash(((*key, "interface_name"), (*key, "os")), text)
    if guest and guest.os is GuestOs.LINUX and not _LINUX_INTERFACE.fullmatch(guest.interface_name or "lo"):
        text = f'"{guest.interface_name}" is no interface of Linux: 1 to 15 letters, digits, ".", "_" or "-"'
        yield Clash(((*key, "interface_name"), (*key, "os")), text)
    for j, node in enumerate(service.nodes if guest else ()):
        if node.instance is None:
            yield Clash(((*at, "node", j, "instance"), key), "missing: the guest steps need the instance")


def _guest_has_an_address(at: Loc, service: Service) -> Iterator[Clash]:
    guest, key = service.guest, (*at, "guest", "os")
    if guest is None or guest.os is None:
        return
    said, moving = f'"{guest.os.value}" brings up the address that moves', service.moving_addresses
    if not moving:
        text = "so it needs [service.switch.secondary_ip] or [service.switch.route_table]"
        yield Clash((key, (*at, "switch")), f"{said}, {text}")
    if len(moving) > 1:
        yield Clash(
            (key, (*at, "switch")), f"{said}, and there are two: {' and '.join(moving)}; use on_promote for them"
        )
    for j, node in enumerate(service.nodes if guest.interface_name is None else ()):
        if 4 not in families(node.addresses):
            text = f'missing: node "{node.name}" has no IPv4 address by which its interface is found'
            yield Clash(((*at, "guest", "interface_name"), (*at, "node", j, "address"), key), text)


def _fence_can_work(at: Loc, service: Service) -> Iterator[Clash]:
    fence = service.fence
    if fence.kind is FenceKind.GUEST and not (service.guest and service.guest.demotion):
        text = '"guest" demotes the old node in its guest, so it needs [service.guest] with on_demote or os'
        yield Clash(((*at, "fence", "kind"), (*at, "guest")), text)
    if fence.kind is FenceKind.UNASSIGN and service.switch.secondary_ip is None:
        text = '"unassign" takes the secondary address away, so it needs [service.switch.secondary_ip]'
        yield Clash(((*at, "fence", "kind"), (*at, "switch")), text)
    if fence.kind is FenceKind.NONE and fence.required:
        text = 'true, but fence.kind is "none": no switch could ever happen'
        yield Clash(((*at, "fence", "required"), (*at, "fence", "kind")), text)


CHECKS: tuple[ServiceCheck, ...] = (
    _secondary_answer_exists,
    _secondary_is_movable,
    _nodes_have_what_moves_need,
    _secondary_in_one_subnet,
    _route_reaches_clients,
    _route_leads_away,
    _route_tables_distinct,
    _resolvers_distinct,
    _public_on_purpose,
    _elastic_has_ipv4,
    _fence_has_its_keys,
    _guest_has_work,
    _guest_has_an_address,
    _fence_can_work,
)
