"""A small world around one machine: endpoints that live or don't, a path, a store and AWS that do as they are told.

A story reads: `world = World().started()`, something happens (`world.sees["a"] = SILENT`), time passes
(`world.passes(10)`), and `world.told("committed")` or `world.state` say what became of it. Every step is held against
the laws (laws.py), so each story tests them too.

Probes take their time: an answer comes after `RTT_S`, silence ends at the time-out. Effects are answered at once, in
the order in which they came, unless `world.slow` has their type.
"""

import heapq
import itertools
from collections import deque
from dataclasses import replace
from enum import Enum
from typing import TypeVar

from edge.errors import Fault
from edge.failover import events as ev
from edge.failover import lease
from edge.failover.machine import step
from edge.failover.model import Assignment, Observation, Policy, Sight, Stage, State, Thresholds
from edge.probes.loop import GLIMPSES_PER_PROBE
from tests.failover.laws import Laws

INTERVAL_S, TIMEOUT_S, RTT_S = 1.0, 0.5, 0.02
T0 = 1000.0
RESTLESS = 500  # effects in one moment; a switch makes about twenty

POLICY = Policy(
    service="files.fs.corp.example",
    nodes=("a", "b"),
    witnesses=("w",),
    thresholds=Thresholds(fall=3, rise=2, leaky=6),
    stale_s=5.0,
    hold_down_s=30.0,
    switches_per_hour=3,
    loss_limit=0.2,
    stages=frozenset(Stage),
)


class Shown(Enum):
    """What an endpoint shows to a probe: the sight, whether it answers, and whether it takes until the time-out."""

    ACTIVE = (Sight.ACTIVE, True, False, "answered")
    STANDBY = (Sight.STANDBY, True, False, "answered as a standby")
    REFUSED = (Sight.DOWN, True, False, "connection refused")
    HUNG = (Sight.DOWN, True, True, "accepted the connection, then said too little")
    SILENT = (Sight.DOWN, False, True, "no answer")
    TROUBLE = (Sight.UNKNOWN, False, False, "no file descriptor left")


E = TypeVar("E")
Kind = type[ev.Observed] | type[ev.Glimpsed]


class World:
    def __init__(self, policy: Policy = POLICY, now: float = T0, held: bool = True) -> None:
        self.now = now
        self.state = State(policy)
        self.deadline: float | None = None
        self.effects: list[ev.Effect] = []
        self.laws = Laws()
        self.sees = dict.fromkeys((*policy.nodes, *policy.witnesses), Shown.ACTIVE)
        self.path_up = True
        self.stages: dict[Stage, Fault] = {}
        self.found_epoch = 0
        self.store: type[ev.StoreFailed] | type[ev.Conflicted] | None = None
        self.survey = ev.Surveyed(None, 0, "AWS points to no node")
        self.slow: tuple[type[ev.Effect], ...] = ()
        self._open: deque[ev.Effect] = deque()
        self._count = itertools.count()
        self._probing = False
        self._probes: list[tuple[float, int, str, Shown | None, Kind]] = []
        self.hears(ev.LeaseSaid(lease.sole("edge-1") if held else replace(lease.sole("edge-2"), held=False)))

    # --- beginning ---------------------------------------------------------------------------------------------------

    def started(self, node: str | None = "a", epoch: int = 7, warm_s: float = 3.0) -> "World":
        """With a committed assignment, and every endpoint seen."""
        self.hears(ev.Loaded(Assignment(node, epoch) if node else None))
        return self.probed().passes(warm_s)

    def probed(self, interval_s: float = INTERVAL_S) -> "World":
        """From now on each endpoint is probed, one after the other within an interval."""
        self._probing = True
        for number, name in enumerate(self.sees):
            self._later(self.now + (number + 0.3) * interval_s / len(self.sees), name, None, ev.Observed)
        return self

    def unprobed(self) -> "World":
        """From now on the test itself says what probes show."""
        self._probing = False
        self._probes.clear()
        return self

    # --- what happens ------------------------------------------------------------------------------------------------

    def hears(self, event: ev.Event) -> tuple[ev.Effect, ...]:
        """One step, and whatever follows of its effects; returns the effects of the step itself."""
        effects = self.heard(event)
        self.settles()
        return effects

    def heard(self, event: ev.Event) -> tuple[ev.Effect, ...]:
        """One step alone."""
        before = self.state
        decision = step(before, event, self.now)
        self.laws.check(before, event, decision, self.now)
        self.state, self.deadline = decision.state, decision.deadline
        if self._probing and self.state.glimpses and not before.glimpses:
            for name in self.state.glimpses:
                self._later(self.now, name, None, ev.Glimpsed)
        self.effects += decision.effects
        self._open += decision.effects
        return decision.effects

    def settles(self) -> "World":
        """Every effect that is not slow is performed, and so is what follows."""
        kept: deque[ev.Effect] = deque()
        done = 0
        while self._open:
            effect, done = self._open.popleft(), done + 1
            assert done < RESTLESS, "each effect leads to another"
            if isinstance(effect, self.slow):
                kept.append(effect)
            elif (event := self._performed(effect)) is not None:
                self.heard(event)
        self._open = kept
        return self

    def answers(self) -> "World":
        """The oldest of the slow effects is performed now."""
        event = self._performed(self._open.popleft())
        if event is not None:
            self.heard(event)
        return self.settles()

    def passes(self, seconds: float) -> "World":
        """Time, with the probes and deadlines that fall into it."""
        end = self.now + seconds
        while (at := self._next()) <= end:
            self.now = max(at, self.now)
            if self._probes and self._probes[0][0] <= self.now:
                self._probe(*heapq.heappop(self._probes))
            else:
                self.hears(ev.Elapsed())
        self.now = end
        return self

    def says(self, word: ev.Event) -> ev.Reply:
        """An operator's word, and the reply."""
        (reply,) = [effect for effect in self.hears(word) if isinstance(effect, ev.Reply)]
        return reply

    # --- what became of it -------------------------------------------------------------------------------------------

    def told(self, kind: str) -> list[str]:
        return [effect.sentence for effect in self.all(ev.Tell) if effect.kind == kind]

    def all(self, kind: type[E]) -> list[E]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def forgets(self) -> "World":
        """What was done so far is no longer listed."""
        self.effects.clear()
        return self

    @property
    def did(self) -> list[str]:
        """The effects that touch the world outside, in short."""
        return [said for effect in self.effects if (said := _short(effect))]

    @property
    def live(self) -> str | None:
        return self.state.assignment.node if self.state.assignment else None

    # --- the shell ---------------------------------------------------------------------------------------------------

    def _performed(self, effect: ev.Effect) -> ev.Event | None:
        match effect:
            case ev.WriteIntent(intent):
                return self._stored(ev.IntentWritten(intent.epoch), intent.epoch)
            case ev.Commit(intent):
                return self._stored(ev.Committed(intent.epoch), intent.epoch)
            case ev.RunStage(intent, stage):
                fault = self.stages.get(stage)
                return ev.StageEnded(intent.epoch, stage, fault.value if fault else "ok", fault, self.found_epoch)
            case ev.ReadAws():
                return self.survey
        return None

    def _stored(self, done: ev.Event, epoch: int) -> ev.Event:
        if self.store is ev.StoreFailed:
            return ev.StoreFailed("the disk is full", epoch)
        if self.store is ev.Conflicted:
            return ev.Conflicted(max(epoch, self.found_epoch), "the store has a newer epoch")
        return done

    def _next(self) -> float:
        probe_at = self._probes[0][0] if self._probes else float("inf")
        return min(probe_at, self.deadline if self.deadline is not None else float("inf"))

    def _later(self, at: float, name: str, shown: Shown | None, kind: Kind) -> None:
        heapq.heappush(self._probes, (at, next(self._count), name, shown, kind))

    def _probe(self, _at: float, _count: int, name: str, shown: Shown | None, kind: Kind) -> None:
        """A probe begins (nothing shown yet), or ends. There are glimpses while a closer look is wanted."""
        if shown is not None:
            self.hears(kind(observed(name, shown).observation))
        elif kind is ev.Observed or self.state.glimpses:
            shown = self.sees[name] if self.path_up else Shown.SILENT
            again_s = INTERVAL_S if kind is ev.Observed else INTERVAL_S / GLIMPSES_PER_PROBE
            self._later(self.now + (TIMEOUT_S if shown.value[2] else RTT_S), name, shown, kind)
            self._later(self.now + again_s, name, None, kind)


def observed(name: str, shown: Shown, rtt_s: float = RTT_S) -> ev.Observed:
    sight, answered, late, evidence = shown.value
    return ev.Observed(Observation(name, sight, answered, evidence, rtt_s if answered and not late else None))


def _short(effect: ev.Effect) -> str | None:
    match effect:
        case ev.WriteIntent(intent):
            return f"intent {intent.epoch} {intent.node}"
        case ev.RunStage(intent, stage):
            return f"{stage.value} {intent.epoch}"
        case ev.StopStage(epoch):
            return f"stop {epoch}"
        case ev.Commit(intent):
            return f"commit {intent.epoch}"
        case ev.Close(epoch, finished):
            return f"{'finish' if finished else 'abandon'} {epoch}"
        case ev.Serve(assignment):
            return f"serve {assignment.node} {assignment.epoch}"
        case ev.ReadAws():
            return "read"
    return None
