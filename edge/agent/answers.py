"""What the DNS side is told: the zone with its live assignments, and who may ask. All that the first answer needs."""

from collections.abc import Mapping

from edge.config import Answer, Config, Service
from edge.dns.guard import Deny
from edge.dns.guard import Policy as DnsPolicy
from edge.dns.zone import ServiceRecord, Zone
from edge.failover.model import Assignment


def answers(service: Service) -> Mapping[str, tuple[str, ...]]:
    """What the name answers, by live node."""
    moving = service.switch.secondary_ip
    if service.answer is Answer.SECONDARY and moving:
        return {node.name: (moving.address,) for node in service.nodes}
    return {node.name: node.addresses for node in service.nodes}


def zone(config: Config, live: Mapping[str, Assignment]) -> Zone:
    """The zone with these assignments. The serial is the sum of the epochs: it only grows, alike on every agent."""
    return Zone(
        name=config.zone.name,
        nameservers=config.zone.nameservers,
        contact=config.zone.rname,
        serial=1 + sum(assignment.epoch for assignment in live.values()),
        services=tuple(_record(service, live.get(service.name)) for service in config.services),
        negative_ttl_s=config.zone.negative_ttl_s,
        ns_ttl_s=config.zone.ns_ttl_s,
    )


def _record(service: Service, live: Assignment | None) -> ServiceRecord:
    if live is None:
        return ServiceRecord(service.name, service.ttl_s)
    return ServiceRecord(service.name, service.ttl_s, answers(service)[live.node], live.node, live.epoch)


def dns_policy(config: Config) -> DnsPolicy:
    return DnsPolicy(tuple(str(prefix) for prefix in config.dns.allow_query), Deny(config.dns.deny.value))
