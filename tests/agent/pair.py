"""Two agents of one service: the same nodes and the same AWS, a shared store, and a home of its own for each."""

import copy
from pathlib import Path
from uuid import uuid4

from edge.stores.dynamodb import DynamoStore
from edge.stores.table import create
from tests.agent.site import BOTH, Site, free_port
from tests.cloud.emulator import Emulator
from tests.stores.conftest import asking

LEASE_S, RENEW_S = 8.0, 1.0
SHARED = """
[store]
kind = "dynamodb"
table = "{table}"
[lease]
duration = "8s"
renew = "1s"
"""


class Pair:
    """`one` has the nodes' servers; it is told to serve them."""

    def __init__(self, home: Path, aws: Emulator) -> None:
        self.calls, self.table = asking(aws.endpoint_url), f"edge-{uuid4().hex}"
        create(self.calls, self.table)
        switches = BOTH + SHARED.replace("{table}", self.table)
        (home / "1").mkdir()
        (home / "2").mkdir()
        self.one = Site(home / "1", aws, switches, read_timeout="1s")
        self.two = copy.copy(self.one)
        self.two.home, self.two.servers = home / "2", {}
        self.two.dns, self.two.http_port = ("127.0.0.1", free_port()), free_port()
        self.two.configure(switches, read_timeout="1s")
        self.two.file.write_text(self.two.file.read_text().replace('name = "edge-1"', 'name = "edge-2"'))

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
