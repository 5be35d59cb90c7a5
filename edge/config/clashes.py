"""Clashes: keys that are right by themselves and wrong together."""

import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from urllib.parse import urlsplit

from edge.config.budget import detection_s, detection_text
from edge.config.models import Config, Endpoints, Forwarder, Node, Peer, Record, Service
from edge.config.values import (
    Answer,
    FenceKind,
    GuestOs,
    ProbeKind,
    RecordType,
    Role,
    StoreKind,
    families,
    target_name,
)
from edge.durations import duration_text
from edge.failover.lease import DRIFT, Timing
from edge.failover.model import OnDrift

Loc = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Clash:
    """`keys` are all that the check has read; the first is the one to mend, and stands in the message."""

    keys: tuple[Loc, ...]
    text: str


def _timing_keys(at: Loc, *words: str) -> tuple[Loc, ...]:
    return (*((*at, "probe", word) for word in words), (*at, "profile"))


def _timeout_fits(at: Loc, service: Service) -> Iterator[Clash]:
    probe = service.probe
    if probe.timeout_s > probe.interval_s:
        timeout, interval = duration_text(probe.timeout_s), duration_text(probe.interval_s)
        text = f"{timeout} is longer than interval {interval}: the next probe would be due before this one ended"
        yield Clash(_timing_keys(at, "timeout", "interval"), f"{text}; at most {interval}")


def _hold_down_outlasts_detection(at: Loc, service: Service) -> Iterator[Clash]:
    if service.hold_down_s < detection_s(service.probe):
        text = (
            f"{duration_text(service.hold_down_s)} is shorter than the time to detect a failure"
            f" ({detection_text(service.probe)}): the next switch could come before the new node was judged"
        )
        keys = _timing_keys(at, "interval", "fall", "jitter", "timeout")
        yield Clash(((*at, "hold_down"), *keys), text)


def _leaky_above_fall(at: Loc, service: Service) -> Iterator[Clash]:
    leaky, fall = service.probe.leaky, service.probe.fall
    if 0 < leaky < fall:
        text = f"{leaky} is full before fall {fall} failures in a row are seen; at least {fall}, or 0 for off"
        yield Clash(_timing_keys(at, "leaky", "fall"), text)


def _tcp_port_known(at: Loc, service: Service) -> Iterator[Clash]:
    probe = service.probe
    if probe.kind is ProbeKind.TCP and "port" not in probe.model_fields_set:
        yield Clash(((*at, "probe", "port"), (*at, "probe", "kind")), "missing: tcp has no port of its own")


def _nodes_enough(at: Loc, service: Service) -> Iterator[Clash]:
    if len(service.nodes) < 2:
        text = f"{len(service.nodes)} node(s): a fail-over needs two, each a [[service.node]]"
        yield Clash(((*at, "node"),), text)


def _nodes_distinct(at: Loc, service: Service) -> Iterator[Clash]:
    for (i, one), (j, other) in itertools.combinations(enumerate(service.nodes), 2):
        if one.name == other.name:
            yield Clash(_both(at, i, j, "name"), f'"{other.name}" is also the name of node[{i}]')
        for address in set(one.addresses) & set(other.addresses):
            yield Clash(_both(at, i, j, "address"), f'"{address}" is also an address of node "{one.name}"')
        for word in ("interface", "instance"):
            if (value := getattr(one, word)) and value == getattr(other, word):
                yield Clash(_both(at, i, j, word), f'"{value}" is also node "{one.name}"\'s')


def _both(at: Loc, i: int, j: int, key: str) -> tuple[Loc, ...]:
    return ((*at, "node", j, key), (*at, "node", i, key))


def _nodes_of_one_family(at: Loc, service: Service) -> Iterator[Clash]:
    for (i, one), (j, other) in itertools.pairwise(enumerate(service.nodes)):
        if families(one.addresses) != families(other.addresses):
            have = f'node "{one.name}" has {_family_text(one)} and node "{other.name}" {_family_text(other)}'
            yield Clash(_both(at, i, j, "address"), f"{have}: a switch would take an address family away")


def _family_text(node: Node) -> str:
    return " and ".join(f"IPv{version}" for version in sorted(families(node.addresses)))


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


def _drift_can_be_answered(at: Loc, service: Service) -> Iterator[Clash]:
    if service.drift is not OnDrift.ALERT and not service.switch:
        text = f'"{service.drift.value}" needs a [service.switch.…]: without one, nothing of AWS is read'
        yield Clash(((*at, "drift"), (*at, "switch")), text)


def _freeze_has_length(at: Loc, service: Service) -> Iterator[Clash]:
    for i, freeze in enumerate(service.freezes):
        if freeze.start == freeze.end:
            key = (*at, "freeze", i)
            text = f"start and end are both {freeze.start:%H:%M}; for a whole day write two windows"
            yield Clash(((*key, "end"), (*key, "start")), text)


def _services_there(config: Config) -> Iterator[Clash]:
    if not config.services:
        yield Clash((("service",),), "missing: at least one [[service]]")


def _services_distinct(config: Config) -> Iterator[Clash]:
    for (i, one), (j, other) in itertools.combinations(enumerate(config.services), 2):
        if one.name == other.name:
            keys: tuple[Loc, ...] = (("service", j, "name"), ("service", i, "name"))
            yield Clash(keys, f'"{other.name}" is also the name of service[{i}]')
        yield from _moving_distinct(i, one, j, other)
        yield from _quarantine_alike(i, one, j, other)


def _quarantine_alike(i: int, one: Service, j: int, other: Service) -> Iterator[Clash]:
    """The groups that one service's fence gave would be taken by the other's for the node's own."""
    shared = one.interfaces & other.interfaces
    mine, theirs = one.fence.quarantine, other.fence.quarantine
    if shared and mine and theirs and set(mine) != set(theirs):
        keys: tuple[Loc, ...] = tuple(("service", k, "fence", "quarantine") for k in (j, i))
        text = f"is not that of service[{i}], which isolates {', '.join(sorted(shared))} too: one node, one quarantine"
        yield Clash(keys, text)


# What moves, by its key: one thing that two services move would be pulled at by two decisions.
_MOVING: Mapping[str, str] = {"secondary_ip": "address", "route_table": "destination", "elastic_ip": "allocation_id"}


def _moving_distinct(i: int, one: Service, j: int, other: Service) -> Iterator[Clash]:
    for kind, word in _MOVING.items():
        mine, theirs = (getattr(getattr(each.switch, kind), word, None) for each in (one, other))
        if mine is not None and mine == theirs:
            text = f'"{mine}" also moves with service[{i}]: two decisions would pull at one address'
            yield Clash(tuple(("service", k, "switch", kind, word) for k in (j, i)), text)


def _zones_distinct(config: Config) -> Iterator[Clash]:
    for (i, one), (j, other) in itertools.combinations(enumerate(config.zones), 2):
        if one.name == other.name:
            keys: tuple[Loc, ...] = (("zone", j, "name"), ("zone", i, "name"))
            yield Clash(keys, f'"{other.name}" is also the name of zone[{i}]')


def _services_inside_zones(config: Config) -> Iterator[Clash]:
    apexes = [zone.name for zone in config.zones]
    for i, service in enumerate(config.services):
        keys: tuple[Loc, ...] = (("service", i, "name"), *_zone_names(config))
        if service.name in apexes:
            yield Clash(keys, f'"{service.name}" is a zone itself: a service\'s name lies below it')
        elif config.zone_of(service.name) is None:
            names = " or ".join(f'"{apex}"' for apex in apexes)
            yield Clash(keys, f'"{service.name}" is not below the zone {names}')


def _zone_names(config: Config) -> tuple[Loc, ...]:
    return tuple(("zone", i, "name") for i in range(len(config.zones)))


def _services_apart_from_nameservers(config: Config) -> Iterator[Clash]:
    for (i, service), (j, zone) in itertools.product(enumerate(config.services), enumerate(config.zones)):
        if service.name in zone.nameservers:
            keys: tuple[Loc, ...] = (("service", i, "name"), ("zone", j, "nameservers"))
            yield Clash(keys, f'"{service.name}" is also a nameserver of the zone "{zone.name}"')


def _nameservers_have_addresses(config: Config) -> Iterator[Clash]:
    for i, zone in enumerate(config.zones):
        for name, addresses in zone.nameservers.items():
            if text := _unfindable(config, i, name, addresses):
                keys = (("zone", i, "nameservers", name), *_zone_names(config))
                yield Clash((*keys, *(("zone", j, "record") for j in range(len(config.zones)))), text)


def _unfindable(config: Config, zone: int, name: str, addresses: tuple[str, ...]) -> str | None:
    home = config.zone_of(name)
    if home == zone:
        return None if addresses else "is inside the zone, so only we can tell its address: list it (RFC 1034 4.2.1)"
    if addresses:
        return "is outside the zone, so its address is another zone's to tell: write []"
    if home is not None and name not in set(_addressed(config)):
        return f'is in our zone "{config.zones[home].name}", which has no address of it'
    return None


def _addressed(config: Config) -> Iterator[str]:
    """The names of which our zones tell addresses. A service's is none for a nameserver, which is told elsewhere."""
    yield from (service.name for service in config.services)
    for zone in config.zones:
        yield from (name for name, addresses in zone.nameservers.items() if addresses)
        yield from (record.name for record in zone.records if record.type in {RecordType.A, RecordType.AAAA})


def _targets_are_names(config: Config) -> Iterator[Clash]:
    for i, zone in enumerate(config.zones):
        for k, record in enumerate(zone.records):
            for text in filter(None, map(_no_target, _targets(record))):
                key = ("zone", i, "record", k)
                yield Clash(((*key, "data"), (*key, "type")), text)


def _targets(record: Record) -> tuple[str, ...]:
    match record.type:
        case RecordType.CNAME | RecordType.PTR:
            return record.data
        case RecordType.SRV:  # RFC 2782: "." says that there is no such service
            return tuple(end for text in record.data for end in text.split()[3:4] if end != ".")
    return ()


def _no_target(text: str) -> str | None:
    try:
        target_name(text)
    except ValueError as error:
        return f'found "{text}"; {error}'
    return None


def _pointers_have_a_zone(config: Config) -> Iterator[Clash]:
    for at, node in _nodes(config):
        reverse = [ip_address(address).reverse_pointer for address in node.addresses]
        if node.ptr and all(config.zone_of(name) is None for name in reverse):
            text = f"no zone of ours holds {' or '.join(reverse)}; add a [[zone]] whose name is the nodes' prefix"
            yield Clash(((*at, "ptr"), (*at, "address"), *_zone_names(config)), text)


def _listeners_distinct(config: Config) -> Iterator[Clash]:
    listen = config.dns.listen
    for endpoint in sorted({endpoint for endpoint in listen if listen.count(endpoint) > 1}):
        yield Clash((("dns", "listen"),), f'"{endpoint}" is listed twice')
    if config.http.listen in listen:
        text = f'"{config.http.listen}" is also in dns.listen, which answers TCP there'
        yield Clash((("http", "listen"), ("dns", "listen")), text)


def _trusted_may_ask(config: Config) -> Iterator[Clash]:
    for i, trusted in enumerate(config.dns.trusted_forwarders):
        if not any(_within(trusted, allowed) for allowed in config.dns.allow_query):
            keys: tuple[Loc, ...] = (("dns", "trusted_forwarders", i), ("dns", "allow_query"))
            yield Clash(keys, f'"{trusted}" is not in dns.allow_query: it would be trusted and not answered')


def _within(inner: IPv4Network | IPv6Network, outer: IPv4Network | IPv6Network) -> bool:
    return inner.version == outer.version and inner.network_address in outer and inner.prefixlen >= outer.prefixlen


def _cookies_can_be_made(config: Config) -> Iterator[Clash]:
    if config.dns.cookie_required and not config.dns.cookie_secrets:
        keys: tuple[Loc, ...] = (("dns", "cookie_required"), ("dns", "cookie_secrets"))
        yield Clash(keys, "true, but there are no cookie_secrets to make cookies with")


def _witnesses_apart(config: Config) -> Iterator[Clash]:
    for (w, witness), (at, node) in itertools.product(enumerate(config.path.witnesses), _nodes(config)):
        key = ("path", "witness", w)
        if witness.name == node.name:
            yield Clash(((*key, "name"), (*at, "name")), f'"{witness.name}" is also the name of a node')
        if witness.tcp.address in node.addresses:
            text = f'"{witness.tcp}" is node "{node.name}": a witness that dies with a node proves nothing'
            yield Clash(((*key, "tcp"), (*at, "address")), text)


def _nodes(config: Config) -> Iterator[tuple[Loc, Node]]:
    for i, service in enumerate(config.services):
        for j, node in enumerate(service.nodes):
            yield ("service", i, "node", j), node


def _witnesses_distinct(config: Config) -> Iterator[Clash]:
    for (i, one), (j, other) in itertools.combinations(enumerate(config.path.witnesses), 2):
        if one.name == other.name:
            keys: tuple[Loc, ...] = (("path", "witness", j, "name"), ("path", "witness", i, "name"))
            yield Clash(keys, f'"{other.name}" is also the name of witness[{i}]')


def _asked(config: Config) -> tuple[tuple[str, Sequence[Peer | Forwarder]], ...]:
    return ("peer", config.peers), ("forwarder", config.forwarders)


def _asked_distinct(config: Config) -> Iterator[Clash]:
    """Each is a view of its own, under its name."""
    for word, asked in _asked(config):
        for (i, one), (j, other) in itertools.combinations(enumerate(asked), 2):
            for key in ("name", "dns"):
                if getattr(one, key) == getattr(other, key):
                    keys: tuple[Loc, ...] = ((word, j, key), (word, i, key))
                    yield Clash(keys, f'"{getattr(other, key)}" is also the {key} of {word}[{i}]')


def _asked_are_others(config: Config) -> Iterator[Clash]:
    for i, peer in enumerate(config.peers):
        if peer.name == config.agent.name:
            yield Clash((("peer", i, "name"), ("agent", "name")), f'"{peer.name}" is this agent itself')
    for word, asked in _asked(config):
        for i, each in enumerate(asked):
            if each.dns in config.dns.listen:
                text = f'"{each.dns}" is also in dns.listen: this agent would ask itself'
                yield Clash(((word, i, "dns"), ("dns", "listen")), text)


def _resolvers_distinct(at: Loc, service: Service) -> Iterator[Clash]:
    resolvers = service.switch.route53.resolver if service.switch.route53 else ()
    for endpoint in sorted({each for each in resolvers if resolvers.count(each) > 1}):
        yield Clash(((*at, "switch", "route53", "resolver"),), f'"{endpoint}" is listed twice')


def _aws_known(config: Config) -> Iterator[Clash]:
    for i, service in enumerate(config.services):
        fenced = service.fence.kind is not FenceKind.NONE
        if (service.switch or fenced or service.guest) and config.aws is None:
            keys: tuple[Loc, ...] = (("aws",), *(("service", i, key) for key in ("switch", "fence", "guest")))
            needs = "switch" if service.switch else "fence" if fenced else "guest"
            yield Clash(keys, f"missing: service[{i}].{needs} needs [aws] with the region")


def _lines_are_asked_about(config: Config) -> Iterator[Clash]:
    if config.path.virtual_interfaces and config.aws is None:
        keys: tuple[Loc, ...] = (("aws",), ("path", "virtual_interface"))
        yield Clash(keys, "missing: to ask about path.virtual_interface needs [aws] with the region")


def _store_reachable(config: Config) -> Iterator[Clash]:
    store = config.store
    if store.kind is StoreKind.DYNAMODB and config.aws is None:
        yield Clash((("aws",), ("store", "kind")), 'missing: store.kind "dynamodb" needs [aws] with the region')
    if store.kind is StoreKind.SQLITE and "table" in store.model_fields_set:
        text = f'"{store.table}" is for kind "dynamodb", and this is "sqlite"'
        yield Clash((("store", "table"), ("store", "kind")), text)


def _lease_can_work(config: Config) -> Iterator[Clash]:
    """The margin is what is left of the lease just before a renewal is confirmed; a call to AWS must fit into it."""
    if config.store.kind is not StoreKind.DYNAMODB or config.aws is None:
        return
    lease, call_s = config.lease, config.aws.call_s
    timing = Timing(lease.duration_s, lease.renew_s)
    if timing.left_s(call_s) > call_s:
        return
    call = duration_text(call_s)
    least = duration_text((math.floor(10 * (lease.renew_s + 2 * call_s) / (1 - DRIFT)) + 1) / 10)
    text = (
        f"{duration_text(lease.duration_s)} x {1 - DRIFT:g} (two clocks may run apart) - renew"
        f" {duration_text(lease.renew_s)} - the renewal's own call {call} = {timing.left_s(call_s):.1f}s, and a call"
        f" to AWS may take {call} (2 x connect_timeout + read_timeout): it could outlive the lease; at least {least}"
    )
    keys: tuple[Loc, ...] = (("lease", "duration"), ("lease", "renew"), ("store", "kind"))
    yield Clash((*keys, ("aws", "connect_timeout"), ("aws", "read_timeout")), text)


def _vantages_share_a_store(config: Config) -> Iterator[Clash]:
    if config.store.kind is StoreKind.DYNAMODB:
        return
    if config.agent.role is Role.WITNESS:
        text = '"witness" never leads, and a store of kind "sqlite" is of one agent alone: nobody would lead'
        yield Clash((("agent", "role"), ("store", "kind")), text)
    elif config.vantage.model_fields_set:
        text = 'is for agents that share a store of kind "dynamodb", and this is "sqlite"'
        yield Clash((("vantage",), ("store", "kind")), text)


def _vantages_distinct(config: Config) -> Iterator[Clash]:
    vantage, listed = config.vantage, config.vantage.names
    for name in sorted({name for name in listed if listed.count(name) > 1}):
        word = "witnesses" if name in vantage.witnesses else "agents"
        yield Clash((("vantage", word), ("vantage",)), f'"{name}" is listed twice: an agent has one vote')


def _somebody_may_lead(config: Config) -> Iterator[Clash]:
    if config.vantage.model_fields_set and not config.vantage.agents:
        text = "missing: nobody could lead; name the agents that may, this one among them"
        yield Clash((("vantage", "agents"), ("vantage",)), text)


def _role_is_as_listed(config: Config) -> Iterator[Clash]:
    name, role, vantage = config.agent.name, config.agent.role, config.vantage
    keys: tuple[Loc, ...] = (("agent", "role"), ("agent", "name"), ("vantage",))
    if config.store.kind is not StoreKind.DYNAMODB:
        return
    if role is Role.WITNESS and name not in vantage.witnesses:
        yield Clash(keys, f'"witness" has to be listed as one: vantage.witnesses = ["{name}"], beside vantage.agents')
    elif role is Role.CANDIDATE and name in vantage.witnesses:
        yield Clash(keys, f'"candidate", and vantage.witnesses has "{name}": say "witness", or list it in agents')
    elif vantage.agents and name not in vantage.names:
        listed = ", ".join(vantage.names)
        text = f'"{name}" is not among the vantages ({listed}): list it in vantage.agents'
        yield Clash((("agent", "name"), ("vantage",)), text)


def _quorum_can_be_reached(config: Config) -> Iterator[Clash]:
    listed = len(config.vantage.names)
    if config.vantage.quorum and config.vantage.quorum > max(listed, 1):
        text = f"{config.vantage.quorum} of {listed} vantages can never agree; at most {max(listed, 1)}"
        yield Clash((("vantage", "quorum"), ("vantage",)), text)


def _aws_found_without_us(config: Config) -> Iterator[Clash]:
    """A switch must not wait for an answer that depends on the switch."""
    for word, url in config.aws.endpoints if config.aws else Endpoints():
        host = (urlsplit(url).hostname or "") if url else ""
        if host and config.zone_of(host) is not None:
            text = f'"{host}" is a name of our own zone: AWS must be found while we do not answer'
            yield Clash((("aws", "endpoints", word), *_zone_names(config)), text)


_SERVICE_CHECKS: tuple[Callable[[Loc, Service], Iterator[Clash]], ...] = (
    _timeout_fits,
    _hold_down_outlasts_detection,
    _leaky_above_fall,
    _tcp_port_known,
    _nodes_enough,
    _nodes_distinct,
    _nodes_of_one_family,
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
    _drift_can_be_answered,
    _freeze_has_length,
)
_CHECKS: tuple[Callable[[Config], Iterator[Clash]], ...] = (
    _services_there,
    _services_distinct,
    _zones_distinct,
    _services_inside_zones,
    _services_apart_from_nameservers,
    _nameservers_have_addresses,
    _targets_are_names,
    _pointers_have_a_zone,
    _listeners_distinct,
    _trusted_may_ask,
    _cookies_can_be_made,
    _witnesses_apart,
    _witnesses_distinct,
    _asked_distinct,
    _asked_are_others,
    _aws_known,
    _lines_are_asked_about,
    _store_reachable,
    _lease_can_work,
    _vantages_share_a_store,
    _vantages_distinct,
    _somebody_may_lead,
    _role_is_as_listed,
    _quorum_can_be_reached,
    _aws_found_without_us,
)


def clashes_of(config: Config) -> Iterator[Clash]:
    for check in _CHECKS:
        yield from check(config)
    for (i, service), service_check in itertools.product(enumerate(config.services), _SERVICE_CHECKS):
        yield from service_check(("service", i), service)
