"""Two real agents with all forwarders in front of them, without AWS; each machine is a namespace on one router.

    nodes on the router     10.0.1.10, 10.0.2.10 (TCP 445)
    agents                  10.10.0.53, 10.10.0.54
    forwarders              10.10.1.1, 10.10.1.2, ...
    client                  10.10.2.1

Each agent has a state of its own, and both are told of a switch in the same moment, as a shared store would. A machine
reaches 10.0.0.0/8 and nothing else. Everything ends with the `with` block, also after a failure.
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import Mapping
from functools import partial

from tests.lab import netns
from tests.lab.asker import Asked, Asker
from tests.lab.authorities import NODE_PORT, NODES, PATIENCE_S, Agent, Authority, set_up
from tests.lab.built import Built
from tests.lab.daemon import Daemon, accepts_tcp
from tests.lab.forwarders import AGENTS, ZONE, Files, Forwarder, Place

SERVICE = f"files.{ZONE}"
ROUTER, CLIENT = "10.10.255.1", "10.10.2.1"
BEAT_S = 0.002
SETTLE_S = 5.0
LISTENER = f"""
import socket
with socket.create_server(("", {NODE_PORT}), backlog=64) as door:
    while True:
        door.accept()[0].close()
"""


class TwoAgents(Built):
    """`forwarders` by a name of one's own; they start with the `with` block, when both agents answer node a. `set_up`:
    the agents' machines as shipped.
    """

    def __init__(
        self,
        forwarders: Mapping[str, tuple[Forwarder, Files]],
        authority: type[Authority] = Agent,
        *,
        set_up: bool = True,
    ) -> None:
        self.run_id = netns.new_run_id()
        self.forwarders = forwarders
        self.daemons: dict[str, Daemon] = {}
        self.places: dict[str, Place] = {}
        self.authority = authority
        self.set_up = set_up
        self.agents: list[Authority] = []
        self.live = "a"

    def __enter__(self) -> "TwoAgents":
        netns.sweep()
        with contextlib.ExitStack() as ends:
            ends.callback(netns.destroy, self.run_id)
            self.scratch = netns.scratch(self.run_id)
            self._build()
            self._serve()
            self._ends = ends.pop_all()
        return self

    # --- building -------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.router = netns.create(self.run_id, "router", CLIENT)
        self.router.write_sysctl("net.ipv4.ip_forward", "1")
        for address in (ROUTER, *NODES.values()):
            self.router.ip(f"addr add {address}/32 dev lo")
        self.client = self.machine("client", CLIENT).space
        for number, address in enumerate(AGENTS, 1):
            place = self.machine(f"agent-{number}", address)
            if self.set_up:
                set_up(place.space)
            self.agents.append(self.authority(number, self.router, place))
        for number, name in enumerate(self.forwarders, 1):
            self.places[name] = self.machine(f"f{number}", f"10.10.1.{number}")

    def machine(self, role: str, *addresses: str) -> Place:
        """A cable to the router; no network of its own, so a route at the router is all that makes it reachable."""
        space = netns.create(self.run_id, role, ROUTER)
        netns.link(space, "eth0", self.router, role)
        for address in addresses:
            space.ip(f"addr add {address}/32 dev eth0")
            self.router.ip(f"route add {address}/32 dev {role}")
        space.ip(f"route add {ROUTER}/32 dev eth0")
        space.ip(f"route add 10.0.0.0/8 via {ROUTER} src {addresses[0]}")
        return Place(space, addresses[0], self.scratch / role)

    def _serve(self) -> None:
        listener = Daemon.start(self.router, [sys.executable, "-c", LISTENER], self.scratch / "nodes.log")
        listener.wait_until(lambda: accepts_tcp(self.router, NODES["a"], NODE_PORT))
        for agent in self.agents:
            agent.start()
        for agent in self.agents:
            agent.serve(self.live)
        for name in self.forwarders:
            self.start_forwarder(name)
        for name in self.forwarders:
            self.wait_for_forwarder(name)

    # --- acting ---------------------------------------------------------------------------------------------------

    def start_forwarder(self, name: str) -> None:
        forwarder, files = self.forwarders[name]
        self.daemons[name] = forwarder.start(self.places[name], files)

    def wait_for_forwarder(self, name: str) -> None:
        place, daemon = self.places[name], self.daemons[name]
        daemon.wait_until(partial(accepts_tcp, place.space, place.address, 53), PATIENCE_S)

    async def restart_forwarders(self) -> None:
        """Each forgets what it has kept of answers and of servers."""
        for daemon in self.daemons.values():
            daemon.kill()
        for name in self.forwarders:
            self.start_forwarder(name)
        for name in self.forwarders:
            self.wait_for_forwarder(name)
        await self.settle()

    async def settle(self) -> None:
        """Until each forwarder tells the live node; one that does not in time is left to whoever measures it.

        named opens its port before it has loaded its zones, and keeps the SERVFAIL of that time for 1 s (servfail-ttl).
        """
        await asyncio.gather(*(self._tells(place, SETTLE_S) for place in self.places.values()))

    async def askers(self, *, dnssec: bool = False) -> dict[str, Asker]:
        """A client of each forwarder."""
        return {
            name: await Asker.open(self.client, place.address, SERVICE, dnssec=dnssec)
            for name, place in self.places.items()
        }

    async def switch(self) -> float:
        """To the other node, on both agents. Returns when a client has heard it from the later one itself."""
        self.live = {"a": "b", "b": "a"}[self.live]
        await asyncio.gather(*(asyncio.to_thread(agent.promote, self.live) for agent in self.agents))
        return await self.answered_by_both()

    async def answered_by_both(self) -> float:
        """When both agents are heard to answer the live node."""
        return max(await asyncio.gather(*(self._answered_by(agent) for agent in self.agents)))

    async def _answered_by(self, agent: Authority) -> float:
        found = await self._tells(agent.place, PATIENCE_S)
        if found.answer != NODES[self.live]:
            raise RuntimeError(f"agent {agent.number} answers {found.answer}, not {NODES[self.live]}")
        return found.heard_s

    async def _tells(self, server: Place, patience_s: float) -> Asked:
        """The first answer with the live node, or the last one in that time."""
        asker = await Asker.open(self.client, server.address, SERVICE)
        until_s = time.monotonic() + patience_s
        found = await asker.ask(tries=1, try_s=0.2)
        while found.answer != NODES[self.live] and time.monotonic() < until_s:
            await asyncio.sleep(BEAT_S)
            found = await asker.ask(tries=1, try_s=0.2)
        asker.close()
        return found
