"""Loss that begins at once: how often it moves a service whose nodes all live, and how late a node that dies is found.

`python -m tests.failover.onsets` prints the tables of docs/design.md, "When a node is down", without a closer look and
with it. The verdict is the real one; of the vetoes only those are asked that loss can raise, so that an onset takes
milliseconds. One side of that which `test_path.py` holds for a few hundred onsets of the whole machine.
"""

import heapq
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random
from statistics import fmean

import click

from edge.failover import health, verdict
from edge.failover.model import Observation, Policy, Sight, State
from edge.probes.loop import GLIMPSES_PER_PROBE
from tests.failover.world import INTERVAL_S, POLICY, RTT_S, T0, TIMEOUT_S

JITTER = 0.1
Losses = Callable[[str, float], float]
"""The share of the probes to an endpoint that is lost at a moment."""
Began = tuple[float, int, str, int | None]
"""When a probe begins, and to whom; the number of the closer look that it belongs to, if to any."""


def lossy(share: float) -> Losses:
    return lambda _name, _at: share


def watched(witnesses: int) -> Policy:
    return replace(POLICY, witnesses=tuple(f"w{number}" for number in range(witnesses)))


class Onset:
    """One agent that looks at a service with node a live, on a path that was clean for as long as it remembers."""

    def __init__(self, policy: Policy, losses: Losses, random: Random, closer: bool) -> None:
        self.state, self._losses, self._random, self._closer = State(policy), losses, random, closer
        self.glimpses = self._look = 0
        self._order = itertools.count()
        self._begins: list[Began] = []
        self._ends: list[tuple[float, int, Observation, int | None]] = []
        names = (*policy.nodes, *policy.witnesses)
        for at, name in itertools.product(range(health.WINDOW), names):
            self._sees(Observation(name, Sight.ACTIVE, True, "", RTT_S), T0 - health.WINDOW + at)
        for name in names:
            self._begin(T0 + random.uniform(0, INTERVAL_S), name, None)

    def moves(self, seconds: float) -> float | None:
        """After how many seconds a switch would open, None: it does not."""
        return next((at - T0 for at in self._passes(T0 + seconds) if self._moved(at)), None)

    def _passes(self, until: float) -> Iterator[float]:
        while (at := min(self._begins[0][0], self._ends[0][0] if self._ends else until)) < until:
            if self._ends and self._ends[0][0] == at:
                self._ended(*heapq.heappop(self._ends))
                yield at
            else:
                self._began(*heapq.heappop(self._begins))

    def _begin(self, at: float, name: str, look: int | None) -> None:
        heapq.heappush(self._begins, (at, next(self._order), name, look))

    def _began(self, at: float, _order: int, name: str, look: int | None) -> None:
        if look is None:
            self._begin(at + INTERVAL_S * self._random.uniform(1 - JITTER, 1 + JITTER), name, None)
        elif look == self._look and self.state.glimpses:
            self.glimpses += 1
            self._begin(at + INTERVAL_S / GLIMPSES_PER_PROBE, name, look)
        else:
            return
        lost = self._random.random() < self._losses(name, at)
        seen = Observation(name, Sight.DOWN, False, "") if lost else Observation(name, Sight.ACTIVE, True, "", RTT_S)
        heapq.heappush(self._ends, (at + (TIMEOUT_S if lost else RTT_S), next(self._order), seen, look))

    def _ended(self, at: float, _order: int, seen: Observation, look: int | None) -> None:
        if look is None:
            self._sees(seen, at)
        elif look == self._look:
            self.state = replace(self.state, glimpses=verdict.glimpsed(self.state, seen))
        wanted = verdict.closer(self.state, verdict.seen(self.state, "a", at), at) if self._closer else {}
        if wanted and not self.state.glimpses:
            self._look += 1
            for name in wanted:
                self._begin(at + self._random.uniform(0, INTERVAL_S / GLIMPSES_PER_PROBE), name, self._look)
        self._moving = verdict.opinion(self.state, "a", at).sight is Sight.DOWN
        self.state = replace(self.state, glimpses=wanted)

    def _sees(self, seen: Observation, at: float) -> None:
        self.state = replace(self.state, tracks=verdict.observed(self.state, seen, at))

    def _moved(self, at: float) -> bool:
        target = verdict.opinion(self.state, "b", at).sight is Sight.ACTIVE
        return self._moving and target and verdict.path(self.state, at) is None


def false_moves(share: float, witnesses: int, closer: bool, onsets: int, seconds: float = 30.0) -> tuple[float, float]:
    """In a million onsets; and how many glimpses an onset took."""
    moved = glimpses = 0
    for number in range(onsets):
        onset = Onset(watched(witnesses), lossy(share), Random(f"{share} {witnesses} {number}"), closer)
        moved += onset.moves(seconds) is not None
        glimpses += onset.glimpses
    return 1e6 * moved / onsets, glimpses / onsets


def found_after_s(path: float, node: float, closer: bool, deaths: int, warm_s: float = 70.0) -> float:
    """Seconds from when node a begins to lose so many of its own probes, on a path that has lost some for long."""
    took: list[float] = []
    for number in range(deaths):
        random = Random(f"{path} {node} {number}")
        dies_at = T0 + warm_s + random.random()
        both = 1 - (1 - path) * (1 - node)
        onset = Onset(watched(1), lambda name, at: both if name == "a" and at >= dies_at else path, random, closer)  # noqa: B023
        took += [T0 + at - dies_at for at in [onset.moves(600.0)] if at and T0 + at >= dies_at]
    return fmean(took)


@click.command()
@click.option("--onsets", default=20_000)
@click.option("--deaths", default=1000)
def main(onsets: int, deaths: int) -> None:
    print("loss of a probe | witnesses | false moves in a million onsets, without a closer look and with it | glimpses")
    for share, witnesses in itertools.product((0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8), range(4)):
        (before, _), (now, glimpses) = (false_moves(share, witnesses, closer, onsets) for closer in (False, True))
        print(f"{share:.0%} | {witnesses} | {before:,.0f} → {now:,.0f} | {glimpses:.0f}", flush=True)
    print("loss of the path | of the node | found after s, without and with")
    for path, node in (
        (0.0, 1.0),
        (0.01, 1.0),
        (0.03, 1.0),
        (0.1, 1.0),
        (0.0, 0.9),
        (0.0, 0.7),
        (0.0, 0.5),
        (0.0, 0.4),
    ):
        before, now = (found_after_s(path, node, closer, deaths) for closer in (False, True))
        print(f"{path:.0%} | {node:.0%} | {before:.2f} → {now:.2f}", flush=True)


if __name__ == "__main__":
    main()
