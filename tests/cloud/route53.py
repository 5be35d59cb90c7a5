"""Route 53 as its API reference describes it, where moto differs.

One batch is one transaction, a DELETE is a comparison, and a change travels:

    ChangeResourceRecordSets -> the zone as the API lists it, at once
                             -> PENDING .. lag .. INSYNC -> the zone as resolvers answer it

Each method stands under the sentence that it obeys.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, cast

from moto.core.responses import ActionResult
from moto.ec2.models import ec2_backends
from moto.route53.exceptions import InvalidInput, InvalidVPCId, Route53ClientError
from moto.route53.models import FakeZone, RecordSet
from moto.route53.responses import Route53

from .script import Script

# "In a group of resource record sets that have the same name and type, the value of SetIdentifier must be unique for
# each resource record set." (API_ResourceRecordSet)
POLICIES = {
    "Weight": "weight",
    "Failover": "failover",
    "Region": "region",
    "GeoLocation": "geo_location",
    "MultiValueAnswer": "multi_value_answer",
}  # with moto's names
OTHERS = {"AliasTarget": "alias_target", "HealthCheckId": "health_check_id"} | POLICIES


@dataclass(frozen=True, slots=True)
class Rrset:
    name: str  # lower case, with the last dot
    rtype: str
    ttl_s: int | None  # None: an alias, which has its target's
    values: tuple[str, ...]  # sorted: their order means nothing
    set_identifier: str = ""  # simple records have none
    others: str = "{}"  # alias target, routing policy and health check, as canonical JSON

    @property
    def key(self) -> tuple[str, str, str]:
        return self.name, self.rtype, self.set_identifier

    @property
    def policy(self) -> set[str]:
        return POLICIES.keys() & json.loads(self.others).keys()

    @property
    def alias(self) -> str | None:
        """The name to which an alias leads."""
        target = json.loads(self.others).get("AliasTarget")
        return absolute(target["DNSName"]) if target else None

    def __str__(self) -> str:
        return f"resource record set [name='{self.name}', type='{self.rtype}']"


@dataclass(frozen=True, slots=True)
class Change:
    id: str
    zone_id: str
    zone_name: str
    submitted_at: datetime
    submitted_s: float
    rrsets: frozenset[Rrset]  # the whole zone after the change; empty once it is deleted


@dataclass(slots=True)
class Ledger:
    """Every change of every zone, oldest first."""

    script: Script
    changes: list[Change] = field(default_factory=list)
    settled: set[str] = field(default_factory=set)

    def submit(self, zone: FakeZone, rrsets: Iterable[Rrset]) -> Change:
        change_id = "C" + secrets.token_hex(10).upper()
        now_s = time.monotonic()
        change = Change(change_id, zone.resource_id, zone.name, datetime.now(UTC), now_s, frozenset(rrsets))
        self.changes.append(change)
        return change

    def find(self, change_id: str) -> Change | None:
        wanted = change_id.removeprefix("/change/")
        return next((change for change in self.changes if change.id == wanted), None)

    def in_sync(self, change: Change) -> bool:
        age_s = time.monotonic() - change.submitted_s
        return change.id in self.settled or age_s >= self.script.route53_lag_s

    def settle(self) -> None:
        """What has propagated stays so, whatever the lag becomes."""
        self.settled.update(change.id for change in self.changes if self.in_sync(change))

    def zones_as_resolved(self) -> dict[str, frozenset[Rrset]]:
        """Zone name -> what resolvers in the VPC know of it."""
        arrived = (change for change in self.changes if self.in_sync(change))
        latest = {change.zone_id: change for change in arrived}
        return {change.zone_name: change.rrsets for change in latest.values() if change.rrsets}


class InvalidChangeBatchError(Route53ClientError):
    def __init__(self, message: str) -> None:
        super().__init__("InvalidChangeBatch", f"[{message}]")


class NoSuchChangeError(Route53ClientError):
    def __init__(self, change_id: str) -> None:
        super().__init__("NoSuchChange", f"Could not find resource with ID: {change_id}")


class VPCAssociationNotFoundError(Route53ClientError):
    def __init__(self) -> None:
        super().__init__("VPCAssociationNotFound", "The VPC is not associated with the hosted zone.")


def absolute(name: str) -> str:
    return name.lower().rstrip(".") + "."


# "If you're creating or updating an alias resource record set, omit TTL." (API_ResourceRecordSet) An alias has no
# values either, every other set has both; and one with a routing policy has an identifier.
def asked(rrset: Mapping[str, Any]) -> Rrset:
    """A record set as a request states it."""
    values = sorted(record["Value"] for record in rrset.get("ResourceRecords") or ())
    if ("AliasTarget" in rrset) == ("TTL" in rrset) or ("AliasTarget" in rrset) == bool(values):
        raise InvalidInput(f"expected exactly one of AliasTarget, or TTL and ResourceRecords: {dict(rrset)}")
    if (POLICIES.keys() & rrset.keys() == set()) != ("SetIdentifier" not in rrset):
        raise InvalidInput(f"a routing policy goes with a SetIdentifier: {dict(rrset)}")
    ttl_s = int(rrset["TTL"]) if "TTL" in rrset else None
    others = {name: rrset[name] for name in OTHERS if name in rrset}
    identifier = rrset.get("SetIdentifier", "")
    return Rrset(absolute(rrset["Name"]), rrset["Type"], ttl_s, tuple(values), identifier, _canonical(others))


def kept(rrset: RecordSet) -> Rrset:
    """A record set as moto keeps it; its SOA has values of another shape."""
    values = sorted(value["Value"] if isinstance(value, dict) else value for value in rrset.records or ())
    others = {name: getattr(rrset, own) for name, own in OTHERS.items() if getattr(rrset, own) is not None}
    ttl_s = None if "AliasTarget" in others else int(rrset.ttl or 0)
    name, identifier = absolute(rrset.name), rrset.set_identifier or ""
    return Rrset(name, str(rrset.type), ttl_s, tuple(values), identifier, _canonical(others))


def _canonical(others: Mapping[str, Any]) -> str:
    return json.dumps(others, sort_keys=True)


def to_moto(rrset: Rrset) -> RecordSet:
    given = {"Name": rrset.name, "Type": rrset.rtype, "TTL": rrset.ttl_s, "ResourceRecords": list(rrset.values)}
    named = {"SetIdentifier": rrset.set_identifier} if rrset.set_identifier else {}
    return RecordSet(given | named | json.loads(rrset.others))  # type: ignore[abstract]  # moto makes them the same way


Zone = dict[tuple[str, str, str], Rrset]


# "To delete a resource record set, you must specify all the same values that you specified when you created
# it." (API_ChangeResourceRecordSets, Deleting Resource Record Sets)
def delete(zone: Zone, stated: Rrset) -> None:
    present = zone.get(stated.key)
    if present is None:
        raise InvalidChangeBatchError(f"Tried to delete {stated} but it was not found")
    if present != stated:
        raise InvalidChangeBatchError(
            f"Tried to delete {stated} but the values provided do not match the current values"
        )
    del zone[stated.key]


# "CREATE: Creates a resource record set that has the specified values." It never replaces one. (API_Change)
def create(zone: Zone, stated: Rrset) -> None:
    if stated.key in zone:
        raise InvalidChangeBatchError(f"Tried to create {stated} but it already exists")
    refuse_beside(zone, stated)
    zone[stated.key] = stated


# "UPSERT: If a resource record set doesn't already exist, Route 53 creates it. If a resource record set does
# exist, Route 53 updates it with the values in the request." (API_Change)
def upsert(zone: Zone, stated: Rrset) -> None:
    refuse_beside(zone, stated)
    zone[stated.key] = stated


# "You can't create non-failover resource record sets that have the same values for the Name and Type elements as
# failover resource record sets", and so for each routing policy. (API_ResourceRecordSet) A name with a CNAME has no
# other records. (Route 53 developer guide, CNAME record type; RFC 1034 section 3.6.2)
def refuse_beside(zone: Zone, stated: Rrset) -> None:
    for other in zone.values():
        if other.name != stated.name or other.key == stated.key:
            continue
        if other.rtype == stated.rtype and other.policy != stated.policy:
            raise InvalidChangeBatchError(f"Tried to create {stated} beside one of another routing policy")
        if other.rtype != stated.rtype and "CNAME" in (other.rtype, stated.rtype):
            raise InvalidChangeBatchError(f"{stated} is not permitted as it conflicts with {other}")


ACTIONS = {"CREATE": create, "DELETE": delete, "UPSERT": upsert}


# "Route 53 validates the changes in the request and then either makes all or none of the changes in the
# change batch request." (API_ChangeResourceRecordSets, Change Batches and Transactional Changes)
def after_batch(zone_name: str, rrsets: Iterable[Rrset], batch: Iterable[Mapping[str, Any]]) -> list[Rrset]:
    """The zone's records after the batch; one change that can't be made raises, and nothing has changed."""
    working = {rrset.key: rrset for rrset in rrsets}
    for change in batch:
        stated = asked(change["ResourceRecordSet"])
        if not f".{stated.name}".endswith(f".{zone_name}"):
            raise InvalidChangeBatchError(f"RRSet with DNS name {stated.name} is not permitted in zone {zone_name}")
        ACTIONS[change["Action"]](working, stated)
    return list(working.values())


class MendedRoute53(Route53):
    ledger: ClassVar[Ledger]

    # "You create a private hosted zone, such as example.com, and specify the VPC that you want to associate
    # with the hosted zone." (Route 53 developer guide, Working with private hosted zones)
    # "InvalidVPCId: The VPC ID that you specified either isn't a valid ID or the current account is not
    # authorized to access this VPC." (API_CreateHostedZone)
    def create_hosted_zone(self) -> ActionResult:
        if self._get_param("VPC") or self._get_bool_param("HostedZoneConfig.PrivateZone", False):
            self._require_vpc(self._get_param("VPC.VPCId"), self._get_param("VPC.VPCRegion"))
            self.params.setdefault("HostedZoneConfig", {})["PrivateZone"] = True
        result = super().create_hosted_zone()
        zone = _content(result)["HostedZone"]
        return self._submitted(result, zone, list(map(kept, zone.rrsets)))

    def _require_vpc(self, vpc_id: str | None, region: str | None) -> None:
        if not (vpc_id and region):
            raise InvalidInput("a private hosted zone needs values for VPCId and VPCRegion")
        if vpc_id not in ec2_backends[self.current_account][region].vpcs:
            raise InvalidVPCId

    # "Associates an Amazon VPC with a private hosted zone": a valid one, "InvalidVPCId" else. "VPCAssociationNotFound:
    # The specified VPC and hosted zone are not currently associated." (API_AssociateVPCWithHostedZone,
    # API_DisassociateVPCFromHostedZone)
    def associate_vpc_with_hosted_zone(self) -> ActionResult:
        self._require_vpc(self._get_param("VPC.VPCId"), self._get_param("VPC.VPCRegion"))
        super().associate_vpc_with_hosted_zone()
        return self._unchanged()

    def disassociate_vpc_from_hosted_zone(self) -> ActionResult:
        zone = self.backend.get_hosted_zone(self._get_param("HostedZoneId"))
        if self._get_param("VPC.VPCId") not in [vpc["vpc_id"] for vpc in zone.vpcs]:
            raise VPCAssociationNotFoundError
        super().disassociate_vpc_from_hosted_zone()
        return self._unchanged()

    def _unchanged(self) -> ActionResult:
        """The records are as they were, and yet it is a change, with an id."""
        zone = self.backend.get_hosted_zone(self._get_param("HostedZoneId"))
        return self._submitted(ActionResult({}), zone, list(map(kept, zone.rrsets)))

    def change_resource_record_sets(self) -> ActionResult:
        zone = self.backend.get_hosted_zone(self._get_param("HostedZoneId"))
        batch = self._get_param("ChangeBatch.Changes")
        rrsets = after_batch(zone.name, map(kept, zone.rrsets), batch)
        return self._submitted(ActionResult({}), zone, rrsets)

    def delete_hosted_zone(self) -> ActionResult:
        zone = self.backend.get_hosted_zone(self._get_param("Id"))
        return self._submitted(super().delete_hosted_zone(), zone, ())

    # "PENDING indicates that the changes in this request have not propagated to all Amazon Route 53 DNS
    # servers managing the hosted zone. This is the initial status of all change batch requests." And:
    # "NoSuchChange: A change with the specified change ID does not exist." (API_GetChange)
    def get_change(self) -> ActionResult:
        change = self.ledger.find(self._get_param("Id"))
        if change is None:
            raise NoSuchChangeError(self._get_param("Id"))
        return ActionResult({"ChangeInfo": self._info(change)})

    def _submitted(self, result: ActionResult, zone: FakeZone, rrsets: Collection[Rrset]) -> ActionResult:
        zone.rrsets = [to_moto(rrset) for rrset in rrsets]
        change = self.ledger.submit(zone, rrsets)
        return ActionResult(_content(result) | {"ChangeInfo": self._info(change) | {"Status": "PENDING"}})

    def _info(self, change: Change) -> dict[str, Any]:
        status = "INSYNC" if self.ledger.in_sync(change) else "PENDING"
        return {"Id": f"/change/{change.id}", "Status": status, "SubmittedAt": change.submitted_at}


def _content(result: ActionResult) -> dict[str, Any]:
    return cast("dict[str, Any]", result.result)


def mend(ledger: Ledger) -> type[Route53]:
    return type("MendedRoute53", (MendedRoute53,), {"ledger": ledger})
