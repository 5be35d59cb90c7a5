"""Measures what two agents do when their leader ends, and in every partition, and writes it into docs/partitions.md.

    python -m tests.lab.partitions_page [--rounds 3] [--labs 3] [--rest 17] [--dry]

So many laboratories at once. Before each round the agents rest until they remember nothing but answers, as they do
in a machine room.
"""

import argparse
import platform
import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from tests.lab import handover, partitions
from tests.lab.handover import RESTART_S, Ending, Round
from tests.lab.netns import ROOT
from tests.lab.partitions import CELLS, NEW, OLD, Cell, Found, by_the_rules
from tests.lab.shared import DETECTION_S, LEASE_S, PROBE, RENEW_S, Labs, Shared
from tests.marks import replaced

T = TypeVar("T")
U = TypeVar("U")
DOC = ROOT / "docs" / "partitions.md"
ENDINGS = {
    Ending.KILLED: f"is killed (kill -9), and started again after {RESTART_S:g} s, as systemd does it",
    Ending.LOST: "is lost with its machine",
    Ending.STOPPED: "is stopped (SIGTERM)",
}
HEAD = ("cut off", f"{OLD}, the live node", "leads then", "the leader tells", "the other tells", "holds")
TIMES = ("the other leads", f"the other tells {NEW}", f"the leader tells {NEW}", "all agree again")


def words(cell: Cell) -> tuple[str, ...]:
    """A row, but for its times."""
    end = by_the_rules(cell)
    nodes = (NEW if end.follows else OLD, NEW if end.moved else OLD)
    hold = "" if end.hold == "steady" else f"`{end.hold}`"
    return cell.cut, "dies" if cell.dies else "lives", "the leader" if end.leads else "the other", *nodes, hold


def row(cell: Cell, rounds: Sequence[Found]) -> str:
    """ValueError where rounds ended otherwise than the rules say."""
    if wrong := {found.end for found in rounds} - {by_the_rules(cell)}:
        raise ValueError(f"{cell}: {wrong}")
    return _row((*words(cell), *_times(rounds)))


def _times(rounds: Sequence[Found]) -> list[str]:
    taken = [(each.led_s, each.moved_s, each.follows_s, each.healed_s) for each in rounds]
    return [figures([took_s for took_s in column if took_s is not None]) for column in zip(*taken, strict=True)]


def figures(took_s: Sequence[float]) -> str:
    """Median (worst), in seconds."""
    if len(took_s) < 2:
        return "".join(f"{each:.1f}" for each in took_s)
    return f"{statistics.median(took_s):.1f} ({max(took_s):.1f})"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def table(found: Mapping[Cell, Sequence[Found]]) -> str:
    head = (*HEAD, *(f"{what}, s" for what in TIMES))
    return "\n".join([_row(head), _row(["---"] * len(head)), *(row(cell, each) for cell, each in found.items())])


def handovers(found: Mapping[Ending, Sequence[Round]]) -> str:
    head = ("the leader", "right answers after, s", "bound, s", "back: right after its start, s", "of that the old, s")
    lines = [_row(head), _row(["---"] * len(head))]
    for ending, rounds in found.items():
        both = f"{figures([each.both_s(ending) for each in rounds])}, {_whose(ending)}"
        back = [] if ending is Ending.KILLED else [figures([each.leader_s for each in rounds])]
        back += [] if ending is Ending.KILLED else [figures([each.stale_s for each in rounds])]
        lines.append(_row((ENDINGS[ending], both, f"{ending.limit_s:.2f}", *(back or ["", ""]))))
    return "\n".join(lines)


def _whose(ending: Ending) -> str:
    return "both agents" if ending is Ending.KILLED else "the other agent"


def measured(labs: Labs, rounds: int, rest_s: float) -> tuple[str, str]:
    ended = _repeated(labs, {each: partial(handover.run, ending=each, rest_s=rest_s) for each in Ending}, 3 * rounds)
    cut = _repeated(labs, {each: partial(partitions.run, cell=each, rest_s=rest_s) for each in CELLS}, rounds)
    return handovers(ended), table(cut)


def _repeated(labs: Labs, jobs: Mapping[T, Callable[[Shared], U]], rounds: int) -> Mapping[T, Sequence[U]]:
    """Round by round."""
    order = [name for _ in range(rounds) for name in jobs]
    found: dict[T, list[U]] = defaultdict(list)
    for name, each in zip(order, labs.run(jobs[name] for name in order), strict=True):
        found[name].append(each.result())
    return found


def setting(rounds: int) -> str:
    release = platform.freedesktop_os_release()
    system = f"{release['NAME'].partition(' ')[0]} {release['VERSION_ID']}"
    probes = f"probes every {PROBE['interval']} (so detection takes {DETECTION_S:.2f} s at worst)"
    lease = f"a lease of {LEASE_S:g} s renewed every {RENEW_S:g} s"
    figure = "One round" if rounds == 1 else f"Median (worst) of {rounds} rounds"
    return f"Measured on {system}: {lease}, {probes}. {figure}."


def main() -> None:
    parser = argparse.ArgumentParser("partitions_page")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--labs", type=int, default=3)
    parser.add_argument("--rest", type=float, default=17.0)
    parser.add_argument("--dry", action="store_true")
    said = parser.parse_args()
    with Labs(said.labs) as labs:
        ended, cut = measured(labs, said.rounds, said.rest)
    parts = {"handover": f"{setting(3 * said.rounds)}\n\n{ended}", "partitions": f"{setting(said.rounds)}\n\n{cut}"}
    text = DOC.read_text()
    for name, part in parts.items():
        print(part, end="\n\n")
        text = replaced(text, name, part)
    if not said.dry:
        DOC.write_text(text)


if __name__ == "__main__":
    main()
