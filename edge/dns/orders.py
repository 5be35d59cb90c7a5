"""What the controller tells a worker: once at its birth by argument, later over a socket of whole messages, as JSON.

The way back has one kind of message, the sequence of the order that now holds, in decimal.
"""

import json
from dataclasses import asdict, dataclass

from edge.dns.guard import Deny, Policy
from edge.dns.zone import Zone

ORDER_MAX_BYTES = 200_000  # one message has to fit the socket's buffer, 212,992 bytes by Linux' default


@dataclass(frozen=True, slots=True)
class Legacy:
    """The file descriptors that a worker inherits, and its generation."""

    channel: int
    counters: int
    roll: int
    generation: int
    udp: tuple[int, ...]
    tcp: tuple[int, ...]

    def descriptors(self) -> tuple[int, ...]:
        return (self.channel, self.counters, self.roll, *self.udp, *self.tcp)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Legacy":
        fields = json.loads(text)
        return cls(**{**fields, "udp": tuple(fields["udp"]), "tcp": tuple(fields["tcp"])})


@dataclass(frozen=True, slots=True)
class Order:
    """Everything that a worker answers from; it replaces the order before it as a whole."""

    sequence: int
    zone: Zone
    policy: Policy

    def to_json(self) -> bytes:
        policy = {"allow_query": self.policy.allow_query, "deny": self.policy.deny.value}
        return json.dumps({"sequence": self.sequence, "zone": self.zone.to_json(), "policy": policy}).encode()

    @classmethod
    def from_json(cls, document: bytes) -> "Order":
        fields = json.loads(document)
        policy = Policy(tuple(fields["policy"]["allow_query"]), Deny(fields["policy"]["deny"]))
        return cls(fields["sequence"], Zone.from_json(fields["zone"]), policy)
