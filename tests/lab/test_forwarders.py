"""What `deploy/forwarders` ships, in front of two real agents: after a switch no question is told the old node, asked
once in a while or 20 times a second, and while one agent is gone, or comes back, every client is answered.

A forwarder whose program is missing is skipped by name. All that are there share one laboratory and its switches.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.lab.asker import Asked
from tests.lab.authorities import NODES
from tests.lab.forwarders import FORWARDERS, shipped
from tests.lab.measures import BUSY_S, Heard, Outage, Switch, ask_all, busy_switch, one_gone, sparse_switch
from tests.lab.two_agents import TwoAgents

pytestmark = pytest.mark.lab

BEFORE_S = (0.2, 1.0, 3.0)  # Knot Resolver would keep an answer for 5 s, PowerDNS Recursor for one
# PowerDNS Recursor answers questions that it has put to the first agent for up to 3 s after that one is back; a second
# agent that goes within 2 s leaves them without.
OUT_S, BACK_S = 6.0, 4.0
# It waits for the client to ask again. What a killed process had not read is lost, as with a silent machine; an agent
# that is stopped answers it.
LEAVES_TRYING_TO_CLIENTS = {Outage.SILENT: {"systemd-resolved"}, Outage.CLOSED: {"systemd-resolved"}}


@dataclass(frozen=True, slots=True)
class Told:
    """All that the clients of each forwarder were told."""

    validating: dict[str, Asked]
    ttl_s: dict[str, int | None]
    sparse: list[Switch]
    busy: list[Switch]
    gone: dict[Outage, Heard]


@pytest.fixture(scope="module")
def told(able: None) -> Iterator[Told]:
    there = {name: (each, shipped(each)) for name, each in FORWARDERS.items() if not each.missing()}
    with TwoAgents(there) as lab:
        yield asyncio.run(told_in(lab))


async def told_in(lab: TwoAgents) -> Told:
    await lab.settle()
    validating = await ask_all(await lab.askers(dnssec=True))
    askers = await lab.askers()
    ttl_s = {name: await asker.told_ttl_s() for name, asker in askers.items()}
    sparse = [await sparse_switch(lab, askers, before_s, 0.0) for before_s in BEFORE_S]
    busy = [await busy_switch(lab, askers, 1.0, 3.0) for _ in range(2)]
    gone = {outage: await one_gone(lab, {BUSY_S: askers}, outage, out_s=OUT_S, back_s=BACK_S) for outage in Outage}
    return Told(validating, ttl_s, sparse, busy, gone)


@pytest.fixture(params=FORWARDERS)
def name(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    if reason := FORWARDERS[chosen].missing():
        pytest.skip(reason)
    return chosen


def test_a_client_is_told_the_ttl_of_the_agents(told: Told, name: str) -> None:
    assert told.ttl_s[name] == 0


def test_who_asks_for_signatures_is_answered_without(told: Told, name: str) -> None:
    """The zone is unsigned and the public tree knows nothing of its parent: a validator has to be told."""
    assert told.validating[name].answer == NODES["a"]


def test_who_asks_rarely_is_told_the_new_node_at_once(told: Told, name: str) -> None:
    assert [switch.heard[name][-1].answer for switch in told.sparse] == [switch.new for switch in told.sparse]


def test_who_asks_all_the_time_is_told_the_new_node_at_once(told: Told, name: str) -> None:
    for switch in told.busy:
        assert switch.new in {each.answer for each in switch.heard[name]}
        assert switch.old_for_s(name) is None
        assert switch.wrong(name) == []


@pytest.mark.parametrize("outage", Outage, ids=lambda outage: outage.value)
def test_one_agent_gone_and_back_leaves_nobody_without_an_answer(told: Told, name: str, outage: Outage) -> None:
    heard = told.gone[outage][name]
    assert {each.answer for each in heard} <= set(NODES.values())
    if name not in LEAVES_TRYING_TO_CLIENTS.get(outage, ()):
        assert {each.tries for each in heard} == {1}
