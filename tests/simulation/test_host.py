"""The host on virtual time: what the stories take for granted of it."""

import asyncio

import pytest

from tests.simulation.host import Process, RestlessError, Threads, Timeline


@pytest.fixture
def timeline() -> Timeline:
    return Timeline()


@pytest.fixture
def process(timeline: Timeline) -> Process:
    return Process("edge-1", timeline, rate=2.0, offset=100.0, turned=lambda: None)


def woken_at(process: Process, seconds: float) -> list[float]:
    """By its host's clock, once it has slept so long by that."""
    woke: list[float] = []

    async def sleeps() -> None:
        await asyncio.sleep(seconds)
        woke.append(round(process.clock(), 3))

    process.begin(sleeps())
    return woke


def test_a_process_sleeps_by_its_hosts_clock(timeline: Timeline, process: Process) -> None:
    woke = woken_at(process, 3.0)
    timeline.run(1.4)
    assert not woke
    timeline.run(1.6)
    assert woke == [103.0]


def test_who_stands_still_does_it_all_once_it_goes_on(timeline: Timeline, process: Process) -> None:
    woke = woken_at(process, 3.0)
    timeline.run(1.0)
    process.paused = True
    timeline.run(10.0)
    assert not woke
    process.resume()
    assert woke == [120.0]


def test_what_was_cancelled_while_it_stood_still_is_not_done(timeline: Timeline, process: Process) -> None:
    done: list[str] = []
    timer = process.loop.call_later(1.0, done.append, "timer")
    process.loop.call_later(0.5, timer.cancel)
    process.paused = True
    timeline.run(10.0)
    process.resume()
    assert not done


def test_a_call_arrives_though_its_process_is_killed_and_nobody_hears_the_answer(
    timeline: Timeline, process: Process
) -> None:
    done: list[str] = []
    Threads(process, 1).submit(lambda: done.append(process.ask(lambda: done.append("there") or "back", 1.0, 1.0, 5.0)))
    process.happens(lambda: None)
    timeline.run(0.5)
    process.kill()
    timeline.run(10.0)
    assert done == ["there"]


@pytest.mark.parametrize(("there_s", "back_s", "arrives"), [(None, 1.0, False), (1.0, None, True), (1.0, 9.0, True)])
def test_a_call_times_out_by_the_hosts_clock(
    timeline: Timeline, process: Process, there_s: float | None, back_s: float | None, arrives: bool
) -> None:
    done: list[str] = []
    asked = Threads(process, 1).submit(process.ask, lambda: done.append("there"), there_s, back_s, 4.0)
    process.happens(lambda: None)
    timeline.run(1.9)
    assert not asked.done()
    timeline.run(2.1)
    assert isinstance(asked.exception(), TimeoutError)
    assert bool(done) is arrives


def test_threads_are_no_more_than_there_are(timeline: Timeline, process: Process) -> None:
    threads, began = Threads(process, 2), []

    def works() -> None:
        began.append(round(timeline.now, 6))
        process.sleep(2.0)

    for _ in range(3):
        threads.submit(works)
    process.happens(lambda: None)
    timeline.run(10.0)
    assert began == [0.0, 0.0, 1.0]


def test_a_fault_in_a_task_is_kept(timeline: Timeline, process: Process) -> None:
    async def fails() -> None:
        raise ValueError("a fault")

    process.begin(fails())
    timeline.run(1.0)
    assert [str(fault) for fault in process.faults] == ["a fault"]


def test_who_never_rests_is_told() -> None:
    timeline = Timeline()
    process = Process("edge-1", timeline, rate=1.0, offset=0.0, turned=lambda: None)

    def spins() -> None:
        process.loop.call_soon(spins)

    timeline.at(0.5, lambda: process.happens(spins))
    with pytest.raises(RestlessError):
        timeline.run(1.0)


def test_a_timer_that_never_rests_is_told(timeline: Timeline, process: Process) -> None:
    def again() -> None:
        process.loop.call_later(0.0, again)

    process.loop.call_later(0.0, again)
    with pytest.raises(RestlessError):
        timeline.run(1.0)
