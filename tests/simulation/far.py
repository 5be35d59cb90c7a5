"""What is far away: the shared store, AWS, the nodes, and the lines to them, which lose, delay and answer too late."""

import random
from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

from edge.errors import CloudError, Fault, StoreConflictError, StoreError
from edge.stores.contract import Item, Value
from edge.switches.contract import Call
from edge.switches.session import Heard
from tests.failover.world import Shown
from tests.simulation.disk import Disk
from tests.simulation.host import Process, Timeline
from tests.simulation.machines import Machines
from tests.simulation.rules import Rules

NAME, ADDRESS = "files.fs.corp.example", "10.0.1.100"
OWN = {"a": ("10.0.1.10",), "b": ("10.0.1.20",)}
ENI = {"a": "eni-a", "b": "eni-b"}
STALE_S = 2.0  # a describe is as old as that at most


@dataclass(slots=True)
class Line:
    """A way to something. `trouble`: the share of what is sent that is lost, comes late or is answered too late.
    `slow_s`: how much longer than usual each answer takes at most. `deaf`: of what is asked, what begins so is lost.
    `lost`: something was lost at random before.
    """

    rng: random.Random
    up: bool = True
    trouble: float = 0.0
    slow_s: float = 0.0
    deaf: str = "nothing"
    lost: bool = False

    def mend(self) -> None:
        self.lost = self.lost or self.trouble > 0
        self.up, self.trouble, self.slow_s, self.deaf = True, 0.0, 0.0, "nothing"

    def fate(self, what: str = "") -> tuple[float | None, float | None]:
        """Seconds there, and back; None: lost."""
        chance = self.rng.random
        there, back = 0.002 + 0.028 * chance(), 0.002 + (0.028 + self.slow_s) * chance()
        if not self.up or what.startswith(self.deaf):
            return None, None
        if chance() >= self.trouble:
            return there, back
        return self.rng.choice(
            ((None, None), (there, None), (self.rng.uniform(1.0, 30.0), back), (there, self.rng.uniform(0.5, 6.0)))
        )


# --- the store --------------------------------------------------------------------------------------------------------


class Kept:
    """The store itself."""

    def __init__(self, rules: Rules) -> None:
        self.items: dict[str, Item] = {}
        self._keys: dict[str, list[str]] = {}
        self._rules = rules

    def read(self, key: str) -> Item | None:
        return self.items.get(key)

    def scan(self, prefix: str, limit: int) -> Sequence[Item]:
        of_its_kind = reversed(self._keys.get(prefix.partition("/")[0], []))
        return [self.items[key] for key in of_its_kind if key.startswith(prefix)][:limit]

    def sent(self, who: str, key: str, value: Value) -> None:
        """By somebody, at this moment; it may arrive late, or never."""
        if key.startswith("intent/") and value["state"] == "open" and not value["steps"]:
            self._rules.claims(who, value["epoch"])

    def compare_and_set(self, key: str, value: Value, version: int) -> Item:
        before = self.items.get(key)
        if (before.version if before else 0) != version:
            raise StoreConflictError(f"{key} is not at version {version}")
        self._rules.written(key, before.value if before else None, value)
        if before is None:
            insort(self._keys.setdefault(key.partition("/")[0], []), key)
        self.items[key] = Item(key, version + 1, value)
        return self.items[key]


class Store:
    """The store as one process reaches it; where it is its own, on its own `disk`."""

    def __init__(self, kept: Kept, process: Process, line: Line, timeout_s: float, *, disk: Disk | None = None) -> None:
        self._kept, self._process, self._line, self._timeout_s, self._disk = kept, process, line, timeout_s, disk

    def read(self, key: str) -> Item | None:
        return self._ask(key, lambda: self._kept.read(key))

    def scan(self, prefix: str, limit: int) -> Sequence[Item]:
        return self._ask(prefix, lambda: self._kept.scan(prefix, limit))

    def compare_and_set(self, key: str, value: Value, version: int) -> Item:
        self._kept.sent(self._process.name, key, value)
        return self._ask(key, lambda: self._written(key, value, version))

    def _written(self, key: str, value: Value, version: int) -> Item:
        """On the own disk the last write of who is killed was made or was not, whole (SQLite: a transaction)."""
        if self._disk and self._disk.full:
            raise StoreError("database or disk is full")
        if self._disk and self._process.dead and self._disk.rng.random() < 0.5:
            raise StoreError("it was killed before")
        return self._kept.compare_and_set(key, value, version)

    def _ask(self, key: str, do: Any) -> Any:
        try:
            return self._process.ask(do, *self._line.fate(key), self._timeout_s)
        except TimeoutError:
            raise StoreError("the store does not answer") from None


# --- AWS --------------------------------------------------------------------------------------------------------------

RecordSets = Mapping[tuple[str, str], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Shape:
    sets: RecordSets = field(default_factory=dict)
    holders: frozenset[str] = frozenset()


class Cloud:
    """Route 53's batch is all or nothing, and a DELETE states what is there; an address is moved by whoever says so."""

    def __init__(self, timeline: Timeline, rng: random.Random, rules: Rules, nodes: "Nodes") -> None:
        self._timeline, self._rng, self._rules = timeline, rng, rules
        self.machines = Machines(timeline, rng, nodes)
        self.past: list[tuple[float, Shape]] = [(0.0, Shape())]
        self.fault: Fault | None = None
        self._in_sync: dict[str, float] = {}

    @property
    def shape(self) -> Shape:
        return self.past[-1][1]

    def _becomes(self, shape: Shape) -> Mapping[str, Any]:
        self.past = [*self.past[-20:], (self._timeline.now, shape)]
        return {}

    def _seen(self) -> Shape:
        """Eventually consistent: what was true a moment ago."""
        at = self._timeline.now - self._rng.choice((0.0, 0.0, 0.0, self._rng.uniform(0.0, STALE_S)))
        return next((shape for since, shape in reversed(self.past) if since <= at), self.past[0][1])

    def begin_with(self, node: str) -> None:
        self.past = [(0.0, Shape(holders=frozenset({ENI[node]})))]

    def move_by_hand(self, node: str) -> None:
        self._becomes(replace(self.shape, holders=frozenset({ENI[node]})))

    def does(self, call: Call) -> Mapping[str, Any]:
        if self.fault:
            raise CloudError(call.method, self.fault, "AWS says so")
        does = getattr(self, f"_{call.method}", None) or getattr(self.machines, call.method)
        answer: Mapping[str, Any] = does(**call.parameters)
        return answer

    def _get_hosted_zone(self, Id: str) -> Mapping[str, Any]:  # noqa: N803 AWS's word
        return {"HostedZone": {"Name": "fs.corp.example.", "Config": {"PrivateZone": True}}, "VPCs": []}

    def _list_resource_record_sets(self, **_: Any) -> Mapping[str, Any]:
        return {"ResourceRecordSets": list(self.shape.sets.values())}

    def _change_resource_record_sets(self, HostedZoneId: str, ChangeBatch: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N803
        sets = dict(self.shape.sets)
        for change in ChangeBatch["Changes"]:
            _apply(sets, change["Action"], change["ResourceRecordSet"])
        self._rules.published(_text(self.shape.sets), _text(sets))
        self._becomes(replace(self.shape, sets=sets))
        change_id = f"C{len(self._in_sync)}"
        self._in_sync[change_id] = self._timeline.now + self._rng.uniform(0.5, 40.0)
        return {"ChangeInfo": {"Id": change_id, "Status": "PENDING"}}

    def _get_change(self, Id: str) -> Mapping[str, Any]:  # noqa: N803
        return {"ChangeInfo": {"Status": "INSYNC" if self._in_sync[Id] <= self._timeline.now else "PENDING"}}

    def _describe_network_interfaces(self, **_: Any) -> Mapping[str, Any]:
        seen = self._seen()
        return {
            "NetworkInterfaces": [
                {
                    "NetworkInterfaceId": eni,
                    "PrivateIpAddresses": [{"PrivateIpAddress": ADDRESS}] * (eni in seen.holders),
                    **self.machines.interface(eni),
                }
                for eni in ENI.values()
            ]
        }

    def _assign_private_ip_addresses(
        self,
        NetworkInterfaceId: str,  # noqa: N803
        PrivateIpAddresses: list[str],  # noqa: N803
        AllowReassignment: bool,  # noqa: N803
    ) -> Mapping[str, Any]:
        if self.shape.holders - {NetworkInterfaceId} and not AllowReassignment:
            raise CloudError("AssignPrivateIpAddresses", Fault.CONFLICT, "another interface has it")
        return self._becomes(replace(self.shape, holders=frozenset({NetworkInterfaceId})))

    def _unassign_private_ip_addresses(
        self,
        NetworkInterfaceId: str,  # noqa: N803
        PrivateIpAddresses: list[str],  # noqa: N803
    ) -> Mapping[str, Any]:
        if NetworkInterfaceId not in self.shape.holders:
            raise CloudError("UnassignPrivateIpAddresses", Fault.CONFLICT, "it does not have it")
        return self._becomes(replace(self.shape, holders=self.shape.holders - {NetworkInterfaceId}))


def _apply(sets: dict[tuple[str, str], Mapping[str, Any]], action: str, given: Mapping[str, Any]) -> None:
    key = (given["Name"], given["Type"])
    if (action == "DELETE" and sets.get(key) != given) or (action == "CREATE" and key in sets):
        raise CloudError("ChangeResourceRecordSets", Fault.CONFLICT, f"{action} of what is not so: {key}")
    sets.pop(key, None)
    if action != "DELETE":
        sets[key] = given


def _text(sets: RecordSets) -> str:
    found = sets.get((f"_edge.{NAME}.", "TXT"))
    return found["ResourceRecords"][0]["Value"].strip('"') if found else ""


def published(shape: Shape) -> str:
    """What Route 53 says of who is live."""
    return _text(shape.sets)


class Session:
    """AWS as one process reaches it: the runner's session."""

    def __init__(
        self, cloud: Cloud, process: Process, line: Line, timeout_s: float, rules: Rules, *, heard: Heard
    ) -> None:
        self.settings, self._heard = SimpleNamespace(call_s=timeout_s), heard
        self._cloud, self._process, self._line, self._rules = cloud, process, line, rules

    def read(self, service: str, method: str, **parameters: Any) -> Mapping[str, Any]:
        return self.call(Call(service, method, parameters))

    def call(self, call: Call) -> Mapping[str, Any]:
        fault: Fault | None = None
        with self._rules.calling(self._process.name, call.method):
            try:
                return self._process.ask(lambda: self._cloud.does(call), *self._line.fate(), self.settings.call_s)
            except TimeoutError:
                fault = Fault.UNREACHABLE
                raise CloudError(call.method, fault, "no answer") from None
            except CloudError as error:
                fault = error.fault
                raise
            finally:
                self._heard(call.method, 0.0, fault)

    def rehearse(self, call: Call) -> None:
        """Nothing here is refused dry that would not be refused in earnest."""


# --- the nodes --------------------------------------------------------------------------------------------------------


class Nodes:
    """What each endpoint shows, not to an agent but in truth, and since when."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self.names = ("a", "b", "w")
        self._past = {name: [(0.0, Shown.ACTIVE)] for name in self.names}
        self._unfenced = dict.fromkeys(self.names, Shown.ACTIVE)
        self._fenced: set[str] = set()

    def becomes(self, name: str, shown: Shown) -> None:
        self._unfenced[name] = shown
        self._past[name].append((self._timeline.now, Shown.SILENT if name in self._fenced else shown))

    def fenced(self, name: str, out: bool) -> None:
        """Nothing of it is seen while it is so."""
        self._fenced = self._fenced | {name} if out else self._fenced - {name}
        self.becomes(name, self._unfenced[name])

    def shown(self, name: str, at: float) -> Shown:
        return next(shown for since, shown in reversed(self._past[name]) if since <= at)

    def failed_within(self, name: str, seconds: float) -> bool:
        """Whether it did not serve at some moment of the last so many seconds."""
        begin = max(self._timeline.now - seconds, 0.0)
        since = [shown for at, shown in self._past[name] if at > begin]
        return any(shown is not Shown.ACTIVE for shown in (self.shown(name, begin), *since))
