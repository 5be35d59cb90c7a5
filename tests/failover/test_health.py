import math

import pytest

from edge.failover import health
from edge.failover.model import Observation, Sight, Thresholds, Track

LIMITS = Thresholds(fall=3, rise=2, leaky=0)


def tracked(pattern: str, limits: Thresholds = LIMITS, track: Track | None = None, start: float = 100.0) -> Track:
    """The track after one observation a second: A active, S standby, d silent, r refused, ? our own trouble."""
    track = track or Track()
    for second, letter in enumerate(pattern):
        track = health.observe(track, seen(letter), limits, start + second)
    return track


def seen(letter: str) -> Observation:
    sights = {"A": Sight.ACTIVE, "S": Sight.STANDBY, "d": Sight.DOWN, "r": Sight.DOWN, "?": Sight.UNKNOWN}
    rtt_s = 0.25 if letter in "ASr" else None
    return Observation("a", sights[letter], answered=letter in "ASr", evidence=letter, rtt_s=rtt_s)


@pytest.mark.parametrize(
    ("pattern", "health_then"),
    [
        ("", Sight.UNKNOWN),
        ("A", Sight.UNKNOWN),
        ("AA", Sight.ACTIVE),
        ("SS", Sight.STANDBY),
        ("dd", Sight.UNKNOWN),
        ("ddd", Sight.DOWN),
        ("rrr", Sight.DOWN),
        ("drd", Sight.DOWN),
        ("AAdd", Sight.ACTIVE),
        ("AAddAdd", Sight.ACTIVE),
        ("AAddd", Sight.DOWN),
        ("AAS", Sight.ACTIVE),
        ("AASS", Sight.STANDBY),
        ("dddA", Sight.DOWN),
        ("dddAA", Sight.ACTIVE),
        ("dddAS", Sight.DOWN),
        ("dddSS", Sight.STANDBY),
        ("AAdd?d", Sight.DOWN),
        ("AAdd??", Sight.ACTIVE),
        ("A?A", Sight.ACTIVE),
    ],
)
def test_rise_and_fall(pattern: str, health_then: Sight) -> None:
    assert tracked(pattern).health is health_then


def test_our_own_trouble_is_kept_as_evidence_and_counts_neither_way() -> None:
    before, after = tracked("AAd"), tracked("AAd?")
    assert (after.run, after.heard_at, after.samples) == (before.run, before.heard_at, before.samples)
    assert after.last == seen("?")


def test_a_run_knows_when_it_began_and_when_it_was_otherwise() -> None:
    track = tracked("AAddd")
    assert (track.run, track.since, track.before, track.heard_at) == (3, 102.0, 101.0, 104.0)


def test_the_first_run_of_all_was_never_otherwise() -> None:
    assert tracked("d", start=5.0).before == 5.0
    assert tracked("Ad", start=0.0).before == 0.0


@pytest.mark.parametrize(
    ("pattern", "down"),
    [("AAddAddA", False), ("AAddAddAd", False), ("AAddAddAdd", True), ("AA" + "dAAAA" * 40, False)],
)
def test_the_bucket_fills_for_a_node_that_fails_more_than_one_probe_in_five(pattern: str, down: bool) -> None:
    assert (tracked(pattern, Thresholds(3, 2, leaky=5)).health is Sight.DOWN) is down


def test_one_failure_in_four_fills_the_bucket_in_the_end() -> None:
    limits = Thresholds(3, 2, leaky=5)
    assert tracked("AA" + "dAAA" * 15 + "d", limits).health is Sight.ACTIVE
    assert tracked("AA" + "dAAA" * 16 + "d", limits).health is Sight.DOWN


def test_the_bucket_is_emptied_by_recovery() -> None:
    limits = Thresholds(3, 2, leaky=4)
    recovered = tracked("AAddAddAd" + "AA", limits)
    assert (recovered.health, recovered.bucket) == (Sight.ACTIVE, 0)


def test_a_bucket_of_size_zero_is_no_bucket() -> None:
    assert tracked("AA" + "ddA" * 50).health is Sight.ACTIVE


def test_a_probe_that_was_answered_began_its_round_trip_ago() -> None:
    assert tracked("AA").asked_at == 100.75


def test_a_probe_that_was_not_answered_began_after_the_one_before_had_ended() -> None:
    assert tracked("Ad").asked_at == 100.0
    assert tracked("d").asked_at == -math.inf


def test_another_endpoint_vouches_only_with_a_probe_that_began_after_the_first_failure() -> None:
    failing = tracked("AAdd")
    assert health.vouched(failing, asked_at=101.9, now=103.5).vouched_at == math.inf
    assert health.vouched(failing, asked_at=102.0, now=103.5).vouched_at == 103.5
    assert health.vouched(tracked("AA"), asked_at=102.0, now=103.5).vouched_at == math.inf


def test_the_first_who_vouches_counts_until_the_run_ends() -> None:
    vouched = health.vouched(health.vouched(tracked("d"), 101.0, 101.1), 102.0, 102.1)
    assert vouched.vouched_at == 101.1
    assert tracked("d", track=vouched, start=103.0).vouched_at == 101.1
    assert tracked("A", track=vouched, start=103.0).vouched_at == math.inf
    assert tracked("Ad", track=vouched, start=103.0).vouched_at == math.inf


def test_what_was_not_heard_of_in_time_is_not_fresh() -> None:
    track = tracked("A", start=100.0)
    assert health.fresh(track, 5.0, 104.9)
    assert not health.fresh(track, 5.0, 105.0)
    assert not health.fresh(Track(), 5.0, 0.0)


def test_answering_and_silent_look_at_the_newest_probes_only() -> None:
    assert health.answering(tracked("dAAr"), 3)
    assert not health.answering(tracked("dAAr"), 4)
    assert not health.answering(tracked("AA"), 3)
    assert health.silent(tracked("Addd"), 3)
    assert not health.silent(tracked("Addd"), 4)
    assert not health.silent(tracked("ddr"), 3)
    assert not health.silent(tracked("dd"), 3)


def test_more_probes_than_are_remembered_are_as_many_as_are() -> None:
    assert health.answering(tracked("A" * 70), 100)
    assert not health.answering(tracked("A" * 63), 100)
    assert health.silent(tracked("A" + "d" * 64), 100)


def test_loss_is_the_share_of_the_last_64_probes_that_nothing_answered() -> None:
    assert health.loss(Track()) == 0.0
    assert health.loss(tracked("Addd")) == 0.75
    assert health.loss(tracked("d" * 64 + "A" * 48)) == 0.25
