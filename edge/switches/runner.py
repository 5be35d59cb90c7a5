"""The runner: makes AWS agree with an intent, one journalled step after the other.

    read what is ─▶ nothing missing? ─▶ journal "done"
         ▲                 │ calls missing
         │                 ▼
         └── send ◀─ journal "begun" ◀─ may we still act?

The loop is the same for the first try, the reading back, a repetition after a time-out and a resumption after a crash:
it never assumes what a call did, it reads. A mutation is sent at most once per reading, and again only when AWS has had
`SETTLE_S` to show the last one, or refused it for coming too fast. What can't be mended by trying again ends the stage
at once. All time is `now` and `sleep`, so that a simulation can drive it.
"""

import logging
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from tenacity import RetryCallState, Retrying, retry_if_exception

from edge.errors import CloudError, EpochOverError, Fault, StoreError
from edge.failover.events import StageEnded
from edge.failover.model import Intent, Reason, Stage
from edge.switches.contract import Call, NewerEpochError, Plan, Step
from edge.switches.session import Session

SETTLE_S = 2.0  # describes are eventually consistent (AWS, *Eventual consistency in the EC2 API*)
_FIRST_PAUSE_S = 0.02  # most changes are there at the first reading back
_ORDER = list(Stage)
_DOUBLINGS = 10  # of the first pause: far past the longest
_TRANSIENT = (Fault.THROTTLED, Fault.UNREACHABLE, Fault.CONFLICT)

log = logging.getLogger("edge")

Journal = Callable[[int, str, str, str], None]
"""(epoch, step, "begun" or "done", evidence), on disk when it returns. Raises StoreError."""

Permit = Callable[[int, float], Reason | None]
"""Why an epoch may not act now for so many seconds, None when it may."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds within which a new try of a step may begin.

    `act_s` bounds fencing and publishing, `move_s` the arrival of an address: past them the machine decides what an
    outage means. `verify_s`: Route 53 is INSYNC "generally within 60 seconds" (AWS, *GetChange*).
    """

    act_s: float = 3.0
    move_s: float = 10.0
    verify_s: float = 90.0

    def within_s(self, stage: Stage) -> float:
        return {Stage.MOVE: self.move_s, Stage.VERIFY: self.verify_s}.get(stage, self.act_s)

    def pause_s(self, stage: Stage) -> float:
        """The longest pause between two tries: verifying leaves most of Route 53's 5 requests a second to others."""
        return 2.0 if stage is Stage.VERIFY else 0.5


class _NotYetError(CloudError):
    """AWS does not agree yet, and nothing went wrong."""

    def __init__(self, step: Step, plan: Plan) -> None:
        super().__init__(step.name, Fault.UNREACHABLE, plan.evidence)
        self.evidence = plan.evidence

    def __str__(self) -> str:
        return f"{self.api}: AWS does not agree yet: {self.evidence}"


class Runner:
    """One service's steps, in order. `run` blocks and never raises: the machine waits for the end of each stage."""

    def __init__(
        self,
        steps: Sequence[Step],
        session: Session,
        journal: Journal,
        permit: Permit,
        pace: Pace,
        *,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._steps = steps
        self._session = session
        self._journal = journal
        self._permit = permit
        self._pace = pace
        self._sleep = sleep
        self._now = now
        self._uniform = uniform

    def run(self, intent: Intent, stage: Stage) -> StageEnded:
        try:
            said = [self._passed(step, intent) for step in self._steps if step.stage is stage]
        except NewerEpochError as error:
            return StageEnded(intent.epoch, stage, str(error), Fault.CONFLICT, error.found_epoch)
        except CloudError as error:
            fault = Fault.IMPOSSIBLE if error.fault is Fault.CONFLICT else error.fault
            return StageEnded(intent.epoch, stage, str(error), fault)
        except EpochOverError as error:
            return StageEnded(intent.epoch, stage, f"the store ended it: {error}", Fault.CONFLICT)
        except StoreError as error:
            return StageEnded(intent.epoch, stage, f"the journal can't be written: {error}", Fault.UNREACHABLE)
        except Exception as error:
            log.exception("a fault in this program")
            return StageEnded(intent.epoch, stage, f"a fault in this program: {error!r}", Fault.IMPOSSIBLE)
        return StageEnded(intent.epoch, stage, "; ".join(said))

    def foresee(self, intent: Intent) -> Iterator[tuple[Step, Plan | CloudError]]:
        """What a switch would send as things are now, step by step: the dry run. Reads only, each step as if the ones
        before were done; none for verifying, which reads until everything agrees.
        """
        sent: list[Call] = []
        for step in sorted(self._steps, key=lambda step: _ORDER.index(step.stage)):
            if step.stage is Stage.VERIFY:
                yield step, Plan("read back until all of it agrees")
                continue
            try:
                plan = step.foreseen(intent, sent)
            except CloudError as error:
                yield step, error
            else:
                sent += plan.calls
                yield step, replace(plan, calls=tuple(self._sent(plan)))

    def api(self, call: Call) -> str:
        """AWS's name of a call."""
        return self._session.api(call)

    def _sent(self, plan: Plan) -> Iterator[Call]:
        """The calls of a plan, with the dry runs that come before several."""
        for call in plan.calls if len(plan.calls) > 1 else ():
            if dry := self._session.dry(call):
                yield dry
        yield from plan.calls

    def rehearse(self, intent: Intent) -> str:
        """What a switch would change; raises CloudError where reading or a dry run tells that it would stumble."""
        planned = [(step, step.plan(intent)) for step in self._steps if step.stage is not Stage.VERIFY]
        for _, plan in planned:
            for call in plan.calls:
                self._session.rehearse(call)
        return ", ".join(step.name for step, plan in planned if plan.calls) or "nothing"

    def _passed(self, step: Step, intent: Intent) -> str:
        try:
            return self._made_true(step, intent)
        except CloudError as error:
            if step.required or error.fault is Fault.BARRED or isinstance(error, NewerEpochError):
                raise
            return f"{step.name} is passed over: {error}"

    def _made_true(self, step: Step, intent: Intent) -> str:
        settled_at, trouble = -math.inf, None
        for attempt in self._tries(step):
            with attempt:
                self._allowed(step, intent)
                plan = step.plan(intent)
                if not plan.calls and not plan.pending:
                    return self._done(step, intent, plan)
                if step.stage is not Stage.VERIFY and self._now() >= settled_at:
                    trouble = self._send(step, intent, plan)
                    settled_at = self._settled_at(trouble)
                raise trouble or _NotYetError(step, plan)
        raise AssertionError("tenacity returns or raises")

    def _settled_at(self, trouble: CloudError | None) -> float:
        """When what was sent may be sent again, should AWS not show it. What was throttled was not looked at."""
        return -math.inf if trouble and trouble.fault is Fault.THROTTLED else self._now() + SETTLE_S

    def _tries(self, step: Step) -> Retrying:
        until = self._now() + (step.within_s or self._pace.within_s(step.stage))
        longest_s = self._pace.pause_s(step.stage)

        def pause_s(state: RetryCallState) -> float:
            most_s = min(longest_s, _FIRST_PAUSE_S * 2 ** min(state.attempt_number, _DOUBLINGS))
            return min(self._uniform(0.0, most_s), until - self._now())

        return Retrying(
            retry=retry_if_exception(_worth_another_try),
            wait=pause_s,
            stop=lambda _: self._now() >= until,
            sleep=self._sleep,
            reraise=True,
        )

    def _send(self, step: Step, intent: Intent, plan: Plan) -> CloudError | None:
        """The calls that are missing, each once, while we may act. Returns what went wrong.

        Several are tried dry first: what AWS would refuse of them is refused before one has taken effect.
        """
        try:
            for call in plan.calls if len(plan.calls) > 1 else ():
                self._session.rehearse(call)
            for call in plan.calls:
                self._allowed(step, intent)
                self._journal(intent.epoch, step.name, "begun", plan.evidence)
                self._allowed(step, intent)  # once more: a shared store takes its time
                step.applied(intent, self._session.call(call))
        except CloudError as error:
            return _newer(step, intent) or error if error.fault is Fault.CONFLICT else error
        return None

    def _allowed(self, step: Step, intent: Intent) -> None:
        barred = self._permit(intent.epoch, self._session.settings.call_s)
        if barred:
            raise CloudError(step.name, Fault.BARRED, barred.sentence)

    def _done(self, step: Step, intent: Intent, plan: Plan) -> str:
        if step.stage is not Stage.VERIFY:
            self._journal(intent.epoch, step.name, "done", plan.evidence)
        return plan.evidence


def _newer(step: Step, intent: Intent) -> NewerEpochError | None:
    """Whether a newer epoch is what a call was refused for. Asked at once: who was stopped meanwhile is past the
    deadline, and has no next try that would see it.
    """
    try:
        step.plan(intent)
    except NewerEpochError as error:
        return error
    except CloudError:
        return None
    return None


def _worth_another_try(error: BaseException) -> bool:
    return isinstance(error, CloudError) and error.fault in _TRANSIENT and not isinstance(error, NewerEpochError)
