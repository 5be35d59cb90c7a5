"""A campaign of a minute in every run, and a proof that the invariants can fail."""

import os
import subprocess
import sys
from time import sleep

import pytest

from edge.dns import desk
from edge.dns.answer import Ready
from edge.dns.desk import Desk
from tests.conformance.wire import BrokenError, T, query
from tests.conformance.zone import APEX, CHILD_HOST, FILES
from tests.fuzz import campaign
from tests.fuzz.campaign import SAMPLE_ROUNDS, SAMPLES_MIN, SLACK_KIB, Bounds, Figures, fuzz
from tests.fuzz.port import PortTarget
from tests.fuzz.seeds import RECORDED, corpus, recorded
from tests.fuzz.target import KINDS, Kind, Target

SECONDS = int(os.environ.get("EDGE_FUZZ_SECONDS", "60"))
SHORT = Bounds(0, 0)


def test_no_packet_breaks_an_invariant_and_memory_is_flat() -> None:
    # In an interpreter of its own: in one forked off this, memory would be that of the tests before, too.
    command = (sys.executable, "-m", "tests.fuzz", "--seconds", str(SECONDS), "--processes", "2", "--seed", "20")
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_memory_that_grows_is_told() -> None:
    held = (30_000, 30_100, 30_200)
    grown = (30_000, 31_100, 30_000 + SLACK_KIB)
    assert Figures(1, 0, 0, 1.0, (held, held)).flat
    assert not Figures(1, 0, 0, 1.0, (held, grown)).flat


def test_a_campaign_is_never_too_short_to_see_a_leak() -> None:
    assert fuzz(SHORT, seed=20).packets >= SAMPLES_MIN * SAMPLE_ROUNDS * campaign.ROUND


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
