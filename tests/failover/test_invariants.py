"""Any event in any state: the laws of laws.py hold whatever the machine hears, in whatever order.

1 epochs grow; 2 served = committed; 3 intent first; 4 in order; 5 one at a time; 6 vetoes hold; 7 leader only;
8 never without; 9 one reply; 10 future deadlines; 11 never stuck; 12 always explained; 13 time runs forward;
14 a look is no proof.

The shells here are bad ones: outcomes come late, twice, of another epoch, or never; the store and AWS fail as they
like; the lease goes and comes; people say everything at any time. Only what a shell promises is kept: one outcome at
most for each effect, and the store takes an epoch only once.
"""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import Fault
from edge.failover import events as ev
from edge.failover import lease
from edge.failover.model import (
    Assignment,
    Authority,
    Cause,
    Intent,
    Lease,
    Mode,
    OnDrift,
    OnOutage,
    Opinion,
    Override,
    Phase,
    Pointing,
    Report,
    Sight,
    Stage,
    Thresholds,
)
from tests.failover.world import POLICY, Shown, World, observed

EVENTS = 400
BASE = replace(
    POLICY, thresholds=Thresholds(1, 1, 4), hold_down_s=2.0, stale_s=20.0, loss_limit=0.9, lease_margin_s=1.0
)


class Chaos:
    """Makes up the next event from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.pending: list[ev.Effect] = []
        self.phases: Counter[Phase] = Counter()
        self.looked: Counter[bool] = Counter()
        self.aws = (Pointing("route53", "a", 0, "read"),)
        policy = replace(self._policy(), stages=frozenset(s for s in Stage if self.random.random() < 0.7))
        self.world = World(policy)
        self.world.slow = (ev.WriteIntent, ev.RunStage, ev.Commit, ev.ReadAws)

    def runs(self, events: int) -> "Chaos":
        self._begins()
        for _ in range(events):
            self.world.now += self.random.choice([0.0, 0.01, 0.3, 1.0, 5.0]) * self.random.random()
            self._next()
            self.phases[self.world.state.phase] += 1
        return self

    def _hears(self, event: ev.Event) -> None:
        effects = self.world.heard(event)
        self.pending += [effect for effect in effects if isinstance(effect, self.world.slow)]

    def _begins(self) -> None:
        opened = self._intent(9) if self.random.random() < 0.3 else None
        settled = Assignment("a", 7) if self.random.random() < 0.6 else None
        unsettled = self._intent(7, "a") if settled and self.random.random() < 0.3 else None
        begun = opened is not None and self.random.random() < 0.5
        if self.random.random() < 0.1:
            self._hears(self._lease())
        self._hears(ev.Loaded(settled, opened, begun, unsettled))

    def _next(self) -> None:
        choice = self.random.random()
        if choice < 0.1:
            self._hears(self._sides())
        elif choice < 0.45:
            self._outcome()
        elif choice < 0.75:
            for node in ("a", "b", "w"):
                self._hears(observed(node, self.random.choice([Shown.ACTIVE] * 4 + [Shown.REFUSED] * 4 + list(Shown))))
                self._glimpses()
        elif choice < 0.88:
            self._hears(self.random.choice(self._mending())())
        else:
            self._hears(self.random.choice(self._words() if choice < 0.95 else self._rare())())

    def _glimpses(self) -> None:
        """Where they are wanted; now and then one that comes too late."""
        wanted = bool(self.world.state.glimpses)
        for _ in range(self.random.randrange(8) if wanted else self.random.random() < 0.1):
            shown = self.random.choice([Shown.ACTIVE, Shown.SILENT, *Shown])
            self._hears(ev.Glimpsed(observed(self.random.choice("abw"), shown).observation))
            self.looked[wanted] += 1

    # --- outcomes ----------------------------------------------------------------------------------------------------

    def _outcome(self) -> None:
        """Of the oldest effect that waits for one, most of the time; else of any, or of none."""
        if not self.pending or self.random.random() < 0.1:
            self._hears(self._stray())
            return
        effect = self.pending.pop(0 if self.random.random() < 0.8 else self.random.randrange(len(self.pending)))
        self._hears(self._of(effect))

    def _of(self, effect: ev.Effect) -> ev.Event:
        fine = self.random.random() < 0.75
        match effect:
            case ev.WriteIntent(intent):
                return ev.IntentWritten(intent.epoch) if fine else self._refusal(intent.epoch)
            case ev.Commit(intent):
                return ev.Committed(intent.epoch) if fine else self._refusal(intent.epoch)
            case ev.RunStage(intent, stage):
                fault = None if fine else self.random.choice(list(Fault))
                return ev.StageEnded(
                    intent.epoch, stage, "so it went", fault, self.random.choice([0, intent.epoch + 3])
                )
        fault = None if fine else Fault.UNREACHABLE
        return ev.Surveyed(self.random.choice(["a", "b", None]), self.random.randrange(20), "read", fault)

    def _sides(self) -> ev.Event:
        """Most of the time AWS says what it said before."""
        if self.random.random() < 0.4:
            node, epoch = self.random.choice(["a", "b", "b", None]), self.random.choice([0, 0, 0, 7, 99])
            flaw, readable = self.random.choice(["", "", "TTL 300"]), self.random.random() < 0.9
            self.aws = tuple(Pointing(name, node, epoch, "read", flaw, readable) for name in ("route53", "address"))
        live = self.world.state.assignment
        return ev.SidesRead(live.epoch if live else 0, self.aws)

    def _refusal(self, epoch: int) -> ev.Event:
        if self.random.random() < 0.8:
            return ev.StoreFailed("the disk is full", epoch)
        return ev.Conflicted(epoch + self.random.randrange(2), "newer")

    def _stray(self) -> ev.Event:
        """An outcome of a switch that is over, or of none that ever was."""
        flight = self.world.state.flight
        own = flight.intent.epoch if flight else self.world.state.floor
        epoch = max(own - self.random.randrange(1, 4), 0)
        stray = [ev.IntentWritten(epoch), ev.Committed(epoch), ev.Conflicted(epoch, "late"), ev.StoreRecovered()]
        stage = self.random.choice(list(Stage))
        fault = self.random.choice([None, *Fault])
        return self.random.choice([*stray, ev.StageEnded(epoch, stage, "late", fault)])

    # --- everything else ---------------------------------------------------------------------------------------------

    def _words(self) -> list[Callable[[], ev.Event]]:
        choice = self.random.choice
        return [
            lambda: ev.Promote(choice(["a", "b", "z"]), "kim", "test", choice([True, False]), choice([True, False])),
            lambda: ev.Promote("a", "kim", "test", expect_epoch=choice([0, self.world.state.floor])),
            lambda: ev.Hold("kim", "test", choice([None, self.world.now + 1.0])),
            lambda: ev.Release("kim"),
            lambda: ev.Approve("kim"),
            lambda: ev.Reject("kim"),
        ]

    def _rare(self) -> list[Callable[[], ev.Event]]:
        choice = self.random.choice
        return [
            self._lease,
            lambda: ev.StoreFailed("the disk is full"),
            lambda: ev.FreezeSaid(choice([None, None, "month's end"])),
            lambda: ev.Reconfigured(replace(self._policy(), stages=self.world.state.policy.stages)),
            lambda: ev.Reported("edge-2", self._report()),
            lambda: ev.Loaded(Assignment("b", choice([3, 99]))),
            self._led,
            self._agreed,
            self._agreed,
            lambda: ev.Surveyed(choice(["a", None]), self.random.randrange(40), "late"),
            ev.Elapsed,
        ]

    def _mending(self) -> list[Callable[[], ev.Event]]:
        sole, release = ev.LeaseSaid(lease.sole("edge-1")), ev.Release("kim")
        return [ev.StoreRecovered, lambda: sole, lambda: release, lambda: ev.FreezeSaid(None)]

    def _lease(self) -> ev.Event:
        held = self.random.random() < 0.5
        return ev.LeaseSaid(Lease(held, self.world.now + 10.0 if held else 0.0, "edge-1" if held else "edge-2"))

    def _led(self) -> ev.Event:
        """Another agent led meanwhile, and left something behind, or nothing."""
        epoch, choice = self.world.state.floor + self.random.randrange(3), self.random.choice
        settled = choice([Assignment(choice("ab"), max(epoch, 1)), None])
        opened = self._intent(epoch + 1, choice("ab"))
        unsettled = self._intent(settled.epoch, settled.node) if settled else None
        left = ev.Loaded(settled, choice([opened, None]), choice([True, False]), choice([unsettled, None]))
        return ev.LeaseSaid(Lease(True, self.world.now + 10.0, "edge-1"), left)

    def _agreed(self) -> ev.Event:
        """All agents moved the answers meanwhile, or another one tells of what it has read."""
        live, choice = self.world.state.assignment or Assignment("a", 1), self.random.choice
        later = Assignment(choice("abz"), live.epoch, live.round + 1)
        newer = Assignment(choice("ab"), self.world.state.floor + 1)
        return ev.Agreed(choice([later, later, later, newer, Assignment("a", 1)]), "all agents say so")

    def _report(self) -> Report:
        opinions = {node: Opinion(self.random.choice(list(Sight)), "edge-2 says so") for node in "ab"}
        return Report(self.world.now, self.random.random() < 0.8, opinions)

    def _policy(self):
        choice = self.random.choice
        return replace(
            BASE,
            mode=choice([Mode.AUTO, Mode.AUTO, Mode.AUTO, Mode.CONFIRM, Mode.CONFIRM, Mode.MANUAL]),
            authority=choice(list(Authority)),
            on_outage=choice(list(OnOutage)),
            on_drift=choice(list(OnDrift)),
            drift_per_hour=choice([1, 1000]),
            fence_required=choice([True, True, False]),
            peers=choice([(), (), ("edge-2",)]),
            quorum=choice([1, 1, 1, 1, 2]),
            switches_per_hour=choice([1, 1000, 1000]),
        )

    def _intent(self, epoch: int, node: str = "b") -> Intent:
        return Intent(epoch, node, "a", Cause.OPERATOR, "kim", "test")


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_the_laws_hold_whatever_comes(seed: int) -> None:
    Chaos(seed).runs(EVENTS)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32), dead=st.booleans(), lost=st.sampled_from([0.0, 0.3, 0.6]), mode=st.sampled_from(Mode)
)
def test_a_closer_look_at_any_loss_proves_nothing_by_itself(seed: int, dead: bool, lost: float, mode: Mode) -> None:
    """The live node is silent, or loses like everybody; what is looked at closely is anything, in any order."""
    chance = Random(seed)
    world = World(replace(POLICY, mode=mode)).started(warm_s=20.0).unprobed()
    for _ in range(60):
        name = chance.choice("abw")
        silent = (dead and name == "a") or chance.random() < lost
        seen = observed(
            name, chance.choice([Shown.SILENT, Shown.HUNG] if silent else [Shown.ACTIVE] * 9 + [Shown.REFUSED])
        )
        closely = chance.random() < 0.7
        world.passes(0.1 * chance.random()).hears(ev.Glimpsed(seen.observation) if closely else seen)


def test_chaos_visits_every_phase_and_opens_many_epochs() -> None:
    """Else the test above would prove little."""
    phases: Counter[Phase] = Counter()
    causes: Counter[Cause] = Counter()
    looked: Counter[bool] = Counter()
    for seed in range(30):
        chaos = Chaos(seed).runs(EVENTS)
        phases += chaos.phases
        looked += chaos.looked
        causes.update(effect.intent.cause for effect in chaos.world.all(ev.WriteIntent))
    assert set(phases) == set(Phase)
    assert min(phases.values()) > 100
    assert set(causes) == set(Cause)
    assert sum(causes.values()) > 150
    assert min(looked[wanted] for wanted in (True, False)) > 500


@pytest.mark.parametrize("seed", range(40))
def test_after_any_chaos_a_good_shell_brings_it_to_rest(seed: int) -> None:
    """Everything works again, and nobody holds anything: in the end the live node serves, and nothing is under way."""
    chaos = Chaos(seed).runs(EVENTS)
    world = chaos.world
    world.slow = ()
    calm: list[ev.Event] = [
        ev.Reconfigured(replace(BASE, switches_per_hour=1000, stages=world.state.policy.stages)),
        ev.LeaseSaid(lease.sole("edge-1")),
        ev.StoreRecovered(),
        ev.FreezeSaid(None),
        ev.Release("kim"),
    ]
    for event in calm:
        world.hears(event)
    world.probed().passes(200.0)
    assert world.state.phase is Phase.STEADY
    assert world.state.reason.slug == "steady"
    assert world.state.override is None
    assert world.state.owed is None
    assert math.isfinite(world.state.committed_at) or world.live


def test_an_override_lasts_through_everything_but_release_and_time() -> None:
    world = World().started()
    world.says(ev.Hold("kim", "maintenance"))
    said = world.state.override
    world.says(ev.Promote("b", "lee", "test"))
    world.hears(ev.Reconfigured(BASE))
    world.passes(4000)
    assert world.state.override == said
    assert isinstance(said, Override)
