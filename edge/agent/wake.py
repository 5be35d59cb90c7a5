"""What has to be there before the first answer: the configuration's zones, the store's last assignments, the DNS
workers.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge.agent.answers import dns_policy
from edge.agent.systemd import passed_sockets
from edge.agent.zones import zones
from edge.config import Config, StoreKind
from edge.dns.server import Workers
from edge.errors import ConfigError
from edge.failover.events import Loaded
from edge.failover.model import Assignment
from edge.stores.records import Clock, Records, boot_id
from edge.stores.served import Served
from edge.stores.sqlite import SqliteStore


@dataclass(frozen=True, slots=True)
class Awake:
    """What is there once the name is answered.

    `kept` is the store, where no other agent shares it; else what this one served last. `loaded` has what that tells.
    """

    config: Config
    path: Path
    clock: Clock
    kept: SqliteStore | Served
    loaded: dict[str, Loaded]
    workers: Workers


def wake(config: Config, path: Path) -> Awake:
    clock = Clock(boot_id(), time.monotonic, time.time)
    kept, loaded = _remembered(config, clock)
    refuse_unknown_nodes(config, loaded)
    live = {name: each.assignment for name, each in loaded.items() if each.assignment}
    listen = [(endpoint.address, endpoint.port) for endpoint in config.dns.listen]
    workers = Workers(listen, config.dns.workers, dns_policy(config), config.agent.state_dir, passed_sockets())
    workers.start(zones(config, live))
    return Awake(config, path, clock, kept, loaded, workers)


def _remembered(config: Config, clock: Clock) -> tuple[SqliteStore | Served, dict[str, Loaded]]:
    """From this machine's disk; a shared store is asked too, for a second at most."""
    names, state_dir = [service.name for service in config.services], config.agent.state_dir
    if config.store.kind is StoreKind.SQLITE:
        store = SqliteStore(state_dir)
        records = Records(store, clock)
        return store, {name: records.load(name) for name in names}
    from edge.agent import outset  # boto3 takes half a second to load: no answer waits for it where no store is shared

    served = Served(state_dir)
    found = outset.newest(config, served.live(), outset.committed(config, clock))
    return served, {name: remembered(live, clock) for name, live in found.items() if name in names}


def remembered(live: Assignment, clock: Clock) -> Loaded:
    """When the agents moved it without the store is not known any more: the hold-down may last too long."""
    return Loaded(live, committed_at=clock.monotonic()) if live.round else Loaded(live)


def refuse_unknown_nodes(config: Config, loaded: Mapping[str, Loaded]) -> None:
    """A live node that the file doesn't have any more can't be answered, and another one must not be guessed."""
    problems = []
    for i, service in enumerate(config.services):
        known = {node.name for node in service.nodes}
        found = loaded.get(service.name, Loaded(None))
        named = {each.node for each in (found.assignment, found.opened) if each}
        problems += [
            f"service[{i}].node: the store has {service.name} on node {node}, which the file lacks; "
            f"name it again, or promote another node before it is taken out"
            for node in sorted(named - known)
        ]
    if problems:
        raise ConfigError(problems)
