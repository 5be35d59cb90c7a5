"""`python -m tests.load.black_hole [--rounds N] [--seconds S] [--docs]`: what a black-holed AWS does to DNS and probes.

The real agent, idle, idle again and with every packet to AWS lost while a switch waits for it, in turns; each round
begins with another of the three. Printed are how long the answers took, and how far the probes are from their pace, as
the witness sees them come.
"""

import argparse
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tests.agent.site import ADDRESS, NAME, Site
from tests.bench import page
from tests.cloud.emulator import Emulator
from tests.cloud.line import Line
from tests.load import questions, survival
from tests.load.asker import over_udp
from tests.load.figures import Asked, merged, quantile_us

QUESTIONS_PER_S = 2_000
INTERVAL_S = 0.1
STATES = ("idle", "idle again", "black hole")
TITLES = ("AWS is", "asked", "lost", "wrong", "answers p50 µs", "p99 µs", "probes", "off their pace p50 µs", "p99 µs")
METHOD = (
    "{rounds} rounds of {seconds:.0f} s in each state, in turns; medians of the rounds, sums of the lost. "
    "2,000 questions/s; a probe every 100 ms, without jitter."
)


class Witness:
    """Listens, and notes when a probe came."""

    def __init__(self) -> None:
        self.port = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.came_s: list[float] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            probe, _ = self.port.accept()
            self.came_s.append(time.monotonic())
            probe.close()

    def off_pace_ns(self) -> list[int]:
        """By how much each interval since the last look was too long or too short, sorted."""
        came_s, self.came_s = self.came_s, []
        return sorted(int(abs(after - before - INTERVAL_S) * 1e9) for before, after in pairwise(came_s))


@dataclass(frozen=True, slots=True)
class Round:
    answers: Asked
    probes: int
    off_p50_us: float
    off_p99_us: float


@dataclass
class Agent:
    site: Site
    line: Line
    witness: Witness
    live: str = "a"
    rounds: dict[str, list[Round]] = field(default_factory=lambda: {state: [] for state in STATES})

    def measure(self, state: str, seconds: float) -> None:
        if state == "black hole":
            with self._black_hole():
                taken = self._asked(seconds)
        else:
            taken = self._asked(seconds)
        self.rounds[state].append(taken)

    @contextmanager
    def _black_hole(self) -> Iterator[None]:
        """A switch to the other node waits; it is done once the line is mended."""
        self.live = "b" if self.live == "a" else "a"
        self.line.cut()
        self.site.edgectl("promote", self.live, "--reason", "black hole", "--yes", "--no-wait")
        yield
        assert not self.site.settled_on(self.live), "the switch did not wait"
        self.line.mend()
        self.site.until("the switch is done", lambda: self.site.ready_on(self.live))

    def _asked(self, seconds: float) -> Round:
        """While the switch waits, the answer is the old one; who is asked between two rounds is told the new one."""
        right = tuple(questions.a_answer(NAME, ADDRESS[node]).hex() for node in "ab")
        self.witness.off_pace_ns()
        answers = over_udp(replace(survival.plan(self.site, QUESTIONS_PER_S, seconds), right=right))
        off_ns = self.witness.off_pace_ns()
        return Round(answers, len(off_ns), quantile_us(off_ns, 0.5), quantile_us(off_ns, 0.99))


@contextmanager
def agent(home: Path, aws: Emulator) -> Iterator[Agent]:
    witness = Witness()
    with Line(aws.endpoint_url) as line:
        asked = f'[[path.witness]]\nname = "w"\ntcp = "127.0.0.1:{witness.port.getsockname()[1]}"'
        site = Site(home, aws, more_aws=asked)
        text = site.file.read_text().replace('interval = "100ms"', 'interval = "100ms"\n  jitter = 0.0')
        site.file.write_text(text.replace("hold_down", 'on_aws_outage = "hold"\nhold_down', 1))
        site.aws_env = {**aws.env(), "AWS_ENDPOINT_URL": line.url}
        site.serve("a", "b", "secondary")
        site.start()
        try:
            site.until("the agent is content with a", lambda: site.ready_on("a") and site.answer() == (ADDRESS["a"],))
            yield Agent(site, line, witness)
        finally:
            line.mend()
            site.close()


def measured(rounds: int, seconds: float) -> dict[str, list[Round]]:
    with TemporaryDirectory() as home, Emulator() as aws, agent(Path(home), aws) as running:
        for number in range(rounds):
            turn = number % len(STATES)
            for state in (*STATES[turn:], *STATES[:turn]):
                running.measure(state, seconds)
        return running.rounds


def cells(state: str, rounds: Sequence[Round]) -> tuple[str, ...]:
    answers = merged([each.answers for each in rounds])
    times = (answers.p50_us, answers.p99_us)
    pace = (median(each.off_p50_us for each in rounds), median(each.off_p99_us for each in rounds))
    counts = (f"{answers.asked:,}", str(answers.lost), str(answers.wrong))
    probes = f"{sum(each.probes for each in rounds):,}"
    return (state, *counts, *(f"{each:,.0f}" for each in times), probes, *(f"{each:,.0f}" for each in pace))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.load.black_hole")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--docs", action="store_true")
    chosen = parser.parse_args()
    found = measured(chosen.rounds, chosen.seconds)
    for state, rounds in found.items():
        print(state, *rounds, sep="\n  ")
    table = page.markdown(TITLES, [cells(state, rounds) for state, rounds in found.items()])
    print(table)
    if chosen.docs:
        page.put("black-hole", page.taken(METHOD.format(rounds=chosen.rounds, seconds=chosen.seconds)) + "\n\n" + table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
