"""A trusted forwarder asks while one prefix floods the port, with rate limiting on."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial

from tests.conformance.servers import Server
from tests.conformance.zone import FILES
from tests.load import flood
from tests.load.asker import over_udp
from tests.load.figures import Asked, Row
from tests.load.process import running
from tests.load.target import DENIED, STRANGERS, asking, compared, target

FLOOD_PER_S = 50_000
PACE = 1_000
SPARE_S = 10.0  # the flood ends with the asker, and if that fails by itself
FLOODS = {
    "flood, one name": (STRANGERS, False),
    "flood, random names": (STRANGERS, True),
    "flood, denied prefix": (DENIED, False),
}


def rows(rounds: int, seconds: float) -> Iterator[Row]:
    with target() as server:
        quiet = partial(over_udp, asking(server, PACE, seconds))
        for scene, (prefix, random_names) in FLOODS.items():
            plan = flood.Plan(server.host, server.port, prefix, FLOOD_PER_S, seconds + SPARE_S, FILES, random_names)
            yield compared(scene, rounds, quiet, partial(flooded, server, plan, seconds))


def flooded(server: Server, plan: flood.Plan, seconds: float) -> tuple[Asked, str]:
    with running("tests.load.flood", asdict(plan)) as flooding:
        found = over_udp(asking(server, PACE, seconds))
    return found, f"{json.loads(flooding.report)['per_second']:,.0f} packets/s"
