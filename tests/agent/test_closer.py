"""A closer look of the real agent: at a node that dies, and over a path that loses only some of what is sent."""

import random
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.agent.site import ADDRESS, ROUTE53, Site
from tests.agent.test_agent import sample
from tests.cloud.emulator import Emulator
from tests.demo.stand_in import negotiated

INTERVAL_S, TIMEOUT_S = 0.4, 0.2
PUNCTUAL_S = 0.03  # a probe that comes so near to its time is one of the schedule


class Line:
    """What the path to each node does. Once it is lossy, it loses two in five, but of the probes of the schedule, which
    come at one time of each interval, every one to a and none to b: the unluckiest start of a loss that can be.
    """

    def __init__(self) -> None:
        self.lossy = False
        self.dead = ""
        self._random = random.Random(1)
        self._on_time: dict[str, float] = {}

    def loses(self, node: str, at: float) -> bool:
        if not self.lossy:
            self._on_time[node] = at
            return node == self.dead
        if node == self.dead:
            return True
        late_s = (at - self._on_time[node]) % INTERVAL_S
        scheduled = min(late_s, INTERVAL_S - late_s) < PUNCTUAL_S
        return node == "a" if scheduled else self._random.random() < 0.4


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True


@contextmanager
def behind(line: Line, node: str, port: int) -> Iterator[None]:
    """A file server's stand-in behind the line. What is lost is accepted, as the kernel does, and never answered."""

    class Session(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            lost = line.loses(node, time.monotonic())
            with suppress(ConnectionError):  # a probe that gives up resets it
                while self.request.recv(4096):
                    if not lost:
                        self.request.sendall(negotiated())

    with Server((ADDRESS[node], port), Session) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


@pytest.fixture
def site(tmp_path: Path, cloud: Emulator) -> Iterator[Site]:
    cloud.reset()
    made = Site(tmp_path, cloud, ROUTE53)
    text = made.file.read_text().replace('interval = "100ms"', 'interval = "400ms"\n  jitter = 0.0')
    text = text.replace('hold_down = "1s"', 'hold_down = "2s"')
    made.file.write_text(text.replace('timeout = "100ms"', 'timeout = "200ms"'))
    yield made
    made.close()


@pytest.fixture
def line(site: Site) -> Iterator[Line]:
    """The agent is content with a, and knows a path that loses nothing."""
    made = Line()
    with ExitStack() as servers:
        for node in ADDRESS:
            servers.enter_context(behind(made, node, site.smb_port))
        site.start()
        site.until("the agent is content", lambda: site.ready_on("a") or site.ready_on("b"))
        site.edgectl("promote", "a", "--reason", "the line is to a", "--yes")
        site.until("the agent is content with a", lambda: site.ready_on("a"))
        time.sleep(30 * INTERVAL_S)
        yield made
        made.dead = ""


def glimpses(site: Site, endpoint: str) -> dict[str, float]:
    return {
        kind: sample(site, "edge_glimpses_total", endpoint=endpoint, kind=kind)
        for kind in ("answered", "lost", "local")
    }


def test_a_node_that_dies_is_looked_at_closely_and_so_are_the_others_until_it_is_judged(site: Site, line: Line) -> None:
    assert sum(glimpses(site, "a").values()) == 0
    line.dead = "a"
    site.until("b is answered", lambda: site.answer() == (ADDRESS["b"],))
    assert "probes more it lost" in site.edgectl("history").stdout
    of_a, of_b = glimpses(site, "a"), glimpses(site, "b")
    assert (of_a["answered"], of_b["lost"]) == (0, 0)
    assert of_a["lost"] >= 3
    assert of_b["answered"] >= 3
    assert site.status()["closer_look"] == []
    time.sleep(3 * INTERVAL_S)
    assert glimpses(site, "b") == of_b


def test_loss_that_hits_each_scheduled_probe_of_the_live_node_and_none_of_the_other_moves_nothing(
    site: Site, line: Line
) -> None:
    line.lossy = True
    site.until("it is doubted", lambda: "probes more it answered" in site.status()["reason"]["sentence"])
    assert [each["name"] for each in site.status()["closer_look"]] == ["a", "b"]
    assert site.status()["live_node"] == "a"
    line.dead = "a"
    site.until("b is answered", lambda: site.answer() == (ADDRESS["b"],))
