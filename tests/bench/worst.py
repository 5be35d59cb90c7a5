"""`python -m tests.bench.worst [--rounds N] [--seconds S]`: the answers while the controller is at its worst.

The controller is a process with its workers; it is calm and at its worst in turns, asked at the same pace. On which
processors the scheduler puts asker and worker makes more of a difference than the controller does, so the same is
measured with both held to one processor, and to one each; the controller goes where it likes. And once more with the
workers as threads of the controller, to show what processes of their own buy.
"""

import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import partial
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tests.bench.controller import MOVED_TO, Plan
from tests.bench.measure import family
from tests.conformance.servers import HOST
from tests.conformance.zone import FILES, FILES_ADDRESSES
from tests.load import questions
from tests.load.asker import Plan as Asking
from tests.load.asker import over_udp
from tests.load.figures import Asked, Row
from tests.load.process import ROOT, command
from tests.load.target import FORWARDER, compared
from tests.ports import free_port

PACE = 5_000
CALLERS_SERVED = 4
KEYS = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_EC2_METADATA_DISABLED": "true"}
PROCESSORS = sorted(os.sched_getaffinity(0))


class Kind(NamedTuple):
    """`asker` and `worker`: the processor that each is held to, or None."""

    scene: str
    threads: bool = False
    asker: int | None = None
    worker: int | None = None


KINDS = (
    Kind("controller at its worst"),
    Kind("the same, asker and worker on one processor", asker=PROCESSORS[0], worker=PROCESSORS[0]),
    Kind("the same, on one each", asker=PROCESSORS[0], worker=PROCESSORS[-1]),
    Kind("the same, workers as threads", threads=True),
)


def rows(rounds: int, seconds: float) -> Iterator[Row]:
    for kind in KINDS:
        with standing() as node, black_hole() as hole, TemporaryDirectory() as home:
            plan = Plan(free_port(), 1, home, node, hole, kind.threads)
            with controller(plan) as side:
                side.hold_workers(kind.worker)
                ask = partial(over_udp, asking(plan.port, seconds, kind.asker))
                yield compared(kind.scene, rounds, ask, partial(side.at_its_worst, ask, seconds))


def asking(port: int, seconds: float, processor: int | None) -> Asking:
    right = tuple(questions.a_answer(FILES, address).hex() for address in (FILES_ADDRESSES[0], MOVED_TO))
    return Asking(HOST, port, FORWARDER, PACE, seconds, questions.a_query(FILES).hex(), right, processor)


class Side:
    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def say(self, word: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()

    def hold_workers(self, processor: int | None) -> None:
        if processor is not None:
            _, *workers = family([self._process.pid])
            for worker in workers:
                os.sched_setaffinity(worker, {processor})

    def at_its_worst(self, ask: "partial[Asked]", seconds: float) -> tuple[Asked, str]:
        self.say("worst")
        found = ask()
        did = json.loads(self.say("calm"))
        return found, ", ".join(f"{count} {what}" for what, count in sorted(did.items())) + f" in {seconds:.0f} s"


@contextmanager
def controller(plan: Plan) -> Iterator[Side]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    argv = command("tests.bench.controller", asdict(plan))
    with subprocess.Popen(argv, cwd=ROOT, text=True, env={**os.environ, **KEYS}, **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield Side(process)
        assert process.stdin is not None
        process.stdin.close()


@contextmanager
def standing() -> Iterator[int]:
    """The port of a node that accepts, and closes at once."""
    with socket.create_server((HOST, 0), backlog=1024) as listener:
        threading.Thread(target=_accept, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket) -> None:
    with suppress(OSError):  # shut down
        while True:
            listener.accept()[0].close()


@contextmanager
def black_hole() -> Iterator[int]:
    """A few connections are made and never served; then not even that."""
    with socket.create_server((HOST, 0), backlog=CALLERS_SERVED) as listener:
        yield listener.getsockname()[1]
