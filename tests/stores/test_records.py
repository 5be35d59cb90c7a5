"""What an agent finds again of a switch, whenever it was stopped, and who may write over whom."""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from edge.errors import EpochOverError, StoreConflictError, StoreError, StoreSchemaError
from edge.failover.events import Loaded
from edge.failover.model import Assignment, Cause, Intent, Override, Reason
from edge.history import Line
from edge.stores.contract import Item, Store
from edge.stores.records import Clock, Records, boot_id
from edge.stores.sqlite import SqliteStore

FILES = "files.fs.corp.example"
HOUR_S = 3600.0


@dataclass(slots=True)
class Time:
    """The hands of a machine's clocks, and how many times it was booted."""

    monotonic: float = 1000.0
    wall: float = 1_700_000_000.0
    boots: int = 1

    def clock(self) -> Clock:
        return Clock(f"boot-{self.boots}", lambda: self.monotonic, lambda: self.wall)

    def reboot(self, uptime_s: float) -> None:
        self.boots, self.monotonic = self.boots + 1, uptime_s


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(tmp_path)) as opened:
        yield opened


@pytest.fixture
def records(store: Store, time: Time) -> Records:
    return Records(store, time.clock())


def intent(epoch: int, node: str = "b", cause: Cause = Cause.FAILURE) -> Intent:
    return Intent(epoch, node, "a", cause, "edge", f"epoch {epoch}: it was needed")


def test_an_intent_comes_back_as_it_was(records: Records) -> None:
    left = replace(intent(7), outgoing=("a", "c"))
    records.write_intent(FILES, left)
    assert records.load(FILES).opened == left


def test_an_intent_of_an_older_version_is_away_from_the_node_that_was_live(records: Records, store: Store) -> None:
    records.write_intent(FILES, intent(7))
    item = store.read(f"intent/{FILES}")
    assert item is not None
    old = {key: value for key, value in item.value.items() if key != "outgoing"}
    store.compare_and_set(item.key, old, item.version)
    opened = records.load(FILES).opened
    assert opened is not None
    assert opened.outgoing == ("a",)


def test_what_a_newer_version_adds_to_an_item_is_passed_over(records: Records, store: Store) -> None:
    committed(records, 7)
    records.write_intent(FILES, intent(8))
    records.save_override(FILES, Override(None, "kim", "router work", None))
    before = records.load(FILES)
    for kind in ("assignment", "intent", "override"):
        item = store.read(f"{kind}/{FILES}")
        assert item is not None
        store.compare_and_set(item.key, {**item.value, "region": "later"}, item.version)
    assert records.load(FILES) == before
    records.commit(FILES, intent(8))
    assert records.load(FILES).assignment == Assignment("b", 8)


def committed(records: Records, epoch: int, cause: Cause = Cause.FAILURE, *, settled: bool = True) -> None:
    records.write_intent(FILES, intent(epoch, cause=cause))
    records.commit(FILES, intent(epoch, cause=cause))
    if settled:
        records.close(FILES, epoch, finished=True)


# --- the life of a switch, cut off at every point -------------------------------------------------------------------


def act(records: Records, *steps: str) -> None:
    for step in steps:
        match step.split():
            case ["open"]:
                records.write_intent(FILES, intent(2))
            case ["commit"]:
                records.commit(FILES, intent(2))
            case ["finish"]:
                records.close(FILES, 2, finished=True)
            case ["abandon"]:
                records.close(FILES, 2, finished=False)
            case [name, state]:
                records.journal(FILES, 2, name, state, "as read")


LIFE = ["open", "unassign begun", "unassign done", "assign begun", "commit", "finish"]
OLD, NEW = Assignment("b", 1), Assignment("b", 2)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (LIFE[:0], Loaded(OLD)),
        (LIFE[:1], Loaded(OLD, opened=intent(2), begun=False)),
        (LIFE[:2], Loaded(OLD, opened=intent(2), begun=True)),
        (LIFE[:3], Loaded(OLD, opened=intent(2), begun=True)),
        (LIFE[:4], Loaded(OLD, opened=intent(2), begun=True)),
        (LIFE[:5], Loaded(NEW, unsettled=intent(2))),
        (LIFE[:6], Loaded(NEW)),
        (["open", "commit"], Loaded(NEW, unsettled=intent(2))),
        (["open", "abandon"], Loaded(OLD)),
        (["open", "assign begun", "abandon"], Loaded(OLD)),
        (["open", "commit", "abandon"], Loaded(NEW, unsettled=intent(2))),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_switch_is_found_where_it_was_left(
    store: Store, records: Records, time: Time, steps: list[str], expected: Loaded
) -> None:
    committed(records, 1, Cause.BOOTSTRAP)
    act(records, *steps)
    found = Records(store, time.clock()).load(FILES)
    assert replace(found, committed_at=-math.inf, automatic_at=(), newest=0) == expected
    assert found.newest == (2 if "open" in steps else 1)


def test_a_switch_over_a_half_done_one_is_half_done_too(records: Records) -> None:
    """AWS may be half-way by the steps of the one that it superseded, also before its own first step."""
    committed(records, 1)
    act(records, "open", "assign begun")
    records.write_intent(FILES, intent(3))
    assert records.load(FILES).begun
    records.close(FILES, 3, finished=False)
    records.write_intent(FILES, intent(4))
    assert not records.load(FILES).begun


def test_an_empty_store_has_nothing(records: Records) -> None:
    assert records.load(FILES) == Loaded(None)


def test_the_first_switch_is_found_before_there_is_an_assignment(records: Records) -> None:
    records.write_intent(FILES, intent(1))
    assert records.load(FILES) == Loaded(None, opened=intent(1), newest=1)


def test_services_do_not_share_records(records: Records) -> None:
    committed(records, 1)
    assert records.load("other.fs.corp.example") == Loaded(None)


# --- epochs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("epoch", [4, 5])
@pytest.mark.parametrize("left", ["open", "abandoned", "finished"])
def test_an_epoch_is_claimed_over_older_ones_only(records: Records, epoch: int, left: str) -> None:
    records.write_intent(FILES, intent(5))
    if left == "finished":
        records.commit(FILES, intent(5))
    if left != "open":
        records.close(FILES, 5, finished=left == "finished")
    before = records.load(FILES)
    with pytest.raises(StoreConflictError, match="the store has epoch 5 already"):
        records.write_intent(FILES, intent(epoch, node="a"))
    assert records.load(FILES) == before
    records.write_intent(FILES, intent(6))
    assert records.load(FILES).opened == intent(6)


def test_of_two_agents_that_claim_an_epoch_one_gets_it(store: Store, time: Time) -> None:
    for epoch in range(1, 30):
        agents = [Records(store, time.clock()) for _ in range(3)]

        def claim(agent: Records, epoch: int = epoch) -> bool:
            try:
                agent.write_intent(FILES, intent(epoch))
            except StoreConflictError:
                return False
            return True

        with ThreadPoolExecutor(3) as racers:
            assert sum(racers.map(claim, agents)) == 1


def test_only_the_open_epoch_is_committed(records: Records) -> None:
    records.write_intent(FILES, intent(1))
    records.write_intent(FILES, intent(2))
    with pytest.raises(StoreConflictError, match="epoch 1 is not the open one"):
        records.commit(FILES, intent(1))
    records.close(FILES, 2, finished=False)
    with pytest.raises(StoreConflictError):
        records.commit(FILES, intent(2))
    assert records.load(FILES).assignment is None


def test_who_has_lost_the_lease_when_the_store_answers_opens_no_epoch(records: Records, store: Store) -> None:
    """The store was slow, and another agent leads by now: our claim would stand in the way of its own."""
    records.write_intent(FILES, intent(2))
    with pytest.raises(StoreError, match="epoch 3 is not opened: the leader is edge-2"):
        records.write_intent(FILES, intent(3), lambda: Reason("lease", "the leader is edge-2"))
    assert (item := store.read(f"intent/{FILES}"))
    assert item.value["epoch"] == 2


def test_a_commit_whose_answer_was_lost_can_be_repeated(records: Records) -> None:
    """A store that answers too late has written all the same; the machine tries again."""
    records.write_intent(FILES, intent(1))
    records.commit(FILES, intent(1))
    before = records.load(FILES)
    records.commit(FILES, intent(1))
    assert records.load(FILES) == before


def test_a_closed_or_older_epoch_journals_nothing(records: Records) -> None:
    committed(records, 1, settled=False)
    records.write_intent(FILES, intent(2))
    records.write_intent(FILES, intent(3))
    for epoch in (1, 2, 4):  # owed, but a newer one is open; superseded; never opened
        with pytest.raises(EpochOverError, match=f"epoch {epoch} is neither"):
            records.journal(FILES, epoch, "assign", "begun", "as read")


def test_a_committed_switch_journals_after_a_newer_one_was_abandoned(records: Records) -> None:
    """It is still owed to AWS: without its journal it could never be paid."""
    committed(records, 1, settled=False)
    records.write_intent(FILES, intent(2))
    records.close(FILES, 2, finished=False)
    records.journal(FILES, 1, "assign", "begun", "as read")
    assert records.load(FILES).unsettled == intent(1)
    records.close(FILES, 1, finished=True)
    assert records.load(FILES).unsettled is None
    with pytest.raises(StoreConflictError):
        records.journal(FILES, 1, "assign", "begun", "as read")


def test_the_journal_keeps_each_step_with_its_evidence(store: Store, records: Records, time: Time) -> None:
    records.write_intent(FILES, intent(1))
    records.journal(FILES, 1, "unassign", "begun", "it is on a")
    records.journal(FILES, 1, "unassign", "done", "it is on none")
    records.journal(FILES, 1, "assign", "begun", "it is on none")
    kept = store.read(f"intent/{FILES}")
    assert kept is not None
    moment = {"boot": "boot-1", "monotonic": time.monotonic, "wall": time.wall}
    assert kept.value["steps"] == {
        "unassign": {"state": "done", "evidence": "it is on none", "at": moment},
        "assign": {"state": "begun", "evidence": "it is on none", "at": moment},
    }


@dataclass(slots=True)
class SlowStore:
    """A store behind which another thread is always in the middle of something."""

    inner: Store
    between: Callable[[], object] | None = None

    def read(self, key: str) -> Item | None:
        item = self.inner.read(key)
        between, self.between = self.between, None
        if between:
            between()
        return item

    def scan(self, prefix: str, limit: int) -> Any:
        return self.inner.scan(prefix, limit)

    def compare_and_set(self, key: str, value: Any, version: int) -> Item:
        return self.inner.compare_and_set(key, value, version)


def test_a_step_journalled_while_its_switch_is_closed_loses_nothing(store: Store, time: Time) -> None:
    """The runner's threads journal, another thread closes: the close was once lost to the journal's version."""
    slow = SlowStore(store)
    records = Records(slow, time.clock())
    records.write_intent(FILES, intent(1))
    with ThreadPoolExecutor(1) as other:
        begun: list[Future[None]] = []

        def journal() -> None:
            begun.append(other.submit(records.journal, FILES, 1, "assign", "begun", "as read"))
            wait(begun, timeout=0.3)  # time enough to get between, where it can

        slow.between = journal
        records.close(FILES, 1, finished=False)
        with pytest.raises(StoreConflictError):  # after the close, not in the middle of it
            begun[0].result()
    assert records.load(FILES).opened is None


def test_several_who_test_the_store_at_one_time_do_not_meet(store: Store, time: Time) -> None:
    """Two people's checks: the one's version was the other's conflict, and told as a store that can't be written."""
    slow = SlowStore(store)
    records = Records(slow, time.clock())
    with ThreadPoolExecutor(1) as other:
        tested: list[Future[None]] = []

        def test() -> None:
            tested.append(other.submit(records.test))
            wait(tested, timeout=0.3)  # time enough to get between, where it can

        slow.between = test
        records.test()
        tested[0].result()


# --- moments --------------------------------------------------------------------------------------------------------


def test_the_age_of_a_switch_goes_on_through_a_restart(store: Store, records: Records, time: Time) -> None:
    committed(records, 1)
    time.monotonic += 40
    time.wall -= 1e6  # the wall clock decides nothing
    found = Records(store, time.clock()).load(FILES)
    assert found.committed_at == time.monotonic - 40
    assert found.automatic_at == (time.monotonic - 40,)


def test_a_switch_of_an_earlier_boot_was_no_later_than_this_boot(store: Store, records: Records, time: Time) -> None:
    committed(records, 1)
    time.reboot(uptime_s=30)
    found = Records(store, time.clock()).load(FILES)
    assert (found.committed_at, found.automatic_at) == (0, (0,))


def test_restarts_after_a_reboot_do_not_renew_the_damping(store: Store, records: Records, time: Time) -> None:
    """Each restart once made the switches of an earlier boot recent again, so that none was allowed for an hour."""
    committed(records, 1)
    time.reboot(uptime_s=2 * HOUR_S)
    agent = Records(store, time.clock())
    assert all(time.monotonic - moment >= 2 * HOUR_S for moment in agent.load(FILES).automatic_at)
    committed(agent, 2)
    assert agent.load(FILES).automatic_at == (time.monotonic,)


def test_the_first_assignment_damps_nothing(records: Records) -> None:
    committed(records, 1, Cause.BOOTSTRAP)
    assert records.load(FILES).committed_at == -math.inf
    assert records.load(FILES).automatic_at == ()


def test_automatic_switches_of_the_last_hour_are_remembered(records: Records, time: Time) -> None:
    causes = [Cause.BOOTSTRAP, Cause.FAILURE, Cause.OPERATOR, Cause.FOLLOW]
    for epoch, cause in enumerate(causes, 1):
        committed(records, epoch, cause)
        time.monotonic += 600
    assert records.load(FILES).automatic_at == (1600, 2800)
    time.monotonic = 1600 + HOUR_S
    committed(records, 5)
    assert records.load(FILES).automatic_at == (2800, 1600 + HOUR_S)


def test_answers_to_a_drift_of_the_last_hour_are_remembered_apart(records: Records, time: Time) -> None:
    for epoch, cause in enumerate([Cause.REPAIR, Cause.FAILURE, Cause.ADOPT], 1):
        committed(records, epoch, cause)
        time.monotonic += 600
    found = records.load(FILES)
    assert (found.drift_at, found.automatic_at) == ((1000, 2200), (1600,))
    time.monotonic = 1000 + HOUR_S
    committed(records, 4, Cause.OPERATOR)
    assert records.load(FILES).drift_at == (2200,)


def test_a_store_that_knew_no_drift_is_read(store: Store, records: Records) -> None:
    committed(records, 1)
    item = store.read(f"assignment/{FILES}")
    assert item
    older = {key: value for key, value in item.value.items() if key != "answered"}
    store.compare_and_set(item.key, older, item.version)
    assert records.load(FILES).drift_at == ()
    committed(records, 2, Cause.REPAIR)
    assert len(records.load(FILES).drift_at) == 1


def test_the_boot_is_the_machines() -> None:
    assert boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


# --- an operator's word ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pinned", [True, False])
def test_a_word_that_has_no_end_stays(store: Store, records: Records, time: Time, pinned: bool) -> None:
    said = Override(pinned, "ann", "disk work")
    records.save_override(FILES, said)
    time.reboot(uptime_s=1)
    assert Records(store, time.clock()).load(FILES).override == said


def test_a_hold_ends_when_it_was_to_end(store: Store, records: Records, time: Time) -> None:
    records.save_override(FILES, Override(pinned=False, who="ann", sentence="disk work", until=time.monotonic + 100))
    time.monotonic += 60
    found = Records(store, time.clock()).load(FILES).override
    assert found is not None
    assert found.until == time.monotonic + 40


def test_a_hold_ends_after_a_reboot_however_often_the_agent_restarts(
    store: Store, records: Records, time: Time
) -> None:
    records.save_override(FILES, Override(pinned=False, who="ann", sentence="disk work", until=time.monotonic + 100))
    time.reboot(uptime_s=10)
    for _ in range(3):
        found = Records(store, time.clock()).load(FILES).override
        assert found is not None
        assert found.until == 100  # never too early: it began before this boot did
        time.monotonic += 20


def test_a_released_word_is_gone(records: Records) -> None:
    records.save_override(FILES, Override(pinned=True, who="ann", sentence="disk work"))
    records.save_override(FILES, None)
    assert records.load(FILES).override is None


def test_a_release_gives_new_budgets_and_they_stay_new(store: Store, records: Records, time: Time) -> None:
    records.save_override(FILES, None, forgives=True)  # there is nothing to forgive yet
    for epoch, cause in enumerate([Cause.FAILURE, Cause.REPAIR], 1):
        committed(records, epoch, cause)
    records.save_override(FILES, None)
    assert (len(records.load(FILES).automatic_at), len(records.load(FILES).drift_at)) == (1, 1)
    records.save_override(FILES, None, forgives=True)
    found = Records(store, time.clock()).load(FILES)
    assert (found.automatic_at, found.drift_at) == ((), ())
    assert found.assignment == Assignment("b", 2)


# --- history --------------------------------------------------------------------------------------------------------


def line(number: int, service: str = FILES, wall_s: float = 1_700_000_000.0) -> Line:
    return Line(service, wall_s, "stage", f"line {number}", number, "ann", {"detect": 0.25})


def test_the_newest_lines_are_told_oldest_first(records: Records) -> None:
    for number in range(5):
        records.tell(line(number, wall_s=1_700_000_000 + number))
    assert records.history([FILES], 3) == [line(n, wall_s=1_700_000_000 + n) for n in (2, 3, 4)]


def test_lines_of_the_same_moment_keep_their_order(records: Records) -> None:
    for number in range(12):
        records.tell(line(number))
    assert [each.epoch for each in records.history([FILES], 10)] == list(range(2, 12))


def test_the_lines_of_several_services_are_told_in_one_order(records: Records) -> None:
    for number, service in enumerate(["a", "b", "a", "c", "b"]):
        records.tell(line(number, service, 1_700_000_000 + number))
    assert [each.epoch for each in records.history(["a", "b"], 3)] == [1, 2, 4]
    assert [each.epoch for each in records.history(["b"], 9)] == [1, 4]
    assert records.history(["a"], 9)[0].took_s == {"detect": 0.25}


# --- what the store can't do ----------------------------------------------------------------------------------------


def corrupt(store: Store, kind: str, **changes: Any) -> None:
    item = store.read(f"{kind}/{FILES}")
    assert item is not None
    value = {key: kept for key, kept in {**item.value, **changes}.items() if kept is not ...}
    store.compare_and_set(item.key, value, item.version)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("assignment", {"epoch": "7"}),
        ("assignment", {"epoch": ...}),
        ("assignment", {"epoch": 0}),
        ("assignment", {"node": None}),
        ("assignment", {"cause": None}),
        ("assignment", {"settled": ...}),
        ("assignment", {"at": {"boot": "boot-1", "monotonic": "noon"}}),
        ("assignment", {"automatic": 3}),
        ("intent", {"epoch": None}),
        ("intent", {"state": ...}),
        ("intent", {"cause": 1}),
        ("intent", {"steps": ...}),
        ("override", {"said": {"who": "ann"}}),
        ("override", {"at": None}),
    ],
)
def test_what_can_not_be_understood_is_refused_with_what_to_do(
    store: Store, records: Records, kind: str, changes: dict[str, Any]
) -> None:
    committed(records, 1)
    records.write_intent(FILES, intent(2))
    records.save_override(FILES, Override(pinned=False, who="ann", sentence="disk work", until=2000.0))
    corrupt(store, kind, **changes)
    with pytest.raises(StoreSchemaError, match=r"can't be understood .*: restore a backup"):
        records.load(FILES)


@pytest.mark.parametrize(
    "write",
    [
        lambda records: records.write_intent(FILES, intent(2)),
        lambda records: records.journal(FILES, 1, "assign", "begun", "as read"),
        lambda records: records.commit(FILES, intent(1)),
        lambda records: records.history([FILES], 10),
    ],
    ids=["write_intent", "journal", "commit", "history"],
)
def test_whoever_meets_what_can_not_be_understood_says_so(
    store: Store, records: Records, write: Callable[[Records], None]
) -> None:
    records.write_intent(FILES, intent(1))
    corrupt(store, "intent", epoch=..., state=...)
    store.compare_and_set(f"history/{FILES}/0", {"kind": "stage"}, 0)
    with pytest.raises(StoreSchemaError):
        write(records)


def test_the_test_writes_and_tells_when_it_can_not(tmp_path: Path, time: Time) -> None:
    store = SqliteStore(tmp_path)
    records = Records(store, time.clock())
    records.test()
    records.test()
    kept = store.read("test/store")
    assert kept is not None
    assert kept.version == 2
    store.close()
    with pytest.raises(StoreError):
        records.test()


# --- with other machines in the same store --------------------------------------------------------------------------


def sharing(store: Store, time: Time) -> Records:
    return Records(store, time.clock(), "edge-2")


def test_another_machines_moment_counts_as_when_it_was_first_met(store: Store, records: Records, time: Time) -> None:
    committed(records, 1)
    other = Time(monotonic=5.0, boots=77)
    follower = sharing(store, other)
    assert follower.load(FILES).committed_at == 5.0
    other.monotonic = 500.0
    found = follower.load(FILES)
    assert (found.committed_at, found.automatic_at) == (5.0, (5.0,))


def test_another_machines_switches_of_the_last_hour_are_kept_until_an_hour_after_they_were_met(
    store: Store, records: Records, time: Time
) -> None:
    committed(records, 1)
    other = Time(monotonic=5.0, boots=77)
    follower = sharing(store, other)
    follower.load(FILES)
    other.monotonic += HOUR_S - 10
    committed(follower, 2)
    assert len(follower.load(FILES).automatic_at) == 2
    other.monotonic += 20
    committed(follower, 3)
    assert len(follower.load(FILES).automatic_at) == 2


def test_a_hold_of_another_machine_ends_no_sooner_than_it_was_to(store: Store, records: Records, time: Time) -> None:
    until = time.monotonic + 100
    records.save_override(FILES, Override(pinned=False, who="ann", sentence="disk work", until=until))
    other = Time(monotonic=5.0, boots=77)
    found = sharing(store, other).load(FILES).override
    assert found is not None
    assert found.until == 105.0


def test_what_is_remembered_of_other_machines_has_an_end(store: Store, time: Time) -> None:
    follower = sharing(store, time)
    for number in range(5000):
        follower._at({"boot": "other", "monotonic": number})
    assert len(follower._met) < 1100


def test_two_agents_tell_of_one_moment(store: Store, time: Time) -> None:
    for name in ("edge-1", "edge-2"):
        Records(store, time.clock(), name).tell(line(1))
    assert len(Records(store, time.clock(), "edge-3").history([FILES], 10)) == 2


def test_each_agent_tests_the_store_by_itself(store: Store, time: Time) -> None:
    Records(store, time.clock(), "edge-1").test()
    assert store.read("test/edge-1")
