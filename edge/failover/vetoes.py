"""Whether a switch is needed, and what stands against it.

A veto returns the reason why no switch may open by itself, or None. VETOES has them in the order in which they are
asked: what is wrong with the world first, then what people said, then our own damping, then our right to act.
"""

from collections.abc import Callable
from dataclasses import replace

from edge.failover import flights, health, lease, verdict
from edge.failover.model import IN_FLIGHT, STAGE_OF, Authority, Mode, Need, Opinion, Phase, Reason, Sight, State, Track
from edge.failover.verdict import Seen

HOUR_S = 3600.0

HOLDS = (
    "path_down",
    "path_lossy",
    "unknown",
    "quorum",
    "split_brain",
    "no_target",
    "conflict",
    "held",
    "pinned",
    "frozen",
    "manual",
    "rejected",
    "hold_down",
    "flap_budget",
    "lease",
    "store",
    "fence",
    "aws",
    "silent",
)
"""Every slug with which a service holds: the labels of `edge_hold`."""


def refreshed(state: State, live: Seen | None, now: float) -> State:
    """The state with what time has ended taken out, and the present need worked out. `live`: the watched node."""
    said = state.override
    if said and said.until is not None and said.until <= now:
        state = replace(state, override=None)
    needed = need(state, live.node, live.together, now) if live else None
    rejected = state.rejected if needed else None
    if (needed, rejected) == (state.need, state.rejected):
        return state
    return replace(state, need=needed, rejected=rejected)


def watched(state: State, now: float) -> Seen | None:
    """What is seen of the node whose failure asks for a switch."""
    node = _watched(state)
    return verdict.seen(state, node, now) if node else None


def _watched(state: State) -> str | None:
    """A waiting switch's target, else the live node; None while one runs."""
    if state.phase in IN_FLIGHT:
        flight = flights.current(state)
        return flight.intent.node if flight.waiting and state.phase in STAGE_OF else None
    return state.assignment.node if state.assignment else None


def need(state: State, live: str, opinion: Opinion, now: float) -> Need | None:
    """Why `live` should not stay live, and who could take over; None while it serves or nothing can be told."""
    if opinion.sight in (Sight.ACTIVE, Sight.UNKNOWN):
        return None
    since = state.need.since if state.need else now
    found = target(state, live, now)
    if found is None and now >= since + state.policy.report_s:
        found = _disputed(state, live, now)
    return Need(opinion.sentence, since, found)


def target(state: State, live: str, now: float) -> str | None:
    """The first other node, in configured order, that serves by all accounts. A standby is never promoted by itself."""
    return next((n for n in actives(state, now) if n != live), None)


def _disputed(state: State, live: str, now: float) -> str | None:
    """Where none does: one that serves by our own account, and by as many as see it otherwise. Nobody is left who
    serves, and what would end both nodes has had its time.
    """
    others = (node for node in state.policy.nodes if node != live)
    return next((node for node in others if verdict.disputed(state, node, now)), None)


def actives(state: State, now: float) -> tuple[str, ...]:
    return tuple(n for n in state.policy.nodes if verdict.of(state, n, now).sight is Sight.ACTIVE)


def unclear(state: State, live: Opinion, now: float) -> Reason | None:
    """Why nothing can be concluded of the live node, or of who owns the data; None when all is clear."""
    if state.policy.authority is Authority.CLUSTER and len(actives(state, now)) > 1:
        claimed = " and ".join(actives(state, now))
        return Reason("split_brain", f"{claimed} both claim to be active: the cluster manager has to settle it")
    if live.sight is not Sight.UNKNOWN:
        return None
    return verdict.path(state, now) or Reason("quorum" if state.policy.peers else "unknown", live.sentence)


def first(state: State, now: float) -> Reason | None:
    """The first veto against a switch that is needed."""
    return next((r for veto in VETOES if (r := veto(state, now))), None)


def barred(state: State, now: float) -> Reason | None:
    """Why no epoch may be opened at all, not even by a person; None when it may."""
    return _lease(state, now) or _store(state, now)


def standing(state: State, now: float) -> tuple[Reason, ...]:
    """Every veto that would stand now, whether or not a switch is needed: for status and metrics."""
    return tuple(r for veto in VETOES if veto is not _no_target and (r := veto(state, now)))


def _no_target(state: State, now: float) -> Reason | None:
    need = state.need
    if need is None:
        return None
    if need.target is None:
        return Reason("no_target", f"{need.sentence}; no other node is up")
    if state.phase is not Phase.PROPOSED and _faltering(state, need.target, now):
        return Reason("no_target", f"{need.sentence}; {need.target} has just failed a probe too")
    return None


def _faltering(state: State, node: str, now: float) -> bool:
    """What ends one node may be ending the other one: our newest probe of it failed, and we can't say yet that it is
    down. A proposal stays, as a person looks at it.
    """
    track = state.tracks.get(node, Track())
    failed = track.seen in (Sight.DOWN, Sight.STANDBY) and health.fresh(track, state.policy.stale_s, now)
    return failed and verdict.opinion(state, node, now).sight in (Sight.ACTIVE, Sight.UNKNOWN)


def _split_brain(state: State, now: float) -> Reason | None:
    if state.policy.authority is Authority.AGENT or len(actives(state, now)) < 2:
        return None
    return Reason("split_brain", f"{' and '.join(actives(state, now))} both claim to be active")


def _conflict(state: State, _now: float) -> Reason | None:
    return state.conflict


def _override(state: State, _now: float) -> Reason | None:
    said = state.override
    if said is None:
        return None
    what, slug = ("promoted for good", "pinned") if said.pinned else ("automatic switches held", "held")
    return Reason(slug, f"{what} by {said.who}: {said.sentence}")


def _window(state: State, _now: float) -> Reason | None:
    return Reason("frozen", f"the freeze window {state.window} is open") if state.window else None


def _manual(state: State, _now: float) -> Reason | None:
    return Reason("manual", "mode is manual: only a person switches") if state.policy.mode is Mode.MANUAL else None


def _rejected(state: State, _now: float) -> Reason | None:
    return Reason("rejected", f"the proposed switch was rejected by {state.rejected}") if state.rejected else None


def _hold_down(state: State, now: float) -> Reason | None:
    left_s = state.committed_at + state.policy.hold_down_s - now
    if left_s <= 0:
        return None
    return Reason(
        "hold_down", f"the last switch was less than {state.policy.hold_down_s:g} s ago ({left_s:.1f} s left)"
    )


def _flap_budget(state: State, now: float) -> Reason | None:
    recent = [t for t in state.automatic_at if now < t + HOUR_S]
    if len(recent) < state.policy.switches_per_hour:
        return None
    return Reason("flap_budget", f"{len(recent)} automatic switches within an hour: the budget is used up")


def _lease(state: State, now: float) -> Reason | None:
    return lease.veto(state.lease, now, state.policy.lease_margin_s)


def _store(state: State, _now: float) -> Reason | None:
    return Reason("store", f"a switch could not be recorded: {state.store_trouble}") if state.store_trouble else None


VETOES: tuple[Callable[[State, float], Reason | None], ...] = (
    verdict.path,
    _split_brain,
    _no_target,
    _conflict,
    _override,
    _window,
    _manual,
    _rejected,
    _hold_down,
    _flap_budget,
    _lease,
    _store,
)


_RIGHT = (_lease, _store)
"""Those about our own right to act."""


def beside_the_store(state: State, now: float) -> Reason | None:
    """The first veto against a move that needs neither lease nor store."""
    return next((r for veto in VETOES if veto not in _RIGHT and (r := veto(state, now))), None)


def deadlines(state: State) -> tuple[float, ...]:
    """When each veto or verdict could change by time alone."""
    policy = state.policy
    return (
        state.committed_at + policy.hold_down_s,
        *[t + HOUR_S for t in state.automatic_at],
        state.lease.until - policy.lease_margin_s,
        *[t.heard_at + policy.stale_s for t in state.tracks.values() if t.heard_at is not None],
        *[r.at + policy.report_s for r in state.reports.values()],
        *([state.need.since + policy.report_s] if state.need else []),
    )
