"""The private zone: the service's A and AAAA records, and beside them the epoch as a TXT record, changed in one batch.

A batch is all-or-nothing, and a DELETE must state the exact present values (AWS, *ChangeResourceRecordSets*). So DELETE
of the TXT that we read, CREATE of ours and UPSERT of the addresses are one compare-and-set: of two agents that read
the same epoch, Route 53 accepts one batch. A paused agent's batch states a TXT that is gone, and is rejected whole. No
batch goes without its DELETE and CREATE, not even one that only mends an address.

The change is PENDING until every name server of the zone has it (INSYNC); within the zone's VPC the answer is old until
then.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from edge.errors import CloudError, Fault
from edge.failover.model import Intent, Stage
from edge.switches.contract import Call, Need, NewerEpochError, Plan, Step, View
from edge.switches.session import Session

_EPOCH = re.compile(r'"epoch=(\d+) node=([^" ]+)"')
_LIST = "ListResourceRecordSets"
_NO_CHANGE = "C0EDGECHECK0"
_NO_CACHE_TTL_S = 0  # Route 53 allows it, and any other lets a resolver keep the dead node


@dataclass(frozen=True, slots=True)
class Settings:
    """`name` has no trailing dot; `addresses` are what the name is to answer, by node. `vpc`: whose clients ask."""

    zone_id: str
    name: str
    addresses: Mapping[str, tuple[str, ...]]
    vpc: str | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What the zone holds for the service: each record set by type, and what its TXT says (epoch 0: there is none)."""

    sets: Mapping[str, Mapping[str, Any]]
    epoch: int
    node: str | None


class Zone:
    """Reads the zone, and knows the batch that is missing. A public one is refused: all would see it."""

    name = "route53"

    def __init__(self, session: Session, settings: Settings) -> None:
        self._session = session
        self._settings = settings
        self._fit = False

    def view(self) -> View:
        self._refuse_unfit()
        seen = self._seen()
        addresses = _canonical(_values(seen.sets.get("A")) | _values(seen.sets.get("AAAA")))
        nodes = [n for n, own in self._settings.addresses.items() if addresses and addresses == _canonical(own)]
        said = ", ".join(sorted(addresses)) or "no address"
        evidence = f"{said}, epoch {seen.epoch or 'none'}"
        ttl_s = max((each["TTL"] for each in seen.sets.values()), default=None)
        strange = bool(addresses) and not nodes
        return View(_pointed(nodes, seen.node), seen.epoch, evidence, strange, ttl_s, _flaw(seen.epoch, ttl_s))

    def batch(self, intent: Intent) -> Plan:
        """The one batch that makes the zone agree; no call where it does. Raises NewerEpochError."""
        self._refuse_unfit()
        seen = self._seen()
        if seen.epoch > intent.epoch or (seen.epoch == intent.epoch and seen.node not in (None, intent.node)):
            said = f"Route 53 carries epoch {seen.epoch} (node {seen.node}), ours is {intent.epoch}"
            raise NewerEpochError(_LIST, seen.epoch, said)
        changes = self._changes(seen, intent)
        evidence = f"{self._settings.name} points to {intent.node} at epoch {intent.epoch}"
        if not changes:
            return Plan(evidence)
        comment = f"{intent.cause.value} by {intent.who!a}: epoch {intent.epoch}"[:256]
        batch = {"Comment": comment, "Changes": changes}
        call = Call(
            "route53", "change_resource_record_sets", {"HostedZoneId": self._settings.zone_id, "ChangeBatch": batch}
        )
        return Plan(f"epoch {seen.epoch or 'none'} was read", (call,))

    def _changes(self, seen: Seen, intent: Intent) -> list[Mapping[str, Any]]:
        wanted = self._wanted(intent)
        if all(_same(seen.sets.get(kind), wanted.get(kind)) for kind in _KINDS):
            return []
        fence = [_change("DELETE", seen.sets.get("TXT")), _change("CREATE", wanted["TXT"])]
        addresses = [
            _change("UPSERT", wanted[kind]) if kind in wanted else _change("DELETE", seen.sets.get(kind))
            for kind in ("A", "AAAA")
        ]
        return [change for change in (*fence, *addresses) if change]

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
        if len(values) > 1 or len(found) != len(values):
            message = (
                f"_edge.{self._settings.name} has a TXT that this agent did not write: {', '.join(sorted(values))}"
            )
            raise CloudError(_LIST, Fault.IMPOSSIBLE, message)
        return Seen(sets, int(found[0][1]), found[0][2]) if found else Seen(sets, 0, None)

    def _sets(self) -> dict[str, Mapping[str, Any]]:
        """The service's record sets by type.

        A list is ordered by the names' labels from the right (AWS, *ListResourceRecordSets*), so the TXT below the
        service's name comes with the first page. If it ever didn't, our CREATE of it would be rejected: nothing is
        overwritten unread.
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
        """Whether a set is one that we write. An alias, a CNAME or a routing policy is somebody else's, and refused."""
        name, kind = record_set["Name"].rstrip(".").lower(), record_set["Type"]
        own = self._settings.name
        if kind not in {own: ("A", "AAAA", "CNAME"), f"_edge.{own}": ("TXT", "CNAME")}.get(name, ()):
            return False
        if kind == "CNAME" or set(record_set) - _PLAIN:
            message = f"{name} has a {kind} record that is a CNAME, an alias or has a routing policy"
            raise CloudError(_LIST, Fault.IMPOSSIBLE, message)
        return True

    def _refuse_unfit(self) -> None:
        """What a zone is for and where it hangs hardly changes, so it is asked once; `check` asks again."""
        if not self._fit:
            self.check()

    def check(self) -> str:
        """Whether it is a zone to write to, and for whom: the VPCs that it is associated with."""
        self._fit = False
        found = self._session.read("route53", "get_hosted_zone", Id=self._settings.zone_id)
        zone, vpcs = found["HostedZone"], [str(each["VPCId"]) for each in found.get("VPCs", ())]
        if unfit := self._unfit(zone, vpcs):
            raise CloudError("GetHostedZone", Fault.IMPOSSIBLE, f"{self._settings.zone_id} {unfit}")
        self._fit = True
        return f"{self._settings.zone_id} is private, and associated with {', '.join(vpcs)}"

    def _unfit(self, zone: Mapping[str, Any], vpcs: Sequence[str]) -> str | None:
        if not zone.get("Config", {}).get("PrivateZone"):
            return "is a public zone: it would show the addresses to the world"
        if not f".{self._settings.name}.".endswith(f".{zone['Name']}"):
            return f"is the zone {zone['Name']}, which can't hold {self._settings.name}"
        if self._settings.vpc and self._settings.vpc not in vpcs:
            return f"is not associated with {self._settings.vpc}, but with {', '.join(vpcs)}: nobody there would see it"
        return None

    def need(self) -> Need:
        name, key = self._settings.name, "route53:ChangeResourceRecordSets"
        context = {
            f"{key}NormalizedRecordNames": (name, f"_edge.{name}"),
            f"{key}RecordTypes": ("A", "AAAA", "TXT"),
            f"{key}Actions": ("CREATE", "UPSERT", "DELETE"),
        }
        return Need(key, (f"hostedzone/{self._settings.zone_id}",), context=context)

    def followed(self) -> str:
        """Whether a change could be followed, by asking for one that nobody made."""
        try:
            self.in_sync(_NO_CHANGE)
        except CloudError as error:
            if error.fault is not Fault.IMPOSSIBLE:
                raise
        return "GetChange is allowed"

    def in_sync(self, change_id: str) -> bool:
        """Whether a batch has reached every name server."""
        return bool(self._session.read("route53", "get_change", Id=change_id)["ChangeInfo"]["Status"] == "INSYNC")


class Publish(Step):
    """Stage publish: the batch is accepted."""

    name, stage = "route53", Stage.PUBLISH

    def __init__(self, zone: Zone) -> None:
        self._zone = zone
        self._accepted = (0, "")

    def check(self) -> str:
        return self._zone.check()

    def needs(self) -> tuple[Need, ...]:
        return (self._zone.need(),)

    def plan(self, intent: Intent) -> Plan:
        return self._zone.batch(intent)

    def applied(self, intent: Intent, answer: Mapping[str, Any]) -> None:
        self._accepted = (intent.epoch, answer["ChangeInfo"]["Id"])

    def change_id(self, intent: Intent) -> str | None:
        """The change that the epoch made, None where its answer was lost: to a time-out, or to a restart."""
        epoch, change_id = self._accepted
        return change_id if epoch == intent.epoch else None


class Verify(Step):
    """Stage verify: the zone holds the batch, and every one of its name servers has it."""

    name, stage = "route53-insync", Stage.VERIFY

    def __init__(self, zone: Zone, published: Publish) -> None:
        self._zone = zone
        self._published = published

    def check(self) -> str:
        return self._zone.followed()

    def plan(self, intent: Intent) -> Plan:
        plan = self._zone.batch(intent)
        change_id = self._published.change_id(intent)
        if plan.calls:
            return plan
        if change_id is None:
            return Plan(f"{plan.evidence}; whether every name server has it yet can't be asked")
        in_sync = self._zone.in_sync(change_id)
        return Plan(f"{plan.evidence}, {'INSYNC' if in_sync else 'PENDING'}", pending=not in_sync)


_KINDS = ("TXT", "A", "AAAA")
_PLAIN = {"Name", "Type", "TTL", "ResourceRecords"}


def _pointed(nodes: list[str], claimed: str | None) -> str | None:
    """The node whose addresses the zone answers. Where all nodes answer with the same, the TXT tells them apart."""
    if claimed in nodes:
        return claimed
    return nodes[0] if len(nodes) == 1 else None


def _flaw(epoch: int, ttl_s: int | None) -> str:
    if ttl_s is not None and ttl_s != _NO_CACHE_TTL_S:
        return f"TTL {ttl_s}, and {_NO_CACHE_TTL_S} is right"
    return "" if epoch else "no epoch stands beside the addresses"


def _set(name: str, kind: str, values: list[str]) -> Mapping[str, Any]:
    records = [{"Value": value} for value in values]
    return {"Name": f"{name}.", "Type": kind, "TTL": _NO_CACHE_TTL_S, "ResourceRecords": records}


def _change(action: str, record_set: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    return {"Action": action, "ResourceRecordSet": record_set} if record_set else None


def _values(record_set: Mapping[str, Any] | None) -> set[str]:
    records = record_set["ResourceRecords"] if record_set else []
    return {record["Value"] for record in records}


def _canonical(addresses: Iterable[str]) -> set[str]:
    return {str(ip_address(address)) for address in addresses}


def _same(present: Mapping[str, Any] | None, right: Mapping[str, Any] | None) -> bool:
    if present is None or right is None:
        return present is right
    return present["TTL"] == right["TTL"] and _values(present) == _values(right)
