"""An agent's own disk: whatever ends the agent, or fills the disk, what it answers is there again, or what it answered
before; and it starts.
"""

import pytest

from tests.failover.world import Shown
from tests.simulation.agent import Agent
from tests.simulation.world import World


def ends(agent: Agent, power: bool) -> None:
    if power:
        agent.loses_power()
    else:
        agent.kill()


@pytest.mark.parametrize("power", [False, True])
@pytest.mark.parametrize("after_s", [0.0, 0.005, 0.01, 0.015, 0.02, 0.03, 0.06])
def test_who_ends_in_the_middle_of_a_write_answers_what_was_or_what_was_to_be(after_s: float, power: bool) -> None:
    """And starts at all: then neither store nor AWS has to be there."""
    pair = World(2, seed=int(after_s * 1000)).starts()
    pair.nodes.becomes("a", Shown.SILENT)
    pair.until("answers b").passes(after_s)
    for agent in pair.agents.values():
        ends(agent, power)
        agent.store.up = agent.aws.up = False
        agent.start()
    assert {agent.answer for agent in pair.agents.values()} <= {("a", 1), ("b", 2)}
    pair.ends_well()


def test_what_was_served_while_the_disk_was_full_is_there_once_it_has_room(pair: World) -> None:
    for agent in pair.agents.values():
        agent.disk.full = True
    pair.nodes.becomes("a", Shown.SILENT)
    pair.until("committed 2").passes(30.0)
    for agent in pair.agents.values():
        agent.disk.full = False
    pair.passes(3.0)
    for agent in pair.agents.values():
        agent.loses_power()
        agent.store.up = agent.aws.up = False
        agent.start()
    assert {agent.answer for agent in pair.agents.values()} == {("b", 2)}
    pair.ends_well()


def test_who_could_not_keep_it_answers_the_old_node_until_it_has_read_the_store(pair: World) -> None:
    follower = next(agent for agent in pair.agents.values() if not agent.leads())
    follower.disk.full = True
    pair.nodes.becomes("a", Shown.SILENT)
    pair.until(f"{follower.name}: answers b").passes(5.0)
    follower.kill()
    follower.store.up = False
    follower.start()
    assert follower.answer == ("a", 1)
    follower.store.up = True
    pair.passes(5.0)
    assert follower.answer == ("b", 2)
    pair.ends_well()
