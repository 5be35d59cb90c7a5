"""A forwarder asks the real agent while its workers are killed, its file is reloaded, and its controller is killed."""

import itertools
import os
import random
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import urlopen

from tests.agent.site import ADDRESS, NAME, Site
from tests.cloud.emulator import Emulator
from tests.load import questions
from tests.load.asker import Plan, over_udp
from tests.load.figures import Asked, Row
from tests.load.target import FORWARDER

PACE = 5_000
KILL_EVERY_S = 6.0  # a worker that lived for less than 5 s is not started again at once
RELOAD_EVERY_S = 0.1
REPLACE_EVERY_S = 4.0


@dataclass
class Agent:
    """The site, and what its file says at each reload: a zone and limits that were not there before."""

    site: Site
    workers: int
    numbers: Iterator[int] = field(default_factory=itertools.count)
    text: str = ""

    def __post_init__(self) -> None:
        self.text = self.site.file.read_text()
        self.write()

    def write(self) -> None:
        number = next(self.numbers)
        dns = f'[dns]\nworkers = {self.workers}\ntrusted_forwarders = ["{FORWARDER}"]'
        dns += f"\nrate_limit.per_second = {number % 7 + 1}\ntcp.connections = {number % 5 + 8}"
        zone = f'[zone]\nnegative_ttl = "{number % 60}s"'
        beside = self.site.file.with_suffix(".new")
        beside.write_text(self.text.replace("[dns]", dns).replace("[zone]", zone))
        beside.replace(self.site.file)

    def kill_a_worker(self) -> None:
        assert self.site.agent is not None
        pid = self.site.agent.pid
        workers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        os.kill(int(random.choice(workers)), signal.SIGKILL)

    def reload(self) -> None:
        assert self.site.agent is not None
        self.write()
        self.site.agent.send_signal(signal.SIGHUP)

    def replace_the_controller(self) -> None:
        self.site.kill()
        self.site.start()
        self.site.until("the successor is content with a", lambda: self.site.ready_on("a"))


@dataclass(frozen=True, slots=True)
class Scene:
    workers: int
    act: Callable[[Agent], None]
    every_s: float
    what: str


SCENES: Mapping[str, Scene] = {
    "one of two workers killed": Scene(2, Agent.kill_a_worker, KILL_EVERY_S, "times kill -9"),
    "the only worker killed": Scene(1, Agent.kill_a_worker, KILL_EVERY_S, "times kill -9"),
    "reloaded again and again": Scene(2, Agent.reload, RELOAD_EVERY_S, "times SIGHUP"),
    "controller killed, a new one": Scene(2, Agent.replace_the_controller, REPLACE_EVERY_S, "times kill -9"),
}


def rows(rounds: int, seconds: float) -> Iterator[Row]:
    """Each scene once, whatever the rounds, and for so long that a worker is killed at least once."""
    with Emulator() as aws:
        for name, scene in SCENES.items():
            yield survived(aws, name, scene, max(seconds, KILL_EVERY_S), PACE)


def survived(aws: Emulator, name: str, scene: Scene, seconds: float, pace: int) -> Row:
    with agent(aws, scene.workers) as running:
        done: list[Asked] = []
        asking = threading.Thread(target=lambda: done.append(over_udp(plan(running.site, pace, seconds))))
        asking.start()
        times = again_and_again(running, scene, asking)
        running.site.until("the last reload is in force", lambda: reload_ok(running.site))
    return Row(name, None, done[0], f"{times} {scene.what}")


def reload_ok(site: Site) -> bool:
    with urlopen(f"http://127.0.0.1:{site.http_port}/metrics") as page:
        return b"edge_config_reload_success 1.0" in page.read()


def again_and_again(running: Agent, scene: Scene, asking: threading.Thread) -> int:
    """Until the asker has its last answer. First after half an interval."""
    asking.join(scene.every_s / 2)
    times = 0
    while asking.is_alive():
        scene.act(running)
        times += 1
        asking.join(scene.every_s)
    return times


def plan(site: Site, pace: int, seconds: float) -> Plan:
    right = (questions.a_answer(NAME, ADDRESS["a"]).hex(),)
    return Plan(*site.dns, FORWARDER, pace, seconds, questions.a_query(NAME).hex(), right)


@contextmanager
def agent(aws: Emulator, workers: int) -> Iterator[Agent]:
    aws.reset()
    with TemporaryDirectory() as home:
        site = Site(Path(home), aws)
        site.serve("a", "b", "secondary")
        running = Agent(site, workers)
        site.start()
        try:
            site.until("the agent is content with a", lambda: site.ready_on("a"))
            yield running
        finally:
            site.close()
