"""Several zones, and aliases between them. One zone by itself is in test_zone.py."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.dns.bites import at_once
from edge.dns.guard import Policy
from edge.dns.message import Qtype
from edge.dns.site import ALIASES, Site
from edge.dns.zone import Found, Outcome, ServiceRecord, StaticRecord, Zone
from tests.dns.desks import SECRET
from tests.dns.samples import DUAL, FILES, HOST, WAITING, ZONE, labels, shown

OPEN = Policy(("0.0.0.0/0",))
PARENT = Zone("corp.example", {"ns1.corp.example": ("10.10.0.54",)}, "hostmaster.corp.example", 3, ())
REVERSE = Zone(
    "1.0.10.in-addr.arpa",
    {"ns1.fs.corp.example": ("10.10.0.53",)},
    "hostmaster.corp.example",
    4,
    (),
    records=(StaticRecord("10.1.0.10.in-addr.arpa", "PTR", 300, ("node-a.fs.corp.example",)),),
)


def alias(name: str, target: str) -> StaticRecord:
    return StaticRecord(f"{name}.corp.example", "CNAME", 60, (target,))


def site(*records: StaticRecord) -> Site:
    return Site([replace(PARENT, records=records), replace(ZONE, records=(HOST,)), REVERSE], OPEN)


def find(name: str, qtype: int, at: Site | None = None) -> Found:
    return (at or site()).find(labels(name), qtype)


def apex(found: Found) -> str:
    return b".".join(found.authority[0].name).decode()


def rdata(found: Found) -> list[str]:
    return [text for rrset in found.answer for text in shown(rrset)]


@pytest.mark.parametrize(
    ("name", "zone"),
    [
        ("fs.corp.example", "fs.corp.example"),
        ("nobody.fs.corp.example", "fs.corp.example"),
        ("nobody.corp.example", "corp.example"),
        ("otherfs.corp.example", "corp.example"),
        ("99.1.0.10.in-addr.arpa", "1.0.10.in-addr.arpa"),
    ],
)
def test_the_longest_apex_answers(name: str, zone: str) -> None:
    assert apex(find(name, Qtype.AAAA)) == zone


def test_a_reverse_zone_answers() -> None:
    assert rdata(find("10.1.0.10.in-addr.arpa", Qtype.PTR)) == ["node-a.fs.corp.example."]


@pytest.mark.parametrize("name", ["example", "", "2.0.10.in-addr.arpa"])
def test_what_no_zone_holds_is_outside(name: str) -> None:
    assert find(name, Qtype.A).outcome is Outcome.OUTSIDE


def test_ds_at_an_apex_is_the_parents_where_we_have_it() -> None:
    """RFC 4035 section 3.1.4.1. NODATA, for the zone below exists: NXDOMAIN would deny all of it."""
    for name, zone in (("fs.corp.example", "corp.example"), ("corp.example", "corp.example")):
        found = find(name, Qtype.DS)
        assert (found.outcome, apex(found)) == (Outcome.NODATA, zone)
    assert find("nobody.fs.corp.example", Qtype.DS).outcome is Outcome.NXDOMAIN


def test_dnskey_at_an_apex_is_its_own() -> None:
    found = find("fs.corp.example", 48)
    assert (found.outcome, apex(found)) == (Outcome.NODATA, "fs.corp.example")


def test_an_alias_is_followed_into_another_zone() -> None:
    at = site(alias("share", "host.fs.corp.example"))
    found = find("share.corp.example", Qtype.A, at)
    assert (found.outcome, rdata(found)) == (Outcome.POSITIVE, ["host.fs.corp.example.", *HOST.rdata])
    for qtype in (Qtype.CNAME, Qtype.ANY):
        assert rdata(find("share.corp.example", qtype, at)) == ["host.fs.corp.example."]


@pytest.mark.parametrize(
    ("target", "outcome", "zone"),
    [
        ("host.fs.corp.example", Outcome.NODATA, "fs.corp.example"),
        ("nobody.fs.corp.example", Outcome.NXDOMAIN, "fs.corp.example"),
    ],
)
def test_what_the_end_of_an_alias_says_is_said(target: str, outcome: Outcome, zone: str) -> None:
    """RFC 6604 section 3, RFC 2308 section 2.1."""
    found = find("share.corp.example", Qtype.AAAA, site(alias("share", target)))
    assert (found.outcome, apex(found), rdata(found)) == (outcome, zone, [f"{target}."])


def test_an_alias_of_a_service_without_a_node_is_silent_too() -> None:
    found = find("share.corp.example", Qtype.A, site(alias("share", "waiting.fs.corp.example")))
    assert found.outcome is Outcome.SILENT


def test_an_alias_that_leaves_our_zones_is_left_to_the_asker() -> None:
    found = find("share.corp.example", Qtype.A, site(alias("share", "www.elsewhere.example")))
    assert found == Found(Outcome.POSITIVE, found.answer)
    assert rdata(found) == ["www.elsewhere.example."]


def chain(length: int) -> list[StaticRecord]:
    return [alias(f"a{index}", f"a{index + 1}.corp.example") for index in range(length)]


def test_aliases_in_a_row_are_followed_to_their_bound() -> None:
    found = find("a0.corp.example", Qtype.A, site(*chain(ALIASES)))
    assert (found.outcome, len(found.answer)) == (Outcome.NXDOMAIN, ALIASES)


def test_the_address_at_their_end_is_none_of_them() -> None:
    end = replace(HOST, name=f"a{ALIASES}.corp.example")
    assert len(find("a0.corp.example", Qtype.A, site(*chain(ALIASES), end)).answer) == ALIASES + 1


@pytest.mark.parametrize(
    "records",
    [
        [*chain(ALIASES + 1), replace(HOST, name=f"a{ALIASES + 1}.corp.example")],
        chain(ALIASES + 1),
        [alias("a", "b.corp.example"), alias("b", "A.corp.example")],
        [alias("a", "a.corp.example")],
    ],
)
def test_too_many_aliases_and_circles_are_refused(records: list[StaticRecord]) -> None:
    with pytest.raises(ValueError, match="circle"):
        site(*records)


def test_a_zone_does_not_speak_for_the_one_below_it() -> None:
    stray = StaticRecord("host.fs.corp.example", "A", 60, ("192.0.2.1",))
    with pytest.raises(ValueError, match="another zone"):
        site(stray)


@pytest.mark.parametrize("zones", [[], [ZONE, replace(ZONE, name="FS.corp.example.")]])
def test_no_zone_or_one_twice_is_refused(zones: list[Zone]) -> None:
    with pytest.raises(ValueError, match="no zone, or one twice"):
        Site(zones, OPEN)


APEX_SERVICE = ServiceRecord("corp.example", 7)
MOVING = replace(PARENT, services=(APEX_SERVICE,)), replace(ZONE, records=(HOST,)), REVERSE
LASTING_CHANGES: list[dict[str, object]] = [
    {"nameservers": {"ns1.fs.corp.example": ("10.10.0.54",)}},
    {"contact": "somebody.corp.example"},
    {"negative_ttl_s": 6},
    {"ns_ttl_s": 3601},
    {"records": ()},
    {"records": (replace(HOST, ttl_s=301),)},
    {"services": (DUAL, FILES, WAITING)},
    {"services": (FILES, DUAL, WAITING, ServiceRecord("new.fs.corp.example", 0))},
    {"services": (FILES, DUAL)},
]
switched = st.tuples(
    st.integers(0, 2**33),
    st.sampled_from([(), ("10.0.2.10",), ("fd00::1",), ("10.0.1.10", "fd00::2")]),
    st.sampled_from([(), ("10.0.3.10",)]),
    st.integers(0, 60),
)


def switch(serial: int, addresses: tuple[str, ...], others: tuple[str, ...], ttl_s: int) -> list[Zone]:
    corp, fs, reverse = MOVING
    services = replace(FILES, addresses=addresses, epoch=serial), replace(DUAL, ttl_s=ttl_s), WAITING
    apex = replace(APEX_SERVICE, addresses=others, node="a", epoch=serial)
    return [replace(corp, services=(apex,)), replace(fs, serial=serial, services=services), reverse]


def everything_said(by: Site) -> list[Found]:
    names = [*by.names(), labels("nobody.corp.example"), labels("nobody.fs.corp.example"), labels("example")]
    return [by.find(name, qtype) for name in names for qtype in Qtype]


@given(st.lists(switched, max_size=4))
@settings(deadline=None)
def test_after_switches_a_site_says_what_it_would_say_without_those_before(
    switches: list[tuple[int, tuple[str, ...], tuple[str, ...], int]],
) -> None:
    at = Site(MOVING, OPEN)
    grounds = at.grounds
    for each in switches:
        zones = switch(*each)
        at = at_once(Site.in_bites(zones, OPEN, at))
        assert at.grounds is grounds
        assert everything_said(at) == everything_said(Site(zones, OPEN))


@pytest.mark.parametrize("change", LASTING_CHANGES)
def test_what_is_no_switch_has_grounds_of_its_own(change: dict[str, object]) -> None:
    zones = [MOVING[0], replace(MOVING[1], **change), REVERSE]  # type: ignore[arg-type]
    at = at_once(Site.in_bites(zones, OPEN, Site(MOVING, OPEN)))
    assert everything_said(at) == everything_said(Site(zones, OPEN))


def test_another_policy_has_grounds_of_its_own() -> None:
    named = replace(OPEN, identity="edge-b", cookie_secrets=(SECRET,))
    at = at_once(Site.in_bites(MOVING, named, Site(MOVING, OPEN)))
    assert (at.policy, at.nsid, at.jar is None) == (named, b"edge-b", False)
    assert at.chaos(labels("id.server"), Qtype.TXT).outcome is Outcome.POSITIVE


def test_a_zone_more_or_less_has_grounds_of_its_own() -> None:
    for zones in (MOVING[1:], [*MOVING, replace(PARENT, name="other.example")]):
        at = at_once(Site.in_bites(zones, OPEN, Site(MOVING, OPEN)))
        assert everything_said(at) == everything_said(Site(zones, OPEN))


def test_aliases_in_a_circle_are_refused_whatever_was_before() -> None:
    circle = replace(PARENT, records=(alias("a", "a.corp.example"),))
    with pytest.raises(ValueError, match="circle"):
        at_once(Site.in_bites([circle, *MOVING[1:]], OPEN, Site(MOVING, OPEN)))
