"""A host on virtual time: an event loop and blocking threads that take turns, without a real thread or a real sleep.

    Timeline    what happens when, in the world's own time
    Process     what crashes or stands still as one: its loop and its threads, on its host's clock
    Loop        the asyncio loop of one process: whatever is ready runs at once, a timer is an event of the timeline
    Threads     an executor whose threads are greenlets: what blocks in one gives the turn back to the timeline

A process is run only between two events of the timeline, so a seed always tells the same story. asyncio's own tasks and
futures are run as they are; of its loop only what an agent asks for is here, as most of a seed's time would go there.
"""

import asyncio
import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

from greenlet import getcurrent, greenlet

T = TypeVar("T")
Act = Callable[[], object]
ROUNDING_S = 1e-9
NEARLY = 0.9  # of a time-out: clocks that run fast, and faster meanwhile, come to its end so soon
MOMENT_S = 1e-3
RESTLESS = 10_000  # events, or rounds of a loop, within a moment; a busy one has some twenty


class RestlessError(AssertionError):
    def __init__(self) -> None:
        super().__init__("a process never rests: each thing that it does at one moment leads to another")


class Timeline:
    def __init__(self) -> None:
        self.now = 0.0
        self.count = 0
        self.stopped = False
        self._heap: list[tuple[float, int, Act]] = []
        self._order = itertools.count()

    def at(self, when: float, act: Act) -> None:
        heapq.heappush(self._heap, (max(when, self.now), next(self._order), act))

    def after(self, seconds: float, act: Act) -> None:
        self.at(self.now + seconds, act)

    def moved(self, process: "Process") -> None:
        """A clock goes on otherwise: what waits for a moment of it is due at another time."""
        for place, (_, order, act) in enumerate(self._heap):
            timer = getattr(act, "__self__", None)
            if isinstance(timer, Timer) and timer.process is process:
                self._heap[place] = (max(process.time_of(timer.when()), self.now), order, act)
        heapq.heapify(self._heap)

    def run(self, until: float) -> None:
        """Or until it is stopped."""
        while self._some(until):
            pass
        self.now = self.now if self.stopped else until

    def _some(self, until: float) -> bool:
        """Whether there may be more."""
        heap, began = self._heap, self.now
        for _ in range(RESTLESS):
            if not heap or heap[0][0] > until or self.stopped:
                return False
            self.now, self.count, act = heapq.heappop(heap)
            act()
        if self.now < began + MOMENT_S:
            raise RestlessError
        return True


class Process:
    """`rate`: how many seconds its host's clock counts in one of the world's. `turned` follows whatever it did."""

    def __init__(self, name: str, timeline: Timeline, rate: float, offset: float, turned: Act) -> None:
        self.name, self.rate, self.offset = name, rate, offset
        self.timeline = timeline
        self.loop = Loop(self)
        self.dead = self.paused = False
        self.faults: list[BaseException] = []
        self._turned = turned
        self._late: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._blocked: set[greenlet] = set()

    def clock(self) -> float:
        return self.offset + self.timeline.now * self.rate

    def time_of(self, moment: float) -> float:
        """When its host's clock shows this; infinite where that stands still."""
        return (moment - self.offset) / self.rate + ROUNDING_S if self.rate else math.inf

    def runs(self, rate: float, offset: float) -> None:
        """Its host's clock does, from now on."""
        self.rate, self.offset = rate, offset
        self.timeline.moved(self)

    def happens(self, act: Callable[..., object], *args: Any) -> None:
        """In this process, now, with all that follows at once; where it stands still, once it goes on."""
        if self.dead:
            return
        if self.paused:
            self._late.append((act, args))
            return
        self.loop.turn(act, args)
        self._turned()

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        self.timeline.after(0.0, lambda: self.happens(self._begun, work))

    def _begun(self, work: Coroutine[Any, Any, None]) -> None:
        self.loop.create_task(work).add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        fault = None if task.cancelled() else task.exception()
        if fault:
            self.failed(fault)

    def failed(self, fault: BaseException) -> None:
        if not self.dead:
            self.faults.append(fault)

    # --- what blocks --------------------------------------------------------------------------------------------------

    def spawn(self, work: Callable[..., object], *args: Any) -> None:
        """A thread, which begins soon."""
        self.loop.call_soon(lambda: greenlet(work).switch(*args))

    def _go_on(self, thread: greenlet, value: object) -> None:
        self._blocked.discard(thread)
        thread.switch(value)

    def _block(self) -> Any:
        """Until somebody lets this thread go on."""
        thread = getcurrent()
        self._blocked.add(thread)
        return thread.parent.switch()

    def sleep(self, seconds: float) -> None:
        """Called in a thread."""
        self.loop.call_at(self.clock() + seconds, self._go_on, getcurrent(), None)
        self._block()

    def ask(self, do: Callable[[], T], there_s: float | None, back_s: float | None, timeout_s: float) -> T:
        """`do` at the far side, however this process fares meanwhile. None: lost on that way. Raises TimeoutError."""
        thread, answered = getcurrent(), False

        def arrive() -> None:
            try:
                outcome: tuple[Any, Exception | None] = (do(), None)
            except Exception as error:  # noqa: BLE001 it is raised where the answer arrives
                outcome = (None, error)
            if back_s is not None:
                self.timeline.after(back_s, lambda: answer(outcome))

        def answer(outcome: tuple[Any, Exception | None]) -> None:
            nonlocal answered
            if not answered:
                answered = True
                self.happens(self._go_on, thread, outcome)

        if there_s is not None:
            self.timeline.after(there_s, arrive)
        if there_s is None or back_s is None or there_s + back_s >= NEARLY * timeout_s:
            limit = Limit(self, self.clock() + timeout_s, answer, ((None, TimeoutError("no answer")),))
            self.timeline.at(self.time_of(limit.when()), limit.due)
        value, error = self._block()
        if error:
            raise error
        answer_: T = value
        return answer_

    # --- its end ------------------------------------------------------------------------------------------------------

    def resume(self) -> None:
        self.paused = False
        late, self._late = self._late, deque()
        for act, args in late:
            self.happens(act, *args)

    def kill(self) -> None:
        """Nothing leaves it any more; what it had begun is unwound, so that nothing is left behind in this process."""
        self.dead = True
        for thread in list(self._blocked):
            thread.throw()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.turn(lambda: None, ())


class Call:
    """What a loop is to call: its handle."""

    __slots__ = ("act", "args")

    def __init__(self, act: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.act, self.args = act, args

    def cancel(self) -> None:
        self.act, self.args = _nothing, ()


class Timer(Call):
    __slots__ = ("_when", "process")

    def __init__(self, process: Process, when: float, act: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.act, self.args, self.process, self._when = act, args, process, when

    def when(self) -> float:
        return self._when

    def due(self) -> None:
        if self.act is not _nothing:
            self.process.happens(self._still)

    def _still(self) -> None:
        """It may have been cancelled while its process stood still."""
        self.act(*self.args)


class Limit(Timer):
    """Of what is asked: whoever asked takes its turn by itself."""

    __slots__ = ()

    def due(self) -> None:
        self._still()


def _nothing() -> None:
    pass


class Loop(asyncio.AbstractEventLoop):
    """Contexts are passed over: nothing here keeps anything in them."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._ready: deque[Call] = deque()
        self.time = process.clock  # type: ignore[method-assign]

    def turn(self, act: Callable[..., object], args: tuple[Any, ...]) -> None:
        """Do this, and whatever is ready then."""
        ready, rounds = self._ready, 0
        asyncio._set_running_loop(self)
        try:
            act(*args)
            while ready and rounds < RESTLESS:
                call, rounds = ready.popleft(), rounds + 1
                call.act(*call.args)
        except Exception as fault:  # noqa: BLE001 it ends the story
            self._process.failed(fault)
        finally:
            asyncio._set_running_loop(None)
        if rounds == RESTLESS:
            raise RestlessError

    # --- what asyncio asks of a loop --------------------------------------------------------------------------------

    def get_debug(self) -> bool:
        return False

    def is_closed(self) -> bool:
        return self._process.dead

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Any = None) -> Any:
        call = Call(callback, args)
        self._ready.append(call)
        return call

    call_soon_threadsafe = call_soon

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any, context: Any = None) -> Any:
        return self.call_at(self.time() + delay, callback, *args)

    def call_at(self, when: float, callback: Callable[..., object], *args: Any, context: Any = None) -> Any:
        process = self._process
        timer = Timer(process, when, callback, args)
        process.timeline.at(process.time_of(when), timer.due)
        return timer

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: str | None = None, context: Any = None) -> "asyncio.Task[Any]":
        return asyncio.Task(coro, loop=self, name=name)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> "asyncio.Future[Any]":
        future = self.create_future()
        executor.does(future, func, args)
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self._process.failed(context.get("exception") or RuntimeError(context["message"]))


def acting_for(epoch: int) -> None:
    """Said in a thread that is about to change AWS."""
    getcurrent().epoch = epoch


def acts_for() -> int:
    epoch: int = getcurrent().epoch
    return epoch


class Threads(Executor):
    def __init__(self, process: Process, count: int) -> None:
        self._process, self._free = process, count
        self._waiting: deque[tuple[Any, Callable[..., Any], tuple[Any, ...]]] = deque()

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> "Future[Any]":  # type: ignore[override]
        future: Future[Any] = Future()
        self.does(future, fn, args)
        return future

    def does(self, future: Any, fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
        """Of this future or asyncio's."""
        self._waiting.append((future, fn, args))
        self._next()

    def _next(self) -> None:
        if self._free and self._waiting and not self._process.dead:
            self._free -= 1
            self._process.spawn(self._work, *self._waiting.popleft())

    def _work(self, future: Any, fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
        """What comes of it is told to whoever still waits for it."""
        if not isinstance(future, Future) or future.set_running_or_notify_cancel():
            try:
                result = fn(*args)
            except Exception as error:  # noqa: BLE001 it is the future's
                if not future.cancelled():
                    future.set_exception(error)
            else:
                if not future.cancelled():
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
