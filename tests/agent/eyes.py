"""Several agents of one service as vantages: one AWS, one store, and eyes of its own for each.

Each agent probes the same nodes at a port of its own, so that what one sees another need not see.
"""

import copy
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

from edge.stores.dynamodb import DynamoStore
from edge.stores.table import create
from tests.agent.pair import LEASE_S, RENEW_S, SHARED
from tests.agent.site import ADDRESS, BOTH, Site
from tests.cloud.emulator import Emulator
from tests.ports import free_port
from tests.stores.conftest import asking


class Eyes:
    """`agents` may lead and `witnesses` not; they are not started yet, and all see both nodes serve."""

    def __init__(
        self,
        home: Path,
        aws: Emulator,
        agents: Sequence[str],
        witnesses: Sequence[str] = (),
        quorum: int | None = None,
        *,
        switches: str = BOTH,
        more: str = "",
    ) -> None:
        calls, table = asking(aws.endpoint_url), f"edge-{uuid4().hex}"
        create(calls, table)
        self.store = DynamoStore(calls, table)
        listed = f"\n[vantage]\nagents = {[*agents]}\nwitnesses = {[*witnesses]}\n"
        listed += f"quorum = {quorum}\n" if quorum else ""
        listed += more
        self._parts = switches + SHARED.format(table=table, lease_s=LEASE_S, renew_s=RENEW_S) + listed
        self._dark = ExitStack()
        (home / agents[0]).mkdir()
        first = Site(home / agents[0], aws, self._parts, read_timeout="1s")
        self.sites = {agents[0]: first}
        for name in (*agents[1:], *witnesses):
            self.sites[name] = self._another(first, home / name)
        for name, site in self.sites.items():
            role = '\nrole = "witness"' if name in witnesses else ""
            site.file.write_text(site.file.read_text().replace('name = "edge-1"', f'name = "{name}"{role}'))
            site.serve("a", "b", "secondary")

    def _another(self, first: Site, home: Path) -> Site:
        home.mkdir()
        site = copy.copy(first)
        site.home, site.servers = home, {}
        site.dns, site.http_port, site.smb_port = ("127.0.0.1", free_port()), free_port(), free_port()
        site.configure(self._parts, read_timeout="1s")
        return site

    def __getitem__(self, name: str) -> Site:
        return self.sites[name]

    def start(self) -> "Eyes":
        """The first leads."""
        for name, site in self.sites.items():
            site.start()
            site.until(f"{name} serves a", lambda site=site: site.settled_on("a"))
        for name, site in self.sites.items():
            site.until(f"{name} hears all", lambda site=site: heard(site) == set(self.sites))
        return self

    def goes_dark(self, name: str) -> None:
        """Nothing that this agent asks is answered any more."""
        site = self.sites[name]
        for node, address in ADDRESS.items():
            site.crash(node)
            server = self._dark.enter_context(socket.create_server((address, site.smb_port), backlog=0))
            while self._fills(server.getsockname()):
                pass

    def _fills(self, address: tuple[str, int]) -> bool:
        """A queue that is full drops every SYN (tcp(7))."""
        filler = self._dark.enter_context(socket.socket())
        filler.settimeout(0.3)
        try:
            filler.connect(address)
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        self._dark.close()
        for site in self.sites.values():
            if site.agent:
                site.close()
            for node in list(site.servers):
                site.crash(node)


def heard(site: Site) -> set[str]:
    """The vantages whose word counts now."""
    return {each["name"] for each in site.status().get("vantages", ()) if each["abstains"] is None}
