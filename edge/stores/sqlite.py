"""The store of a single agent: one SQLite file in its state directory.

WAL with synchronous=FULL: a commit is on disk before it is believed (SQLite, *PRAGMA synchronous*: in WAL mode NORMAL
may lose the last commits on a power cut, FULL doesn't). A second agent on the same directory is refused: it would be a
second leader.
"""

import fcntl
import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from edge.errors import StoreConflictError, StoreError, StoreSchemaError
from edge.stores.contract import Item, Value

SCHEMA = 1
HISTORY_KEPT = 10_000  # entries; a switch writes about ten, so years of them fit into a few megabytes
TRIM_EVERY = 1_000  # new items: trimming reads all of the history, a few milliseconds
BUSY_S = 2.0  # somebody else, a backup for example, may hold the file for a moment

_CREATE = (
    "CREATE TABLE IF NOT EXISTS items (key TEXT PRIMARY KEY, version INTEGER NOT NULL, value TEXT NOT NULL) STRICT"
)
_INSERT = "INSERT OR IGNORE INTO items VALUES (:key, 1, :value)"
_UPDATE = "UPDATE items SET version = version + 1, value = :value WHERE key = :key AND version = :version"
_TRIM = (
    "DELETE FROM items WHERE key >= 'history/' AND key < 'history0' AND key NOT IN "
    "(SELECT key FROM items WHERE key >= 'history/' AND key < 'history0' ORDER BY rowid DESC LIMIT ?)"
)


class SqliteStore:
    """Opens, or creates, `state_dir/edge.sqlite`. Raises StoreError; StoreSchemaError for a file it can't work with."""

    def __init__(self, state_dir: Path) -> None:
        self.path = sqlite_file(state_dir)
        self._mutex = threading.Lock()
        with _told(self.path):
            state_dir.mkdir(parents=True, exist_ok=True)
            self._lock_fd = alone(state_dir)
            self._db = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
            try:
                self._prepare()
            except BaseException:
                self.close()
                raise

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        (found,) = self._db.execute("PRAGMA user_version").fetchone()
        if found not in (0, SCHEMA):
            raise StoreSchemaError(
                f"{self.path} has schema {found}, this version knows {SCHEMA}: run the version that wrote it, "
                "or move the file away to start without a memory (the agent then reads AWS, and never guesses)"
            )
        (verdict,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        self._db.execute(_CREATE)
        self._db.execute(f"PRAGMA user_version={SCHEMA}")
        self._db.execute(_TRIM, (HISTORY_KEPT,))

    def read(self, key: str) -> Item | None:
        with self._used() as db:
            row = db.execute("SELECT key, version, value FROM items WHERE key = ?", (key,)).fetchone()
            return _item(row) if row else None

    def scan(self, prefix: str, limit: int) -> Sequence[Item]:
        query = "SELECT key, version, value FROM items WHERE substr(key, 1, ?) = ? ORDER BY key DESC LIMIT ?"
        with self._used() as db:
            return [_item(row) for row in db.execute(query, (len(prefix), prefix, limit))]

    def compare_and_set(self, key: str, value: Value, version: int) -> Item:
        query = _INSERT if version == 0 else _UPDATE
        arguments = {"key": key, "version": version, "value": json.dumps(value)}
        with self._used() as db:
            cursor = db.execute(query, arguments)
            if not cursor.rowcount:
                raise StoreConflictError(f"{key} is no longer at version {version}")
            if query is _INSERT and cursor.lastrowid and cursor.lastrowid % TRIM_EVERY == 0:
                db.execute(_TRIM, (HISTORY_KEPT,))
        return Item(key, version + 1, value)

    def restore(self, item: Item) -> None:
        """Write an item as it was in another store, version and all, where there is none."""
        row = (item.key, item.version, json.dumps(item.value))
        with self._used() as db:
            if not db.execute("INSERT OR IGNORE INTO items VALUES (?, ?, ?)", row).rowcount:
                raise StoreConflictError(f"{item.key} is there already")

    def close(self) -> None:
        with self._mutex:
            self._db.close()
            os.close(self._lock_fd)

    @contextmanager
    def _used(self) -> Iterator[sqlite3.Connection]:
        with self._mutex, _told(self.path):
            yield self._db


def _item(row: tuple[str, int, str]) -> Item:
    return Item(row[0], row[1], json.loads(row[2]))


def alone(state_dir: Path) -> int:
    """A lock that lives as long as this process. The kernel lets go of it however the process ends."""
    fd = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(fd)
        raise StoreError(f"another agent works in {state_dir}: two of them would both lead") from error
    return fd


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """SQLite's and the system's words as ours, with what to do."""
    try:
        yield
    except (sqlite3.OperationalError, sqlite3.ProgrammingError) as error:  # the latter: it is closed already
        raise StoreError(f"{path}: {error}") from error
    except (sqlite3.DatabaseError, json.JSONDecodeError) as error:
        said = " ".join(str(error).split())
        raise StoreSchemaError(
            f"{path} is damaged ({said}): restore it from a backup, or move it away to start without a memory "
            "(the agent then reads AWS, and never guesses)"
        ) from error
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error


def sqlite_file(state_dir: Path) -> Path:
    return state_dir / "edge.sqlite"


def dump(path: Path) -> list[Item]:
    """Every item of a store that may be in use, without touching it: for support, and for tests that look on."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=BUSY_S)) as db:
        return [_item(row) for row in db.execute("SELECT key, version, value FROM items ORDER BY key")]
