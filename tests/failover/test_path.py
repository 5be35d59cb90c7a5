"""A dead path is not a dead node (rule 3): nodes that live, an outage of the whole path, and probes of any pace.

What must hold: while every node lives, no single outage opens an epoch, however long it lasts and whatever it does to
the probes that are under way. Random loss opens none either, at any rate, but by a chance of about one in a million
probes. And a node that does die is found in time, so that the first two are no empty promises.
"""

import heapq
import itertools
from dataclasses import dataclass, replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.failover import events as ev
from edge.failover.model import Assignment, Observation, Sight, Thresholds
from edge.probes.loop import GLIMPSES_PER_PROBE
from tests.failover.world import POLICY, Kind, World

START = 1000.0


@dataclass(frozen=True)
class Pace:
    interval_s: float
    timeout_s: float

    @property
    def glimpse_s(self) -> float:
        return self.interval_s / GLIMPSES_PER_PROBE


@dataclass(frozen=True)
class Line:
    """The path is cut from `cut_at` until `back_at`, and loses each packet with the chance `loss`."""

    cut_at: float = 0.0
    back_at: float = 0.0
    loss: float = 0.0

    def carries(self, at: float, random: Random) -> bool:
        return not self.cut_at <= at < self.back_at and random.random() >= self.loss


def probe(name: str, at: float, pace: Pace, line: Line, random: Random) -> tuple[float, Observation]:
    """A live endpoint is asked, with the handshake's two packets and the answer: when the probe ends, what it saw."""
    rtt_s = random.uniform(0.001, 0.95) * pace.timeout_s
    packets = [line.carries(at + rtt_s * share, random) for share in (0.0, 0.4, 0.8)]
    if all(packets):
        return at + rtt_s, Observation(name, Sight.ACTIVE, True, "answered", rtt_s)
    shaken = all(packets[:2])
    said = "accepted, then silent" if shaken else "no answer"
    return at + pace.timeout_s, Observation(name, Sight.DOWN, shaken, said)


def lived(world: World, paces: dict[str, Pace], line: Line, seconds: float, *, random: Random, dead: str = "") -> World:
    """Every endpoint is probed in its own pace for so long, and more often in a closer look. The dead one is silent."""
    until, order, looking = world.now + seconds, itertools.count(), False
    dues: list[tuple[float, int, str, Kind, Observation | None]] = []

    def later(at: float, name: str, kind: Kind, seen: Observation | None = None) -> None:
        heapq.heappush(dues, (at, next(order), name, kind, seen))

    for name, pace in paces.items():
        later(world.now + random.uniform(0, pace.interval_s), name, ev.Observed)
    while dues[0][0] < until:
        at, _, name, kind, seen = heapq.heappop(dues)
        pace = paces[name]
        world.passes(at - world.now)
        if seen:
            world.hears(kind(seen))
            for each in [] if looking else world.state.glimpses:
                later(at + random.uniform(0, paces[each].glimpse_s), each, ev.Glimpsed)
            looking = bool(world.state.glimpses)
        elif kind is ev.Observed:
            end, seen = probe(name, at, pace, Line(0.0, 1e9) if name == dead else line, random)
            later(end, name, kind, seen)
            later(max(end, at + pace.interval_s * random.uniform(0.9, 1.1)) + 1e-6, name, kind)
        elif looking:
            end, seen = probe(name, at, pace, Line(0.0, 1e9) if name == dead else line, random)
            later(end, name, kind, seen)
            later(at + pace.glimpse_s, name, kind)
    return world


def begun(fall: int, rise: int, leaky: int, names: list[str]) -> World:
    """Without any damping: only the verdict keeps it from switching."""
    thresholds = Thresholds(fall=fall, rise=rise, leaky=max(leaky, fall) if leaky else 0)
    witnesses = tuple(name for name in names if name.startswith("w"))
    policy = replace(POLICY, thresholds=thresholds, witnesses=witnesses, hold_down_s=0.0, switches_per_hour=1000)
    world = World(replace(policy, loss_limit=1.0), now=START)
    world.hears(ev.Loaded(Assignment("a", 7)))
    return world


@st.composite
def paces(draw: st.DrawFn) -> dict[str, Pace]:
    """Two nodes in one pace, up to two witnesses in another, which may be faster or slower."""
    names = ["a", "b", *("w", "w2")[: draw(st.integers(0, 2))]]
    own = {kind: draw(st.sampled_from([0.2, 0.5, 1.0, 2.0])) for kind in "nw"}
    share = draw(st.sampled_from([0.1, 0.5, 1.0]))
    chosen = {name: own["w" if name.startswith("w") else "n"] for name in names}
    return {name: Pace(interval_s, interval_s * share) for name, interval_s in chosen.items()}


@settings(max_examples=300, deadline=None)
@given(
    paces=paces(),
    fall=st.integers(1, 5),
    rise=st.integers(1, 3),
    leaky=st.integers(0, 8),
    warm=st.floats(0, 1),
    outage=st.floats(0, 1) | st.floats(0, 10),
    seed=st.integers(0, 2**32),
)
def test_no_single_outage_makes_a_live_node_look_dead(
    *, paces: dict[str, Pace], fall: int, rise: int, leaky: int, warm: float, outage: float, seed: int
) -> None:
    longest = max(pace.interval_s for pace in paces.values())
    cut_at = START + warm * 20 * longest
    line = Line(cut_at, cut_at + outage * longest)
    seconds = (20 + 10 + 15) * longest
    world = lived(begun(fall, rise, leaky, list(paces)), paces, line, seconds, random=Random(seed))
    assert not world.all(ev.WriteIntent)
    assert world.live == "a"


@pytest.mark.parametrize("seed", range(40))
def test_an_outage_about_as_long_as_the_detection(seed: int) -> None:
    """Many outages, a minute apart, each near the length at which the count of failures is just reached or just not."""
    random = Random(seed)
    names = ["a", "b", "w", "w2"][: 2 + seed % 3]
    fall = 1 + seed % 5
    world = begun(fall, 1, 0, names)
    pace = dict.fromkeys(names, Pace(1.0, random.choice([0.1, 0.5, 1.0])))
    cut_at = START + 10 + random.random()
    line = Line(cut_at, cut_at + fall - 1 + random.uniform(-0.2, 1.2))
    assert not lived(world, pace, line, 40.0, random=random).all(ev.WriteIntent)


@pytest.mark.parametrize("loss", [0.003, 0.01, 0.03, 0.1, 0.2, 0.4])
@pytest.mark.parametrize("witnesses", [0, 1])
def test_random_loss_makes_no_live_node_look_dead(loss: float, witnesses: int) -> None:
    """The rate is a packet's, of which a probe takes three. The limit on loss is the default."""
    names = ["a", "b", "w"][: 2 + witnesses]
    world = begun(3, 2, 6, names)
    world.hears(ev.Reconfigured(replace(world.state.policy, loss_limit=0.2)))
    pace = dict.fromkeys(names, Pace(1.0, 0.5))
    world = lived(world, pace, Line(loss=loss), 1800.0, random=Random(f"{loss} {witnesses}"))
    assert not world.all(ev.WriteIntent)


@pytest.mark.parametrize("witnesses", [0, 1, 2])
def test_loss_that_begins_at_once_does_not_make_a_live_node_look_dead(witnesses: int) -> None:
    """Of 120 onsets. Who looks at the others' long past, and only at those who have just answered, moves 14 and 15 with
    one and two witnesses; who looks no closer moves now and then.
    """
    names = ["a", "b", "w", "w2"][: 2 + witnesses]
    pace = dict.fromkeys(names, Pace(1.0, 0.5))
    for seed in range(120):
        world, random = begun(3, 2, 6, names), Random(seed)
        world.hears(ev.Reconfigured(replace(world.state.policy, loss_limit=0.2)))
        lived(world, pace, Line(), 70.0, random=random)
        assert not lived(world, pace, Line(loss=0.14), 30.0, random=random).all(ev.WriteIntent), seed


@settings(max_examples=100, deadline=None)
@given(
    fall=st.integers(1, 5),
    witnesses=st.integers(0, 2),
    share=st.sampled_from([0.1, 0.5, 1.0]),
    seed=st.integers(0, 2**32),
)
def test_a_node_that_is_dead_is_found_in_time(fall: int, witnesses: int, share: float, seed: int) -> None:
    """Silence takes three failures at least, and one more where no answer fell between the first two."""
    names = ["a", "b", "w", "w2"][: 2 + witnesses]
    pace, random = dict.fromkeys(names, Pace(1.0, share)), Random(seed)
    world = lived(begun(fall, 2, 0, names), pace, Line(), 60.0, random=random)
    died = world.now
    world = lived(world, pace, Line(), 20.0, random=random, dead="a")
    assert world.live == "b"
    assert world.state.committed_at - died <= 1.1 * (max(fall, 3) + 1) + share
