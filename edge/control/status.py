"""One moment of the agent in JSON's terms: functions of a `Snapshot` and of nothing else.

Durations are named by their unit. What has no end, and what is not known, is null.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from edge.control.contract import FINAL, Forecast, ServiceSnapshot, Snapshot, ViewSnapshot
from edge.failover import health, verdict, vetoes
from edge.failover.flights import durations_s
from edge.failover.model import IN_FLIGHT, Flight, Glimpses, Mode, Override, Reason, Sight, State, Track
from edge.history import Line

Json = dict[str, Any]


def agent(snapshot: Snapshot, services: tuple[ServiceSnapshot, ...]) -> Json:
    """The answer of `status` for some of the services."""
    ends_s = snapshot.credentials_end_s
    return {
        "agent": snapshot.agent,
        "role": "witness" if snapshot.witness else "candidate",
        "wall_s": snapshot.wall_s,
        "uptime_s": _s(snapshot.uptime_s),
        "store_up": snapshot.store_up,
        "store_age_s": _s(snapshot.store_age_s),
        "dns_ready": snapshot.dns_ready,
        "answer_age_s": _s(snapshot.answer_age_s),
        "config_reload_ok": snapshot.reload_ok,
        "credentials_left_s": None if ends_s is None else _s(ends_s - snapshot.wall_s),
        "services": [service(snapshot, each) for each in services],
    }


def service(snapshot: Snapshot, seen: ServiceSnapshot) -> Json:
    state, now = seen.state, snapshot.now
    policy = state.policy
    return {
        "service": policy.service,
        "mode": policy.mode.value,
        "authority": policy.authority.value,
        "phase": state.phase.value,
        "reason": _reason(state.reason),
        **_live(seen),
        "nodes": [_node(seen, name, now) for name in policy.nodes],
        "witnesses": [_endpoint(state, name, now) for name in policy.witnesses],
        "path": _path(state, now),
        "closer_look": [_glimpses(name, seen) for name, seen in state.glimpses.items()],
        "quorum": policy.quorum,
        "vantages": vantages(state, now),
        "override": _override(state.override, now),
        "freeze_window": state.window,
        "vetoes": [_reason(veto) for veto in vetoes.standing(state, now)],
        "hold_down_left_s": _s(max(state.committed_at + policy.hold_down_s - now, 0.0)),
        "flap_budget": _flap_budget(state, now),
        "operation": _operation(state, state.flight, state.phase.value, now),
        "owed": _operation(state, state.owed, "owed", now),
        "lease": _lease(state, now),
        "drift": _drift(state, now),
        "without_store": seen.without_store,
        **_agreement(seen),
    }


def _live(seen: ServiceSnapshot) -> Json:
    live = seen.state.assignment
    return {
        "live_node": live.node if live else None,
        "epoch": live.epoch if live else 0,
        "round": live.round if live else 0,
        "answer": list(seen.addresses.get(live.node, ())) if live else [],
        "assignment_age_s": _s(seen.assignment_age_s),
    }


def _node(seen: ServiceSnapshot, name: str, now: float) -> Json:
    opinion = verdict.of(seen.state, name, now)
    return {
        **_endpoint(seen.state, name, now),
        "addresses": list(seen.addresses.get(name, ())),
        "live": seen.state.assignment is not None and seen.state.assignment.node == name,
        "verdict": opinion.sight.value,
        "verdict_sentence": opinion.sentence,
    }


def _endpoint(state: State, name: str, now: float) -> Json:
    track = state.tracks.get(name, Track())
    last = track.last
    return {
        "name": name,
        "health": endpoint_health(state, name, now).value,
        "evidence": last.evidence if last else "not probed yet",
        "rtt_ms": _ms(last.rtt_s) if last and last.rtt_s is not None else None,
        "loss_share": round(health.loss(track), 3),
        "heard_age_s": None if track.heard_at is None else _s(now - track.heard_at),
    }


def endpoint_health(state: State, name: str, now: float) -> Sight:
    """What the counters say of an endpoint; UNKNOWN when it was not heard of for too long, whatever they said last."""
    track = state.tracks.get(name, Track())
    return track.health if health.fresh(track, state.policy.stale_s, now) else Sight.UNKNOWN


def vantages(state: State, now: float) -> list[Json]:
    """Those that are listed, this agent first; none where it alone decides. `abstains`: why its word does not count;
    `differs`: how its file lists the vantages otherwise.
    """
    policy = state.policy
    if not policy.peers:
        return []
    seen = {node: verdict.vantages(state, node, now) for node in policy.nodes}
    ours = None if verdict.report(state, now).path_up else "its own path is down"
    abstaining = {policy.vantage: ours, **{name: verdict.abstains(state, name, now) for name in policy.peers}}
    ages_s = {policy.vantage: 0.0, **{name: _s(now - said.at) for name, said in state.reports.items()}}
    return [
        {
            "name": name,
            "abstains": why,
            "differs": verdict.differs(state, name),
            "age_s": ages_s.get(name),
            "sees": {node: said[name].sight.value for node, said in seen.items()},
            "sentences": {node: said[name].sentence for node, said in seen.items()},
        }
        for name, why in abstaining.items()
    ]


def _path(state: State, now: float) -> Json:
    trouble = verdict.path(state, now)
    if trouble is None:
        return {"state": "up", "sentence": "nothing speaks against the path"}
    return {"state": trouble.slug.removeprefix("path_"), "sentence": trouble.sentence}


def _glimpses(name: str, seen: Glimpses) -> Json:
    return {"name": name, "asked": seen.samples, "lost": health.lost(seen)}


def path_up(snapshot: Snapshot) -> bool:
    """Services share one path: it is down only when the endpoints of each of them say so."""
    return not snapshot.services or any(not verdict.path_down(each.state, snapshot.now) for each in snapshot.services)


def _override(said: Override | None, now: float) -> Json | None:
    if said is None:
        return None
    left_s = None if said.until is None else _s(said.until - now)
    kind = "pin" if said.pinned else "hold"
    return {"kind": kind, "who": said.who, "sentence": said.sentence, "left_s": left_s}


def _flap_budget(state: State, now: float) -> Json:
    used = sum(now - at < vetoes.HOUR_S for at in state.automatic_at)
    return {"used": used, "limit_per_hour": state.policy.switches_per_hour}


def _operation(state: State, flight: Flight | None, phase: str, now: float) -> Json | None:
    if flight is None:
        return None
    intent = flight.intent
    return {
        "id": operation_id(state.policy.service, intent.epoch),
        "phase": phase,
        "node": intent.node,
        "origin": intent.origin,
        "cause": intent.cause.value,
        "who": intent.who,
        "sentence": intent.sentence,
        "took_ms": _each_ms(durations_s(flight, now)),
        "trouble": _reason(flight.trouble) if flight.trouble else None,
        "retry_in_s": _s(max(flight.retry_at - now, 0.0)),
        "debts": [stage.value for stage in flight.debts],
    }


def operation_id(name: str, epoch: int) -> str:
    return f"{name}@{epoch}"


def _lease(state: State, now: float) -> Json:
    lease = state.lease
    return {"held": lease.held, "holder": lease.holder, "left_s": _s(lease.until - now)}


def _drift(state: State, now: float) -> Json | None:
    found = state.drift
    if found is None:
        return None
    held = _reason(found.held) if found.held else None
    return {"sentence": found.sentence, "node": found.node, "for_s": _s(now - found.since), "held": held}


def _agreement(seen: ServiceSnapshot) -> Json:
    """`agreement` is null while no view disagrees, but one could not be read."""
    said = {view.agrees for view in seen.views}
    return {
        "agreement": False if False in said else None if None in said else True,
        "disagreement_s": _s(seen.disagreement_s),
        "views": [_view(view) for view in seen.views],
    }


def _view(view: ViewSnapshot) -> Json:
    said = {"name": view.name, "node": view.node, "epoch": view.epoch, "said": view.said}
    return {**said, "ttl_s": view.ttl_s, "agrees": view.agrees, "warning": view.warning, "age_s": _s(view.age_s)}


def views(seen: ServiceSnapshot) -> Json:
    return {"service": seen.state.policy.service, **_live(seen), **_agreement(seen)}


def forecast(told: Forecast) -> Json:
    """The answer of `promote` with `dry_run`. A worst case without end is null."""
    costs = [{**asdict(each), "worst_s": _s(each.worst_s), "last_s": _s(each.last_s)} for each in told.outage]
    return {"dry_run": True, **asdict(told), "outage": costs}


def line(told: Line) -> Json:
    """One line of history; `final` on the one after which its switch is over."""
    return {
        "service": told.service,
        "wall_s": told.wall_s,
        "kind": told.kind,
        "sentence": told.sentence,
        "operation": None if told.epoch is None else operation_id(told.service, told.epoch),
        "who": told.who,
        "took_ms": None if told.took_s is None else _each_ms(told.took_s),
        "views_ms": None if told.views_s is None else _each_ms(told.views_s),
        "final": told.kind in FINAL,
    }


# --- why ------------------------------------------------------------------------------------------------------------


def why(snapshot: Snapshot, seen: ServiceSnapshot) -> Json:
    """The decision, what it rests on, and what would have to be otherwise for a switch to open by itself."""
    state, now = seen.state, snapshot.now
    return {
        "service": state.policy.service,
        "reason": _reason(state.reason),
        "facts": _facts(state, now),
        "vetoes": [_reason(veto) for veto in vetoes.standing(state, now)],
        "would_switch_if": _missing(state, now),
    }


def _facts(state: State, now: float) -> list[str]:
    nodes = [verdict.of(state, name, now).sentence for name in state.policy.nodes]
    witnesses = [_witness(state, name, now) for name in state.policy.witnesses]
    return [*nodes, *witnesses, f"path: {_path(state, now)['sentence']}"]


def _witness(state: State, name: str, now: float) -> str:
    seen = _endpoint(state, name, now)
    return f"witness {name} is {seen['health']} ({seen['evidence']})"


_ENDS: Mapping[str, str] = {
    "path_down": "something answers over the path again",
    "path_lossy": "the path loses fewer packets than its limit",
    "split_brain": "the cluster manager settles which node owns the data",
    "conflict": "a person has looked at who wrote the newer epoch, and says `edgectl release`",
    "held": "a person says `edgectl release`, or the hold's time is over",
    "pinned": "a person says `edgectl release`",
    "frozen": "the freeze window closes",
    "manual": 'the configuration says mode "auto" or "confirm"',
    "rejected": "the need ends and comes back, or a person says `edgectl release`",
    "hold_down": "the hold-down is over",
    "flap_budget": "an hour has passed since the first of those switches, or a person says `edgectl release`",
    "lease": "this agent holds the lease for long enough",
    "store": "the store can be written again",
}
"""What ends each veto that can stand whether or not a switch is needed (see vetoes.standing)."""


def _missing(state: State, now: float) -> list[str]:
    if state.assignment is None:
        return ["there is a first assignment: `edgectl promote` makes one"]
    if state.phase in IN_FLIGHT:
        return ["the switch under way has ended"]
    ends = [f"{_ENDS[veto.slug]} ({veto.slug})" for veto in vetoes.standing(state, now)]
    return [*_unmet(state, state.assignment.node, now), *ends, *_approval(state)]


def _unmet(state: State, live: str, now: float) -> list[str]:
    serving = verdict.of(state, live, now).sight in (Sight.ACTIVE, Sight.UNKNOWN)
    falls = f"{live} misses {state.policy.thresholds.fall} probes in a row while another endpoint answers{_by(state)}"
    others = [name for name in state.policy.nodes if name != live]
    ready = vetoes.target(state, live, now) is not None
    return [*([falls] if serving else []), *([] if ready else [f"{' or '.join(others)} is seen to be active"])]


def _by(state: State) -> str:
    listed = len(state.policy.peers) + 1
    return f", as {state.policy.quorum} of {listed} vantages see it" if listed > 1 else ""


def _approval(state: State) -> list[str]:
    return ["a person says `edgectl approve`"] if state.policy.mode is Mode.CONFIRM else []


# --- values ---------------------------------------------------------------------------------------------------------


def _reason(reason: Reason) -> Json:
    return {"slug": reason.slug, "sentence": reason.sentence}


def _s(seconds: float | None) -> float | None:
    return round(seconds, 3) if seconds is not None and math.isfinite(seconds) else None


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)


def _each_ms(took_s: Mapping[str, float]) -> dict[str, float]:
    return {name: _ms(seconds) for name, seconds in took_s.items()}
