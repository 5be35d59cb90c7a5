"""The lease: who may open epochs and act in AWS. Theory, rules and transitions; `edge.agent.leading` keeps it.

                 our claim was written
    FOLLOWING ───────────────────────────▶ LEADING ──┐ renewed
       ▲  ▲     taken, or ended by our clock    │ ◀──┘
       │  └──────────────────────────────────── │
       └──────────────── YIELDING ◀─────────────┘ the agent stops, or another one sees what it can't see
            given back

The record in the store: its version changes with each write, `term` grows with each acquisition, and both only by
compare-and-set. No two clocks are compared, and no clock is in the record:

- The holder counts from *before* it sent the write that the store then confirmed: its lease ends DRIFT sooner than
  `duration` after that.
- A challenger counts from *after* it first saw a version, and claims over it only when it has stood for a whole
  `duration` on its own clock. It saw it after it was written, which was after it was sent: so the holder gave up first.
- A claim is a compare-and-set over the version that stood still. Of two challengers one wins.
- "Lost" and "unknown" differ. A renewal that was not answered ends nothing: the lease goes on to its end, and is
  renewed again meanwhile. It may have been written, or be written later; so a conflict is followed by a look. A record
  that is ours and of our term is a renewal that arrived: it counts from the first that was not answered.
- Released, or of a process of ours that is gone (`by` is one state directory within one boot, and a lock lets one
  process in): claimed at once.
- Who yields acts no more from that moment; it is given back once its last call has ended.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from edge.failover.model import Assignment, Lease, Reason, Report

DRIFT = 0.1
"""How far two clocks may run apart. Monotonic clocks are slewed too: by up to 8.3 % by chrony (maxslewrate), by 0.05 %
by ntpd.
"""

NOBODY = "nobody"


def sole(holder: str) -> Lease:
    """The lease of an agent that shares its store with nobody."""
    return Lease(held=True, until=math.inf, holder=holder)


def outlives(lease: Lease, now: float, needed_s: float) -> bool:
    """Whether the lease is ours for longer than the `needed_s` seconds that a call may take."""
    return lease.held and now < lease.until - needed_s


def unled(lease: Lease) -> str:
    """Who leads, where it is not this agent."""
    return "no agent is known to lead" if lease.holder == NOBODY else f"the leader is {lease.holder}, not this agent"


def veto(lease: Lease, now: float, needed_s: float) -> Reason | None:
    if not lease.held:
        return Reason("lease", unled(lease))
    if not outlives(lease, now, needed_s):
        left_s = max(lease.until - now, 0.0)
        return Reason("lease", f"our lease ends in {left_s:.1f} s, and a call may take {needed_s:.1f} s")
    return None


# --- timings --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Timing:
    """`duration_s`: how long a lease lasts that nobody renews. `renew_s`: how often it is renewed."""

    duration_s: float
    renew_s: float

    @property
    def held_s(self) -> float:
        """What of the duration the holder counts on."""
        return self.duration_s * (1 - DRIFT)

    @property
    def often_s(self) -> float:
        """How often a follower looks, so that what is given back is soon taken; how soon what failed is tried again."""
        return self.renew_s / 4

    def left_s(self, call_s: float) -> float:
        """What is left at worst while every renewal succeeds: just before one that took `call_s` is confirmed."""
        return self.held_s - self.renew_s - call_s


# --- what is known --------------------------------------------------------------------------------------------------


class Standing(Enum):
    FOLLOWING = "following"
    LEADING = "leading"
    YIELDING = "yielding"  # acts no more, and has not given it back yet


class Turn(Enum):
    CLAIMED = "claimed"
    RENEWED = "renewed"
    TAKEN = "taken"
    ENDED = "ended"
    YIELDED = "yielded"
    GIVEN_BACK = "given back"


@dataclass(frozen=True, slots=True)
class Row:
    standing: Standing
    turn: Turn
    to: Standing
    because: str


_S, _T = Standing, Turn
TABLE: tuple[Row, ...] = (
    Row(_S.FOLLOWING, _T.CLAIMED, _S.LEADING, "our claim over a version that stood still, or was free, is written"),
    Row(_S.LEADING, _T.RENEWED, _S.LEADING, "our renewal is written"),
    Row(_S.LEADING, _T.TAKEN, _S.FOLLOWING, "the store has another holder, or another term"),
    Row(_S.LEADING, _T.ENDED, _S.FOLLOWING, "no renewal was confirmed before our own clock ran out"),
    Row(_S.LEADING, _T.YIELDED, _S.YIELDING, "the agent stops, or another one sees what it can't see"),
    Row(_S.YIELDING, _T.RENEWED, _S.YIELDING, "a renewal that was still on its way has arrived"),
    Row(_S.YIELDING, _T.TAKEN, _S.FOLLOWING, "the store has another holder, or another term"),
    Row(_S.YIELDING, _T.ENDED, _S.FOLLOWING, "it has ended by itself"),
    Row(_S.YIELDING, _T.GIVEN_BACK, _S.FOLLOWING, "the record says that it is free"),
)
NEXT: Mapping[tuple[Standing, Turn], Row] = {(row.standing, row.turn): row for row in TABLE}


@dataclass(frozen=True, slots=True)
class Record:
    """What the store has. `by` names one state directory within one boot; `holder` is the agent's name, for people."""

    term: int
    holder: str
    by: str
    duration_s: float
    released: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """The record (None: there never was one) and its version, since when, by our clock, we know it to stand there."""

    record: Record | None
    version: int
    since: float


@dataclass(frozen=True, slots=True)
class Keeper:
    """One agent's part in it.

    `until`: the end of our lease by our own clock, as far as writes are confirmed. `unsure_since`: when the oldest was
    sent of those after it whose fate is not known. `next_at`: when the store is asked next; `doubt`: by looking, as the
    version that we know is not the one there. `fit`: no other agent is known to see what we can't.
    `leaving`: the agent stops. Who is no `candidate` never claims, nor does anybody before `promised`
    (edge.failover.unanimity). `why` is what the last turn was for.
    """

    name: str
    by: str
    timing: Timing
    standing: Standing = Standing.FOLLOWING
    seen: Seen | None = None
    until: float = -math.inf
    unsure_since: float | None = None
    next_at: float = -math.inf
    doubt: bool = False
    fit: bool = True
    leaving: bool = False
    candidate: bool = True
    promised: float = -math.inf
    why: str = "the store was not read yet"

    def lease(self) -> Lease:
        """As the machines are told of it."""
        if self.standing is Standing.LEADING:
            return Lease(held=True, until=self.until, holder=self.name)
        record = self.seen.record if self.seen else None
        free = record is None or record.released or record.by == self.by
        return Lease(held=False, until=math.inf, holder=NOBODY if record is None or free else record.holder)

    @property
    def deadline(self) -> float:
        """When `passed` has to be called, whatever the store does."""
        return math.inf if self.standing is Standing.FOLLOWING else self.until


# --- what to do next ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Look:
    """Read the record, not before `at`."""

    at: float


@dataclass(frozen=True, slots=True)
class Write:
    """Compare-and-set the record over `version`, not before `at`."""

    at: float
    record: Record
    version: int


def due(keeper: Keeper) -> Look | Write:
    """The next thing to ask of the store, and when."""
    seen = keeper.seen
    if seen is None or keeper.doubt:
        return Look(keeper.next_at)
    if keeper.standing is not Standing.FOLLOWING:
        return Write(keeper.next_at, _ours(keeper, seen), seen.version)
    may = keeper.candidate and keeper.fit and not keeper.leaving
    at = _free_at(keeper, seen)
    return Write(at, _ours(keeper, seen), seen.version) if may and at <= keeper.next_at else Look(keeper.next_at)


def _free_at(keeper: Keeper, seen: Seen) -> float:
    record = seen.record
    if record is None or record.released or record.by == keeper.by:
        return max(seen.since, keeper.promised)
    return max(seen.since + record.duration_s, keeper.promised)


def _ours(keeper: Keeper, seen: Seen) -> Record:
    before = seen.record.term if seen.record else 0
    term = before + 1 if keeper.standing is Standing.FOLLOWING else before
    released = keeper.standing is Standing.YIELDING
    return Record(term, keeper.name, keeper.by, keeper.timing.duration_s, released)


# --- what came of it ------------------------------------------------------------------------------------------------


def read(keeper: Keeper, record: Record | None, version: int, now: float) -> Keeper:
    """`now`: after the answer came."""
    known = keeper.seen
    stood = known is not None and known.version == version
    seen = known if known and stood else Seen(record, version, now)
    keeper = replace(keeper, seen=seen, doubt=False, next_at=now + keeper.timing.often_s)
    if keeper.standing is Standing.FOLLOWING:
        return keeper
    if record is None or known is None or (record.by, record.term) != (keeper.by, _term(known)):
        return _turned(keeper, Turn.TAKEN)
    if record.released:
        return _turned(keeper, Turn.GIVEN_BACK)
    arrived = keeper if stood else _confirmed(keeper, Turn.RENEWED, keeper.unsure_since)
    return replace(arrived, next_at=now)


def wrote(keeper: Keeper, write: Write, sent_at: float, now: float) -> Keeper:
    """The write is confirmed. `sent_at`: before it was sent. Our standing may have changed while it was on its way."""
    claim = keeper.seen is None or write.record.term > _term(keeper.seen)
    seen = Seen(write.record, write.version + 1, now)
    keeper = replace(keeper, seen=seen, doubt=False, next_at=sent_at + keeper.timing.renew_s)
    if keeper.standing is Standing.FOLLOWING and not claim:
        return replace(keeper, next_at=now)
    if write.record.released:
        return _turned(keeper, Turn.GIVEN_BACK)
    keeper = _confirmed(keeper, Turn.CLAIMED if claim else Turn.RENEWED, sent_at)
    if keeper.standing is Standing.YIELDING:
        return replace(keeper, next_at=now)
    return faced(keeper, now, fit=keeper.fit, leaving=keeper.leaving)


def lost(keeper: Keeper, now: float) -> Keeper:
    """The write met another version: perhaps that of an earlier write of ours. The record tells."""
    return replace(keeper, doubt=True, next_at=now)


def unknown(keeper: Keeper, asked: Look | Write, sent_at: float, now: float) -> Keeper:
    """No answer, or the store could not be asked. Nothing ends by that."""
    following = keeper.standing is Standing.FOLLOWING
    first = isinstance(asked, Write) and not following and keeper.unsure_since is None
    return replace(
        keeper,
        unsure_since=sent_at if first else keeper.unsure_since,
        doubt=keeper.doubt or following,
        next_at=now + keeper.timing.often_s,
    )


def passed(keeper: Keeper, now: float) -> Keeper:
    """Nothing but time."""
    return _turned(keeper, Turn.ENDED) if keeper.deadline <= now else keeper


def faced(keeper: Keeper, now: float, *, fit: bool, leaving: bool) -> Keeper:
    """What the agent knows of itself and of the others."""
    if (keeper.fit, keeper.leaving) != (fit, leaving):
        keeper = replace(keeper, fit=fit, leaving=leaving)
    if keeper.standing is not Standing.LEADING or (fit and not leaving):
        return keeper
    return _turned(replace(keeper, next_at=now), Turn.YIELDED)


def promised(keeper: Keeper, until: float) -> Keeper:
    """No claim is sent before that."""
    return replace(keeper, promised=max(until, keeper.promised))


def _term(seen: Seen) -> int:
    return seen.record.term if seen.record else 0


def _confirmed(keeper: Keeper, turn: Turn, sent_at: float | None) -> Keeper:
    """A record of ours stands there: it counts from before the first write that may have made it."""
    until = keeper.until if sent_at is None else sent_at + keeper.timing.held_s
    return _turned(replace(keeper, until=until, unsure_since=None), turn)


def _turned(keeper: Keeper, turn: Turn) -> Keeper:
    row = NEXT[keeper.standing, turn]
    unsure = None if row.to is Standing.FOLLOWING else keeper.unsure_since
    return replace(keeper, standing=row.to, unsure_since=unsure, why=row.because)


# --- the others -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Word:
    """What an agent posts of itself, and the version of that (0: not posted). `reports`: what it sees, by service; of a
    word that was read their `at` is not known. `moved`: what it serves that all agents agreed on without the store.
    `could`: the services that it would switch, if it led (edge.failover.relief).
    """

    version: int
    path_up: bool
    candidate: bool = True
    reports: Mapping[str, Report] = field(default_factory=dict)
    moved: Mapping[str, Assignment] = field(default_factory=dict)
    could: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Peer:
    """`moved_at`: when we saw the version change, by our clock; -inf until it did, as it may be from last year."""

    word: Word
    moved_at: float = -math.inf


def heard(peers: Mapping[str, Peer], words: Mapping[str, Word], now: float) -> Mapping[str, Peer]:
    """The peers after another reading of what they posted."""
    return {name: _peer(peers.get(name), word, now) for name, word in words.items()}


def _peer(before: Peer | None, word: Word, now: float) -> Peer:
    if before is None:
        return Peer(word)
    return before if before.word.version == word.version else Peer(word, now)


def relieved(peers: Mapping[str, Peer], since: float, now: float, fresh_s: float) -> bool:
    """Whether another agent, heard of after `since` and within `fresh_s`, has its path up and could lead."""
    heard_at = [peer.moved_at for peer in peers.values() if peer.word.path_up and peer.word.candidate]
    return any(at > since and now - at < fresh_s for at in heard_at)
