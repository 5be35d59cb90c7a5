"""A server in the foreground, in a namespace and session of its own: started, waited for, killed whole."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.lab.netns import Namespace

READY_S = 30.0  # generous: a loaded machine of two cores starts smbd in seconds
POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Daemon:
    process: subprocess.Popen[bytes]
    log: Path

    @classmethod
    def start(
        cls,
        space: Namespace,
        argv: Sequence[str],
        log: Path,
        env: Mapping[str, str] | None = None,
        stdin: int = subprocess.DEVNULL,
    ) -> "Daemon":
        """`env` is added to the caller's."""
        with log.open("ab") as out:
            process = space.popen(argv, env={**os.environ, **(env or {})}, stdin=stdin, stdout=out, stderr=out)
        return cls(process, log)

    def wait_until(self, ready: Callable[[], bool], timeout_s: float = READY_S) -> None:
        """Raises with the end of the server's log if it ends first or never gets there."""
        deadline_s = time.monotonic() + timeout_s
        while not ready():
            if self.process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError(f"{self.process.args!r} isn't ready: {self.tail()}")
            time.sleep(POLL_S)

    def signal(self, number: signal.Signals) -> float:
        """To the whole process group, children too. Returns the monotonic time just before."""
        sent_s = time.monotonic()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)
        return sent_s

    def kill(self) -> float:
        sent_s = self.signal(signal.SIGKILL)
        self.process.wait()
        return sent_s

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]


def accepts_tcp(space: Namespace, address: str, port: int, timeout_s: float = 1.0) -> bool:
    """Is somebody listening there, as seen from inside `space`?"""
    with suppress(OSError):
        connect_s(space, address, port, timeout_s)
        return True
    return False


def connect_s(space: Namespace, address: str, port: int, timeout_s: float = 5.0) -> float:
    """How long one TCP connect took; OSError when it didn't."""
    with space.socket(socket.SOCK_STREAM) as probe:
        probe.settimeout(timeout_s)
        began_s = time.monotonic()
        probe.connect((address, port))
        return time.monotonic() - began_s
