"""An agent that is stopped answers what has arrived, and then its machine refuses: nothing lies between the two."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.lab.authorities import Authority
from tests.lab.ending import Heard, lost_s
from tests.lab.two_agents import TwoAgents


@pytest.fixture(scope="module")
def agent_of(able: None) -> Iterator[tuple[TwoAgents, Authority]]:
    with TwoAgents({}) as lab:
        yield lab, lab.agents[0]


def test_lost_is_what_was_asked_before_the_first_refusal_and_not_answered() -> None:
    assert Heard({1, 2, 3, 4, 5, 6}, answered={1, 2, 3}, refused={4, 6}).lost() == 0
    assert Heard({1, 2, 3, 4, 5, 6}, answered={1, 3}, refused={5}).lost() == 2


@pytest.mark.lab
@pytest.mark.parametrize("time", range(3))
def test_a_stopped_agent_loses_no_question(agent_of: tuple[TwoAgents, Authority], time: int) -> None:
    lab, agent = agent_of
    asyncio.run(lab.answered_by_both())
    lost = lost_s(lab, agent.address, agent.stop)
    agent.start()
    assert lost == 0.0, f"stop {time}"
