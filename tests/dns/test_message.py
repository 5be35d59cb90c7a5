import struct

import pytest
from dnslib import DNSRecord
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.dns.message import NO_QUESTION, Drop, Edns, Option, Qtype, read, unanswerable
from tests.dns.samples import labels, opt, option, packet, question

A_QUERY = packet("files.fs.corp.example", Qtype.A)


def header(*counts: int, flags: int = 0) -> bytes:
    return struct.pack("!HHHHHH", 7, flags, *counts)


def test_a_query_is_read_as_dnslib_wrote_it() -> None:
    record = DNSRecord.question("Files.FS.corp.example", "AAAA")
    query = read(record.pack())
    assert (query.ident, query.opcode, query.recursion_desired) == (record.header.id, 0, True)
    assert (query.question.name, query.question.qtype) == (labels("files.fs.corp.example"), Qtype.AAAA)
    assert query.question.wire == record.pack()[12:]
    assert (query.edns, query.malformed) == (None, False)


def test_any_byte_may_stand_in_a_label() -> None:
    """RFC 2181 section 11."""
    name = (b"\xff\x00.\x80", b"fs")
    assert read(header(1, 0, 0, 0) + question(name, 1)).question.name == name


def test_edns_is_read() -> None:
    unknown_option = struct.pack("!HH", 65001, 3) + b"abc"
    query = read(packet("fs", 1, opt(1472, flags=0x8000, version=3, options=unknown_option)))
    assert (query.edns, query.malformed) == (Edns(3, 1472, dnssec_ok=True, options=((65001, b"abc"),)), False)


def test_other_records_are_passed_over() -> None:
    soa = b"\xc0\x0c" + struct.pack("!HHIH", 6, 1, 0, 4) + b"soa!"
    plain = b"\x01x\0" + struct.pack("!HHIH", 1, 1, 0, 0)
    query = read(header(1, 0, 1, 2) + question((b"fs",), Qtype.IXFR) + soa + plain + opt())
    assert (query.edns, query.malformed) == (Edns(0, 1232, dnssec_ok=False), False)


def test_an_opt_outside_of_the_additional_section_says_nothing() -> None:
    assert read(header(1, 1, 0, 0) + question((b"fs",), 1) + opt()).edns is None


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(header(2, 0, 0, 0) + question((b"fs",), 1) * 2, id="two questions"),
        pytest.param(A_QUERY[:-1], id="cut in the question"),
        pytest.param(A_QUERY[:20], id="cut in the name"),
        pytest.param(header(1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1", id="pointer in the question"),
        pytest.param(header(1, 0, 0, 0) + b"\xc0" + bytes(250), id="pointer with much behind it"),
        pytest.param(header(1, 0, 0, 0) + question((b"x" * 64,), 1), id="label of 64 bytes"),
        pytest.param(header(1, 0, 0, 0) + question((b"x" * 63,) * 3 + (b"y" * 62,), 1), id="name of 256 bytes"),
    ],
)
def test_an_unreadable_question_is_malformed_and_not_repeated(garbage: bytes) -> None:
    query = read(garbage)
    assert (query.malformed, query.question) == (True, NO_QUESTION)


def test_no_question_at_all_can_be_read() -> None:
    query = read(header(0, 0, 0, 1) + opt(options=option(Option.COOKIE, b"client c")))
    assert (query.malformed, query.question) == (False, NO_QUESTION)
    assert query.option(Option.COOKIE) == b"client c"


def test_the_first_of_two_options_counts() -> None:
    query = read(packet("fs", 1, opt(options=option(10, b"12345678") + option(3) + option(10, b"abcdefgh"))))
    assert query.option(Option.COOKIE) == b"12345678"
    assert (query.option(Option.NSID), query.option(Option.KEEPALIVE)) == (b"", None)
    assert read(packet("fs", 1)).option(Option.NSID) is None


@pytest.mark.parametrize(("size", "sound"), [(0, 0), (7, 0), (8, 1), (9, 0), (15, 0), (16, 1), (40, 1), (41, 0)])
def test_a_cookie_has_8_bytes_or_16_to_40(size: int, sound: int) -> None:
    """RFC 7873 section 5.2.2. The OPT is there all the same, and has to be answered with one."""
    query = read(packet("fs", 1, opt(options=option(10, bytes(size)))))
    assert (query.malformed, query.edns is not None) == (not sound, True)


@pytest.mark.parametrize(
    "behind",
    [
        pytest.param(b"", id="missing"),
        pytest.param(b"\x40x\0", id="reserved kind of label"),
        pytest.param(b"\0\0\x29", id="cut in the fixed part"),
        pytest.param(opt(options=b"1234")[:-1], id="cut in the rdata"),
        pytest.param(opt(options=b"\0\x0a\0\x01"), id="option longer than its record"),
        pytest.param(opt(options=b"\0\x0a\0"), id="option cut"),
        pytest.param(b"\x01x" + opt(), id="OPT with a name"),
        pytest.param(opt() + opt(), id="two OPT"),
    ],
)
def test_a_broken_additional_section_is_malformed(behind: bytes) -> None:
    count = 2 if behind == opt() * 2 else 1
    query = read(header(1, 0, 0, count) + question((b"fs",), 1) + behind)
    assert query.malformed
    assert query.question.name == (b"fs",)


def test_the_longest_name_is_read() -> None:
    name = (b"x" * 63,) * 3 + (b"y" * 61,)
    assert read(header(1, 0, 0, 0) + question(name, 1)).question.name == name


@pytest.mark.parametrize(
    ("data", "reason"),
    [(A_QUERY[:11], Drop.SHORT), (header(1, 0, 0, 0, flags=0x8180), Drop.RESPONSE), (A_QUERY[:12], None)],
)
def test_only_queries_with_a_header_are_answered(data: bytes, reason: Drop | None) -> None:
    assert unanswerable(data) is reason


@given(st.binary(min_size=12, max_size=80), st.integers(0, 60))
@settings(deadline=None)
def test_no_bytes_make_the_reader_raise(noise: bytes, start: int) -> None:
    read(noise)
    read((packet("files.fs.corp.example", 1, opt(options=b"\0\x0a\0\x01c"))[:start] + noise).ljust(12))
