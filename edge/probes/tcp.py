"""A TCP probe, and what every probe over TCP shares: one deadline for all of it, and what each failure proves.

what happened                                     sight     answered
connected (and talked, where there is talk)       active    yes
refused, reset, or talked nonsense                down      yes: something out there answers
connected, then silence until the deadline        down      yes: the kernel lives, the service hangs
silence until the deadline, host unreachable      down      no
our own trouble: no route, no descriptor, ...     unknown   no: never counts against the node
"""

import asyncio
import errno
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from edge.failover.model import Sight


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one probe saw; `answered` and `evidence` as in `Observation`."""

    sight: Sight
    answered: bool
    evidence: str


Talk = Callable[[socket.socket], Awaitable[Outcome]]

_ERRORS: Mapping[int, Outcome] = {
    errno.ECONNREFUSED: Outcome(Sight.DOWN, answered=True, evidence="connection refused"),
    errno.ECONNRESET: Outcome(Sight.DOWN, answered=True, evidence="connection reset"),
    errno.EPIPE: Outcome(Sight.DOWN, answered=True, evidence="connection reset"),
    errno.EHOSTUNREACH: Outcome(Sight.DOWN, answered=False, evidence="host unreachable"),
    errno.EHOSTDOWN: Outcome(Sight.DOWN, answered=False, evidence="host unreachable"),
    errno.ETIMEDOUT: Outcome(Sight.DOWN, answered=False, evidence="connection timed out"),
}

# close() then sends a RST and leaves no TIME_WAIT behind: five probes a second would keep 300 of them (socket(7)).
_CLOSE_HARD = struct.pack("ii", 1, 0)


async def probe(address: str, port: int, timeout_s: float) -> Outcome:
    return await over_tcp(address, port, timeout_s, _say_nothing)


async def witness(address: str, port: int, timeout_s: float) -> Outcome:
    """A witness is asked whether the path works, not whether it serves: a refusal is as good as a connection."""
    seen = await probe(address, port, timeout_s)
    return replace(seen, sight=Sight.ACTIVE) if seen.answered else seen


async def _say_nothing(_sock: socket.socket) -> Outcome:
    return Outcome(Sight.ACTIVE, answered=True, evidence="TCP connect answered")


async def over_tcp(address: str, port: int, timeout_s: float, talk: Talk) -> Outcome:
    """Connects and talks, both before one deadline."""
    try:
        with _socket(address) as sock:
            return await _within(sock, (address, port), timeout_s, talk)
    except OSError as error:
        return failure(error)


def _socket(address: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _CLOSE_HARD)
    return sock


async def _within(sock: socket.socket, where: tuple[str, int], timeout_s: float, talk: Talk) -> Outcome:
    loop, connected = asyncio.get_running_loop(), False
    try:
        async with asyncio.timeout(timeout_s):
            await loop.sock_connect(sock, where)
            connected = True
            return await talk(sock)
    except TimeoutError as error:
        if error.errno is not None:  # ETIMEDOUT of the kernel, which Python gives the same class
            raise
        what = "accepted the connection, then said too little" if connected else "no answer"
        return Outcome(Sight.DOWN, answered=connected, evidence=f"{what} within {timeout_s * 1000:.0f} ms")


def failure(error: OSError) -> Outcome:
    ours = Outcome(Sight.UNKNOWN, answered=False, evidence=f"this agent's own trouble: {_words(error)}")
    return _ERRORS.get(error.errno or 0, ours)


def _words(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)
