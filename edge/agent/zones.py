"""The zones that the DNS side answers: the configuration's, with the live assignments, and the check that they fit."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import islice

from edge.agent.answers import answers, dns_policy
from edge.config import Config, Service
from edge.dns.guard import Policy
from edge.dns.server import check
from edge.dns.site import Site
from edge.dns.zone import ServiceRecord, StaticRecord, Zone
from edge.errors import ConfigError
from edge.failover.model import Assignment

EPOCH_MAX = 2**53
MISFITS_MAX = 20  # each takes a tenth of a second of looking among a thousand records


@dataclass(frozen=True, slots=True)
class Placed:
    """A static record, the index of its zone, and the key that asks for it."""

    zone: int
    record: StaticRecord
    key: str


def zones(config: Config, live: Mapping[str, Assignment]) -> tuple[Zone, ...]:
    """The zones with these assignments."""
    return _zones(config, live, list(_records(config)))


def _zones(config: Config, live: Mapping[str, Assignment], records: Sequence[Placed]) -> tuple[Zone, ...]:
    return tuple(
        _zone(config, i, live, tuple(placed.record for placed in records if placed.zone == i))
        for i in range(len(config.zones))
    )


def _zone(config: Config, index: int, live: Mapping[str, Assignment], records: tuple[StaticRecord, ...]) -> Zone:
    """An epoch only grows, so the serial does, and alike on every agent."""
    zone = config.zones[index]
    services = [service for service in config.services if config.zone_of(service.name) == index]
    return Zone(
        name=zone.name,
        nameservers=zone.nameservers,
        contact=zone.rname,
        serial=zone.serial_base + sum(live[each.name].epoch for each in services if each.name in live),
        services=tuple(_record(service, live.get(service.name)) for service in services),
        negative_ttl_s=zone.negative_ttl_s,
        ns_ttl_s=zone.ns_ttl_s,
        records=records,
    )


def _record(service: Service, live: Assignment | None) -> ServiceRecord:
    if live is None:
        return ServiceRecord(service.name, service.ttl_s)
    return ServiceRecord(service.name, service.ttl_s, answers(service)[live.node], live.node, live.epoch, live.round)


def _records(config: Config) -> Iterator[Placed]:
    yield from {(placed.zone, placed.record): placed for placed in _pointers(config)}.values()  # nodes may share a host
    for i, zone in enumerate(config.zones):
        for k, each in enumerate(zone.records):
            record = StaticRecord(each.name, each.type.value, each.ttl_s, each.data)
            yield Placed(i, record, f"{config.zone_key(i)}.record[{k}]")


def _pointers(config: Config) -> Iterator[Placed]:
    """A node's addresses, in those of our zones that hold their reverse names."""
    for i, service in enumerate(config.services):
        for j, node in enumerate(service.nodes):
            for name in (ip_address(address).reverse_pointer for address in node.addresses if node.ptr):
                if (zone := config.zone_of(name)) is not None:
                    record = StaticRecord(name, "PTR", config.zones[zone].ns_ttl_s, (str(node.ptr),))
                    yield Placed(zone, record, f"service[{i}].node[{j}].ptr")


def checked(config: Config) -> Policy:
    """Who may ask, once it is known that the DNS workers take the zones: now, and after any switch. Raises ConfigError,
    with every record that does not fit the ones before it.
    """
    policy = dns_policy(config)
    if misfits := list(islice(_misfits(config, policy), MISFITS_MAX)):
        raise ConfigError(misfits)
    try:
        check(zones(config, _longest(config)), policy)
    except ValueError as error:
        raise ConfigError([f"zone: {error}"]) from error
    return policy


def _misfits(config: Config, policy: Policy) -> Iterator[str]:
    """What is wrong with records stays wrong when more are added: so the first misfit is found by halving."""
    records = list(_records(config))
    while records and _fault(config, policy, records):
        counts = range(1, len(records) + 1)
        first = bisect_left(counts, True, key=lambda count: bool(_fault(config, policy, records[:count])))
        yield f"{records[first].key}: {_fault(config, policy, records[: first + 1])}"
        del records[first]


def _fault(config: Config, policy: Policy, records: Sequence[Placed]) -> str:
    try:
        Site(_zones(config, {}, records), policy)
    except ValueError as error:
        return str(error)
    return ""


def _longest(config: Config) -> Mapping[str, Assignment]:
    """Each service on the node of which most is to be told."""
    rounds = EPOCH_MAX if config.vantage.unanimous else 0
    return {service.name: Assignment(_wordiest(service), EPOCH_MAX, rounds) for service in config.services}


def _wordiest(service: Service) -> str:
    return max(service.nodes, key=lambda node: len(node.name) + sum(map(len, answers(service)[node.name]))).name
