"""What an agent sees: its probes, on virtual time and over a line that loses; and those beside the schedule."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from edge.agent.driver import Driver
from edge.failover.model import Observation
from edge.probes.loop import GLIMPSES_PER_PROBE, observation
from edge.probes.tcp import Outcome
from tests.failover.world import Shown

if TYPE_CHECKING:
    from tests.simulation.agent import Agent

Saw = Callable[[Observation], None]


class Probe:
    """One endpoint's, again and again: each has its own fate on the way there and back."""

    def __init__(self, agent: "Agent", name: str, saw: Saw, *, once: bool = False) -> None:
        self._agent, self._name, self._saw = agent, name, saw
        self._timeout_s, self._again_s = agent.profile.timeout_s, None if once else agent.profile.interval_s
        self._loop, self._timeline, self._nodes = agent.process.loop, agent.process.timeline, agent.nodes
        self._next: Any = None

    def plan(self, at: float) -> None:
        self._next = self._loop.call_at(at, self._begin)

    def stop(self) -> None:
        self._next.cancel()

    def _begin(self) -> None:
        agent, began = self._agent, self._loop.time()
        there_s, back_s = agent.path.fate() if agent.reaches(self._name) else (None, None)
        if there_s is None or back_s is None or there_s + back_s > self._timeout_s:
            self._next = self._loop.call_at(began + self._timeout_s, self._end, began, Shown.SILENT)
        else:
            arrival = self._timeline.now + there_s
            self._next = self._loop.call_at(began + there_s + back_s, self._answered, began, arrival)

    def _answered(self, began: float, arrival: float) -> None:
        shown = self._nodes.shown(self._name, arrival)
        if shown.value[2]:
            self._next = self._loop.call_at(began + self._timeout_s, self._end, began, shown)
        else:
            self._end(began, shown)

    def _end(self, began: float, shown: Shown) -> None:
        if self._again_s:
            self.plan(began + self._again_s)
        sight, answered, late, evidence = shown.value
        took_s = max(self._loop.time() - began, self._timeout_s if late else 0.0)
        self._saw(observation(self._name, Outcome(sight, answered, evidence), took_s, self._timeout_s))


class Closer:
    """The probes beside the schedule, while the driver wants a closer look."""

    def __init__(self, agent: "Agent", driver: Driver, saw: Saw) -> None:
        self._agent, self._driver, self._saw = agent, driver, saw
        self._loop = agent.process.loop
        self._looking = self._stopped = False

    def wanted(self) -> None:
        """Or not any more, which is seen when the next one is due."""
        if not self._looking:
            self._look()

    def stop(self) -> None:
        self._stopped = True

    def _look(self) -> None:
        self._looking = bool(self._driver.state.glimpses) and not self._stopped
        if self._looking:
            for name in self._driver.state.glimpses:
                Probe(self._agent, name, self._glimpsed, once=True).plan(self._loop.time())
            self._loop.call_at(self._loop.time() + self._agent.profile.interval_s / GLIMPSES_PER_PROBE, self._look)

    def _glimpsed(self, seen: Observation) -> None:
        if not self._stopped:
            self._saw(seen)
