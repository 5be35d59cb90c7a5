"""The verdict: what the vantages together say of a node, and of the path to it.

A node that fails and yet answers in time (a refusal) proves that the path works. A node that is silent, or accepts and
then falls silent, proves nothing by itself. Its last `fall` failures count only when, between the first of them and the
beginning of the newest, another endpoint was asked and answered. If one outage of the path had swallowed them all, it
lasted from the first failure until after the beginning of the newest, and no answer could have come through in between:
so no single outage, however long, and in whatever phase and pace it meets the probes, makes a live node look dead.
Several outages, or random loss, could. Therefore the others must be answering again, and the run must be so long that
loss as they see it explains it less than once in a million.

A node whose bucket is full without such a run is down only when another endpoint lost nothing while it failed.

A vantage that can't tell says UNKNOWN; it abstains while its path is down or when it was not heard of for `stale_s`.
The quorum is of all the vantages that are configured, so abstentions never make a majority smaller.
"""

from collections.abc import Collection, Mapping

from edge.failover import health
from edge.failover.model import Observation, Opinion, Policy, Reason, Sight, State, Track

_UNSEEN = Track()
_CHANCE = 1e-6  # that loss alone explains a run: at a probe a second, once in 11 days of steady loss


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


def observed(state: State, seen: Observation, now: float) -> Mapping[str, Track]:
    """Every track after one more observation. An answer vouches for the path to the endpoints that fail meanwhile."""
    if seen.endpoint not in _tracks(state):
        return state.tracks
    old = state.tracks.get(seen.endpoint, _UNSEEN)
    track = health.observe(old, seen, state.policy.thresholds, now)
    others = {name: other for name, other in state.tracks.items() if name != seen.endpoint}
    if seen.answered:
        others = {name: health.vouched(other, track.asked_at, now) for name, other in others.items()}
    return {**others, seen.endpoint: track}


def opinion(state: State, node: str, now: float) -> Opinion:
    """What this agent says of a node by its own probes."""
    track = state.tracks.get(node, _UNSEEN)
    if not health.fresh(track, state.policy.stale_s, now):
        return Opinion(Sight.UNKNOWN, f"{node} was not heard of {_how_long(state, track)}{_evidence(track)}")
    if track.health is not Sight.DOWN:
        return Opinion(track.health, f"{node} is {track.health.value}{_evidence(track)}")
    if track.seen is not Sight.DOWN:
        return Opinion(Sight.UNKNOWN, f"{node} was down, and is not yet back for good{_evidence(track)}")
    proof = _proof(state, node, track, now)
    if proof is None:
        return Opinion(Sight.UNKNOWN, f"{node} fails, and nothing proves yet that the path works{_evidence(track)}")
    return Opinion(Sight.DOWN, f"{node} is down: {_failures(track)}{_evidence(track)}; {proof}")


def _how_long(state: State, track: Track) -> str:
    return "yet" if track.heard_at is None else f"for {state.policy.stale_s:.1f} s"


def _evidence(track: Track) -> str:
    return f" ({track.last.evidence})" if track.last else ""


def _failures(track: Track) -> str:
    return "its last probe failed" if track.run == 1 else f"its last {track.run} probes failed"


def _proof(state: State, node: str, track: Track, now: float) -> str | None:
    """What shows that the path carried packets while the node failed, None when nothing does."""
    if track.run < state.policy.thresholds.fall:
        return _singled_out(state, node, now)
    if track.history & 1:
        return "its own host answered"
    return _passed_by(state, node, track, now)


def _singled_out(state: State, node: str, now: float) -> str | None:
    """For failures here and there: an endpoint that lost nothing in the same time."""
    clean = next(iter(_others(state, node, health.WINDOW, now)), None)
    return f"{clean} answered every one of its last {health.WINDOW} probes" if clean else None


def _passed_by(state: State, node: str, track: Track, now: float) -> str | None:
    """For a run of silence: endpoints that answered during it, and again now."""
    others = _others(state, node, state.policy.thresholds.fall, now)
    if track.vouched_at > track.asked_at or not others or _chance(others.values()) ** track.run > _CHANCE:
        return None
    return f"{', '.join(others)} answered meanwhile"


def _chance(others: Collection[Track]) -> float:
    """That a probe is lost, as these endpoints saw it: half a loss more than was seen, as few probes prove little."""
    asked = sum(other.samples for other in others)
    answered = sum(other.history.bit_count() for other in others)
    return (asked - answered + 0.5) / (asked + 1)


def _others(state: State, node: str, count: int, now: float) -> Mapping[str, Track]:
    """The other endpoints that answered each of their last `count` probes."""
    return {
        name: other
        for name, other in _tracks(state).items()
        if name != node and health.fresh(other, state.policy.stale_s, now) and health.answering(other, count)
    }


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
    blind = down and down.slug == "path_down"
    ours = Opinion(Sight.UNKNOWN, down.sentence) if down and blind else opinion(state, node, now)
    return [ours, *(_peer(state, name, node, now) for name in sorted(state.reports))]


def _peer(state: State, vantage: str, node: str, now: float) -> Opinion:
    report = state.reports[vantage]
    if not report.path_up:
        return Opinion(Sight.UNKNOWN, f"{vantage}'s own path is down")
    if now >= report.at + state.policy.stale_s:
        return Opinion(Sight.UNKNOWN, f"{vantage} was not heard of for {state.policy.stale_s:.1f} s")
    return report.opinions.get(node, Opinion(Sight.UNKNOWN, f"{vantage} does not probe {node}"))
