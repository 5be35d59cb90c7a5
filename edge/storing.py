"""What `edgectl store` does: make the shared table, and move what an agent knows from one kind of store to the other.

No agent has to run, and none may run on what is moved. A move can be broken off at any point and begun again: it writes
only where nothing is, goes on over what an earlier try wrote, and reads everything back before the source is put aside.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Protocol

from edge.agent import build
from edge.config import Config, StoreKind, load
from edge.errors import ConfigError, RefusedError, StoreError
from edge.failover.model import Assignment
from edge.stores import table
from edge.stores.contract import Item, understood
from edge.stores.dynamodb import SCHEMA, SCHEMA_KEY, Calls, DynamoStore
from edge.stores.leases import AGENTS, LEADER
from edge.stores.served import Served
from edge.stores.sqlite import SqliteStore, dump, sqlite_file
from edge.switches.session import Session

_OWN = ("agent", "lease", "schema", "test")
"""Kinds that say something of the store and of its agents, and nothing of the services."""


class Place(Protocol):
    """A store that is moved from or to. Opening it refuses where an agent works with it."""

    name: str

    def items(self) -> Sequence[Item]: ...

    def restore(self, item: Item) -> None: ...

    def put_aside(self) -> str:
        """So that no agent starts from it by mistake. Returns what was done."""
        ...

    def close(self) -> None: ...


def init(path: Path) -> str:
    """Make the table that the configuration names, once. Returns what was done; raises EdgeError."""
    config = load(path)
    calls, name = _calls(config), config.store.table
    made = table.create(calls, name)
    DynamoStore(calls, name).scan(AGENTS, 1)  # it is this version's from now on, or it is refused
    return f"the table {name} {'is made' if made else 'was there'}, and can be used"


def template(path: Path) -> str:
    return table.template(load(path).store.table)


def move(path: Path, source: StoreKind, target: StoreKind, name: str | None) -> str:
    """From one kind of store to the other, of the agent with the configuration at `path`. Raises EdgeError."""
    if source is target:
        raise RefusedError(f"from {source.value} to {target.value}: name two kinds")
    config = load(path)
    if source is StoreKind.SQLITE and not sqlite_file(config.agent.state_dir).exists():
        raise RefusedError(f"there is no {sqlite_file(config.agent.state_dir)} to move from")
    with closing(_open(source, config, name)) as old, closing(_open(target, config, name)) as new:
        kept = [item for item in old.items() if item.key.partition("/")[0] not in _OWN]
        live = _live(kept)
        _write(kept, new)
        aside = old.put_aside()
    if target is StoreKind.DYNAMODB:
        _keep_served(config.agent.state_dir, live)
    return f"{len(kept)} items are in {new.name}, read back and alike; {aside}"


def _write(kept: Sequence[Item], new: Place) -> None:
    wanted = {item.key: item for item in kept}
    there = {item.key: item for item in new.items() if item.key.partition("/")[0] not in _OWN}
    strange = [key for key, item in there.items() if wanted.get(key) != item]
    if strange:
        raise RefusedError(f"{new.name} is not empty: it has {strange[0]} and {len(there) - 1} more; nothing was moved")
    for key in wanted.keys() - there.keys():
        new.restore(wanted[key])
    found = {item.key: item for item in new.items()}
    wrong = [key for key, item in wanted.items() if found.get(key) != item]
    if wrong:
        raise StoreError(f"{new.name} does not have {wrong[0]} as it was written: the source stays as it is")


def _live(kept: Sequence[Item]) -> Mapping[str, Assignment]:
    """Raises StoreSchemaError for an assignment that is damaged, before anything is written."""
    found = {}
    for item in kept:
        kind, _, service = item.key.partition("/")
        if kind == "assignment":
            with understood(item.key):
                found[service] = Assignment(item.value["node"], item.value["epoch"])
    return found


def _keep_served(state_dir: Path, live: Mapping[str, Assignment]) -> None:
    """An agent that starts while the table can't be reached answers what it answered before."""
    with closing(Served(state_dir)) as served:
        for service, assignment in live.items():
            served.keep(service, assignment)


# --- the places -----------------------------------------------------------------------------------------------------


class _File:
    """Its lock is the running agent's: nobody else works with it while it is open."""

    def __init__(self, config: Config) -> None:
        self._store = SqliteStore(config.agent.state_dir)
        self._path, self._aside = self._store.path, False
        self.name = str(self._path)

    def items(self) -> Sequence[Item]:
        return dump(self._path)

    def restore(self, item: Item) -> None:
        self._store.restore(item)

    def put_aside(self) -> str:
        self._aside = True
        return f"the old file is {self._path}.moved"

    def close(self) -> None:
        """Renamed once SQLite has written all of it into this one file."""
        self._store.close()
        if self._aside:
            self._path.rename(f"{self._path}.moved")


class _Table:
    """Agents that work with it say so again and again."""

    def __init__(self, config: Config, name: str | None, sleep: Callable[[float], None] = time.sleep) -> None:
        self._calls, self._table = _calls(config), name or config.store.table
        self._store = DynamoStore(self._calls, self._table)
        self.name = f"the table {self._table}"
        self._refuse_company(2 * config.lease.renew_s, sleep)

    def _refuse_company(self, for_s: float, sleep: Callable[[float], None]) -> None:
        before = self._words()
        if not before:
            return
        sleep(for_s)
        for key, version in self._words().items():
            if before.get(key) != version:
                who = key.removeprefix(AGENTS)
                raise RefusedError(f"an agent works with {self.name} ({who}): stop all of them first")

    def _words(self) -> Mapping[str, int]:
        leader = self._store.read(LEADER)
        words = [*self._store.scan(AGENTS, 100), *([leader] if leader else [])]
        return {item.key: item.version for item in words}

    def items(self) -> Sequence[Item]:
        return table.items(self._calls, self._table)

    def restore(self, item: Item) -> None:
        self._store.restore(item)

    def put_aside(self) -> str:
        schema = self._store.read(SCHEMA_KEY)
        moved = {"schema": SCHEMA, "moved": "to SQLite"}
        self._store.compare_and_set(SCHEMA_KEY, moved, schema.version if schema else 0)
        return f"{self.name} is refused by agents from now on"

    def close(self) -> None:
        self._store.close()


def _open(kind: StoreKind, config: Config, name: str | None) -> Place:
    return _File(config) if kind is StoreKind.SQLITE else _Table(config, name)


def _calls(config: Config) -> Calls:
    settings = build.aws(config)
    if settings is None:
        raise ConfigError(["aws: missing: a shared table needs [aws] with the region"])
    return build.dynamodb(Session(settings, lambda *_: None))
