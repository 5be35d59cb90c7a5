"""What an agent keeps of its own beside a shared store.

The assignments that it served last, so that it answers at once when it starts and neither the store nor AWS can be
reached; and a word by which its state directory is told from others.

One small file, replaced as a whole: what was there before a power cut, or what was to be there after it.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import uuid4

from edge.errors import StoreError, StoreSchemaError
from edge.failover.model import Assignment
from edge.stores.contract import read_as
from edge.stores.sqlite import alone

SCHEMA = 1
FILE, NEW = "served.json", "served.new"


class Folder:
    """A directory on a disk, of one process: what is done there has been done once the method returns, and outlasts a
    power cut (fsync(2): a file's content, and a name in its directory). Raises OSError; StoreError where another
    process has it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self._lock_fd = alone(path)

    @property
    def lock(self) -> str:
        """Another one for every directory, also for a copy."""
        lock = os.fstat(self._lock_fd)
        return f"{lock.st_dev:x}.{lock.st_ino:x}"

    def read(self, name: str) -> str | None:
        file = self.path / name
        return file.read_text() if file.exists() else None

    def write(self, name: str, text: str) -> None:
        with (self.path / name).open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())

    def rename(self, name: str, to: str) -> None:
        (self.path / name).replace(self.path / to)
        directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def discard(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)

    def close(self) -> None:
        os.close(self._lock_fd)


class Served:
    """Opens, or creates, `served.json`. Raises StoreError; StoreSchemaError for a file it can't work with.

    Of one thread at a time. A second agent on the same directory is refused.
    """

    def __init__(self, state_dir: Path, opened: Callable[[Path], Folder] = Folder) -> None:
        self.path = state_dir / FILE
        with _told(self.path):
            self._folder = opened(state_dir)
            try:
                self._load()
            except BaseException:
                self.close()
                raise

    def _load(self) -> None:
        text = self._folder.read(FILE)
        if text is None:
            self._write(uuid4().hex, {}, {})
            return
        self._word, self._live, self._moved = _understood(self.path, json.loads(text))

    @property
    def identity(self) -> str:
        """Of this directory, and of no copy of it: the lock of a copy is another file."""
        return f"{self._word}/{self._folder.lock}"

    def live(self) -> Mapping[str, Assignment]:
        return {**self._live, **self._moved}

    def keep(self, service: str, assignment: Assignment) -> None:
        """What the agents moved without the store stands apart: for an older version it was never committed."""
        live, moved = self._live, {name: each for name, each in self._moved.items() if name != service}
        with _told(self.path):
            if assignment.round:
                self._write(self._word, live, {**moved, service: assignment})
            else:
                self._write(self._word, {**live, service: assignment}, moved)

    def close(self) -> None:
        self._folder.close()

    def _write(self, word: str, live: Mapping[str, Assignment], moved: Mapping[str, Assignment]) -> None:
        services = {service: {"node": each.node, "epoch": each.epoch} for service, each in live.items()}
        apart = {"moved": {service: asdict(each) for service, each in moved.items()}} if moved else {}
        whole = {"schema": SCHEMA, "identity": word, "services": services, **apart}
        _replace(self._folder, json.dumps(whole, indent=1))
        self._word, self._live, self._moved = word, live, moved


def _understood(path: Path, found: Any) -> tuple[str, Mapping[str, Assignment], Mapping[str, Assignment]]:
    if found["schema"] != SCHEMA:
        raise StoreSchemaError(f"{path} has schema {found['schema']}, this version knows {SCHEMA}: {_ADVICE}")
    live = {service: Assignment(str(each["node"]), int(each["epoch"])) for service, each in found["services"].items()}
    moved = {service: read_as(Assignment, each) for service, each in found.get("moved", {}).items()}
    return str(found["identity"]), live, moved


_ADVICE = "move it away (the agent then answers once it has read the shared store)"


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StoreSchemaError(f"{path} is damaged ({error!r}): {_ADVICE}") from error
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error


def _replace(folder: Folder, text: str) -> None:
    """On the disk before it is believed, and under a name of its own until it is whole."""
    try:
        folder.write(NEW, text)
        folder.rename(NEW, FILE)
    except OSError:
        with suppress(OSError):
            folder.discard(NEW)
        raise
