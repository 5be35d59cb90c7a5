"""What the DNS side is told of each service's addresses, and of who may ask."""

import re
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path

from edge import __version__
from edge.config import Answer, Config, Service
from edge.dns.guard import Deny, TcpLimits
from edge.dns.guard import Policy as DnsPolicy
from edge.dns.rates import Rates
from edge.errors import ConfigError


def answers(service: Service) -> Mapping[str, tuple[str, ...]]:
    """What the name answers, by live node."""
    moving = service.switch.secondary_ip
    if service.answer is Answer.SECONDARY and moving:
        return {node.name: (moving.address,) for node in service.nodes}
    return {node.name: node.addresses for node in service.nodes}


def dns_policy(config: Config) -> DnsPolicy:
    """Who may ask, and how much. Raises ConfigError for a cookie secret that can't be read."""
    dns, limit = config.dns, config.dns.rate_limit
    peers = tuple(str(ip_address(peer.dns.address)) for peer in config.peers)
    return DnsPolicy(
        allow_query=(*map(str, dns.allow_query), *_ourselves(config), *peers),
        deny=Deny(dns.deny.value),
        trusted=tuple(map(str, dns.trusted_forwarders)),
        amplification=dns.amplification,
        cookie_secrets=tuple(_secret(i, path) for i, path in enumerate(dns.cookie_secrets)),
        cookie_required=dns.cookie_required,
        identity=config.agent.name if dns.identity else "",
        version=f"edge {__version__}" if dns.version else "",
        rates=Rates(
            limit.per_second,
            limit.burst_s,
            limit.slip,
            limit.ipv4_prefix,
            limit.ipv6_prefix,
            log_only=limit.log_only,
            unprepared_per_s=limit.unprepared_per_s,
        ),
        tcp=TcpLimits(dns.tcp.connections, dns.tcp.per_client, dns.tcp.idle_s),
        peers=peers,
    )


def _ourselves(config: Config) -> tuple[str, ...]:
    """The agent asks its own workers what they tell: on a wildcard from the loopback, else from the address itself."""
    return tuple(asked(endpoint.address) for endpoint in config.dns.listen)


def asked(listening: str) -> str:
    """The address at which this host reaches a listener of its own."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listening, listening)


def _secret(index: int, path: Path) -> str:
    key = f"dns.cookie_secrets[{index}]"
    try:
        secret = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{key}: {path} can't be read: {error}"]) from error
    if not re.fullmatch(r"[0-9a-fA-F]{32}", secret):
        raise ConfigError([f"{key}: {path} does not hold 32 hex digits: `openssl rand -hex 16` makes some"])
    return secret
