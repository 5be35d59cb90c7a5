"""The world of one seed: agents, store, AWS, nodes and lines, on one timeline, held against the rules after each event.

A story reads: `World(agents=2).starts()`, something happens (`world.nodes.becomes("a", SILENT)`), time passes
(`world.passes(30)`), and in the end everything is mended and must agree: `world.ends_well()`.
"""

import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from edge.failover import events as ev
from edge.failover.model import Authority, Listed, OnDrift, Policy, Stage
from tests.failover.world import POLICY, Shown
from tests.simulation import clocks, far
from tests.simulation.agent import Agent
from tests.simulation.host import Timeline
from tests.simulation.machines import Fence
from tests.simulation.profiles import USUAL, Profile
from tests.simulation.rules import BrokenError, Rules

STORY = 60  # lines of it that a failure shows
BOUND_S = 240.0
"""Within which everything agrees once nothing fails: a lease that nobody renews, a call that comes 30 s late, an
address that is read wrong twice, and Route 53's minute to be INSYNC, with the pauses between tries.
"""
RULES = replace(
    POLICY,
    service=far.NAME,
    stages=frozenset(Stage),
    on_drift=OnDrift.REPAIR,
    drift_per_hour=20,
)


def _seeing(policy: Policy, name: str, names: list[str], quorum: int | None) -> Policy:
    if quorum is None:
        return policy
    listed = Listed(tuple(names), (), quorum)
    peers = tuple(each for each in names if each != name)
    return replace(policy, vantage=name, peers=peers, quorum=quorum, listed=listed)


class World:
    def __init__(
        self,
        agents: int = 2,
        seed: int = 0,
        policy: Policy = RULES,
        quorum: int | None = None,
        witnesses: int = 0,
        *,
        off: float = clocks.OFF,
        fence: Fence = Fence.UNASSIGN,
        profile: Profile = USUAL,
    ) -> None:
        """With a `quorum`, all agents are vantages, the last ones of them witnesses. `off`: how far their clocks are
        from true at most.
        """
        self.rng, self.off, self.fence = random.Random(seed), off, fence
        policy = profile.of(policy)
        self.policy, self.profile, self.alone, self.quorum = policy, profile, agents == 1, quorum
        self.timeline = Timeline()
        self.rules = Rules()
        self.rules.world = self
        self.kept = far.Kept(self.rules)
        self.nodes = far.Nodes(self.timeline)
        self.cloud = far.Cloud(self.timeline, self.rng, self.rules, self.nodes)
        self.released_at = -1.0
        self.steps, self.stepping_s = 0, 0.0
        self._told: list[tuple[float, str, str]] = []
        self._waiting: list[tuple[str, Callable[[str], object]]] = []
        names = [f"edge-{number + 1}" for number in range(agents)]
        candidates = names[: agents - witnesses]
        self.agents = {
            name: Agent(
                name, self, random.Random(f"{seed}/{name}"), _seeing(policy, name, names, quorum), name in candidates
            )
            for name in names
        }

    def starts(self, node: str = "a") -> "World":
        """AWS points to the node, and each agent has been up for a while."""
        self.cloud.begin_with(node)
        for agent in self.agents.values():
            agent.start()
        return self.passes(30.0)

    def passes(self, seconds: float) -> "World":
        self.timeline.run(self.timeline.now + seconds)
        if self.rules.broken:
            raise BrokenError(f"{self.rules.broken}\n{self.story()}")
        return self

    def until(self, words: str) -> "World":
        """Until these words are told, within a minute."""
        end, before = self.timeline.now + 60.0, len(self.told(words))
        while len(self.told(words)) == before:
            assert self.timeline.now < end, f"nobody told of {words!r}\n{self.story()}"
            self.passes(0.005)
        return self

    def stepped(self, took_s: float) -> None:
        """A machine's step."""
        self.steps += 1
        self.stepping_s += took_s

    # --- what became of it --------------------------------------------------------------------------------------------

    @property
    def leader(self) -> Agent | None:
        return next((agent for agent in self.agents.values() if agent.leads()), None)

    @property
    def live(self) -> str | None:
        stored = self.kept.items.get(f"assignment/{self.policy.service}")
        return str(stored.value["node"]) if stored else None

    @property
    def epoch(self) -> int:
        return max(self.rules.committed, default=0)

    def published(self) -> str:
        return far.published(self.cloud.shape)

    def holders(self) -> tuple[str, ...]:
        return tuple(node for node, eni in far.ENI.items() if eni in self.cloud.shape.holders)

    def tell(self, who: str, what: str) -> None:
        self._told.append((self.timeline.now, who, what))
        if self._waiting:
            self._heed(who, what)

    def decided(self, who: str, decision: ev.Decision) -> None:
        """Somebody's machine enters another phase."""
        self.rules.decided(who, decision)
        self._heed(who, f"enters {decision.state.phase.value}")

    def _heed(self, who: str, what: str) -> None:
        for words, act in self._waiting:
            if what.startswith(words):
                self._waiting.remove((words, act))
                self.timeline.after(0.0, partial(act, who))
                break

    def when(self, words: str, act: Callable[[str], object]) -> Callable[[], None]:
        """Once, as soon as anybody tells what begins so, or "enters" a phase, with who it is. Returns what ends it."""
        waiting = (words, act)
        self._waiting.append(waiting)
        return lambda: self._waiting.remove(waiting) if waiting in self._waiting else None

    def told(self, words: str) -> list[str]:
        return [f"{who}: {what}" for _, who, what in self._told if words in f"{who}: {what}"]

    def story(self) -> str:
        return "\n".join(f"{at:9.3f} {who:8} {what}" for at, who, what in self._told[-STORY:])

    # --- the end ------------------------------------------------------------------------------------------------------

    def mends(self) -> "World":
        """Nothing fails any more."""
        self.tell("world", "is mended")
        self.heals("abw")
        self.cloud.fault = None
        self.cloud.machines.mended()
        for agent in self.agents.values():
            agent.unreachable = {node: min(until, self.timeline.now) for node, until in agent.unreachable.items()}
            for line in (agent.path, agent.store, agent.aws, agent.talk):
                line.mend()
            agent.disk.full = False
            agent.resume()
            if not agent.alive:
                agent.start()
        return self

    def heals(self, names: str = "ab") -> None:
        """They serve; with a cluster manager, the live one."""
        standby = {"a", "b"} - {self.live or "a"} if self.policy.authority is Authority.CLUSTER else ()
        for name in names:
            self.nodes.becomes(name, Shown.STANDBY if name in standby else Shown.ACTIVE)

    def release(self) -> None:
        """An operator's word to whoever leads."""
        leader = self.leader
        if leader:
            leader.hears(ev.Release("anna"))

    def ends_well(self) -> "World":
        self.mends().passes(60.0)
        self.release()
        for _ in range(int(BOUND_S / 10)):
            self.passes(10.0)
            if not self.rules.disagreement():
                return self
        raise BrokenError(f"no agreement within {BOUND_S} s: {self.rules.disagreement()}\n{self.story()}")
