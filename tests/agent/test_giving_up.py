"""The shell around the lease: two of them on one store in one loop, with drivers that only listen.

The invariant: an agent that gives the lease up tells its drivers first, waits for their last call, and only then lets
another one lead.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from edge.agent.driver import Driver
from edge.agent.sharing import Sharing
from edge.errors import StoreError
from edge.failover import events as ev
from edge.failover.lease import Keeper, Timing, Write
from edge.failover.model import Assignment, State
from edge.stores.contract import Item
from edge.stores.leases import LEADER, Leases
from edge.stores.records import Clock, Records
from edge.stores.sqlite import SqliteStore
from tests.failover.world import POLICY, Shown, World

SERVICE = POLICY.service
TIMING = Timing(duration_s=2.0, renew_s=0.1)
PATIENCE_S = 30.0


class Listener:
    """A driver as the shell sees it."""

    def __init__(self, state: State) -> None:
        self.state, self.busy, self.heard = state, False, list[ev.Event]()

    def post(self, event: ev.Event) -> None:
        self.heard.append(event)

    @property
    def leads(self) -> bool:
        said = [each.lease.held for each in self.heard if isinstance(each, ev.LeaseSaid)]
        return bool(said) and said[-1]


def seen(silent: bool) -> State:
    """With every endpoint answering, or none, as fresh as the clock that asks."""
    world = World(replace(POLICY, stale_s=1e6), now=time.monotonic() - 100)
    world.sees = dict.fromkeys(world.sees, Shown.SILENT if silent else Shown.ACTIVE)
    return world.probed().passes(100).state


def bereft(target: bool) -> State:
    """As an agent without the lease sees it whose live node is silent, with a target or without one."""
    world = World(replace(POLICY, stale_s=1e6), now=time.monotonic() - 100, held=False).started()
    world.sees |= {"a": Shown.SILENT, "b": Shown.ACTIVE if target else Shown.SILENT}
    return world.passes(90).state


class Frail:
    """A store that can be gone."""

    def __init__(self, store: SqliteStore) -> None:
        self.store, self.gone = store, False

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if self.gone:
            raise StoreError("it is gone")
        found: Callable[..., Any] = getattr(self.store, name)
        return found


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Frail]:
    with closing(SqliteStore(tmp_path)) as opened:
        yield Frail(opened)


class Agent:
    def __init__(self, name: str, store: Any, timing: Timing = TIMING) -> None:
        self.driver = Listener(seen(silent=False))
        clock = Clock(f"boot of {name}", time.monotonic, time.time)
        self.threads = [ThreadPoolExecutor(1), ThreadPoolExecutor(1), ThreadPoolExecutor(4)]
        self.shell = Sharing(
            Keeper(name, name, timing),
            Leases(store),
            Records(store, clock, name),
            cast("dict[str, Driver]", {SERVICE: self.driver}),
            time.monotonic,
            lease_thread=self.threads[0],
            store_thread=self.threads[1],
            reading_threads=self.threads[2],
        )

    async def __aenter__(self) -> "Agent":
        self.running = asyncio.create_task(self.shell.run())
        return self

    async def stops(self) -> None:
        self.running.cancel()
        with suppress(asyncio.CancelledError):
            await self.running

    async def __aexit__(self, *_: object) -> None:
        await self.stops()
        for each in self.threads:
            each.shutdown(wait=False)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 what is waited for has no event
            await asyncio.sleep(0.01)


class Slow(Frail):
    """The first write of the lease is answered late, and no other arrives."""

    LATE_S = 0.6
    sent_at: float | None = None

    def compare_and_set(self, key: str, value: Any, version: int) -> Item:
        if key == LEADER and self.sent_at:
            raise StoreError("it is gone")
        written = self.store.compare_and_set(key, value, version)
        if key == LEADER:
            self.sent_at = time.monotonic()
            time.sleep(self.LATE_S)
        return written


async def test_a_lease_counts_from_before_it_was_asked_for(store: Frail) -> None:
    slow, timing = Slow(store.store), Timing(duration_s=4.0, renew_s=0.1)  # of which a tenth is for the clocks
    async with Agent("one", slow, timing) as one:
        await until(lambda: one.driver.leads)
        assert slow.sent_at
        held = [each.lease for each in one.driver.heard if isinstance(each, ev.LeaseSaid)]
        assert held[-1].until < slow.sent_at + timing.duration_s


def holder(store: Frail) -> tuple[str, bool]:
    item = store.store.read(LEADER)
    return (item.value["holder"], item.value["released"]) if item else ("nobody", True)


async def test_who_leads_learns_what_the_store_has_with_the_first_word_of_it(store: Frail) -> None:
    async with Agent("one", store) as one:
        await until(lambda: one.driver.leads)
        first = next(each for each in one.driver.heard if isinstance(each, ev.LeaseSaid) and each.lease.held)
        assert first.loaded == ev.Loaded(None)
        await until(lambda: len([each for each in one.driver.heard if isinstance(each, ev.LeaseSaid)]) > 3)
        last = one.driver.heard[-1]
        assert isinstance(last, ev.LeaseSaid)
        assert last.loaded is None


async def test_who_leads_is_not_told_so_before_it_knows_what_the_store_has(store: Frail) -> None:
    """However often the lease is renewed meanwhile: it would open epochs over what another agent left."""
    async with Agent("one", store) as one:
        one.shell._records = Records(unreadable := Frail(store.store), Clock("boot", time.monotonic, time.time), "one")
        unreadable.gone = True
        await until(lambda: (item := store.store.read(LEADER)) is not None and item.version > 5)
        assert not one.driver.leads
        unreadable.gone = False
        await until(lambda: one.driver.leads)


async def test_a_follower_is_told_again_and_again_what_the_store_has(store: Frail) -> None:
    async with Agent("one", store) as one:
        await until(lambda: one.driver.leads)
        async with Agent("two", store) as two:
            await until(lambda: len([each for each in two.driver.heard if isinstance(each, ev.Loaded)]) > 2)
            assert not two.driver.leads


async def test_an_agent_whose_own_path_is_down_gives_it_to_one_whose_path_is_up(store: Frail) -> None:
    async with Agent("one", store) as one:
        await until(lambda: one.driver.leads)
        async with Agent("two", store) as two:
            one.driver.state = seen(silent=True)
            await until(lambda: two.driver.leads)
            assert not one.driver.leads
            one.driver.state = seen(silent=False)
            two.driver.state = seen(silent=True)
            await until(lambda: one.driver.leads)


async def test_an_agent_that_sees_no_target_gives_it_to_one_that_does_and_gets_it_back_when_it_is_the_other_way_round(
    store: Frail,
) -> None:
    async with Agent("one", store) as one:
        await until(lambda: one.driver.leads)
        async with Agent("two", store) as two:
            for leader, other in ((one, two), (two, one)):
                leader.driver.state, other.driver.state = bereft(target=False), bereft(target=True)
                began = time.monotonic()
                await until(lambda other=other: other.driver.leads)
                assert not leader.driver.leads
                assert time.monotonic() - began > TIMING.duration_s, "it may be over in a moment"


async def test_where_nobody_sees_a_target_nobody_gives_it_up(store: Frail) -> None:
    async with Agent("one", store) as one:
        await until(lambda: one.driver.leads)
        async with Agent("two", store) as two:
            one.driver.state = two.driver.state = bereft(target=False)
            began = time.monotonic()
            await until(lambda: time.monotonic() > began + 2 * TIMING.duration_s)
            assert one.driver.leads
            assert holder(store) == ("one", False)


async def test_who_takes_it_has_a_duration_of_its_own_however_long_it_was_hindered_before(store: Frail) -> None:
    """Else two that are both hindered, and both could, would hand it back and forth."""
    async with Agent("one", store) as one:
        await until(lambda: one.driver.leads)
        async with Agent("two", store) as two:
            two.driver.state = bereft(target=False)
            await until(lambda: SERVICE in two.shell._vantages._hindered)
            began = time.monotonic()
            await until(lambda: time.monotonic() > began + 1.5 * TIMING.duration_s)
            one.driver.state = seen(silent=True)
            two.driver.state = replace(bereft(target=False), need=bereft(target=True).need)
            await until(lambda: two.driver.leads)
            one.driver.state, took = bereft(target=True), time.monotonic()
            await until(lambda: one.driver.leads)
            assert time.monotonic() - took > TIMING.duration_s * 0.9


async def test_an_agent_that_died_long_ago_relieves_nobody(store: Frail) -> None:
    """Its last word was not heard while nobody listened, and would be taken for news."""
    async with Agent("one", store) as one:
        await until(lambda: one.driver.leads)
        async with Agent("two", store) as two:
            one.driver.state = two.driver.state = seen(silent=True)
            await until(lambda: "two" in one.shell._vantages._peers)
            one.driver.state = two.driver.state = seen(silent=False)
            await until(lambda: one.shell._vantages._blind_since is None)
            told = store.store.read("agent/two").version
            await until(lambda: store.store.read("agent/two").version > told + 2)
        one.driver.state = seen(silent=True)
        await until(lambda: one.shell._vantages._blind_since is not None)
        began = time.monotonic()
        await until(lambda: time.monotonic() > began + 10 * TIMING.renew_s)
        assert one.driver.leads


async def test_where_all_paths_are_down_nobody_gives_it_up(store: Frail) -> None:
    async with Agent("one", store) as one:
        await until(lambda: one.driver.leads)
        async with Agent("two", store) as two:
            one.driver.state = two.driver.state = seen(silent=True)
            spoken = len(two.driver.heard)
            await until(lambda: len(two.driver.heard) > spoken + 20)
            assert one.driver.leads
            assert holder(store) == ("one", False)


async def test_it_is_given_back_when_the_last_call_has_ended_and_not_before(store: Frail) -> None:
    async with Agent("one", store, Timing(duration_s=1e6, renew_s=0.1)) as one:
        await until(lambda: one.driver.leads)
        one.driver.busy = True
        await one.stops()
        await one.shell.leave(0.3)
        assert not one.driver.leads
        assert holder(store) == ("one", False), "a call may still be on its way"
        one.driver.busy = False
        await one.shell.leave(PATIENCE_S)
        assert holder(store) == ("one", True)


async def test_an_agent_whose_path_is_up_again_may_lead_whatever_the_store_says(store: Frail) -> None:
    async with Agent("one", store) as one:
        await until(lambda: one.driver.leads)
        async with Agent("two", store) as two:
            one.driver.state = seen(silent=True)
            await until(lambda: two.driver.leads)
            assert not one.shell._keeper.fit
            store.gone = True
            one.driver.state = seen(silent=False)
            await until(lambda: one.shell._keeper.fit)


class OnItsWay(Leases):
    """A write is sent, and arrives when the test says so."""

    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self.sent, self.arriving = threading.Event(), threading.Event()

    def write(self, write: Write) -> None:
        self.sent.set()
        self.arriving.wait(PATIENCE_S)
        super().write(write)


async def test_a_claim_that_is_on_its_way_when_the_agent_stops_is_given_back(store: Frail) -> None:
    one = Agent("one", store, Timing(duration_s=1e6, renew_s=0.1))
    one.shell._leases = claim = OnItsWay(store)
    async with one:
        await until(claim.sent.is_set)
        await one.stops()
        leaving = asyncio.create_task(one.shell.leave(PATIENCE_S))
        await asyncio.sleep(0)
        claim.arriving.set()
        await leaving
        assert holder(store) == ("one", True)
        assert not one.driver.leads


async def test_a_claim_that_does_not_arrive_in_time_holds_up_no_stop(store: Frail) -> None:
    one = Agent("one", store)
    one.shell._leases = claim = OnItsWay(store)
    async with one:
        await until(claim.sent.is_set)
        await one.stops()
        await one.shell.leave(0.1)
        assert not claim.arriving.is_set()
        claim.arriving.set()


async def test_a_store_that_is_gone_ends_it_by_our_own_clock_and_is_told(store: Frail) -> None:
    async with Agent("one", store) as one:
        await until(lambda: one.driver.leads)
        store.gone = True
        await until(lambda: not one.driver.leads)
        assert one.shell.trouble == "it is gone"
        store.gone = False
        await until(lambda: one.driver.leads)
        await until(lambda: one.shell.trouble is None)


async def test_a_node_that_our_file_lacks_is_neither_served_nor_led(store: Frail) -> None:
    async with Agent("one", store) as one:
        await until(lambda: one.driver.leads)
        async with Agent("two", store) as two:
            intent = ev.Intent(1, "z", None, ev.Cause.OPERATOR, "ann", "test")
            records = Records(store, Clock("boot", time.monotonic, time.time), "one")
            records.write_intent(SERVICE, intent)
            records.commit(SERVICE, intent)
            await until(lambda: two.shell.trouble is not None)
            assert two.shell.trouble == "it has node z, which this agent's file lacks"
            assert ev.Loaded(Assignment("z", 1)) not in two.driver.heard


async def test_what_is_committed_reaches_a_follower_before_everything_is_read_again(store: Frail) -> None:
    slow = Timing(duration_s=1e6, renew_s=2.0)  # everything is read again after 8 s
    records = Records(store, Clock("boot", time.monotonic, time.time), "one")
    async with Agent("one", store, slow) as one:
        await until(lambda: one.driver.leads)
        async with Agent("two", store, slow) as two:
            await until(lambda: len(two.driver.heard) > 0)
            for epoch in (1, 2):
                intent = ev.Intent(epoch, "b", None, ev.Cause.OPERATOR, "ann", "test")
                records.write_intent(SERVICE, intent)
                records.commit(SERVICE, intent)
                await until(lambda epoch=epoch: _served(two, epoch))


def _served(agent: Agent, epoch: int) -> bool:
    last = agent.driver.heard[-1]
    return isinstance(last, ev.Loaded) and last.assignment == Assignment("b", epoch)
