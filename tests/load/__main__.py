"""`python -m tests.load [--rounds N] [--seconds S] [--only NAME ...] [--docs]`: what abuse and mishap do to answers.

Prints a table, writes load-results.json and, with --docs, the tables that are whole into docs/performance.md.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from tests.bench import page, worst
from tests.load import flooded, slow, survival
from tests.load.figures import TITLES, Row, as_dict, cells

RESULTS = Path("load-results.json")
SCENES: dict[str, Callable[[int, float], Iterator[Row]]] = {
    "worst": worst.rows,
    "flood": flooded.rows,
    "loris": slow.rows,
    "survival": survival.rows,
}
TABLES = {"worst": ("worst",), "load": ("flood", "loris", "survival")}
METHOD = "{rounds} rounds of {seconds:.0f} s, quiet and loaded in turns; medians of the rounds, sums of the lost."


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.load")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--only", nargs="+", choices=SCENES, default=list(SCENES))
    parser.add_argument("--docs", action="store_true")
    chosen = parser.parse_args()
    rows: dict[str, list[Row]] = {name: [] for name in chosen.only}
    for name, seen in rows.items():
        for row in SCENES[name](chosen.rounds, chosen.seconds):
            print("; ".join(f"{title} {cell}" for title, cell in zip(TITLES, cells(row), strict=True)), flush=True)
            seen.append(row)
    told = list(map(as_dict, chain.from_iterable(rows.values())))
    RESULTS.write_text(json.dumps({"machine": page.machine(), "rows": told}, indent=1) + "\n")
    if chosen.docs:
        _publish(rows, page.taken(METHOD.format(rounds=chosen.rounds, seconds=chosen.seconds)))
    return 0


def _publish(rows: dict[str, list[Row]], how: str) -> None:
    for table, names in TABLES.items():
        if all(name in rows for name in names):
            lines = map(cells, chain.from_iterable(rows[name] for name in names))
            page.put(table, how + "\n\n" + page.markdown(TITLES, lines))


if __name__ == "__main__":
    sys.exit(main())
