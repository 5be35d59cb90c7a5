"""What arrives on the port: the protocol's numbers, and the reader of packets that anybody may have sent.

Queries are read by hand. dnslib, which encodes the answers, refuses labels with bytes from 0x80 although RFC 2181
section 11 allows any byte, and lets IndexError and UnicodeDecodeError out for some mutated packets. This reader never
raises: it returns what could be read, and says `malformed` where something could not.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, IntEnum

Name = tuple[bytes, ...]  # labels in lower case, without the root's empty one

HEADER_BYTES = 12
HEADER = struct.Struct("!HHHHHH")
RECORD = struct.Struct("!HHIH")  # type, class, TTL, length of the rdata
OPTION = struct.Struct("!HH")  # code, length
IN = 1


class Qtype(IntEnum):
    """The types that the zone holds or treats in a way of its own; every other is a plain number."""

    A = 1
    NS = 2
    SOA = 6
    TXT = 16
    AAAA = 28
    OPT = 41
    IXFR = 251
    AXFR = 252
    ANY = 255


class Rcode(IntEnum):
    NOERROR = 0
    FORMERR = 1
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5
    BADVERS = 16


class Transport(IntEnum):
    UDP = 0
    TCP = 1


class Drop(Enum):
    """Why a packet got no answer."""

    SHORT = "short"
    RESPONSE = "response"
    UNASSIGNED = "unassigned"
    DENIED = "denied"
    PORT_ZERO = "port_zero"
    TCP_LIMIT = "tcp_limit"
    SEND = "send"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Question:
    wire: bytes  # as it came: the answer repeats its letters' case (0x20)
    name: Name
    qtype: int
    qclass: int


@dataclass(frozen=True, slots=True)
class Edns:
    version: int
    size: int
    dnssec_ok: bool


@dataclass(frozen=True, slots=True)
class Query:
    ident: int
    opcode: int
    recursion_desired: bool
    question: Question
    edns: Edns | None
    malformed: bool


NO_QUESTION = Question(b"", (), 0, 0)


class _MalformedError(Exception):
    """Never leaves this file."""


def unanswerable(packet: bytes) -> Drop | None:
    """No header to answer to, or itself an answer: two servers must not talk to each other for ever."""
    if len(packet) < HEADER_BYTES:
        return Drop.SHORT
    return Drop.RESPONSE if packet[2] & 0x80 else None


def read(packet: bytes) -> Query:
    """`packet` has a whole header (see `unanswerable`)."""
    ident, flags, *counts = HEADER.unpack_from(packet)
    question, opts, malformed = NO_QUESTION, list[Edns](), False
    try:
        question, end = _question(packet, counts[0])
        opts = [_edns(*record) for record in _additional(packet, end, counts)]
    except (_MalformedError, IndexError, struct.error):
        malformed = True
    return Query(
        ident=ident,
        opcode=flags >> 11 & 0xF,
        recursion_desired=bool(flags & 0x0100),
        question=question,
        edns=opts[0] if opts else None,
        malformed=malformed or len(opts) > 1,  # RFC 6891 section 6.1.1: at most one OPT
    )


def _question(packet: bytes, count: int) -> tuple[Question, int]:
    """The only question, and the offset behind it."""
    if count != 1:  # RFC 9619 section 4: a QUERY has exactly one
        raise _MalformedError
    name, end = _name(packet, HEADER_BYTES)
    qtype, qclass = OPTION.unpack_from(packet, end)
    return Question(packet[HEADER_BYTES : end + 4], name, qtype, qclass), end + 4


def _name(packet: bytes, start: int) -> tuple[Name, int]:
    """A name without pointers: nothing stands before a question that one could point to."""
    labels, offset = [], start
    while length := packet[offset]:
        if length > 63:
            raise _MalformedError
        labels.append(packet[offset + 1 : offset + 1 + length].lower())
        offset += 1 + length
    if offset + 1 - start > 255:  # RFC 1035 section 3.1
        raise _MalformedError
    return tuple(labels), offset + 1


def _additional(packet: bytes, offset: int, counts: list[int]) -> Iterator[tuple[int, int, bytes, bool]]:
    """The OPT records of the additional section: class, TTL, rdata, whether the root owns them."""
    _, answers, authorities, additionals = counts
    for position in range(answers + authorities + additionals):
        rooted = packet[offset] == 0
        rtype, rclass, ttl, length = RECORD.unpack_from(packet, offset := _behind_name(packet, offset))
        start, offset = offset + RECORD.size, offset + RECORD.size + length
        if offset > len(packet):
            raise _MalformedError
        if rtype == Qtype.OPT and position >= answers + authorities:
            yield rclass, ttl, packet[start:offset], rooted


def _behind_name(packet: bytes, offset: int) -> int:
    while length := packet[offset]:
        if length >= 0xC0:
            return offset + 2
        if length > 63:
            raise _MalformedError
        offset += 1 + length
    return offset + 1


def _edns(size: int, ttl: int, rdata: bytes, rooted: bool) -> Edns:
    """RFC 6891 section 6.1.2: owned by the root, the class is the size, the TTL holds version and DO."""
    if not rooted:
        raise _MalformedError
    offset = 0
    while offset < len(rdata):
        offset += OPTION.size + OPTION.unpack_from(rdata, offset)[1]
    if offset > len(rdata):
        raise _MalformedError
    return Edns(version=ttl >> 16 & 0xFF, size=size, dnssec_ok=bool(ttl & 0x8000))
