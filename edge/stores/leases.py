"""What several agents share of themselves.

| key          | holds                                                                 |
|--------------|-----------------------------------------------------------------------|
| lease/leader | who leads, in which term (edge.failover.lease.Record)                 |
| agent/NAME   | an agent's own word, written again and again: whether its path is up  |
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict

from edge.errors import StoreSchemaError
from edge.failover.lease import Record, Word, Write
from edge.stores.contract import Item, Store, Value

LEADER = "lease/leader"
AGENTS = "agent/"
_MOST = 100
_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "term": int,
    "holder": str,
    "by": str,
    "duration_s": (int, float),
    "released": bool,
}


class Leases:
    """Every method may raise StoreError."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def read(self) -> tuple[Record | None, int]:
        """The record and its version; None and 0 where there never was one."""
        item = self._store.read(LEADER)
        if item is None:
            return None, 0
        with _understood(LEADER):
            return _record(item.value), item.version

    def write(self, write: Write) -> None:
        """Raises StoreConflictError where another version is there."""
        self._store.compare_and_set(LEADER, asdict(write.record), write.version)

    def say(self, agent: str, *, path_up: bool) -> None:
        key = f"{AGENTS}{agent}"
        item = self._store.read(key)
        self._store.compare_and_set(key, {"path_up": path_up}, item.version if item else 0)

    def heard(self) -> Mapping[str, Word]:
        """What each agent said last."""
        return {item.key.removeprefix(AGENTS): _word(item) for item in self._store.scan(AGENTS, _MOST)}


@contextmanager
def _understood(key: str) -> Iterator[None]:
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StoreSchemaError(f"{key} can't be understood ({error!r}): run one version on all agents") from error


def _record(value: Value) -> Record:
    found = Record(**value)
    wrong = [name for name, kind in _KINDS.items() if not isinstance(value.get(name, False), kind)]
    if wrong:
        raise ValueError(f"{wrong[0]} is {value[wrong[0]]!r}")
    return found


def _word(item: Item) -> Word:
    with _understood(item.key):
        return Word(item.version, bool(item.value["path_up"]))
