"""Clocks that run apart, are set, and stand still: as far as the lease allows nobody notices, and no further."""

from dataclasses import replace

import pytest

from edge.errors import Fault
from edge.failover.lease import DRIFT
from tests.failover.world import Shown
from tests.simulation import clocks
from tests.simulation.agent import Agent
from tests.simulation.host import Process, Timeline
from tests.simulation.rules import BrokenError
from tests.simulation.test_host import woken_at
from tests.simulation.test_scenarios import MOMENTS, leader_of
from tests.simulation.world import RULES, World


@pytest.fixture
def process() -> Process:
    return Process("edge-1", Timeline(), rate=1.0, offset=100.0, turned=lambda: None)


def goes_on(agent: Agent, rate: float) -> None:
    agent.clock._goes_on(agent.process, rate)


def test_who_waits_does_so_by_the_clock_as_it_runs(process: Process) -> None:
    woke = woken_at(process, 10.0)
    process.timeline.run(5.0)
    process.runs(2.0, 95.0)
    process.timeline.run(7.4)
    assert not woke
    process.timeline.run(7.6)
    assert woke == [110.0]


def test_who_is_suspended_waits_for_as_long_again(process: Process) -> None:
    woke = woken_at(process, 10.0)
    process.timeline.run(5.0)
    process.paused = True
    process.runs(0.0, 105.0)
    process.timeline.run(100.0)
    process.runs(1.0, 5.0)
    process.resume()
    process.timeline.run(104.0)
    assert not woke
    process.timeline.run(106.0)
    assert woke == [110.0]


def apart(off: float, seed: int) -> World:
    """The leader's clock is slow, the other one's fast, and the leader can't renew."""
    pair = World(2, seed, off=0.0).starts()
    leader = pair.agents[leader_of(pair)]
    for agent in pair.agents.values():
        goes_on(agent, 1.0 - off if agent is leader else 1.0 + off)
    leader.store.deaf = "lease/"
    return pair.passes(60.0)


@pytest.mark.parametrize("seed", range(6))
def test_clocks_that_run_as_far_apart_as_the_lease_allows(seed: int) -> None:
    assert (1 - clocks.OFF) / (1 + clocks.OFF) > 1 - DRIFT
    apart(clocks.OFF, seed).ends_well()


def test_clocks_that_run_further_apart_have_two_lead() -> None:
    with pytest.raises(BrokenError, match="lead at one moment"):
        apart(2 * clocks.OFF, 0)


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_leader_is_suspended_in_the_middle_of_a_switch_and_can_not_know(moment: str) -> None:
    """What it does then the store and Route 53 refuse; an address that it moved is moved back."""
    pair = World(2).starts()
    pair.nodes.becomes("a", Shown.SILENT)
    pair.until(moment)
    sleeper = pair.agents[leader_of(pair)]
    sleeper.suspend()
    pair.passes(40.0)
    assert pair.live == "b"
    pair.nodes.becomes("a", Shown.ACTIVE)
    pair.passes(20.0)
    pair.nodes.becomes("b", Shown.SILENT)
    pair.passes(20.0)
    assert pair.live == "a"
    sleeper.resume()
    pair.passes(90.0)
    assert sleeper.answer == pair.agents[leader_of(pair)].answer
    assert pair.holders() == ("a",)
    pair.ends_well()


def test_who_wakes_to_claim_an_epoch_that_is_another_agents_by_now_does_not_end_it() -> None:
    """A random story found it: the other one could never finish its switch."""
    pair = World(2, policy=replace(RULES, fence_required=True)).starts()
    pair.nodes.becomes("a", Shown.SILENT)
    pair.until("epoch 2: b is to be live")
    sleeper = pair.agents[leader_of(pair)]
    sleeper.suspend()
    pair.cloud.fault = Fault.THROTTLED
    pair.until("intent 2").passes(1.0)
    sleeper.resume()
    pair.passes(5.0)
    assert pair.told("the store has epoch 2 already")
    pair.cloud.fault = None
    pair.passes(60.0)
    assert (pair.live, pair.epoch) == ("b", 2)
    pair.ends_well()


def test_who_wakes_misled_leads_until_its_lease_has_ended_by_its_clock_and_nobody_is_harmed() -> None:
    pair = World(2).starts()
    sleeper = pair.agents[leader_of(pair)]
    sleeper.suspend()
    pair.passes(40.0)
    sleeper.store.up = False
    sleeper.resume()
    pair.passes(5.0)
    assert sleeper.leads()
    assert sleeper.misled
    pair.passes(15.0)
    assert not sleeper.leads()
    pair.ends_well()
