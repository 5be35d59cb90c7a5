"""What is kept, under which key, and when it may be written.

| key                    | holds                                                                  |
|------------------------|------------------------------------------------------------------------|
| assignment/SERVICE     | the committed assignment, its intent, whether AWS was seen to agree    |
| intent/SERVICE         | the last switch that was opened: its state, and the journal of its steps |
| override/SERVICE       | an operator's hold or pin                                              |
| history/SERVICE/TIME   | one sentence each: what happened, when, by whom                        |

An epoch is claimed by writing the intent, and only over an older one. A moment is kept as (boot, monotonic seconds): within
one boot the monotonic clock goes on through restarts of the agent, so ages are exact; of another boot's moment nothing is known, so it
counts as just now, which damps too much rather than too little. Wall-clock times stand beside, for people.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge.errors import StoreConflictError, StoreSchemaError
from edge.failover.events import Loaded
from edge.failover.model import Assignment, Cause, Intent, Override
from edge.failover.vetoes import HOUR_S
from edge.history import Line
from edge.stores.contract import Item, Store, Value

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_DAMPED = (Cause.FAILURE, Cause.FOLLOW)


@dataclass(frozen=True, slots=True)
class Clock:
    """`monotonic` decides (seconds since boot), `wall` is for people (seconds since 1970); `boot` tells one boot from another."""

    boot: str
    monotonic: Callable[[], float]
    wall: Callable[[], float]

    def moment(self) -> Value:
        return {"boot": self.boot, "monotonic": self.monotonic(), "wall": self.wall()}

    def at(self, moment: Value) -> float:
        """The moment on the present monotonic clock."""
        return float(moment["monotonic"]) if moment["boot"] == self.boot else self.monotonic()


def boot_id() -> str:
    return _BOOT_ID.read_text().strip()


class Records:
    """The typed face of a store, for one agent. Every method may raise StoreError."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._told = 0

    def load(self, service: str) -> Loaded:
        try:
            return self._loaded(service)
        except (KeyError, TypeError, ValueError) as error:
            raise StoreSchemaError(
                f"what the store has of {service} can't be read ({error!r}): restore a backup"
            ) from error

    def _loaded(self, service: str) -> Loaded:
        live, last = self._value("assignment", service), self._value("intent", service)
        override = self._value("override", service)
        opened = last and last["state"] == "open" and last["epoch"] > (live["epoch"] if live else 0)
        return Loaded(
            assignment=Assignment(live["node"], live["epoch"]) if live else None,
            opened=_intent(last) if last and opened else None,
            begun=bool(last and opened and last["steps"]),
            unsettled=_intent(live) if live and not live["settled"] else None,
            override=self._override(override) if override and override["said"] else None,
            committed_at=self._clock.at(live["at"]) if live and live["cause"] != Cause.BOOTSTRAP.value else -math.inf,
            automatic_at=tuple(self._clock.at(moment) for moment in live["automatic"]) if live else (),
        )

    def write_intent(self, service: str, intent: Intent) -> None:
        """Claim the epoch. Raises StoreConflictError where it is not newer than every epoch that the store knows."""
        known = [self._store.read(f"{kind}/{service}") for kind in ("assignment", "intent")]
        newest = max((item.value["epoch"] for item in known if item), default=0)
        if intent.epoch <= newest:
            raise StoreConflictError(f"the store has epoch {newest} already")
        version = known[1].version if known[1] else 0
        value = {**_plain(intent), "state": "open", "steps": {}, "at": self._clock.moment()}
        self._store.compare_and_set(f"intent/{service}", value, version)

    def journal(self, service: str, epoch: int, step: str, state: str, evidence: str) -> None:
        """Write that a step is `begun` (before it touches AWS) or `done` (after it was read back)."""
        item = self._open(service, epoch)
        steps = {**item.value["steps"], step: {"state": state, "evidence": evidence, "at": self._clock.moment()}}
        self._store.compare_and_set(item.key, {**item.value, "steps": steps}, item.version)

    def commit(self, service: str, intent: Intent) -> None:
        """Make the intent the assignment. Raises StoreConflictError where a newer epoch is committed or opened."""
        self._open(service, intent.epoch)
        present = self._store.read(f"assignment/{service}")
        if present and present.value["epoch"] >= intent.epoch:
            raise StoreConflictError(f"the store has epoch {present.value['epoch']} already")
        moment = self._clock.moment()
        earlier = present.value["automatic"] if present else []
        recent = [m for m in earlier if moment["monotonic"] - self._clock.at(m) < HOUR_S]
        automatic = [*recent, moment] if intent.cause in _DAMPED else recent
        value = {**_plain(intent), "settled": False, "at": moment, "automatic": automatic}
        self._store.compare_and_set(f"assignment/{service}", value, present.version if present else 0)

    def close(self, service: str, epoch: int, *, finished: bool) -> None:
        """Put an end to the intent of this epoch; where it was committed and AWS agrees, the assignment is settled."""
        live = self._store.read(f"assignment/{service}")
        if finished and live and live.value["epoch"] == epoch:
            self._store.compare_and_set(live.key, {**live.value, "settled": True}, live.version)
        last = self._store.read(f"intent/{service}")
        if last and last.value["epoch"] == epoch:
            state = "finished" if finished else "abandoned"
            self._store.compare_and_set(last.key, {**last.value, "state": state}, last.version)

    def test(self) -> None:
        """Write something that nobody reads: whether the store can be written at all."""
        item = self._store.read("test")
        self._store.compare_and_set("test", self._clock.moment(), item.version if item else 0)

    def save_override(self, service: str, said: Override | None) -> None:
        key = f"override/{service}"
        item = self._store.read(key)
        value = {"said": self._said(said), "at": self._clock.moment()}
        self._store.compare_and_set(key, value, item.version if item else 0)

    def tell(self, line: Line) -> None:
        self._told += 1
        key = f"history/{line.service}/{int(line.wall_s * 1000):013d}-{self._told:06d}"
        self._store.compare_and_set(key, asdict(line), 0)

    def history(self, services: Sequence[str], limit: int) -> list[Line]:
        """The newest `limit` entries of these services, oldest of them first."""
        items = [item for service in services for item in self._store.scan(f"history/{service}/", limit)]
        return sorted((_line(item.value) for item in items), key=lambda line: line.wall_s)[-limit:]

    def _value(self, kind: str, service: str) -> Value | None:
        item = self._store.read(f"{kind}/{service}")
        return item.value if item else None

    def _open(self, service: str, epoch: int) -> Item:
        item = self._store.read(f"intent/{service}")
        if item is None or item.value["epoch"] != epoch or item.value["state"] != "open":
            raise StoreConflictError(f"epoch {epoch} is not the open one any more")
        return item

    def _override(self, value: Value) -> Override:
        said, elapsed_s = value["said"], self._clock.monotonic() - self._clock.at(value["at"])
        until = None if said["for_s"] is None else self._clock.monotonic() + said["for_s"] - elapsed_s
        return Override(said["pinned"], said["who"], said["sentence"], until)

    def _said(self, said: Override | None) -> Value | None:
        if said is None:
            return None
        for_s = None if said.until is None else said.until - self._clock.monotonic()
        return {"pinned": said.pinned, "who": said.who, "sentence": said.sentence, "for_s": for_s}


def _plain(intent: Intent) -> dict[str, Any]:
    return {
        "epoch": intent.epoch,
        "node": intent.node,
        "origin": intent.origin,
        "cause": intent.cause.value,
        "who": intent.who,
        "sentence": intent.sentence,
    }


def _intent(value: Value) -> Intent:
    cause = Cause(value["cause"])
    return Intent(value["epoch"], value["node"], value["origin"], cause, value["who"], value["sentence"])


def _line(value: Value) -> Line:
    return Line(**value)
