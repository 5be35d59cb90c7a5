"""A desk over worlds (tests.failover.world): the real machine, a shell that obeys, a clock that the test moves."""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from edge.control.contract import (
    FINAL,
    Cost,
    Finding,
    Forecast,
    ForeseenCall,
    ForeseenStep,
    ServiceSnapshot,
    Snapshot,
    ViewSnapshot,
)
from edge.dns.counters import Tally, total
from edge.errors import RefusedError, StoreError
from edge.failover import events as ev
from edge.failover.machine import step
from edge.failover.model import Assignment, State
from edge.history import Line
from tests.failover.world import POLICY, World

WALL_S = 1_700_000_000.0  # what the wall clock shows when the world's shows 0
ADDRESSES = {"a": ("10.0.1.10",), "b": ("10.0.2.10",)}
CALL = ForeseenCall("ec2", "AssignPrivateIpAddresses", {"PrivateIpAddresses": ["10.0.1.100"]})
STEPS = (
    ForeseenStep("move", "assign", "10.0.1.100 is on a", (CALL,)),
    ForeseenStep("verify", "route53-insync", "read back"),
)
COSTS = (Cost("fence", 9.0, 0.5, "so"), Cost("approve", math.inf, None, "a person"))
FILES, MEDIA = "files.fs.corp.example", "media.fs.corp.example"


def world(service: str = FILES, **policy: object) -> World:
    """`a` is live at epoch 7, and all is well."""
    return World(replace(POLICY, service=service, **policy)).started()  # type: ignore[arg-type]


@dataclass
class Side:
    """What a side would tell who asks; None: it can't be asked."""

    name: str
    told: Assignment | None
    ttl_s: int | None = None
    warning: str = ""


class Bench:
    """`sides` are what they are; what status shows of them is as they were when somebody last looked."""

    def __init__(self, *worlds: World) -> None:
        self.worlds = {each.state.policy.service: each for each in worlds}
        self.lines: list[Line] = []
        self.sides: list[Side] = []
        self.findings: list[Finding] = []
        self.steps: tuple[ForeseenStep, ...] = STEPS
        self.store_up = True
        self.store_age_s = 0.0
        self.witness = False
        self.dns_ready = True
        self.reload_ok = True
        self.credentials_end_s: float | None = None
        self.tally = Tally.create()
        self._read: list[tuple[float, Side]] = []
        self._listed = dict.fromkeys(self.worlds, 0)
        self._news = asyncio.Event()
        self.followers = 0
        self.hears_news()

    @property
    def first(self) -> World:
        return next(iter(self.worlds.values()))

    def hears_news(self) -> None:
        """To be called when something happened in a world: what it told becomes history."""
        for service, one in self.worlds.items():
            told = one.effects[self._listed[service] :]
            self._listed[service] = len(one.effects)
            self.lines += [self._line(service, each) for each in told if isinstance(each, ev.Tell)]
        self._news.set()
        self._news = asyncio.Event()

    def _line(self, service: str, told: ev.Tell) -> Line:
        wall_s = WALL_S + self.worlds[service].now
        return Line(service, wall_s, told.kind, told.sentence, told.epoch, told.who, told.marks_s)

    # --- the desk ----------------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        now = self.first.now
        return Snapshot(
            agent="edge-1",
            now=now,
            wall_s=WALL_S + now,
            uptime_s=4000.0,
            services=tuple(self._service(each.state) for each in self.worlds.values()),
            store_up=self.store_up,
            store_age_s=self.store_age_s,
            dns=total([self.tally]),
            dns_ready=self.dns_ready,
            answer_age_s=0.25,
            reload_ok=self.reload_ok,
            credentials_end_s=self.credentials_end_s,
            findings=tuple(self.findings),
            witness=self.witness,
        )

    def _service(self, state: State) -> ServiceSnapshot:
        views = tuple(self._view(at, side, state.assignment) for at, side in self._read)
        disagreement_s = 12.0 if any(view.agrees is False for view in views) else 0.0
        return ServiceSnapshot(state, ADDRESSES, views, disagreement_s, 3.0 if state.assignment else None)

    def _view(self, at: float, side: Side, live: Assignment | None) -> ViewSnapshot:
        age_s = self.first.now - at
        if side.told is None:
            return ViewSnapshot(side.name, None, 0, "ListResourceRecordSets: denied", None, age_s)
        said = f"{side.told.node}, epoch {side.told.epoch}"
        agrees = side.told == live
        return ViewSnapshot(side.name, side.told.node, side.told.epoch, said, agrees, age_s, side.ttl_s, side.warning)

    async def say(self, service: str, word: ev.Event) -> ev.Reply:
        reply = self.worlds[service].says(word)
        self.hears_news()
        return reply

    async def foresee(self, service: str, word: ev.Promote) -> Forecast:
        opened = step(self.worlds[service].state, word, self.first.now)
        reply = next(each for each in opened.effects if isinstance(each, ev.Reply))
        if not reply.accepted or reply.epoch is None:
            raise RefusedError(reply.sentence)
        return Forecast(service, f"would promote {word.node}", word.node, reply.epoch, self.steps, COSTS, ("a note",))

    def monotonic(self) -> float:
        return self.first.now

    async def history(self, service: str | None, limit: int) -> Sequence[Line]:
        if not self.store_up:
            raise StoreError("the disk is gone")
        return [each for each in self.lines if service in (None, each.service)][-limit:]

    async def follow(self, service: str, epoch: int) -> AsyncIterator[Line]:
        self.followers += 1
        try:
            async for line in self._followed(service, epoch):
                yield line
        finally:
            self.followers -= 1

    async def _followed(self, service: str, epoch: int) -> AsyncIterator[Line]:
        sent = 0
        while True:
            news, known = self._news, [x for x in self.lines if (x.service, x.epoch) == (service, epoch)]
            if not known:
                raise RefusedError(f"{service} has no epoch {epoch}")
            for line in known[sent:]:
                yield line
                if line.kind in FINAL:
                    return
            sent = len(known)
            if not self.store_up:
                raise StoreError("the disk is gone")
            await news.wait()

    async def look(self) -> None:
        self._read = [(self.first.now, side) for side in self.sides]

    async def check(self) -> Sequence[Finding]:
        return self.findings
