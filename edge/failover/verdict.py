"""The verdict: what the vantages together say of a node, and of the path to it.

A node that refuses has answered: the path works and the service doesn't. A node that is silent proves nothing by itself. It is
called down only when, besides its own last `fall` failures, another endpoint answered its last `fall` probes and the newest of
these answers came after the node's first failure. An outage of the whole path can't satisfy that, in whatever phase it meets
the probes: the other endpoints miss probes too, and each needs `fall` answers in a row, while the node needs one to break its run.

A vantage that can't tell says UNKNOWN; it abstains while its path is down or when it was not heard of for `stale_s`.
The quorum is of all the vantages that are configured, so abstentions never make a majority smaller.
"""

from collections.abc import Mapping

from edge.failover import health
from edge.failover.model import Opinion, Policy, Reason, Sight, State, Track

_UNSEEN = Track()


def path(state: State, now: float) -> Reason | None:
    """Why the path can't be trusted now, None when it can. Judged by this agent's own probes alone."""
    tracks = [t for t in _tracks(state).values() if health.fresh(t, state.policy.stale_s, now)]
    fall = state.policy.thresholds.fall
    if tracks and all(health.silent(t, fall) for t in tracks):
        names = ", ".join(_tracks(state))
        return Reason("path_down", f"nothing answers over the path ({names}): the path is down, not the nodes")
    return _lossy(state.policy, [t for t in tracks if t.history & 1 and t.samples > fall])


def _lossy(policy: Policy, answering: list[Track]) -> Reason | None:
    if not answering:
        return None
    lost = min(health.loss(t) for t in answering)
    if lost <= policy.loss_limit:
        return None
    return Reason(
        "path_lossy",
        f"even the endpoint that answers best lost {lost:.0%} of its last probes "
        f"(limit {policy.loss_limit:.0%}): the path loses packets",
    )


def opinion(state: State, node: str, now: float) -> Opinion:
    """What this agent says of a node by its own probes."""
    track = state.tracks.get(node, _UNSEEN)
    if not health.fresh(track, state.policy.stale_s, now):
        return Opinion(Sight.UNKNOWN, f"{node} was not heard of for {state.policy.stale_s:.1f} s{_evidence(track)}")
    if track.health is not Sight.DOWN:
        return Opinion(track.health, f"{node} is {track.health.value}{_evidence(track)}")
    proof = _proof(state, node, track, now)
    if proof is None:
        return Opinion(Sight.UNKNOWN, f"{node} is silent, and nothing else proves that the path works")
    return Opinion(Sight.DOWN, f"{node} is down: {_failures(track)}{_evidence(track)}; {proof}")


def _evidence(track: Track) -> str:
    return f" ({track.last.evidence})" if track.last else ""


def _failures(track: Track) -> str:
    return f"{track.run} probes in a row failed" if track.seen is Sight.DOWN else "too many of its probes failed"


def _proof(state: State, node: str, track: Track, now: float) -> str | None:
    """What shows that the path carried packets while the node failed, None when nothing does."""
    if track.history & 1:
        return "its own host answered"
    for name, other in _tracks(state).items():
        if name != node and _vouches(state.policy, other, track.since, now):
            return f"{name} answered meanwhile"
    return None


def _vouches(policy: Policy, other: Track, since: float, now: float) -> bool:
    return (
        health.fresh(other, policy.stale_s, now)
        and health.answering(other, policy.thresholds.fall)
        and other.answered_at is not None
        and other.answered_at > since
    )


def _tracks(state: State) -> Mapping[str, Track]:
    return {name: state.tracks.get(name, _UNSEEN) for name in (*state.policy.nodes, *state.policy.witnesses)}


def of(state: State, node: str, now: float) -> Opinion:
    """The verdict on a node: what at least `quorum` vantages agree on, else UNKNOWN."""
    opinions = _opinions(state, node, now)
    for sight in (Sight.DOWN, Sight.STANDBY, Sight.ACTIVE):
        agreeing = [o for o in opinions if o.sight is sight]
        if len(agreeing) >= state.policy.quorum:
            return agreeing[0]
    if state.policy.quorum == 1:
        return opinions[0]
    said = ", ".join(o.sight.value for o in opinions)
    return Opinion(Sight.UNKNOWN, f"{node}: fewer than {state.policy.quorum} vantages agree ({said})")


def _opinions(state: State, node: str, now: float) -> list[Opinion]:
    """Our own opinion first, then the peers'; those who abstain are UNKNOWN."""
    down = path(state, now)
    own = opinion(state, node, now)
    abstains = down is not None and down.slug == "path_down"
    ours = Opinion(Sight.UNKNOWN, down.sentence) if abstains and down else own
    return [ours, *(_peer(state, name, node, now) for name in sorted(state.reports))]


def _peer(state: State, vantage: str, node: str, now: float) -> Opinion:
    report = state.reports[vantage]
    if not report.path_up:
        return Opinion(Sight.UNKNOWN, f"{vantage}'s own path is down")
    if now - report.at > state.policy.stale_s:
        return Opinion(Sight.UNKNOWN, f"{vantage} was not heard of for {state.policy.stale_s:.1f} s")
    return report.opinions.get(node, Opinion(Sight.UNKNOWN, f"{vantage} does not probe {node}"))
