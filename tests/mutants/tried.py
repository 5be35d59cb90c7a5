"""Tries a deliberate fault: a copy of the tree, the fault in it, and the test that should find it."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.catalogue import Mutant

ROOT = Path(__file__).parents[2]
COPIED = ("edge", "tests")
AT_A_TIME = 2
PATIENCE_S = 300.0
PLUGINS = ("cacheprovider", "cov", "hypothesispytest")  # a second of each start, and nothing for these tests


@dataclass(frozen=True, slots=True)
class Tried:
    """`said`: what pytest told, for a fault that was not caught."""

    mutant: Mutant
    caught: bool
    said: str


class UnfitError(AssertionError):
    """The fault can't be put into the code as it is."""


def tried(mutants: Sequence[Mutant]) -> Iterator[Tried]:
    with ThreadPoolExecutor(AT_A_TIME) as threads:
        yield from threads.map(_tried, mutants)


def _tried(mutant: Mutant) -> Tried:
    with _copy() as tree:
        apply(mutant, tree)
        run = _pytest(tree, [mutant.caught_by])
    return Tried(mutant, run.returncode == 1 and _told_of_a_test(run.stdout), f"{run.stdout}{run.stderr}")


def _told_of_a_test(output: str) -> bool:
    """And not of a file that could not even be read."""
    return any(line.startswith(("FAILED ", "ERROR ")) and "::" in line for line in output.splitlines())


def sound(tests: Iterable[str]) -> subprocess.CompletedProcess[str]:
    """These tests in a copy without a fault: what fails there finds nothing."""
    with _copy() as tree:
        return _pytest(tree, sorted(set(tests)))


def apply(mutant: Mutant, tree: Path) -> None:
    """Raises UnfitError."""
    file = tree / mutant.file
    text = file.read_text()
    if (count := text.count(mutant.before)) != 1:
        raise UnfitError(f"{mutant.fault}: {mutant.before!r} stands {count} times in {mutant.file}, not once")
    broken = text.replace(mutant.before, mutant.after)
    compile(broken, mutant.file, "exec")
    file.unlink()  # it may be a link
    file.write_text(broken)


@contextmanager
def _copy() -> Iterator[Path]:
    """With what is compiled already: a file that is newer than that is compiled again."""
    with tempfile.TemporaryDirectory(prefix="edge-mutant-") as name:
        tree = Path(name)
        for folder in COPIED:
            shutil.copytree(ROOT / folder, tree / folder)
        shutil.copy2(ROOT / "pyproject.toml", tree)
        yield tree


def _pytest(tree: Path, tests: Sequence[str]) -> subprocess.CompletedProcess[str]:
    without = [word for plugin in PLUGINS for word in ("-p", f"no:{plugin}")]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-rfE", "--tb=short", *without]
    command += [f"tests/{test}" for test in tests]
    return subprocess.run(
        command, cwd=tree, env=_environment(tree), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


def _environment(tree: Path) -> dict[str, str]:
    """Not this run's own: neither its coverage nor its list of all calls to AWS."""
    ours = {name: said for name, said in os.environ.items() if not name.startswith(("COV_", "PYTEST_"))}
    ours.pop("EDGE_AWS_CALLS", None)
    return {**ours, "PYTHONPATH": str(tree)}
