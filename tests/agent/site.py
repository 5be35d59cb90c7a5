"""A site on this machine's loopback: the real `edged`, file-server stand-ins, and the emulated AWS. Nothing of it is a
mock.

Nodes a and b are in one subnet; the secondary address is carried by a third listener, as if both guests were set up
for it.
"""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.control.client import Client
from edge.dns.ask import NotAnsweredError, ask
from edge.errors import ControlError
from edge.stores.sqlite import dump
from tests.cloud.emulator import Emulator, Layout, Seeded
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
EDGECTL = str(Path(sys.executable).with_name("edgectl"))


@dataclass(frozen=True, slots=True)
class Program:
    """A version of the program: its checkout, and the interpreter that has what it needs."""

    root: Path
    python: str
    edgectl: str


PRESENT = Program(ROOT, sys.executable, EDGECTL)
NAME = "files.fs.corp.example"
ADDRESS = {"a": "127.0.1.10", "b": "127.0.1.11"}
SECONDARY = "127.0.1.100"
PATIENCE_S = 60.0
BEAT_S = 0.01

SELDOM = 'check_interval = "24h"'  # what a test counts or lets fail is not to be met by a check

CONFIG = """
[agent]
name = "edge-1"
state_dir = "{home}/state"
[control]
socket = "{home}/edge.sock"
[dns]
listen = ["127.0.0.1:{dns_port}"]
[http]
listen = "127.0.0.1:{http_port}"
[zone]
name = "fs.corp.example"
[zone.nameservers]
"ns1.fs.corp.example" = ["127.0.0.1"]
[aws]
region = "ap-northeast-1"
read_timeout = "{read_timeout}"
views_interval = "1s"
{more_aws}
[[service]]
name = "files.fs.corp.example"
hold_down = "{hold_down}"
switches_per_hour = 1000
mode = "{mode}"
drift = "{drift}"
  [service.probe]
  kind = "smb"
  port = {smb_port}
  interval = "100ms"
  timeout = "100ms"
  fall = 3
  rise = 2
  [[service.node]]
  name = "a"
  address = "{a}"
  instance = "{instance_a}"
  interface = "{eni_a}"
  subnet = "{subnet}"
  [[service.node]]
  name = "b"
  address = "{b}"
  instance = "{instance_b}"
  interface = "{eni_b}"
  subnet = "{subnet}"
{switches}
"""
ROUTE53 = """
  [service.switch.route53]
  zone_id = "{zone_id}"
"""
SECONDARY_IP = """
  [service.switch.secondary_ip]
  address = "{secondary}"
  [service.fence]
  kind = "unassign"
"""
BOTH = ROUTE53 + SECONDARY_IP


def workers(agent: "subprocess.Popen[bytes] | None") -> list[int]:
    """The processes that have its DNS port."""
    assert agent is not None
    return list(map(int, Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split()))


class Site:
    def __init__(self, home: Path, aws: Emulator, switches: str = BOTH, **settings: str) -> None:
        self.home, self.aws = home, aws
        self.seeded: Seeded = aws.seed(self._layout(switches))
        self.dns = ("127.0.0.1", free_port())
        self.http_port, self.smb_port = free_port(), free_port()
        self.servers: dict[str, subprocess.Popen[str]] = {}
        self.agent: subprocess.Popen[bytes] | None = None
        self.aws_env: Mapping[str, str] = aws.env()
        self.program = PRESENT
        self.passed: list[socket.socket] = []  # what a service manager holds
        self.configure(switches, **settings)

    def _layout(self, switches: str) -> Layout:
        secondary = SECONDARY if "secondary_ip" in switches else None
        return Layout(node_a=ADDRESS["a"], node_b=ADDRESS["b"], subnets=("127.0.1.0/24",), secondary=secondary)

    def configure(self, switches: str = BOTH, **settings: str) -> None:
        """Write the agent's file; the settings are the timings and words that a test wants otherwise."""
        given = {
            "read_timeout": "3s",
            "hold_down": "1s",
            "mode": "auto",
            "drift": "alert",
            "more_aws": SELDOM,
            **settings,
        }
        known: dict[str, Any] = {
            "home": self.home,
            "dns_port": self.dns[1],
            "http_port": self.http_port,
            "smb_port": self.smb_port,
            "eni_a": self.seeded.a.interface,
            "eni_b": self.seeded.b.interface,
            "subnet": self.seeded.a.subnet,
            "instance_a": self.seeded.a.instance,
            "instance_b": self.seeded.b.instance,
            **ADDRESS,
        }
        parts = switches.format(zone_id=self.seeded.zone_id, secondary=SECONDARY)
        self.file.write_text(CONFIG.format(**known, **given, switches=parts))

    @property
    def file(self) -> Path:
        return self.home / "edge.toml"

    # --- nodes ------------------------------------------------------------------------------------------------------

    def serve(self, *nodes: str) -> None:
        for node in nodes:
            address = ADDRESS.get(node, SECONDARY)
            command = [sys.executable, "-m", "tests.demo.stand_in", address, str(self.smb_port)]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            server = subprocess.Popen(command, cwd=ROOT, text=True, **pipes)
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
            self.servers[node] = server

    def crash(self, node: str) -> None:
        server = self.servers.pop(node)
        server.kill()
        server.wait()
        for stream in (server.stdin, server.stdout):
            if stream:
                stream.close()

    # --- the agent --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        python, fds = self.program.python, [held.fileno() for held in self.passed]
        activated = [python, "-m", "tests.agent.activate", *map(str, fds), "--"] if fds else []
        command = [*activated, python, "-m", "edge.agent.daemon", "--config", str(self.file)]
        with (self.home / "edged.log").open("ab") as log:
            started = {"cwd": self.program.root, "env": dict(self.aws_env), "pass_fds": fds}
            self.agent = subprocess.Popen(command, stderr=log, **started)

    def kill(self) -> None:
        """kill -9: the controller alone, as a fault would."""
        self._end(signal.SIGKILL)

    def terminate(self) -> int:
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        assert self.agent is not None
        self.agent.send_signal(number)
        return self.agent.wait(PATIENCE_S)

    def close(self) -> None:
        if self.agent and self.agent.poll() is None:
            self.terminate()
        elif self.agent:  # killed: its workers answer on, as they should; a new controller takes them away with itself
            self.start()
            self.until("the successor answers", lambda: bool(self.status()))
            self.terminate()
        for node in list(self.servers):
            self.crash(node)

    # --- what is told -----------------------------------------------------------------------------------------------

    def edgectl(self, *words: str, of: Program | None = None) -> "subprocess.CompletedProcess[str]":
        """By the version that runs, or of another one."""
        program = of or self.program
        command = [program.edgectl, "--socket", str(self.home / "edge.sock"), *words]
        return subprocess.run(
            command, cwd=program.root, text=True, capture_output=True, check=False, timeout=PATIENCE_S
        )

    def status(self) -> dict[str, Any]:
        """What `edgectl --json status` shows of the service; empty while the agent can't be reached."""
        with suppress(ControlError):
            found: dict[str, Any] = Client(str(self.home / "edge.sock")).get("status")["services"][0]
            return found
        return {}

    def answer(self, kind: str = "A", name: str = NAME, server: tuple[str, int] | None = None) -> tuple[str, ...]:
        with suppress(NotAnsweredError):
            return ask(server or self.dns, name, kind, 1.0).values
        return ("silence",)

    def in_vpc(self, kind: str = "A", name: str = NAME) -> tuple[str, ...]:
        return self.answer(kind, name, self.aws.dns_address)

    def kept(self, kind: str) -> Mapping[str, Any]:
        """What the store has: assignment, intent or override."""
        path = self.home / "state" / "edge.sqlite"
        items = {item.key: item.value for item in dump(path)} if path.exists() else {}
        return items.get(f"{kind}/{NAME}", {})

    def holders(self) -> set[str]:
        """The nodes whose interfaces carry the secondary address."""
        enis = {self.seeded.a.interface: "a", self.seeded.b.interface: "b"}
        described = self.aws.client("ec2").describe_network_interfaces(NetworkInterfaceIds=list(enis))
        return {
            enis[each["NetworkInterfaceId"]]
            for each in described["NetworkInterfaces"]
            if SECONDARY in {address["PrivateIpAddress"] for address in each["PrivateIpAddresses"]}
        }

    def settled_on(self, node: str) -> bool:
        status = self.status()
        return bool(status) and (status["live_node"], status["phase"]) == (node, "steady")

    def ready_on(self, node: str) -> bool:
        """Settled, and both nodes are known to be up."""
        return self.settled_on(node) and all(each["verdict"] == "active" for each in self.status()["nodes"])

    def until(self, what: str, holds: Callable[[], bool]) -> None:
        began = time.monotonic()
        while not holds():
            assert time.monotonic() - began < PATIENCE_S, f"in vain: {what}\n{self.told()}"
            time.sleep(BEAT_S)

    def told(self) -> str:
        """The end of the agent's log, and its status."""
        log = (self.home / "edged.log").read_text().splitlines()[-30:]
        return "\n".join([*log, json.dumps(self.status(), indent=1)])
