"""Both agents restarted in turn while each is asked a thousand times a second: nothing is lost or wrong."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.agent.pair import Pair
from tests.agent.site import Site, workers
from tests.cloud.emulator import Emulator
from tests.dns.steady import Steady
from tests.dns.test_server import A_QUERY, asking, lives

ROUNDS = int(os.environ.get("EDGE_ROLLING_ROUNDS", "1"))
EACH_PER_S = 1000


@pytest.fixture
def pair(tmp_path: Path, cloud: Emulator) -> Iterator[Pair]:
    cloud.reset()
    with closing(Pair(tmp_path, cloud)) as made:
        made.introduce()
        made.begin()
        yield made


def told(site: Site) -> bytes:
    with asking(site.dns[1], A_QUERY) as asker:
        return asker.recv(4096)[2:]


def restarted(site: Site) -> None:
    """As `systemctl restart` does it; over when the new workers answer alone."""
    old = workers(site.agent)
    assert site.agent is not None
    site.agent.send_signal(signal.SIGUSR1)
    assert site.agent.wait(60.0) == 0
    site.start()
    site.until("the successor answers alone", lambda: site.ready_on("a") and not any(map(lives, old)))


def test_a_rolling_restart_of_both_loses_nothing(pair: Pair) -> None:
    sites = (pair.one, pair.two)
    for _ in range(ROUNDS):
        with ExitStack() as asked:
            askers = [asked.enter_context(Steady(site.dns[1], told(site), per_s=EACH_PER_S)) for site in sites]
            for site in sites:
                time.sleep(0.5)
                restarted(site)
            time.sleep(0.5)
        for steady in askers:
            print(f"{steady.asked} asked; lost, refused, wrong: {steady.verdict()}")
            assert steady.asked > 0
            assert steady.verdict() == (0, 0, 0)
