"""Disagreement windows: of one switch by hand, and of the views of real name servers as a test turns them."""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from edge.agent.answering import Answers
from edge.agent.reading import Read
from edge.agent.views import RATION_S, RATIONED, Views
from edge.agent.watch import Watch
from edge.agent.windows import Window, said
from edge.errors import Fault, StoreError
from edge.failover.model import Assignment
from edge.switches.contract import View
from tests.agent.site import ADDRESS, NAME, PATIENCE_S
from tests.agent.test_answering import BY_NODE, PrivateZone
from tests.cloud.emulator import Emulator

A7, B8 = Assignment("a", 7), Assignment("b", 8)


def told(name: str, at: float, node: str | None = "b", epoch: int = 8) -> Read:
    return Read(name, at, View(node, epoch, "read"))


# --- one window -----------------------------------------------------------------------------------------------------


def test_a_window_begins_with_the_commit_and_ends_view_by_view() -> None:
    window = Window(B8, ["agent", "route53", "dc1"], [told("agent", 0, "a", 7), told("route53", 0, "a", 7)])
    assert (window.took_s(), window.began, window.whole) == ({}, None, False)
    window.committed(10.0)
    for read in (told("agent", 10.25), told("agent", 99.0), told("route53", 11.0), told("dc1", 11.5, "a", 7)):
        window.note(read)
    assert window.took_s() == {"agent": 0.25, "route53": 1.0, "dc1": None}
    assert (window.fresh_s(), window.fresh_s()) == ({"agent": 0.25, "route53": 1.0}, {})
    window.note(told("dc1", 40.0))
    assert (window.fresh_s(), window.whole) == ({"dc1": 30.0}, True)


def test_a_window_begins_earlier_with_the_first_view_that_moved() -> None:
    window = Window(B8, ["route53", "agent"])
    window.note(told("route53", 9.5))
    window.committed(10.0)
    window.note(told("agent", 10.5))
    assert window.took_s() == {"route53": 0.0, "agent": 1.0}


def test_who_told_it_before_has_nothing_to_move_to() -> None:
    """Of a node that is asserted anew, an address tells nothing new, and what carries an epoch does."""
    again = Assignment("a", 8)
    window = Window(again, ["address", "route53"], [told("address", 0, "a", 0), told("route53", 0, "a", 7)])
    window.note(told("address", 5.0, "a", 0))
    window.committed(10.0)
    window.note(told("route53", 10.5, "a", 8))
    assert (window.took_s(), window.whole) == ({"route53": 0.5}, True)


def test_who_can_not_be_read_does_not_agree() -> None:
    window = Window(B8, ["dc1"])
    window.committed(10.0)
    window.note(Read("dc1", 11.0, None, "no answer"))
    assert (window.awaits("dc1"), window.took_s()) == (True, {"dc1": None})


@pytest.mark.parametrize(
    ("took_s", "sentence"),
    [
        ({}, ""),
        ({"agent": 0.004}, "; views: agent 4 ms"),
        ({"dc1": 1.5, "agent": 0.004}, "; views: agent 4 ms, dc1 1500 ms, dc1 was the slowest"),
        ({"agent": 0.004, "dc1": None}, "; views: agent 4 ms; not seen to agree yet: dc1"),
        ({"dc1": None}, "; views: none; not seen to agree yet: dc1"),
    ],
)
def test_the_history_names_the_slowest_and_the_missing(took_s: dict[str, float | None], sentence: str) -> None:
    assert said(took_s) == sentence


# --- read as the agent reads ------------------------------------------------------------------------------------------


@dataclass
class Turned:
    """A side that a test turns."""

    name: str
    node: str | None = "a"
    epoch: int = 7
    reads: list[float] = field(default_factory=list)

    def view(self) -> View:
        self.reads.append(time.monotonic())
        if self.node is None:
            raise StoreError("can't be read")
        return View(self.node, self.epoch, "read")


class Bench:
    """Views of one service, whose assignment a test commits."""

    def __init__(self, threads: ThreadPoolExecutor, *sides: object) -> None:
        self.sides = list(sides)
        self.live = A7
        self.measured: dict[str, float] = {}
        self.faults: list[BaseException] = []
        self.views = Views(threads, time.monotonic, lambda _: self.live, self._measured)
        self.watch = Watch(self.views, lambda _: self.sides, self.faults.append)  # type: ignore[arg-type, return-value]

    def _measured(self, _service: str, view: str, seconds: float) -> None:
        self.measured[view] = seconds

    def commits(self) -> None:
        self.live = B8
        self.watch.committed(NAME)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not holds():  # noqa: ASYNC110 what is waited for sets no event
                await asyncio.sleep(0.01)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as running:
        yield running


async def test_each_view_is_read_until_it_agrees_and_no_longer(threads: ThreadPoolExecutor) -> None:
    early, late = Turned("early"), Turned("late")
    bench = Bench(threads, early, late)
    await bench.views.look(NAME, bench.sides)
    bench.watch.opened(NAME, B8)
    early.node, early.epoch = "b", 8
    await bench.until(lambda: not bench.views.awaits(NAME, "early"))
    bench.commits()
    assert bench.measured == {"early": 0.0}
    waiting = asyncio.create_task(bench.views.took_s(NAME, 8, PATIENCE_S))
    reads = len(early.reads)
    late.node, late.epoch = "b", 8
    took_s = await waiting
    assert took_s == bench.measured
    assert took_s["late"] is not None
    assert took_s["late"] > 0
    assert len(early.reads) == reads
    await bench.until(lambda: not bench.watch._watching)
    assert bench.faults == []


async def test_disagreement_counts_from_the_first_view_that_moved(threads: ThreadPoolExecutor) -> None:
    side = Turned("route53")
    bench = Bench(threads, side)
    await bench.views.look(NAME, bench.sides)
    assert bench.views.disagreement_s(NAME, time.monotonic()) == 0
    bench.watch.opened(NAME, B8)
    before = time.monotonic()
    bench.commits()
    after = time.monotonic()
    await bench.views.look(NAME, bench.sides)
    now = time.monotonic()
    assert now - after <= bench.views.disagreement_s(NAME, now) <= now - before
    side.node, side.epoch = "b", 8
    await bench.views.look(NAME, bench.sides)
    assert bench.views.disagreement_s(NAME, now) == 0
    await bench.watch.stop()


async def test_who_is_late_is_waited_for_only_as_long_as_is_said(threads: ThreadPoolExecutor) -> None:
    dead = Turned("dc1", node=None)
    bench = Bench(threads, dead)
    bench.watch.opened(NAME, B8)
    bench.commits()
    assert await bench.views.took_s(NAME, 8, 0.05) == {"dc1": None}
    assert await bench.views.took_s(NAME, 9, None) == {}
    endless = asyncio.create_task(bench.views.took_s(NAME, 8, None))
    await asyncio.sleep(0)
    bench.watch.opened(NAME, Assignment("a", 9))
    assert await endless == {"dc1": None}
    await bench.watch.stop()


async def test_a_fault_in_a_side_is_a_reading_without_a_view_and_the_watch_goes_on(threads: ThreadPoolExecutor) -> None:
    class Faulty(Turned):
        def view(self) -> View:
            super().view()
            raise ZeroDivisionError

    side = Faulty("route53")
    bench = Bench(threads, side)
    bench.watch.opened(NAME, B8)
    await bench.until(lambda: len(side.reads) > 1)
    await bench.watch.stop()
    assert [each.fault for each in bench.views.reads(NAME)] == [Fault.IMPOSSIBLE]
    assert bench.faults == []


async def test_a_fault_in_the_watch_is_told_and_ends_it(threads: ThreadPoolExecutor) -> None:
    bench = Bench(threads, Turned("agent", "b", 8))
    bench.measured = None  # type: ignore[assignment]  # to measure raises TypeError
    bench.watch.opened(NAME, B8)
    bench.commits()
    await bench.until(lambda: bool(bench.faults))
    assert isinstance(bench.faults[0], ExceptionGroup)


async def test_route_53_is_asked_no_more_often_than_its_ration_however_many_ask(threads: ThreadPoolExecutor) -> None:
    sides = [Turned(RATIONED) for _ in range(4)]
    bench = Bench(threads)
    began = time.monotonic()
    await asyncio.gather(*(bench.views.look(f"{i}.example", [side]) for i, side in enumerate(sides)))
    assert time.monotonic() - began >= 3 * RATION_S
    assert [len(side.reads) for side in sides] == [1, 1, 1, 1]


async def test_agents_that_share_the_account_share_the_ration(threads: ThreadPoolExecutor) -> None:
    views = Views(threads, time.monotonic, lambda _: A7, lambda *_: None, lambda: 3)
    began = time.monotonic()
    await asyncio.gather(*(views.look(f"{i}.example", [Turned(RATIONED)]) for i in range(2)))
    assert time.monotonic() - began >= 3 * RATION_S


async def test_a_side_that_is_none_any_more_is_forgotten(threads: ThreadPoolExecutor) -> None:
    bench = Bench(threads, Turned("agent"), Turned("dc1"))
    await bench.views.look(NAME, bench.sides)
    await bench.views.look(NAME, bench.sides[:1])
    assert [each.name for each in bench.views.seen(NAME, time.monotonic())] == ["agent"]


async def test_windows_of_real_name_servers(threads: ThreadPoolExecutor, cloud: Emulator) -> None:
    """One that moves before the commit, and one that moves after it."""
    zone = PrivateZone(cloud)
    zone.points_to("a", 7)
    early = Answers("resolver/early", zone.server, NAME, BY_NODE, 0, recursive=True)
    late = Answers("resolver/late", zone.server, NAME, {"a": (ADDRESS["a"],), "b": ("127.0.1.12",)}, 0)
    bench = Bench(threads, early, late)
    await bench.views.look(NAME, bench.sides)
    bench.watch.opened(NAME, B8)
    await asyncio.to_thread(zone.points_to, "b", 8)
    await bench.until(lambda: not bench.views.awaits(NAME, "resolver/early"))
    bench.commits()
    await asyncio.to_thread(zone.change, "UPSERT", NAME, "A", "127.0.1.12")
    took_s = await bench.views.took_s(NAME, 8, PATIENCE_S)
    assert took_s["resolver/early"] == 0.0
    assert took_s["resolver/late"]
    with suppress(asyncio.CancelledError):
        await bench.watch.stop()
    cloud.reset()
