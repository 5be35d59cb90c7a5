"""The whole product in the laboratory: real Samba nodes behind a line of 10 ms each way, real forwarders, the real
agent.

A client writes files by name through Unbound (stub zone) and through BIND (a delegation). The live node's smbd is
killed with SIGKILL; the next file by name must land on the other node through both, and the private zone must agree.
What it took is printed: EDGE_LAB_RUNS fail-overs (2 by default), each from the kill to the first right answer, and
its stages.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.cloud.emulator import Emulator, Layout, Seeded
from tests.lab.daemon import Daemon
from tests.lab.samba import write_file
from tests.lab.topology import ADDRESS, SERVICE, WITNESS_PORT, Lab

pytestmark = pytest.mark.lab

RUNS = int(os.environ.get("EDGE_LAB_RUNS", "2"))
NAME = SERVICE.rstrip(".")
NODE_OF = {"a": "node-a", "b": "node-b"}
ADDRESS_OF = {node: ADDRESS[host] for node, host in NODE_OF.items()}
FORWARDERS = ("unbound", "bind")
PATIENCE_S = 60.0
EDGECTL = str(Path(sys.executable).with_name("edgectl"))
AWS_DNS = "127.0.0.1"

CONFIG = """
[agent]
name = "edge-1"
state_dir = "{home}"
[control]
socket = "{home}/edge.sock"
[dns]
listen = ["{agent}:53"]
[http]
listen = "127.0.0.1:9353"
[zone]
name = "fs.corp.example"
[zone.nameservers]
"ns1.fs.corp.example" = ["{agent}"]
[aws]
region = "ap-northeast-1"
views_interval = "1s"
[[path.witness]]
name = "witness"
tcp = "{witness}:{witness_port}"
[[service]]
name = "{name}"
hold_down = "1.1s"
switches_per_hour = 1000
  [service.probe]
  kind = "smb"
  interval = "200ms"
  timeout = "200ms"
  fall = 3
  [[service.node]]
  name = "a"
  address = "{a}"
  [[service.node]]
  name = "b"
  address = "{b}"
  [service.switch.route53]
  zone_id = "{zone_id}"
"""


@dataclass(frozen=True, slots=True)
class Site:
    """The laboratory with an emulated AWS on the agent's loopback, and the agent in front of everything."""

    lab: Lab
    aws: Emulator
    seeded: Seeded
    agent: Daemon

    def edgectl(self, *words: str) -> "subprocess.CompletedProcess[str]":
        socket = str(self.lab.scratch / "edge" / "edge.sock")
        return self.lab.run("agent", [EDGECTL, "--socket", socket, *words])

    def status(self) -> dict[str, Any]:
        said = self.edgectl("--json", "status").stdout
        found: dict[str, Any] = json.loads(said)["services"][0] if said else {}
        return found

    def settled_on(self, node: str) -> bool:
        """The agent is content with this node, and could switch away from it at once."""
        status = self.status()
        up = bool(status) and all(each["verdict"] == "active" for each in status["nodes"])
        up = up and status["hold_down_left_s"] == 0
        return up and (status["live_node"], status["phase"], status["reason"]["slug"]) == (node, "steady", "steady")

    def told(self, node: str) -> bool:
        """Whether the agent's clients are told this node's address now."""
        return self.answered("client-bind", ADDRESS["agent"]) == ADDRESS_OF[node]

    def answered(self, role: str, server: str) -> str:
        with suppress(OSError):
            return ",".join(str(record.rdata) for record in self.lab.query(role, server, timeout_s=1.0).rr)
        return ""


@pytest.fixture(scope="module")
def site(lab: Lab) -> Iterator[Site]:
    with lab.spaces["agent"].entered():
        aws = Emulator(dns_port=53).start()
        layout = Layout(node_a=ADDRESS_OF["a"], node_b=ADDRESS_OF["b"], subnets=("10.0.1.0/24", "10.0.2.0/24"))
        seeded = aws.seed(layout)
    running = Site(lab, aws, seeded, start_agent(lab, aws, seeded))
    for server in ("agent", *FORWARDERS):
        running.agent.wait_until(
            lambda server=server: running.answered("client-bind", ADDRESS[server]) != "", PATIENCE_S
        )
    yield running
    running.agent.signal(15)
    running.agent.wait_until(lambda: running.agent.process.poll() is not None)
    aws.stop()


def start_agent(lab: Lab, aws: Emulator, seeded: Seeded) -> Daemon:
    home = lab.scratch / "edge"
    home.mkdir()
    file = home / "edge.toml"
    known = {"agent": ADDRESS["agent"], "witness": ADDRESS["witness"], "witness_port": WITNESS_PORT, "name": NAME}
    file.write_text(CONFIG.format(home=home, zone_id=seeded.zone_id, **known, **ADDRESS_OF))
    argv = [sys.executable, "-m", "edge.agent.daemon", "--config", str(file)]
    return lab.start("agent", argv, "edged.log", env=aws.env())


def written(site: Site, forwarder: str, node: str, file_name: str) -> bool:
    """A user who asks that forwarder writes a file by name; whether it is on that node."""
    file = site.lab.scratch / file_name
    file.write_text(f"{file_name}\n")
    done = write_file(site.lab.spaces[f"client-{forwarder}"], NAME, file)
    assert done.returncode == 0, done.stdout + done.stderr
    return (site.lab.samba[NODE_OF[node]].share / file_name).exists()


def test_files_written_by_name_land_on_the_live_node_before_and_after_its_death(site: Site) -> None:
    live, other = sides(site)
    for forwarder in FORWARDERS:
        assert written(site, forwarder, live, f"before-{forwarder}")
    site.lab.samba[NODE_OF[live]].kill()
    site.agent.wait_until(partial(site.told, other), PATIENCE_S)
    for forwarder in FORWARDERS:
        assert written(site, forwarder, other, f"after-{forwarder}")
    assert site.answered("agent", AWS_DNS) == ADDRESS_OF[other]
    site.lab.samba[NODE_OF[live]].start()


def test_a_node_that_goes_silent_is_failed_over_from(site: Site) -> None:
    """A lost instance sends no reset: only other endpoints that answer prove that the line is not what died."""
    live, other = sides(site)
    site.lab.silence(NODE_OF[live])
    try:
        site.agent.wait_until(partial(site.told, other), PATIENCE_S)
    finally:
        site.lab.unsilence(NODE_OF[live])


def test_a_dead_line_is_no_dead_node(site: Site) -> None:
    live, _ = sides(site)
    before = site.status()["epoch"]
    site.lab.line.cut()
    try:
        site.agent.wait_until(lambda: site.status()["reason"]["slug"] == "path_down", PATIENCE_S)
        assert site.told(live)
    finally:
        site.lab.line.mend()
    site.agent.wait_until(partial(site.settled_on, live), PATIENCE_S)
    assert site.status()["epoch"] == before


def test_a_server_that_hangs_with_its_port_open_is_failed_over_from(site: Site) -> None:
    live, other = sides(site)
    server = site.lab.samba[NODE_OF[live]].daemon
    assert server is not None
    server.signal(signal.SIGSTOP)
    try:
        site.agent.wait_until(partial(site.told, other), PATIENCE_S)
    finally:
        server.signal(signal.SIGCONT)


def sides(site: Site) -> tuple[str, str]:
    """The live node and the other, once the agent is content and could switch."""
    live = str(site.status()["live_node"])
    site.agent.wait_until(partial(site.settled_on, live), PATIENCE_S)
    return live, {"a": "b", "b": "a"}[live]


def test_time_from_a_kill_to_the_first_right_answer(site: Site) -> None:
    watch = site.lab.watch("client-bind", ADDRESS["agent"], "agent.watch")
    took_s = [one_failover(site, watch) for _ in range(RUNS)]
    counts = watch.stop()
    print(f"\n{RUNS} fail-overs, SIGKILL of smbd to the first right answer on-premises (interval 200 ms, fall 3):")
    say("total", [1000 * each for each in took_s])
    site.agent.wait_until(lambda: len(stages(site)) >= RUNS, PATIENCE_S)
    measured = stages(site)[-RUNS:]
    for name in measured[-1]:
        say(name, [took[name] for took in measured if name in took])
    assert set(counts) <= set(ADDRESS_OF.values()), f"a client was told something else: {counts}"


def say(name: str, took_ms: list[float]) -> None:
    median, low, high = (f"{value:.0f}" for value in (statistics.median(took_ms), min(took_ms), max(took_ms)))
    print(f"  {name:8} median {median:>5} ms, from {low} to {high} ms")


def stages(site: Site) -> list[dict[str, float]]:
    """What the agent says that each automatic switch took, by stage, in milliseconds."""
    lines = json.loads(site.edgectl("--json", "history", "--limit", "1000").stdout)["lines"]
    return [line["took_ms"] for line in lines if line["kind"] == "agreed" and "detect" in line["took_ms"]]


def one_failover(site: Site, watch) -> float:  # type: ignore[no-untyped-def]
    live, other = sides(site)
    died_s = site.lab.samba[NODE_OF[live]].kill()
    change = watch.wait_for(lambda change: change.answer == ADDRESS_OF[other] and change.asked_s > died_s)
    site.agent.wait_until(lambda: site.answered("agent", AWS_DNS) == ADDRESS_OF[other], PATIENCE_S)
    site.lab.samba[NODE_OF[live]].start()
    return float(change.seen_s - died_s)
