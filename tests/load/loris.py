"""TCP connections that say a byte a second and never a whole query: `python -m tests.load.loris PLAN`.

The length before the query says 65,535, so there are bytes for a day. Who is turned away comes again a second later.
"""

import json
import resource
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, sleep

from tests.load.process import told_to_end

LONGEST = b"\xff\xff"
BEAT_S = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """`addresses`: how many of 127.66.0.0/16 they come from. `seconds`: at most."""

    host: str
    port: int
    connections: int
    addresses: int
    seconds: float


class Loris:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.opened = 0
        self._streams = [self._open(number) for number in range(plan.connections)]

    def beat(self, number: int) -> None:
        """One connection's turn."""
        try:
            self._trickle(self._streams[number])
        except BlockingIOError:  # not connected yet
            return
        except OSError:
            self._streams[number].close()
            self._streams[number] = self._open(number)

    def held(self) -> int:
        return sum(_alive(stream) for stream in self._streams)

    def _trickle(self, stream: socket.socket) -> None:
        stream.send(LONGEST[:1])
        with suppress(BlockingIOError):
            if not stream.recv(512):
                raise ConnectionResetError

    def _open(self, number: int) -> socket.socket:
        stream = socket.socket()
        stream.setblocking(False)
        stream.bind((_source(number % self._plan.addresses), 0))
        with suppress(BlockingIOError):
            stream.connect((self._plan.host, self._plan.port))
        self.opened += 1
        return stream


def _source(number: int) -> str:
    return f"127.66.{number // 250}.{number % 250 + 1}"


def _alive(stream: socket.socket) -> bool:
    try:
        return stream.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def run(plan: Plan) -> dict[str, int]:
    """How many connections were opened in all, and how many were held at the end."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    loris, begun_s, beats = Loris(plan), monotonic(), 0
    print("ready", flush=True)
    while monotonic() < begun_s + plan.seconds and not told_to_end():
        loris.beat(beats % plan.connections)
        beats += 1
        sleep(max(0.0, begun_s + beats * BEAT_S / plan.connections - monotonic()))
    return {"opened": loris.opened, "held": loris.held()}


if __name__ == "__main__":
    print(json.dumps(run(Plan(**json.loads(sys.argv[1])))))
