"""What is kept, under which key, and when it may be written.

| key                    | holds                                                                  |
|------------------------|------------------------------------------------------------------------|
| assignment/SERVICE     | the committed assignment, its intent, whether AWS was seen to agree    |
| intent/SERVICE         | the last switch that was opened: its state, and the journal of its steps |
| override/SERVICE       | an operator's hold or pin                                              |
| history/SERVICE/TIME   | one sentence each: what happened, when, by whom; a shared store has the leader's only |

An epoch is claimed by writing the intent, and only over an older one. A moment is kept as (boot, monotonic seconds):
within one boot the monotonic clock goes on through restarts of the agent, so ages are exact. In a store of one machine
another boot is an earlier one of it: its moments were before this boot began, and count as that beginning. In a shared
store it may be another machine's: its moments count as when we first met them. Both may damp too much and never too
little. Wall-clock times stand beside, for people.
"""

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge.errors import EpochOverError, StoreConflictError, StoreError
from edge.failover.events import Loaded
from edge.failover.model import ANSWERS, Assignment, Cause, Intent, Override, Reason
from edge.failover.vetoes import HOUR_S
from edge.history import Line
from edge.stores.contract import Item, Store, Value, read_as, understood

_KEPT = "what the store has"
_MOST = 10_000
_MET = 1000  # moments of other machines that are remembered: so many switches ago, nothing is damped any more
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_DAMPING = {"automatic": (Cause.FAILURE, Cause.FOLLOW, Cause.UNANIMOUS), "answered": ANSWERS}  # what each budget counts


@dataclass(frozen=True, slots=True)
class Clock:
    """`monotonic` (seconds since boot) decides, `wall` (seconds since 1970) is for people; `boot` tells boots apart."""

    boot: str
    monotonic: Callable[[], float]
    wall: Callable[[], float]

    def moment(self) -> Value:
        return {"boot": self.boot, "monotonic": self.monotonic(), "wall": self.wall()}


def boot_id() -> str:
    return _BOOT_ID.read_text().strip()


class Records:
    """The typed face of a store, for one agent. Every method may raise StoreError.

    `sharer`: this agent's name, where it shares the store with others. Steps are journalled by other threads than
    commit and close; one at a time, so that none meets another's version.
    """

    def __init__(self, store: Store, clock: Clock, sharer: str | None = None) -> None:
        self._store = store
        self._clock = clock
        self._sharer = sharer
        self._one, self._tested = threading.Lock(), threading.Lock()
        self._told = 0
        self._met: dict[tuple[str, float], float] = {}
        self._test = f"test/{sharer or 'store'}"

    @understood(_KEPT)
    def load(self, service: str) -> Loaded:
        live, last = self._value("assignment", service), self._value("intent", service)
        override = self._value("override", service)
        committed, claimed = _intent(live) if live else None, _intent(last) if last else None
        newest = committed.epoch if committed else 0
        opened = last is not None and claimed is not None and last["state"] == "open" and claimed.epoch > newest
        return Loaded(
            assignment=Assignment(committed.node, committed.epoch) if committed else None,
            opened=claimed if opened else None,
            begun=bool(last and opened and _touched(last)),
            unsettled=committed if live and not live["settled"] else None,
            newest=max((each.epoch for each in (committed, claimed) if each), default=0),
            override=self._override(override) if override and override["said"] else None,
            committed_at=self._at(live["at"]) if live and live["cause"] != Cause.BOOTSTRAP.value else -math.inf,
            automatic_at=tuple(self._at(moment) for moment in live["automatic"]) if live else (),
            drift_at=tuple(self._at(moment) for moment in live.get("answered", ())) if live else (),
        )

    def committed(self) -> Mapping[str, int]:
        """The versions of all assignments, by service: one changes with each commit, whoever made it."""
        return {item.key.removeprefix("assignment/"): item.version for item in self._scan_assignments()}

    @understood(_KEPT)
    def assignments(self) -> Mapping[str, Assignment]:
        """All that is committed, by service."""
        found = {item.key.removeprefix("assignment/"): _intent(item.value) for item in self._scan_assignments()}
        return {service: Assignment(live.node, live.epoch) for service, live in found.items()}

    def _scan_assignments(self) -> Sequence[Item]:
        return self._store.scan("assignment/", _MOST)

    @understood(_KEPT)
    def write_intent(self, service: str, intent: Intent, barred: Callable[[], Reason | None] = lambda: None) -> None:
        """Claim the epoch. Raises StoreConflictError where it is not newer than every epoch that the store knows.

        Who is `barred` once the store was read claims nothing (StoreError): another may have led already when it was
        read, and the claim would stand in its way. A claim that is sent, and comes late, meets another version.
        """
        with self._one:
            known = [self._store.read(f"{kind}/{service}") for kind in ("assignment", "intent")]
            newest = max((item.value["epoch"] for item in known if item), default=0)
            if intent.epoch <= newest:
                raise StoreConflictError(f"the store has epoch {newest} already")
            if reason := barred():
                raise StoreError(f"epoch {intent.epoch} is not opened: {reason.sentence}")
            before = known[1]
            touched = before is not None and before.value["state"] == "open" and _touched(before.value)
            value = {**_plain(intent), "state": "open", "steps": {}, "touched": touched, "at": self._clock.moment()}
            self._store.compare_and_set(f"intent/{service}", value, before.version if before else 0)

    @understood(_KEPT)
    def journal(self, service: str, epoch: int, step: str, state: str, evidence: str) -> None:
        """Write that a step is `begun` (before it touches AWS) or `done` (after it was read back)."""
        with self._one:
            item = self._acting(service, epoch)
            steps = {**item.value["steps"], step: {"state": state, "evidence": evidence, "at": self._clock.moment()}}
            self._store.compare_and_set(item.key, {**item.value, "steps": steps}, item.version)

    @understood(_KEPT)
    def commit(self, service: str, intent: Intent) -> None:
        """Make the intent the assignment. Raises StoreConflictError where a newer epoch is committed or opened."""
        with self._one:
            opened = self._open(service, intent.epoch)
            present = self._store.read(f"assignment/{service}")
            if present and present.value["epoch"] > intent.epoch:
                raise StoreConflictError(f"the store has epoch {present.value['epoch']} already")
            if present and present.value["epoch"] == intent.epoch:
                return  # the open epoch is ours alone: an earlier try was written, and its answer was lost
            value = {
                **_plain(intent),
                "settled": False,
                "steps": opened.value["steps"],
                **self._damping(present, intent),
            }
            self._store.compare_and_set(f"assignment/{service}", value, present.version if present else 0)

    def _damping(self, present: Item | None, intent: Intent) -> Value:
        """When the switch was, and with it the automatic ones and the answers to drifts of the last hour."""
        moment, before = self._clock.moment(), present.value if present else {}
        counted = {key: intent.cause in causes for key, causes in _DAMPING.items()}
        recent = {
            key: [m for m in before.get(key, ()) if moment["monotonic"] - self._at(m) < HOUR_S] for key in counted
        }
        return {"at": moment, **{key: [*recent[key], *([moment] if counts else [])] for key, counts in counted.items()}}

    @understood(_KEPT)
    def close(self, service: str, epoch: int, *, finished: bool) -> None:
        """Put an end to the intent of this epoch; where it was committed and AWS agrees, the assignment is settled."""
        with self._one:
            live = self._store.read(f"assignment/{service}")
            if finished and live and live.value["epoch"] == epoch:
                self._store.compare_and_set(live.key, {**live.value, "settled": True}, live.version)
            last = self._store.read(f"intent/{service}")
            if last and last.value["epoch"] == epoch:
                state = "finished" if finished else "abandoned"
                self._store.compare_and_set(last.key, {**last.value, "state": state}, last.version)

    def test(self) -> None:
        """Write something that nobody reads: whether the store can be written at all. Several may ask at one time."""
        with self._tested:
            item = self._store.read(self._test)
            self._store.compare_and_set(self._test, self._clock.moment(), item.version if item else 0)

    @understood(_KEPT)
    def save_override(self, service: str, said: Override | None, forgives: bool = False) -> None:
        """`forgives`: the switches of the last hour are forgotten too."""
        with self._one:
            if forgives:
                self._forgive(service)
            key = f"override/{service}"
            item = self._store.read(key)
            value = {"said": self._said(said), "at": self._clock.moment()}
            self._store.compare_and_set(key, value, item.version if item else 0)

    def _forgive(self, service: str) -> None:
        live = self._store.read(f"assignment/{service}")
        if live:
            self._store.compare_and_set(live.key, {**live.value, **{key: [] for key in _DAMPING}}, live.version)

    def tell(self, line: Line) -> None:
        self._told += 1
        by = f"-{self._sharer}" if self._sharer else ""
        key = f"history/{line.service}/{int(line.wall_s * 1000):013d}-{self._told:06d}{by}"
        self._store.compare_and_set(key, asdict(line), 0)

    @understood(_KEPT)
    def history(self, services: Sequence[str], limit: int) -> list[Line]:
        """The newest `limit` entries of these services, oldest of them first."""
        items = [item for service in services for item in self._store.scan(f"history/{service}/", limit)]
        newest = sorted(items, key=lambda item: item.key.rpartition("/")[2])[-limit:]
        return [read_as(Line, item.value) for item in newest]

    def _at(self, moment: Value) -> float:
        """The moment on the present monotonic clock, or the latest that it can have been."""
        boot, monotonic = moment["boot"], float(moment["monotonic"])
        if boot == self._clock.boot:
            return monotonic
        if not self._sharer:
            return 0.0
        while len(self._met) > _MET:
            del self._met[next(iter(self._met))]
        return self._met.setdefault((boot, monotonic), self._clock.monotonic())

    def _value(self, kind: str, service: str) -> Value | None:
        item = self._store.read(f"{kind}/{service}")
        return item.value if item else None

    def _open(self, service: str, epoch: int) -> Item:
        item = self._store.read(f"intent/{service}")
        if item is None or item.value["epoch"] != epoch or item.value["state"] != "open":
            raise EpochOverError(f"epoch {epoch} is not the open one any more")
        return item

    def _acting(self, service: str, epoch: int) -> Item:
        """The record of the epoch that acts: the open one, else the committed one that AWS does not agree with yet."""
        last, live = (self._store.read(f"{kind}/{service}") for kind in ("intent", "assignment"))
        opened = last is not None and last.value["state"] == "open"
        if last and opened and last.value["epoch"] == epoch:
            return last
        newer = last is not None and opened and last.value["epoch"] > epoch
        if newer or live is None or live.value["epoch"] != epoch or live.value["settled"]:
            raise EpochOverError(f"epoch {epoch} is neither open nor owed any more")
        return live

    def _override(self, value: Value) -> Override:
        said = value["said"]
        until = None if said["for_s"] is None else self._at(value["at"]) + said["for_s"]
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
        "outgoing": list(intent.outgoing),
    }


def _touched(value: Value) -> bool:
    """Whether AWS may be half-way: by a step of this switch, or of one before it that it superseded."""
    return bool(value["steps"] or value["touched"])


def _intent(value: Value) -> Intent:
    epoch, node = value["epoch"], value["node"]
    if not (isinstance(epoch, int) and epoch > 0 and isinstance(node, str)):
        raise ValueError(f"epoch {epoch!r}, node {node!r}")
    origin = value["origin"]
    outgoing = value.get("outgoing", [origin] if origin and origin != node else [])
    return Intent(epoch, node, origin, _cause(value["cause"]), value["who"], value["sentence"], tuple(outgoing))


def _cause(told: object) -> Cause:
    """One that a later version has added damps as a failure does: too much, and never too little."""
    if not isinstance(told, str):
        raise TypeError(f"cause {told!r}")
    return next((cause for cause in Cause if cause.value == told), Cause.FAILURE)
