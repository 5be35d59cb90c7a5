"""The leader tells the other agent of what it commits, and that one reads the store at once.

Two real agents, the look at the store by itself once in `OFTEN_S`: what is known sooner, NOTIFY told.
"""

import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edge.agent.notices import source
from edge.config import load
from edge.dns.notify import notice
from tests.agent.pair import Pair
from tests.agent.site import ADDRESS, Site
from tests.agent.test_agent import sample
from tests.cloud.emulator import Emulator

CONFIGS = Path(__file__).parents[2] / "config"
LEASE_S, RENEW_S = 600.0, 200.0
OFTEN_S = RENEW_S / 4
ZONE = "fs.corp.example"


@pytest.fixture
def pair(tmp_path: Path, cloud: Emulator) -> Iterator[Pair]:
    """Agent one leads and agent two follows."""
    cloud.reset()
    with closing(Pair(tmp_path, cloud, lease_s=LEASE_S, renew_s=RENEW_S)) as made:
        made.introduce()
        made.begin()
        yield made


def promoted(site: Site, node: str) -> float:
    """When it was committed, by this machine's clock."""
    done = site.edgectl("promote", node, "--reason", "test", "--yes")
    assert done.returncode == 0, done.stderr
    return time.monotonic()


def notified(site: Site, event: str = "notified") -> float:
    return sample(site, "edge_dns_events_total", event=event)


def test_a_follower_that_is_told_reads_at_once(pair: Pair) -> None:
    began = time.monotonic()
    for number, node in enumerate(("b", "a"), 1):
        promoted(pair.one, node)
        pair.two.until("two serves it", lambda node=node: pair.two.answer() == (ADDRESS[node],))
        assert notified(pair.two) >= number
    assert time.monotonic() - began < OFTEN_S, "two looks of its own would have taken longer"


def test_a_flood_of_notices_costs_few_reads(pair: Pair) -> None:
    """From the peer's address, as if it had been forged. The reads are the follower's: the leader has none to do."""
    aws = pair.one.aws
    aws.forget_calls()
    began = time.monotonic()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect(pair.two.dns)
        for number in range(500):
            asking.send(notice(number, ZONE))
            time.sleep(0.002)
    pair.two.until("it has read", lambda: bool(aws.calls("dynamodb:Query")))
    took_s = time.monotonic() - began
    assert notified(pair.two) > 100
    assert len(aws.calls("dynamodb:Query")) <= took_s / 0.1 + 2


def test_a_notice_of_a_stranger_is_turned_down_and_counted(pair: Pair) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.bind(("127.0.0.9", 0))
        asking.settimeout(10.0)
        asking.connect(pair.two.dns)
        asking.send(notice(7, ZONE))
        assert asking.recv(512)[3] & 0xF == 4
    assert notified(pair.two, "notify_denied") == 1


def test_it_is_sent_from_where_the_peer_knows_us() -> None:
    config = load(CONFIGS / "two-agents.toml")
    [peer] = config.peers
    assert source(config, peer) == "10.10.0.53"
