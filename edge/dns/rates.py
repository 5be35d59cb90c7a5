"""How often one network may be told the same, and how much of our time it may take. Pure: `now_s` comes in.

Who forges a victim's address gets our answers sent there. So a network, not an address, has a bucket of tokens for
each thing that it is told:

    a name and type            for what is there, and for NODATA
    NXDOMAIN, by zone          whatever the name: those who ask for random names never ask twice
    an error, by code

Out of tokens, one answer of `slip` is sent empty with TC set, which is no bigger than its question: who is really
there asks again over TCP, where nothing can be forged. The others are dropped.

A packet that no ready answer is there for (a random name, a rare option, garbage) takes several times as long as a
usual one. So a network has one more bucket, for all such packets together, and a flood of them doesn't starve the other
networks. It is asked before the packet is read, for that is a part of the cost; over it, all are dropped.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from ipaddress import ip_address

UNPREPARED_BURST_S = 0.1  # at 1,000/s the first packets of a flood take 2 ms at once; retries are spread wider
MAX_BUCKETS = 20_000  # some 6 MB of each kind; the one that was not used for longest makes room

Network = tuple[int, int]  # the IP version, and the bits of the prefix


@dataclass(frozen=True, slots=True)
class Rates:
    """`per_s`: answers that say the same; 0 is no limit, as it is unless configured: forwarders ask for one name all
    day, and from one network. `unprepared_per_s`: packets without a ready answer; 0 is no limit. `burst_s`: for how
    long a full bucket of answers lasts at twice the rate. `log_only`: counts, and sends all.
    """

    per_s: float = 0.0
    burst_s: float = 5.0
    slip: int = 2  # as BIND and NSD: half of the truth, and no bigger than what came in
    ipv4_prefix: int = 24  # as BIND and NSD: who holds one address holds its neighbours
    ipv6_prefix: int = 56
    log_only: bool = False
    unprepared_per_s: float = 1000.0  # measured: some 20 us each, so that one network takes 2 % of a core


class Pace(Enum):
    PASS = "pass"  # noqa: S105 - no password
    SLIP = "slip"
    DROP = "drop"


class Limiter:
    def __init__(self, rates: Rates) -> None:
        self.rates = rates
        self._answers = _Buckets(rates.per_s, rates.burst_s)
        self._unprepared = _Buckets(rates.unprepared_per_s, UNPREPARED_BURST_S)
        self._network = lru_cache(MAX_BUCKETS)(self._network_of)

    def pace(self, host: str, told: bytes, now_s: float) -> Pace:
        missed = self._answers.take((self._network(host), told), now_s)
        if not missed:
            return Pace.PASS
        return Pace.SLIP if self.rates.slip and missed % self.rates.slip == 0 else Pace.DROP

    def affords(self, host: str, now_s: float) -> bool:
        """Whether a packet without a ready answer may be read."""
        return self.rates.unprepared_per_s == 0 or not self._unprepared.take(self._network(host), now_s)

    def _network_of(self, host: str) -> Network:
        address = ip_address(host.partition("%")[0])
        prefix = self.rates.ipv4_prefix if address.version == 4 else self.rates.ipv6_prefix
        return address.version, int(address) >> address.max_prefixlen - prefix


class _Buckets:
    """By key: its tokens, when they were counted, and how many found none since there was one."""

    def __init__(self, per_s: float, burst_s: float) -> None:
        self._per_s = per_s
        self._room = max(1.0, per_s * burst_s)
        self._buckets: dict[Hashable, tuple[float, float, int]] = {}

    def take(self, key: Hashable, now_s: float) -> int:
        """0 where there was a token; else how many have found none."""
        tokens, counted_s, missed = self._buckets.pop(key, (self._room, now_s, 0))
        tokens = min(self._room, tokens + max(0.0, now_s - counted_s) * self._per_s)
        tokens, missed = (tokens - 1, 0) if tokens >= 1 else (tokens, missed + 1)
        if len(self._buckets) >= MAX_BUCKETS:
            del self._buckets[next(iter(self._buckets))]
        self._buckets[key] = tokens, now_s, missed
        return missed
