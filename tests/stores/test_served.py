"""The invariant: what was kept is there again after any end of the process, whole or as it was before."""

import json
import shutil
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from edge.errors import StoreError, StoreSchemaError
from edge.failover.model import Assignment
from edge.stores.served import Served
from edge.stores.sqlite import SqliteStore

ROOT = Path(__file__).parents[2]
FILES, HOME = "files.fs.corp.example", "home.fs.corp.example"


def test_what_was_served_is_known_again(tmp_path: Path) -> None:
    with closing(Served(tmp_path)) as served:
        assert served.live() == {}
        served.keep(FILES, Assignment("b", 13))
        served.keep(HOME, Assignment("a", 2))
        served.keep(FILES, Assignment("a", 14))
        identity = served.identity
    with closing(Served(tmp_path)) as again:
        assert again.live() == {FILES: Assignment("a", 14), HOME: Assignment("a", 2)}
        assert again.identity == identity


def test_two_directories_are_told_apart(tmp_path: Path) -> None:
    with closing(Served(tmp_path / "1")) as one, closing(Served(tmp_path / "2")) as two:
        assert one.identity != two.identity


def test_a_copy_of_a_directory_on_the_same_machine_is_another_one(tmp_path: Path) -> None:
    with closing(Served(tmp_path / "one")) as one:
        shutil.copytree(tmp_path / "one", tmp_path / "two")
        with closing(Served(tmp_path / "two")) as two:
            assert one.identity != two.identity


@pytest.mark.parametrize("other", [Served, SqliteStore])
def test_a_second_agent_on_the_same_directory_is_refused(
    tmp_path: Path, other: type[Served] | type[SqliteStore]
) -> None:
    with closing(Served(tmp_path)), pytest.raises(StoreError, match=f"another agent works in {tmp_path}"):
        other(tmp_path)
    other(tmp_path).close()


KEEP_FOR_EVER = """
import sys
from itertools import count
from pathlib import Path
from edge.failover.model import Assignment
from edge.stores.served import Served
served = Served(Path(sys.argv[1]))
for epoch in count(1):
    served.keep("files", Assignment("a" * 2000, epoch))
    print(epoch, flush=True)
"""


def test_a_kill_in_the_middle_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KEEP_FOR_EVER, str(tmp_path)]
    writer = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert writer.stdout
    for _ in range(20):
        writer.stdout.readline()
    writer.send_signal(signal.SIGKILL)
    told, _ = writer.communicate()
    kept = int(told[: told.rindex("\n")].splitlines()[-1]) if "\n" in told else 20
    with closing(Served(tmp_path)) as served:
        assert kept <= served.live()["files"].epoch <= kept + 1


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"schema": 1, "identity": "x", "services": {"a": {"node": "a"}}}']
)
def test_a_damaged_file_is_refused_with_what_to_do(tmp_path: Path, content: str) -> None:
    (tmp_path / "served.json").write_text(content)
    with pytest.raises(StoreSchemaError, match=r"served.json is damaged .*: move it away"):
        Served(tmp_path)
    (tmp_path / "served.json").unlink()
    Served(tmp_path).close()


def test_the_file_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    text = json.dumps({"schema": 2})
    (tmp_path / "served.json").write_text(text)
    with pytest.raises(StoreSchemaError, match="has schema 2, this version knows 1: move it away"):
        Served(tmp_path)
    assert (tmp_path / "served.json").read_text() == text


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_disk_that_is_full_is_an_error_and_the_old_file_stays(tmp_path: Path) -> None:
    with closing(Served(tmp_path)) as served:
        served.keep(FILES, Assignment("b", 13))
        (tmp_path / "served.new").symlink_to("/dev/full")
        with pytest.raises(StoreError, match=r"served.json: No space left"):
            served.keep(FILES, Assignment("a", 14))
        assert served.live() == {FILES: Assignment("b", 13)}
        served.keep(FILES, Assignment("a", 15))
    with closing(Served(tmp_path)) as again:
        assert again.live() == {FILES: Assignment("a", 15)}


def test_what_was_agreed_on_without_the_store_stands_apart(tmp_path: Path) -> None:
    """An older version, which knows nothing of it, answers what was committed."""
    with closing(Served(tmp_path)) as served:
        served.keep(FILES, Assignment("a", 13))
        served.keep(FILES, Assignment("b", 13, 1))
        served.keep(HOME, Assignment("a", 2))
    with closing(Served(tmp_path)) as again:
        assert again.live() == {FILES: Assignment("b", 13, 1), HOME: Assignment("a", 2)}
        assert json.loads(again.path.read_text())["services"][FILES] == {"node": "a", "epoch": 13}
        again.keep(FILES, Assignment("b", 14))
        assert "moved" not in json.loads(again.path.read_text())
        assert again.live()[FILES] == Assignment("b", 14)
