"""All that is looked for."""

import itertools
from collections.abc import Iterator

from edge.config.clashes import agents, far, moves, names, service
from edge.config.clashes.clash import Clash
from edge.config.models import Config

CHECKS = (*names.CHECKS, *far.CHECKS, *agents.CHECKS)
SERVICE_CHECKS = (*service.CHECKS, *moves.CHECKS)


def clashes_of(config: Config) -> Iterator[Clash]:
    for check in CHECKS:
        yield from check(config)
    for (i, each), service_check in itertools.product(enumerate(config.services), SERVICE_CHECKS):
        yield from service_check(("service", i), each)
