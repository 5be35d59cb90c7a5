"""The verdict: what the vantages together say of a node, and of the path to it.

A node that fails and yet answers in time (a refusal) proves that the path works. A node that is silent, or accepts and
then falls silent, proves nothing by itself. Its last `fall` failures count only when, between the first of them and the
beginning of the newest, another endpoint was asked and answered. If one outage of the path had swallowed them all, it
lasted from the first failure until after the beginning of the newest, and no answer could have come through in between:
so no single outage, however long, and in whatever phase and pace it meets the probes, makes a live node look dead.
Several outages, or random loss, could. Therefore the others must be answering again, and the run must be so long that
loss does not explain it, be it steady or just begun (`luck`).

From the live node's first silence until it is judged, a closer look is wanted (`closer`): every endpoint is probed more
often, beside its schedule. What these probes show stands outside of health: by itself it calls nobody down, and moves
nothing. It only tells loss that strikes everybody from a node that is worse than the others.

A node whose bucket is full without such a run is down only when another endpoint lost nothing while it failed, and the
losses are not shared so by chance.

A vantage that can't tell says UNKNOWN; it abstains while its path is down or when it was not heard of for `report_s`.
The quorum is of all the vantages that are configured, so abstentions never make a majority smaller. Those who agree
have to be more than those who see it otherwise too: with a quorum of one, two that disagree move nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge.failover import health, luck
from edge.failover.model import Glimpses, Observation, Opinion, Policy, Reason, Report, Sight, State, Track

_UNSEEN, _NO_GLIMPSE = Track(), Glimpses()
_SILENCE = 3  # probes, however low `fall` is: who has just lost one still tells of the path


@dataclass(frozen=True, slots=True)
class Seen:
    """What is seen of a node: by this agent alone, and by the vantages together."""

    node: str
    ours: Opinion
    together: Opinion


def path(state: State, now: float) -> Reason | None:
    """Why the path can't be trusted now, None when it can. Judged by this agent's own probes alone."""
    return path_down(state, now) or _path_lossy(state, now)


def path_down(state: State, now: float) -> Reason | None:
    heard, policy = False, state.policy
    for track in state.tracks.values():
        if health.fresh(track, policy.stale_s, now):
            if not health.silent(track, policy.thresholds.fall):
                return None
            heard = True
    return _nothing_answers(policy) if heard else None


def _nothing_answers(policy: Policy) -> Reason:
    names = ", ".join(_endpoints(policy))
    return Reason("path_down", f"nothing answers over the path ({names}): the path is down, not the nodes")


def _path_lossy(state: State, now: float) -> Reason | None:
    policy = state.policy
    fresh = [track for track in state.tracks.values() if health.fresh(track, policy.stale_s, now)]
    losses = [health.loss(track) for track in fresh if track.history & 1 and track.samples > policy.thresholds.fall]
    lost = min(losses, default=0.0)
    if lost <= policy.loss_limit:
        return None
    return Reason(
        "path_lossy",
        f"even the endpoint that answers best lost {lost:.0%} of its last probes "
        f"(limit {policy.loss_limit:.0%}): the path loses packets",
    )


def observed(state: State, seen: Observation, now: float) -> Mapping[str, Track]:
    """Every track after one more observation. An answer vouches for the path to the endpoints that fail meanwhile."""
    if seen.endpoint not in _endpoints(state.policy):
        return state.tracks
    old = state.tracks.get(seen.endpoint, _UNSEEN)
    if seen.sight is not Sight.UNKNOWN and not health.fresh(old, state.policy.stale_s, now):
        old = health.forgotten(old)
    track = health.observe(old, seen, state.policy.thresholds, now)
    others = state.tracks
    if seen.answered:
        others = {name: health.vouched(other, track.asked_at, now) for name, other in others.items()}
    return {**others, seen.endpoint: track}


def closer(state: State, live: Seen | None, now: float) -> Mapping[str, Glimpses]:
    """The endpoints at which a closer look is wanted, with what was shown so far: all, or none."""
    track = state.tracks.get(live.node, _UNSEEN) if live else _UNSEEN
    if live is None or track.seen is not Sight.DOWN or track.history & 1 or _settled(state, live, now):
        return {}
    return {name: _glimpses(state, name) for name in _endpoints(state.policy)}


def _settled(state: State, live: Seen, now: float) -> bool:
    fresh = health.fresh(state.tracks[live.node], state.policy.stale_s, now)
    return _down(live.ours) or not fresh or path_down(state, now) is not None


def glimpsed(state: State, seen: Observation) -> Mapping[str, Glimpses]:
    """What a closer look has shown after one more probe. One that comes when nobody looks any more is dropped."""
    if seen.endpoint not in state.glimpses:
        return state.glimpses
    return {**state.glimpses, seen.endpoint: health.glimpsed(state.glimpses[seen.endpoint], seen)}


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
        return Opinion(Sight.UNKNOWN, f"{node} fails, and {_doubt(state, node)}{_evidence(track)}")
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
        return _singled_out(state, node, track, now)
    if track.history & 1:
        return "its own host answered"
    return _passed_by(state, node, track, now)


def _singled_out(state: State, node: str, track: Track, now: float) -> str | None:
    """For failures here and there: an endpoint that lost nothing in the same time."""
    others = _heard(state, node, now)
    clean = next((name for name, other in others.items() if health.answering(other, health.WINDOW)), None)
    refused = track.history & 1
    if clean is None or not (refused or luck.shared(track, others.values()) <= luck.RARE):
        return None
    return f"{clean} answered every one of its last {health.WINDOW} probes"


def _passed_by(state: State, node: str, track: Track, now: float) -> str | None:
    """For a run of silence: endpoints that answered during it, and again now."""
    heard, fall = _heard(state, node, now), state.policy.thresholds.fall
    vouching = {name: other for name, other in heard.items() if health.answering(other, fall)}
    if track.vouched_at > track.asked_at or not vouching:
        return None
    looked = _glimpses(state, node)
    if luck.explains(track, vouching.values(), heard.values()) or _alike(state, looked, heard):
        return None
    closely = f", and of {looked.samples} probes more it lost {health.lost(looked)}" if looked.samples else ""
    return f"{', '.join(vouching)} answered meanwhile{closely}"


def _alike(state: State, looked: Glimpses, heard: Mapping[str, Track]) -> bool:
    """Whether a closer look shows everybody's loss rather than the node's. Where nobody looked, it shows nothing."""
    others = [(track, _glimpses(state, name)) for name, track in heard.items()]
    return looked.samples > 0 and luck.alike(looked, others) > luck.WORSE


def _doubt(state: State, node: str) -> str:
    looked = _glimpses(state, node)
    if answered := looked.history.bit_count():
        return f"of {looked.samples} probes more it answered {answered}: the path may lose them"
    return "nothing proves yet that the path works"


def _glimpses(state: State, name: str) -> Glimpses:
    return state.glimpses.get(name, _NO_GLIMPSE)


def _heard(state: State, node: str, now: float) -> Mapping[str, Track]:
    """The other endpoints that tell of the path: who is wholly silent may be dead as well."""
    least, stale_s = max(state.policy.thresholds.fall, _SILENCE), state.policy.stale_s
    return {
        name: other
        for name in _endpoints(state.policy)
        if name != node
        and health.fresh(other := state.tracks.get(name, _UNSEEN), stale_s, now)
        and not health.silent(other, least)
    }


def _endpoints(policy: Policy) -> tuple[str, ...]:
    return (*policy.nodes, *policy.witnesses)


# --- several vantages -----------------------------------------------------------------------------------------------


def of(state: State, node: str, now: float) -> Opinion:
    """The verdict on a node: what enough vantages agree on, else UNKNOWN."""
    return seen(state, node, now).together


def seen(state: State, node: str, now: float) -> Seen:
    ours = _ours(state, node, now)
    return Seen(node, ours, _together(state, node, _said(state, node, ours, now)) if state.policy.peers else ours)


def _together(state: State, node: str, said: Mapping[str, Opinion]) -> Opinion:
    sights = [opinion.sight for opinion in said.values()]
    for sight in (Sight.DOWN, Sight.STANDBY, Sight.ACTIVE):
        if sight not in sights:
            continue
        agreeing = [name for name, opinion in said.items() if opinion.sight is sight]
        if len(agreeing) >= state.policy.quorum and 2 * len(agreeing) > _telling(said):
            return Opinion(sight, f"{said[agreeing[0]].sentence}; so {_say(agreeing)}")
    return Opinion(Sight.UNKNOWN, _undecided(state.policy, node, said))


def disputed(state: State, node: str, now: float) -> bool:
    """Whether this agent sees a node serve, and a quorum with it, of which as many again see otherwise."""
    sights = [opinion.sight for opinion in vantages(state, node, now).values()]
    agreeing, telling = sights.count(Sight.ACTIVE), len(sights) - sights.count(Sight.UNKNOWN)
    return sights[0] is Sight.ACTIVE and agreeing >= state.policy.quorum and 2 * agreeing == telling


def vantages(state: State, node: str, now: float) -> Mapping[str, Opinion]:
    """What each vantage says of a node, this agent first. Those who abstain are UNKNOWN."""
    return _said(state, node, _ours(state, node, now), now)


def _said(state: State, node: str, ours: Opinion, now: float) -> Mapping[str, Opinion]:
    peers = {name: _theirs(state, name, node, now) for name in state.policy.peers}
    return {state.policy.vantage: ours, **peers}


def abstains(state: State, peer: str, now: float) -> str | None:
    """Why a peer's word doesn't count now, None when it does."""
    report = state.reports.get(peer)
    if report is None:
        return "it was not heard of yet"
    if now >= report.at + state.policy.report_s:
        return f"it was not heard of for {state.policy.report_s:.1f} s"
    return None if report.path_up else "its own path is down"


def differs(state: State, peer: str) -> str | None:
    """How a peer's file lists the vantages otherwise than ours, None where it is not known to."""
    report, ours = state.reports.get(peer), state.policy.listed
    theirs = report.listed if report else None
    if theirs is None or theirs == ours:
        return None
    words = [
        f"{name} {_listing(of_theirs)}, and ours {_listing(of_ours)}"
        for name in ("agents", "witnesses", "quorum")
        if (of_theirs := getattr(theirs, name)) != (of_ours := getattr(ours, name))
    ]
    return f"its file has {'; '.join(words)}"


def _listing(value: tuple[str, ...] | int) -> str:
    return str(value) if isinstance(value, int) else ", ".join(value) or "none"


def report(state: State, now: float) -> Report:
    """What this agent posts. Over a path that loses too much, it doesn't call a node dead."""
    down = path_down(state, now)
    if down:
        return Report(now, path_up=False, opinions=_unknown(state.policy, down.sentence), listed=state.policy.listed)
    said = {node: opinion(state, node, now) for node in state.policy.nodes}
    lossy = _path_lossy(state, now) if any(map(_down, said.values())) else None
    doubted = {node: Opinion(Sight.UNKNOWN, lossy.sentence) for node in said if lossy and _down(said[node])}
    return Report(now, path_up=True, opinions={**said, **doubted}, listed=state.policy.listed)


def withdrawn(policy: Policy, now: float) -> Report:
    """What an agent posts that stops."""
    return Report(now, path_up=True, opinions=_unknown(policy, "it has stopped"), listed=policy.listed)


def _unknown(policy: Policy, sentence: str) -> Mapping[str, Opinion]:
    return dict.fromkeys(policy.nodes, Opinion(Sight.UNKNOWN, sentence))


def _ours(state: State, node: str, now: float) -> Opinion:
    down = path_down(state, now)
    return Opinion(Sight.UNKNOWN, down.sentence) if down else opinion(state, node, now)


def _theirs(state: State, peer: str, node: str, now: float) -> Opinion:
    why = abstains(state, peer, now)
    if why:
        return Opinion(Sight.UNKNOWN, why)
    return state.reports[peer].opinions.get(node) or Opinion(Sight.UNKNOWN, f"it does not probe {node}")


def _down(said: Opinion) -> bool:
    return said.sight is Sight.DOWN


def _telling(said: Mapping[str, Opinion]) -> int:
    return sum(opinion.sight is not Sight.UNKNOWN for opinion in said.values())


def _say(names: Sequence[str]) -> str:
    return f"{'says' if len(names) == 1 else 'say'} {' and '.join(names)}"


def _undecided(policy: Policy, node: str, said: Mapping[str, Opinion]) -> str:
    """Each vantage is named, with what it sees or why it can't tell."""
    each = ", ".join(f"{name} {_seeing(opinion)}" for name, opinion in said.items())
    if len({opinion.sight for opinion in said.values()} - {Sight.UNKNOWN}) > 1:
        return f"the vantages disagree on {node}: {each}"
    return f"too few vantages can tell of {node}, {policy.quorum} of {len(said)} have to agree: {each}"


def _seeing(said: Opinion) -> str:
    return f"can't tell ({said.sentence})" if said.sight is Sight.UNKNOWN else f"sees it {said.sight.value}"
