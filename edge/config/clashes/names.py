"""Of the services together, the zones that their names stand in, and the port where they are asked for."""

import itertools
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address

from edge.config.clashes.clash import Check, Clash, Loc, nodes, zone_names
from edge.config.models import Config, Record, Service
from edge.config.values import RecordType, target_name


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
        keys: tuple[Loc, ...] = (("service", i, "name"), *zone_names(config))
        if service.name in apexes:
            yield Clash(keys, f'"{service.name}" is a zone itself: a service\'s name lies below it')
        elif config.zone_of(service.name) is None:
            names = " or ".join(f'"{apex}"' for apex in apexes)
            yield Clash(keys, f'"{service.name}" is not below the zone {names}')


def _services_apart_from_nameservers(config: Config) -> Iterator[Clash]:
    for (i, service), (j, zone) in itertools.product(enumerate(config.services), enumerate(config.zones)):
        if service.name in zone.nameservers:
            keys: tuple[Loc, ...] = (("service", i, "name"), ("zone", j, "nameservers"))
            yield Clash(keys, f'"{service.name}" is also a nameserver of the zone "{zone.name}"')


def _nameservers_have_addresses(config: Config) -> Iterator[Clash]:
    for i, zone in enumerate(config.zones):
        for name, addresses in zone.nameservers.items():
            if text := _unfindable(config, i, name, addresses):
                keys = (("zone", i, "nameservers", name), *zone_names(config))
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
    for at, node in nodes(config):
        reverse = [ip_address(address).reverse_pointer for address in node.addresses]
        if node.ptr and all(config.zone_of(name) is None for name in reverse):
            text = f"no zone of ours holds {' or '.join(reverse)}; add a [[zone]] whose name is the nodes' prefix"
            yield Clash(((*at, "ptr"), (*at, "address"), *zone_names(config)), text)


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


CHECKS: tuple[Check, ...] = (
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
)
