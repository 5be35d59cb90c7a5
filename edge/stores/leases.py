"""What several agents share of themselves.

| key          | holds                                                                 |
|--------------|-----------------------------------------------------------------------|
| lease/leader | who leads, in which term (edge.failover.lease.Record)                 |
| agent/NAME   | an agent's own word, written again and again: whether its path is up, |
|              | whether it may lead, and what it sees of each service's nodes         |
"""

import math
from collections.abc import Mapping
from dataclasses import asdict

from edge.failover.lease import Record, Word, Write
from edge.failover.model import Assignment, Listed, Opinion, Report, Sight
from edge.stores.contract import Item, Store, Value, read_as, understood

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
        self._said: int | None = None

    def read(self) -> tuple[Record | None, int]:
        """The record and its version; None and 0 where there never was one."""
        item = self._store.read(LEADER)
        if item is None:
            return None, 0
        with understood(LEADER, "run one version on all agents"):
            return _record(item.value), item.version

    def write(self, write: Write) -> None:
        """Raises StoreConflictError where another version is there."""
        self._store.compare_and_set(LEADER, asdict(write.record), write.version)

    def say(self, agent: str, word: Word) -> None:
        """Of one thread at a time. Nobody else writes it, so it is read only where its version is not known."""
        key, said, self._said = f"{AGENTS}{agent}", self._said, None
        if said is None:
            item = self._store.read(key)
            said = item.version if item else 0
        sees = {service: _posted(report) for service, report in word.reports.items()}
        moved = {"moved": {service: asdict(live) for service, live in word.moved.items()}} if word.moved else {}
        could = {"could": sorted(word.could)} if word.could else {}
        value = {"path_up": word.path_up, "candidate": word.candidate, "sees": sees, **moved, **could}
        self._said = self._store.compare_and_set(key, value, said).version

    def heard(self) -> Mapping[str, Word]:
        """What each agent said last."""
        return {item.key.removeprefix(AGENTS): _word(item) for item in self._store.scan(AGENTS, _MOST)}


def _record(value: Value) -> Record:
    found = read_as(Record, value)
    wrong = [name for name, kind in _KINDS.items() if not isinstance(value.get(name, False), kind)]
    if wrong:
        raise ValueError(f"{wrong[0]} is {value[wrong[0]]!r}")
    return found


def _posted(report: Report) -> Value:
    nodes = {node: [said.sight.value, said.sentence] for node, said in report.opinions.items()}
    listed = {"listed": asdict(report.listed)} if report.listed else {}
    return {"path_up": report.path_up, "nodes": nodes, **listed}


def _word(item: Item) -> Word:
    """An agent of another version may say less, or what we can't understand: then it has no say."""
    value = item.value
    try:
        reports = {service: _report(posted) for service, posted in value.get("sees", {}).items()}
    except (AttributeError, KeyError, TypeError, ValueError):
        reports = {}
    candidate = value.get("candidate") is not False
    return Word(item.version, value.get("path_up") is True, candidate, reports, _moved(value), _could(value))


def _moved(value: Value) -> Mapping[str, Assignment]:
    try:
        return {service: read_as(Assignment, live) for service, live in value.get("moved", {}).items()}
    except (AttributeError, TypeError):
        return {}


def _could(value: Value) -> frozenset[str]:
    said = value.get("could", [])
    return frozenset(map(str, said)) if isinstance(said, list) else frozenset()


def _report(posted: Value) -> Report:
    opinions = {node: Opinion(Sight(sight), str(sentence)) for node, (sight, sentence) in posted["nodes"].items()}
    return Report(-math.inf, posted["path_up"] is True, opinions, _listed(posted.get("listed")))


def _listed(posted: Value | None) -> Listed | None:
    if posted is None:
        return None
    agents, witnesses = (tuple(map(str, posted[word])) for word in ("agents", "witnesses"))
    return Listed(agents, witnesses, int(posted["quorum"]))
