"""One test for each sentence of the Route 53 documentation that a switch relies on.

Stock moto fails all but two (a DELETE at TTL 0; DELETE and CREATE in one batch), which the mends must not lose.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

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
