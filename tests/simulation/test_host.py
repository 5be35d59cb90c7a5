"""The host on virtual time: what the stories take for granted of it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.simulation.host import Mutex, Process, RestlessError, Threads, Timeline, acting_for, acts_for


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


# --- the timeline -----------------------------------------------------------------------------------------------------


def test_what_is_due_at_one_moment_happens_in_the_order_in_which_it_was_planned(timeline: Timeline) -> None:
    done: list[str] = []
    for name in ("first", "second", "third"):
        timeline.at(1.0, lambda name=name: done.append(name))
    timeline.run(1.0)
    assert done == ["first", "second", "third"]


def test_what_should_have_happened_before_happens_now_and_takes_no_time_back(timeline: Timeline) -> None:
    timeline.run(5.0)
    times: list[float] = []
    timeline.at(1.0, lambda: times.append(timeline.now))
    timeline.run(6.0)
    assert times == [5.0]


def test_a_story_that_is_stopped_stands_where_it_was_stopped(timeline: Timeline) -> None:
    done: list[float] = []
    timeline.at(1.0, lambda: setattr(timeline, "stopped", True))
    timeline.at(2.0, lambda: done.append(timeline.now))
    timeline.run(9.0)
    assert (timeline.now, done) == (1.0, [])


# --- a clock that goes on otherwise -----------------------------------------------------------------------------------


def test_who_sleeps_is_woken_by_the_clock_as_it_goes_now(timeline: Timeline, process: Process) -> None:
    woke, slept = woken_at(process, 3.0), list[float]()
    Threads(process, 1).submit(lambda: (process.sleep(3.0), slept.append(round(timeline.now, 3))))
    process.happens(lambda: None)
    timeline.run(1.0)
    others: list[float] = []
    timeline.at(2.0, lambda: others.append(timeline.now))
    process.runs(0.5, process.clock() - 0.5 * timeline.now)
    timeline.run(2.9)
    assert (woke, slept, others) == ([], [], [2.0])
    timeline.run(3.1)
    assert (woke, slept) == ([103.0], [3.0])


def test_a_clock_that_stands_still_ends_no_wait(timeline: Timeline, process: Process) -> None:
    woke = woken_at(process, 3.0)
    asked = Threads(process, 1).submit(process.ask, lambda: None, None, None, 4.0)
    process.happens(lambda: None)
    timeline.run(1.0)
    process.runs(0.0, process.clock())
    timeline.run(60.0)
    assert (woke, asked.done()) == ([], False)
    process.runs(2.0, process.clock() - 2.0 * timeline.now)
    timeline.run(62.0)
    assert woke == [103.0]
    assert isinstance(asked.exception(), TimeoutError)


# --- its life ---------------------------------------------------------------------------------------------------------


def test_whatever_it_did_is_followed() -> None:
    timeline, turned = Timeline(), list[float]()
    process = Process("edge-1", timeline, rate=1.0, offset=0.0, turned=lambda: turned.append(timeline.now))
    process.loop.call_later(1.0, lambda: None)
    process.loop.call_later(2.0, lambda: None)
    timeline.run(3.0)
    assert [round(at, 3) for at in turned] == [1.0, 2.0]


def test_who_is_dead_does_nothing_any_more(timeline: Timeline, process: Process) -> None:
    done: list[str] = []
    process.loop.call_later(2.0, done.append, "a timer")
    process.kill()
    process.happens(done.append, "at once")
    Threads(process, 1).submit(done.append, "in a thread")
    timeline.run(5.0)
    assert done == []


def test_what_a_killed_process_had_begun_is_unwound_and_is_no_fault(timeline: Timeline, process: Process) -> None:
    left: list[str] = []

    @contextmanager
    def entered(what: str) -> Iterator[None]:
        try:
            yield
        finally:
            left.append(what)

    async def waits() -> None:
        with entered("a task"):
            try:
                await asyncio.sleep(9.0)
            finally:
                raise ValueError("nobody hears it")

    def blocks() -> None:
        with entered("a thread"):
            process.sleep(9.0)

    Threads(process, 1).submit(blocks)
    process.begin(waits())
    timeline.run(1.0)
    process.kill()
    assert sorted(left) == ["a task", "a thread"]
    assert process.faults == []


def test_a_fault_in_what_happens_is_kept(process: Process) -> None:
    def fails() -> None:
        raise ValueError("a fault")

    process.happens(fails)
    assert [str(fault) for fault in process.faults] == ["a fault"]


def test_a_fault_that_asyncio_meets_is_kept(process: Process) -> None:
    process.loop.call_exception_handler({"message": "it never was awaited"})
    process.loop.call_exception_handler({"message": "", "exception": ValueError("a fault")})
    assert [str(fault) for fault in process.faults] == ["it never was awaited", "a fault"]


# --- what blocks ------------------------------------------------------------------------------------------------------


def test_a_call_takes_its_time_there_and_back(timeline: Timeline, process: Process) -> None:
    times: list[float] = []
    asked = Threads(process, 1).submit(process.ask, lambda: times.append(timeline.now) or "said", 1.0, 0.5, 9.0)
    asked.add_done_callback(lambda _: times.append(timeline.now))
    process.happens(lambda: None)
    timeline.run(5.0)
    assert (times, asked.result()) == ([1.0, 1.5], "said")


def test_what_the_far_side_refuses_is_raised_where_the_answer_arrives(timeline: Timeline, process: Process) -> None:
    def refuses() -> None:
        raise ValueError("no")

    asked = Threads(process, 1).submit(process.ask, refuses, 1.0, 1.0, 9.0)
    process.happens(lambda: None)
    timeline.run(5.0)
    assert isinstance(asked.exception(), ValueError)


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next_ones(timeline: Timeline, process: Process) -> None:
    def asks_twice() -> str:
        with pytest.raises(TimeoutError):
            process.ask(lambda: "late", 1.0, 3.0, 4.0)
        return process.ask(lambda: "right", 1.0, 1.5, 60.0)

    asked = Threads(process, 1).submit(asks_twice)
    process.happens(lambda: None)
    timeline.run(30.0)
    assert asked.result() == "right"


def test_what_nobody_waits_for_any_more_is_begun_only_where_a_thread_was_free(
    timeline: Timeline, process: Process
) -> None:
    threads, began = Threads(process, 1), list[str]()

    def works(name: str) -> None:
        process.sleep(2.0)
        began.append(name)

    waiting = [threads.submit(works, name) for name in ("one", "two", "three")]
    process.happens(lambda: None)
    assert not waiting[0].cancel(), "it runs"
    assert waiting[1].cancel()
    timeline.run(5.0)
    assert began == ["one", "three"]


@pytest.mark.parametrize("fails", [True, False])
def test_an_outcome_for_which_nobody_waits_any_more_is_dropped(
    timeline: Timeline, process: Process, fails: bool
) -> None:
    def works() -> None:
        process.sleep(2.0)
        if fails:
            raise ValueError("nobody hears it")

    future = process.loop.run_in_executor(Threads(process, 1), works)
    process.happens(lambda: None)
    future.cancel()
    timeline.run(5.0)
    assert process.faults == []


def test_one_thread_at_a_time_has_a_lock(timeline: Timeline, process: Process) -> None:
    threads, lock, times = Threads(process, 2), Mutex(process), list[float]()

    def works() -> None:
        with lock:
            times.append(round(timeline.now))
            process.sleep(4.0)

    for _ in range(2):
        threads.submit(works)
    process.happens(lambda: None)
    timeline.run(9.0)
    assert times == [0, 2]


def test_each_thread_knows_for_which_epoch_it_acts(timeline: Timeline, process: Process) -> None:
    threads, acted = Threads(process, 2), list[tuple[int, int]]()

    def acts(epoch: int) -> None:
        acting_for(epoch)
        process.sleep(1.0)
        acted.append((epoch, acts_for()))

    for epoch in (1, 2):
        threads.submit(acts, epoch)
    process.happens(lambda: None)
    timeline.run(9.0)
    assert acted == [(1, 1), (2, 2)]
