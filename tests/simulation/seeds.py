"""Random stories: faults that begin and end at any moment, several at once, and then none."""

import logging
import random
import time
from dataclasses import dataclass, replace

from edge.failover.model import Authority, Mode, OnOutage
from tests.failover.world import Shown
from tests.simulation.host import RestlessError
from tests.simulation.machines import Fence
from tests.simulation.moments import AIMED
from tests.simulation.profiles import USUAL, shipped
from tests.simulation.rules import BrokenError
from tests.simulation.troubles import TROUBLES, Act
from tests.simulation.world import RULES, World

TROUBLED_S = 520.0
FENCES = (*(Fence.UNASSIGN,) * 3, Fence.ISOLATE, Fence.STOP, Fence.GUEST)


def run(seed: int) -> World:
    """Raises BrokenError with the story."""
    rng = random.Random(f"story {seed}")
    policy = replace(RULES, on_outage=rng.choice(list(OnOutage)), fence_required=rng.random() < 0.7)
    policy = replace(policy, mode=rng.choice((Mode.AUTO, Mode.AUTO, Mode.AUTO, Mode.AUTO, Mode.CONFIRM)))
    policy = replace(policy, authority=rng.choice((*(Authority.AGENT,) * 5, Authority.CLUSTER)))
    agents = rng.choice((1, 2, 2, 2, 3))
    quorum = rng.choice((None, 1, agents // 2 + 1)) if agents > 1 else None
    if quorum and rng.random() < 0.5:
        policy = replace(policy, unanimous=True, on_outage=OnOutage.ANSWER, fence_required=False)
    profile = rng.choice((USUAL, rng.choice(shipped())))
    witnesses, fence = rng.choice((0, 1)) if agents == 3 and quorum else 0, rng.choice(FENCES)
    world = World(agents, seed, policy, quorum, witnesses, fence=fence, profile=profile)
    live, standby = rng.choice(("ab", "ba"))
    if policy.authority is Authority.CLUSTER:
        world.nodes.becomes(standby, Shown.STANDBY)
    for _ in range(rng.randint(8, 35)):
        _plan(world, rng)
    try:
        return world.starts(live).passes(TROUBLED_S).ends_well()
    except BrokenError as broken:
        raise BrokenError(f"seed {seed}: {broken}") from None
    except RestlessError as restless:
        raise BrokenError(f"seed {seed}: {restless}\n{world.story()}") from None


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a seed. `story`: how it broke a rule, else nothing."""

    story: str = ""
    simulated_s: float = 0.0
    agents: int = 0
    events: int = 0
    steps: int = 0
    stepping_s: float = 0.0
    epochs: int = 0
    took_s: float = 0.0


def told(seed: int) -> Told:
    """For a process of its own, where nothing else logs."""
    logging.disable(logging.CRITICAL)
    began = time.process_time()
    try:
        world = run(seed)
    except BrokenError as story:
        return Told(str(story), took_s=time.process_time() - began)
    return Told(
        "",
        world.timeline.now,
        len(world.agents),
        world.timeline.count,
        world.steps,
        world.stepping_s,
        world.epoch,
        time.process_time() - began,
    )


def _plan(world: World, rng: random.Random) -> None:
    name, begin, end = rng.choice((*TROUBLES, *AIMED))(world, rng)
    at, lasts_s = rng.uniform(5.0, TROUBLED_S), rng.choice((0.5, 3.0, 15.0, 60.0)) * rng.uniform(0.5, 1.5)
    world.timeline.at(at, lambda: _said(world, f"{name}: begins", begin))
    world.timeline.at(at + lasts_s, lambda: _said(world, f"{name}: ends", end))


def _said(world: World, what: str, act: Act) -> None:
    world.tell("world", what)
    act()
