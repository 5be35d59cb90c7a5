"""Who answers for the zone: the agent, or a server written in C with the same records, killed by the same signals.

    Agent     the real one; an operator's order moves its answer
    Knot, NSD a master file that always says node a; they tell what a forwarder makes of any authority's end

The machine that it runs on is set up as `deploy/edge-sysctl.conf` says, or left as Linux has it.

An end is `silence` (what a machine without power does), `kill` (SIGKILL to all its processes: the machine stays, and
its closed port refuses) or `stop` (SIGTERM, as before a restart).
"""

import os
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar

from edge.control.client import Client
from edge.errors import ControlError
from tests.conformance.servers import KNOT, NSD
from tests.lab import netns
from tests.lab.daemon import Daemon, accepts_tcp
from tests.lab.forwarders import AGENTS, ZONE, Place

NODES = {"a": "10.0.1.10", "b": "10.0.2.10"}
NODE_PORT = 445
PATIENCE_S = 60.0
SYSCTLS = netns.ROOT / "deploy" / "edge-sysctl.conf"
CONFIG = """
[agent]
name = "{name}"
state_dir = "{home}"
[control]
socket = "{home}/edge.sock"
[dns]
listen = ["{address}:53"]
[zone]
name = "fs.corp.example"
[zone.nameservers]
"ns1.fs.corp.example" = ["10.10.0.53"]
"ns2.fs.corp.example" = ["10.10.0.54"]
[[service]]
name = "files.fs.corp.example"
mode = "manual"
  [service.probe]
  kind = "tcp"
  port = 445
  interval = "500ms"
  [[service.node]]
  name = "a"
  address = "10.0.1.10"
  [[service.node]]
  name = "b"
  address = "10.0.2.10"
"""
GLUE = "".join(f"{name.removesuffix('.fs')} 300 IN A {address}\n" for address, name in AGENTS.items())
MASTER_FILE = f"""$ORIGIN {ZONE}
@ 300 IN SOA ns1 hostmaster 1 3600 600 604800 5
@ 300 IN NS ns1
@ 300 IN NS ns2
{GLUE}files 0 IN A {NODES["a"]}
"""


def set_up(machine: netns.Namespace) -> None:
    for line in SYSCTLS.read_text().splitlines():
        if line and not line.startswith("#"):
            machine.write_sysctl(*map(str.strip, line.split("=")))


@dataclass(slots=True)
class Authority(ABC):
    number: int
    router: netns.Namespace
    place: Place
    daemon: Daemon | None = None

    title: ClassVar[str]

    @abstractmethod
    def argv(self) -> Sequence[str]:
        """Lays its files, and says how it is called."""

    @abstractmethod
    def promote(self, node: str) -> None: ...

    def ready(self) -> bool:
        return accepts_tcp(self.place.space, self.place.address, 53)

    @property
    def address(self) -> str:
        return self.place.address

    def start(self) -> None:
        self.place.home.mkdir(exist_ok=True)
        self.daemon = Daemon.start(self.place.space, self.argv(), self.place.home / "log")

    def serve(self, node: str) -> None:
        assert self.daemon is not None
        self.daemon.wait_until(self.ready, PATIENCE_S)
        self.promote(node)

    def kill(self) -> None:
        """All of them: the agent's workers and NSD's children are more than a process group."""
        for pid in netns.pids(self.place.space.name):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._gone()

    def stop(self) -> None:
        assert self.daemon is not None
        self.daemon.process.terminate()
        self._gone()

    def _gone(self) -> None:
        assert self.daemon is not None
        self.daemon.process.wait()

    def silence(self) -> None:
        self.router.ip(f"route replace blackhole {self.address}/32")

    def unsilence(self) -> None:
        self.router.ip(f"route del blackhole {self.address}/32")
        self.router.ip(f"route replace {self.address}/32 dev agent-{self.number}")


class Agent(Authority):
    title = "Edge"

    @property
    def client(self) -> Client:
        return Client(str(self.place.home / "edge.sock"))

    def argv(self) -> Sequence[str]:
        config = CONFIG.format(name=f"edge-{self.number}", home=self.place.home, address=self.address)
        return [sys.executable, "-m", "edge.agent.daemon", "--config", self.place.write("edge.toml", config)]

    def ready(self) -> bool:
        """It sees both nodes."""
        with suppress(ControlError):
            nodes = self.client.get("status")["services"][0]["nodes"]
            return all(node["verdict"] == "active" for node in nodes)
        return False

    def promote(self, node: str) -> None:
        self.client.post("promote", node=node, reason="the laboratory switches")


class Peer(Authority):
    def promote(self, node: str) -> None:
        if node != "a":
            raise ValueError(f"{self.title} answers node a for ever, not {node}")

    def lay(self, file: str, text: str, zone: str) -> str:
        name = ZONE.removesuffix(".")
        self.place.write(name, MASTER_FILE)
        home = self.place.home
        told = text.format(host=self.address, port=53, home=home, threads=1, zones=zone.format(name=name, home=home))
        return self.place.write(file, told)


class Knot(Peer):
    title = "Knot"

    def argv(self) -> Sequence[str]:
        return ["knotd", "-c", self.lay(*KNOT)]


class Nsd(Peer):
    title = "NSD"

    def argv(self) -> Sequence[str]:
        return ["nsd", "-d", "-c", self.lay(*NSD)]
