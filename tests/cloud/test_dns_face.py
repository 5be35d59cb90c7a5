"""What clients inside the VPC are told, over the wire."""

from __future__ import annotations

from typing import Any

import pytest
from dnslib import QTYPE, RCODE, DNSRecord

from .emulator import Emulator, Layout, Seeded

HOUR_S = 3600.0
NAME = "files.fs.corp.example."


def ask(aws: Emulator, name: str, rtype: str = "A", *, tcp: bool = False) -> DNSRecord:
    host, port = aws.dns_address
    return DNSRecord.parse(DNSRecord.question(name, rtype).send(host, port, tcp=tcp, timeout=30))


def told(reply: DNSRecord) -> list[tuple[str, int, str]]:
    return [(QTYPE[rr.rtype], rr.ttl, str(rr.rdata)) for rr in reply.rr]


def upsert(aws: Emulator, seeded: Seeded, rtype: str, value: str, ttl_s: int) -> None:
    rrset = {"Name": NAME, "Type": rtype, "TTL": ttl_s, "ResourceRecords": [{"Value": value}]}
    batch: dict[str, Any] = {"Changes": [{"Action": "UPSERT", "ResourceRecordSet": rrset}]}
    aws.client("route53").change_resource_record_sets(HostedZoneId=seeded.zone_id, ChangeBatch=batch)


@pytest.fixture
def seeded(aws: Emulator) -> Seeded:
    return aws.seed(Layout(record="127.0.1.10", record_ttl_s=0))


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
def test_the_stored_values_and_ttl_are_answered(aws: Emulator, seeded: Seeded, tcp: bool) -> None:
    assert told(ask(aws, NAME, tcp=tcp)) == [("A", 0, "127.0.1.10")]
    upsert(aws, seeded, "TXT", '"epoch=12 node=b"', 5)
    assert told(ask(aws, NAME, "TXT", tcp=tcp)) == [("TXT", 5, '"epoch=12 node=b"')]


def test_the_old_set_is_answered_until_the_change_is_in_sync(aws: Emulator, seeded: Seeded) -> None:
    aws.lag(route53_s=HOUR_S)
    upsert(aws, seeded, "A", "127.0.1.11", 0)
    assert told(ask(aws, NAME)) == [("A", 0, "127.0.1.10")]
    aws.lag(route53_s=0)
    assert told(ask(aws, NAME)) == [("A", 0, "127.0.1.11")]


def test_what_was_seen_stays_seen_when_the_lag_grows(aws: Emulator, seeded: Seeded) -> None:
    upsert(aws, seeded, "A", "127.0.1.11", 0)
    aws.lag(route53_s=HOUR_S)
    assert told(ask(aws, NAME)) == [("A", 0, "127.0.1.11")]


def test_a_new_zone_is_not_known_while_it_is_pending(aws: Emulator) -> None:
    aws.lag(route53_s=HOUR_S)
    aws.seed(Layout(record="127.0.1.10"))
    assert RCODE[ask(aws, NAME).header.rcode] == "REFUSED"
    aws.lag(route53_s=0)
    assert told(ask(aws, NAME)) == [("A", 0, "127.0.1.10")]


def test_another_type_is_nodata_with_the_soa(aws: Emulator, seeded: Seeded) -> None:
    reply = ask(aws, NAME, "AAAA")
    assert (RCODE[reply.header.rcode], told(reply)) == ("NOERROR", [])
    assert [(QTYPE[rr.rtype], str(rr.rname)) for rr in reply.auth] == [("SOA", "fs.corp.example.")]


def test_a_name_that_is_not_there_is_nxdomain_with_the_soa(aws: Emulator, seeded: Seeded) -> None:
    reply = ask(aws, "nothing.fs.corp.example.")
    assert (RCODE[reply.header.rcode], told(reply)) == ("NXDOMAIN", [])
    assert [QTYPE[rr.rtype] for rr in reply.auth] == ["SOA"]


def test_a_name_with_names_below_it_exists(aws: Emulator) -> None:
    aws.seed(Layout(name="files.deep.fs.corp.example", record="127.0.1.10"))
    assert RCODE[ask(aws, "deep.fs.corp.example.").header.rcode] == "NOERROR"
