"""Draws the machine's table of transitions as a diagram and as a table.

`python -m tests.failover.draw` prints both; `--write` puts them into docs/design.md, between the two marks.
"""

import sys
from pathlib import Path

from edge.failover.model import Phase
from edge.failover.table import TABLE
from tests.marks import replaced

DESIGN = Path(__file__).parents[2] / "docs" / "design.md"


def drawn() -> str:
    return f"{diagram()}\n\n{table()}"


def diagram() -> str:
    """One arrow for each pair of phases, labelled with all that leads from the one to the other."""
    labels: dict[tuple[Phase, Phase], list[str]] = {}
    for row in TABLE:
        labels.setdefault((row.phase, row.to), []).append(row.trigger.value)
    arrows = [f"    {a.name} --> {b.name}: {', '.join(by)}" for (a, b), by in labels.items()]
    return "\n".join(["```mermaid", "stateDiagram-v2", "    [*] --> SILENT", *arrows, "```"])


def table() -> str:
    rows = [f"| {row.phase.name} | {row.trigger.value} | {row.to.name} | {row.because} |" for row in TABLE]
    return "\n".join(["| phase | trigger | to | because |", "|---|---|---|---|", *rows])


def updated(text: str) -> str:
    return replaced(text, "transitions", drawn())


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        DESIGN.write_text(updated(DESIGN.read_text()))
    else:
        print(drawn())
