"""Which generation of workers may answer: how a new controller gets rid of what an old one left behind.

Workers outlive their controller, so that its death delays no answer. The next controller on the same state directory
starts a generation of its own on the same addresses (SO_REUSEPORT) and, once it answers, retires the older ones.

    the file       two unsigned 64-bit numbers: the last generation given out, the oldest that may still answer
    the locks      (POSIX, held by a process and gone with it, however it dies)
                   byte g: a worker of generation g lives         byte CONTROLLER: a controller lives

An orphan looks at the file twenty times a second. It also goes when the file has been deleted: nobody could ever
retire it then.
"""

import fcntl
import os
import struct
from contextlib import suppress
from pathlib import Path

from edge.errors import RefusedError

CONTROLLER = 2**62
NUMBERS = struct.Struct("<QQ")


class Roll:
    """The controller's side: takes the next generation, or raises RefusedError while another controller lives."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _lock(self.fd, start=CONTROLLER, length=1):
            os.close(self.fd)
            raise RefusedError(f"{path}: another agent runs on this state directory")
        last, oldest = _numbers(self.fd)
        self.generation = last + 1
        os.pwrite(self.fd, NUMBERS.pack(self.generation, oldest), 0)

    def retire_older(self) -> None:
        os.pwrite(self.fd, NUMBERS.pack(self.generation, self.generation), 0)

    def retire_all(self) -> None:
        os.pwrite(self.fd, NUMBERS.pack(self.generation, self.generation + 1), 0)

    def older_live(self) -> bool:
        free = _lock(self.fd, start=0, length=self.generation)
        if free:
            fcntl.lockf(self.fd, fcntl.LOCK_UN, self.generation, 0)
        return not free

    def close(self) -> None:
        os.close(self.fd)


class Place:
    """A worker's side. Holds its generation's byte until the process ends."""

    def __init__(self, fd: int, generation: int) -> None:
        self._fd = fd
        self._generation = generation
        fcntl.lockf(fd, fcntl.LOCK_SH, 1, generation)

    def retired(self) -> bool:
        return _numbers(self._fd)[1] > self._generation or os.fstat(self._fd).st_nlink == 0


def _lock(fd: int, start: int, length: int) -> bool:
    with suppress(BlockingIOError, PermissionError):  # POSIX allows EAGAIN and EACCES
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)
        return True
    return False


def _numbers(fd: int) -> tuple[int, int]:
    last, oldest = NUMBERS.unpack(os.pread(fd, NUMBERS.size, 0).ljust(NUMBERS.size, b"\0"))
    return last, oldest
