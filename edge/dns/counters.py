"""What the workers count, in memory that the controller reads without asking them.

One memfd a worker, of unsigned 64-bit slots. Only its worker writes it, one aligned slot at a time; the controller
keeps it across a worker's death, so that no sum ever falls.

    queries[qtype][rcode][transport] | dropped[reason] | events[event] | response time: buckets, ns
    | zone: sequence, monotonic ns | cage[part]
"""

import mmap
import os
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from edge.dns.cage import PARTS
from edge.dns.message import Drop, Event, Qtype, Rcode, Transport

QTYPES = (Qtype.A, Qtype.AAAA, Qtype.SOA, Qtype.NS, Qtype.TXT)
DROPS = tuple(Drop)
EVENTS = tuple(Event)
# Measured: a ready answer takes about 10 us, the careful way 100 us. Past a millisecond something is wrong.
BUCKETS_S = (5e-6, 10e-6, 20e-6, 50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3)

_RCODES = tuple(Rcode)
_ROWS: dict[int, int] = {qtype: row for row, qtype in enumerate(QTYPES)}
_COLUMNS: dict[int, int] = {rcode: column for column, rcode in enumerate(_RCODES)}
_ROW = (len(_RCODES) + 1) * len(Transport)  # one more for every other code
_DROPPED = (len(QTYPES) + 1) * _ROW
_EVENTS = _DROPPED + len(DROPS)
_BUCKETS = _EVENTS + len(EVENTS)
_RESPONSE_NS = _BUCKETS + len(BUCKETS_S) + 1
_SEQUENCE = _RESPONSE_NS + 1
_SWAPPED_NS = _SEQUENCE + 1
_CAGE = _SWAPPED_NS + 1
SLOTS = _CAGE + len(PARTS)
OTHER = "other"


def slot(qtype: int, rcode: int) -> int:
    """The slot for UDP; add the `Transport`."""
    return _ROWS.get(qtype, len(QTYPES)) * _ROW + _COLUMNS.get(rcode, len(_RCODES)) * len(Transport)


def drop_slot(reason: Drop) -> int:
    return _DROPPED + DROPS.index(reason)


@dataclass(frozen=True, slots=True)
class Counters:
    """`queries`: by qtype, rcode and transport. `responses`: how many of the timed ones (one of up to 64) fell into
    each bucket, the last one without bound, `response_s` their sum. `zone_sequence` and `zone_swapped_ns`
    (CLOCK_MONOTONIC): of the worker that is furthest behind. `cage`: whether each part holds in every worker.
    """

    queries: dict[tuple[str, str, str], int]
    dropped: dict[str, int]
    events: dict[str, int]
    responses: tuple[int, ...]
    response_s: float
    zone_sequence: int
    zone_swapped_ns: int
    cage: dict[str, bool]


class Tally:
    """One worker's slots, from either side."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.slots = memoryview(mmap.mmap(fd, SLOTS * 8)).cast("Q")

    @classmethod
    def create(cls) -> "Tally":
        fd = os.memfd_create("edge-dns-counters")
        os.ftruncate(fd, SLOTS * 8)
        return cls(fd)

    def dropped(self, reason: Drop) -> None:
        self.slots[drop_slot(reason)] += 1

    def happened(self, event: Event) -> None:
        self.slots[_EVENTS + EVENTS.index(event)] += 1

    def took(self, duration_ns: int) -> None:
        self.slots[_BUCKETS + bisect_left(BUCKETS_S, duration_ns / 1e9)] += 1
        self.slots[_RESPONSE_NS] += duration_ns

    def swapped(self, sequence: int, now_ns: int) -> None:
        self.slots[_SEQUENCE] = sequence
        self.slots[_SWAPPED_NS] = now_ns

    def caged(self, held: Sequence[bool]) -> None:
        for index, holds in enumerate(held):
            self.slots[_CAGE + index] = holds


def total(tallies: Sequence[Tally]) -> Counters:
    sums = [sum(column) for column in zip(*(tally.slots for tally in tallies), strict=True)]
    return Counters(
        queries=_queries(sums),
        dropped={reason.value: sums[_DROPPED + index] for index, reason in enumerate(DROPS)},
        events={event.value: sums[_EVENTS + index] for index, event in enumerate(EVENTS)},
        responses=tuple(sums[_BUCKETS:_RESPONSE_NS]),
        response_s=sums[_RESPONSE_NS] / 1e9,
        zone_sequence=min(tally.slots[_SEQUENCE] for tally in tallies),
        zone_swapped_ns=min(tally.slots[_SWAPPED_NS] for tally in tallies),
        cage={part: all(tally.slots[_CAGE + index] for tally in tallies) for index, part in enumerate(PARTS)},
    )


def _queries(sums: Sequence[int]) -> dict[tuple[str, str, str], int]:
    labels = (
        (qtype, rcode, transport.name.lower())
        for qtype in (*(qtype.name for qtype in QTYPES), OTHER)
        for rcode in (*(rcode.name for rcode in _RCODES), OTHER)
        for transport in Transport
    )
    return dict(zip(labels, sums, strict=False))
