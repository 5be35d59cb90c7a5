"""What a clash is, and what looks for one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edge.config.models import Config, Node, Service

Loc = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Clash:
    """`keys` are all that the check has read; the first is the one to mend, and stands in the message."""

    keys: tuple[Loc, ...]
    text: str


Check = Callable[[Config], Iterator[Clash]]
ServiceCheck = Callable[[Loc, Service], Iterator[Clash]]


def zone_names(config: Config) -> tuple[Loc, ...]:
    return tuple(("zone", i, "name") for i in range(len(config.zones)))


def nodes(config: Config) -> Iterator[tuple[Loc, Node]]:
    for i, service in enumerate(config.services):
        for j, node in enumerate(service.nodes):
            yield ("service", i, "node", j), node
