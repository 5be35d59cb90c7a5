import os

import pytest

from edge.dns.counters import BUCKETS_S, Tally, slot, total
from edge.dns.message import Drop, Event, Qtype, Rcode, Transport

MX = 15
YXDOMAIN = 6


def test_workers_are_summed_and_the_last_one_dates_the_zone() -> None:
    first, second = Tally.create(), Tally.create()
    for tally in (first, first, second):
        tally.slots[slot(Qtype.AAAA, Rcode.NOERROR) + Transport.TCP] += 1
    second.dropped(Drop.UNASSIGNED)
    second.happened(Event.SLIPPED)
    first.swapped(sequence=8, now_ns=2000)
    second.swapped(sequence=7, now_ns=1000)
    counters = total([first, second])
    assert {label: count for label, count in counters.queries.items() if count} == {("AAAA", "NOERROR", "tcp"): 3}
    assert {reason: count for reason, count in counters.dropped.items() if count} == {"unassigned": 1}
    assert {event: count for event, count in counters.events.items() if count} == {"slipped": 1}
    assert (counters.zone_sequence, counters.zone_swapped_ns) == (7, 1000)


@pytest.mark.parametrize(
    ("qtype", "rcode", "label"),
    [
        (Qtype.A, Rcode.NOERROR, ("A", "NOERROR", "udp")),
        (Qtype.TXT, Rcode.BADVERS, ("TXT", "BADVERS", "udp")),
        (MX, Rcode.NXDOMAIN, ("other", "NXDOMAIN", "udp")),
        (Qtype.ANY, YXDOMAIN, ("other", "other", "udp")),
    ],
)
def test_every_slot_has_its_label(qtype: int, rcode: int, label: tuple[str, str, str]) -> None:
    tally = Tally.create()
    tally.slots[slot(qtype, rcode)] = 5
    assert {label: count for label, count in total([tally]).queries.items() if count} == {label: 5}


def test_a_response_time_falls_into_the_first_bucket_that_holds_it() -> None:
    tally = Tally.create()
    for duration_ns in (5_000, 5_001, 10_000_000, 10_000_001):
        tally.took(duration_ns)
    counters = total([tally])
    assert counters.responses == (1, 1, *[0] * (len(BUCKETS_S) - 3), 1, 1)
    assert counters.response_s == pytest.approx(0.020010002)


def test_no_two_things_share_a_slot() -> None:
    tally = Tally.create()
    for event in Event:
        tally.happened(event)
    for reason in Drop:
        tally.dropped(reason)
    counters = total([tally])
    assert set(counters.events.values()) == set(counters.dropped.values()) == {1}
    assert not any(counters.responses + tuple(counters.queries.values()))


def test_both_sides_see_the_same_memory() -> None:
    ours = Tally.create()
    theirs = Tally(os.dup(ours.fd))
    theirs.dropped(Drop.SHORT)
    assert total([ours]).dropped["short"] == 1
