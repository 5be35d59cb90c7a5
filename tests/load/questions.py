"""What is asked, and the only bytes that are right as an answer: written out by hand, not by the code under test."""

import random
import socket
import struct
from collections.abc import Iterator

OPT = b"\0" + struct.pack("!HHIH", 41, 1232, 0, 0)
ASKED, ANSWERED = 0x0100, 0x8500  # RD; QR, AA and RD


def wire_name(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def a_query(name: str, ident: int = 0) -> bytes:
    header = struct.pack("!HHHHHH", ident, ASKED, 1, 0, 0, 1)
    return header + wire_name(name) + struct.pack("!HH", 1, 1) + OPT


def a_answer(name: str, address: str) -> bytes:
    """At TTL 0, without the id: what stands behind its two bytes."""
    header = struct.pack("!HHHHH", ANSWERED, 1, 1, 0, 1)
    record = struct.pack("!HHHIH", 0xC00C, 1, 1, 0, 4) + socket.inet_aton(address)
    return header + wire_name(name) + struct.pack("!HH", 1, 1) + record + OPT


def flood(count: int, name: str, *, random_names: bool, malformed_share: float) -> Iterator[bytes]:
    """Queries as of many askers, their ids at random. A malformed one is a query that is cut, or random bytes."""
    dice = random.Random(1)
    for _ in range(count):
        asked = f"{dice.getrandbits(40):x}.{name}" if random_names else name
        query = a_query(asked, dice.getrandbits(16))
        yield _broken(query, dice) if dice.random() < malformed_share else query


def _broken(query: bytes, dice: random.Random) -> bytes:
    cut = query[: dice.randrange(1, len(query))]
    return cut if dice.random() < 0.5 else dice.randbytes(len(cut))
