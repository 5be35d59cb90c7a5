"""Two real agents that share a store, in front of both Samba nodes: one leads, the other follows.

The store and Route 53 are the emulated AWS behind the line, each at an address of its own, so that one can be cut
off without the other. One client asks both agents all the time. Every `begin` is a beginning: an empty account, an
empty table, empty state directories.

The agents do little but wait, so several such laboratories fit a machine: `Labs` has a few, and a crew for them.
"""

import contextlib
import os
import queue
import signal
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from edge.config.budget import detection_s
from edge.config.models import Probe
from edge.control.client import Client
from edge.errors import ControlError
from edge.stores.dynamodb import DynamoStore
from edge.stores.table import create
from tests.cloud.emulator import Emulator, Layout, Seeded
from tests.lab import netns
from tests.lab.built import Built
from tests.lab.daemon import Daemon
from tests.lab.topology import ADDRESS, SERVICE, WITNESS_PORT, Lab
from tests.lab.watch import SILENCE, Watch
from tests.stores.conftest import asking

AGENTS = {"edge-1": "agent", "edge-2": "agent-2"}
NODE_OF = {"a": "node-a", "b": "node-b"}
ADDRESS_OF = {node: ADDRESS[host] for node, host in NODE_OF.items()}
T = TypeVar("T")

STORE, ROUTE53 = "10.0.8.8", ADDRESS["endpoints"]
NAME = SERVICE.rstrip(".")
CLIENT = "client-bind"
PATIENCE_S = 90.0
WATCH_EVERY_S, LOOK_S = 0.01, 0.1

LEASE_S, RENEW_S = 6.0, 1.0
PROBE = {"kind": "smb", "interval": "250ms", "timeout": "250ms", "fall": 3}
DETECTION_S = detection_s(Probe.model_validate(PROBE))

CONFIG = """
[agent]
name = "{name}"
state_dir = "{home}/state"
[control]
socket = "{home}/edge.sock"
[dns]
listen = ["{address}:53"]
[http]
listen = "127.0.0.1:9353"
[zone]
name = "fs.corp.example"
[zone.nameservers]
"ns1.fs.corp.example" = ["{one}"]
"ns2.fs.corp.example" = ["{two}"]
[aws]
region = "ap-northeast-1"
connect_timeout = "500ms"
read_timeout = "1s"
views_interval = "1s"
check_interval = "24h"
[aws.endpoints]
dynamodb = "http://{store}:{port}"
route53 = "http://{route53}:{port}"
ec2 = "http://{route53}:{port}"
sts = "http://{route53}:{port}"
[store]
kind = "dynamodb"
table = "{table}"
[lease]
duration = "{lease_s:g}s"
renew = "{renew_s:g}s"
[vantage]
agents = ["edge-1", "edge-2"]
quorum = 1
[[peer]]
name = "{peer}"
dns = "{peer_address}:53"
[[path.witness]]
name = "witness"
tcp = "{witness}:{witness_port}"
[[service]]
name = "{service}"
hold_down = "1.5s"
  [service.probe]
  kind = "{kind}"
  interval = "{interval}"
  timeout = "{timeout}"
  fall = {fall}
  [[service.node]]
  name = "a"
  address = "{a}"
  [[service.node]]
  name = "b"
  address = "{b}"
  [service.switch.route53]
  zone_id = "{zone_id}"
"""

LAYOUT = Layout(
    node_a=ADDRESS_OF["a"], node_b=ADDRESS_OF["b"], subnets=("10.0.1.0/24", "10.0.2.0/24"), record=ADDRESS_OF["a"]
)


@dataclass(slots=True)
class Member:
    """One of the two agents, on its own machine, since the last beginning."""

    name: str
    role: str  # its machine's
    space: netns.Namespace
    home: Path
    env: dict[str, str]
    watch: Watch
    daemon: Daemon | None = None

    def start(self) -> None:
        argv = [sys.executable, "-m", "edge.agent.daemon", "--config", str(self.home / "edge.toml")]
        self.daemon = Daemon.start(self.space, argv, self.home / "edged.log", self.env)

    def kill(self) -> None:
        """kill -9: the controller alone. Its DNS workers answer on."""
        assert self.daemon is not None
        os.kill(self.daemon.process.pid, signal.SIGKILL)
        self.daemon.process.wait()

    def lose(self) -> None:
        """Everything that runs on its machine, at one moment."""
        for pid in netns.pids(self.space.name):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.daemon:
            self.daemon.process.wait()

    def stop(self) -> None:
        """SIGTERM, to its end."""
        assert self.daemon is not None
        self.daemon.process.terminate()
        self.daemon.process.wait(PATIENCE_S)

    def status(self) -> dict[str, Any]:
        """Of the service; empty while the agent can't be reached."""
        with contextlib.suppress(ControlError):
            found: dict[str, Any] = Client(str(self.home / "edge.sock")).get("status")["services"][0]
            return found
        return {}

    def leads(self) -> bool:
        return bool(self.status().get("lease", {}).get("held"))

    def reason(self) -> str:
        """Why it does what it does: `steady`, or the name of its hold."""
        return str(self.status().get("reason", {}).get("slug"))

    def answer(self) -> str:
        """The last one that the client has heard, as `watch.meaning` has it."""
        heard = self.watch.changes()
        return heard[-1].answer if heard else SILENCE

    def told(self, since_s: float) -> list[str]:
        """What it has answered since then that it had not answered before, in order."""
        return [change.answer for change in self.watch.changes() if change.asked_s > since_s]

    def changed_s(self, answer: str, since_s: float) -> float | None:
        """How long after that a client was first told this; None when none was."""
        wanted = (change for change in self.watch.changes() if change.answer == answer and change.asked_s > since_s)
        return next((change.seen_s - since_s for change in wanted), None)


class Shared(Built):
    """In a laboratory that runs, built for both agents."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._ends = contextlib.ExitStack()
        self._begun = 0
        self.members: dict[str, Member] = {}

    def __enter__(self) -> "Shared":
        endpoints = self.lab.spaces["endpoints"]
        endpoints.ip(f"addr add {STORE}/24 dev eth0")
        with self._ends as ends:
            with endpoints.entered():
                self.aws = ends.enter_context(Emulator(host="0.0.0.0", dns_port=53))
                self.calls = asking(self.aws.endpoint_url)
            self.watches = {name: self._watch(name) for name in AGENTS}
            for watch in self.watches.values():
                ends.callback(watch.stop)
            ends.callback(self.clear)
            self._ends = ends.pop_all()
        return self

    def _watch(self, name: str) -> Watch:
        return self.lab.watch(CLIENT, ADDRESS[AGENTS[name]], f"{name}.watch", every_s=WATCH_EVERY_S)

    # --- a beginning ------------------------------------------------------------------------------------------------

    def begin(self, rest_s: float = 0.0) -> tuple[Member, Member]:
        """The leader and the follower, when node a is live and each knows the other's word. `rest_s`: after that."""
        self.clear()
        self._begun += 1
        with self.lab.spaces["endpoints"].entered():
            self.aws.reset()
            seeded = self.aws.seed(LAYOUT)
            create(self.calls, self.table)
        self.members = {name: self._member(name, seeded) for name in AGENTS}
        for member in self.members.values():
            member.start()
        self.until("both are content with a", lambda: all(map(self._content, self.members.values())))
        leader, follower = sorted(self.members.values(), key=Member.leads, reverse=True)
        time.sleep(rest_s)
        return leader, follower

    def clear(self) -> None:
        """Nothing is cut any more, all nodes serve, and no agent runs."""
        self.lab.join()
        for host in NODE_OF.values():
            self.lab.unsilence(host)
        for member in self.members.values():
            member.lose()
        for host in NODE_OF.values():
            server = self.lab.samba[host]
            if server.daemon is None or server.daemon.process.poll() is not None:
                server.start()

    def _member(self, name: str, seeded: Seeded) -> Member:
        home = self.lab.scratch / f"{name}.{self._begun}"
        home.mkdir()
        (home / "edge.toml").write_text(self._config(name, home, seeded))
        role = AGENTS[name]
        return Member(name, role, self.lab.spaces[role], home, self.aws.env(), self.watches[name])

    def _config(self, name: str, home: Path, seeded: Seeded) -> str:
        [peer] = [other for other in AGENTS if other != name]
        known = {"name": name, "peer": peer, "home": home, "zone_id": seeded.zone_id, "table": self.table}
        known |= {"address": ADDRESS[AGENTS[name]], "peer_address": ADDRESS[AGENTS[peer]]}
        known |= {"store": STORE, "route53": ROUTE53, "port": self.aws.endpoint_url.rpartition(":")[2]}
        known |= {"one": ADDRESS["agent"], "two": ADDRESS["agent-2"], "service": NAME}
        known |= {"witness": ADDRESS["witness"], "witness_port": WITNESS_PORT}
        return CONFIG.format(**known, **ADDRESS_OF, **PROBE, lease_s=LEASE_S, renew_s=RENEW_S)

    def _content(self, member: Member) -> bool:
        status = member.status()
        return bool(status) and all(
            (
                (status["live_node"], status["phase"], status["reason"]["slug"]) == ("a", "steady", "steady"),
                status["lease"]["holder"] in AGENTS,
                all(node["verdict"] == "active" for node in status["nodes"]),
                len(status["vantages"]) == 2,
                all(vantage["abstains"] is None for vantage in status["vantages"]),
                status["hold_down_left_s"] == 0,
                member.answer() == ADDRESS_OF["a"],
            )
        )

    @property
    def table(self) -> str:
        return f"edge-{self._begun}"

    # --- what is there ----------------------------------------------------------------------------------------------

    def kept(self, key: str) -> dict[str, Any]:
        """An item of the store, as one looks at it behind the agents' backs."""
        with self.lab.spaces["endpoints"].entered():
            item = DynamoStore(self.calls, self.table).read(key)
        return dict(item.value) if item else {}

    def epoch(self) -> int:
        """The highest that was opened."""
        return int(self.kept(f"intent/{NAME}")["epoch"])

    def in_vpc(self, kind: str = "A", name: str = SERVICE) -> str:
        with contextlib.suppress(OSError):
            return ",".join(str(record.rdata) for record in self.lab.query("witness", ROUTE53, name, kind).rr)
        return SILENCE

    def agreed_on(self, node: str) -> bool:
        """Both agents and Route 53 tell this node at the store's epoch, and both name the same leader."""
        epoch = self.epoch()
        said = [member.status() for member in self.members.values()]
        return (
            all(said)
            and {(each["live_node"], each["epoch"], each["phase"]) for each in said} == {(node, epoch, "steady")}
            and len({each["lease"]["holder"] for each in said}) == 1
            and sum(each["lease"]["held"] for each in said) == 1
            and {member.answer() for member in self.members.values()} == {self.in_vpc()} == {ADDRESS_OF[node]}
            and f"epoch={epoch} node={node}" in self.in_vpc("TXT", f"_edge.{SERVICE}")
        )

    def until(self, what: str, holds: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not holds():
            if time.monotonic() > deadline_s:
                raise AssertionError(f"in vain: {what}\n{self.story()}")
            time.sleep(LOOK_S)

    def story(self) -> str:
        """The ends of both agents' logs, and their statuses."""
        return "\n".join(f"--- {each.name}: {each.status()}\n{self._log(each)}" for each in self.members.values())

    def _log(self, member: Member) -> str:
        return member.daemon.tail() if member.daemon else ""


class Labs(Built):
    """So many laboratories, each with its two agents."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._free: queue.SimpleQueue[Shared] = queue.SimpleQueue()
        self._ends = contextlib.ExitStack()

    def __enter__(self) -> "Labs":
        with self._ends as ends:
            for _ in range(self._count):
                lab = ends.enter_context(Lab(agents=tuple(AGENTS.values())))
                self._free.put(ends.enter_context(Shared(lab)))
            self._crew = ends.enter_context(ThreadPoolExecutor(self._count))
            self._ends = ends.pop_all()
        return self

    def run(self, jobs: Iterable[Callable[[Shared], T]]) -> list[Future[T]]:
        """Each in the first laboratory that is free. Returns when all have ended."""
        begun = [self._crew.submit(self._in_one, job) for job in jobs]
        for each in begun:
            each.exception()
        return begun

    def _in_one(self, job: Callable[[Shared], T]) -> T:
        shared = self._free.get()
        try:
            return job(shared)
        finally:
            self._free.put(shared)
