"""Every deliberate fault is found by the test that the catalogue names, and the design's table is the catalogue's."""

from pathlib import Path

import pytest

from tests.mutants.__main__ import DESIGN, updated
from tests.mutants.catalogue import MUTANTS, Mutant
from tests.mutants.tried import UnfitError, apply, sound, tried


def test_every_fault_is_found() -> None:
    whole = sound(mutant.caught_by for mutant in MUTANTS)
    assert whole.returncode == 0, whole.stdout
    assert not [f"{each.mutant.fault}: {each.said}" for each in tried(MUTANTS) if not each.caught]


def test_a_fault_that_harms_nothing_is_not_found() -> None:
    harmless = Mutant("none", "edge/durations.py", "import math", "import math  # still", "test_structure.py")
    assert [each.caught for each in tried([harmless])] == [False]


def test_a_fault_that_does_not_fit_the_code_is_refused(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("one = 1")
    with pytest.raises(UnfitError, match=r"'two' stands 0 times in code.py"):
        apply(Mutant("none", "code.py", "two", "three", ""), tmp_path)


def test_the_design_shows_all_of_them() -> None:
    text = DESIGN.read_text()
    assert text == updated(text), "python -m tests.mutants --write"
