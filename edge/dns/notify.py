"""NOTIFY to the other agents that a zone has changed (RFC 1996): sent again until it is acknowledged, a few times.

It tells nothing but where to look, so who gets one that was forged only looks once more.
"""

import asyncio
import socket
import struct
from secrets import randbits

from edge.dns.message import HEADER, HEADER_BYTES, IN, Opcode, Qtype, Rcode, spelled
from edge.dns.zone import parse_name

# Section 3.6 would have 60 s between five of them, for secondaries that look hourly. An agent looks each 0.75 s
# anyway, so one that is later than a few seconds tells nothing new.
PATIENCE_S = (0.1, 0.4, 1.0, 2.0)
_FLAGS = Opcode.NOTIFY << 11 | 0x0400  # AA, as in section 4.5
_MAX_BYTES = 512


def notice(ident: int, zone: str) -> bytes:
    question = spelled(parse_name(zone)) + b"\0" + struct.pack("!HH", Qtype.SOA, IN)
    return HEADER.pack(ident, _FLAGS, 1, 0, 0, 0) + question


def acknowledges(answer: bytes, sent: bytes) -> bool:
    """Section 4.7: the same id, question and opcode, and QR."""
    if len(answer) < len(sent) or answer[:2] + answer[HEADER_BYTES : len(sent)] != sent[:2] + sent[HEADER_BYTES:]:
        return False
    return answer[2] & 0xF8 == 0x80 | Opcode.NOTIFY << 3 and answer[3] & 0xF == Rcode.NOERROR


async def notify(server: tuple[str, int], zone: str, source: str | None = None) -> bool:
    """Whether it was acknowledged. `source`: the address by which the other one knows us, where we have several."""
    sent = notice(randbits(16), zone)
    with socket.socket(socket.AF_INET6 if ":" in server[0] else socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.setblocking(False)
        try:
            if source:
                asking.bind((source, 0))
            asking.connect(server)
        except OSError:  # no such address or no route
            return False
        for patience_s in PATIENCE_S:
            if await _acknowledged(asking, sent, patience_s):
                return True
    return False


async def _acknowledged(asking: socket.socket, sent: bytes, patience_s: float) -> bool:
    try:
        async with asyncio.timeout(patience_s):
            try:
                return await _answered(asking, sent)
            except OSError:  # nobody has the port, at the moment
                await asyncio.sleep(patience_s)
    except TimeoutError:
        pass
    return False


async def _answered(asking: socket.socket, sent: bytes) -> bool:
    """Until it is; an answer that does not acknowledge is passed over, as it may be anybody's."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(asking, sent)
    while not acknowledges(await loop.sock_recv(asking, _MAX_BYTES), sent):
        pass
    return True
