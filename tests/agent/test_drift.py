"""Somebody changes AWS by hand, and the real agent does what `drift` says: scenario 24."""

import pytest

from tests.agent.site import ADDRESS, BOTH, NAME, ROUTE53, SECONDARY, Site
from tests.cloud.script import SPARED

TXT = f"_edge.{NAME}"


def content(site: Site, drift: str, switches: str = ROUTE53) -> int:
    """The epoch at which the agent is content with a."""
    site.configure(switches, drift=drift)
    by_hand(site, "a")  # else the first node that is seen to serve becomes live
    site.start()
    site.until("the agent is content with a", lambda: site.ready_on("a"))
    return int(site.status()["epoch"])


def by_hand(site: Site, node: str) -> None:
    """The record alone, as somebody in the console changes it: the epoch beside it stays."""
    rrset = {"Name": NAME, "Type": "A", "TTL": 0, "ResourceRecords": [{"Value": ADDRESS[node]}]}
    batch = {"Changes": [{"Action": "UPSERT", "ResourceRecordSet": rrset}]}
    route53 = site.aws.client("route53", spared=True)
    route53.change_resource_record_sets(HostedZoneId=site.seeded.zone_id, ChangeBatch=batch)


def told(site: Site, kind: str) -> str:
    lines = site.edgectl("history", "--limit", "200").stdout.splitlines()
    return "\n".join(line for line in lines if f"  {kind}  " in line)


def test_alert_says_so_and_leaves_it(site: Site) -> None:
    epoch = content(site, "alert")
    by_hand(site, "b")
    site.until("the drift is told", lambda: "route53: 127.0.1.11" in told(site, "drift"))
    said = site.edgectl("status").stdout
    assert f'AWS was changed by somebody else: route53: 127.0.1.11, epoch {epoch}; drift is "alert"' in said
    assert "view route53 disagrees" in said
    assert (site.answer(), site.in_vpc()) == ((ADDRESS["a"],), (ADDRESS["b"],))
    by_hand(site, "a")
    site.until("its end is told", lambda: "AWS says again what is committed" in told(site, "drift"))
    assert (site.status()["epoch"], site.status()["drift"]) == (epoch, None)


def test_cloudtrail_names_who_did_it_and_not_the_agent_itself(site: Site) -> None:
    site.configure(ROUTE53, drift="repair")
    site.file.write_text(site.file.read_text().replace("[aws]", "[aws]\ncloudtrail = true"))
    by_hand(site, "a")
    site.start()
    site.until("the agent is content with a", lambda: site.ready_on("a"))
    by_hand(site, "b")
    site.until("somebody is named", lambda: "called ChangeResourceRecordSets at" in told(site, "trail"))
    site.until("it is repaired", lambda: site.settled_on("a") and site.in_vpc() == (ADDRESS["a"],))
    deeds = told(site, "trail").splitlines()
    assert deeds
    assert all(f"user/{SPARED} called ChangeResourceRecordSets" in deed for deed in deeds)


def test_repair_asserts_the_assignment_anew_at_the_next_epoch(site: Site) -> None:
    epoch = content(site, "repair")
    by_hand(site, "b")
    site.until("it is repaired", lambda: site.status()["epoch"] == epoch + 1 and site.settled_on("a"))
    assert site.in_vpc() == site.answer() == (ADDRESS["a"],)
    assert site.in_vpc("TXT", TXT) == (f'"epoch={epoch + 1} node=a"',)
    assert "AWS was changed by somebody else: route53: 127.0.1.11" in told(site, "opened")
    assert site.kept("assignment")["cause"] == "repair"
    assert len(site.kept("assignment")["answered"]) == 1


def test_who_changes_it_back_each_time_is_not_fought_for_ever(site: Site) -> None:
    epoch = content(site, "repair")
    for number in range(1, 4):
        by_hand(site, "b")
        site.until("it is repaired", lambda number=number: site.status()["epoch"] == epoch + number)
        site.until("it is settled", lambda: site.settled_on("a"))
    by_hand(site, "b")
    site.until("no more is done", lambda: "is not fought any longer" in told(site, "drift"))
    assert (site.status()["epoch"], site.in_vpc()) == (epoch + 3, (ADDRESS["b"],))


@pytest.mark.parametrize("switches", [ROUTE53, BOTH], ids=["name", "name-and-address"])
def test_adopt_follows_where_all_of_aws_points(site: Site, switches: str) -> None:
    epoch = content(site, "adopt", switches)
    by_hand(site, "b")
    if switches is BOTH:
        site.until("half of it is told", lambda: "does not point to one other node" in told(site, "drift"))
        ec2, b = site.aws.client("ec2", spared=True), site.seeded.b.interface
        ec2.assign_private_ip_addresses(NetworkInterfaceId=b, PrivateIpAddresses=[SECONDARY], AllowReassignment=True)
    site.until("it is adopted", lambda: site.settled_on("b"))
    assert site.answer() == site.in_vpc() == (ADDRESS["b"],)
    assert site.in_vpc("TXT", TXT) == (f'"epoch={epoch + 1} node=b"',)
    assert site.kept("assignment")["cause"] == "adopt"
    assert site.status()["drift"] is None
