"""What the controller tells a worker: once at its birth by argument, later over a socket of whole messages, as JSON.

On the way back there is the sequence of the order that now holds, in decimal, or NOTIFIED: another agent says that the
store has something new.
"""

import json
from dataclasses import asdict, dataclass
from functools import lru_cache

from edge.dns.guard import Deny, Policy, TcpLimits
from edge.dns.rates import Rates
from edge.dns.zone import Zone

NOTIFIED = b"notified"
ORDER_MAX_BYTES = 200_000  # one message has to fit the socket's buffer, 212,992 bytes by Linux' default


@dataclass(frozen=True, slots=True)
class Legacy:
    """The file descriptors that a worker inherits, and its generation. `shared`: those of `udp` and `tcp` that others
    read too.
    """

    channel: int
    counters: int
    roll: int
    generation: int
    udp: tuple[int, ...]
    tcp: tuple[int, ...]
    shared: tuple[int, ...]

    def descriptors(self) -> tuple[int, ...]:
        return (self.channel, self.counters, self.roll, *self.udp, *self.tcp)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Legacy":
        fields = json.loads(text)
        return cls(**{**fields, **{key: tuple(fields[key]) for key in ("udp", "tcp", "shared")}})


@dataclass(frozen=True, slots=True)
class Order:
    """Everything that a worker answers from; it replaces the order before it as a whole."""

    sequence: int
    zones: tuple[Zone, ...]
    policy: Policy

    def to_json(self) -> bytes:
        policy = {**asdict(self.policy), "deny": self.policy.deny.value}
        zones = [zone.to_json() for zone in self.zones]
        return json.dumps({"sequence": self.sequence, "zones": zones, "policy": json.dumps(policy)}).encode()

    @classmethod
    def from_json(cls, document: bytes) -> "Order":
        fields = json.loads(document)
        return cls(fields["sequence"], tuple(map(Zone.from_json, fields["zones"])), _policy(fields["policy"]))


@lru_cache(1)
def _policy(text: str) -> Policy:
    """Remembered for the next order, which as a rule has the same."""
    fields = json.loads(text)
    lists = {key: tuple(fields.get(key, ())) for key in ("allow_query", "trusted", "cookie_secrets", "peers")}
    parts = {"deny": Deny(fields["deny"]), "rates": Rates(**fields["rates"]), "tcp": TcpLimits(**fields["tcp"])}
    return Policy(**{**fields, **lists, **parts})
