from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.dns.bites import at_once
from edge.dns.message import Qtype
from edge.dns.zone import Found, Ground, Outcome, Rdata, ServiceRecord, StaticRecord, Tree, Zone
from tests.dns.samples import DUAL, FILES, HOST, WAITING, ZONE, labels, shown

MX = 15


def tree_of(zone: Zone) -> Tree:
    return at_once(Tree.in_bites(at_once(Ground.in_bites(zone, ())), zone))


TREE = tree_of(ZONE)


def find(name: str, qtype: int, tree: Tree = TREE) -> Found:
    return tree.find(labels(name), qtype)


def rdata(found: Found) -> list[tuple[str, ...]]:
    return [shown(rrset) for rrset in found.answer]


@pytest.mark.parametrize(
    ("name", "qtype", "expected"),
    [
        ("files.fs.corp.example", Qtype.A, ("10.0.1.10",)),
        ("deep.below.fs.corp.example", Qtype.AAAA, ("fd00::2:10",)),
        ("_edge.files.fs.corp.example", Qtype.TXT, ("epoch=12 node=a",)),
        ("fs.corp.example", Qtype.NS, ("ns1.fs.corp.example.", "ns.elsewhere.example.")),
        ("ns1.fs.corp.example", Qtype.A, ("10.10.0.53",)),
        ("ns1.fs.corp.example", Qtype.AAAA, ("fd00::53",)),
        ("deep.below.fs.corp.example", Qtype.ANY, ("10.0.2.10",)),
        (
            "fs.corp.example",
            Qtype.SOA,
            ("ns1.fs.corp.example. hostmaster.corp.example. 41 3600 600 1209600 5",),
        ),
    ],
)
def test_what_is_there(name: str, qtype: int, expected: tuple[str, ...]) -> None:
    found = find(name, qtype)
    assert (found.outcome, rdata(found)) == (Outcome.POSITIVE, [expected])


@pytest.mark.parametrize(
    ("name", "qtype", "outcome"),
    [
        ("files.fs.corp.example", Qtype.AAAA, Outcome.NODATA),
        ("_edge.files.fs.corp.example", Qtype.A, Outcome.NODATA),
        ("fs.corp.example", MX, Outcome.NODATA),
        ("below.fs.corp.example", Qtype.A, Outcome.NODATA),
        ("below.fs.corp.example", Qtype.ANY, Outcome.NODATA),
        ("nobody.fs.corp.example", Qtype.A, Outcome.NXDOMAIN),
        ("x.files.fs.corp.example", Qtype.A, Outcome.NXDOMAIN),
        ("corp.example", Qtype.SOA, Outcome.OUTSIDE),
        ("example", Qtype.SOA, Outcome.OUTSIDE),
        ("", Qtype.SOA, Outcome.OUTSIDE),
        ("otherfs.corp.example", Qtype.A, Outcome.OUTSIDE),
        ("ns.elsewhere.example", Qtype.A, Outcome.OUTSIDE),
    ],
)
def test_what_is_not_there(name: str, qtype: int, outcome: Outcome) -> None:
    found = find(name, qtype)
    assert (found.outcome, found.answer) == (outcome, ())
    assert bool(found.authority) == (outcome in {Outcome.NODATA, Outcome.NXDOMAIN})


@pytest.mark.parametrize("qtype", [Qtype.A, Qtype.AAAA, Qtype.TXT, Qtype.SOA, Qtype.ANY, Qtype.AXFR, MX])
@pytest.mark.parametrize("name", ["waiting.fs.corp.example", "_edge.waiting.fs.corp.example"])
def test_a_service_that_never_had_a_node_is_silent(name: str, qtype: int) -> None:
    assert find(name, qtype) == Found(Outcome.SILENT)


def test_a_service_at_the_apex_leaves_soa_and_ns_answered_while_it_waits() -> None:
    tree = tree_of(replace(ZONE, services=(ServiceRecord(ZONE.name, 0),)))
    assert find(ZONE.name, Qtype.SOA, tree).outcome is Outcome.POSITIVE
    assert find(ZONE.name, Qtype.A, tree).outcome is Outcome.SILENT


def test_a_service_at_the_apex_is_answered_beside_soa_and_ns() -> None:
    tree = tree_of(replace(ZONE, services=(replace(FILES, name=ZONE.name),)))
    assert rdata(find(ZONE.name, Qtype.A, tree)) == [FILES.addresses]
    assert find(ZONE.name, Qtype.NS, tree).outcome is Outcome.POSITIVE


def test_a_zone_without_any_assignment_answers_for_itself() -> None:
    tree = tree_of(replace(ZONE, services=(WAITING,)))
    assert find("fs.corp.example", Qtype.SOA, tree).outcome is Outcome.POSITIVE
    assert find("nobody.fs.corp.example", Qtype.A, tree).outcome is Outcome.NXDOMAIN


def test_only_ns_brings_the_nameservers_addresses_that_are_ours() -> None:
    additional = find("fs.corp.example", Qtype.NS).additional
    assert [(rrset.qtype, shown(rrset)) for rrset in additional] == [
        (Qtype.A, ("10.10.0.53",)),
        (Qtype.AAAA, ("fd00::53",)),
    ]
    assert find("fs.corp.example", Qtype.SOA).additional == ()


@pytest.mark.parametrize(("negative_ttl_s", "ns_ttl_s", "expected"), [(5, 3600, 5), (60, 30, 30), (0, 3600, 0)])
def test_a_negative_answer_lives_for_the_smaller_of_ttl_and_minimum(
    negative_ttl_s: int, ns_ttl_s: int, expected: int
) -> None:
    tree = tree_of(replace(ZONE, negative_ttl_s=negative_ttl_s, ns_ttl_s=ns_ttl_s))
    (soa,) = find("nobody.fs.corp.example", Qtype.A, tree).authority
    assert soa.ttl_s == expected
    assert shown(soa)[0].endswith(f" {negative_ttl_s}")


def test_ttls() -> None:
    assert find("deep.below.fs.corp.example", Qtype.A).answer[0].ttl_s == 3
    assert find("_edge.deep.below.fs.corp.example", Qtype.TXT).answer[0].ttl_s == 0
    assert find("fs.corp.example", Qtype.NS).answer[0].ttl_s == 3600


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"nameservers": {}}, "no nameserver"),
        ({"services": (replace(FILES, name="files.corp.example"),)}, "outside"),
        ({"services": (FILES, replace(DUAL, name="FILES.fs.corp.example."))}, "same name"),
        ({"services": (replace(FILES, name="ns1.fs.corp.example"),)}, "same name"),
        ({"services": (replace(FILES, addresses=("10.0.1.300",)),)}, "10.0.1.300"),
        ({"services": (replace(FILES, name=f"{'x' * 64}.fs.corp.example"),)}, "1 to 63"),
        ({"services": (replace(WAITING, name=f"{'x' * 59}." * 4 + "fs.corp.example"),)}, "longer than 255"),
        ({"name": "."}, "1 to 63"),
        ({"contact": "hostmaster@bücher.example"}, "ascii"),
        ({"records": (replace(HOST, name="host.corp.example"),)}, "another zone"),
        ({"records": (replace(HOST, name="files.fs.corp.example", qtype="TXT"),)}, "is a service's"),
        ({"records": (replace(HOST, name="_edge.waiting.fs.corp.example", qtype="TXT"),)}, "is a service's"),
        ({"records": (replace(HOST, name="ns1.fs.corp.example"),)}, "is a service's"),
        ({"records": (replace(HOST, qtype="MX"),)}, "none of A, AAAA"),
        ({"records": (replace(HOST, rdata=()),)}, "no data"),
        ({"records": (replace(HOST, name="*.fs.corp.example"),)}, "no wildcards"),
        ({"records": (replace(HOST, qtype="AAAA", rdata=("fd00::1", "FD00:0::1")),)}, "twice"),
        ({"records": (replace(HOST, rdata=("fd00::1",)),)}, "fd00::1"),
        ({"records": (HOST, replace(HOST, name="HOST.fs.corp.example."))}, "written twice"),
        ({"records": (HOST, replace(HOST, qtype="CNAME", rdata=("a.example",)))}, "stands alone"),
        ({"records": (replace(HOST, qtype="CNAME", rdata=("a.example",)), HOST)}, "stands alone"),
        ({"records": (replace(HOST, qtype="CNAME", rdata=("a.example", "b.example")),)}, "single"),
        ({"records": (replace(HOST, name="fs.corp.example", qtype="CNAME", rdata=("a.example",)),)}, "single"),
        ({"records": (replace(HOST, qtype="TXT", rdata=("x" * 65280,)),)}, "more than 65535"),
        ({"records": (replace(HOST, qtype="SRV", rdata=("0 0 445",)),)}, "an SRV has"),
        ({"records": (replace(HOST, qtype="SRV", rdata=("0 0 65536 a.example",)),)}, "an SRV has"),
        ({"records": (replace(HOST, qtype="SRV", rdata=("0 -1 445 a.example",)),)}, "an SRV has"),
    ],
)
def test_a_zone_that_cannot_be_right_is_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        tree_of(replace(ZONE, **change))


def test_static_records_are_there_beside_what_moves() -> None:
    apex_text = StaticRecord("fs.corp.example", "TXT", 60, ("v=1",))
    tree = tree_of(replace(ZONE, records=(HOST, replace(HOST, qtype="AAAA", rdata=("FD00:0::9",)), apex_text)))
    assert rdata(find("host.fs.corp.example", Qtype.A, tree)) == [HOST.rdata]
    assert rdata(find("host.fs.corp.example", Qtype.AAAA, tree)) == [("fd00::9",)]
    assert rdata(find("fs.corp.example", Qtype.TXT, tree)) == [("v=1",)]
    assert find("host.fs.corp.example", Qtype.A, tree).answer[0].ttl_s == 300
    assert find("host.fs.corp.example", Qtype.TXT, tree).outcome is Outcome.NODATA


def test_the_longest_text_has_65535_bytes_with_its_lengths() -> None:
    tree = tree_of(replace(ZONE, records=(replace(HOST, qtype="TXT", rdata=("x" * 65279,)),)))
    (rrset,) = find("host.fs.corp.example", Qtype.TXT, tree).answer
    assert len(rrset.rdata[0].rest) == 65535


def test_names_that_may_be_compressed_stand_apart_from_those_that_may_not() -> None:
    """RFC 3597 section 4: the names of RFC 1035's own types, and no others. RFC 2782: SRV is none of them."""
    alias, target = replace(HOST, name="c.fs.corp.example", qtype="CNAME", rdata=("A.b",)), (b"a", b"b")
    service, text = replace(HOST, qtype="SRV", rdata=("0 1 2 a.b",)), replace(HOST, qtype="TXT", rdata=("a.b",))
    tree = tree_of(replace(ZONE, records=(alias, service, text)))
    assert find("c.fs.corp.example", Qtype.A, tree).answer[0].rdata == (Rdata((target,), b""),)
    assert find("host.fs.corp.example", Qtype.SRV, tree).answer[0].rdata == (Rdata((), b"\0\0\0\1\0\2\1a\1b\0"),)
    assert find("host.fs.corp.example", Qtype.TXT, tree).answer[0].rdata == (Rdata((), b"\3a.b"),)


def test_an_alias_answers_for_every_type() -> None:
    alias = StaticRecord("alias.fs.corp.example", "CNAME", 60, ("Files.fs.corp.example",))
    tree = tree_of(replace(ZONE, records=(alias,)))
    for qtype in (Qtype.A, Qtype.CNAME, Qtype.ANY, MX):
        assert rdata(find("alias.fs.corp.example", qtype, tree)) == [("files.fs.corp.example.",)]


hosts = st.from_regex(r"[a-z]{1,8}\.fs\.corp\.example", fullmatch=True)
services = st.builds(
    ServiceRecord,
    hosts,
    st.integers(0, 60),
    st.tuples(st.ip_addresses().map(str)) | st.just(()),
    st.none() | st.text(max_size=5),
    st.none() | st.integers(0),
)
zones = st.builds(
    Zone,
    hosts,
    st.dictionaries(hosts, st.tuples(st.ip_addresses().map(str))),
    hosts,
    st.integers(0),
    st.lists(services, max_size=3).map(tuple),
    st.integers(0, 60),
    st.integers(0, 60),
    st.lists(st.builds(StaticRecord, hosts, st.just("TXT"), st.integers(0), st.tuples(st.text())), max_size=2).map(
        tuple
    ),
)


@given(zones)
@settings(deadline=None)
def test_a_zone_survives_the_journey(zone: Zone) -> None:
    lines = [line.encode() for line in zone.lines()]
    assert not any(b"\n" in line for line in lines)
    assert at_once(Zone.reading(lines)) == zone
