"""What several agents share of themselves.

| key          | holds                                                                 |
|--------------|-----------------------------------------------------------------------|
| lease/leader | who leads, in which term (edge.failover.lease.Record)                 |
| agent/NAME   | an agent's own word, written again and again: whether its path is up  |
"""

from collections.abc import Mapping
from dataclasses import asdict

from edge.errors import StoreSchemaError
from edge.failover.lease import Record, Word, Write
from edge.stores.contract import Store

LEADER = "lease/leader"
AGENTS = "agent/"
_MOST = 100


class Leases:
    """Every method may raise StoreError."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def read(self) -> tuple[Record | None, int]:
        """The record and its version; None and 0 where there never was one."""
        item = self._store.read(LEADER)
        if item is None:
            return None, 0
        try:
            return Record(**item.value), item.version
        except TypeError as error:
            raise StoreSchemaError(f"{LEADER} can't be understood ({error}): run one version on all agents") from error

    def write(self, write: Write) -> None:
        """Raises StoreConflictError where another version is there."""
        self._store.compare_and_set(LEADER, asdict(write.record), write.version)

    def say(self, agent: str, *, path_up: bool) -> None:
        key = f"{AGENTS}{agent}"
        item = self._store.read(key)
        self._store.compare_and_set(key, {"path_up": path_up}, item.version if item else 0)

    def heard(self) -> Mapping[str, Word]:
        """What each agent said last."""
        items = self._store.scan(AGENTS, _MOST)
        return {item.key.removeprefix(AGENTS): Word(item.version, bool(item.value["path_up"])) for item in items}
