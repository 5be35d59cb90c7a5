"""A trusted forwarder asks, over UDP and over TCP, while a thousand connections say a byte a second."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial

from tests.load import loris
from tests.load.asker import over_tcp, over_udp
from tests.load.figures import Asked, Row
from tests.load.flooded import PACE, SPARE_S
from tests.load.process import running
from tests.load.target import Measure, asking, compared, target

CONNECTIONS = 1_000
TCP_PACE = 100


def rows(rounds: int, seconds: float) -> Iterator[Row]:
    with target() as server:
        asks: dict[str, Measure] = {
            "UDP": partial(over_udp, asking(server, PACE, seconds)),
            "TCP": partial(over_tcp, asking(server, TCP_PACE, seconds)),
        }
        for addresses in (1, CONNECTIONS):
            plan = loris.Plan(server.host, server.port, CONNECTIONS, addresses, seconds + SPARE_S)
            for transport, ask in asks.items():
                scene = f"slow loris from {addresses}, {transport}"
                yield compared(scene, rounds, ask, partial(trickled, plan, ask))


def trickled(plan: loris.Plan, ask: Measure) -> tuple[Asked, str]:
    with running("tests.load.loris", asdict(plan)) as trickling:
        found = ask()
    report = json.loads(trickling.report)
    return found, f"{report['opened']:,} connections opened, {report['held']} held"
