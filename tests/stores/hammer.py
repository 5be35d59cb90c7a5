"""The lease, hammered: many threads in two processes fight for it on a real server, over a line that loses and delays.

    python -m tests.stores.hammer --seconds 60

Each thread is an agent with the real rules (edge.failover.lease) and the real store. It gives the lease back, stalls
without renewing it, forgets all and begins anew. What it may do by its own opinion it writes into a log, which
tests.stores.grants judges: nothing of the program takes part in that. `--careless` counts on half as much again as the
lease lasts: the checker has to find double grants then.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

from edge.errors import CloudError, Fault, StoreConflictError, StoreError
from edge.failover import lease
from edge.failover.lease import Keeper, Timing, Write
from edge.stores.dynamodb import Calls, DynamoStore
from edge.stores.leases import Leases
from edge.stores.table import create
from tests.stores.conftest import asking
from tests.stores.dynalite import dynalite, why_not
from tests.stores.grants import Verdict, judged, lines_in

ROOT = Path(__file__).parents[2]
PROCESSES, THREADS = 2, 16
DURATION_S, RENEW_S = 0.9, 0.3
LATE_S = 1.2  # what was given up may arrive so much later
TABLE = "edge"


class Careless(Timing):
    """A holder that counts on more than a challenger waits for: what the hammer must find."""

    @property
    def held_s(self) -> float:
        return self.duration_s * 1.5


class Line:
    """The way to the store: one call in ten is lost, or its answer, or it is sent when nobody waits for it any more."""

    def __init__(self, calls: Calls, chance: random.Random) -> None:
        self._calls, self._chance = calls, chance

    def __call__(self, method: str, **parameters: Any) -> Mapping[str, Any]:
        luck = self._chance.random()
        if luck < 0.03:
            raise CloudError(method, Fault.UNREACHABLE, "lost on the way")
        if luck < 0.06:
            late = threading.Timer(self._chance.uniform(0, LATE_S), self._late, (method, parameters))
            late.daemon = True
            late.start()
            raise CloudError(method, Fault.UNREACHABLE, "held up on the way")
        answer = self._calls(method, **parameters)
        if luck < 0.09:
            raise CloudError(method, Fault.UNREACHABLE, "the answer is lost")
        return answer

    def _late(self, method: str, parameters: Mapping[str, Any]) -> None:
        try:
            self._calls(method, **parameters)
        except CloudError:
            return


@dataclass(slots=True)
class Contender:
    """One agent in its thread."""

    keeper: Keeper
    leases: Leases
    chance: random.Random
    log: TextIO
    born: int = 0

    def fight(self, until: float) -> None:
        while (now := time.monotonic()) < until:
            self._set(lease.passed(self.keeper, now))
            asked = lease.due(self.keeper)
            if asked.at > now:
                time.sleep(min(asked.at, self.keeper.deadline, until) - now if asked.at < until else until - now)
                continue
            self._ask(asked)
            self._upset()

    def _ask(self, asked: lease.Look | Write) -> None:
        sent_at = time.monotonic()
        try:
            if isinstance(asked, Write):
                self.leases.write(asked)
                heard = lease.wrote(self.keeper, asked, sent_at, time.monotonic())
            else:
                heard = lease.read(self.keeper, *self.leases.read(), time.monotonic())
        except StoreConflictError:
            heard = lease.lost(self.keeper, time.monotonic())
        except StoreError:
            heard = lease.unknown(self.keeper, asked, sent_at, time.monotonic())
        self._set(lease.passed(heard, time.monotonic()))

    def _upset(self) -> None:
        if not self.keeper.lease().held:
            self._set(lease.faced(self.keeper, time.monotonic(), fit=True, leaving=False))
            return
        luck = self.chance.random()
        if luck < 0.6:  # given back; another one leads at once
            self._set(lease.faced(self.keeper, time.monotonic(), fit=False, leaving=False))
        elif luck < 0.75:  # stalls, and goes on to believe that it leads until its own clock says otherwise
            time.sleep(self.chance.uniform(0, 2 * DURATION_S))
        elif luck < 0.85:  # killed: it acts no more, and a successor with another identity begins
            self._said(self.keeper, time.monotonic())
            self.born += 1
            by = f"{self.keeper.by.partition('+')[0]}+{self.born}"
            self.keeper = Keeper(self.keeper.name, by, self.keeper.timing)

    def _set(self, keeper: Keeper) -> None:
        before, self.keeper = self.keeper, keeper
        was, now = before.lease(), keeper.lease()
        if now.held and now != was:
            self._said(keeper, now.until)
        if was.held and not now.held:
            self._said(before, time.monotonic())

    def _said(self, keeper: Keeper, until: float) -> None:
        term = keeper.seen.record.term if keeper.seen and keeper.seen.record else 0
        self.log.write(json.dumps({"at": time.monotonic(), "who": self.keeper.by, "term": term, "until": until}) + "\n")


def contend(url: str, number: int, seconds: float, log: Path, seed: int, *, careless: bool) -> None:
    """One of the processes."""
    calls, timing = asking(url), (Careless if careless else Timing)(DURATION_S, RENEW_S)
    until = time.monotonic() + seconds
    logs = [log.with_suffix(f".{number}.{thread}") for thread in range(THREADS)]

    def fight(thread: int) -> None:
        chance = random.Random(f"{seed}/{number}/{thread}")
        keeper = Keeper(f"edge-{thread}", f"{number}/{thread:02}", timing)
        with logs[thread].open("w") as written:
            store = DynamoStore(Line(calls, chance), TABLE)
            Contender(replace(keeper), Leases(store), chance, written).fight(until)

    threads = [threading.Thread(target=fight, args=(thread,)) for thread in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def hammer(seconds: float, seed: int = 0, *, careless: bool = False) -> Verdict:
    with dynalite() as url, tempfile.TemporaryDirectory() as home:
        create(asking(url), TABLE)
        log = Path(home) / "grants"
        words = ["--seconds", str(seconds), "--seed", str(seed), "--url", url, "--log", str(log)]
        command = [sys.executable, "-m", "tests.stores.hammer", *words, *(["--careless"] if careless else [])]
        fighting = [subprocess.Popen([*command, "--number", str(number)], cwd=ROOT) for number in range(PROCESSES)]
        assert [each.wait() for each in fighting] == [0] * PROCESSES
        return judged(line for each in Path(home).iterdir() for line in lines_in(each))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.stores.hammer", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--careless", action="store_true")
    for word in ("--url", "--log", "--number"):
        parser.add_argument(word, help=argparse.SUPPRESS)
    said = parser.parse_args()
    if said.url:
        contend(said.url, int(said.number), said.seconds, Path(said.log), said.seed, careless=said.careless)
        return
    if reason := why_not():
        sys.exit(reason)
    verdict = hammer(said.seconds, said.seed, careless=said.careless)
    told = f"{verdict.grants} grants to {verdict.holders} holders, somebody led for {verdict.covered_s:.1f} s"
    print(
        f"{PROCESSES} processes x {THREADS} threads, {said.seconds:g} s: {told}; {len(verdict.doubles)} double grants"
    )
    for one, other in verdict.doubles[:5]:
        print(
            f"  {one.who}, term {one.term}, until {one.end:.3f}; {other.who}, term {other.term}, from {other.begin:.3f}"
        )
    sys.exit(0 if verdict.sound else 1)


if __name__ == "__main__":
    main()
