"""A campaign of a minute in every run, and a proof that the invariants can fail."""

import os
from time import sleep

import pytest

from edge.dns import desk
from edge.dns.answer import Ready
from edge.dns.desk import Desk
from tests.conformance.wire import BrokenError, T, query
from tests.conformance.zone import APEX, CHILD_HOST, FILES
from tests.fuzz import campaign
from tests.fuzz.campaign import SAMPLE_ROUNDS, SAMPLES_MIN, Bounds, fuzz
from tests.fuzz.port import PortTarget
from tests.fuzz.seeds import RECORDED, corpus, recorded
from tests.fuzz.target import KINDS, Kind, Target

SECONDS = int(os.environ.get("EDGE_FUZZ_SECONDS", "60"))
MEMORY_SLACK_KIB = 2_048
SHORT = Bounds(0, 0)


def test_no_packet_breaks_an_invariant() -> None:
    figures = fuzz(Bounds(SECONDS, 10**9), seed=20, processes=2)
    assert figures.packets >= SAMPLES_MIN * SAMPLE_ROUNDS * campaign.ROUND
    assert all(end < start + MEMORY_SLACK_KIB for start, _, end in figures.memory)


@pytest.mark.parametrize("kind", KINDS)
def test_every_packet_of_the_corpus_is_answered_alike_by_both_ways(kind: Kind) -> None:
    target = Target(kind)
    for packet in corpus():
        target.packet(packet)
    target.finish()


def test_a_campaign_ends_after_so_many_packets() -> None:
    bound = 250_000
    assert 0 <= fuzz(Bounds(10**9, bound), seed=1, processes=2).packets - bound < 4 * campaign.ROUND


def test_a_ready_answer_that_differs_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ready, "answer", lambda _, packet: b"\0\0" + packet[2:])
    with pytest.raises(BrokenError, match="careful"):
        Target().packet(query(FILES))


def test_a_learnt_answer_that_differs_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    target, question = Target(), query(APEX, T.SOA)
    target.packet(question)
    monkeypatch.setattr(Ready, "answer", lambda _, packet: b"\0\0" + packet[2:])
    with pytest.raises(BrokenError, match="careful"):
        target.packet(question)


def test_an_exception_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "respond", lambda *_: 1 / 0)
    with pytest.raises(BrokenError, match="exception"):
        Target().packet(query(FILES, 99))


def test_a_port_that_says_something_else_than_its_desk_is_seen() -> None:
    port = PortTarget()
    port._like = PortTarget(KINDS[1])._like
    with pytest.raises(BrokenError, match="answers"):
        port.batch([query(CHILD_HOST)])
    port.close()


def test_a_packet_that_hangs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Desk, "answer", lambda *_: sleep(100))
    monkeypatch.setattr(campaign, "HANG_S", 1.0)
    with pytest.raises(BrokenError, match=r"hangs: [0-9a-f]{2,}"):
        fuzz(SHORT, seed=1)


def test_a_packet_that_kills_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Desk, "answer", lambda *_: os._exit(1))
    with pytest.raises(BrokenError, match=r"died: [0-9a-f]{2,}"):
        fuzz(SHORT, seed=1)


def test_the_corpus_is_what_many_programs_sent() -> None:
    senders = {line.partition("# ")[2].partition(":")[0].split()[0] for line in RECORDED.read_text().splitlines()}
    assert len(senders) >= 15
    assert len(set(recorded())) == len(recorded())
    assert all(packet[:2] == b"\0\0" for packet in recorded())
