"""The private zone: the service's A and AAAA records, and beside them the epoch as a TXT record, changed in one batch.

A batch is all-or-nothing, and a DELETE must state the exact present values (AWS, *ChangeResourceRecordSets*). So DELETE of the TXT
that we read, CREATE of ours and UPSERT of the addresses are one compare-and-set: of two agents that read the same epoch, Route 53
accepts one batch. A paused agent's batch states a TXT that is gone, and is rejected whole.

The change is PENDING until every name server of the zone has it (INSYNC); within the zone's VPC the answer is old until then.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from edge.errors import CloudError, Fault
from edge.failover.model import Intent, Stage
from edge.switches.contract import Call, NewerEpochError, Plan, Step, View
from edge.switches.session import Session

_EPOCH = re.compile(r'"epoch=(\d+) node=([^" ]+)"')
_LIST = "ListResourceRecordSets"
_NO_CACHE_TTL_S = 0  # Route 53 allows it, and any other lets a resolver keep the dead node


@dataclass(frozen=True, slots=True)
class Settings:
    """`name` has no trailing dot; `addresses` are what the name is to answer, by node."""

    zone_id: str
    name: str
    addresses: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Seen:
    """What the zone holds for the service: each record set by type, and what its TXT says (epoch 0: there is none)."""

    sets: Mapping[str, Mapping[str, Any]]
    epoch: int
    node: str | None


class Zone:
    """Reads the zone, and knows the batch that is missing. A public zone is refused: it would show the addresses to the world."""

    name = "route53"

    def __init__(self, session: Session, settings: Settings) -> None:
        self._session = session
        self._settings = settings
        self._private = False

    def view(self) -> View:
        seen = self._seen()
        addresses = _values(seen.sets.get("A")) | _values(seen.sets.get("AAAA"))
        nodes = [n for n, own in self._settings.addresses.items() if addresses and addresses == _canonical(own)]
        said = ", ".join(sorted(addresses)) or "no address"
        return View(_pointed(nodes, seen.node), seen.epoch, f"{said}, epoch {seen.epoch or 'none'}")

    def batch(self, intent: Intent) -> Plan:
        """The one batch that makes the zone agree; no call where it does. Raises NewerEpochError."""
        self._refuse_public()
        seen = self._seen()
        if seen.epoch > intent.epoch or (seen.epoch == intent.epoch and seen.node not in (None, intent.node)):
            said = f"Route 53 carries epoch {seen.epoch} (node {seen.node}), ours is {intent.epoch}"
            raise NewerEpochError(_LIST, seen.epoch, said)
        changes = self._changes(seen, intent)
        evidence = f"{self._settings.name} points to {intent.node} at epoch {intent.epoch}"
        if not changes:
            return Plan(evidence)
        comment = f"{intent.cause.value} by {intent.who}: epoch {intent.epoch}"[:256]
        parameters = {
            "HostedZoneId": self._settings.zone_id,
            "ChangeBatch": {"Comment": comment, "Changes": changes},
        }
        return Plan(
            f"epoch {seen.epoch or 'none'} was read", (Call("route53", "change_resource_record_sets", parameters),)
        )

    def _changes(self, seen: Seen, intent: Intent) -> list[Mapping[str, Any]]:
        wanted = self._wanted(intent)
        changes: list[Mapping[str, Any]] = []
        for kind in ("TXT", "A", "AAAA"):
            present, right = seen.sets.get(kind), wanted.get(kind)
            if _same(present, right):
                continue
            if present and (kind == "TXT" or right is None):
                changes.append({"Action": "DELETE", "ResourceRecordSet": present})
            if right:
                changes.append({"Action": "CREATE" if kind == "TXT" else "UPSERT", "ResourceRecordSet": right})
        return changes

    def _wanted(self, intent: Intent) -> dict[str, Mapping[str, Any]]:
        settings = self._settings
        wanted = {"TXT": _set(f"_edge.{settings.name}", "TXT", [f'"epoch={intent.epoch} node={intent.node}"'])}
        for kind, version in (("A", 4), ("AAAA", 6)):
            own = [a for a in settings.addresses[intent.node] if ip_address(a).version == version]
            if own:
                wanted[kind] = _set(settings.name, kind, own)
        return wanted

    def _seen(self) -> Seen:
        sets = self._sets()
        values = _values(sets.get("TXT"))
        found = [match for value in values if (match := _EPOCH.fullmatch(value))]
        if values and not found:
            message = (
                f"_edge.{self._settings.name} has a TXT that this agent did not write: {', '.join(sorted(values))}"
            )
            raise CloudError(_LIST, Fault.IMPOSSIBLE, message)
        return Seen(sets, int(found[0][1]), found[0][2]) if found else Seen(sets, 0, None)

    def _sets(self) -> dict[str, Mapping[str, Any]]:
        """The service's record sets by type.

        A list is ordered by the names' labels from the right (AWS, *ListResourceRecordSets*), so the TXT below the service's name
        comes with the first page. If it ever didn't, our CREATE of it would be rejected: nothing is overwritten unread.
        """
        listed = self._session.read(
            "route53",
            "list_resource_record_sets",
            HostedZoneId=self._settings.zone_id,
            StartRecordName=self._settings.name,
            StartRecordType="A",
            MaxItems="100",
        )
        return {each["Type"]: each for each in listed["ResourceRecordSets"] if self._ours(each)}

    def _ours(self, record_set: Mapping[str, Any]) -> bool:
        """Whether a set is one that we write. An alias, a CNAME or a routing policy there is somebody else's work, and refused."""
        name, kind = record_set["Name"].rstrip(".").lower(), record_set["Type"]
        if kind == "TXT":
            return bool(name == f"_edge.{self._settings.name}")
        if name != self._settings.name or kind not in ("A", "AAAA", "CNAME"):
            return False
        if kind == "CNAME" or set(record_set) - _PLAIN:
            message = f"{name} has a {kind} record that is a CNAME, an alias or has a routing policy"
            raise CloudError(_LIST, Fault.IMPOSSIBLE, message)
        return True

    def _refuse_public(self) -> None:
        if self._private:
            return
        zone = self._session.read("route53", "get_hosted_zone", Id=self._settings.zone_id)
        if not zone["HostedZone"].get("Config", {}).get("PrivateZone"):
            message = f"{self._settings.zone_id} is a public zone: it would show the addresses to the world"
            raise CloudError("GetHostedZone", Fault.IMPOSSIBLE, message)
        self._private = True

    def in_sync(self, change_id: str | None) -> bool:
        """Whether a batch has reached every name server. Of a batch of before a restart nothing is known: it counts as there."""
        if change_id is None:
            return True
        return bool(self._session.read("route53", "get_change", Id=change_id)["ChangeInfo"]["Status"] == "INSYNC")


class Publish(Step):
    """Stage publish: the batch is accepted."""

    name, stage = "route53", Stage.PUBLISH

    def __init__(self, zone: Zone) -> None:
        self._zone = zone
        self.change_id: str | None = None

    def plan(self, intent: Intent) -> Plan:
        return self._zone.batch(intent)

    def applied(self, answer: Mapping[str, Any]) -> None:
        self.change_id = answer["ChangeInfo"]["Id"]


class Verify(Step):
    """Stage verify: the zone holds the batch, and every one of its name servers has it."""

    name, stage = "route53-insync", Stage.VERIFY

    def __init__(self, zone: Zone, published: Publish) -> None:
        self._zone = zone
        self._published = published

    def plan(self, intent: Intent) -> Plan:
        plan = self._zone.batch(intent)
        if plan.calls or self._zone.in_sync(self._published.change_id):
            return plan
        return Plan("the change is PENDING", pending=True)


_PLAIN = {"Name", "Type", "TTL", "ResourceRecords"}


def _pointed(nodes: list[str], claimed: str | None) -> str | None:
    """The node whose addresses the zone answers. Where the answer is the same for every node, the TXT tells them apart."""
    if claimed in nodes:
        return claimed
    return nodes[0] if len(nodes) == 1 else None


def _set(name: str, kind: str, values: list[str]) -> Mapping[str, Any]:
    records = [{"Value": value} for value in values]
    return {"Name": f"{name}.", "Type": kind, "TTL": _NO_CACHE_TTL_S, "ResourceRecords": records}


def _values(record_set: Mapping[str, Any] | None) -> set[str]:
    records = record_set["ResourceRecords"] if record_set else []
    return {record["Value"] for record in records}


def _canonical(addresses: tuple[str, ...]) -> set[str]:
    return {str(ip_address(address)) for address in addresses}


def _same(present: Mapping[str, Any] | None, right: Mapping[str, Any] | None) -> bool:
    if present is None or right is None:
        return present is right
    return present["TTL"] == right["TTL"] and _values(present) == _values(right)
