"""What goes wrong: each trouble begins at some moment of a story, and ends."""

import math
import random
from collections.abc import Callable
from functools import partial

from edge.errors import Fault
from edge.failover import events as ev
from tests.failover.world import Shown
from tests.simulation.agent import Agent
from tests.simulation.world import World

Act = Callable[[], object]
Trouble = tuple[str, Act, Act]
"""What it is, how it begins and how it ends."""
Befalls = Callable[[Agent], object]


def _agent(world: World, rng: random.Random) -> Agent:
    return rng.choice(list(world.agents.values()))


def _node(world: World, rng: random.Random) -> Trouble:
    name, shown = (
        rng.choice("aabbw"),
        rng.choice((Shown.SILENT, Shown.SILENT, Shown.HUNG, Shown.REFUSED, Shown.STANDBY)),
    )
    return (
        f"{name} is {shown.name}",
        lambda: world.nodes.becomes(name, shown),
        lambda: world.heals(name),
    )


def _live_node(world: World, rng: random.Random) -> Trouble:
    def fails() -> None:
        world.nodes.becomes(world.live or "a", Shown.SILENT)

    return "the live node is SILENT", fails, world.heals


def _flapping(world: World, rng: random.Random) -> Trouble:
    name, up = rng.choice("ab"), [False]

    def flap() -> None:
        world.nodes.becomes(name, rng.choice((Shown.ACTIVE, Shown.SILENT)))
        if up[0]:
            world.timeline.after(rng.uniform(0.5, 5.0), flap)

    def begin() -> None:
        up[0] = True
        flap()

    def end() -> None:
        up[0] = False
        world.heals(name)

    return f"{name} flaps", begin, end


def _line(world: World, rng: random.Random) -> Trouble:
    agent, kind = _agent(world, rng), rng.choice(("path", "store", "aws", "talk"))
    line, lossy = getattr(agent, kind), rng.choice((None, 0.1, 0.3, 0.7))

    def begin() -> None:
        line.up, line.trouble = lossy is not None, lossy or 0.0

    def end() -> None:
        line.mend()

    return f"{agent.name}'s {kind} {'is lossy' if lossy else 'is down'}", begin, end


def _slow(world: World, rng: random.Random) -> Trouble:
    """Answers that come just in time, and then none: what was confirmed late is all that stands."""
    agent, kind = _agent(world, rng), rng.choice(("store", "store", "aws"))

    def begin() -> None:
        line = getattr(world.leader or agent, kind)
        line.slow_s = 4.0
        world.timeline.after(rng.uniform(3.0, 20.0), lambda: setattr(line, "up", False))
        world.timeline.after(60.0, line.mend)

    return f"the leader's {kind} is slow, then down", begin, lambda: None


def _cut_off(world: World, rng: random.Random) -> Trouble:
    """The live node dies, and about then the leader loses the store, or its lease alone, and AWS answers too late."""
    cut: list[Agent] = []

    def cut_off() -> None:
        if leader := world.leader:
            cut.append(leader)
            leader.store.up, leader.store.deaf = rng.random() < 0.7, "lease/"
            leader.aws.trouble, leader.aws.slow_s = rng.choice((0.0, 0.3)), 6.0

    def begin() -> None:
        world.timeline.after(rng.uniform(0.0, 9.0), cut_off)
        world.timeline.after(rng.uniform(0.0, 9.0), lambda: world.nodes.becomes(world.live or "a", Shown.SILENT))
        world.timeline.after(60.0, end)

    def end() -> None:
        world.heals()
        for agent in cut:
            agent.store.mend()
            agent.aws.mend()

    return "the live node dies, and the leader is cut off", begin, lambda: None


def _unreachable(world: World, rng: random.Random) -> Trouble:
    """For one agent, or the leader: what it sees, the others don't."""
    agent, leader, node = _agent(world, rng), rng.random() < 0.5, rng.choice("ab")

    def begin() -> None:
        nonlocal agent
        agent = world.leader or agent if leader else agent
        agent.unreachable[node] = math.inf

    def end() -> None:
        agent.unreachable[node] = world.timeline.now

    return f"an agent can't reach {node}", begin, end


def _everybodys_line(world: World, rng: random.Random) -> Trouble:
    kind = rng.choice(("path", "store", "aws"))

    def become(up: bool) -> None:
        for agent in world.agents.values():
            getattr(agent, kind).up = up

    return f"everybody's {kind} is down", partial(become, False), partial(become, True)


def _stranded(world: World, rng: random.Random) -> Trouble:
    """Neither store nor AWS for anybody, and the live node dies; then it is back, for one after the other."""
    lasts_s = rng.uniform(20.0, 60.0)

    def begin() -> None:
        world.timeline.after(rng.uniform(0.0, lasts_s), lambda: world.nodes.becomes(world.live or "a", Shown.SILENT))
        for agent in world.agents.values():
            agent.store.up = agent.aws.up = False
            agent.talk.slow_s = rng.choice((0.0, 0.8))
            at_s = lasts_s + rng.uniform(0.0, rng.choice((0.0, 2.0, 20.0)))
            world.timeline.after(at_s, agent.store.mend)
            world.timeline.after(at_s + rng.uniform(0.0, 5.0), agent.aws.mend)
        world.timeline.after(lasts_s + 30.0, end)

    def end() -> None:
        for agent in world.agents.values():
            agent.talk.mend()
        world.heals()

    return "everybody is stranded", begin, lambda: None


def _cloud(world: World, rng: random.Random) -> Trouble:
    fault = rng.choice((Fault.THROTTLED, Fault.UNREACHABLE, Fault.DENIED, Fault.EXPIRED))
    return (
        f"AWS: {fault.value}",
        lambda: setattr(world.cloud, "fault", fault),
        lambda: setattr(world.cloud, "fault", None),
    )


def _befalls(world: World, what: str, whom: tuple[Agent, bool], begins: Befalls, ends: Befalls) -> Trouble:
    """`whom`: the agent, or (True) whoever leads when it begins."""
    agent, leader = whom

    def begin() -> None:
        nonlocal agent
        agent = world.leader or agent if leader else agent
        begins(agent)

    return what, begin, lambda: ends(agent)


def _killed(world: World, rng: random.Random) -> Trouble:
    return _befalls(world, "an agent dies", (_agent(world, rng), rng.random() < 0.5), _ends, _starts)


def _ends(agent: Agent) -> None:
    if agent.alive:
        agent.kill()


def _starts(agent: Agent) -> None:
    if not agent.alive:
        agent.start()


def _stopped(world: World, rng: random.Random) -> Trouble:
    agent = _agent(world, rng)
    return f"{agent.name} stops", agent.stop, lambda: _starts(agent)


def _paused(world: World, rng: random.Random) -> Trouble:
    return _befalls(world, "an agent stands still", (_agent(world, rng), rng.random() < 0.7), Agent.pause, Agent.resume)


def _operator(world: World, rng: random.Random) -> Trouble:
    node, pin = rng.choice("ab"), rng.random() < 0.2
    word = rng.choice((ev.Promote(node, "anna", "test", pin=pin), ev.Hold("anna", "test")))
    agent = _agent(world, rng)
    return "anna speaks", lambda: (world.leader or agent).hears(word), world.release


def _hand(world: World, rng: random.Random) -> Trouble:
    node = rng.choice("ab")
    return f"somebody moves the address to {node}", lambda: world.cloud.move_by_hand(node), lambda: None


def _cluster(world: World, rng: random.Random) -> Trouble:
    """A cluster manager moves the data: for a while nobody serves it, or two do."""
    becomes, gap_s = world.nodes.becomes, rng.choice((0.0, 1.0, 10.0))

    def begin() -> None:
        live = world.live or "a"
        changes = [partial(becomes, live, Shown.STANDBY), partial(becomes, "b" if live == "a" else "a", Shown.ACTIVE)]
        rng.shuffle(changes)
        changes[0]()
        world.timeline.after(gap_s, changes[1])

    return "a cluster manager moves the data", begin, lambda: None


# --- clocks -----------------------------------------------------------------------------------------------------------


def _slewed(world: World, rng: random.Random) -> Trouble:
    """A clock runs at another rate, and then at yet another."""
    agent = _agent(world, rng)

    def runs() -> None:
        agent.clock.runs_otherwise(agent.process)

    return f"{agent.name}'s clock is slewed", runs, runs


def _set(world: World, rng: random.Random) -> Trouble:
    """The time of day, by minutes, or by hours where somebody took another zone for it."""
    agent, by_s = _agent(world, rng), rng.choice((-1.0, 1.0)) * rng.choice((5.0, 300.0, 7200.0)) * rng.random()
    become = partial(setattr, agent.clock, "moved_s")
    return f"{agent.name}'s time of day jumps by {by_s:.0f} s", partial(become, by_s), partial(become, 0.0)


def _suspended(world: World, rng: random.Random) -> Trouble:
    return _befalls(
        world, "an agent's host is suspended", (_agent(world, rng), rng.random() < 0.7), Agent.suspend, Agent.resume
    )


# --- disks ------------------------------------------------------------------------------------------------------------


def _full(world: World, rng: random.Random) -> Trouble:
    agent = _agent(world, rng)
    return f"{agent.name}'s disk is full", partial(setattr, agent.disk, "full", True), partial(_has_room, agent)


def _has_room(agent: Agent) -> None:
    agent.disk.full = False


def _power(world: World, rng: random.Random) -> Trouble:
    agent, leader = _agent(world, rng), rng.random() < 0.5

    def begin() -> None:
        nonlocal agent
        agent = world.leader or agent if leader else agent
        agent.loses_power()

    return "an agent's host loses its power", begin, lambda: _starts(agent)


def _torn(world: World, rng: random.Random) -> Trouble:
    """Who is about to write down what it answers now ends in the middle of that."""
    ended: list[Agent] = []
    forget: list[Act] = []
    later = world.timeline.after

    def ends(agent: Agent) -> None:
        if agent.alive:
            rng.choice((agent.kill, agent.loses_power))()
            ended.append(agent)

    def begin() -> None:
        told: Callable[[str], None] = lambda who: later(rng.uniform(0.0, 0.06), lambda: ends(world.agents[who]))  # noqa: E731
        forget.append(world.when("answers", told))
        later(rng.uniform(0.0, 2.0), lambda: world.nodes.becomes(world.live or "a", Shown.SILENT))

    def end() -> None:
        forget.pop()()
        world.heals()
        for agent in ended:
            _starts(agent)

    return "the live node dies, and an agent in the middle of a write", begin, end


TROUBLES: tuple[Callable[[World, random.Random], Trouble], ...] = (
    _node, _live_node, _live_node, _flapping, _line, _line, _unreachable, _everybodys_line, _slow, _cut_off, _cut_off,
    _stranded, _cloud, _killed, _stopped, _paused, _paused, _operator, _hand, _cluster,
    _slewed, _set, _suspended, _full, _power, _torn,
)  # fmt: skip
