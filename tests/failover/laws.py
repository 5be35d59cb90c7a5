"""What no machine may ever do, whatever it hears. Every step of every test in this folder is held against these laws.

1.  epochs grow        an intent's epoch is above every epoch that was seen before; the floor never sinks
2.  served = committed only an assignment that the store had, or said to have taken, or that all agents agreed on, is
                       served, and neither epochs nor their rounds go back
3.  intent first       no stage runs before the store has its epoch's intent
4.  in order           no move before a required fence succeeded in its epoch, no commit before all had a turn
5.  one at a time      at most one stage runs, and at most one write is waited for
6.  vetoes hold        by itself no switch opens against hold, pin, freeze, manual mode, lease, store or conflict, and
                       no drift is answered but as the policy says
7.  leader only        without the lease: no intent, no stage, no commit
8.  never without      an assignment, once known, is never lost
9.  one reply          each word of an operator gets one reply, and nothing else does
10. future deadlines   a deadline is None or ahead
11. never stuck        a switch under way waits for an outcome, or for a deadline
12. always explained   each decision has a sentence, and its slug is one that people know
13. time runs forward  the stages of a switch took no less than nothing
14. a look is no proof a closer look is at every endpoint or at none, and is wanted of no node but a watched one whose
                       newest probe was silent; what it shows turns no health, and can only keep a switch from opening
"""

from edge.failover import events as ev
from edge.failover import lease
from edge.failover.machine import step
from edge.failover.model import ANSWERS, IN_FLIGHT, Assignment, Cause, Mode, Phase, Sight, Stage, State, Track, changed
from edge.failover.vetoes import HOLDS, watched

_WORDS = (ev.Promote, ev.Hold, ev.Release, ev.Approve, ev.Reject)
_SLUGS = {*HOLDS, "steady", "switching", "proposed"}
_FLYING = IN_FLIGHT | {Phase.VERIFYING}
_QUIET = (ev.Observed, ev.Glimpsed, ev.Reported, ev.Elapsed)  # what permits nothing


class Laws:
    def __init__(self) -> None:
        self._seen = 0
        self._servable: set[Assignment] = set()
        self._recorded: set[int] = set()
        self._turns: dict[int, set[Stage]] = {}
        self._fenced: set[int] = set()
        self._running: tuple[int, Stage] | None = None
        self._writing: tuple[type[ev.Effect], int] | None = None

    def check(self, before: State, event: ev.Event, decision: ev.Decision, now: float) -> None:
        if not isinstance(event, _QUIET):
            self._learn(before, event)
        for effect in decision.effects:
            self._acted(decision.state, effect, now)
        self._judged(before, event, decision, now)

    # --- what an event permits ---------------------------------------------------------------------------------------

    def _learn(self, before: State, event: ev.Event) -> None:
        match event:
            case ev.Loaded() | ev.LeaseSaid(_, ev.Loaded()) if before.phase in (Phase.SILENT, Phase.STEADY):
                self._loaded(event if isinstance(event, ev.Loaded) else event.loaded)
            case ev.IntentWritten(epoch):
                self._written(ev.WriteIntent, epoch)
                self._recorded.add(epoch)
            case ev.Committed(epoch):
                self._written(ev.Commit, epoch)
                if before.phase is Phase.COMMITTING and before.flight and before.flight.intent.epoch == epoch:
                    self._servable.add(Assignment(before.flight.intent.node, epoch))
            case ev.Agreed(assignment):
                self._servable.add(assignment)
            case ev.StoreFailed(_, epoch) if self._writing and epoch == self._writing[1]:
                self._writing = None
            case ev.Conflicted(epoch) if self._writing and epoch >= self._writing[1]:
                self._writing = None
            case ev.StageEnded(epoch, stage, _, fault):
                self._ended(epoch, stage, fault is None, before.policy.fence_required)

    def _loaded(self, event: ev.Loaded) -> None:
        if event.assignment:
            self._servable.add(event.assignment)
        if event.opened and event.begun:
            self._recorded.add(event.opened.epoch)
        if event.unsettled:
            self._recorded.add(event.unsettled.epoch)
            self._turns[event.unsettled.epoch] = set(Stage)

    def _written(self, kind: type[ev.Effect], epoch: int) -> None:
        if self._writing == (kind, epoch):
            self._writing = None

    def _ended(self, epoch: int, stage: Stage, done: bool, fence_required: bool) -> None:
        if self._running != (epoch, stage):
            return
        self._running = None
        self._turns.setdefault(epoch, set()).add(stage)
        if stage is Stage.FENCE and (done or not fence_required):
            self._fenced.add(epoch)

    # --- what an effect must respect ---------------------------------------------------------------------------------

    def _acted(self, after: State, effect: ev.Effect, now: float) -> None:
        match effect:
            case ev.WriteIntent(intent):
                assert intent.epoch > self._seen, "epochs grow"
                assert intent.node in after.policy.nodes
                self._seen = intent.epoch
                self._may_open(after, intent.cause, now)
                self._writes(ev.WriteIntent, intent.epoch, after)
            case ev.Commit(intent):
                stages = {Stage.FENCE, Stage.MOVE, Stage.PUBLISH} & after.policy.stages
                assert stages <= self._turns.get(intent.epoch, set()), "in order"
                self._writes(ev.Commit, intent.epoch, after)
            case ev.RunStage(intent, stage):
                self._runs(intent.epoch, stage, after)
            case ev.StopStage(epoch):
                self._running = None if self._running and self._running[0] == epoch else self._running
            case ev.Serve(assignment):
                assert assignment in self._servable, "served = committed"
            case ev.Tell():
                assert all(took >= 0 for took in (effect.marks_s or {}).values()), "time runs forward"

    def _may_open(self, after: State, cause: Cause, now: float) -> None:
        assert lease.outlives(after.lease, now, after.policy.lease_margin_s), "vetoes hold"
        assert after.store_trouble is None, "vetoes hold"
        if cause in (Cause.FAILURE, Cause.FOLLOW):
            assert after.override is None, "vetoes hold"
            assert after.window is None, "vetoes hold"
            assert after.conflict is None, "vetoes hold"
            assert after.policy.mode is not Mode.MANUAL, "vetoes hold"
        if cause in ANSWERS:
            assert after.policy.on_drift.value == cause.value, "vetoes hold"
            pin_stays = cause is Cause.REPAIR and after.override is not None and after.override.pinned
            assert after.override is None or pin_stays, "vetoes hold"
            assert after.window is None, "vetoes hold"
            assert after.conflict is None, "vetoes hold"

    def _writes(self, kind: type[ev.Effect], epoch: int, after: State) -> None:
        assert after.lease.held, "leader only"
        assert self._writing is None or not self._is_awaited(after), "one at a time"
        self._writing = (kind, epoch)

    def _is_awaited(self, after: State) -> bool:
        """A write of a switch that was dropped since is not waited for."""
        return after.flight is not None and self._writing is not None and after.flight.intent.epoch == self._writing[1]

    def _runs(self, epoch: int, stage: Stage, after: State) -> None:
        assert after.lease.held, "leader only"
        assert epoch in self._recorded, "intent first"
        assert self._running is None, "one at a time"
        fence_first = after.policy.fence_required and Stage.FENCE in after.policy.stages
        assert stage is not Stage.MOVE or not fence_first or epoch in self._fenced, "in order"
        self._running = (epoch, stage)

    # --- what a decision must be -------------------------------------------------------------------------------------

    def _judged(self, before: State, event: ev.Event, decision: ev.Decision, now: float) -> None:
        after = decision.state
        assert after.floor >= before.floor, "epochs grow"
        self._seen = max(self._seen, after.floor)
        if before.assignment:
            assert after.assignment, "never without"
            assert after.assignment.at >= before.assignment.at, "served = committed"
        replies = sum(isinstance(effect, ev.Reply) for effect in decision.effects)
        assert replies == isinstance(event, _WORDS), "one reply"
        assert decision.deadline is None or decision.deadline > now, "future deadlines"
        assert decision.reason.sentence, "always explained"
        assert decision.reason.slug in _SLUGS, "always explained"
        self._never_stuck(decision)
        if after.glimpses or isinstance(event, ev.Glimpsed):
            self._looks(before, event, decision, now)

    def _looks(self, before: State, event: ev.Event, decision: ev.Decision, now: float) -> None:
        after, live = decision.state, watched(decision.state, now)
        if after.glimpses:
            assert after.glimpses.keys() == {*after.policy.nodes, *after.policy.witnesses}, "a look is no proof"
            track = after.tracks.get(live.node if live else "", Track())
            assert track.seen is Sight.DOWN, "a look is no proof"
            assert not track.history & 1, "a look is no proof"
        if isinstance(event, ev.Glimpsed):
            assert after.tracks == before.tracks, "a look is no proof"
            assert not _opens(decision) or _opens(_blind(before, now)), "a look is no proof"

    def _never_stuck(self, decision: ev.Decision) -> None:
        state, flight = decision.state, decision.state.flight
        if state.phase not in _FLYING:
            assert flight is None
            return
        assert flight is not None
        if flight.waiting:
            assert decision.deadline is not None, "never stuck"
            assert decision.deadline <= flight.retry_at, "never stuck"
            assert self._running is None or self._running[0] != flight.intent.epoch, "one at a time"
        elif state.phase in (Phase.OPENING, Phase.COMMITTING):
            assert self._writing, "never stuck"
        else:
            assert self._running, "never stuck"
            assert self._running[0] == flight.intent.epoch, "never stuck"


def _blind(state: State, now: float) -> ev.Decision:
    """What the machine would do if the closer look had shown nothing."""
    return step(changed(state, glimpses={}), ev.Elapsed(), now)


def _opens(decision: ev.Decision) -> bool:
    return any(isinstance(effect, ev.WriteIntent) for effect in decision.effects)
