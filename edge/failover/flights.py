"""A switch under way: how it is opened, marked, made to wait, left to another. Every other part of the machine moves
it by these.

- A new epoch is one above the highest that was ever seen, whoever wrote it.
- A switch that gives way to another one stays owed, and one whose lease is lost, or that met a newer epoch, does not.
"""

from dataclasses import replace

from edge.failover import events as ev
from edge.failover.model import Authority, Cause, Flight, Intent, Phase, Reason, Sight, State
from edge.failover.table import Trigger

SELF = "edge"
"""Who did it, where no person did."""
FOR_NEED = (Cause.FAILURE, Cause.FOLLOW)
_DOUBLINGS = 32  # of any pause give more than a century: beyond, a float overflows (at 1024)

Effects = tuple[ev.Effect, ...]
Moved = tuple[State, Effects]
Outcome = tuple[State, Trigger | None, Effects]
"""What an event amounts to: the state with what was learnt, the transition that it triggers, and what to do besides."""


def parked(state: State) -> tuple[Effects, State]:
    """Leave the flight for another: it had begun, so it stays owed; what runs of it must stop."""
    flight = state.flight
    if flight is None:
        return (), state
    return (ev.StopStage(flight.intent.epoch),), replace(state, flight=None, owed=flight)


def current(state: State) -> Flight:
    if state.flight is None:
        raise AssertionError(f"{state.phase} without a flight")
    return state.flight


def opened(state: State, node: str, cause: Cause, now: float, *, who: str, sentence: str) -> Moved:
    """A flight for the next epoch; the transition into OPENING writes it."""
    origin = next(iter(state.left), state.assignment.node if state.assignment else None)
    stop, state = parked(state)
    epoch = state.floor + 1
    need = state.need if cause in FOR_NEED else None
    began = min(_last_good(state, origin, need.since), need.since) if need else now
    marks = {"detect": need.since} if need else {}
    intent = Intent(epoch, node, origin, cause, who, sentence, _outgoing(state, node))
    told = ev.Tell("opened", f"epoch {epoch}: {node} is to be live ({cause.value}): {sentence}", epoch, who)
    return replace(state, flight=Flight(intent, began, marks), floor=epoch, drift=None), (*stop, told)


def _outgoing(state: State, node: str) -> tuple[str, ...]:
    live = (state.assignment.node,) if state.assignment else ()
    reached = (state.owed.intent.node, *state.owed.intent.outgoing) if state.owed else ()
    return tuple(sorted({*live, *state.left, *reached} - {node}))


def _last_good(state: State, node: str | None, default: float) -> float:
    """When the node was last seen to serve: the start of the time that detection took."""
    track = state.tracks.get(node or "")
    return track.before if track and track.seen is not Sight.ACTIVE else default


def cause(state: State) -> Cause:
    return Cause.FAILURE if state.policy.authority is Authority.AGENT else Cause.FOLLOW


def marked(state: State, name: str, now: float) -> State:
    flight = current(state)
    return replace(state, flight=replace(flight, marks={**flight.marks, name: now}))


def waits(state: State, trouble: Reason, now: float) -> Outcome:
    """The next try is due after a pause that doubles, up to the policy's longest."""
    flight, policy = current(state), state.policy
    doubled = min(flight.attempt, _DOUBLINGS)
    pause_s = min(policy.retry_first_s * 2**doubled, policy.retry_most_s)
    known = flight.trouble == trouble
    waiting = replace(flight, attempt=flight.attempt + 1, trouble=trouble, retry_at=now + pause_s)
    told: Effects = () if known else (ev.Tell("trouble", trouble.sentence, flight.intent.epoch),)
    return replace(state, flight=waiting), None, told


def outrun(state: State, epoch: int, sentence: str) -> Outcome:
    """Somebody carries a newer epoch than ours: ours ends here, and only a person opens the next one. Who was refused
    its claim leaves the epoch alone: another agent has it.
    """
    newer = Reason("conflict", sentence)
    state = replace(state, floor=max(state.floor, epoch), conflict=newer, owed=None)
    if state.flight is None:
        return state, None, (ev.Tell("conflict", sentence),)
    ours = state.flight.intent.epoch
    told = ev.Tell("abandoned", f"epoch {ours} ends: {sentence}", ours)
    if state.phase is Phase.OPENING:
        return state, Trigger.REFUSED, (ev.StopStage(ours), told)
    return state, Trigger.ABANDONED, (ev.StopStage(ours), ev.Close(ours, finished=False), told)


def left(state: State, epoch: int) -> Outcome:
    told = ev.Tell("lost", f"the lease is lost: epoch {epoch} is left to the new leader", epoch)
    return replace(state, flight=None), Trigger.LOST, (ev.StopStage(epoch), told)


def durations_s(flight: Flight, now: float) -> dict[str, float]:
    """Seconds that each stage took, in order; `agree` is the whole, from the first sign of trouble until `now`."""
    ends = [flight.began, *flight.marks.values()]
    took = {name: end - begin for name, begin, end in zip(flight.marks, ends, ends[1:], strict=False)}
    return {**took, "agree": now - flight.began}
