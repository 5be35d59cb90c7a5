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

from edge.dns.answer import (
    READY_QTYPES,
    Answer,
    Asker,
    Silence,
    Table,
    cookie_bytes,
    everything,
    is_usual,
    lookup,
    lookup_without,
    moving,
    prepared,
    refuse,
    rehearse,
    respond,
    slip,
    usual,
)
from edge.dns.cookies import MINUTE_S
from edge.dns.guard import Policy
from edge.dns.message import Drop, Qtype, Rcode, Transport
from edge.dns.site import Site
from edge.dns.zone import ServiceRecord, StaticRecord, Zone
from tests.dns.samples import FILES, ZONE, opt, option, packet, question

OPEN = Policy(("0.0.0.0/0", "::/0"))
SITE = Site([ZONE], OPEN)


def ready_answers(at: Site) -> Table:
    """All that questions can bring into a worker's table."""
    return {key: ready for each in everything(at) for key, ready in prepared(at, each).items()}


TABLE = ready_answers(SITE)
UDP, TCP = Asker(Transport.UDP), Asker(Transport.TCP)
FILES_NAME = "files.fs.corp.example"
QR, AA, TC, RD, RA, AD, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0020, 0x0010


def ask(data: bytes, site: Site = SITE, asker: Asker = UDP) -> DNSRecord:
    answer = respond(site, data, asker)
    assert isinstance(answer, Answer)
    return DNSRecord.parse(answer.wire)


SECRET = "e5e973e5a6b2a43f48e7dc849e37bfcf"
NOW = Asker(Transport.UDP, "198.51.100.100", 1559731985.5)


def with_cookie(cookie: bytes, name: str = "files.fs.corp.example") -> bytes:
    return packet(name, Qtype.A, opt(options=option(10, cookie)))


def options_in(record: DNSRecord) -> dict[int, bytes]:
    (found,) = record.ar
    return {each.code: bytes(each.data) for each in found.rdata}


def cookie_in(record: DNSRecord) -> bytes:
    return options_in(record)[10]


def lines(records: list[object]) -> list[str]:
    return [" ".join(str(record).split()) for record in records]


def site(zone: Zone = ZONE, **policy: object) -> Site:
    return Site([zone], replace(OPEN, **policy))


def wide(count: int, **policy: object) -> Site:
    """A service with so many addresses that its answer gets long."""
    addresses = tuple(f"10.0.{index // 250}.{index % 250}" for index in range(count))
    return site(replace(ZONE, services=(replace(FILES, addresses=addresses),)), **policy)


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
    answer = respond(SITE, data, UDP)
    assert isinstance(answer, Answer)
    assert answer.wire[12 : len(data)] == data[12:]
    assert str(DNSRecord.parse(answer.wire).rr[0].rname) == "FiLeS.fS.CoRp.ExAmPlE."


def test_a_label_of_any_bytes_is_answered() -> None:
    data = struct.pack("!HHHHHH", 1, 0, 1, 0, 0, 0) + question((b"\xff\x80", b"fs", b"corp", b"example"), 1)
    answer = respond(SITE, data, UDP)
    assert isinstance(answer, Answer)
    assert answer.rcode is Rcode.NXDOMAIN
    assert answer.wire.startswith(data[12:], 12)


@pytest.mark.parametrize(
    ("data", "rcode"),
    [
        pytest.param(packet("www.example", Qtype.A), Rcode.REFUSED, id="another zone"),
        pytest.param(packet(FILES_NAME, Qtype.A, qclass=3), Rcode.REFUSED, id="class CH, switched off"),
        pytest.param(packet(FILES_NAME, Qtype.A, qclass=4), Rcode.REFUSED, id="class HS"),
        pytest.param(packet(FILES_NAME, Qtype.OPT), Rcode.FORMERR, id="type OPT"),
        pytest.param(packet(FILES_NAME, Qtype.TSIG), Rcode.FORMERR, id="type TSIG"),
        pytest.param(packet(FILES_NAME, Qtype.TKEY), Rcode.NOTIMP, id="type TKEY"),
        pytest.param(packet(FILES_NAME, 253), Rcode.NOTIMP, id="type MAILB"),
        pytest.param(packet(FILES_NAME, 254), Rcode.NOTIMP, id="type MAILA"),
        pytest.param(packet("fs.corp.example", Qtype.AXFR), Rcode.REFUSED, id="AXFR"),
        pytest.param(packet("fs.corp.example", Qtype.IXFR), Rcode.REFUSED, id="IXFR"),
        pytest.param(packet(FILES_NAME, Qtype.A, flags=0x2000), Rcode.NOTIMP, id="NOTIFY"),
        pytest.param(packet(FILES_NAME, Qtype.A, flags=0x7800), Rcode.NOTIMP, id="opcode 15"),
        pytest.param(packet(FILES_NAME, Qtype.A)[:-2], Rcode.FORMERR, id="cut"),
        pytest.param(packet(FILES_NAME, Qtype.A, opt(), opt()), Rcode.FORMERR, id="two OPT"),
        pytest.param(packet(FILES_NAME, Qtype.A, opt(version=1)), Rcode.BADVERS, id="EDNS 1"),
        pytest.param(packet(FILES_NAME, Qtype.A, b"\1x" + opt()), Rcode.FORMERR, id="OPT not at the root"),
        pytest.param(packet(FILES_NAME, Qtype.A, opt(options=b"\0\x0a\0\7seven!!")), Rcode.FORMERR, id="short cookie"),
        pytest.param(packet(FILES_NAME, Qtype.A, opt(options=b"\0\3\0\1")), Rcode.FORMERR, id="option cut"),
    ],
)
def test_an_error_is_not_authoritative_and_empty(data: bytes, rcode: Rcode) -> None:
    answer = respond(SITE, data, UDP)
    assert isinstance(answer, Answer)
    assert answer.rcode is rcode
    record = DNSRecord.parse(answer.wire)
    assert (record.header.rcode, record.header.id) == (rcode & 0xF, 4242)
    assert (record.header.qr, record.header.aa, record.header.opcode) == (1, 0, data[2] >> 3)
    assert (record.rr, record.auth) == ([], [])


def test_the_extended_rcode_stands_in_the_opt() -> None:
    (record,) = ask(packet(FILES_NAME, Qtype.A, opt(version=1, flags=0x8000))).ar
    assert (record.edns_rcode, record.edns_ver, record.edns_len, record.edns_do) == (1, 0, 1232, 1)


@pytest.mark.parametrize("opts", [(opt(), opt()), (b"\1x" + opt(),), (opt(options=b"\0\3\0\1"),)])
def test_a_formerr_for_a_wrong_opt_has_one(opts: tuple[bytes, ...]) -> None:
    """RFC 6891 section 6.1.1: who sent one speaks EDNS, however badly."""
    assert len(ask(packet(FILES_NAME, Qtype.A, *opts)).ar) == 1


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
    assert respond(SITE, data, UDP) == Silence(reason)


@pytest.mark.parametrize("dnssec_ok", [0, 1])
def test_an_opt_is_answered_with_ours(dnssec_ok: int) -> None:
    cookie = struct.pack("!HH", 10, 8) + b"12345678"
    (record,) = ask(packet(FILES_NAME, Qtype.A, opt(4096, flags=dnssec_ok << 15, options=cookie))).ar
    assert (record.edns_ver, record.edns_len, record.edns_do, record.rdata) == (0, 1232, dnssec_ok, [])


@pytest.mark.parametrize("flags", [0, RD, RD | AD | CD, CD | RA, AA | TC | RD])
def test_only_rd_is_taken_over_from_the_query(flags: int) -> None:
    assert ask(packet(FILES_NAME, Qtype.A, flags=flags)).header.bitmap == QR | AA | flags & RD


@pytest.mark.parametrize(
    ("count", "opts", "asker", "truncated"),
    [
        (29, (), UDP, False),  # 12 + 27 + 29 * 16 = 503
        (30, (), UDP, True),  # 519
        (30, (opt(1232),), UDP, False),
        (28, (opt(100),), UDP, False),  # 498: a size below 512 means 512
        (75, (opt(65000),), UDP, True),  # 1250: ours is the limit
        (75, (), TCP, False),
        (4200, (), TCP, True),  # 67,239 bytes have no length prefix
    ],
)
def test_tc_is_set_exactly_where_the_answer_does_not_fit(
    count: int, opts: tuple[bytes, ...], asker: Asker, truncated: bool
) -> None:
    answer = ask(packet(FILES_NAME, Qtype.A, *opts), wide(count, amplification=100.0), asker)
    assert (answer.header.tc, len(answer.rr)) == ((1, 0) if truncated else (0, count))
    assert len(answer.ar) == len(opts)


def test_an_answer_too_big_for_its_question_is_cut_unless_the_asker_is_real() -> None:
    """12 + 27 + 10 * 16 = 199 bytes for 39."""
    plain, strict = packet(FILES_NAME, Qtype.A), wide(10, amplification=5.0, cookie_secrets=(SECRET,))
    assert ask(plain, wide(10, amplification=199 / 39)).header.tc == 0
    assert ask(plain, strict).header.tc == 1
    assert ask(plain, strict, TCP).header.tc == 0
    assert ask(plain, strict, replace(UDP, exempt=True)).header.tc == 0
    proven = ask(
        packet(FILES_NAME, Qtype.A, opt(options=option(10, b"client c"))), wide(4, cookie_secrets=(SECRET,)), NOW
    )
    strictest = wide(15, amplification=2.0, cookie_secrets=(SECRET,))  # 279 + 39 bytes for 78
    assert ask(with_cookie(cookie_in(proven)), strictest, NOW).header.tc == 0
    assert ask(with_cookie(b"no proof"), strictest, NOW).header.tc == 1
    assert lookup(ready_answers(strict), plain) is None


def test_amplification_below_two_is_an_error() -> None:
    with pytest.raises(ValueError, match="below 2"):
        site(amplification=1.9)


def test_glue_is_left_out_without_tc() -> None:
    crowd = {f"ns{index}.fs.corp.example": ("10.10.0.53", "fd00::53") for index in range(10)}
    zones = site(replace(ZONE, nameservers=crowd))
    small, whole = (ask(packet(ZONE.name, Qtype.NS), zones, asker) for asker in (UDP, TCP))
    assert (small.header.tc, len(small.rr), len(small.ar)) == (0, 10, 0)
    assert (len(whole.rr), len(whole.ar)) == (10, 20)


def test_refused_for_those_who_may_not_ask() -> None:
    answer = refuse(SITE, packet(FILES_NAME, Qtype.A, opt()), UDP)
    assert isinstance(answer, Answer)
    assert DNSRecord.parse(answer.wire).header.rcode == Rcode.REFUSED
    assert refuse(SITE, packet(FILES_NAME, Qtype.A, flags=QR), UDP) == Silence(Drop.RESPONSE)


# --- EDNS options


def test_nsid_is_told_to_who_asks_for_it() -> None:
    named = site(identity="edge-a")
    asking = packet(FILES_NAME, Qtype.A, opt(options=option(3)))
    assert options_in(ask(asking, named)) == {3: b"edge-a"}
    assert options_in(ask(packet(FILES_NAME, Qtype.A, opt()), named)) == {}
    assert options_in(ask(asking)) == {}


def test_keepalive_is_told_over_tcp_to_who_asks_for_it() -> None:
    """RFC 7828 sections 3.2.1 and 3.3.2: in tenths of a second, and never over UDP."""
    asking = packet(FILES_NAME, Qtype.A, opt(options=option(11)))
    assert options_in(ask(asking, asker=replace(TCP, keepalive_s=12.3))) == {11: (123).to_bytes(2)}
    assert options_in(ask(packet(FILES_NAME, Qtype.A, opt()), asker=TCP)) == {}
    assert options_in(ask(asking)) == {}


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (packet("www.example", Qtype.A, opt()), 20),
        (packet(FILES_NAME, Qtype.A, opt(), qclass=4), 20),
        (packet("version.bind", Qtype.TXT, opt(), qclass=3), 20),
        (packet("fs.corp.example", Qtype.AXFR, opt()), 18),
        (packet(FILES_NAME, Qtype.A, opt(), flags=0x2000), 21),
    ],
)
def test_an_error_says_why(data: bytes, code: int) -> None:
    """RFC 8914."""
    assert options_in(ask(data)) == {15: code.to_bytes(2)}


def test_who_may_not_ask_is_told_why() -> None:
    answer = refuse(SITE, packet(FILES_NAME, Qtype.A, opt()), UDP)
    assert isinstance(answer, Answer)
    assert options_in(DNSRecord.parse(answer.wire)) == {15: b"\0\x12"}


def test_padding_and_unknown_options_are_ignored() -> None:
    data = packet(FILES_NAME, Qtype.A, opt(options=option(12, bytes(30)) + option(65001, b"x")))
    assert (ask(data).header.rcode, options_in(ask(data))) == (Rcode.NOERROR, {})


# --- Cookies


def test_a_client_cookie_gets_a_server_cookie_and_an_answer() -> None:
    baking = site(cookie_secrets=(SECRET,))
    answer = ask(with_cookie(b"client c"), baking, NOW)
    assert lines(answer.rr) == [f"{FILES_NAME}. 0 IN A 10.0.1.10"]
    assert cookie_in(answer)[:16] == b"client c\1\0\0\0" + (1559731985 // MINUTE_S * MINUTE_S).to_bytes(4)
    assert cookie_in(ask(with_cookie(cookie_in(answer)), baking, NOW)) == cookie_in(answer)


def test_errors_carry_cookies_too() -> None:
    assert len(cookie_in(ask(with_cookie(b"client c", "www.example"), site(cookie_secrets=(SECRET,)), NOW))) == 24


def test_without_a_secret_cookies_are_ignored() -> None:
    assert options_in(ask(with_cookie(b"client c"), asker=NOW)) == {}


def test_who_asks_nothing_gets_a_cookie() -> None:
    """RFC 7873 section 5.4; without a cookie it is an error (RFC 9619)."""
    empty = struct.pack("!HHHHHH", 7, 0, 0, 0, 0, 1)
    bare = empty + opt(options=option(10, b"client c"))
    answer = ask(bare, site(cookie_secrets=(SECRET,)), NOW)
    assert (answer.header.rcode, answer.questions, len(cookie_in(answer))) == (Rcode.NOERROR, [], 24)
    for data, at in ((bare, SITE), (empty + opt(), site(cookie_secrets=(SECRET,)))):
        assert ask(data, at, NOW).header.rcode == Rcode.FORMERR


def test_a_required_cookie_has_to_be_valid_over_udp() -> None:
    strict = site(cookie_secrets=(SECRET,), cookie_required=True)
    refused = respond(strict, with_cookie(b"client c"), NOW)
    assert isinstance(refused, Answer)
    assert refused.rcode is Rcode.BADCOOKIE
    record = DNSRecord.parse(refused.wire)
    assert (record.header.rcode, record.ar[0].edns_rcode, record.rr) == (23 & 15, 1, [])
    assert lines(ask(with_cookie(cookie_in(record)), strict, NOW).rr)
    assert lines(ask(with_cookie(b"client c"), strict, replace(NOW, transport=Transport.TCP)).rr)
    assert lines(ask(packet(FILES_NAME, Qtype.A), strict, NOW).rr)


# --- Classes


@pytest.mark.parametrize(
    ("name", "text"),
    [("version.bind", "2.0"), ("VERSION.server", "2.0"), ("hostname.bind", "edge-a"), ("id.server", "edge-a")],
)
@pytest.mark.parametrize("qtype", [Qtype.TXT, Qtype.ANY])
def test_class_ch_tells_who_we_are(name: str, text: str, qtype: Qtype) -> None:
    answer = ask(packet(name, qtype, qclass=3), site(identity="edge-a", version="2.0"))
    assert [(rr.rclass, rr.ttl, str(rr.rdata)) for rr in answer.rr] == [(3, 0, f'"{text}"')]
    assert (answer.header.rcode, answer.header.aa, str(answer.rr[0].rname).lower()) == (0, 1, f"{name.lower()}.")


def test_class_ch_has_nothing_else() -> None:
    told = site(identity="edge-a")
    nodata = ask(packet("id.server", Qtype.A, qclass=3), told)
    assert (nodata.header.rcode, nodata.rr, nodata.auth) == (Rcode.NOERROR, [], [])
    assert ask(packet("version.bind", Qtype.TXT, qclass=3), told).header.rcode == Rcode.REFUSED
    assert ask(packet(FILES_NAME, Qtype.A, qclass=3), told).header.rcode == Rcode.REFUSED
    assert ask(packet("id.server", Qtype.TXT), told).header.rcode == Rcode.REFUSED


def test_class_any_is_answered_without_authority() -> None:
    """RFC 1035 section 6.2."""
    answer = ask(packet(FILES_NAME, Qtype.A, qclass=255))
    assert (answer.header.aa, [(rr.rclass, rr.ttl) for rr in answer.rr]) == (0, [(1, 0)])
    assert respond(SITE, packet("waiting.fs.corp.example", Qtype.A, qclass=255), UDP) == Silence(Drop.UNASSIGNED)


# --- Static records


def test_static_records_are_encoded() -> None:
    static = (
        StaticRecord("t.fs.corp.example", "TXT", 60, ("x" * 300, "")),
        StaticRecord("_smb._tcp.fs.corp.example", "SRV", 60, ("0 5 445 files.fs.corp.example",)),
        StaticRecord("no._tcp.fs.corp.example", "SRV", 60, ("0 0 0 .",)),
        StaticRecord("alias.fs.corp.example", "CNAME", 60, ("files.fs.corp.example",)),
        StaticRecord("p.fs.corp.example", "PTR", 60, ("host.elsewhere.example",)),
    )
    at = site(replace(ZONE, records=static))
    text = ask(packet("t.fs.corp.example", Qtype.TXT, opt()), at)
    assert [rr.rdata.data for rr in text.rr] == [[b"x" * 255, b"x" * 45], [b""]]
    assert lines(ask(packet("_smb._tcp.fs.corp.example", Qtype.SRV), at).rr) == [
        "_smb._tcp.fs.corp.example. 60 IN SRV 0 5 445 files.fs.corp.example."
    ]
    assert lines(ask(packet("no._tcp.fs.corp.example", Qtype.SRV), at).rr)[0].endswith("SRV 0 0 0 .")
    assert lines(ask(packet("p.fs.corp.example", Qtype.PTR), at).rr)[0].endswith("PTR host.elsewhere.example.")
    assert lines(ask(packet("alias.fs.corp.example", Qtype.A), at).rr) == [
        "alias.fs.corp.example. 60 IN CNAME files.fs.corp.example.",
        "files.fs.corp.example. 0 IN A 10.0.1.10",
    ]


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
    """27 addresses: 471 bytes, 482 with an OPT, 510 with a cookie in it."""
    for count, ready in ((27, True), (28, False)):
        table = ready_answers(wide(count, amplification=100.0))
        for opts in ((), (opt(),)):
            assert (lookup(table, packet(FILES_NAME, Qtype.A, *opts)) is not None) == ready


def test_what_moves_is_each_services_address() -> None:
    names = [FILES_NAME, "deep.below.fs.corp.example", "waiting.fs.corp.example"]
    assert list(moving([ZONE])) == [packet(name, qtype)[12:] for name in names for qtype in (Qtype.A, Qtype.AAAA)]


@pytest.mark.parametrize(("data", "expected"), [
    (packet(FILES_NAME.upper(), Qtype.A), True),
    (packet("fs.corp.example", Qtype.SRV, opt(77)), True),
    (packet(FILES_NAME, Qtype.ANY), False),
    (packet(FILES_NAME, 65), False),
    (packet(FILES_NAME, Qtype.A, qclass=255), False),
    (packet("no.fs.corp.example", Qtype.A), False),
    (packet("www.example", Qtype.A), False),
    (packet("id.server", Qtype.TXT, qclass=3), False),
])  # fmt: skip
def test_usual_is_what_is_there_to_be_asked_again(data: bytes, expected: bool) -> None:
    answer = respond(site(identity="edge-1"), data, UDP)
    assert isinstance(answer, Answer)
    assert is_usual(answer) is expected
    assert bool(prepared(SITE, answer.told) if expected else {}) is expected


def test_what_could_not_be_said_is_found_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []
    monkeypatch.setattr("edge.dns.answer.respond", lambda _site, data, _asker: asked.append(data[12:]))
    rehearse(SITE, everything(SITE))
    assert set(asked) == {usual(name, qtype) for name in SITE.names() for qtype in READY_QTYPES}


def test_no_key_can_be_folded_into_by_anything_but_a_name() -> None:
    for key in TABLE:
        name_end = 8 + key[8:].index(b"\0")
        assert not any(ord("a") <= byte <= ord("z") for byte in key[:8] + key[name_end:])


KNOWN = [".".join(label.decode() for label in name) for name in SITE.names()]
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
    careful = respond(SITE, data, Asker(transport))
    ready = lookup(TABLE, data)
    if ready is not None:
        assert isinstance(careful, Answer)
        assert ready.answer(data) == careful.wire
        assert ready.slot == careful.slot
        assert ready.told == careful.told
        assert slip(ready.answer(data), ready.question_end, ready.opt_start) == slip(
            careful.wire, careful.question_end, careful.opt_start
        )


def many_sided() -> Site:
    """Aliases to what is there, to what isn't and away; several types at one name; a zone below another."""
    records = (
        StaticRecord("alias.fs.corp.example", "CNAME", 60, ("files.fs.corp.example",)),
        StaticRecord("lost.fs.corp.example", "CNAME", 60, ("nobody.fs.corp.example",)),
        StaticRecord("away.fs.corp.example", "CNAME", 60, ("www.example",)),
        StaticRecord("late.fs.corp.example", "CNAME", 60, ("waiting.fs.corp.example",)),
        StaticRecord("_smb._tcp.fs.corp.example", "SRV", 60, ("0 5 445 files.fs.corp.example",)),
        StaticRecord("fs.corp.example", "TXT", 60, ("x" * 300,)),
        StaticRecord("p.fs.corp.example", "PTR", 60, ("host.elsewhere.example",)),
        StaticRecord("p.fs.corp.example", "AAAA", 60, ("fd00::1",)),
    )
    parent = Zone("corp.example", {"ns1.corp.example": ("10.10.0.54",)}, "hostmaster.corp.example", 3, ())
    return Site([parent, replace(ZONE, records=records)], OPEN)


@pytest.mark.parametrize("at", [SITE, many_sided(), wide(3)], ids=["usual", "many-sided", "wide"])
def test_every_ready_answer_is_the_careful_one(at: Site) -> None:
    for key, ready in ready_answers(at).items():
        data = b"id\1\0" + key
        careful = respond(at, data, UDP)
        assert isinstance(careful, Answer)
        assert (ready.answer(data), ready.slot, ready.told) == (careful.wire, careful.slot, careful.told)
        assert (ready.question_end, ready.opt_start) == (careful.question_end, careful.opt_start)


BAKING = site(cookie_secrets=(SECRET,))
BAKED = ready_answers(BAKING)
VALID = cookie_in(ask(with_cookie(b"client c"), BAKING, NOW))
cookies = st.sampled_from([VALID, VALID[:8], VALID[:-1] + b"!"]) | st.binary(min_size=7, max_size=25)
cooked = st.builds(
    lambda name, qtype, cookie, size, flags: packet(name, qtype, opt(size, flags, options=option(10, cookie))),
    cased,
    qtypes,
    cookies,
    st.sampled_from([512, 1232, 4096, 77]),
    st.sampled_from([0, 0x8000]),
)


@given(cooked | packets | mutated)
@example(with_cookie(VALID))
@example(with_cookie(VALID[:8]))
@settings(max_examples=500, deadline=None)
def test_both_ways_put_the_same_stamp_on_a_cookie(data: bytes) -> None:
    assert BAKING.jar
    if (size := cookie_bytes(data)) and (ready := lookup_without(BAKED, data, size)):
        stamp = BAKING.jar.stamp(NOW.host, data[-size:], int(NOW.now_s) // MINUTE_S)
        careful = respond(BAKING, data, NOW)
        assert isinstance(careful, Answer)
        assert ready.stamped(data, stamp) == careful.wire
        assert stamp.valid == careful.proven
        ignoring = respond(SITE, data, NOW)
        assert isinstance(ignoring, Answer)
        assert ready.answer(data) == ignoring.wire


@pytest.mark.parametrize("cookie", [VALID, VALID[:8]])
def test_the_cookies_of_bind_and_dig_go_the_ready_way(cookie: bytes) -> None:
    assert lookup_without(BAKED, with_cookie(cookie), cookie_bytes(with_cookie(cookie))) is not None


def test_a_cookie_beside_another_option_goes_the_careful_way() -> None:
    data = packet(FILES_NAME, Qtype.A, opt(options=option(3) + option(10, VALID)))
    assert cookie_bytes(data) == 0


@given(packets | mutated | st.binary(max_size=100))
@settings(max_examples=500, deadline=None)
def test_every_answer_can_be_read_and_repeats_its_question(data: bytes) -> None:
    answer = respond(SITE, data, UDP)
    if isinstance(answer, Answer):
        assert answer.wire[:2] == data[:2]
        assert len(answer.wire) <= 1232
        if all(byte < 0x80 for byte in data[12:]):
            record = DNSRecord.parse(answer.wire)
            assert (record.header.qr, record.header.ra) == (1, 0)


@given(packets | mutated)
@settings(deadline=None)
def test_a_service_name_never_gets_a_negative_answer_for_its_address(data: bytes) -> None:
    answer = respond(SITE, data, UDP)
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
    zones = site(replace(ZONE, services=(ServiceRecord("files.fs.corp.example", 0),)))
    assert ask(packet(ZONE.name, Qtype.SOA), zones).header.rcode == Rcode.NOERROR
    assert respond(zones, packet(FILES_NAME, Qtype.A), UDP) == Silence(Drop.UNASSIGNED)
