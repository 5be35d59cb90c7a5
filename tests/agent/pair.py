"""Two agents of one service: the same nodes and the same AWS, a shared store, and a home of its own for each."""

import copy
from pathlib import Path
from uuid import uuid4

from edge.stores.dynamodb import DynamoStore
from edge.stores.table import create
from tests.agent.site import BOTH, Site
from tests.cloud.emulator import Emulator
from tests.ports import free_port
from tests.stores.conftest import asking

LEASE_S, RENEW_S = 8.0, 1.0
SHARED = """
[store]
kind = "dynamodb"
table = "{table}"
[lease]
duration = "{lease_s:g}s"
renew = "{renew_s:g}s"
"""
PEER = """
[[peer]]
name = "{name}"
dns = "{host}:{port}"
"""


def leads(site: Site) -> bool:
    return bool(site.status().get("lease", {}).get("held"))


def holder(site: Site) -> str | None:
    said = site.status().get("lease")
    return said["holder"] if said else None


class Pair:
    """`one` has the nodes' servers; it is told to serve them."""

    def __init__(self, home: Path, aws: Emulator, *, lease_s: float = LEASE_S, renew_s: float = RENEW_S) -> None:
        self.calls, self.table = asking(aws.endpoint_url), f"edge-{uuid4().hex}"
        create(self.calls, self.table)
        switches = BOTH + SHARED.format(table=self.table, lease_s=lease_s, renew_s=renew_s)
        (home / "1").mkdir()
        (home / "2").mkdir()
        self.one = Site(home / "1", aws, switches, read_timeout="1s")
        self.two = copy.copy(self.one)
        self.two.home, self.two.servers = home / "2", {}
        self.two.dns, self.two.http_port = ("127.0.0.1", free_port()), free_port()
        self.two.configure(switches, read_timeout="1s")
        self.two.file.write_text(self.two.file.read_text().replace('name = "edge-1"', 'name = "edge-2"'))

    def introduce(self) -> None:
        """Each agent's file names the other one."""
        for site, name, other in ((self.one, "edge-2", self.two), (self.two, "edge-1", self.one)):
            host, port = other.dns
            site.file.write_text(site.file.read_text() + PEER.format(name=name, host=host, port=port))

    def begin(self) -> None:
        """Both nodes serve; agent one leads and agent two follows."""
        self.one.serve("a", "b", "secondary")
        self.one.start()
        self.one.until("one leads", lambda: self.one.ready_on("a") and leads(self.one))
        self.two.start()
        self.two.until("two follows", lambda: self.two.ready_on("a") and holder(self.two) == "edge-1")

    @property
    def store(self) -> DynamoStore:
        """As one looks at it behind the agents' backs."""
        return DynamoStore(self.calls, self.table)

    def close(self) -> None:
        for site in (self.two, self.one):
            if site.agent:
                site.close()
        for node in list(self.one.servers):
            self.one.crash(node)
