"""What the controller tells a worker: once at its birth by argument, later over a socket of whole messages.

An order is lines of JSON, in paragraphs: the sequence and the policy, and one for each zone (`Zone.lines`). A line that
was in the order before is not read again; after a switch that is all but a few.

On the way back there is the sequence of the order that now holds, in decimal, or NOTIFIED: another agent says that the
store has something new.
"""

import json
from collections.abc import Generator
from dataclasses import asdict, dataclass
from functools import lru_cache

from edge import __version__
from edge.dns.bites import at_once
from edge.dns.guard import Deny, Policy, TcpLimits
from edge.dns.rates import Rates
from edge.dns.zone import Zone
from edge.errors import RefusedError

NOTIFIED = b"notified"
OTHER_VERSION = 3  # a worker's exit status, when it is not of the agent's version
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
        return json.dumps({"version": __version__, **asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> "Legacy":
        """RefusedError for another version's: nothing says that orders and counters are understood."""
        fields = json.loads(text)
        if (theirs := fields.pop("version", "unknown")) != __version__:
            raise RefusedError(f"the agent runs version {theirs}, installed is {__version__}: restart the agent")
        return cls(**{**fields, **{key: tuple(fields[key]) for key in ("udp", "tcp", "shared")}})


@dataclass(frozen=True, slots=True)
class Order:
    """Everything that a worker answers from; it replaces the order before it as a whole."""

    sequence: int
    zones: tuple[Zone, ...]
    policy: Policy

    def to_lines(self) -> bytes:
        policy = {**asdict(self.policy), "deny": self.policy.deny.value}
        paragraphs = [json.dumps(self.sequence), json.dumps(policy)], *(zone.lines() for zone in self.zones)
        return "\n\n".join(map("\n".join, paragraphs)).encode()

    @classmethod
    def from_lines(cls, document: bytes) -> "Order":
        return at_once(cls.reading(document))

    @classmethod
    def reading(cls, document: bytes) -> Generator[None, None, "Order"]:
        head, *paragraphs = document.split(b"\n\n")
        sequence, policy = head.split(b"\n")
        obeyed, zones = _policy(policy), []
        for paragraph in paragraphs:
            yield
            zones.append((yield from Zone.reading(paragraph.split(b"\n"))))
        yield
        return cls(int(sequence), tuple(zones), obeyed)


@lru_cache(1)
def _policy(line: bytes) -> Policy:
    fields = json.loads(line)
    lists = {key: tuple(fields.get(key, ())) for key in ("allow_query", "trusted", "cookie_secrets", "peers")}
    parts = {"deny": Deny(fields["deny"]), "rates": Rates(**fields["rates"]), "tcp": TcpLimits(**fields["tcp"])}
    return Policy(**{**fields, **lists, **parts})
