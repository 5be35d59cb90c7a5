"""Response rate limiting: how often one network may be told the same. Pure: `now_s` comes in, a pace comes out.

Who forges a victim's address gets our answers sent there. So a network, not an address, has a bucket of tokens for
each thing that it is told:

    a name and type            for what is there, and for NODATA
    NXDOMAIN, by zone          whatever the name: those who ask for random names never ask twice
    an error, by code

Out of tokens, one answer of `slip` is sent empty with TC set, which is no bigger than its question: who is really
there asks again over TCP, where nothing can be forged. The others are dropped.
"""

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from ipaddress import ip_address, ip_network

MAX_BUCKETS = 20_000  # some 6 MB; the one that was not used for longest makes room


@dataclass(frozen=True, slots=True)
class Rates:
    """`per_s` 0 switches it off, as it is unless configured: forwarders ask for one name all day, and from one
    network. `burst_s`: for how long a full bucket lasts at twice the rate. `log_only`: counts, and sends all.
    """

    per_s: float = 0.0
    burst_s: float = 5.0
    slip: int = 2  # as BIND and NSD: half of the truth, and no bigger than what came in
    ipv4_prefix: int = 24  # as BIND and NSD: who holds one address holds its neighbours
    ipv6_prefix: int = 56
    log_only: bool = False
    unprepared_per_s: float = 1000.0


class Pace(Enum):
    PASS = "pass"  # noqa: S105 - no password
    SLIP = "slip"
    DROP = "drop"


class Limiter:
    """Buckets: (network, what is told) to tokens, when they were counted, answers that were limited since."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._room = max(1.0, rates.per_s * rates.burst_s)
        self._buckets: dict[tuple[str, bytes], tuple[float, float, int]] = {}
        self._network = lru_cache(MAX_BUCKETS)(self._network_of)

    def pace(self, host: str, told: bytes, now_s: float) -> Pace:
        key = self._network(host), told
        tokens, counted_s, limited = self._buckets.pop(key, (self._room, now_s, 0))
        tokens = min(self._room, tokens + max(0.0, now_s - counted_s) * self._rates.per_s)
        passes = tokens >= 1
        self._keep(key, (tokens - 1, now_s, 0) if passes else (tokens, now_s, limited + 1))
        return Pace.PASS if passes else self._slipping(limited + 1)

    def _slipping(self, limited: int) -> Pace:
        return Pace.SLIP if self._rates.slip and limited % self._rates.slip == 0 else Pace.DROP

    def _keep(self, key: tuple[str, bytes], bucket: tuple[float, float, int]) -> None:
        if len(self._buckets) >= MAX_BUCKETS:
            del self._buckets[next(iter(self._buckets))]
        self._buckets[key] = bucket

    def _network_of(self, host: str) -> str:
        bare = host.partition("%")[0]
        prefix = self._rates.ipv4_prefix if ip_address(bare).version == 4 else self._rates.ipv6_prefix
        return str(ip_network(f"{bare}/{prefix}", strict=False).network_address)
