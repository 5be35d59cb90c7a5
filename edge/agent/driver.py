"""The shell around one service's machine: posts events to it, performs its effects, and posts what came of them.

Everything here runs on the event loop; what blocks runs in three kinds of threads: one for the store, so that its
writes keep their order, one for the history, for which no switch waits, and some for AWS. The machine is stepped
nowhere else.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from typing import Any

from edge.agent.build import Switches
from edge.agent.forecast import foreseen
from edge.agent.windows import said
from edge.control.contract import FINAL, ForeseenStep
from edge.errors import RefusedError, StoreConflictError, StoreError
from edge.failover import events as ev
from edge.failover import lease
from edge.failover.machine import step
from edge.failover.model import Assignment, Cause, Intent, Lease, Policy, Reason, Stage, State
from edge.failover.unanimity import proposer
from edge.history import Line
from edge.stores.records import Clock, Records
from edge.switches.runner import Runner
from edge.switches.session import Session
from edge.switches.survey import survey

AGREEING_S = 2.0  # forwarders that obey TTL 0 agree within 0.1 s; for a cache nobody waits
AGAIN_S = 5.0  # a store that was away is told again
WITHOUT_STORE = frozenset({"unanimous", "outvoted"})
REMEMBERED = 1000  # lines of history for those who follow a switch; the store has the rest
log = logging.getLogger("edge")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all services of one agent share.

    On the event loop, `served` is called for each new assignment, `told` for each line, and `failed` for a fault in
    this program: the agent then ends, and its successor resumes from the journal. `agreeing` waits until every view
    agrees with a service's epoch, so many seconds at most: by view, how long after the switch it did (None: not yet).
    `closer` is called when a closer look is wanted at other endpoints than before, or at none any more.
    """

    records: Records
    clock: Clock
    store_threads: Executor
    telling_threads: Executor
    acting_threads: Executor
    reading_threads: Executor
    served: Callable[[str, Assignment], None]
    told: Callable[[Line, Cause | None], None]
    failed: Callable[[BaseException], None]
    agreeing: Callable[[str, int, float | None], Awaitable[Mapping[str, float | None]]]
    closer: Callable[[], None]


class Driver:
    def __init__(self, policy: Policy, session: Session | None, switches: Switches, around: Surroundings) -> None:
        self.state = State(policy)
        self.lines: deque[Line] = deque(maxlen=REMEMBERED)
        self._around = around
        self.sides, self.steps = switches.sides, switches.steps
        self._runner = self._made_runner(session, switches) if session else None
        self._news = asyncio.Condition()
        self._timer: asyncio.TimerHandle | None = None
        self._due_at = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._acting: asyncio.Task[None] | None = None
        self._saving: asyncio.Task[None] | None = None
        self._stopping = False
        self._calling: set[Future[ev.StageEnded]] = set()

    def _made_runner(self, session: Session, switches: Switches) -> Runner:
        return Runner(switches.steps, session, self._journal, self._permit, switches.pace)

    @property
    def service(self) -> str:
        return self.state.policy.service

    def start(self, loaded: ev.Loaded | None, held: Lease, lines: Sequence[Line]) -> None:
        """`loaded` None: the store was not read yet, and nothing is known."""
        self.lines.extend(lines)
        self.post(ev.LeaseSaid(held))
        if loaded:
            self.post(loaded)

    def reconfigured(self, policy: Policy, session: Session | None, switches: Switches | None) -> None:
        """New rules, and new switches where they changed. A stage that runs goes on with the old steps to its end."""
        if switches is not None:
            self.sides, self.steps = switches.sides, switches.steps
            self._runner = self._made_runner(session, switches) if session else None
        self.post(ev.Reconfigured(policy))

    def live(self) -> Assignment | None:
        return self.state.assignment

    def named(self) -> set[str]:
        """The nodes that the service can't do without: the live one, and those of switches under way or owed."""
        state = self.state
        flights = (each.intent for each in (state.flight, state.owed) if each)
        return {each.node for each in (state.assignment, *flights) if each}

    def foretold(self, word: ev.Promote) -> Intent:
        """The intent that a word would open. Raises RefusedError as the machine refuses it."""
        decision = step(self.state, word, self._around.clock.monotonic())
        reply = next(effect for effect in decision.effects if isinstance(effect, ev.Reply))
        if not reply.accepted or decision.state.flight is None:
            raise RefusedError(reply.sentence)
        return decision.state.flight.intent

    def foresee(self, intent: Intent) -> tuple[ForeseenStep, ...]:
        """What its switch would send. Reads only; blocks."""
        runner = self._runner
        return tuple(foreseen(step, found, runner.api) for step, found in runner.foresee(intent)) if runner else ()

    def rehearse(self, node: str) -> str:
        """What a switch to the node would change in AWS. Blocks; raises CloudError where it would stumble."""
        live = self.state.assignment
        away = (live.node,) if live and live.node != node else ()
        epoch = self.state.floor + 1
        intent = Intent(epoch, node, live.node if live else None, Cause.OPERATOR, "check", "a rehearsal", away)
        return self._runner.rehearse(intent) if self._runner else "nothing"

    def recovered(self) -> None:
        """The store can be written again. What an operator said meanwhile was not: it is said to the store anew."""
        if self.state.lease.held:
            forgiven = not (self.state.automatic_at or self.state.drift_at)
            self._perform(ev.SaveOverride(self.state.override, forgiven))
        self.post(ev.StoreRecovered())

    @property
    def busy(self) -> bool:
        """Whether a stage that acts may still have a call on its way, whatever the machine thinks of it."""
        return any(not each.done() for each in self._calling)

    async def stop(self) -> None:
        self._stopping = True
        if self._timer:
            self._timer.cancel()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- events -----------------------------------------------------------------------------------------------------

    def post(self, event: ev.Event) -> tuple[ev.Effect, ...]:
        now = self._around.clock.monotonic()
        decision = self._step(event, now)
        looked, self.state = self.state.glimpses.keys(), decision.state
        for effect in sorted(decision.effects, key=lambda effect: isinstance(effect, ev.Tell)):  # act, then tell
            self._perform(effect)
        self._arm(decision.deadline, now)
        if self.state.glimpses.keys() != looked:
            self._around.closer()
        return decision.effects

    def _step(self, event: ev.Event, now: float) -> ev.Decision:
        return step(self.state, event, now)

    async def say(self, word: ev.Event) -> ev.Reply:
        """The machine's answer, once what has to outlive a restart is on the disk, or is known not to be."""
        return await self.recorded(next(effect for effect in self.post(word) if isinstance(effect, ev.Reply)))

    async def recorded(self, reply: ev.Reply) -> ev.Reply:
        if self._saving is None:
            return reply
        await asyncio.wait([self._saving])
        if self.state.store_trouble:
            unsaved = f"in force, but not recorded before the store works: {self.state.store_trouble}"
        elif reply.accepted and (unled := self._unled()):
            unsaved = f"but whoever leads now may not know of it, say it there again: {unled.sentence}"
        else:
            return reply
        return replace(reply, sentence=f"{reply.sentence}; {unsaved}")

    def _arm(self, deadline: float | None, now: float) -> None:
        """A timer that goes off too early does no harm, so it is not moved for each observation."""
        if self._timer and (deadline is None or self._due_at > deadline):
            self._timer.cancel()
            self._timer = None
        if self._timer is None and deadline is not None:
            self._due_at = deadline
            self._timer = asyncio.get_running_loop().call_later(deadline - now, self._elapsed)

    def _elapsed(self) -> None:
        self._timer = None
        try:
            self.post(ev.Elapsed())
        except Exception as fault:  # noqa: BLE001 a timer has nobody else to tell
            self._around.failed(fault)

    # --- effects ----------------------------------------------------------------------------------------------------

    def _perform(self, effect: ev.Effect) -> None:
        match effect:
            case ev.Serve(assignment):
                self._around.served(self.service, assignment)
            case ev.Tell():
                self._tell(effect)
            case ev.WriteIntent(intent):
                self._store(ev.IntentWritten(intent.epoch), intent, self._write_intent, intent)
            case ev.Commit(intent):
                self._store(ev.Committed(intent.epoch), intent, self._around.records.commit, self.service, intent)
            case ev.Close(epoch, finished):
                self._store(None, None, self._close, epoch, finished)
            case ev.SaveOverride(override, forgives):
                save = self._around.records.save_override
                self._saving = self._store(None, None, save, self.service, override, forgives)
            case ev.RunStage(intent, stage):
                self._run(intent, stage)
            case ev.ReadAws():
                self._spawn(self._survey())
            case ev.StopStage() | ev.Reply():
                pass  # a stage asks for its permit before each call; a reply is returned to who spoke

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        fault = None if task.cancelled() else task.exception()
        if fault:
            self._around.failed(fault)

    def _store(
        self, done: ev.Event | None, intent: Intent | None, write: Callable[..., None], *what: Any
    ) -> asyncio.Task[None]:
        """Handed to the store's thread at once, so that writes keep the order in which they were decided."""
        writing = asyncio.get_running_loop().run_in_executor(self._around.store_threads, write, *what)
        writing.add_done_callback(_looked_at)
        return self._spawn(self._stored(writing, done, intent))

    async def _stored(self, writing: "asyncio.Future[None]", done: ev.Event | None, intent: Intent | None) -> None:
        try:
            await asyncio.shield(writing)  # what was decided is written, also when the agent stops
        except StoreConflictError as error:
            if intent:
                self.post(ev.Conflicted(intent.epoch, str(error)))
        except StoreError as error:
            self.post(ev.StoreFailed(str(error), intent.epoch if intent else None))
        else:
            if done:
                self.post(done)

    def _write_intent(self, intent: Intent) -> None:
        self._around.records.write_intent(self.service, intent, self._unled)

    def _unled(self) -> Reason | None:
        return lease.veto(self.state.lease, self._around.clock.monotonic(), needed_s=0.0)

    def _close(self, epoch: int, finished: bool) -> None:
        self._around.records.close(self.service, epoch, finished=finished)

    def _run(self, intent: Intent, stage: Stage) -> None:
        """One stage that acts at a time; one that only reads back may come to its end beside the next epoch."""
        running = self._spawn(self._run_stage(intent, stage, self._acting))
        self._acting = self._acting if stage is Stage.VERIFY else running

    async def _run_stage(self, intent: Intent, stage: Stage, before: asyncio.Task[None] | None) -> None:
        """A call of an older epoch that is still on its way ends before this stage begins."""
        if before and not before.done():
            await asyncio.wait([before])
        if self._runner is None:
            raise AssertionError(f"{stage} without a switch")
        around = self._around
        threads = around.reading_threads if stage is Stage.VERIFY else around.acting_threads  # verifying can take 90 s
        running = threads.submit(self._runner.run, intent, stage)
        self._calling = {each for each in (*self._calling, running) if not each.done()}
        ended: ev.StageEnded = await asyncio.wrap_future(running)
        self.post(ended)

    async def _survey(self) -> None:
        loop = asyncio.get_running_loop()
        self.post(await loop.run_in_executor(self._around.reading_threads, survey, self.sides))

    # --- called by the runner, in AWS's threads -----------------------------------------------------------------------

    def _journal(self, epoch: int, step_name: str, state: str, evidence: str) -> None:
        self._around.records.journal(self.service, epoch, step_name, state, evidence)

    def _permit(self, epoch: int, needed_s: float) -> Reason | None:
        state = self.state
        if self._stopping:
            return Reason("stopping", "the agent is stopping; the switch goes on when it is back")
        if state.flight is None or state.flight.intent.epoch != epoch:
            return Reason("superseded", f"epoch {epoch} is no longer under way")
        return lease.veto(state.lease, self._around.clock.monotonic(), needed_s)

    # --- telling ------------------------------------------------------------------------------------------------------

    def _tell(self, told: ev.Tell) -> None:
        line = Line(
            self.service, self._around.clock.wall(), told.kind, told.sentence, told.epoch, told.who, told.marks_s
        )
        if told.kind == "agreed":
            self._spawn(self._tell_agreed(line, line.epoch or 0))
        else:
            self._say(line, told.cause)

    def remark(self, kind: str, sentence: str) -> None:
        """What was found out beside the machine, for the history."""
        self._tell(ev.Tell(kind, sentence))

    def _say(self, line: Line, cause: Cause | None = None) -> None:
        self.lines.append(line)
        log.log(_LEVELS.get(line.kind, logging.INFO), "%s: %s", self.service, line.sentence, extra={"line": line})
        self._around.told(line, cause)
        self._spawn(self._remember(line))

    async def _tell_agreed(self, line: Line, epoch: int) -> None:
        """AWS was read back. The line waits a moment for the other views, and those that it has not get one later."""
        took_s: Mapping[str, float | None] = {}
        try:
            took_s = await self._around.agreeing(self.service, epoch, AGREEING_S)
        finally:  # also when the agent stops
            self._say(_with_views(line, took_s))
        if None in took_s.values():
            took_s = await self._around.agreeing(self.service, epoch, None)
            if took_s and None not in took_s.values():
                whole = Line(self.service, self._around.clock.wall(), "views", "every view agrees", epoch, None, None)
                self._say(_with_views(whole, took_s))

    async def _remember(self, line: Line) -> None:
        async with self._news:
            self._news.notify_all()
        kept = self._keeps(line)
        if not (kept or self.state.lease.held):
            return  # the history is the leader's; what the others see is in their logs
        while trouble := await self._written(line):
            if not kept:
                log.warning("%s: a line of history is lost to the store: %s", self.service, trouble)
                return
            await asyncio.sleep(AGAIN_S)

    def _keeps(self, line: Line) -> bool:
        """What was agreed on without the store is told to it later, by the one that decided."""
        policy = self.state.policy
        return line.kind in WITHOUT_STORE and proposer(policy.listed) == policy.vantage

    async def _written(self, line: Line) -> StoreError | None:
        try:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._around.telling_threads, self._around.records.tell, line)
        except StoreError as error:
            return error
        return None

    async def follow(self, epoch: int) -> AsyncIterator[Line]:
        """The lines of one epoch, past and coming, until the one that ends it. RefusedError where there is none."""
        if not any(line.epoch == epoch for line in self.lines):
            raise RefusedError(f"nothing is known of {self.service}@{epoch}; `edgectl history` has what was told")
        sent = 0
        while True:
            known = [line for line in self.lines if line.epoch == epoch]
            for line in known[sent:]:
                yield line
                if line.kind in FINAL:
                    return
            sent = len(known)
            async with self._news:
                await self._news.wait_for(lambda: sum(line.epoch == epoch for line in self.lines) > sent)  # noqa: B023


def _looked_at(writing: "asyncio.Future[None]") -> None:
    """A write that fails once the agent stops is nobody's any more: it is no fault of the program."""
    if not writing.cancelled():
        writing.exception()


def _with_views(line: Line, took_s: Mapping[str, float | None]) -> Line:
    known = {name: seconds for name, seconds in took_s.items() if seconds is not None}
    return replace(line, sentence=f"{line.sentence}{said(took_s)}", views_s=known or None)


_LEVELS = {
    "unanimous": logging.WARNING,
    "outvoted": logging.WARNING,
    "trouble": logging.WARNING,
    "conflict": logging.ERROR,
    "abandoned": logging.WARNING,
    "lost": logging.WARNING,
}
