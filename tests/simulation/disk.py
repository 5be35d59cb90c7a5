"""An agent's own disk: it may be full, and who is killed, or loses its power, leaves what it was writing half done."""

import errno
import os
import random
from pathlib import Path

from greenlet import getcurrent

from edge.failover.model import Assignment
from edge.stores.served import Folder, Served
from tests.simulation.host import Process

WRITING_S = 0.02  # and as long again until the disk says that it is there


class Disk:
    """`files` is what a process sees there; `sure` is what is left without power; `believed` what was kept there last
    as far as the agent was told.
    """

    def __init__(self, rng: random.Random) -> None:
        self.rng, self.full = rng, False
        self.files: dict[str, str] = {}
        self.sure: dict[str, str] = {}
        self.believed: Assignment | None = None

    def loses_power(self) -> None:
        """What the disk has not confirmed is there, or it is not."""
        if self.rng.random() < 0.5:
            self.files = dict(self.sure)
        self.sure = dict(self.files)


class Slow(Folder):
    """Such a disk, as one process has it: each part of a write takes a while."""

    def __init__(self, disk: Disk, process: Process) -> None:
        self._disk, self._process = disk, process

    @property
    def lock(self) -> str:
        return "1.1"

    def read(self, name: str) -> str | None:
        return self._disk.files.get(name)

    def write(self, name: str, text: str) -> None:
        """A disk is found to be full in the middle of it."""
        disk = self._disk
        disk.files[name] = text[: disk.rng.randrange(len(text))]
        self._takes_a_while()
        if disk.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        disk.files[name] = text
        self._takes_a_while()
        disk.sure[name] = text

    def rename(self, name: str, to: str) -> None:
        self._disk.files[to] = self._disk.files.pop(name)
        self._takes_a_while()
        self._disk.sure = dict(self._disk.files)

    def discard(self, name: str) -> None:
        self._disk.files.pop(name, None)

    def close(self) -> None:
        """Its lock ends with the process."""

    def _takes_a_while(self) -> None:
        if getcurrent().parent:  # not where it is opened, before the process does anything
            self._process.sleep(self._disk.rng.uniform(0.1, 1.0) * WRITING_S)


class Kept(Served):
    """What an agent keeps there, by its own means."""

    def __init__(self, disk: Disk, process: Process) -> None:
        self._disk = disk
        super().__init__(Path(), lambda _: Slow(disk, process))

    def keep(self, service: str, assignment: Assignment) -> None:
        super().keep(service, assignment)
        self._disk.believed = assignment
