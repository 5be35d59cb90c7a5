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
from tests.agent.test_sockets import held_sockets
from tests.cloud.emulator import Emulator
from tests.dns.steady import Steady
from tests.dns.test_server import A_QUERY, asking, lives

WAYS = {
    "own sockets, restarted": (False, signal.SIGUSR1),
    "own sockets, killed": (False, signal.SIGKILL),
    "passed sockets, restarted": (True, signal.SIGUSR1),
    "passed sockets, stopped and started": (True, signal.SIGTERM),
    "passed sockets, killed": (True, signal.SIGKILL),
}
ROUNDS = int(os.environ.get("EDGE_ROLLING_ROUNDS", "1"))
EACH_PER_S = 1000


@pytest.fixture
def pair(tmp_path: Path, cloud: Emulator, held: bool) -> Iterator[Pair]:
    cloud.reset()
    with ExitStack() as opened:
        made = opened.enter_context(closing(Pair(tmp_path, cloud)))
        made.introduce()
        for site in (made.one, made.two):
            site.passed = [opened.enter_context(each) for each in held_sockets(site.dns[1])] if held else []
        made.begin()
        yield made


def told(site: Site) -> bytes:
    with asking(site.dns[1], A_QUERY) as asker:
        return asker.recv(4096)[2:]


def restarted(site: Site, number: signal.Signals) -> None:
    """SIGUSR1: as `systemctl restart` does it. Over when the new workers answer alone."""
    old = workers(site.agent)
    assert site.agent is not None
    site.agent.send_signal(number)
    site.agent.wait(60.0)
    site.start()
    site.until("the successor answers alone", lambda: site.ready_on("a") and not any(map(lives, old)))


@pytest.mark.parametrize(("held", "number"), WAYS.values(), ids=WAYS.keys())
def test_a_rolling_restart_of_both_loses_nothing(pair: Pair, number: signal.Signals) -> None:
    sites = (pair.one, pair.two)
    for _ in range(ROUNDS):
        with ExitStack() as asked:
            askers = [asked.enter_context(Steady(site.dns[1], told(site), per_s=EACH_PER_S)) for site in sites]
            for site in sites:
                time.sleep(0.5)
                restarted(site, number)
            time.sleep(0.5)
        for steady in askers:
            print(f"{steady.asked} asked; lost, refused, wrong: {steady.verdict()}")
            assert steady.asked > 0
            assert steady.verdict() == (0, 0, 0)
