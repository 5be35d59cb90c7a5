"""Health: what the rise, fall and leaky counters make of one endpoint's observations.

    UNKNOWN ──rise of it in a row──▶ ACTIVE ◀──rise──▶ STANDBY
       │                               │                  │
       └── fall in a row, or the bucket is full ──────────┴──▶ DOWN ──rise──▶ ACTIVE, STANDBY

An endpoint is judged from its first run, never from its first sample: one lost packet at the start says nothing. So is
one that was not heard of for long.
An observation that is UNKNOWN is our own trouble: it is kept as evidence and counts neither way.
"""

import math
from dataclasses import replace

from edge.failover.model import Glimpses, Observation, Sight, Thresholds, Track

WINDOW = 64  # probes: a loss of 5 % is 3 of them, which chance hides once in 26 windows
_MASK = (1 << WINDOW) - 1
_FAILURE, _SUCCESS = 4, 1  # quarters


def observe(track: Track, seen: Observation, limits: Thresholds, now: float) -> Track:
    """The track after one more observation."""
    if seen.sight is Sight.UNKNOWN:
        return replace(track, last=seen)
    same = seen.sight is track.seen
    bucket = _poured(track.bucket, seen.sight, limits)
    run = track.run + 1 if same else 1
    health = _judged(track.health, seen.sight, run, bucket, limits)
    recovered = track.health is Sight.DOWN and health is not Sight.DOWN
    return Track(
        health=health,
        seen=seen.sight,
        run=run,
        since=track.since if same else now,
        before=track.before if same else now if track.heard_at is None else track.heard_at,
        heard_at=now,
        asked_at=_asked_at(track, seen, now),
        vouched_at=track.vouched_at if same else math.inf,
        history=_history(track, seen),
        samples=_samples(track),
        bucket=0 if recovered else bucket,
        last=seen,
    )


def forgotten(track: Track) -> Track:
    """After a gap, as this agent stood still: nothing is in a row with what comes. What the path lost still tells."""
    return Track(history=track.history, samples=track.samples, last=track.last)


def glimpsed(so_far: Glimpses, seen: Observation) -> Glimpses:
    """What an endpoint showed to a closer look, after one more probe of it."""
    return so_far if seen.sight is Sight.UNKNOWN else Glimpses(_history(so_far, seen), _samples(so_far))


def _history(before: Track | Glimpses, seen: Observation) -> int:
    return (before.history << 1 | seen.in_time) & _MASK


def _samples(before: Track | Glimpses) -> int:
    return min(before.samples + 1, WINDOW)


def _asked_at(track: Track, seen: Observation, now: float) -> float:
    """No later than the probe began: two probes of one endpoint never overlap."""
    if seen.rtt_s is not None:
        return now - seen.rtt_s
    return -math.inf if track.heard_at is None else track.heard_at


def vouched(track: Track, asked_at: float, now: float) -> Track:
    """The track once another endpoint has answered, now, a probe that began at `asked_at` or later."""
    failing = track.seen is Sight.DOWN and track.since <= asked_at
    return replace(track, vouched_at=min(track.vouched_at, now)) if failing else track


def _poured(bucket: int, sight: Sight, limits: Thresholds) -> int:
    if sight is Sight.DOWN:
        return min(bucket + _FAILURE, limits.leaky * _FAILURE)
    return max(bucket - _SUCCESS, 0)


def _judged(health: Sight, sight: Sight, run: int, bucket: int, limits: Thresholds) -> Sight:
    if sight is not Sight.DOWN:
        return sight if run >= limits.rise else health
    overflown = limits.leaky > 0 and bucket >= limits.leaky * _FAILURE
    return Sight.DOWN if run >= limits.fall or overflown else health


def fresh(track: Track, stale_s: float, now: float) -> bool:
    """Whether the endpoint was heard of, one way or the other, within the last `stale_s` seconds."""
    return track.heard_at is not None and now < track.heard_at + stale_s


def answering(track: Track, count: int) -> bool:
    """Whether each of the last `count` probes was answered in time."""
    return track.samples >= min(count, WINDOW) and track.history & _newest(count) == _newest(count)


def silent(track: Track, count: int) -> bool:
    """Whether none of the last `count` probes was answered in time, and the newest not at all."""
    if track.history & _newest(count):
        return False
    at_all = track.last is not None and track.last.answered
    return track.samples >= min(count, WINDOW) and not at_all


def lost(track: Track | Glimpses, count: int = WINDOW) -> int:
    """How many of the last `count` probes were not answered in time."""
    asked = min(count, track.samples)
    return asked - (track.history & _newest(asked)).bit_count()


def oldest_loss(track: Track) -> int:
    """How many probes ago the oldest loss of the window was; 1: the last probe, 0: none was lost."""
    return (~track.history & _newest(track.samples)).bit_length()


def _newest(count: int) -> int:
    return (1 << count) - 1 if count < WINDOW else _MASK


def loss(track: Track) -> float:
    """The share of the last probes (up to WINDOW) that were not answered in time, 0 to 1."""
    return 1 - track.history.bit_count() / track.samples if track.samples else 0.0
