"""How the rules ask. Nobody waits for silence: what must stay unanswered is followed by a question that is not."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic

from tests.conformance.servers import Server
from tests.conformance.wire import BrokenError, Message, T, query, read
from tests.conformance.zone import FILES

PATIENCE_S = 5.0
GRACE_S = 0.05  # a server with several threads may answer the second question first
MAX_BYTES = 65535
PROBE_IDENT = 0xBEEF


class NotOfferedError(Exception):
    """An optional feature that the server does not have: the rule says nothing about it."""


def expect(actual: object, wanted: object, what: str = "got") -> None:
    if actual != wanted:
        raise BrokenError(f"{what} {actual!r}, expected {wanted!r}")


def require(holds: object, evidence: str) -> None:
    if not holds:
        raise BrokenError(evidence)


@contextmanager
def udp(server: Server, source: str = "") -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as asker:
        if source:
            asker.bind((source, 0))
        asker.connect((server.host, server.port))
        asker.settimeout(PATIENCE_S)
        yield asker


def ask(server: Server, packet: bytes, source: str = "") -> Message:
    """Over UDP, from a socket that takes nothing from anybody else; with the question echoed if there is one."""
    with udp(server, source) as asker:
        asker.send(packet)
        try:
            message = read(asker.recv(MAX_BYTES))
        except OSError as error:
            raise BrokenError(f"no answer to {packet.hex()}: {error}") from error
    expect(message.ident, int.from_bytes(packet[:2]), "id")
    require(message.flags & 0x8000, "QR is clear")
    return message


def variant(server: Server, name: str) -> Server:
    if name not in server.variants:
        raise NotOfferedError(f"{name}: not configured here")
    return server.variants[name]


def answers(server: Server, *packets: bytes) -> list[bytes]:
    """Everything that comes back over UDP before, and shortly after, the answer to a probing question."""
    found = []
    with udp(server) as asker:
        for packet in (*packets, query(FILES, T.A, ident=PROBE_IDENT)):
            asker.send(packet)
        with suppress(TimeoutError):
            while wire := asker.recv(MAX_BYTES):
                if wire[:2] == PROBE_IDENT.to_bytes(2):
                    asker.settimeout(GRACE_S)
                else:
                    found.append(wire)
    require(asker.gettimeout() == GRACE_S, "the server does not answer any more")
    return found


@contextmanager
def tcp(server: Server, source: str = "") -> Iterator[socket.socket]:
    with socket.create_connection((server.host, server.port), PATIENCE_S, (source, 0) if source else None) as stream:
        yield stream


def frame(*packets: bytes) -> bytes:
    return b"".join(len(packet).to_bytes(2) + packet for packet in packets)


def take(stream: socket.socket) -> Message:
    """The next answer of a connection."""
    try:
        return read(_exactly(stream, int.from_bytes(_exactly(stream, 2))))
    except OSError as error:
        raise BrokenError(f"no answer over TCP: {error}") from error


def ask_tcp(server: Server, packet: bytes, source: str = "") -> Message:
    with tcp(server, source) as stream:
        stream.sendall(frame(packet))
        message = take(stream)
    expect(message.ident, int.from_bytes(packet[:2]), "id")
    return message


def closed_within(stream: socket.socket, seconds: float) -> bool:
    """The far side ends the connection in that time; what it says until then is not looked at."""
    deadline_s = monotonic() + seconds
    while (left_s := deadline_s - monotonic()) > 0:
        stream.settimeout(left_s)
        try:
            if not stream.recv(MAX_BYTES):
                return True
        except TimeoutError:
            return False
        except OSError:  # reset
            return True
    return False


def _exactly(stream: socket.socket, count: int) -> bytes:
    taken = b""
    while len(taken) < count:
        bite = stream.recv(count - len(taken))
        require(bite, "the connection was closed where an answer was due")
        taken += bite
    return taken
