"""`python -m tests.bench [--rounds N] [--seconds S] [--only NAME ...]`: edge beside its peers, one after the other.

Each round starts every server anew and measures it; what is printed, and written to bench-results.json with all the
rounds, are medians. dnsperf runs on the same machine and takes its share of the processors.
"""

import argparse
import json
import shutil
import sys
from dataclasses import asdict, fields
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tests.bench.contestants import CONTESTANTS, present
from tests.bench.measure import Round, measure

RESULTS = Path("bench-results.json")


def one_round(name: str, seconds: int) -> Round:
    with TemporaryDirectory() as directory:
        home = Path(directory)
        with CONTESTANTS[name][1](home) as server:
            return measure(server, seconds, home)


def medians(rounds: list[Round]) -> dict[str, float]:
    return {column.name: median(getattr(one, column.name) for one in rounds) for column in fields(Round)}


def table(results: dict[str, list[Round]]) -> str:
    lines = [f"{'':18}" + "".join(f"{column.name:>14}" for column in fields(Round))]
    for name, rounds in results.items():
        lines.append(f"{name:18}" + "".join(f"{value:14,.1f}" for value in medians(rounds).values()))
    return "\n".join(lines)


def as_json(results: dict[str, list[Round]]) -> str:
    told = {
        name: {"median": medians(rounds), "rounds": [asdict(one) for one in rounds]} for name, rounds in results.items()
    }
    return json.dumps(told, indent=1) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=present())
    chosen = parser.parse_args()
    if not shutil.which("dnsperf"):
        sys.exit("dnsperf is not installed (Debian: dnsperf)")
    results: dict[str, list[Round]] = {name: [] for name in chosen.only}
    for number in range(chosen.rounds):
        for name, rounds in results.items():
            print(f"round {number + 1}: {name}", file=sys.stderr)
            rounds.append(one_round(name, chosen.seconds))
    RESULTS.write_text(as_json(results))
    print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
