"""What the SQLite store adds to the contract: what it acknowledged survives, and what it can't use it refuses."""

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from edge.errors import StoreError, StoreSchemaError
from edge.stores import sqlite
from edge.stores.sqlite import SqliteStore, dump

ROOT = Path(__file__).parents[2]


def child(program: str, *arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def raw(state: Path) -> sqlite3.Connection:
    return sqlite3.connect(state / "edge.sqlite", isolation_level=None)


def test_a_commit_is_on_disk_before_it_is_believed(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path)) as store:
        assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert store._db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


WRITE_FOR_EVER = """
import sys
from itertools import count
from pathlib import Path
from edge.stores.sqlite import SqliteStore
store = SqliteStore(Path(sys.argv[1]))
for version in count():
    store.compare_and_set("a", {"n": version + 1, "ballast": "x" * 3000}, version)
    print(version + 1, flush=True)
"""


def test_what_was_acknowledged_survives_a_kill_in_the_middle_of_writes(tmp_path: Path) -> None:
    writer = child(WRITE_FOR_EVER, tmp_path)
    assert writer.stdout
    for _ in range(30):
        writer.stdout.readline()
    writer.kill()
    told, _ = writer.communicate()
    acknowledged = int(told[: told.rindex("\n")].splitlines()[-1]) if "\n" in told else 30
    with closing(SqliteStore(tmp_path)) as store:
        found = store.read("a")
    assert found is not None
    assert acknowledged <= found.version <= acknowledged + 1  # a write may have been done and not yet told
    assert found.value["n"] == found.version


HOLD = """
import sys
from pathlib import Path
from edge.stores.sqlite import SqliteStore
store = SqliteStore(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
"""


def test_a_second_agent_on_the_same_directory_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    first = child(HOLD, tmp_path)
    assert first.stdout
    assert first.stdout.readline() == "open\n"
    with pytest.raises(StoreError, match=f"another agent works in {tmp_path}"):
        SqliteStore(tmp_path)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    SqliteStore(tmp_path).close()


def test_a_state_directory_that_can_not_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        SqliteStore(tmp_path / "file" / "state")


def fill(state: Path, items: int = 200) -> None:
    with closing(SqliteStore(state)) as store:
        for number in range(items):
            store.compare_and_set(f"key-{number}", {"ballast": "x" * 500}, 0)


def damage_head(file: Path) -> None:
    file.write_bytes(b"this is no database" * 1000)


def damage_middle(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[3 * 4096 : 6 * 4096] = os.urandom(3 * 4096)
    file.write_bytes(content)


def damage_tail(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: 5 * 4096])


@pytest.mark.parametrize("damage", [damage_head, damage_middle, damage_tail])
def test_a_damaged_file_is_refused_with_what_to_do(tmp_path: Path, damage: object) -> None:
    fill(tmp_path)
    file = tmp_path / "edge.sqlite"
    damage(file)  # type: ignore[operator]
    with pytest.raises(StoreSchemaError, match=r"is damaged .*restore it from a backup, or move it away"):
        SqliteStore(tmp_path)
    file.rename(tmp_path / "moved-away")  # the advice, followed in the same process: nothing is still locked
    SqliteStore(tmp_path).close()


def test_the_file_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    fill(tmp_path, items=1)
    with closing(raw(tmp_path)) as db:
        db.execute("PRAGMA user_version=2")
    with pytest.raises(StoreSchemaError, match="has schema 2, this version knows 1: run the version that wrote it"):
        SqliteStore(tmp_path)
    with closing(raw(tmp_path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
        assert db.execute("SELECT count(*) FROM items").fetchone() == (1,)


@pytest.mark.parametrize("read", [lambda store: store.read("key-0"), lambda store: store.scan("key", 9)])
def test_a_value_that_is_no_json_is_damage(tmp_path: Path, read: object) -> None:
    fill(tmp_path, items=1)
    with closing(SqliteStore(tmp_path)) as store:
        store._db.execute("UPDATE items SET value = '{'")
        with pytest.raises(StoreSchemaError, match="is damaged"):
            read(store)  # type: ignore[operator]


FILL_THE_DISK = """
import resource, signal, subprocess, sys
from pathlib import Path
from edge.errors import StoreError, StoreSchemaError
from edge.stores.sqlite import SqliteStore

state, how = Path(sys.argv[1]), sys.argv[2]

def full(limit):
    if how == "limit":  # what files may grow to; for a file of this process it is as if the disk ended there
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

if how == "tmpfs":  # in a mount namespace of this process alone
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "edge", state], check=True)
    (state / "ballast").write_bytes(b"x" * (200 << 10))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
full(256 << 10)
store = SqliteStore(state)
written = 0
try:
    while written < 10_000:
        store.compare_and_set(f"key-{written}", {"ballast": "x" * 1000}, 0)
        written += 1
    sys.exit("the disk was never full")
except StoreSchemaError as error:
    sys.exit(f"taken for damage: {error}")
except StoreError as error:
    print(error)
assert store.read("key-0").version == 1, "what was there can't be read"
full(resource.RLIM_INFINITY)
if how == "tmpfs":
    (state / "ballast").unlink()
store.compare_and_set("later", {}, 0)
store.close()
store = SqliteStore(state)
assert len(store.scan("key-", 100_000)) == written, "what was acknowledged is lost, or more is there"
assert store.read("later").version == 1
"""


MAY_MOUNT = os.geteuid() == 0 and subprocess.run(["unshare", "-m", "true"], check=False).returncode == 0


@pytest.mark.parametrize(
    "how",
    ["limit", pytest.param("tmpfs", marks=pytest.mark.skipif(not MAY_MOUNT, reason="a small tmpfs needs root"))],
)
def test_a_full_disk_is_an_error_while_it_lasts(tmp_path: Path, how: str) -> None:
    before = ["unshare", "-m"] if how == "tmpfs" else []
    command = [*before, sys.executable, "-c", FILL_THE_DISK, str(tmp_path), how]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert str(tmp_path / "edge.sqlite") in ran.stdout


def test_a_file_that_somebody_else_holds_is_an_error_while_it_lasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_S", 0.05)
    with closing(SqliteStore(tmp_path)) as store, closing(raw(tmp_path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked"):
            store.compare_and_set("a", {}, 0)
        other.execute("ROLLBACK")
        store.compare_and_set("a", {}, 0)


def test_a_closed_store_is_out_of_use_not_damaged(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    store.close()
    with pytest.raises(StoreError, match="closed") as refused:
        store.read("a")
    assert not isinstance(refused.value, StoreSchemaError)


def tell(store: SqliteStore, numbers: range) -> None:
    for number in numbers:
        store.compare_and_set(f"history/{number % 3}/{number:03}", {"wall_s": 0}, 0)


def history(store: SqliteStore) -> list[int]:
    return sorted(int(item.key[-3:]) for item in store.scan("history/", 1000))


def test_the_history_is_trimmed_while_the_agent_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "HISTORY_KEPT", 10)
    monkeypatch.setattr(sqlite, "TRIM_EVERY", 5)
    with closing(SqliteStore(tmp_path)) as store:
        store.compare_and_set("assignment/a", {}, 0)
        store.compare_and_set("history0", {}, 0)
        tell(store, range(100))
        kept = history(store)
        assert 10 <= len(kept) < 10 + 5
        assert kept == list(range(100))[-len(kept) :]
        assert store.read("assignment/a")
        assert store.read("history0")


def test_the_history_is_trimmed_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(SqliteStore(tmp_path)) as store:
        tell(store, range(20))
    monkeypatch.setattr(sqlite, "HISTORY_KEPT", 10)
    with closing(SqliteStore(tmp_path)) as store:
        assert history(store) == list(range(10, 20))


def test_a_dump_reads_a_store_in_use_and_touches_nothing(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path)) as store:
        written = [store.compare_and_set(key, {"n": 1}, 0) for key in ("a", "b")]
        files = sorted(tmp_path.iterdir())
        assert dump(store.path) == written
        assert sorted(tmp_path.iterdir()) == files
        store.compare_and_set("a", {"n": 2}, 1)
        assert [item.version for item in dump(store.path)] == [2, 1]
