"""A host on virtual time: an event loop and blocking threads that take turns, without a real thread or a real sleep.

    Timeline    what happens when, in the world's own time
    Loop        an asyncio loop of one process, on its host's clock
    Process     what crashes or stands still as one: its loop and its threads
    Threads     an executor whose threads are greenlets: what blocks in one gives the turn back to the timeline

A process is run only between two events of the timeline, so a seed always tells the same story.
"""

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

from greenlet import getcurrent, greenlet

T = TypeVar("T")
Act = Callable[[], None]
ROUNDING_S = 1e-9
RESTLESS = 10_000  # rounds of a loop at one moment; a busy one has some twenty


class RestlessError(AssertionError):
    pass


class Timeline:
    def __init__(self) -> None:
        self.now = 0.0
        self.count = 0
        self._heap: list[tuple[float, int, Act]] = []
        self._order = itertools.count()

    def at(self, when: float, act: Act) -> None:
        heapq.heappush(self._heap, (max(when, self.now), next(self._order), act))

    def after(self, seconds: float, act: Act) -> None:
        self.at(self.now + seconds, act)

    def run(self, until: float, between: Act) -> None:
        while self._heap and self._heap[0][0] <= until:
            self.now, _, act = heapq.heappop(self._heap)
            self.count += 1
            act()
            between()
        self.now = until


class _NoSelector:
    def select(self, timeout: float | None) -> list[Any]:
        return []

    def close(self) -> None:
        pass


class Loop(asyncio.BaseEventLoop):
    """Turned by hand: `turn` runs whatever is due by the host's clock."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._selector = _NoSelector()
        self._clock_resolution = ROUNDING_S
        self.time = clock  # type: ignore[method-assign]

    def _process_events(self, event_list: object) -> None:
        pass

    def _write_to_self(self) -> None:
        """Whoever calls from outside is in the same thread: nothing has to be woken."""

    def due(self) -> bool:
        return bool(self._ready) or self.next_at() <= self.time()

    def next_at(self) -> float:
        while self._scheduled and self._scheduled[0]._cancelled:
            heapq.heappop(self._scheduled)._scheduled = False
            self._timer_cancelled_count -= 1
        return self._scheduled[0]._when if self._scheduled else float("inf")

    def turn(self) -> None:
        asyncio._set_running_loop(self)
        try:
            for _ in range(RESTLESS):
                if not self.due():
                    return
                self._run_once()
            raise RestlessError("a process never rests: each thing that it does at one moment leads to another")
        finally:
            asyncio._set_running_loop(None)


class Process:
    """`rate`: how many seconds its host's clock counts in one of the world's."""

    def __init__(self, name: str, timeline: Timeline, rate: float, offset: float) -> None:
        self.name, self.rate, self.offset = name, rate, offset
        self.timeline = timeline
        self.loop = Loop(self.clock)
        self.dead = self.paused = False
        self.faults: list[BaseException] = []
        self._late: deque[Act] = deque()
        self._blocked: set[greenlet] = set()
        self._wake_at = float("inf")
        self.loop.set_exception_handler(lambda _loop, said: self._unhandled(said))

    def _unhandled(self, said: dict[str, Any]) -> None:
        if not self.dead:
            self.faults.append(said.get("exception") or RuntimeError(said["message"]))

    def clock(self) -> float:
        return self.offset + self.timeline.now * self.rate

    def turn(self) -> bool:
        """Whether it did anything."""
        if self.dead or self.paused or not self.loop.due():
            return False
        self.loop.turn()
        self._sleep_until(self.loop.next_at())
        return True

    def _sleep_until(self, at: float) -> None:
        when = (at - self.offset) / self.rate + ROUNDING_S
        if at < float("inf") and not self.timeline.now < self._wake_at <= when:
            self._wake_at = when
            self.timeline.at(when, lambda: None)

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        self.loop.create_task(work)
        self.timeline.after(0.0, lambda: None)

    # --- what blocks --------------------------------------------------------------------------------------------------

    def spawn(self, work: Act) -> None:
        thread = greenlet(work)
        self.timeline.after(0.0, lambda: self._go_on(thread, None))

    def _go_on(self, thread: greenlet, value: object) -> None:
        if self.dead:
            return
        if self.paused:
            self._late.append(lambda: self._go_on(thread, value))
            return
        self._blocked.discard(thread)
        thread.switch(value) if thread else thread.switch()

    def _block(self) -> Any:
        """Until somebody lets this thread go on."""
        self._blocked.add(getcurrent())
        return getcurrent().parent.switch()

    def sleep(self, seconds: float) -> None:
        """Called in a thread."""
        thread = getcurrent()
        self.timeline.after(max(seconds, ROUNDING_S) / self.rate, lambda: self._go_on(thread, None))
        self._block()

    def ask(self, do: Callable[[], T], there_s: float | None, back_s: float | None, timeout_s: float) -> T:
        """`do` at the far side, however this process fares meanwhile. None: lost on that way. Raises TimeoutError."""
        thread, answered = getcurrent(), []

        def arrive() -> None:
            try:
                outcome: tuple[Any, Exception | None] = (do(), None)
            except Exception as error:  # noqa: BLE001 it is raised where the answer arrives
                outcome = (None, error)
            if back_s is not None:
                self.timeline.after(back_s, lambda: answer(outcome))

        def answer(outcome: tuple[Any, Exception | None]) -> None:
            if not answered:
                answered.append(True)
                self._go_on(thread, outcome)

        if there_s is not None:
            self.timeline.after(there_s, arrive)
        if there_s is None or back_s is None or there_s + back_s >= timeout_s / self.rate:
            self.timeline.after(timeout_s / self.rate, lambda: answer((None, TimeoutError("no answer"))))
        value, error = self._block()
        if error:
            raise error
        answer_: T = value
        return answer_

    # --- its end ------------------------------------------------------------------------------------------------------

    def resume(self) -> None:
        self.paused = False
        late, self._late = self._late, deque()
        for act in late:
            self.timeline.after(0.0, act)
        self.turn()

    def kill(self) -> None:
        """Nothing leaves it any more; what it had begun is unwound, so that nothing is left behind in this process."""
        self.dead = True
        for thread in list(self._blocked):
            thread.throw()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.turn()
        self.loop.close()


def acting_for(epoch: int) -> None:
    """Said in a thread that is about to change AWS."""
    getcurrent().epoch = epoch


def acts_for() -> int:
    epoch: int = getcurrent().epoch
    return epoch


class Threads(Executor):
    def __init__(self, process: Process, count: int) -> None:
        self._process, self._free = process, count
        self._waiting: deque[tuple[Future[Any], Callable[[], Any]]] = deque()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        self._waiting.append((future, lambda: fn(*args, **kwargs)))
        self._next()
        return future

    def _next(self) -> None:
        if self._free and self._waiting and not self._process.dead:
            self._free -= 1
            future, work = self._waiting.popleft()
            self._process.spawn(lambda: self._work(future, work))

    def _work(self, future: "Future[Any]", work: Callable[[], Any]) -> None:
        if future.set_running_or_notify_cancel():
            try:
                result = work()
            except Exception as error:  # noqa: BLE001 it is the future's
                future.set_exception(error)
            else:
                future.set_result(result)
        self._free += 1
        self._next()


class Mutex:
    """A lock for threads that take turns."""

    def __init__(self, process: Process) -> None:
        self._process, self._taken = process, False

    def __enter__(self) -> None:
        while self._taken:
            self._process.sleep(0.001)
        self._taken = True

    def __exit__(self, *_: object) -> None:
        self._taken = False
