"""Troubles that come just as a switch enters a phase: words of operators, and what befalls the agent that is at it."""

import random
from collections.abc import Callable
from functools import partial

from edge.failover import events as ev
from edge.failover.model import Phase
from tests.simulation.agent import Agent
from tests.simulation.troubles import Act, Trouble
from tests.simulation.world import World

PHASES = tuple(phase for phase in Phase if phase not in (Phase.SILENT, Phase.STEADY))


def _at_a_phase(world: World, rng: random.Random, what: str, act: Callable[[str], object], end: Act) -> Trouble:
    """Each time that somebody enters it, as long as the trouble lasts; at once or a little later."""
    phase, waiting = rng.choice(PHASES), list[Act]()

    def wait() -> None:
        waiting[:] = [world.when(f"enters {phase.value}", happens)]

    def happens(who: str) -> None:
        world.tell("world", f"{what}, {phase.value}")
        world.timeline.after(rng.choice((0.0, 0.0, rng.uniform(0.0, 0.2), rng.uniform(0.0, 3.0))), partial(act, who))
        world.timeline.after(0.001, lambda: wait() if waiting else None)

    def ends() -> None:
        waiting.pop()()
        end()

    return f"{what} at {phase.value}", wait, ends


def _word(rng: random.Random) -> ev.Event:
    node = rng.choice("ab")
    return rng.choice((
        ev.Promote(node, "anna", "test"),
        ev.Promote(node, "anna", "test", force=True),
        ev.Promote(node, "anna", "test", pin=True),
        ev.Hold("anna", "test"),
        ev.Release("anna"),
        ev.Approve("anna"),
        ev.Reject("anna"),
    ))  # fmt: skip


def _spoken(world: World, rng: random.Random) -> Trouble:
    """To the agent that is at it, or to all: followers name the leader."""
    word, all_of_them = _word(rng), rng.random() < 0.3

    def speak(who: str) -> None:
        for name, agent in world.agents.items():
            if all_of_them or name == who:
                agent.hears(word)

    return _at_a_phase(world, rng, f"anna says {type(word).__name__}", speak, world.release)


def _judged(world: World, rng: random.Random) -> Trouble:
    """Where people are asked, somebody answers."""
    word = rng.choice((ev.Approve("bert"), ev.Approve("bert"), ev.Reject("bert")))

    def judge(who: str) -> None:
        (world.leader or world.agents[who]).hears(word)

    def proposed(who: str) -> None:
        world.timeline.after(rng.uniform(0.0, 9.0), partial(judge, who))

    def begin() -> None:
        waiting.append(world.when("enters proposed", proposed))

    def end() -> None:
        waiting.pop()()

    waiting: list[Act] = []
    return f"bert waits to {type(word).__name__}", begin, end


def _struck(world: World, rng: random.Random) -> Trouble:
    struck: list[Agent] = []
    blow = rng.choice((_kill, _kill, Agent.pause, Agent.suspend, Agent.loses_power, Agent.stop, _lose_store, _lose_aws))

    def strike(who: str) -> None:
        agent = world.agents[who]
        if agent.alive and not struck:
            struck.append(agent)
            blow(agent)

    def end() -> None:
        for agent in struck:
            agent.store.mend()
            agent.aws.mend()
            agent.resume()
            if not agent.alive:
                agent.start()

    return _at_a_phase(world, rng, f"an agent is struck ({blow.__name__})", strike, end)


def _kill(agent: Agent) -> None:
    agent.kill()


def _lose_store(agent: Agent) -> None:
    agent.store.up = False


def _lose_aws(agent: Agent) -> None:
    agent.aws.up = False


AIMED: tuple[Callable[[World, random.Random], Trouble], ...] = (_spoken, _spoken, _judged, _struck, _struck)
