"""The whole laboratory: a VPC and a data centre, with a line between them, in twelve namespaces.

        VPC 10.0.0.0/16                                          data centre 10.10.0.0/24
                                          dx0 ═══ line ═══ dx0
    node-a    10.0.1.10 ──┐                                      ┌── agent           10.10.0.53
    node-b    10.0.2.10 ──┼── vpc (router)               onprem ─┼── agent-2         10.10.0.54
    witness   10.0.9.5  ──┤   .1 in each subnet    bridge, .1    ├── unbound         10.10.0.10
              (TCP 443)   │                                      ├── bind            10.10.0.11
    endpoints 10.0.8.9  ──┘                                      ├── client-unbound  10.10.0.20 asks unbound
                                                                 └── client-bind     10.10.0.21 asks bind

The emulated AWS runs on the agent's loopback, or at `endpoints` where several agents ask it. No namespace has a way
out of the laboratory. Everything ends with the `with` block, also after a failure.
"""

import contextlib
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from dnslib import DNSRecord

from tests.lab import forwarders, netns
from tests.lab.built import Built
from tests.lab.daemon import Daemon, accepts_tcp
from tests.lab.line import DEVICE, Line
from tests.lab.samba import Samba
from tests.lab.watch import EVERY_S, Watch

VPC_HOSTS = {"node-a": "10.0.1.10", "node-b": "10.0.2.10", "witness": "10.0.9.5", "endpoints": "10.0.8.9"}
ONPREM_HOSTS = {
    "agent": "10.10.0.53",
    "agent-2": "10.10.0.54",
    "unbound": "10.10.0.10",
    "bind": "10.10.0.11",
    "client-unbound": "10.10.0.20",
    "client-bind": "10.10.0.21",
}
ADDRESS = VPC_HOSTS | ONPREM_HOSTS
NODES = ("node-a", "node-b")
RESOLVER = {"client-bind": ADDRESS["bind"]}  # everybody else asks Unbound
VPC_RANGE, ONPREM_RANGE = "10.0.0.0/16", "10.10.0.0/24"
WITNESS_PORT = 443
SERVICE = f"files.{forwarders.ZONE}"
QUERY_S = 2.0


class Lab(Built):
    """Starts with the line up, Samba on both nodes, the witness, both forwarders, and no agent."""

    def __init__(self, agents: Sequence[str] = ("agent",)) -> None:
        self.run_id = netns.new_run_id()
        self._agents = [ADDRESS[agent] for agent in agents]
        self._cuts: list[str] = []
        self._parted: set[str] = set()
        self._ends = contextlib.ExitStack()

    def __enter__(self) -> "Lab":
        netns.sweep()
        with self._ends as ends:
            ends.callback(netns.destroy, self.run_id)
            self.scratch = netns.scratch(self.run_id)
            self._build()
            self.line = Line(self.spaces["vpc"], self.spaces["onprem"])
            self._route()
            self.line.start()
            ends.callback(self.line.stop)
            self._serve()
            self._ends = ends.pop_all()
        return self

    def run(self, role: str, argv: Sequence[str], timeout_s: float = 30.0) -> subprocess.CompletedProcess[str]:
        return self.spaces[role].run(argv, timeout_s)

    def popen(self, role: str, argv: Sequence[str], **options: Any) -> "subprocess.Popen[bytes]":
        return self.spaces[role].popen(argv, **options)

    def start(
        self, role: str, argv: Sequence[str], log: str, env: Mapping[str, str] | None = None, **options: Any
    ) -> Daemon:
        """A server in that namespace; its output goes to the file `log` in the scratch folder."""
        return Daemon.start(self.spaces[role], argv, self.scratch / log, env, **options)

    def query(
        self, role: str, server: str, name: str = SERVICE, kind: str = "A", timeout_s: float = QUERY_S
    ) -> DNSRecord:
        """One question over UDP from that namespace; TimeoutError when nobody answers in time."""
        question = DNSRecord.question(name, kind)
        with self.spaces[role].socket(socket.SOCK_DGRAM) as asker:
            asker.settimeout(timeout_s)
            asker.connect((server, 53))
            asker.send(question.pack())
            return DNSRecord.parse(asker.recv(4096))

    def watch(self, role: str, server: str, log: str, name: str = SERVICE, every_s: float = EVERY_S) -> Watch:
        return Watch(self.spaces[role], server, name, self.scratch / log, every_s)

    def silence(self, host: str) -> None:
        """That host of the VPC is gone as a lost instance is: no reset, no ICMP, nothing."""
        self.spaces["vpc"].ip(f"route add blackhole {ADDRESS[host]}/32")

    def unsilence(self, host: str) -> None:
        """May be repeated."""
        self.spaces["vpc"].run(["ip", "route", "del", "blackhole", f"{ADDRESS[host]}/32"])

    def cut(self, here: str, far: str) -> None:
        """Between a host of the data centre and an address of the VPC nothing passes any more: silence both ways."""
        for words in (f"from {ADDRESS[here]} to {far}", f"from {far} to {ADDRESS[here]}"):
            self.spaces["vpc"].ip(f"rule add {words} blackhole")
            self._cuts.append(words)

    def part(self, *hosts: str) -> None:
        """These hosts of the data centre don't reach each other any more, and all others as before."""
        for host in hosts:
            self._isolate(host, "on")
            self._parted.add(host)

    def join(self) -> None:
        """Nothing is cut or parted any more."""
        while self._cuts:
            self.spaces["vpc"].ip(f"rule del {self._cuts.pop()} blackhole")
        while self._parted:
            self._isolate(self._parted.pop(), "off")

    def _isolate(self, host: str, isolated: str) -> None:
        """Frames pass from an isolated port to those that are not, and back (ip-link(8), bridge_slave)."""
        self.spaces["onprem"].ip(f"link set dev {host} type bridge_slave isolated {isolated}")

    def _build(self) -> None:
        roles = ("vpc", "onprem", *ADDRESS)
        self.spaces = {role: netns.create(self.run_id, role, RESOLVER.get(role, ADDRESS["unbound"])) for role in roles}
        self.spaces["onprem"].ip("link add lan type bridge")
        self.spaces["onprem"].ip("addr add 10.10.0.1/24 dev lan")
        self.spaces["onprem"].ip("link set lan up")
        for host in ADDRESS:
            self._plug(host, "vpc" if host in VPC_HOSTS else "onprem")

    def _plug(self, host: str, hub: str) -> None:
        space, gateway = self.spaces[host], ADDRESS[host].rpartition(".")[0] + ".1"
        netns.link(space, "eth0", self.spaces[hub], host)
        space.ip(f"addr add {ADDRESS[host]}/24 dev eth0")
        space.ip(f"route add default via {gateway}")
        if hub == "vpc":
            self.spaces[hub].ip(f"addr add {gateway}/24 dev {host}")
        else:
            self.spaces[hub].ip(f"link set {host} master lan")

    def _route(self) -> None:
        for hub, far in (("vpc", ONPREM_RANGE), ("onprem", VPC_RANGE)):
            self.spaces[hub].write_sysctl("net.ipv4.ip_forward", "1")
            self.spaces[hub].ip(f"route add {far} dev {DEVICE}")

    def _serve(self) -> None:
        self.samba = {node: Samba(self.spaces[node], ADDRESS[node], self.scratch / node) for node in NODES}
        for server in self.samba.values():
            server.start()
        argv = [sys.executable, "-m", "http.server", str(WITNESS_PORT), "--bind", ADDRESS["witness"]]
        witness = self.start("witness", argv, "witness.log")
        witness.wait_until(lambda: accepts_tcp(self.spaces["witness"], ADDRESS["witness"], WITNESS_PORT))
        self._forward()

    def _forward(self) -> None:
        self.forwarders: dict[str, Daemon] = {}
        for role, name in {"unbound": "unbound-stub", "bind": "bind-delegation"}.items():
            forwarder = forwarders.FORWARDERS[name]
            place = forwarders.Place(self.spaces[role], ADDRESS[role], self.scratch / role)
            daemon = forwarder.start(place, forwarders.shipped(forwarder, self._agents))
            daemon.wait_until(partial(accepts_tcp, place.space, place.address, 53))
            self.forwarders[role] = daemon
