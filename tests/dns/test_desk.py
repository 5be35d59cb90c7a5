"""From a packet to its answer: guard, limits, counting."""

import gc
from collections.abc import Callable
from dataclasses import replace

import pytest
from dnslib import DNSRecord

from edge.dns import desk as desk_module
from edge.dns.answer import Ready, lookup, prepared
from edge.dns.counters import Tally, drop_slot, total
from edge.dns.desk import ASK, FIRST, READY, Desk
from edge.dns.guard import Deny, Policy
from edge.dns.message import Drop, Qtype, Transport
from edge.dns.orders import Order
from edge.dns.rates import Rates
from edge.dns.site import Site
from tests.dns.desks import A_QUERY, HOME, LOCAL, SECRET, SOA_QUERY, desk, dropped
from tests.dns.samples import DUAL, FILES, HOST, ZONE, opt, option, packet

MOVED = replace(ZONE, services=(replace(FILES, addresses=("10.0.2.10",), node="b", epoch=13),))


def test_both_ways_are_counted_under_the_same_label() -> None:
    at = desk()
    cookie = packet("files.fs.corp.example", Qtype.A, b"\0\0\x29\x04\xd0\0\0\0\0\0\x0c\0\x0a\0\x08cookies!")
    for data in (A_QUERY, cookie):
        assert at.answer(data, HOME, Transport.UDP) is not None
    assert total([at.tally]).queries["A", "NOERROR", "udp"] == 2


def test_who_may_not_ask_gets_silence_or_refused() -> None:
    silent, polite = desk(), desk(Policy((), Deny.REFUSE))
    assert silent.answer(A_QUERY, ("192.0.2.1", 5353), Transport.UDP) is None
    assert dropped(silent) == {"denied": 1}
    refusal = polite.answer(A_QUERY, HOME, Transport.TCP)
    assert refusal is not None
    assert DNSRecord.parse(refusal).header.rcode == 5
    assert total([polite.tally]).queries["A", "REFUSED", "tcp"] == 1


def test_a_packet_that_we_get_wrong_is_dropped_and_told_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong(*_: object) -> None:
        raise IndexError("a mistake of ours")

    monkeypatch.setattr(desk_module, "respond", wrong)
    at = desk()
    for _ in range(2):
        assert at.answer(packet("no.fs.corp.example", Qtype.A), HOME, Transport.UDP) is None
    assert dropped(at) == {"internal": 2}
    assert capsys.readouterr().err.count("a mistake of ours") == 2  # once as source, once as message


ABROAD = ("198.51.100.7", 5353)
LIMITED = Policy(("0.0.0.0/0",), trusted=("127.0.0.0/8",), rates=Rates(per_s=2.0, burst_s=1.0))
NOBODY = packet("no.fs.corp.example", Qtype.A)


def with_cookie(cookie: bytes = b"client c") -> bytes:
    return packet("files.fs.corp.example", Qtype.A, opt(options=option(10, cookie)))


def happened(at: Desk) -> dict[str, int]:
    return {event: count for event, count in total([at.tally]).events.items() if count}


def answers(at: Desk, data: bytes, count: int, source: tuple[str, int] = ABROAD) -> list[bytes | None]:
    """All in the same moment."""
    return [at.answer(data, source, Transport.UDP) for _ in range(count)]


def is_slip(wire: bytes | None, data: bytes) -> bool:
    record = DNSRecord.parse(wire or b"")
    return bool(record.header.tc) and not record.rr + record.auth and (wire or b"")[12:].startswith(data[12:27])


@pytest.mark.parametrize("data", [A_QUERY, NOBODY, with_cookie(), packet("www.example", Qtype.A)])
def test_over_its_rate_a_network_gets_every_second_answer_and_that_one_empty(data: bytes) -> None:
    at = desk(LIMITED)
    first, second, *over = answers(at, data, 6)
    assert not any(DNSRecord.parse(wire or b"").header.tc for wire in (first, second))
    assert [wire is None for wire in over] == [True, False, True, False]
    assert is_slip(over[1], data)
    assert (dropped(at), happened(at)) == ({"rate": 2}, {"slipped": 2})
    assert sum(total([at.tally]).queries.values()) == 4


@pytest.mark.parametrize("data", [A_QUERY, NOBODY])
def test_neither_the_trusted_nor_tcp_have_a_rate(data: bytes) -> None:
    at = desk(LIMITED)
    assert None not in answers(at, data, 50, HOME)
    assert None not in [at.answer(data, ABROAD, Transport.TCP) for _ in range(50)]
    assert (dropped(at), happened(at)) == ({}, {})


@pytest.mark.parametrize("name", ["files.fs.corp.example", "no.fs.corp.example"])
def test_who_shows_a_valid_cookie_has_no_rate(name: str) -> None:
    at = desk(replace(LIMITED, cookie_secrets=(SECRET,)))
    (first,) = answers(at, with_cookie(), 1)
    proven = packet(name, Qtype.A, opt(options=option(10, bytes(DNSRecord.parse(first or b"").ar[0].rdata[0].data))))
    assert None not in answers(at, proven, 50)
    assert None in answers(at, with_cookie(), 50)


def test_a_limit_can_be_watched_before_it_is_enforced() -> None:
    at = desk(replace(LIMITED, rates=replace(LIMITED.rates, log_only=True)))
    assert len(set(answers(at, A_QUERY, 10))) == 1
    assert (dropped(at), happened(at)) == ({}, {"would_limit": 8})


FRUGAL = replace(LIMITED, rates=Rates(unprepared_per_s=20.0))  # two at once


@pytest.mark.parametrize("data", [NOBODY, packet("www.example", Qtype.A), A_QUERY[:20], b"", b"\0" * 12])
def test_what_is_not_prepared_has_a_budget_before_it_is_read(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    at, read = desk(FRUGAL), list[bytes]()
    respond = desk_module.respond
    monkeypatch.setattr(
        desk_module, "respond", lambda site, data, asker: read.append(data) or respond(site, data, asker)
    )
    answers(at, data, 10)
    assert (len(read), dropped(at)["rate"]) == (2, 8)
    assert None not in answers(at, A_QUERY, 50)


def test_the_budget_is_for_those_who_may_be_forged() -> None:
    at = desk(FRUGAL)
    assert None not in answers(at, NOBODY, 50, HOME)
    assert None not in [at.answer(NOBODY, ABROAD, Transport.TCP) for _ in range(50)]
    assert answers(at, NOBODY, 3).count(None) == 1


def test_the_budget_can_be_watched_before_it_is_enforced() -> None:
    at = desk(replace(FRUGAL, rates=replace(FRUGAL.rates, log_only=True)))
    assert None not in answers(at, NOBODY, 10)
    assert (dropped(at), happened(at)) == ({}, {"would_limit": 8})


def test_those_who_are_refused_have_a_budget_too() -> None:
    at = desk(replace(FRUGAL, allow_query=("127.0.0.0/8",), deny=Deny.REFUSE))
    assert answers(at, A_QUERY, 10).count(None) == 8


def test_an_order_does_not_fill_the_buckets_again_unless_the_rates_are_new() -> None:
    at = desk(FRUGAL)
    answers(at, NOBODY, 3)
    at.follow(Order(2, (ZONE,), FRUGAL))
    assert answers(at, NOBODY, 3) == [None] * 3
    at.follow(Order(3, (ZONE,), replace(FRUGAL, rates=replace(FRUGAL.rates, unprepared_per_s=30.0))))
    assert answers(at, NOBODY, 4).count(None) == 1


@pytest.mark.parametrize("name", ["files.fs.corp.example", "no.fs.corp.example"])
def test_a_required_cookie_is_required_whatever_the_way(name: str) -> None:
    at = desk(replace(LOCAL, cookie_secrets=(SECRET,), cookie_required=True))
    data = packet(name, Qtype.A, opt(options=option(10, b"client c")))
    record = DNSRecord.parse(at.answer(data, HOME, Transport.UDP) or b"")
    assert (record.header.rcode, record.ar[0].edns_rcode) == (7, 1)
    assert happened(at) == {"bad_cookie": 1}


def test_a_truncated_answer_is_counted() -> None:
    at = desk(replace(LOCAL, amplification=2.0))
    assert DNSRecord.parse(at.answer(SOA_QUERY, HOME, Transport.UDP) or b"").header.tc == 1
    assert happened(at) == {"truncated": 1}
    trusting = desk(replace(LOCAL, amplification=2.0, trusted=LOCAL.allow_query))
    assert DNSRecord.parse(trusting.answer(SOA_QUERY, HOME, Transport.UDP) or b"").header.tc == 0


def test_a_packet_from_our_own_port_is_a_loop() -> None:
    at = Desk(Tally.create(), Order(1, (ZONE,), LOCAL), own=[("127.0.0.1", 53)])
    assert at.answer(A_QUERY, ("127.0.0.1", 53), Transport.UDP) is None
    assert dropped(at) == {"loop": 1}


@pytest.mark.parametrize(("policy", "said"), [
    (LOCAL, READY),
    (replace(LOCAL, rates=Rates(per_s=2.0)), ASK),
    (replace(LOCAL, rates=Rates(per_s=2.0), trusted=LOCAL.allow_query), FIRST),
    (replace(LOCAL, trusted=LOCAL.allow_query), FIRST),
    (Policy(()), drop_slot(Drop.DENIED)),
    (Policy((), Deny.REFUSE), ASK),
])  # fmt: skip
def test_the_shortcut_for_an_address_is_what_the_guard_and_the_limits_allow(policy: Policy, said: int) -> None:
    hosts = desk(policy).shortcuts[1]
    packed = bytes((127, 0, 0, 1))
    assert hosts[packed] == said
    assert dict(hosts) == {packed: said}


def test_the_addresses_that_have_a_shortcut_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "REMEMBERED", 2)
    hosts = desk().shortcuts[1]
    for last in range(3):
        assert hosts[bytes((127, 0, 0, last))] == READY
    assert list(hosts) == [bytes((127, 0, 0, 2))]


def test_an_order_is_prepared_in_bites_and_swapped_whole() -> None:
    at = desk()
    before = at.answer(A_QUERY, HOME, Transport.UDP)
    meanwhile = [at.answer(A_QUERY, HOME, Transport.UDP) for _ in at.adopting(Order(2, (MOVED,), LOCAL))]
    assert len(meanwhile) > 5
    assert len(at.shortcuts[0]) == 2 * 21  # one service, two types, all the usual shapes
    assert set(meanwhile) == {before}
    assert at.answer(A_QUERY, HOME, Transport.UDP) != before


def test_what_an_order_replaces_goes_without_being_looked_for() -> None:
    """The worker keeps the garbage collector from all that orders make: a circle in it would stay for ever."""
    at = desk()
    gc.collect()
    for sequence, zone in enumerate((MOVED, ZONE) * 3):
        at.follow(Order.from_lines(Order(sequence, (zone,), LOCAL).to_lines()))
    assert gc.collect() == 0


def test_what_was_asked_once_is_ready_for_the_next_who_asks() -> None:
    at = desk()
    before = len(at.shortcuts[0])
    odd = packet("fs.corp.example", Qtype.SOA, opt(77))
    careful = [at.answer(odd, HOME, Transport.UDP) for _ in range(2)]
    assert len(at.shortcuts[0]) == before + 21
    assert lookup(at.shortcuts[0], SOA_QUERY) is not None
    assert careful[0] == careful[1]


def test_what_is_not_there_is_never_kept() -> None:
    at = desk()
    before = dict(at.shortcuts[0])
    for data in (NOBODY, packet("www.example", Qtype.A), packet("waiting.fs.corp.example", Qtype.A), b"", A_QUERY[:20]):
        at.answer(data, HOME, Transport.UDP)
    assert at.shortcuts[0] == before


def test_a_question_is_prepared_once_an_order(monkeypatch: pytest.MonkeyPatch) -> None:
    at, done = desk(), list[bytes]()
    for way in ("prepared", "preparing"):
        monkeypatch.setattr(desk_module, way, noting(getattr(desk_module, way), done))
    answers(at, SOA_QUERY, 3, HOME)
    assert done == [SOA_QUERY[12:]]
    at.follow(Order(2, (replace(ZONE, serial=99),), LOCAL))
    answers(at, SOA_QUERY, 3, HOME)
    assert done.count(SOA_QUERY[12:]) == 2


def noting(way: Callable[[Site, bytes], object], done: list[bytes]) -> Callable[[Site, bytes], object]:
    """The same way, and the questions that went it."""

    def note(site: Site, question: bytes) -> object:
        done.append(question)
        return way(site, question)

    return note


def told(at: Desk, name: str, qtype: Qtype) -> Ready:
    assert at.answer(packet(name, qtype), HOME, Transport.UDP) is not None
    ready = lookup(at.shortcuts[0], packet(name, qtype))
    assert ready is not None
    return ready


@pytest.mark.parametrize(
    ("name", "qtype"),
    [(FILES.name, Qtype.A), ("deep.below.fs.corp.example", Qtype.AAAA), ("ns1.fs.corp.example", Qtype.A)],
)
def test_what_a_switch_leaves_as_it_was_is_not_prepared_again(name: str, qtype: Qtype) -> None:
    at = desk()
    before = told(at, name, qtype)
    at.follow(Order(2, (replace(ZONE, serial=99, services=(FILES, DUAL)),), LOCAL))
    assert told(at, name, qtype) is not before  # which services there are has changed, and so the grounds
    before = told(at, name, qtype)
    at.follow(Order(3, (replace(ZONE, serial=100, services=(FILES, DUAL)),), LOCAL))
    assert told(at, name, qtype) is before


@pytest.mark.parametrize(
    "policy",
    [replace(LOCAL, amplification=2.0), replace(LOCAL, identity="b"), replace(LOCAL, cookie_secrets=(SECRET,))],
)
def test_after_any_order_everything_ready_is_what_it_would_be_without_those_before(policy: Policy) -> None:
    back = replace(MOVED, serial=99, services=(replace(FILES, epoch=14),))
    orders = [(ZONE, LOCAL), (MOVED, LOCAL), (back, LOCAL), (back, policy), (MOVED, policy)]
    orders += [(replace(zone, records=(HOST,)), policy) for zone in (MOVED, back)] + [(ZONE, LOCAL)]
    at = desk()
    for sequence, (zone, held) in enumerate(orders):
        for name in (ZONE.name, "ns1.fs.corp.example", "host.fs.corp.example", FILES.name):
            answers(at, packet(name, Qtype.AAAA), 1, HOME)
        at.follow(Order(sequence, (zone,), held))
        site = Site((zone,), held)
        wanted = dict[bytes, Ready]()
        for question in {ready.told for ready in at.shortcuts[0].values()}:
            wanted |= prepared(site, question)
        assert at.shortcuts[0] == wanted


def test_what_was_asked_for_is_ready_in_the_next_order_while_it_is_there() -> None:
    """A flood from one network uses up its budget: who asks from there is answered only from what is ready."""
    at = desk(FRUGAL)
    host = packet("host.fs.corp.example", Qtype.A)
    at.follow(Order(2, (replace(ZONE, records=(HOST,)),), FRUGAL))
    for data in (host, SOA_QUERY):
        assert at.answer(data, HOME, Transport.TCP) is not None
    answers(at, NOBODY, 10)
    at.follow(Order(3, (ZONE,), FRUGAL))
    assert answers(at, SOA_QUERY, 1) != [None]
    assert answers(at, host, 1) == [None]


def test_an_order_with_the_same_policy_remembers_who_asked() -> None:
    at = desk()
    hosts = at.shortcuts[1]
    at.follow(Order(2, (MOVED,), LOCAL))
    assert at.shortcuts[1] is hosts


def test_an_order_takes_the_shortcuts_back() -> None:
    at = desk()
    assert at.shortcuts[1][bytes((127, 0, 0, 1))] == READY
    at.follow(Order(2, (ZONE,), Policy(())))
    assert at.shortcuts[1][bytes((127, 0, 0, 1))] == drop_slot(Drop.DENIED)


def test_doubtful_source_ports_have_no_shortcut() -> None:
    at = Desk(Tally.create(), Order(1, (ZONE,), LOCAL), own=[("127.0.0.1", 5300)])
    ports = at.shortcuts[2]
    assert len(ports) == 65536
    assert [port for port, doubtful in enumerate(ports) if doubtful] == [0, 7, 13, 19, 37, 464, 5300]
