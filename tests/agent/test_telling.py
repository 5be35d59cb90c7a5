"""What agents tell each other of what they see, between two shells on one store in one loop."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from edge.failover import events as ev
from edge.failover.lease import Timing, Word
from edge.failover.model import Assignment, Opinion, Report, Sight, State
from edge.stores.leases import AGENTS, LEADER, Leases
from edge.stores.sqlite import SqliteStore
from tests.agent.test_giving_up import PATIENCE_S, SERVICE, Agent, Frail, seen, until
from tests.failover.world import POLICY, Shown, World

HOURS = Timing(duration_s=4e6, renew_s=1e6)
"""Whatever is told is told because something changed."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Frail]:
    with closing(SqliteStore(tmp_path)) as opened:
        yield Frail(opened)


def watching(name: str, peer: str, state: State) -> State:
    return replace(
        state, policy=replace(state.policy, vantage=name, peers=(peer,), quorum=2), assignment=Assignment("a", 1)
    )


def failing() -> State:
    """It sees a dead, and b and the witness answer."""
    world = World(replace(POLICY, stale_s=1e6), now=time.monotonic() - 100).probed().passes(80)
    world.sees["a"] = Shown.SILENT
    return world.passes(20).state


def says(store: Frail, name: str) -> dict[str, str]:
    """What an agent posted last of each node."""
    word = Leases(store.store).heard().get(name, Word(0, path_up=False))
    report = word.reports.get(SERVICE, Report(0.0, False, {}))
    return {node: said.sight.value for node, said in report.opinions.items()}


def heard(agent: Agent) -> list[ev.Reported]:
    return [each for each in agent.driver.heard if isinstance(each, ev.Reported)]


async def test_what_changes_is_posted_at_once(store: Frail) -> None:
    async with Agent("one", store, HOURS) as one:
        one.driver.state = watching("one", "two", seen(silent=False))
        await until(lambda: says(store, "one") == {"a": "active", "b": "active"})
        one.driver.state = watching("one", "two", failing())
        one.shell.saw(SERVICE)
        await until(lambda: says(store, "one") == {"a": "down", "b": "active"})


async def test_what_does_not_change_is_not_posted_with_each_probe(store: Frail) -> None:
    async with Agent("one", store, HOURS) as one:
        one.driver.state = watching("one", "two", failing())
        one.shell.saw(SERVICE)
        await until(lambda: says(store, "one") == {"a": "down", "b": "active"})
        posted = store.store.read(f"{AGENTS}one")
        for _ in range(50):
            one.shell.saw(SERVICE)
            await asyncio.sleep(0.005)
        assert store.store.read(f"{AGENTS}one") == posted


async def test_what_was_there_before_counts_once_it_has_changed(store: Frail) -> None:
    """It may be from last year."""
    theirs, opinions = Leases(store.store), {"a": Opinion(Sight.DOWN, "a is down")}
    theirs.say("two", Word(0, path_up=True, reports={SERVICE: Report(0.0, True, opinions)}))
    async with Agent("one", store) as one:
        one.driver.state = watching("one", "two", seen(silent=False))
        await until(lambda: len(one.driver.heard) > 20)
        assert not heard(one)
        theirs.say("two", Word(0, path_up=True, reports={SERVICE: Report(0.0, True, opinions)}))
        await until(lambda: bool(heard(one)))
        [told] = heard(one)
        assert (told.vantage, told.report.opinions) == ("two", opinions)
        assert 0 <= time.monotonic() - told.report.at < 10


async def test_the_leader_hears_often_while_it_sees_the_live_node_fail(store: Frail) -> None:
    """And else as often as the lease is renewed, which here is never."""
    theirs = Leases(store.store)
    theirs.say("two", Word(0, path_up=True))
    async with Agent("one", store, HOURS) as one:
        one.driver.state = watching("one", "two", seen(silent=False))
        await until(lambda: one.driver.leads)
        await asyncio.sleep(0.3)
        for _ in range(3):
            theirs.say("two", Word(0, path_up=True, reports={SERVICE: Report(0.0, True, {})}))
            await asyncio.sleep(0.3)
        assert not heard(one)
        one.driver.state = watching("one", "two", failing())
        one.shell.saw(SERVICE)
        for said in range(1, 4):
            theirs.say("two", Word(0, path_up=True, reports={SERVICE: Report(0.0, True, {})}))
            await until(lambda said=said: len(heard(one)) >= said)


async def test_a_word_that_is_not_posted_is_posted_when_the_store_is_back(store: Frail) -> None:
    async with Agent("one", store) as one:
        one.driver.state = watching("one", "two", seen(silent=False))
        await until(lambda: says(store, "one") == {"a": "active", "b": "active"})
        store.gone = True
        one.driver.state = watching("one", "two", failing())
        one.shell.saw(SERVICE)
        await asyncio.sleep(0.2)
        assert says(store, "one") == {"a": "active", "b": "active"}
        store.gone = False
        await until(lambda: says(store, "one") == {"a": "down", "b": "active"})


async def test_a_report_for_a_service_that_we_lack_is_left(store: Frail) -> None:
    theirs = Leases(store.store)
    async with Agent("one", store) as one:
        one.driver.state = watching("one", "two", seen(silent=False))
        await until(lambda: one.driver.leads)
        for _ in range(20):
            theirs.say("two", Word(0, path_up=True, reports={"another": Report(0.0, True, {})}))
            await asyncio.sleep(0.02)
        assert not heard(one)


async def test_who_stops_withdraws_what_it_saw(store: Frail) -> None:
    async with Agent("one", store) as one:
        one.driver.state = watching("one", "two", seen(silent=False))
        await until(lambda: says(store, "one") == {"a": "active", "b": "active"})
        await one.stops()
        await one.shell.leave(PATIENCE_S)
        assert says(store, "one") == {"a": "unknown", "b": "unknown"}
        assert store.store.read(LEADER).value["released"]


async def test_a_stranger_is_told_of_once(store: Frail, caplog: pytest.LogCaptureFixture) -> None:
    """Somebody has forgotten it in one of the files."""
    theirs = [Leases(store.store), Leases(store.store)]
    async with Agent("one", store) as one:
        one.driver.state = watching("one", "two", seen(silent=False))
        await until(lambda: one.driver.leads)
        for _ in range(10):
            for name, said in zip(("two", "three"), theirs, strict=True):
                said.say(name, Word(0, path_up=True, reports={SERVICE: Report(0.0, True, {})}))
            await asyncio.sleep(0.05)
        await until(lambda: bool(heard(one)))
    [warned] = [record.message for record in caplog.records if "vantages" in record.message]
    assert warned.startswith("three posts what it sees")
