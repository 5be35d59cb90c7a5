"""One test for each sentence of the Route 53 documentation that a switch relies on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError
from dnslib import DNSRecord

from .emulator import REGION, Emulator, Layout, Seeded

HOUR_S = 3600.0
NAME = "files.fs.corp.example."
EPOCH = "_edge.files.fs.corp.example."


class Zone:
    """The zone under test, spoken to in few words."""

    def __init__(self, aws: Emulator, seeded: Seeded) -> None:
        self.client = aws.client("route53")
        self.id = seeded.zone_id

    def change(self, *changes: dict[str, Any]) -> str:
        answer = self.client.change_resource_record_sets(HostedZoneId=self.id, ChangeBatch={"Changes": list(changes)})
        return str(answer["ChangeInfo"]["Id"])

    def refused(self, *changes: dict[str, Any]) -> str:
        with pytest.raises(ClientError) as refusal:
            self.change(*changes)
        return str(refusal.value.response["Error"]["Code"])

    def values(self, name: str = NAME, rtype: str = "A") -> list[str]:
        rrsets = self.client.list_resource_record_sets(HostedZoneId=self.id)["ResourceRecordSets"]
        matching = [rrset for rrset in rrsets if (rrset["Name"], rrset["Type"]) == (name, rtype)]
        return [record["Value"] for rrset in matching for record in rrset["ResourceRecords"]]

    def status(self, change_id: str) -> str:
        return str(self.client.get_change(Id=change_id)["ChangeInfo"]["Status"])


@pytest.fixture
def zone(aws: Emulator) -> Zone:
    return Zone(aws, aws.seed(Layout(record="10.0.1.10", record_ttl_s=0)))


def a(action: str, *values: str, name: str = NAME, ttl_s: int = 0) -> dict[str, Any]:
    return _change(action, name, "A", ttl_s, values)


def epoch(action: str, number: int, node: str = "a") -> dict[str, Any]:
    return _change(action, EPOCH, "TXT", 0, [f'"epoch={number} node={node}"'])


def _change(action: str, name: str, rtype: str, ttl_s: int, values: Any) -> dict[str, Any]:
    records = [{"Value": value} for value in values]
    rrset = {"Name": name, "Type": rtype, "TTL": ttl_s, "ResourceRecords": records}
    return {"Action": action, "ResourceRecordSet": rrset}


def test_a_batch_makes_all_or_none_of_its_changes(zone: Zone) -> None:
    bad = a("CREATE", "10.0.1.11", name="files.other.example.")
    assert zone.refused(a("UPSERT", "10.0.1.11"), bad) == "InvalidChangeBatch"
    assert zone.values() == ["10.0.1.10"]


@pytest.mark.parametrize(
    "stated",
    [
        a("DELETE", "10.0.1.11"),
        a("DELETE", "10.0.1.10", "10.0.1.11"),
        a("DELETE", "10.0.1.10", ttl_s=60),
        a("DELETE", "10.0.1.10", name="nothing.fs.corp.example."),
    ],
    ids=["other-value", "one-value-more", "other-ttl", "no-such-name"],
)
def test_a_delete_must_state_the_values_that_are_there(zone: Zone, stated: dict[str, Any]) -> None:
    assert zone.refused(stated) == "InvalidChangeBatch"
    assert zone.values() == ["10.0.1.10"]


def test_a_delete_is_compared_with_the_present_not_with_history(zone: Zone) -> None:
    zone.change(a("UPSERT", "10.0.1.11"))
    assert zone.refused(a("DELETE", "10.0.1.10"), a("CREATE", "10.0.1.12")) == "InvalidChangeBatch"
    assert zone.values() == ["10.0.1.11"]


def test_a_record_of_ttl_0_can_be_deleted(zone: Zone) -> None:
    zone.change(a("DELETE", "10.0.1.10", ttl_s=0))
    assert zone.values() == []


def test_the_order_of_values_and_the_case_of_names_mean_nothing(zone: Zone) -> None:
    zone.change(a("UPSERT", "10.0.1.10", "10.0.1.11"))
    zone.change(a("DELETE", "10.0.1.11", "10.0.1.10", name="FILES.fs.corp.example"))
    assert zone.values() == []


def test_create_never_replaces_what_exists(zone: Zone) -> None:
    assert zone.refused(a("CREATE", "10.0.1.11")) == "InvalidChangeBatch"
    assert zone.values() == ["10.0.1.10"]


def test_a_batch_may_delete_and_create_the_same_set(zone: Zone) -> None:
    zone.change(epoch("CREATE", 1))
    zone.change(epoch("DELETE", 1), epoch("CREATE", 2), a("UPSERT", "10.0.1.11"))
    assert zone.values(EPOCH, "TXT") == ['"epoch=2 node=a"']
    assert zone.values() == ["10.0.1.11"]


def test_a_batch_of_an_old_epoch_is_refused_as_a_whole(zone: Zone) -> None:
    zone.change(epoch("CREATE", 1))
    zone.change(epoch("DELETE", 1), epoch("CREATE", 2), a("UPSERT", "10.0.1.11"))
    stale = [epoch("DELETE", 1), epoch("CREATE", 3), a("UPSERT", "10.0.1.12")]
    assert zone.refused(*stale) == "InvalidChangeBatch"
    assert zone.values(EPOCH, "TXT") == ['"epoch=2 node=a"']
    assert zone.values() == ["10.0.1.11"]


def test_a_batch_cannot_delete_the_same_set_twice(zone: Zone) -> None:
    assert zone.refused(a("DELETE", "10.0.1.10"), a("DELETE", "10.0.1.10")) == "InvalidChangeBatch"


def test_of_those_who_race_for_an_epoch_one_gets_it(zone: Zone) -> None:
    """The invariant of fencing: of different batches on the same present epoch, one is accepted."""
    zone.change(epoch("CREATE", 0))
    nodes = [str(number) for number in range(12)]

    def take(node: str) -> bool:
        try:
            zone.change(epoch("DELETE", 0), epoch("CREATE", 1, node))
        except ClientError:
            return False
        return True

    with ThreadPoolExecutor(len(nodes)) as racers:
        [winner] = [node for node, won in zip(nodes, racers.map(take, nodes), strict=True) if won]
    assert zone.values(EPOCH, "TXT") == [f'"epoch=1 node={winner}"']


ALIAS = {"AliasTarget": {"HostedZoneId": "Z1", "DNSName": NAME, "EvaluateTargetHealth": False}}


def alias(action: str, name: str = "alias.fs.corp.example.") -> dict[str, Any]:
    return {"Action": action, "ResourceRecordSet": {"Name": name, "Type": "A", **ALIAS}}


def weighted(action: str, identifier: str, value: str, weight: int = 1, name: str = NAME) -> dict[str, Any]:
    change = a(action, value, name=name)
    change["ResourceRecordSet"] |= {"SetIdentifier": identifier, "Weight": weight}
    return change


def test_an_alias_has_a_target_instead_of_values(aws: Emulator, zone: Zone) -> None:
    zone.change(alias("CREATE"))
    listed = zone.client.list_resource_record_sets(HostedZoneId=zone.id)["ResourceRecordSets"]
    [made] = [each for each in listed if each["Name"] == "alias.fs.corp.example."]
    assert made == {"Name": "alias.fs.corp.example.", "Type": "A", **ALIAS}
    assert resolved(aws, "alias.fs.corp.example") == ["10.0.1.10"]
    zone.change(alias("DELETE"))
    assert resolved(aws, "alias.fs.corp.example") == []


def resolved(aws: Emulator, name: str) -> list[str]:
    host, port = aws.dns_address
    return sorted(str(rr.rdata) for rr in DNSRecord.parse(DNSRecord.question(name).send(host, port, timeout=30)).rr)


def test_an_alias_has_neither_ttl_nor_values(zone: Zone) -> None:
    both = a("CREATE", "10.0.1.12", name="alias.fs.corp.example.")
    both["ResourceRecordSet"] |= ALIAS
    assert zone.refused(both) == "InvalidInput"


def test_sets_of_one_name_and_type_are_told_apart_by_their_identifiers(aws: Emulator, zone: Zone) -> None:
    zone.change(a("DELETE", "10.0.1.10"))
    zone.change(weighted("CREATE", "one", "10.0.1.10"), weighted("CREATE", "two", "10.0.1.11", 0))
    assert zone.refused(weighted("CREATE", "two", "10.0.1.12")) == "InvalidChangeBatch"
    assert zone.refused(weighted("DELETE", "two", "10.0.1.11", 5)) == "InvalidChangeBatch"
    assert sorted(zone.values()) == ["10.0.1.10", "10.0.1.11"]
    assert resolved(aws, NAME) == ["10.0.1.10"]
    zone.change(weighted("DELETE", "one", "10.0.1.10"))
    assert zone.values() == ["10.0.1.11"]


def test_a_routing_policy_goes_with_an_identifier(zone: Zone) -> None:
    nameless = weighted("CREATE", "one", "10.0.1.10", name="new.fs.corp.example.")
    del nameless["ResourceRecordSet"]["SetIdentifier"]
    assert zone.refused(nameless) == "InvalidInput"


def test_a_simple_set_and_one_with_a_policy_exclude_each_other(zone: Zone) -> None:
    assert zone.refused(weighted("CREATE", "one", "10.0.1.11")) == "InvalidChangeBatch"
    zone.change(a("DELETE", "10.0.1.10"), weighted("CREATE", "one", "10.0.1.11"))
    assert zone.refused(a("UPSERT", "10.0.1.10")) == "InvalidChangeBatch"
    assert zone.values() == ["10.0.1.11"]


def test_a_cname_excludes_every_other_type(zone: Zone) -> None:
    cname = _change("CREATE", NAME, "CNAME", 0, ["other.fs.corp.example."])
    assert zone.refused(cname) == "InvalidChangeBatch"
    zone.change(a("DELETE", "10.0.1.10"), cname)
    assert zone.refused(a("UPSERT", "10.0.1.10")) == "InvalidChangeBatch"


def test_each_change_has_an_id_of_its_own(zone: Zone) -> None:
    assert zone.change(a("UPSERT", "10.0.1.11")) != zone.change(a("UPSERT", "10.0.1.12"))


def test_a_change_id_that_was_never_given_is_no_such_change(zone: Zone) -> None:
    with pytest.raises(ClientError) as refusal:
        zone.status("/change/C2682N5HXP0BZ4")
    assert refusal.value.response["Error"]["Code"] == "NoSuchChange"
    assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


def test_a_change_is_pending_until_it_has_propagated(aws: Emulator, zone: Zone) -> None:
    aws.lag(route53_s=HOUR_S)
    change = zone.change(a("UPSERT", "10.0.1.11"))
    assert zone.status(change) == "PENDING"
    aws.lag(route53_s=0)
    assert zone.status(change) == "INSYNC"


def test_the_api_lists_a_change_while_it_is_pending(aws: Emulator, zone: Zone) -> None:
    aws.lag(route53_s=HOUR_S)
    change = zone.change(a("UPSERT", "10.0.1.11"))
    assert (zone.values(), zone.status(change)) == (["10.0.1.11"], "PENDING")


def test_a_private_zone_is_created_with_a_vpc(zone: Zone) -> None:
    with pytest.raises(ClientError) as refusal:
        zone.client.create_hosted_zone(Name="x.example", CallerReference="x", HostedZoneConfig={"PrivateZone": True})
    assert refusal.value.response["Error"]["Code"] == "InvalidInput"


def test_a_private_zones_vpc_must_exist(zone: Zone) -> None:
    with pytest.raises(ClientError) as refusal:
        zone.client.create_hosted_zone(
            Name="x.example", CallerReference="x", VPC={"VPCRegion": REGION, "VPCId": "vpc-0"}
        )
    assert refusal.value.response["Error"]["Code"] == "InvalidVPCId"


def test_a_zone_created_with_a_vpc_is_private_and_tells_its_vpcs(aws: Emulator) -> None:
    seeded = aws.seed(Layout())
    client = aws.client("route53")
    vpc = {"VPCRegion": REGION, "VPCId": seeded.vpc}
    made = client.create_hosted_zone(Name="x.example", CallerReference="x", VPC=vpc)
    told = client.get_hosted_zone(Id=made["HostedZone"]["Id"])
    assert told["HostedZone"]["Config"]["PrivateZone"] is True
    assert told["VPCs"] == [vpc]


def test_a_new_zone_lists_its_soa_as_text(zone: Zone) -> None:
    [soa] = zone.values("fs.corp.example.", "SOA")
    assert soa.split()[2:] == ["1", "7200", "900", "1209600", "86400"]


def test_a_zone_is_associated_with_vpcs_that_exist_and_keeps_one(aws: Emulator) -> None:
    seeded = aws.seed(Layout())
    zone, other = Zone(aws, seeded), aws.client("ec2").create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]

    def of(vpc: str) -> dict[str, Any]:
        return {"HostedZoneId": zone.id, "VPC": {"VPCRegion": REGION, "VPCId": vpc}}

    def code(act: Any, vpc: str) -> str:
        with pytest.raises(ClientError) as refusal:
            act(**of(vpc))
        return str(refusal.value.response["Error"]["Code"])

    assert code(zone.client.associate_vpc_with_hosted_zone, "vpc-0") == "InvalidVPCId"
    assert code(zone.client.disassociate_vpc_from_hosted_zone, other) == "VPCAssociationNotFound"
    assert code(zone.client.disassociate_vpc_from_hosted_zone, seeded.vpc) == "LastVPCAssociation"
    change = zone.client.associate_vpc_with_hosted_zone(**of(other))["ChangeInfo"]
    assert zone.status(change["Id"]) == "INSYNC"
    zone.client.disassociate_vpc_from_hosted_zone(**of(seeded.vpc))
    assert [vpc["VPCId"] for vpc in zone.client.get_hosted_zone(Id=zone.id)["VPCs"]] == [other]
