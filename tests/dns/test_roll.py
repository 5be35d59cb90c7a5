"""Locks belong to processes, so the other side of each is a process of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge.dns.roll import Place, Roll
from edge.errors import RefusedError

CONTROLLER = "from edge.dns.roll import Roll; from pathlib import Path; roll = Roll(Path({path!r}))"
WORKER = "import os; from edge.dns.roll import Place; place = Place(os.open({path!r}, os.O_RDWR), {generation})"


@contextmanager
def process(program: str) -> Iterator[subprocess.Popen[str]]:
    """Lives until it is killed; it has run `program` when this yields."""
    waiting = f"{program}; print('there', flush=True); import time; time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", waiting], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "there\n"
        try:
            yield child
        finally:
            child.kill()


def place(path: Path, generation: int) -> Place:
    return Place(os.open(path, os.O_RDWR), generation)


def test_each_controller_opens_a_generation(tmp_path: Path) -> None:
    path = tmp_path / "roll"
    for expected in (1, 2, 3):
        roll = Roll(path)
        assert roll.generation == expected
        roll.close()


def test_a_second_controller_is_refused_until_the_first_is_dead(tmp_path: Path) -> None:
    path = tmp_path / "roll"
    with process(CONTROLLER.format(path=str(path))) as first:
        with pytest.raises(RefusedError, match="another agent"):
            Roll(path)
        first.kill()
        first.wait()
        assert Roll(path).generation == 2


def test_a_generation_answers_until_a_newer_one_retires_it(tmp_path: Path) -> None:
    path = tmp_path / "roll"
    Roll(path).close()
    old = place(path, 1)
    newer = Roll(path)
    assert not old.retired()
    newer.retire_older()
    assert old.retired()
    assert not place(path, newer.generation).retired()


def test_a_controller_that_died_before_it_retired_anybody_is_retired_itself(tmp_path: Path) -> None:
    path = tmp_path / "roll"
    Roll(path).close()
    second = Roll(path)
    orphan = place(path, second.generation)
    second.close()
    third = Roll(path)
    third.retire_older()
    assert orphan.retired()


def test_nobody_stays_whom_nobody_could_retire(tmp_path: Path) -> None:
    path = tmp_path / "roll"
    Roll(path).close()
    orphan = place(path, 1)
    path.unlink()
    assert orphan.retired()


def test_older_workers_are_seen_for_as_long_as_they_live(tmp_path: Path) -> None:
    path = tmp_path / "roll"
    Roll(path).close()
    roll = Roll(path)
    assert not roll.older_live()
    with process(WORKER.format(path=str(path), generation=1)) as orphan:
        assert roll.older_live()
        orphan.kill()
        orphan.wait()
        assert not roll.older_live()


def test_our_own_workers_are_not_older(tmp_path: Path) -> None:
    roll = Roll(tmp_path / "roll")
    with process(WORKER.format(path=str(tmp_path / "roll"), generation=roll.generation)):
        assert not roll.older_live()
