"""An SMB probe: one NEGOTIATE of SMB 2 and 3, which a file server answers before any log-on ([MS-SMB2] 3.3.5.4).

An open port is not enough: the kernel accepts connections for a server that hangs. A NEGOTIATE has to be read,
understood and answered by the server itself, needs no account, and leaves nothing behind.
It does not tell whether a share is there: a standby whose server runs without its share is seen as active.

All integers are little-endian, except the length before each message ([MS-SMB2] 2.1).
"""

import asyncio
import os
import socket
import struct

from edge.failover.model import Sight
from edge.probes.tcp import Outcome, over_tcp

_DIALECTS = {0x0202: "2.0.2", 0x0210: "2.1", 0x0300: "3.0", 0x0302: "3.0.2", 0x0311: "3.1.1"}
_NEGOTIATE = 0x0000
_SERVER_TO_REDIR = 0x00000001
_SIGNING_ENABLED = 0x0001
_SHA_512 = 0x0001
_PREAUTH_INTEGRITY = 0x0001

# 2.2.1.2: protocol, structure size, credit charge, status, command, credits, flags, next command, message id,
# reserved, tree id, session id, signature.
_HEADER = struct.Struct("<4sHHIHHIIQIIQ16s")
# 2.2.3: structure size, dialect count, security mode, reserved, capabilities, client GUID, context offset and count,
# reserved.
_REQUEST = struct.Struct("<HHHHI16sIHH")
# 2.2.4: structure size, security mode, dialect, context count, server GUID, capabilities, three maximal sizes, two
# times, offset and length of the security buffer, context offset.
_RESPONSE = struct.Struct("<HHHH16sIIIIQQHHI")

# Windows sends some 300 bytes, most of them the security buffer; a length beyond this is no NEGOTIATE.
_LONGEST = 65_536


class NotSmbError(Exception):
    """What came is no answer to a NEGOTIATE; the message says what it is instead."""


async def probe(address: str, port: int, timeout_s: float) -> Outcome:
    return await over_tcp(address, port, timeout_s, _negotiate)


async def _negotiate(sock: socket.socket) -> Outcome:
    try:
        await asyncio.get_running_loop().sock_sendall(sock, request(guid=os.urandom(16), salt=os.urandom(32)))
        dialect = parse(await _message(sock))
    except NotSmbError as error:
        return Outcome(Sight.DOWN, answered=True, evidence=str(error))
    return Outcome(Sight.ACTIVE, answered=True, evidence=f"SMB2 NEGOTIATE answered, dialect {dialect}")


def request(guid: bytes, salt: bytes) -> bytes:
    """A fresh GUID for each: Samba hands connections of one client GUID to one process (multi-channel)."""
    dialects = struct.pack(f"<{len(_DIALECTS)}H", *_DIALECTS)
    contexts_at = _aligned(_HEADER.size + _REQUEST.size + len(dialects))
    fixed = _REQUEST.pack(36, len(_DIALECTS), _SIGNING_ENABLED, 0, 0, guid, contexts_at, 1, 0)
    body = (_header() + fixed + dialects).ljust(contexts_at, b"\0") + _context(salt)
    return len(body).to_bytes(4, "big") + body


def _header() -> bytes:
    return _HEADER.pack(b"\xfeSMB", 64, 0, 0, _NEGOTIATE, 1, 0, 0, 0, 0, 0, 0, bytes(16))


def _context(salt: bytes) -> bytes:
    """The one that 3.1.1 can't do without (2.2.3.1.1): how the exchange is hashed."""
    data = struct.pack("<HHH", 1, len(salt), _SHA_512) + salt
    return struct.pack("<HHI", _PREAUTH_INTEGRITY, len(data), 0) + data


def _aligned(offset: int) -> int:
    return -(-offset // 8) * 8


async def _message(sock: socket.socket) -> bytes:
    zero, *length = await _exactly(sock, 4)
    size = int.from_bytes(length, "big")
    if zero or not _HEADER.size <= size <= _LONGEST:
        raise NotSmbError(f"wrong protocol: begins with {bytes([zero, *length])!r}")
    return await _exactly(sock, size)


async def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = await asyncio.get_running_loop().sock_recv(sock, size - len(data))
        if not part:
            raise NotSmbError(f"closed the connection after {len(data)} of {size} bytes")
        data += part
    return data


def parse(message: bytes) -> str:
    """The dialect, in words."""
    protocol, size, _, status, command, _, flags, _, message_id, *_ = _HEADER.unpack_from(message)
    if protocol == b"\xffSMB":
        raise NotSmbError("answered SMB 1, which carries no share that we would ask for")
    if (protocol, size, command, flags & _SERVER_TO_REDIR, message_id) != (b"\xfeSMB", 64, _NEGOTIATE, 1, 0):
        raise NotSmbError(f"wrong protocol: no answer to a NEGOTIATE, begins with {message[:16]!r}")
    if status:
        raise NotSmbError(f"NEGOTIATE failed with NTSTATUS 0x{status:08X}")
    return _dialect(message[_HEADER.size :])


def _dialect(body: bytes) -> str:
    if len(body) < _RESPONSE.size:
        raise NotSmbError(f"NEGOTIATE answer cut short: {len(body)} of {_RESPONSE.size} bytes")
    size, _, dialect, *_ = _RESPONSE.unpack_from(body)
    if size != 65 or dialect not in _DIALECTS:
        raise NotSmbError(
            f"NEGOTIATE answer with structure size {size} and dialect 0x{dialect:04X}: neither was offered"
        )
    return _DIALECTS[dialect]
