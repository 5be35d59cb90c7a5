"""The shell around moves without the store, alone: its clock, the others, AWS's sides and the drivers are the test's.

What it has to keep: a yes is a promise, an answer counts for as long as the promise does, and nobody says yes who has
heard of the store or of AWS, or has not asked. The rules themselves: tests/failover/test_unanimity.py.
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

import pytest

from edge.agent.driver import Driver
from edge.agent.reach import Reach
from edge.agent.sharing import Sharing
from edge.agent.unanimity import HEARD_S, Unanimity
from edge.errors import CloudError, Fault
from edge.failover import events as ev
from edge.failover.model import Assignment, Listed, Override, State
from edge.failover.unanimity import COUNTED_S, PROMISE_S, Stance
from edge.switches.contract import View
from tests.failover.world import POLICY, Shown, World

SERVICE, PATIENCE_S = POLICY.service, 15.0
LISTED = Listed(("dc1", "dc2"), (), 2)
POLICIES = {
    us: replace(POLICY, vantage=us, peers=(peer,), quorum=2, listed=LISTED, unanimous=True, fence_required=False)
    for us, peer in (("dc1", "dc2"), ("dc2", "dc1"))
}
A7, B71 = Assignment("a", 7), Assignment("b", 7, 1)
YES = Stance(A7, "b", "a is down", LISTED)


class Kept:
    """The lease's keeper, as far as it is asked."""

    def __init__(self) -> None:
        self.claiming, self.strangers, self.age = False, frozenset[str](), 60.0
        self.promised: list[float] = []

    def age_s(self) -> float:
        return self.age

    def promise(self, until: float) -> None:
        self.promised.append(until)


class Side:
    """One of AWS's."""

    def __init__(self, fault: Fault | None = Fault.UNREACHABLE) -> None:
        self.name, self.fault, self.asked = "route53", fault, 0

    def view(self) -> View:
        self.asked += 1
        if self.fault:
            raise CloudError("ListResourceRecordSets", self.fault, "no answer")
        return View("a", 7, "it points to a")


class Listener:
    """A driver as the shell sees it."""

    def __init__(self, state: State, side: Side) -> None:
        self.state, self.sides, self.heard = state, (side,), list[ev.Event]()

    def live(self) -> Assignment | None:
        return self.state.assignment

    def post(self, event: ev.Event) -> None:
        self.heard.append(event)


class Bench:
    """One agent that sees its live node dead and the other one serve, with its clock in the test's hand."""

    def __init__(self, us: str = "dc1") -> None:
        self.world = World(POLICIES[us], held=False).started()
        self.world.sees["a"] = Shown.SILENT
        self.now = self.world.passes(6.0).now
        self.side, self.kept = Side(), Kept()
        self.driver = Listener(self.world.state, self.side)
        self.says: Callable[[], Mapping[str, Stance] | None] = lambda: {SERVICE: YES}
        self.trouble: Mapping[str, str | None] = {"dc2": None}
        self.peers: tuple[str, ...] = POLICIES[us].peers
        self.threads = ThreadPoolExecutor(1)
        self.shell = self.made()

    def made(self) -> Unanimity:
        """AWS has been silent for a minute."""
        self.now -= 60.0
        self.reach = Reach(lambda: self.now)
        self.now += 60.0
        sharing, drivers = cast("Sharing", self.kept), cast("dict[str, Driver]", {SERVICE: self.driver})
        more: Mapping[str, Any] = {"patience_s": PATIENCE_S, "threads": self.threads}
        return Unanimity(self, drivers, sharing, self.reach, lambda: self.now, **more)

    def names(self) -> tuple[str, ...]:
        return self.peers

    def troubles(self) -> Mapping[str, str | None]:
        return self.trouble

    async def ask(self, name: str) -> Mapping[str, Stance] | None:
        return self.says()

    def looked(self) -> "Bench":
        """At AWS."""
        asyncio.run(self.shell._try_aws())
        return self

    def confers(self) -> "Bench":
        asyncio.run(self.shell._confer())
        return self

    @property
    def stance(self) -> Stance:
        return self.shell.stances()[SERVICE]


@pytest.fixture
def bench() -> Bench:
    """Cut off from store and AWS, and it has heard the other agent."""
    return Bench().looked().confers()


# --- what it says -----------------------------------------------------------------------------------------------------


def test_who_is_cut_off_and_sees_what_a_move_needs_says_yes(bench: Bench) -> None:
    assert bench.stance.node == "b"


@pytest.mark.parametrize(
    ("otherwise", "why"),
    [
        (lambda bench: setattr(bench.kept, "claiming", True), "a claim of the lease is on its way"),
        (lambda bench: setattr(bench.kept, "age", PATIENCE_S - 1.0), "the store answered 14 s ago"),
        (lambda bench: bench.reach.called("List", 0.1, None), "AWS answered 0 s ago"),
        (lambda bench: bench.reach.called("List", 0.1, Fault.DENIED), "AWS answered 0 s ago"),
        (lambda bench: setattr(bench.kept, "strangers", frozenset({"dc9"})), "dc9 shares the store and is not listed"),
        (lambda bench: setattr(bench, "now", bench.now + HEARD_S), "it does not hear dc2"),
    ],
)
def test_each_thing_that_it_knows_of_store_aws_or_agents_is_enough_to_say_no(
    bench: Bench, otherwise: Callable[[Bench], None], why: str
) -> None:
    bench.kept.promised.clear()
    otherwise(bench)
    assert (bench.stance.node, bench.stance.why) == (None, why)
    assert bench.kept.promised == [], "a no promises nothing"


def test_a_call_that_nobody_answered_is_no_answer_of_aws(bench: Bench) -> None:
    bench.reach.called("List", 5.0, Fault.UNREACHABLE)
    assert bench.stance.node == "b"


def test_who_has_not_asked_aws_lately_says_no() -> None:
    bench = Bench().confers()
    assert bench.stance.why == "AWS was not asked yet"
    bench.looked()
    assert bench.stance.node == "b"
    bench.now += PATIENCE_S + 1.0
    bench.confers()
    assert bench.stance.why == "AWS was not asked yet", "that was too long ago"


@pytest.mark.parametrize("fault", [None, Fault.DENIED, Fault.THROTTLED])
def test_a_side_of_aws_that_answers_or_refuses_is_not_out_of_reach(fault: Fault | None) -> None:
    bench = Bench().confers()
    bench.side.fault = fault
    assert bench.looked().stance.why == "route53 is not out of reach"


def test_aws_is_not_asked_while_the_store_answers(bench: Bench) -> None:
    asked, bench.kept.age = bench.side.asked, 1.0
    assert bench.looked().side.asked == asked


# --- a yes is a promise -----------------------------------------------------------------------------------------------


def test_a_yes_promises_to_claim_no_lease_from_when_it_was_said(bench: Bench) -> None:
    bench.kept.promised.clear()
    bench.now += 1.0
    assert bench.stance.node
    assert bench.kept.promised == [bench.now + PROMISE_S]


def test_who_starts_keeps_what_it_may_have_promised_before() -> None:
    bench = Bench()
    assert bench.kept.promised == [bench.now + PROMISE_S]
    bench.kept.promised.clear()
    bench.peers = ()
    bench.made()
    assert bench.kept.promised == [], "who has nobody to agree with promised nothing"


# --- what it decides --------------------------------------------------------------------------------------------------


def decided(bench: Bench) -> list[Assignment]:
    return [each.assignment for each in bench.driver.heard if isinstance(each, ev.Agreed) and each.assignment.round]


def test_the_first_by_name_decides_once_all_stand_alike(bench: Bench) -> None:
    assert decided(bench.confers())[-1] == B71
    said = bench.driver.heard[-1]
    assert isinstance(said, ev.Agreed)
    assert said.sentence.startswith("b is live at epoch 7 round 1: dc1, dc2 agree, and see neither store nor AWS: a is")


def test_another_one_decides_nothing_and_says_who_does() -> None:
    bench = Bench("dc2").looked().confers().confers()
    assert decided(bench) == []
    assert bench.shell.said(SERVICE) == "we would move it to b; dc1 decides"


@pytest.mark.parametrize(("late_s", "expected"), [(COUNTED_S, []), (COUNTED_S - 0.1, [B71])])
def test_an_answer_that_came_when_the_promise_may_have_ended_decides_nothing(
    bench: Bench, late_s: float, expected: list[Assignment]
) -> None:
    def late() -> Mapping[str, Stance]:
        bench.now += late_s
        return {SERVICE: YES}

    bench.driver.heard.clear()
    bench.says = late
    assert decided(bench.confers()) == expected


@pytest.mark.parametrize(
    ("says", "why"),
    [
        (None, "dc2 does not answer"),
        ({}, "dc2 does not answer"),
        (
            {SERVICE: replace(YES, node=None, why="a is not seen to fail")},
            "dc2 would not move it: a is not seen to fail",
        ),
        ({SERVICE: replace(YES, assignment=Assignment("a", 8))}, "dc2 serves a at epoch 8, and we a at epoch 7"),
    ],
)
def test_it_tells_who_does_not_agree_and_why(bench: Bench, says: Mapping[str, Stance] | None, why: str) -> None:
    bench.driver.heard.clear()
    bench.says = lambda: says
    assert decided(bench.confers()) == []
    assert bench.shell.said(SERVICE) == why


def test_nothing_is_told_of_it_while_the_store_answers_or_where_it_is_not_wanted(bench: Bench) -> None:
    assert bench.shell.said("another.corp.example") is None
    bench.kept.age = 1.0
    assert bench.shell.said(SERVICE) is None
    bench.kept.age = 60.0
    bench.driver.state = replace(bench.driver.state, policy=replace(POLICIES["dc1"], unanimous=False))
    assert bench.shell.said(SERVICE) is None


def test_what_stands_against_it_here_is_told_first(bench: Bench) -> None:
    said = Override(pinned=False, who="ann", sentence="router firmware")
    bench.driver.state = replace(bench.driver.state, override=said)
    against = "dc1 would not move it: automatic switches held by ann: router firmware"
    assert bench.shell.said(SERVICE) == against


# --- what the others tell ---------------------------------------------------------------------------------------------


def test_what_another_one_serves_is_handed_to_the_driver_whatever_this_one_thinks(bench: Bench) -> None:
    bench.kept.age = 1.0
    bench.says = lambda: {SERVICE: Stance(B71, None, "", LISTED), "another.corp.example": YES}
    bench.driver.heard.clear()
    bench.confers()
    assert bench.driver.heard == [ev.Agreed(B71, "b is live at epoch 7 round 1: dc2 serves it")]


@pytest.mark.parametrize("live", [None, A7, Assignment("b", 6)])
def test_who_serves_nothing_or_nothing_newer_tells_nothing(bench: Bench, live: Assignment | None) -> None:
    bench.says = lambda: {SERVICE: Stance(live, None, "a is not seen to fail", LISTED)}
    bench.driver.heard.clear()
    assert bench.confers().driver.heard == []


def test_who_knows_of_nothing_serves_what_another_one_does(bench: Bench) -> None:
    bench.driver.state = replace(bench.driver.state, assignment=None)
    bench.driver.heard.clear()
    assert bench.confers().driver.heard == [ev.Agreed(A7, "a is live at epoch 7: dc2 serves it")]


def test_who_is_asked_and_does_not_answer_is_not_heard(bench: Bench) -> None:
    bench.now += HEARD_S
    bench.says = lambda: None
    assert bench.confers().stance.why == "it does not hear dc2"


def test_why_one_is_not_heard_is_told(bench: Bench) -> None:
    bench.now += HEARD_S
    bench.trouble = {"dc2": "it is not signed with our key (vantage.key_file)"}
    assert bench.stance.why == "it does not hear dc2 (it is not signed with our key (vantage.key_file))"


def test_it_counts_as_heard_from_when_it_was_asked(bench: Bench) -> None:
    """An answer that took long says little of now."""

    def slow() -> Mapping[str, Stance]:
        bench.now += HEARD_S
        return {SERVICE: YES}

    bench.says = slow
    assert bench.confers().stance.why == "it does not hear dc2"


async def test_it_asks_the_others_and_aws_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.agent.unanimity.PACE_S", 0.01)
    monkeypatch.setattr("edge.agent.unanimity.TRY_S", 0.01)
    bench = Bench()
    running = asyncio.create_task(bench.shell.run())
    async with asyncio.timeout(30.0):
        while len(decided(bench)) < 2 or bench.side.asked < 2:  # noqa: ASYNC110 what is waited for has no event
            await asyncio.sleep(0.01)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
