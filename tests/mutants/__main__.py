"""Tries every deliberate fault and prints which test found it; ends with 1 if one survives.

`--write` puts the table into docs/design.md, between the two marks.
"""

import sys

from tests.marks import replaced
from tests.mutants.catalogue import MUTANTS, Mutant
from tests.mutants.tried import ROOT, sound, tried

DESIGN = ROOT / "docs" / "design.md"


def main() -> int:
    whole = sound(mutant.caught_by for mutant in MUTANTS)
    if whole.returncode:
        print(whole.stdout, "these tests fail without any fault", sep="\n")
        return 1
    survivors = 0
    for each in tried(MUTANTS):
        print(f"{'caught  ' if each.caught else 'SURVIVES'} {each.mutant.fault}: {each.mutant.caught_by}", flush=True)
        if not each.caught:
            survivors += 1
            print(each.said)
    print(f"{len(MUTANTS)} faults, {survivors} not found")
    return int(survivors > 0)


def table() -> str:
    return "\n".join(["| fault | in | found by |", "|---|---|---|", *map(_row, MUTANTS)])


def _row(mutant: Mutant) -> str:
    return f"| {mutant.fault} | `{mutant.file.removeprefix('edge/')}` | `{mutant.caught_by}` |"


def updated(text: str) -> str:
    return replaced(text, "mutants", table())


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        DESIGN.write_text(updated(DESIGN.read_text()))
    else:
        sys.exit(main())
