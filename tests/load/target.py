"""Who is put under load: a real controller's side with its worker processes, and the forwarder that it trusts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import sleep

from edge.dns.guard import Policy
from edge.dns.rates import Rates
from tests.conformance.servers import Server, edge
from tests.conformance.zone import FILES, FILES_ADDRESSES
from tests.load import questions
from tests.load.asker import Plan
from tests.load.figures import Asked, Row, merged

FORWARDER = "127.0.0.1"
STRANGERS, DENIED = "127.66.0", "127.99.0"
POLICY = Policy(("127.0.0.0/16", "127.66.0.0/16"), trusted=(FORWARDER,), rates=Rates(per_s=20))
WORKERS = 1  # as configured by default
SETTLE_S = 3.0

Measure = Callable[[], Asked]


@contextmanager
def target(workers: int = WORKERS) -> Iterator[Server]:
    with TemporaryDirectory() as home, edge(Path(home), workers, POLICY) as server:
        yield server


def asking(server: Server, per_second: int, seconds: float) -> Plan:
    query, right = questions.a_query(FILES), (questions.a_answer(FILES, FILES_ADDRESSES[0]).hex(),)
    return Plan(server.host, server.port, FORWARDER, per_second, seconds, query.hex(), right)


def compared(scene: str, rounds: int, quiet: Measure, loaded: Callable[[], tuple[Asked, str]]) -> Row:
    """Quiet and loaded in turns. The note is the last round's."""
    both = [(settled(quiet), loaded()) for _ in range(rounds)]
    return Row(scene, merged([calm for calm, _ in both]), merged([busy for _, (busy, _) in both]), both[-1][1][1])


def settled(quiet: Measure) -> Asked:
    """What the scene before has left in the receive buffer is worked off first."""
    sleep(SETTLE_S)
    return quiet()
