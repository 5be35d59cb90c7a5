"""`python -m tests.load [--rounds N] [--seconds S] [--only NAME ...] [--docs]`: what abuse and mishap do to answers.

Prints a table, writes load-results.json and, with --docs, the table into docs/performance.md.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
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
METHOD = (
    "{rounds} rounds of {seconds:.0f} s, quiet and loaded in turns; medians of the rounds, sums of the lost. "
    "The scenes that kill or reload: once, for 6 s at least."
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.load")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--only", nargs="+", choices=SCENES, default=list(SCENES))
    parser.add_argument("--docs", action="store_true")
    chosen = parser.parse_args()
    rows: list[Row] = []
    for name in chosen.only:
        for row in SCENES[name](chosen.rounds, chosen.seconds):
            print("; ".join(f"{title} {cell}" for title, cell in zip(TITLES, cells(row), strict=True)), flush=True)
            rows.append(row)
    RESULTS.write_text(json.dumps({"machine": page.machine(), "rows": list(map(as_dict, rows))}, indent=1) + "\n")
    if chosen.docs:
        how = page.taken(METHOD.format(rounds=chosen.rounds, seconds=chosen.seconds))
        page.put("load", how + "\n\n" + page.markdown(TITLES, map(cells, rows)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
