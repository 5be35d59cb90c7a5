"""Who may ask, and how much. Pure: a source address in, a verdict out."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from ipaddress import ip_address, ip_network

from edge.dns.rates import Rates

REMEMBERED = 65536  # sources, about 10 MB: forged ones push the oldest out, and then cost a few us each
# Echo, daytime, chargen, time and kpasswd answer whatever comes: a forged question from there has us talk to them for
# ever (BIND drops the same). Port 53 is not among them: forwarders may ask from there, and
# servers don't answer answers.
REFLECTING_PORTS = frozenset({7, 13, 19, 37, 464})


class Deny(Enum):
    """For those who may not ask. Dropping is the default: a REFUSED may hit somebody whose address was forged."""

    DROP = "drop"
    REFUSE = "refuse"


class Verdict(Enum):
    TRUSTED = "trusted"
    PASS = "pass"  # noqa: S105 - no password
    REFUSE = "refuse"
    DENIED = "denied"
    PORT_ZERO = "port_zero"
    LOOP = "loop"


@dataclass(frozen=True, slots=True)
class TcpLimits:
    """For each worker. `idle_s`: from one whole query to the next one's last byte, so that nobody can trickle."""

    connections: int = 256  # as gdnsd; see `edge.dns.tcp` for who makes room when all are taken
    per_client: int = 32  # forwarders are few and keep one or two
    idle_s: float = 10.0  # RFC 7766 section 6.2.3: "on the order of a few seconds"


@dataclass(frozen=True, slots=True)
class Policy:
    """`allow_query`: prefixes, IPv4 and IPv6; everybody else is denied. `trusted`: those of them that no limit but
    TCP's holds for.

    `amplification`: over UDP an answer without a valid cookie has at most so many times the question's bytes. Ours
    stay below 6, with two nameservers that have an IPv4 and an IPv6 address each.
    `cookie_secrets`: see `edge.dns.cookies`; without one, cookies are ignored. `cookie_required`: BADCOOKIE over UDP
    for those who send one that is not valid.
    `peers`: addresses of the other agents, whose NOTIFY is heeded.
    `identity`: NSID, hostname.bind and id.server; `version`: version.bind and version.server; empty: not told.
    """

    allow_query: tuple[str, ...]
    deny: Deny = Deny.DROP
    trusted: tuple[str, ...] = ()
    amplification: float = 10.0
    cookie_secrets: tuple[str, ...] = ()
    cookie_required: bool = False
    identity: str = ""
    version: str = ""
    rates: Rates = field(default_factory=Rates)
    tcp: TcpLimits = field(default_factory=TcpLimits)
    peers: tuple[str, ...] = ()


def doubtful_ports(own: Iterable[tuple[str, int]]) -> frozenset[int]:
    """From which nobody has shortcuts; `own`: as for `Guard`."""
    return REFLECTING_PORTS | {0} | {port for _, port in own}


class Guard:
    """ValueError for what is no prefix. `own`: the addresses and ports that we listen on."""

    def __init__(self, policy: Policy, own: Iterable[tuple[str, int]] = ()) -> None:
        self._prefixes = tuple(ip_network(prefix) for prefix in policy.allow_query)
        self._trusted = tuple(ip_network(prefix) for prefix in policy.trusted)
        self._denied = Verdict.REFUSE if policy.deny is Deny.REFUSE else Verdict.DENIED
        self._remembered = lru_cache(REMEMBERED)(self.judge_host)
        self._own = frozenset(own)
        self._doubtful = doubtful_ports(self._own)

    def judge(self, host: str, port: int) -> Verdict:
        return self._judge_port(host, port) if port in self._doubtful else self._remembered(host)

    def _judge_port(self, host: str, port: int) -> Verdict:
        """Nothing can be sent to port 0: who asks from there is forged (RFC 6335 section 6 reserves it)."""
        if port == 0:
            return Verdict.PORT_ZERO
        if port in REFLECTING_PORTS or (host, port) in self._own:
            return Verdict.LOOP
        return self._remembered(host)

    def judge_host(self, host: str | bytes) -> Verdict:
        """Whatever the port. `host`: as text or packed."""
        address = ip_address(host)
        if not any(address in prefix for prefix in self._prefixes):
            return self._denied
        return Verdict.TRUSTED if any(address in prefix for prefix in self._trusted) else Verdict.PASS
