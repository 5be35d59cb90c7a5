"""The table of transitions: each row is taken by a story of its own, and the design document shows the same rows."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from edge.errors import Fault
from edge.failover import events as ev
from edge.failover import lease, machine
from edge.failover.model import Assignment, Cause, Intent, Lease, Mode, OnDrift, OnOutage, Phase, Pointing, Stage
from edge.failover.table import TABLE, Row, Trigger
from tests.failover import draw
from tests.failover.world import POLICY, Shown, World

LOST = ev.LeaseSaid(Lease(held=False, until=0.0, holder="edge-2"))
HOLD = replace(POLICY, on_outage=OnOutage.HOLD)
CONFIRM = replace(POLICY, mode=Mode.CONFIRM, hold_down_s=0.0)
SEVEN = Intent(7, "a", "b", Cause.OPERATOR, "kim", "test")
EIGHT = Intent(8, "b", "a", Cause.OPERATOR, "kim", "test")
STAGES = {
    "fencing": (Stage.FENCE, POLICY),
    "moving": (Stage.MOVE, HOLD),
    "publishing": (Stage.PUBLISH, HOLD),
    "verifying": (Stage.VERIFY, POLICY),
}

Story = Callable[[], object]


def promoted(world: World) -> World:
    world.says(ev.Promote("b", "kim", "test"))
    return world


def stopped(slow: type[ev.Effect]) -> World:
    world = World().started()
    world.slow = (slow,)
    return promoted(world)


def waiting(phase: str, fault: Fault = Fault.UNREACHABLE) -> World:
    stage, policy = STAGES[phase]
    world = World(replace(policy, hold_down_s=0.0)).started()
    world.stages[stage], world.found_epoch = fault, 12
    return promoted(world)


def dying(world: World, node: str) -> World:
    world.sees[node] = Shown.REFUSED
    return world.passes(5)


def proposed() -> World:
    return dying(World(CONFIRM).started(), "a")


def refused(store: type[ev.StoreFailed] | type[ev.Conflicted]) -> World:
    world = World().started()
    world.store = store
    return promoted(world)


def unwritten() -> World:
    world = stopped(ev.Commit)
    world.store, world.slow = ev.StoreFailed, ()
    world.settles().store = None
    return world.passes(2)


def owed(stage: Stage) -> World:
    world = World().started()
    world.stages[stage] = Fault.UNREACHABLE
    return promoted(world)


def paid() -> World:
    world = owed(Stage.PUBLISH)
    world.stages.clear()
    return world.passes(2)


def waived() -> World:
    world = World(replace(POLICY, fence_required=False)).started()
    world.stages[Stage.FENCE] = Fault.UNREACHABLE
    return promoted(world)


def proposed_anew() -> World:
    world = World(CONFIRM).started()
    world.stages[Stage.VERIFY] = Fault.UNREACHABLE
    return dying(promoted(world), "b")


def drifted(on_drift: OnDrift, phase: str = "steady") -> World:
    world = World(replace(POLICY, on_drift=on_drift)).started("b", 7)
    if phase == "verifying":
        world.stages[Stage.VERIFY] = Fault.UNREACHABLE
        world.says(ev.Promote("b", "kim", "test", force=True))
    for _ in range(2):
        assert world.state.assignment
        world.passes(3).hears(ev.SidesRead(world.state.assignment.epoch, (Pointing("route53", "a", 7, "a, epoch 7"),)))
    return world


def led(loaded: ev.Loaded) -> World:
    world = World(held=False).started()
    world.hears(ev.LeaseSaid(lease.sole("edge-1"), loaded))
    return world


def unsettled() -> World:
    world = World()
    world.stages[Stage.FENCE] = Fault.UNREACHABLE
    world.hears(ev.Loaded(Assignment("a", 7), unsettled=SEVEN))
    return world


def agreed(world: World) -> World:
    world.hears(ev.Agreed(Assignment("b", 7, 1), "all agents agree"))
    return world


STORIES: dict[str, Story] = {
    "silent agreed": lambda: agreed(World(held=False)),
    "steady agreed": lambda: agreed(World(held=False).started()),
    "steady reconciled": lambda: agreed(World().started()),
    "verifying reconciled": lambda: agreed(unsettled()),
    "silent loaded": lambda: World().started("a"),
    "silent resumed": lambda: World().hears(ev.Loaded(Assignment("a", 7), opened=EIGHT, begun=True)),
    "silent unsettled": lambda: World().hears(ev.Loaded(Assignment("b", 8), unsettled=EIGHT)),
    "silent found": lambda: World().started(None),
    "silent promoted": lambda: promoted(World(CONFIRM).started(None)),
    "steady loaded": lambda: World(held=False).started().hears(ev.Loaded(Assignment("b", 8))),
    "steady resumed": lambda: led(ev.Loaded(Assignment("a", 7), opened=EIGHT, begun=True)),
    "steady unsettled": lambda: led(ev.Loaded(Assignment("b", 8), unsettled=EIGHT)),
    "steady needed": lambda: dying(World().started(), "a"),
    "steady proposed": proposed,
    "steady promoted": lambda: promoted(World().started()),
    "steady repaired": lambda: drifted(OnDrift.REPAIR),
    "steady adopted": lambda: drifted(OnDrift.ADOPT),
    "proposed promoted": lambda: proposed().says(ev.Approve("kim")),
    "proposed withdrawn": lambda: proposed().says(ev.Reject("kim")),
    "opening stored": lambda: promoted(World().started()),
    "opening refused": lambda: refused(ev.Conflicted),
    "opening lost": lambda: stopped(ev.WriteIntent).hears(LOST),
    "fencing waived": waived,
    "moving owed": lambda: owed(Stage.MOVE),
    "publishing owed": lambda: owed(Stage.PUBLISH),
    "committing committed": lambda: promoted(World().started()),
    "committing retried": unwritten,
    "committing abandoned": lambda: stopped(ev.Commit).hears(ev.Conflicted(12, "the store has epoch 12")),
    "committing lost": lambda: [(w := stopped(ev.Commit)).hears(LOST), w.hears(ev.Committed(8))],
    "verifying paid": paid,
    "verifying proposed": proposed_anew,
    "verifying repaired": lambda: drifted(OnDrift.REPAIR, "verifying"),
    "verifying adopted": lambda: drifted(OnDrift.ADOPT, "verifying"),
    **{f"{phase} done": lambda: promoted(World().started()) for phase in STAGES},
    **{f"{phase} retried": lambda phase=phase: waiting(phase).passes(5) for phase in STAGES},
    **{f"{phase} needed": lambda phase=phase: dying(waiting(phase), "b") for phase in STAGES},
    **{
        f"{phase} promoted": lambda phase=phase: waiting(phase).says(ev.Promote("a", "kim", "back", force=True))
        for phase in STAGES
    },
    **{f"{phase} abandoned": lambda phase=phase: waiting(phase, Fault.CONFLICT) for phase in STAGES},
    **{f"{phase} lost": lambda phase=phase: waiting(phase).hears(LOST) for phase in STAGES},
}


class Recorder(dict):
    """The table, and which of its rows were looked up."""

    def __init__(self, rows: dict) -> None:
        super().__init__(rows)
        self.taken: set[tuple] = set()

    def __getitem__(self, key: tuple) -> Phase:
        self.taken.add(key)
        return super().__getitem__(key)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.phase.value} {row.trigger.value}")
def test_each_row_is_taken_by_its_story(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(machine.NEXT)
    monkeypatch.setattr(machine, "NEXT", recorder)
    STORIES[f"{row.phase.value} {row.trigger.value}"]()
    assert (row.phase, row.trigger) in recorder.taken


def test_each_story_is_of_a_row() -> None:
    assert set(STORIES) == {f"{row.phase.value} {row.trigger.value}" for row in TABLE}


def test_no_two_rows_contradict_each_other() -> None:
    assert len(machine.NEXT) == len(TABLE)


def test_each_phase_can_be_reached_and_left() -> None:
    assert {row.to for row in TABLE} | {Phase.SILENT} == set(Phase)
    assert {row.phase for row in TABLE} == set(Phase)


def test_a_required_fence_that_failed_leads_to_no_move() -> None:
    """Rule 4: fence, then move. The only ways on are a fence that is done, and one that need not be."""
    leading = {row.trigger for row in TABLE if row.to is Phase.MOVING and row.phase is not Phase.MOVING}
    assert leading == {Trigger.DONE, Trigger.WAIVED}
    assert {row.phase for row in TABLE if row.to is Phase.COMMITTING} == {Phase.PUBLISHING, Phase.COMMITTING}


def test_the_design_document_shows_this_table() -> None:
    text = draw.DESIGN.read_text()
    assert draw.updated(text) == text, "run: python -m tests.failover.draw --write"
