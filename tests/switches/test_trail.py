"""CloudTrail names who changed what a service's sides read, each in its Region, and nobody else."""

import json
from datetime import UTC, datetime

import pytest

from edge.errors import CloudError, Fault
from edge.switches import trail
from edge.switches.trail import Trail
from tests.cloud.script import SPARED, FaultKind
from tests.switches.site import MOVING, NAME, Site, intent

LONG_AGO = 0.0


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulator grants as many lookups as one likes."""
    monkeypatch.setattr(trail, "LOOKUP_S", 0.0)


def both(site: Site) -> Trail:
    endpoints = {**site.session.settings.endpoints, "cloudtrail": site.aws.endpoint_url}
    site.session.settings.endpoints.update(endpoints)  # type: ignore[attr-defined]
    return Trail(site.session, {"route53": (NAME,), "secondary_ip": (site.seeded.a.interface, site.seeded.b.interface)})


def test_who_changed_a_record_or_moved_an_address_is_named_and_we_are_not(site: Site) -> None:
    asked = both(site)
    known = {deed.id for deed in asked.since(LONG_AGO)}
    for call in site.zone().batch(intent(1)).calls:
        site.session.call(call)
    assert {deed.id for deed in asked.since(LONG_AGO)} == known
    site.change("UPSERT", "A", "10.0.1.10")
    ec2 = site.aws.client("ec2", spared=True)
    ec2.assign_private_ip_addresses(
        NetworkInterfaceId=site.seeded.b.interface, PrivateIpAddresses=[MOVING], AllowReassignment=True
    )
    said = [deed.sentence for deed in asked.since(LONG_AGO) if deed.id not in known]
    assert [sentence.split(" called ")[1].split()[0] for sentence in said] == [
        "ChangeResourceRecordSets",
        "AssignPrivateIpAddresses",
    ]
    assert f"user/{SPARED}" in said[1]
    assert said[1].endswith("UTC from 127.0.0.1")


def test_what_is_older_or_about_something_else_is_not_told(site: Site) -> None:
    asked = both(site)
    site.change("UPSERT", "A", "10.0.1.10")
    assert asked.since(LONG_AGO)
    assert asked.since(4e9) == []
    assert Trail(site.session, {"route53": ("other.example",)}).since(LONG_AGO) == []


def test_what_others_did_since_does_not_hide_it(site: Site) -> None:
    """A page has 50 events."""
    asked = both(site)
    known = {deed.id for deed in asked.since(LONG_AGO)}
    site.change("UPSERT", "A", "10.0.1.10")
    for _ in range(60):
        site.change("UPSERT", "A", "10.0.1.10", name=f"other.{NAME.partition('.')[2]}")
    assert len({deed.id for deed in asked.since(LONG_AGO)} - known) == 1


def test_a_permission_that_is_missing_is_told_as_such(site: Site) -> None:
    asked = both(site)
    site.aws.fault("cloudtrail:LookupEvents", FaultKind.DENY)
    with pytest.raises(CloudError) as caught:
        asked.since(LONG_AGO)
    assert caught.value.fault is Fault.DENIED


@pytest.mark.parametrize(
    ("said", "who", "where"),
    [
        ({"userAgent": None, "userIdentity": None}, "somebody", "an address that it does not tell"),
        ({"userIdentity": {"arn": "arn:x"}, "sourceIPAddress": "ec2.amazonaws.com"}, "arn:x", "ec2.amazonaws.com"),
    ],
)
def test_an_event_that_tells_little_is_told_as_far_as_it_goes(
    site: Site, monkeypatch: pytest.MonkeyPatch, said: dict[str, object], who: str, where: str
) -> None:
    event = {"EventId": "one", "EventName": "ReplaceRoute", "EventTime": datetime.fromtimestamp(0.0, UTC)}
    whole = json.dumps({"requestParameters": {"routeTableId": "rtb-1"}, **said})
    monkeypatch.setattr(site.session, "call", lambda _: {"Events": [{**event, "CloudTrailEvent": whole}]})
    [deed, *_] = Trail(site.session, {"route_table": ("rtb-1",)}).since(LONG_AGO)
    assert deed.sentence == f"CloudTrail: {who} called ReplaceRoute at 1970-01-01 00:00:00 UTC from {where}"
