"""A host's clocks. The monotonic one runs a little fast or slow, and otherwise from time to time; it stands still while
the host is suspended and others go on (a virtual machine that is paused: its guest does not know). It never goes back.
The wall clock is set, by minutes and either way.

How far two of them run apart is bounded by what the lease counts on (edge.failover.lease.DRIFT; docs/design.md, "The
lease"): a holder counts (1 - DRIFT) of the duration by the fastest, a challenger all of it by the slowest.
"""

import math
import random

from edge.failover.lease import DRIFT
from tests.simulation.host import Process, Timeline

ASTRAY = DRIFT / (2 - DRIFT)
"""Of two clocks that are so far off, one fast and one slow, the one counts 1 - DRIFT while the other counts 1."""
OFF = 0.95 * ASTRAY


class Clock:
    """`moved_s`: how far the wall clock was set."""

    def __init__(self, timeline: Timeline, rng: random.Random, off: float = OFF) -> None:
        self._timeline, self._rng, self._off = timeline, rng, off
        self.rate, self.offset = self._some_rate(), rng.uniform(1e3, 1e6)
        self.moved_s = 0.0
        self.suspended_at: float | None = None
        self._lost: list[tuple[float, float]] = []
        self.woke_at = -math.inf

    def _some_rate(self) -> float:
        return self._rng.uniform(1 - self._off, 1 + self._off)

    def now(self) -> float:
        return self.offset + self._timeline.now * self.rate

    def runs_otherwise(self, process: Process) -> None:
        if self.suspended_at is None:
            self._goes_on(process, self._some_rate())

    def _goes_on(self, process: Process, rate: float) -> None:
        """From where it is."""
        self.offset, self.rate = self.now() - self._timeline.now * rate, rate
        process.runs(self.rate, self.offset)

    def boots(self) -> None:
        """It counts from now."""
        self.suspended_at = None
        self.rate = self.rate or self._some_rate()
        self.offset = -self._timeline.now * self.rate
        self._lost.clear()

    # --- standing still -----------------------------------------------------------------------------------------------

    def suspend(self, process: Process) -> None:
        self.suspended_at = self._timeline.now
        self._goes_on(process, 0.0)

    def wakes(self, process: Process) -> None:
        if self.suspended_at is not None:
            self._lost.append((self.now(), self._timeline.now - self.suspended_at))
            self.suspended_at, self.woke_at = None, self._timeline.now
            self._goes_on(process, self._some_rate())

    def lost_s(self, since: float) -> float:
        """For how long it has stood still since it showed this."""
        present = 0.0 if self.suspended_at is None else self._timeline.now - self.suspended_at
        return present + sum(seconds for at, seconds in self._lost if at >= since)
