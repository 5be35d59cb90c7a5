"""Zones from the configuration: what is written there is what is answered, or it is refused by its key."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dnslib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.agent.zones import MISFITS_MAX, checked, zones
from edge.config import Config
from edge.config.reading import _examine
from edge.dns.answer import Answer, Asker, respond
from edge.dns.guard import Policy
from edge.dns.message import Qtype, Transport
from edge.dns.site import Site
from edge.dns.zone import STATIC, Rrset
from edge.errors import ConfigError
from edge.failover.model import Assignment
from tests.dns.samples import shown

RAW = tomllib.loads((Path(__file__).parents[2] / "config" / "many-zones.toml").read_text())
FILES, ARCHIVE = "files.fs.corp.example", "archive.fs.osaka.corp.example"
FORWARD, REVERSE = 0, 2
Raw = dict[str, Any]


def configured(raw: Raw) -> Config:
    """ConfigError as for a file."""
    config, problems = _examine(raw)
    if problems:
        raise ConfigError(problems)
    return config


def with_records(*records: Raw, zone: int = FORWARD) -> Raw:
    """The example without its own records."""
    bare = [{key: value for key, value in each.items() if key != "record"} for each in RAW["zone"]]
    bare[zone]["record"] = list(records)
    return {**RAW, "zone": bare}


def record(name: str, kind: str, data: object, **more: object) -> Raw:
    return {"name": name, "type": kind, "data": data, **more}


def misfits(raw: Raw) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        checked(configured(raw))
    return caught.value.problems


HOST = record("host.fs.corp.example", "A", "10.0.9.1")


def test_a_service_is_in_the_zone_that_its_name_ends_with_and_has_no_address_before_its_first_assignment() -> None:
    found = zones(configured(RAW), {})
    assert [[service.name for service in zone.services] for zone in found] == [[FILES], [ARCHIVE], [], []]
    (service,) = found[0].services
    assert (service.addresses, service.node, service.epoch) == ((), None, None)


def test_the_serial_grows_with_every_epoch_of_the_zones_own_services() -> None:
    config = configured({**RAW, "zone": [{**RAW["zone"][0], "serial_base": 2024010100}, *RAW["zone"][1:]]})
    lived = [{FILES: Assignment("a", epoch), ARCHIVE: Assignment("a", 5)} for epoch in (1, 2, 7)]
    serials = [[zone.serial for zone in zones(config, live)] for live in lived]
    assert serials == [[2024010100 + epoch, 6, 1, 1] for epoch in (1, 2, 7)]


def pointers(raw: Raw) -> list[tuple[str, tuple[str, ...]]]:
    return [
        (each.name, each.rdata)
        for zone in zones(configured(raw), {})
        for each in zone.records
        if each.qtype == "PTR" and not each.name.startswith("100.")
    ]


def test_a_nodes_addresses_tell_its_host_whichever_node_is_live() -> None:
    assert pointers(RAW) == [
        ("10.1.0.10.in-addr.arpa", ("fs-a.corp.example",)),
        ("10.2.0.10.in-addr.arpa", ("fs-b.corp.example",)),
    ]


def with_ptr_of(archive: str) -> Raw:
    """The second service has its first node on the first service's host."""
    services = [dict(service) for service in RAW["service"]]
    shared = {**services[1]["node"][0], "address": "10.0.1.10", "ptr": archive}
    services[1]["node"] = [shared, *services[1]["node"][1:]]
    return {**RAW, "service": services}


def test_services_that_share_a_host_tell_it_once() -> None:
    assert pointers(with_ptr_of("fs-a.corp.example")) == pointers(RAW)
    (misfit,) = misfits(with_ptr_of("other.corp.example"))
    assert misfit == "service[1].node[0].ptr: 10.1.0.10.in-addr.arpa. PTR: written twice"


MISFITS = [
    ([record(FILES, "TXT", "x")], "record[0]", "is a service's or a nameserver's"),
    ([record(f"_edge.{FILES}", "TXT", "x")], "record[0]", "is a service's or a nameserver's"),
    ([HOST, record("ns1.fs.corp.example", "A", "10.0.9.1")], "record[1]", "is a service's or a nameserver's"),
    ([HOST, record("host", "A", "10.0.9.2")], "record[1]", "belongs to another zone"),
    ([HOST, record("host.fs.corp.example", "A", "10.0.9.2")], "record[1]", "written twice"),
    ([HOST, record("host.fs.corp.example", "CNAME", FILES)], "record[1]", "a CNAME stands alone"),
    ([record("fs.corp.example", "CNAME", FILES)], "record[0]", "never at the apex"),
    ([HOST, record("x.fs.corp.example", "CNAME", [FILES, "y"])], "record[1]", "a CNAME is single"),
    ([record("x.fs.corp.example", "CNAME", "x.fs.corp.example"), HOST], "record[0]", "aliases in a circle"),
    ([HOST, record("x.fs.corp.example", "A", "10.0.9")], "record[1]", "10.0.9"),
    ([HOST, record("x.fs.corp.example", "AAAA", "10.0.9.1")], "record[1]", "10.0.9.1"),
    ([record("x.fs.corp.example", "SRV", "0 0 445")], "record[0]", "an SRV has priority, weight, port and target"),
]


@pytest.mark.parametrize(("records", "key", "sentence"), MISFITS)
def test_a_record_that_does_not_fit_is_refused_by_its_key(records: list[Raw], key: str, sentence: str) -> None:
    (misfit,) = misfits(with_records(*records))
    assert misfit.startswith(f"zone[{FORWARD}].{key}: ")
    assert sentence in misfit


def test_every_misfit_is_told_and_none_is_blamed_for_another() -> None:
    found = misfits(with_records(record("a", "A", "10.0.9.1"), HOST, record(FILES, "A", "10.0.9.1"), HOST))
    assert [misfit.partition(":")[0] for misfit in found] == [f"zone[0].record[{index}]" for index in (0, 2, 3)]


def test_there_is_an_end_to_telling() -> None:
    assert len(misfits(with_records(*[record("a", "A", "10.0.9.1")] * 2 * MISFITS_MAX))) == MISFITS_MAX


def long_texts(count: int) -> list[Raw]:
    return [
        record(f"h{index}.fs.osaka.corp.example", "TXT", [letter * 500 for letter in "wxyz"]) for index in range(count)
    ]


def test_zones_too_large_for_one_message_are_refused_with_the_largest_ones_name() -> None:
    checked(configured(with_records(*long_texts(50), zone=1)))
    (misfit,) = misfits(with_records(*long_texts(100), zone=1))
    assert misfit.startswith("zone: zone fs.osaka.corp.example: ")
    assert "bytes of JSON" in misfit


def test_zones_that_only_a_switch_would_make_too_large_are_refused_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    config = configured(RAW)
    monkeypatch.setattr("edge.dns.server.ORDER_MAX_BYTES", _order_bytes(config, {}))
    with pytest.raises(ConfigError, match="bytes of JSON"):
        checked(config)


def _order_bytes(config: Config, live: Mapping[str, Assignment]) -> int:
    from edge.agent.answers import dns_policy
    from edge.dns.orders import Order

    return len(Order(2**53, zones(config, live), dns_policy(config)).to_lines())


# --- whatever is written ----------------------------------------------------------------------------------------------

FORWARD_NAMES = tuple(f"{label}fs.corp.example" for label in ("host.", "HOST.", "a.", "b.", "c.d.", "_smb._tcp.", ""))
REVERSE_NAMES = ("10.0.1.99", "99.1.0.10.in-addr.arpa.", "10.0.1.98", "x.1.0.10.in-addr.arpa", "1.0.10.in-addr.arpa")
STRANGE_NAMES = (
    *("ns1.fs.corp.example", FILES, f"_edge.{FILES}", f"x.{FILES}", "host.fs.osaka.corp.example", "corp.example"),
    *("10.0.1.10", "fd00::1", "*.fs.corp.example", "a b", ""),
)
HOSTS = (*FORWARD_NAMES[:5], FILES, "www.elsewhere.example", "_x.example.")
DATA: Mapping[str, st.SearchStrategy[str]] = {
    "A": st.ip_addresses(v=4).map(str),
    "AAAA": st.ip_addresses(v=6).map(str),
    "CNAME": st.sampled_from(HOSTS),
    "PTR": st.sampled_from(HOSTS),
    "SRV": st.tuples(st.sampled_from(("0 0 445", "65535 1 2")), st.sampled_from((*HOSTS, "."))).map(" ".join),
    "TXT": st.from_regex(r"[ -~]{1,500}", fullmatch=True),
}
JUNK = st.sampled_from(
    ("", "10.0.9", "fe80::1%lo", "a b", "-.example", "0 0 445", "65536 0 0 a", "x" * 501, "\xfc", "\0")
)


def built(kind: str, names: Sequence[str], datum: st.SearchStrategy[str]) -> st.SearchStrategy[Raw]:
    data = datum if kind == "CNAME" else datum | st.lists(datum, max_size=3, unique=True)
    fields = {"name": st.sampled_from(names), "type": st.just(kind), "data": data}
    return st.fixed_dictionaries(fields, optional={"ttl": st.integers(0, 86_400)})


def records(names: Sequence[str]) -> st.SearchStrategy[Raw]:
    """Most by themselves right."""
    right = st.sampled_from(tuple(DATA)).flatmap(lambda kind: built(kind, names, DATA[kind]))
    wrong = st.sampled_from((*DATA, "MX")).flatmap(lambda kind: built(kind, (*names, *STRANGE_NAMES), JUNK))
    strange = st.sampled_from(tuple(DATA)).flatmap(lambda kind: built(kind, STRANGE_NAMES, DATA[kind]))
    return st.one_of(right, right, right, right, right, right, wrong, strange)


@given(st.lists(records(FORWARD_NAMES), max_size=4), st.lists(records(REVERSE_NAMES), max_size=2))
@settings(deadline=None, max_examples=300)
def test_records_are_served_exactly_or_refused_by_their_key(forward: list[Raw], reverse: list[Raw]) -> None:
    raw = with_records(*forward)
    raw["zone"][REVERSE]["record"] = reverse
    refused, taken = judged(raw)
    assert all(RECORD_KEY.match(problem) for problem in refused)
    if taken:
        config, policy = taken
        assert served(config, policy) == {**bare(config, policy), **written(config)}


def judged(raw: Raw) -> tuple[Sequence[str], tuple[Config, Policy] | None]:
    try:
        config = configured(raw)
        return (), (config, checked(config))
    except ConfigError as error:
        return error.problems, None


RECORD_KEY = re.compile(r"zone\[[02]\]\.record\[\d\](\.(name|type|ttl|data)(\[\d\])?)?: ")
Rrsets = Mapping[tuple[str, str], tuple[int, frozenset[str]]]


def written(config: Config) -> Rrsets:
    return {
        (each.name, each.type.value): (each.ttl_s, in_words(each.type.value, each.data))
        for zone in config.zones
        for each in zone.records
    }


def in_words(kind: str, data: Sequence[str]) -> frozenset[str]:
    return frozenset(shown(Rrset((), Qtype[kind], 0, tuple(map(STATIC[kind], data)))))


def bare(config: Config, policy: Policy) -> Rrsets:
    """What is answered without any record."""
    stripped = [zone.model_copy(update={"records": ()}) for zone in config.zones]
    return served(config.model_copy(update={"zones": tuple(stripped)}), policy)


def served(config: Config, policy: Policy) -> Rrsets:
    """By name and type, everything that the zones answer of their own."""
    site = Site(zones(config, {}), policy)
    names = {b".".join(name).decode() for name in site.names()}
    return {(name, kind): found for name in names for kind in STATIC if (found := told(site, name, kind))}


def told(site: Site, name: str, kind: str) -> tuple[int, frozenset[str]] | None:
    """As it is read from the wire; what an alias leads to is another name's."""
    reply = respond(site, bytes(dnslib.DNSRecord.question(name, kind).pack()), Asker(Transport.TCP))
    answers = dnslib.DNSRecord.parse(reply.wire).rr if isinstance(reply, Answer) else []
    own = [rr for rr in answers if str(rr.rname).lower() == f"{name}." and rr.rtype == getattr(dnslib.QTYPE, kind)]
    return (own[0].ttl, frozenset(map(presented, own))) if own else None


def presented(rr: dnslib.RR) -> str:
    return b"".join(rr.rdata.data).decode() if rr.rtype == dnslib.QTYPE.TXT else str(rr.rdata)
