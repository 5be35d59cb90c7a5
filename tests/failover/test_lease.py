"""The lease's rules one by one, and then by many seeds: never two leaders, whatever clocks, line and store do."""

import heapq
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random

import pytest

from edge.failover import lease
from edge.failover.lease import Keeper, Look, Record, Seen, Standing, Timing, Turn, Word, Write
from edge.failover.model import Lease

OURS = Lease(held=True, until=100.0, holder="edge-1")


def test_a_single_agent_holds_it_for_ever() -> None:
    sole = lease.sole("edge-1")
    assert lease.outlives(sole, 1e12, 1e6)
    assert lease.veto(sole, 1e12, 1e6) is None


@pytest.mark.parametrize(("now", "outlives"), [(0.0, True), (95.9, True), (96.0, False), (99.0, False), (101.0, False)])
def test_it_must_outlive_the_call(now: float, outlives: bool) -> None:
    assert lease.outlives(OURS, now, needed_s=4.0) is outlives
    assert (lease.veto(OURS, now, needed_s=4.0) is None) is outlives


def test_another_holder_is_named() -> None:
    reason = lease.veto(Lease(held=False, until=math.inf, holder="edge-2"), 0.0, 0.0)
    assert reason
    assert reason.slug == "lease"
    assert "edge-2" in reason.sentence


def test_where_nobody_holds_it_nobody_is_named() -> None:
    reason = lease.veto(Keeper("edge-1", "one", Timing(15.0, 3.0)).lease(), 0.0, 0.0)
    assert reason
    assert reason.sentence == "no agent is known to lead"


def test_what_is_left_of_it_is_never_negative() -> None:
    reason = lease.veto(OURS, 150.0, 4.0)
    assert reason
    assert reason.sentence == "our lease ends in 0.0 s, and a call may take 4.0 s"


# --- the keeper, rule by rule ---------------------------------------------------------------------------------------

TIMING = Timing(duration_s=10.0, renew_s=2.0)
US = Keeper("edge-1", "one", TIMING)
THEIRS = Record(4, "edge-2", "two", 10.0)


def asked(keeper: Keeper) -> Write:
    write = lease.due(keeper)
    assert isinstance(write, Write)
    return write


def following(record: Record | None = THEIRS, version: int = 7, now: float = 100.0, keeper: Keeper = US) -> Keeper:
    return lease.read(keeper, record, version, now)


def leading(now: float = 100.0) -> Keeper:
    keeper = following(None, 0, now)
    return lease.wrote(keeper, asked(keeper), now, now + 0.5)


def test_the_table_names_each_turn_once_and_goes_round() -> None:
    assert len(lease.NEXT) == len(lease.TABLE)
    assert {row.turn for row in lease.TABLE} == set(Turn)
    assert {row.to for row in lease.TABLE} == {row.standing for row in lease.TABLE} == set(Standing)


def test_the_store_is_looked_at_before_anything_is_claimed() -> None:
    assert isinstance(lease.due(US), Look)
    assert lease.due(US).at == -math.inf
    assert US.lease() == Lease(held=False, until=math.inf, holder="nobody")


def test_a_lease_that_nobody_ever_had_is_claimed_at_once() -> None:
    assert asked(following(None, 0)) == Write(100.0, Record(1, "edge-1", "one", 10.0), 0)


def test_the_holder_counts_from_before_it_sent_and_ends_before_a_challenger_may_claim() -> None:
    keeper = leading(100.0)
    assert keeper.lease() == Lease(held=True, until=109.0, holder="edge-1")
    assert keeper.deadline == 109.0
    assert asked(keeper) == Write(102.0, Record(1, "edge-1", "one", 10.0), 1)


def test_a_challenger_waits_a_whole_duration_from_its_own_first_sight_of_a_version() -> None:
    keeper = following(now=100.0)
    for now in (100.5, 103.0, 106.0, 109.5):
        assert isinstance(lease.due(keeper), Look)
        keeper = lease.read(keeper, THEIRS, 7, now)
    assert asked(keeper) == Write(110.0, Record(5, "edge-1", "one", 10.0), 7)
    assert keeper.lease() == Lease(held=False, until=math.inf, holder="edge-2")


def test_a_version_that_changed_starts_the_wait_anew() -> None:
    keeper = lease.read(following(now=100.0), THEIRS, 8, 109.0)
    assert lease.due(keeper) == Look(109.5)
    assert keeper.seen == Seen(THEIRS, 8, 109.0)


def test_the_holders_duration_is_waited_for_and_not_our_own() -> None:
    keeper = following(replace(THEIRS, duration_s=0.25))
    assert asked(keeper).at == 100.25


@pytest.mark.parametrize("record", [replace(THEIRS, released=True), replace(THEIRS, by="one")])
def test_what_is_released_or_of_a_process_of_ours_is_claimed_at_once_in_the_next_term(record: Record) -> None:
    keeper = following(record)
    assert asked(keeper) == Write(100.0, Record(5, "edge-1", "one", 10.0), 7)
    assert keeper.lease().holder == "nobody"


def test_who_is_not_fit_or_leaves_claims_nothing() -> None:
    free = replace(THEIRS, released=True)
    assert isinstance(lease.due(following(free, keeper=replace(US, fit=False))), Look)
    assert isinstance(lease.due(following(free, keeper=replace(US, leaving=True))), Look)


def test_a_claim_that_met_another_version_looks_again() -> None:
    keeper = lease.lost(following(replace(THEIRS, released=True)), 101.0)
    assert lease.due(keeper) == Look(101.0)
    assert lease.due(lease.read(keeper, THEIRS, 8, 101.5)) == Look(102.0)


def test_a_claim_of_unknown_fate_is_looked_for_and_not_believed() -> None:
    keeper = following(replace(THEIRS, released=True))
    keeper = lease.unknown(keeper, asked(keeper), 100.0, 105.0)
    assert lease.due(keeper) == Look(105.5)
    assert not keeper.lease().held
    arrived = lease.read(keeper, Record(5, "edge-1", "one", 10.0), 8, 106.0)
    assert not arrived.lease().held
    assert asked(arrived) == Write(106.0, Record(6, "edge-1", "one", 10.0), 8)


def test_a_renewal_of_unknown_fate_ends_nothing_and_is_sent_again() -> None:
    keeper = leading(100.0)
    keeper = lease.unknown(keeper, asked(keeper), 102.0, 104.0)
    assert keeper.lease() == Lease(held=True, until=109.0, holder="edge-1")
    assert asked(keeper) == Write(104.5, Record(1, "edge-1", "one", 10.0), 1)


def test_a_renewal_that_arrived_unheard_counts_from_the_first_that_was_sent() -> None:
    keeper = leading(100.0)
    keeper = lease.unknown(keeper, asked(keeper), 102.0, 104.0)
    keeper = lease.unknown(keeper, asked(keeper), 104.5, 105.0)
    keeper = lease.lost(keeper, 105.6)
    assert lease.due(keeper) == Look(105.6)
    keeper = lease.unknown(keeper, Look(105.6), 105.6, 105.7)
    keeper = lease.read(keeper, Record(1, "edge-1", "one", 10.0), 2, 106.0)
    assert keeper.lease().until == 102.0 + 9.0
    assert asked(keeper) == Write(106.0, Record(1, "edge-1", "one", 10.0), 2)
    assert keeper.unsure_since is None


def test_a_look_that_finds_our_own_version_changes_nothing() -> None:
    keeper = leading(100.0)
    assert keeper.seen
    same = lease.read(lease.lost(keeper, 102.0), keeper.seen.record, keeper.seen.version, 102.1)
    assert same.lease() == keeper.lease()


@pytest.mark.parametrize("record", [THEIRS, Record(2, "edge-1", "one", 10.0), None])
def test_a_record_that_is_not_of_our_term_has_taken_it(record: Record | None) -> None:
    keeper = lease.read(lease.lost(leading(100.0), 102.0), record, 9, 102.1)
    assert keeper.standing is Standing.FOLLOWING
    assert "another holder" in keeper.why


def test_it_ends_by_our_own_clock() -> None:
    keeper = leading(100.0)
    assert lease.passed(keeper, 108.9) == keeper
    ended = lease.passed(keeper, 109.0)
    assert not ended.lease().held
    assert ended.deadline == math.inf
    assert lease.passed(ended, 200.0) == ended


def test_a_renewal_that_is_confirmed_after_the_end_is_no_lease_but_the_next_term_is() -> None:
    keeper = leading(100.0)
    write = asked(keeper)
    late = lease.wrote(lease.passed(keeper, 109.0), write, 102.0, 110.0)
    assert not late.lease().held
    assert asked(late) == Write(110.0, Record(2, "edge-1", "one", 10.0), 2)


@pytest.mark.parametrize(("fit", "leaving"), [(False, False), (True, True)])
def test_who_yields_acts_no_more_and_gives_it_back(fit: bool, leaving: bool) -> None:
    keeper = lease.faced(leading(100.0), 101.0, fit=fit, leaving=leaving)
    assert keeper.standing is Standing.YIELDING
    assert not keeper.lease().held
    write = asked(keeper)
    assert write == Write(101.0, Record(1, "edge-1", "one", 10.0, released=True), 1)
    given = lease.wrote(keeper, write, 101.0, 101.1)
    assert given.standing is Standing.FOLLOWING
    assert isinstance(lease.due(given), Look)


def test_a_renewal_on_its_way_does_not_revive_what_was_yielded() -> None:
    keeper = leading(100.0)
    renewal = asked(keeper)
    yielding = lease.faced(keeper, 102.1, fit=True, leaving=True)
    keeper = lease.wrote(yielding, renewal, 102.0, 102.2)
    assert not keeper.lease().held
    assert asked(keeper) == Write(102.2, Record(1, "edge-1", "one", 10.0, released=True), 2)
    given = lease.unknown(keeper, asked(keeper), 102.2, 103.0)
    found = lease.read(lease.lost(given, 103.5), Record(1, "edge-1", "one", 10.0, released=True), 3, 103.6)
    assert found.standing is Standing.FOLLOWING


def test_a_claim_that_is_confirmed_while_we_leave_is_given_back() -> None:
    keeper = following(None, 0)
    write = asked(keeper)
    keeper = lease.wrote(lease.faced(keeper, 100.1, fit=True, leaving=True), write, 100.0, 100.2)
    assert keeper.standing is Standing.YIELDING
    assert asked(keeper).record.released


def test_a_release_that_is_confirmed_after_the_end_is_known() -> None:
    keeper = lease.faced(leading(100.0), 101.0, fit=True, leaving=True)
    write = asked(keeper)
    ended = lease.wrote(lease.passed(keeper, 109.0), write, 101.0, 109.5)
    assert ended.standing is Standing.FOLLOWING
    assert ended.seen == Seen(write.record, 2, 109.5)


def test_facts_that_change_nothing_change_nothing() -> None:
    keeper = leading(100.0)
    assert lease.faced(keeper, 101.0, fit=True, leaving=False) == keeper


def test_what_is_left_before_a_renewal_is_confirmed() -> None:
    assert Timing(15.0, 3.0).left_s(5.0) == pytest.approx(5.5)


def test_another_agent_counts_once_its_word_was_seen_to_change_and_for_a_while() -> None:
    """What is found at first may be from last year."""
    peers = lease.heard({}, {"edge-2": Word(7, path_up=True)}, 100.0)
    assert not lease.relieved(peers, 90.0, 100.0, 10.0)
    peers = lease.heard(peers, {"edge-2": Word(7, path_up=True)}, 102.0)
    assert not lease.relieved(peers, 90.0, 102.0, 10.0)
    peers = lease.heard(peers, {"edge-2": Word(8, path_up=True)}, 104.0)
    assert lease.relieved(peers, 103.9, 113.9, 10.0)
    assert not lease.relieved(peers, 103.9, 114.0, 10.0)
    assert not lease.relieved(peers, 104.0, 105.0, 10.0), "it was heard before our own path went down"
    peers = lease.heard(peers, {"edge-2": Word(9, path_up=False)}, 106.0)
    assert not lease.relieved(peers, 90.0, 106.0, 10.0)


def test_a_witness_whose_path_is_up_relieves_nobody() -> None:
    """It would not take the lease that is given up."""
    for candidate in (True, False):
        peers = lease.heard({}, {"edge-3": Word(7, path_up=True, candidate=candidate)}, 100.0)
        peers = lease.heard(peers, {"edge-3": Word(8, path_up=True, candidate=candidate)}, 101.0)
        assert lease.relieved(peers, 100.0, 102.0, 10.0) is candidate


def test_who_is_no_candidate_looks_and_never_claims() -> None:
    witness = lease.read(replace(US, candidate=False), None, 0, 100.0)
    for now in (100.0, 1_000.0):
        witness = lease.read(witness, Record(1, "edge-1", "gone", 15.0, released=now > 100.0), 1, now)
        assert isinstance(lease.due(replace(witness, next_at=now + 1e6)), Look)
    assert isinstance(lease.due(replace(witness, next_at=now + 1e6, candidate=True)), Write)


# --- many agents, many seeds ----------------------------------------------------------------------------------------

AGENTS, SEEDS, LASTS_S = 3, 60, 400.0
CALL_S, LATE_S = 1.0, 12.0  # when a call is given up; how much later what was sent may still arrive


@dataclass(slots=True)
class Agent:
    """Its clock began somewhere and runs a little wrong; it asks the store one thing at a time."""

    keeper: Keeper
    offset: float
    rate: float
    paused_until: float = 0.0
    asking: bool = False
    generation: int = 0

    def clock(self, true: float) -> float:
        return self.offset + self.rate * true

    def true(self, clock: float) -> float:
        return (clock - self.offset) / self.rate

    def leads(self, true: float) -> bool:
        held = self.keeper.lease()
        return held.held and self.clock(true) < held.until


@dataclass(slots=True)
class Table:
    """The store: one record under one version, and the log of grants."""

    record: Record | None = None
    version: int = 0
    claimed: list[int] = field(default_factory=list)

    def put(self, write: Write) -> bool:
        if write.version != self.version:
            return False
        if self.record is None or write.record.term > self.record.term:
            self.claimed.append(write.record.term)
        self.record, self.version = write.record, self.version + 1
        return True


class Scene:
    """Agents on a line that loses and delays, with pauses, restarts and stops. All of it is drawn from the seed."""

    def __init__(self, seed: int) -> None:
        self.random, self.table, self.now = Random(seed), Table(), 0.0
        self.agents = [self._agent(number) for number in range(AGENTS)]
        self.queue: list[tuple[float, int, Callable[[], None]]] = []
        self.count = itertools.count()
        self.calm = False
        self.led_s = 0.0

    def _agent(self, number: int) -> Agent:
        keeper = Keeper(f"edge-{number}", f"{number}", TIMING)
        return Agent(keeper, self.random.uniform(0, 1e6), self.random.uniform(0.95, 1.05))

    def at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self.queue, (max(when, self.now), next(self.count), what))

    def run(self, until: float) -> None:
        for agent in self.agents:
            self._schedule(agent)
        while self.queue and self.queue[0][0] <= until:
            when, _, what = heapq.heappop(self.queue)
            leaders = [agent for agent in self.agents if agent.leads(self.now)]
            assert len(leaders) <= 1, f"two lead at {self.now:.3f} s: {[each.keeper.name for each in leaders]}"
            self.led_s += (when - self.now) if leaders else 0.0
            self.now = when
            what()
        assert self.table.claimed == sorted(set(self.table.claimed)), "each acquisition has a term of its own"

    def _schedule(self, agent: Agent) -> None:
        if not agent.asking:
            deed = lease.due(agent.keeper)
            agent.asking = True
            self._when_awake(agent, agent.true(deed.at) if deed.at > -math.inf else 0.0, lambda: self._ask(agent))
        if agent.keeper.deadline < math.inf:
            self._when_awake(agent, agent.true(agent.keeper.deadline), lambda: self._passed(agent))

    def _when_awake(self, agent: Agent, when: float, what: Callable[[], None]) -> None:
        """Nothing happens to a process that is paused, and nothing to one that was killed."""
        generation = agent.generation

        def awake() -> None:
            if agent.generation != generation:
                return
            if agent.paused_until > self.now:
                self.at(agent.paused_until, awake)
            else:
                what()

        self.at(when, awake)

    def _passed(self, agent: Agent) -> None:
        agent.keeper = lease.passed(agent.keeper, agent.clock(self.now))

    def _ask(self, agent: Agent) -> None:
        self._upset(agent)
        deed, sent_at = lease.due(agent.keeper), agent.clock(self.now)
        chance = 1.0 if self.calm else self.random.random()
        arrives = self.now + self.random.uniform(0.0, 0.3 if chance > 0.2 else LATE_S)
        answered = arrives + self.random.uniform(0.0, 0.3)
        if chance > 0.1 and answered < self.now + CALL_S:
            self.at(arrives, lambda: self._arrived(agent, deed, sent_at, answered))
            return
        if chance > 0.05:
            self.at(arrives, lambda: isinstance(deed, Write) and self.table.put(deed))
        self._hear(agent, self.now + CALL_S, lambda k, now: lease.unknown(k, deed, sent_at, now))

    def _arrived(self, agent: Agent, deed: Look | Write, sent_at: float, answered: float) -> None:
        if isinstance(deed, Look):
            record, version = self.table.record, self.table.version
            self._hear(agent, answered, lambda k, now: lease.read(k, record, version, now))
        elif self.table.put(deed):
            self._hear(agent, answered, lambda k, now: lease.wrote(k, deed, sent_at, now))
        else:
            self._hear(agent, answered, lease.lost)

    def _hear(self, agent: Agent, when: float, hear: Callable[[Keeper, float], Keeper]) -> None:
        def heard() -> None:
            agent.asking = False
            now = agent.clock(self.now)
            agent.keeper = lease.passed(hear(lease.passed(agent.keeper, now), now), now)
            self._schedule(agent)

        self._when_awake(agent, when, heard)

    def _upset(self, agent: Agent) -> None:
        chance = 1.0 if self.calm else self.random.random()
        if chance < 0.03:
            agent.paused_until = self.now + self.random.uniform(0.0, 30.0)
        elif chance < 0.05:  # killed and started again: the same directory and boot, nothing remembered
            agent.generation += 1
            agent.keeper = Keeper(agent.keeper.name, agent.keeper.by, TIMING)
        elif chance < 0.08:
            fit = self.random.random() < 0.7
            agent.keeper = lease.faced(agent.keeper, agent.clock(self.now), fit=fit, leaving=False)

    def calms_down(self) -> None:
        self.calm = True
        for agent in self.agents:
            agent.keeper = lease.faced(agent.keeper, agent.clock(self.now), fit=True, leaving=False)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_never_two_lead_and_when_all_is_well_one_does(seed: int) -> None:
    scene = Scene(seed)
    scene.run(LASTS_S)
    assert scene.led_s > LASTS_S / 20, "a lease that nobody ever holds keeps every promise"
    scene.calms_down()
    scene.run(LASTS_S + 3 * (TIMING.duration_s + LATE_S))
    assert sum(agent.leads(scene.now) for agent in scene.agents) == 1
