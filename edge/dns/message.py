"""What arrives on the port: the protocol's numbers, and the reader of packets that anybody may have sent.

Queries are read by hand: any byte may stand in a label (RFC 2181 section 11), and nothing may make the reader raise. It
returns what could be read, and says `malformed` where something could not. What is made for each packet is a
NamedTuple, which takes a third of the time of a frozen dataclass.
"""

import struct
from collections.abc import Iterator
from enum import Enum, IntEnum
from typing import NamedTuple

Name = tuple[bytes, ...]  # labels in lower case, without the root's empty one

HEADER_BYTES = 12
HEADER = struct.Struct("!HHHHHH")
RECORD = struct.Struct("!HHIH")  # type, class, TTL, length of the rdata
OPTION = struct.Struct("!HH")  # code, length
IN, CH, ANY_CLASS = 1, 3, 255
LABEL_MAX_BYTES, NAME_MAX_BYTES = 63, 255  # RFC 1035 section 3.1, in wire form
LENGTHS = tuple(bytes((length,)) for length in range(LABEL_MAX_BYTES + 1))
COOKIE_SIZES = (8, *range(16, 41))  # RFC 7873 section 5.2.2: the client's half, or that and 8 to 32 bytes of a server's


class Qtype(IntEnum):
    """The types that the zone holds or treats in a way of its own; every other is a plain number."""

    A = 1
    NS = 2
    CNAME = 5
    SOA = 6
    PTR = 12
    TXT = 16
    AAAA = 28
    SRV = 33
    OPT = 41
    DS = 43
    TKEY = 249
    TSIG = 250
    IXFR = 251
    AXFR = 252
    ANY = 255


class Opcode(IntEnum):
    QUERY = 0
    NOTIFY = 4  # RFC 1996


class Rcode(IntEnum):
    NOERROR = 0
    FORMERR = 1
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5
    BADVERS = 16
    BADCOOKIE = 23


class Option(IntEnum):
    """EDNS options that we answer; every other is ignored (RFC 6891 section 6.1.2), padding (RFC 7830) among them."""

    NSID = 3
    COOKIE = 10
    KEEPALIVE = 11
    EXTENDED_ERROR = 15


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
    LOOP = "loop"
    RATE = "rate"
    TCP_LIMIT = "tcp_limit"
    SEND = "send"
    INTERNAL = "internal"


class Event(Enum):
    """What befell a packet that got an answer, but for WOULD_LIMIT not the whole one."""

    TRUNCATED = "truncated"  # too long for its transport, or for its question
    SLIPPED = "slipped"  # over its rate: sent empty, with TC
    WOULD_LIMIT = "would_limit"  # over its rate, while limits are only counted
    BAD_COOKIE = "bad_cookie"  # told to ask again with the cookie that it got
    NOTIFIED = "notified"  # a NOTIFY of an agent that we know: the store is read
    NOTIFY_DENIED = "notify_denied"  # a NOTIFY of anybody else, or of no zone of ours


class Question(NamedTuple):
    wire: bytes  # as it came: the answer repeats its letters' case (0x20)
    name: Name
    qtype: int
    qclass: int


class Edns(NamedTuple):
    version: int
    size: int
    dnssec_ok: bool
    options: tuple[tuple[int, bytes], ...] = ()
    sound: bool = True

    def option(self, code: Option) -> bytes | None:
        """The first, where there are several (RFC 7873 section 5.2 for cookies)."""
        for found, data in self.options:
            if found == code:
                return data
        return None


class Query(NamedTuple):
    ident: int
    opcode: int
    recursion_desired: bool
    question: Question
    edns: Edns | None
    malformed: bool

    def option(self, code: Option) -> bytes | None:
        return self.edns.option(code) if self.edns else None


NO_QUESTION = Question(b"", (), 0, 0)


class _MalformedError(Exception):
    """Never leaves this file."""


def spelled(labels: Name) -> bytes:
    """Each behind its length (RFC 1035 section 3.1), without the root's."""
    return b"".join([LENGTHS[len(label)] + label for label in labels])


def unanswerable(packet: bytes) -> Drop | None:
    """No header to answer to, or itself an answer: two servers must not talk to each other for ever."""
    if len(packet) < HEADER_BYTES:
        return Drop.SHORT
    return Drop.RESPONSE if packet[2] & 0x80 else None


def read(packet: bytes) -> Query:
    """`packet` has a whole header (see `unanswerable`)."""
    ident, flags, questions, answers, authorities, additionals = HEADER.unpack_from(packet)
    question, opts, malformed = NO_QUESTION, list[Edns](), False
    try:
        question, end = _question(packet, questions)
        if others := answers + authorities + additionals:
            opts.extend(_opts(packet, end, others - additionals, others))  # keeps those before a broken one
    except (_MalformedError, IndexError, struct.error):
        malformed = True
    return Query(
        ident=ident,
        opcode=flags >> 11 & 0xF,
        recursion_desired=bool(flags & 0x0100),
        question=question,
        edns=opts[0] if opts else None,
        malformed=malformed or len(opts) > 1 or bool(opts and not opts[0].sound),  # RFC 6891 section 6.1.1: one OPT
    )


def _question(packet: bytes, count: int) -> tuple[Question, int]:
    """The only question, and the offset behind it."""
    if count == 0:  # who only wants a cookie asks nothing (RFC 7873 section 5.4)
        return NO_QUESTION, HEADER_BYTES
    if count > 1:  # RFC 9619 section 4: a QUERY never has more than one
        raise _MalformedError
    name, size = _name(packet[HEADER_BYTES : HEADER_BYTES + NAME_MAX_BYTES].lower())
    end = HEADER_BYTES + size + OPTION.size
    qtype, qclass = OPTION.unpack_from(packet, end - OPTION.size)
    return Question(packet[HEADER_BYTES:end], name, qtype, qclass), end


def _name(folded: bytes) -> tuple[Name, int]:
    """A name without pointers, for nothing stands before a question that one could point to, and its size. The lower
    case changes no length that a label may have: those are below "A".
    """
    labels, offset = [], 0
    while length := folded[offset]:
        if length > LABEL_MAX_BYTES:
            raise _MalformedError
        start, offset = offset + 1, offset + 1 + length
        labels.append(folded[start:offset])
    return tuple(labels), offset + 1


def _opts(packet: bytes, offset: int, first: int, count: int) -> Iterator[Edns]:
    """The OPT records of the additional section, which begins with record `first` of `count`."""
    for position in range(count):
        rooted = packet[offset] == 0
        rtype, rclass, ttl, length = RECORD.unpack_from(packet, offset := _behind_name(packet, offset))
        start, offset = offset + RECORD.size, offset + RECORD.size + length
        if offset > len(packet):
            raise _MalformedError
        if rtype == Qtype.OPT and position >= first:
            yield _edns(rclass, ttl, packet[start:offset], rooted)


def _behind_name(packet: bytes, offset: int) -> int:
    while length := packet[offset]:
        if length >= 0xC0:
            return offset + 2
        if length > LABEL_MAX_BYTES:
            raise _MalformedError
        offset += 1 + length
    return offset + 1


def _edns(size: int, ttl: int, rdata: bytes, rooted: bool) -> Edns:
    """RFC 6891 section 6.1.2: owned by the root, the class is the size, the TTL holds version and DO."""
    options, sound = _options(rdata)
    return Edns(ttl >> 16 & 0xFF, size, bool(ttl & 0x8000), options, sound and rooted and _cookies_sound(options))


def _options(rdata: bytes) -> tuple[tuple[tuple[int, bytes], ...], bool]:
    """The options, and whether they fill the record exactly."""
    options, offset = [], 0
    while offset + OPTION.size <= len(rdata):
        code, length = OPTION.unpack_from(rdata, offset)
        offset += OPTION.size + length
        options.append((code, rdata[offset - length : offset]))
    return tuple(options), offset == len(rdata)


def _cookies_sound(options: tuple[tuple[int, bytes], ...]) -> bool:
    return all(len(data) in COOKIE_SIZES for code, data in options if code == Option.COOKIE)
