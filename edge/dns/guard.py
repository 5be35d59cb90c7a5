"""Who may ask. Pure: a source address in, a verdict out."""

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from ipaddress import ip_address, ip_network

REMEMBERED = 65536  # sources, about 10 MB: forged ones push the oldest out, and then cost a few us each


class Deny(Enum):
    """For those who may not ask. Dropping is the default: a REFUSED may hit somebody whose address was forged."""

    DROP = "drop"
    REFUSE = "refuse"


class Verdict(Enum):
    PASS = "pass"  # noqa: S105 - no password
    REFUSE = "refuse"
    DENIED = "denied"
    PORT_ZERO = "port_zero"


@dataclass(frozen=True, slots=True)
class Policy:
    """`allow_query`: prefixes, IPv4 and IPv6. Everybody else is denied."""

    allow_query: tuple[str, ...]
    deny: Deny = Deny.DROP


class Guard:
    """ValueError for what is no prefix."""

    def __init__(self, policy: Policy) -> None:
        self._prefixes = tuple(ip_network(prefix) for prefix in policy.allow_query)
        self._denied = Verdict.REFUSE if policy.deny is Deny.REFUSE else Verdict.DENIED
        self._remembered = lru_cache(REMEMBERED)(self._judge_host)

    def judge(self, host: str, port: int) -> Verdict:
        """Nothing can be sent to port 0: who asks from there is forged (RFC 6335 section 6 reserves it)."""
        return self._remembered(host) if port else Verdict.PORT_ZERO

    def _judge_host(self, host: str) -> Verdict:
        address = ip_address(host)
        return Verdict.PASS if any(address in prefix for prefix in self._prefixes) else self._denied
