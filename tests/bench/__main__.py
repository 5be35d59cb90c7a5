"""`python -m tests.bench [--rounds N] [--seconds S] [--only NAME ...] [--plot]`: edge beside its peers, by turns.

Each round starts every server anew and measures it; what is printed, and written to bench-results.json with all the
rounds, are medians. dnsperf runs on the same machine and takes its share of the processors. With --plot docs/bench.svg
is drawn, and the table goes into docs/performance.md.
"""

import argparse
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench import chart, page
from tests.bench.contestants import CONTESTANTS, present, versions
from tests.bench.measure import CLIENTS, PACE, Round, measure
from tests.bench.told import BATCHED, TITLES, as_json, batched, lines, panels, table

RESULTS = Path("bench-results.json")
METHOD = (
    "Medians of {rounds} rounds of {seconds} s, every server started anew in each; dnsperf on the same machine, "
    f"{CLIENTS} clients, A and AAAA with EDNS. Waits and losses at {PACE:,} queries/s."
)


def one_round(name: str, seconds: int) -> Round:
    with TemporaryDirectory() as directory:
        home = Path(directory)
        with CONTESTANTS[name].start(home) as server:
            return measure(server, seconds, home)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=present())
    parser.add_argument("--plot", action="store_true")
    chosen = parser.parse_args()
    if not shutil.which("dnsperf"):
        sys.exit("dnsperf is not installed (Debian: dnsperf)")
    results: dict[str, list[Round]] = {name: [] for name in chosen.only}
    for number in range(chosen.rounds):
        for name, rounds in results.items():
            print(f"round {number + 1}: {name}", file=sys.stderr)
            rounds.append(one_round(name, chosen.seconds))
    measured = versions(chosen.only)
    RESULTS.write_text(as_json(results, page.machine(), measured))
    print(table(TITLES, lines(results)))
    print(table(BATCHED, batched(results)))
    if chosen.plot:
        how = page.taken(METHOD.format(rounds=chosen.rounds, seconds=chosen.seconds))
        _publish(results, f"{how} {', '.join(f'{name} {version}' for name, version in measured.items())}.")
    return 0


def _publish(results: dict[str, list[Round]], how: str) -> None:
    (page.DOCS / "bench.svg").write_text(chart.svg(panels(results)))
    page.put("bench", how + "\n\n" + page.markdown(TITLES, lines(results)))
    page.put("batches", page.markdown(BATCHED, batched(results)))


if __name__ == "__main__":
    sys.exit(main())
