"""The bytes of answers.

Invariant: whatever a packet is, the ready way gives the very bytes of the careful way, or leaves it alone; and no
packet makes either of them raise.
"""

import struct
from dataclasses import replace

import pytest
from dnslib import QTYPE, RCODE, DNSRecord
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge.dns.answer import Answer, Silence, lookup, prepare, refuse, respond
from edge.dns.counters import slot
from edge.dns.message import Drop, Qtype, Rcode, Transport
from edge.dns.zone import ServiceRecord, Tree
from tests.dns.samples import FILES, ZONE, opt, packet, question

TREE = Tree(ZONE)
TABLE = prepare(TREE)
FILES_NAME = "files.fs.corp.example"
QR, AA, TC, RD, RA, AD, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0020, 0x0010


def ask(data: bytes, tree: Tree = TREE, transport: Transport = Transport.UDP) -> DNSRecord:
    answer = respond(tree, data, transport)
    assert isinstance(answer, Answer)
    return DNSRecord.parse(answer.wire)


def lines(records: list[object]) -> list[str]:
    return [" ".join(str(record).split()) for record in records]


def wide_tree(count: int) -> Tree:
    """A service with so many addresses that its answer gets long."""
    addresses = tuple(f"10.0.{index // 250}.{index % 250}" for index in range(count))
    return Tree(replace(ZONE, services=(replace(FILES, addresses=addresses),)))


def test_a_positive_answer() -> None:
    answer = ask(packet(FILES_NAME, Qtype.A))
    assert answer.header.id == 4242
    assert answer.header.bitmap == QR | AA | RD
    assert lines(answer.rr) == [f"{FILES_NAME}. 0 IN A 10.0.1.10"]
    assert (answer.auth, answer.ar) == ([], [])


def test_every_kind_of_record_is_encoded() -> None:
    assert lines(ask(packet("deep.below.fs.corp.example", Qtype.AAAA)).rr) == [
        "deep.below.fs.corp.example. 3 IN AAAA fd00::2:10"
    ]
    assert lines(ask(packet(f"_edge.{FILES_NAME}", Qtype.TXT)).rr) == [
        f'_edge.{FILES_NAME}. 0 IN TXT "epoch=12 node=a"'
    ]
    assert lines(ask(packet("fs.corp.example", Qtype.SOA)).rr) == [
        "fs.corp.example. 3600 IN SOA ns1.fs.corp.example. hostmaster.corp.example. 41 3600 600 1209600 5"
    ]


def test_ns_brings_glue() -> None:
    answer = ask(packet("fs.corp.example", Qtype.NS))
    assert lines(answer.rr) == [
        "fs.corp.example. 3600 IN NS ns1.fs.corp.example.",
        "fs.corp.example. 3600 IN NS ns.elsewhere.example.",
    ]
    assert lines(answer.ar) == [
        "ns1.fs.corp.example. 3600 IN A 10.10.0.53",
        "ns1.fs.corp.example. 3600 IN AAAA fd00::53",
    ]


@pytest.mark.parametrize(
    ("name", "rcode"),
    [(FILES_NAME, "NOERROR"), ("below.fs.corp.example", "NOERROR"), ("no.fs.corp.example", "NXDOMAIN")],
)
def test_a_negative_answer_is_authoritative_and_carries_the_soa(name: str, rcode: str) -> None:
    answer = ask(packet(name, Qtype.AAAA))
    assert (RCODE[answer.header.rcode], answer.header.aa, answer.rr) == (rcode, 1, [])
    assert [(str(rr.rname), QTYPE[rr.rtype], rr.ttl) for rr in answer.auth] == [("fs.corp.example.", "SOA", 5)]


def test_the_question_keeps_its_letters() -> None:
    data = packet("FiLeS.fS.CoRp.ExAmPlE", Qtype.A)
    answer = respond(TREE, data, Transport.UDP)
    assert isinstance(answer, Answer)
    assert answer.wire[12 : len(data)] == data[12:]
    assert str(DNSRecord.parse(answer.wire).rr[0].rname) == "FiLeS.fS.CoRp.ExAmPlE."


def test_a_label_of_any_bytes_is_answered() -> None:
    data = struct.pack("!HHHHHH", 1, 0, 1, 0, 0, 0) + question((b"\xff\x80", b"fs", b"corp", b"example"), 1)
    answer = respond(TREE, data, Transport.UDP)
    assert isinstance(answer, Answer)
    assert answer.rcode is Rcode.NXDOMAIN
    assert answer.wire.startswith(data[12:], 12)


@pytest.mark.parametrize(
    ("data", "rcode"),
    [
        pytest.param(packet("www.example", Qtype.A), Rcode.REFUSED, id="another zone"),
        pytest.param(packet(FILES_NAME, Qtype.A, qclass=3), Rcode.REFUSED, id="class CH"),
        pytest.param(packet("waiting.fs.corp.example", Qtype.A, qclass=255), Rcode.REFUSED, id="class ANY"),
        pytest.param(packet("fs.corp.example", Qtype.AXFR), Rcode.REFUSED, id="AXFR"),
        pytest.param(packet("fs.corp.example", Qtype.IXFR), Rcode.REFUSED, id="IXFR"),
        pytest.param(packet(FILES_NAME, Qtype.A, flags=0x2000), Rcode.NOTIMP, id="NOTIFY"),
        pytest.param(packet(FILES_NAME, Qtype.A, flags=0x7800), Rcode.NOTIMP, id="opcode 15"),
        pytest.param(packet(FILES_NAME, Qtype.A)[:-2], Rcode.FORMERR, id="cut"),
        pytest.param(packet(FILES_NAME, Qtype.A, opt(), opt()), Rcode.FORMERR, id="two OPT"),
        pytest.param(packet(FILES_NAME, Qtype.A, opt(version=1)), Rcode.BADVERS, id="EDNS 1"),
    ],
)
def test_an_error_is_not_authoritative_and_empty(data: bytes, rcode: Rcode) -> None:
    answer = respond(TREE, data, Transport.UDP)
    assert isinstance(answer, Answer)
    assert answer.rcode is rcode
    record = DNSRecord.parse(answer.wire)
    assert (record.header.rcode, record.header.id) == (rcode & 0xF, 4242)
    assert (record.header.qr, record.header.aa, record.header.opcode) == (1, 0, data[2] >> 3)
    assert (record.rr, record.auth) == ([], [])


def test_the_extended_rcode_stands_in_the_opt() -> None:
    (record,) = ask(packet(FILES_NAME, Qtype.A, opt(version=1, flags=0x8000))).ar
    assert (record.edns_rcode, record.edns_ver, record.edns_len, record.edns_do) == (1, 0, 1232, 1)


def test_a_formerr_for_two_opts_has_one() -> None:
    assert len(ask(packet(FILES_NAME, Qtype.A, opt(), opt())).ar) == 1


def test_a_formerr_for_an_unreadable_question_has_none() -> None:
    assert ask(packet(FILES_NAME, Qtype.A)[:14]).questions == []


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Drop.SHORT),
        (packet(FILES_NAME, Qtype.A)[:11], Drop.SHORT),
        (packet(FILES_NAME, Qtype.A, flags=QR), Drop.RESPONSE),
        (packet("waiting.fs.corp.example", Qtype.A), Drop.UNASSIGNED),
        (packet("_edge.waiting.fs.corp.example", Qtype.TXT), Drop.UNASSIGNED),
        (packet("waiting.fs.corp.example", Qtype.AXFR), Drop.UNASSIGNED),
    ],
)
def test_silence_has_a_reason(data: bytes, reason: Drop) -> None:
    assert respond(TREE, data, Transport.UDP) == Silence(reason)


@pytest.mark.parametrize("dnssec_ok", [0, 1])
def test_an_opt_is_answered_with_ours(dnssec_ok: int) -> None:
    cookie = struct.pack("!HH", 10, 8) + b"12345678"
    (record,) = ask(packet(FILES_NAME, Qtype.A, opt(4096, flags=dnssec_ok << 15, options=cookie))).ar
    assert (record.edns_ver, record.edns_len, record.edns_do, record.rdata) == (0, 1232, dnssec_ok, [])


@pytest.mark.parametrize("flags", [0, RD, RD | AD | CD, CD | RA, AA | TC | RD])
def test_only_rd_is_taken_over_from_the_query(flags: int) -> None:
    assert ask(packet(FILES_NAME, Qtype.A, flags=flags)).header.bitmap == QR | AA | flags & RD


@pytest.mark.parametrize(
    ("count", "opts", "transport", "truncated"),
    [
        (29, (), Transport.UDP, False),  # 12 + 27 + 29 * 16 = 503
        (30, (), Transport.UDP, True),  # 519
        (30, (opt(1232),), Transport.UDP, False),
        (28, (opt(100),), Transport.UDP, False),  # 498: a size below 512 means 512
        (75, (opt(65000),), Transport.UDP, True),  # 1250: ours is the limit
        (75, (), Transport.TCP, False),
        (4200, (), Transport.TCP, True),  # 67,239 bytes have no length prefix
    ],
)
def test_tc_is_set_exactly_where_the_answer_does_not_fit(
    count: int, opts: tuple[bytes, ...], transport: Transport, truncated: bool
) -> None:
    answer = ask(packet(FILES_NAME, Qtype.A, *opts), wide_tree(count), transport)
    assert (answer.header.tc, len(answer.rr)) == ((1, 0) if truncated else (0, count))
    assert len(answer.ar) == len(opts)


def test_glue_is_left_out_without_tc() -> None:
    crowd = {f"ns{index}.fs.corp.example": ("10.10.0.53", "fd00::53") for index in range(10)}
    tree = Tree(replace(ZONE, nameservers=crowd))
    small, whole = (ask(packet(ZONE.name, Qtype.NS), tree, transport) for transport in Transport)
    assert (small.header.tc, len(small.rr), len(small.ar)) == (0, 10, 0)
    assert (len(whole.rr), len(whole.ar)) == (10, 20)


def test_refused_for_those_who_may_not_ask() -> None:
    answer = refuse(packet(FILES_NAME, Qtype.A, opt()))
    assert isinstance(answer, Answer)
    assert DNSRecord.parse(answer.wire).header.rcode == Rcode.REFUSED
    assert refuse(packet(FILES_NAME, Qtype.A, flags=QR)) == Silence(Drop.RESPONSE)


FORWARDERS = {
    "plain": (RD, ()),
    "Unbound, BIND without cookies": (CD, (opt(1232, flags=0x8000),)),
    "PowerDNS Recursor": (0, (opt(1232),)),
    "systemd-resolved": (RD | AD, (opt(1472),)),
    "dnsperf -e": (RD, (opt(4096),)),
}


@pytest.mark.parametrize(("flags", "opts"), FORWARDERS.values(), ids=FORWARDERS)
@pytest.mark.parametrize("name", [FILES_NAME, FILES_NAME.upper(), f"_edge.{FILES_NAME}", "below.fs.corp.example"])
@pytest.mark.parametrize("qtype", [Qtype.A, Qtype.AAAA, Qtype.TXT])
def test_usual_questions_have_a_ready_answer(name: str, qtype: Qtype, flags: int, opts: tuple[bytes, ...]) -> None:
    assert lookup(TABLE, packet(name, qtype, *opts, flags=flags)) is not None


@pytest.mark.parametrize(
    "data",
    [
        packet("waiting.fs.corp.example", Qtype.A),
        packet("no.fs.corp.example", Qtype.A),
        packet(FILES_NAME, Qtype.A, flags=0x2000),
        packet(FILES_NAME, Qtype.A, flags=QR),
        packet(FILES_NAME, Qtype.A, opt(version=1)),
        b"",
    ],
)
def test_anything_else_goes_the_careful_way(data: bytes) -> None:
    assert lookup(TABLE, data) is None


def test_what_udp_might_cut_is_never_ready() -> None:
    table = prepare(wide_tree(29))
    assert lookup(table, packet(FILES_NAME, Qtype.A)) is not None
    assert lookup(table, packet(FILES_NAME, Qtype.A, opt())) is None
    assert lookup(prepare(wide_tree(30)), packet(FILES_NAME, Qtype.A)) is None


def test_no_key_can_be_folded_into_by_anything_but_a_name() -> None:
    for key in TABLE:
        name_end = 8 + key[8:].index(b"\0")
        assert not any(ord("a") <= byte <= ord("z") for byte in key[:8] + key[name_end:])


KNOWN = [".".join(label.decode() for label in name) for name in TREE.names()]
names = st.sampled_from([*KNOWN, "no.fs.corp.example", "www.example", "waiting.fs.corp.example"])
cased = st.builds(
    lambda name, bits: "".join(c.upper() if bits >> i & 1 else c for i, c in enumerate(name)),
    names,
    st.integers(0, 2**40),
)
qtypes = st.sampled_from([*Qtype, 65, 97]) | st.integers(0, 65535)
opts = st.builds(
    opt,
    st.sampled_from([0, 512, 1232, 1472, 4096]) | st.integers(0, 65535),
    st.sampled_from([0, 0x8000]) | st.integers(0, 65535),
    st.sampled_from([0, 0, 0, 1]),
    st.sampled_from([b"", b"", b"\0\x03\0\0", b"\0\x0a\0\x08cookies!"]) | st.binary(max_size=6),
)
header_flags = st.sampled_from([0, RD, RD | AD, CD]) | st.integers(0, 65535)
packets = st.builds(
    lambda name, qtype, opts, flags, qclass: packet(name, qtype, *opts, flags=flags, qclass=qclass),
    cased,
    qtypes,
    st.lists(opts, max_size=2),
    header_flags,
    st.sampled_from([1, 1, 1, 3, 255]),
)
mutated = st.builds(
    lambda data, where, noise: data[:where] + noise + data[where + len(noise) :],
    packets,
    st.integers(0, 80),
    st.binary(max_size=4),
)


@given(packets | mutated, st.sampled_from(Transport))
@example(packet(FILES_NAME, Qtype.A), Transport.TCP)
@settings(max_examples=500, deadline=None)
def test_both_ways_give_the_same_bytes(data: bytes, transport: Transport) -> None:
    careful = respond(TREE, data, transport)
    ready = lookup(TABLE, data)
    if ready is not None:
        assert isinstance(careful, Answer)
        assert ready.answer(data) == careful.wire
        assert ready.slot == slot(careful.qtype, careful.rcode)


@given(packets | mutated | st.binary(max_size=100))
@settings(max_examples=500, deadline=None)
def test_every_answer_can_be_read_and_repeats_its_question(data: bytes) -> None:
    answer = respond(TREE, data, Transport.UDP)
    if isinstance(answer, Answer):
        assert answer.wire[:2] == data[:2]
        assert len(answer.wire) <= 1232
        if all(byte < 0x80 for byte in data[12:]):
            record = DNSRecord.parse(answer.wire)
            assert (record.header.qr, record.header.ra) == (1, 0)


@given(packets | mutated)
@settings(deadline=None)
def test_a_service_name_never_gets_a_negative_answer_for_its_address(data: bytes) -> None:
    answer = respond(TREE, data, Transport.UDP)
    asked_for = packet(FILES_NAME, Qtype.A)[12:]
    if (
        isinstance(answer, Answer)
        and data[12:].lower().startswith(asked_for)
        and answer.rcode in {Rcode.NOERROR, Rcode.NXDOMAIN}
    ):
        assert b"\x0a\x00\x01\x0a" in answer.wire


def test_numbers_are_the_registered_ones() -> None:
    assert {QTYPE[qtype.value]: qtype.name for qtype in Qtype} == {qtype.name: qtype.name for qtype in Qtype}
    assert {RCODE[rcode.value] for rcode in Rcode if rcode < 16} == {rcode.name for rcode in Rcode if rcode < 16}


def test_an_unassigned_zone_still_answers_for_itself() -> None:
    tree = Tree(replace(ZONE, services=(ServiceRecord("files.fs.corp.example", 0),)))
    assert ask(packet(ZONE.name, Qtype.SOA), tree).header.rcode == Rcode.NOERROR
    assert respond(tree, packet(FILES_NAME, Qtype.A), Transport.UDP) == Silence(Drop.UNASSIGNED)
