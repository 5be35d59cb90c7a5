"""Who leads, what is answered and what moves while two agents, their store and the nodes are cut off from each other.

Cuts are silence. What each cell has to come to is reckoned from the rules of docs/design.md (`by_the_rules`), and not
from what the agents did.
"""

import itertools
import time
from dataclasses import dataclass
from enum import Enum

from tests.lab.shared import ADDRESS_OF, AGENTS, DETECTION_S, LEASE_S, LOOK_S, NODE_OF, RENEW_S, STORE, Member, Shared
from tests.lab.topology import ADDRESS, Lab

OLD, NEW = "a", "b"
# What is to happen has happened by then, on a machine that is not busy; what must not has had its time.
LEASE_GONE_S = LEASE_S + 2 * RENEW_S + DETECTION_S
SEEN_S = 2 * RENEW_S + 2 * DETECTION_S
PATIENCE = 5  # so many times that


class Nodes(Enum):
    """Which endpoints the leader does not reach."""

    NONE = "no node"
    LIVE = "the live node"
    OTHER = "the other node"
    ALL = "both nodes and the witness"

    def addresses(self) -> tuple[str, ...]:
        return {
            Nodes.NONE: (),
            Nodes.LIVE: (ADDRESS_OF[OLD],),
            Nodes.OTHER: (ADDRESS_OF[NEW],),
            Nodes.ALL: (*ADDRESS_OF.values(), ADDRESS["witness"]),
        }[self]


@dataclass(frozen=True, slots=True)
class Cell:
    """What is cut, all at one moment: the leader from the store, the leader from `nodes`, one agent from the other.
    `dies`: in the same moment the live node falls silent to everybody.
    """

    store: bool
    nodes: Nodes
    agents: bool
    dies: bool

    def __str__(self) -> str:
        return f"{self.cut}; the live node {'dies' if self.dies else 'lives'}"

    @property
    def cut(self) -> str:
        far = ["the store"] * self.store + [self.nodes.value] * (self.nodes is not Nodes.NONE)
        said = [f"the leader from {' and '.join(far)}"] * bool(far) + ["one agent from the other"] * self.agents
        return "; ".join(said) or "nothing"

    @property
    def quiet_s(self) -> float:
        return LEASE_GONE_S if self.store else SEEN_S


CELLS = tuple(itertools.starmap(Cell, itertools.product((False, True), Nodes, (False, True), (False, True))))


@dataclass(frozen=True, slots=True)
class End:
    """How things stand before the cuts are mended. `leads`: whether the leader still does. `hold`: of who leads then.
    `moved`: the next epoch was opened, and the other agent tells its node. `follows`: so does the leader.
    """

    leads: bool
    hold: str
    moved: bool
    follows: bool


def by_the_rules(cell: Cell) -> End:
    """
    - A leader without the store loses its lease, and opens no epoch; one that sees no endpoint at all gives it up, and
      so does one that has seen no target for a lease's duration, while the other agent sees one.
    - Who leads moves the service if it sees the live node down and the other one serve, and the other vantage doesn't
      see the live one serve. A vantage whose path is down, or that is not heard of, has no say. Of a node that one
      vantage sees serve and the other one doesn't nothing can be said, once it is live.
    - Everybody serves what the store has as soon as it reads it, and what it had where it can't read it.
    """
    leads = not cell.store and cell.nodes is not Nodes.ALL
    if leads and cell.nodes is Nodes.LIVE and not cell.dies:
        return End(leads, "quorum", moved=False, follows=False)
    if leads and cell.nodes is Nodes.OTHER and cell.dies:
        return End(leads=False, hold="quorum", moved=True, follows=True)
    return End(leads, "steady", moved=cell.dies, follows=cell.dies and not cell.store)


@dataclass(frozen=True, slots=True)
class Found:
    """Seconds are from the cut, those of `healed_s` from its mending; None where it did not happen. `told`: all that a
    client was told anew, in order, by the leader and by the other agent. `leaders`: at most, at one moment.
    """

    end: End
    leaders: int
    led_s: float | None
    moved_s: float | None
    follows_s: float | None
    healed_s: float
    epochs: int
    told: tuple[list[str], list[str]]


def run(shared: Shared, cell: Cell, rest_s: float = 0.0) -> Found:
    """From a beginning to the agreement after the mending. AssertionError where that never comes."""
    leader, follower = shared.begin(rest_s)
    before, since_s = shared.epoch(), time.monotonic()
    strike(shared.lab, cell, leader.role)
    eyes = Eyes(shared, leader, follower, before, since_s)
    end = eyes.watch(cell)
    moved_s, follows_s = (each.changed_s(ADDRESS_OF[NEW], since_s) for each in (follower, leader))
    mended_s = time.monotonic()
    shared.lab.join()
    shared.until("it heals", lambda: shared.agreed_on(NEW if cell.dies else OLD))
    healed_s = time.monotonic() - mended_s
    told = (leader.told(since_s), follower.told(since_s))
    follows_s = follows_s if end.follows else None
    return Found(end, eyes.leaders, eyes.led_s, moved_s, follows_s, healed_s, shared.epoch() - before, told)


def strike(lab: Lab, cell: Cell, leader: str) -> None:
    if cell.dies:
        lab.silence(NODE_OF[OLD])
    for address in (*cell.nodes.addresses(), *[STORE] * cell.store):
        lab.cut(leader, address)
    if cell.agents:
        lab.part(*AGENTS.values())


@dataclass(slots=True)
class Eyes:
    """What is seen of both from outside, from the cut on. `before`: the epoch then."""

    shared: Shared
    leader: Member
    follower: Member
    before: int
    since_s: float
    leaders: int = 0
    led_s: float | None = None

    def watch(self, cell: Cell) -> End:
        """Until all is as the rules say and has had its time, or for long enough to say that it never is."""
        end = self._look()
        while self._for_s() < cell.quiet_s or (end != by_the_rules(cell) and self._for_s() < PATIENCE * cell.quiet_s):
            time.sleep(LOOK_S)
            end = self._look()
        return end

    def _look(self) -> End:
        other, one = self.follower.leads(), self.leader.leads()  # in this order: who has lost it does not regain it
        self.leaders = max(self.leaders, other + one)
        self.led_s = self._for_s() if other and self.led_s is None else self.led_s
        moved = self.shared.epoch() == self.before + 1 and self.follower.answer() == ADDRESS_OF[NEW]
        follows = self.leader.answer() == ADDRESS_OF[NEW]
        return End(not other, (self.follower if other else self.leader).reason(), moved, follows)

    def _for_s(self) -> float:
        return time.monotonic() - self.since_s
