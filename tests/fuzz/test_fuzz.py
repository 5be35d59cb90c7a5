"""A short campaign in every run, and a proof that the invariants can fail."""

import pytest

from edge.dns import desk
from edge.dns.answer import Ready
from tests.conformance.wire import BrokenError, query
from tests.conformance.zone import FILES
from tests.fuzz.campaign import fuzz
from tests.fuzz.seeds import corpus
from tests.fuzz.target import Target

MEMORY_SLACK_KIB = 8_192


def test_no_packet_breaks_an_invariant() -> None:
    figures = fuzz(seconds=5, seed=20)
    assert figures.packets >= 20_000
    assert figures.end_kib < figures.start_kib + MEMORY_SLACK_KIB


def test_every_packet_of_the_corpus_is_answered_alike_by_both_ways() -> None:
    target = Target()
    for packet in corpus():
        target.packet(packet)


def test_a_ready_answer_that_differs_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ready, "answer", lambda _, packet: b"\0\0" + packet[2:])
    with pytest.raises(BrokenError, match="careful"):
        Target().packet(query(FILES))


def test_an_exception_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "respond", lambda *_: 1 / 0)
    with pytest.raises(BrokenError, match="exception"):
        Target().packet(query(FILES, 99))
