"""The wire format, a second time: written from the RFCs, strict, and with nothing taken from the code under test.

Building is by concatenation, so that a rule can say any wrong thing. Reading raises `BrokenError` for whatever a
careful client would not accept: counts that lie, bytes behind the end, pointers that do not lead back to a label.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum

IN, CHAOS, ANY_CLASS = 1, 3, 255
QR, AA, TC, RD, RA, Z, AD, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0040, 0x0020, 0x0010
DO = 0x8000
HEADER = struct.Struct("!HHHHHH")
FIXED = struct.Struct("!HHIH")  # type, class, TTL, length of the rdata
POINTER_MAX = 0x3FFF  # RFC 1035 section 4.1.4: 14 bits


class T(IntEnum):
    A = 1
    NS = 2
    CNAME = 5
    SOA = 6
    PTR = 12
    MX = 15
    TXT = 16
    AAAA = 28
    SRV = 33
    OPT = 41
    DS = 43
    RRSIG = 46
    NSEC = 47
    DNSKEY = 48
    NSEC3PARAM = 51
    CDS = 59
    SVCB = 64
    HTTPS = 65
    IXFR = 251
    AXFR = 252
    ANY = 255
    CAA = 257
    UNKNOWN = 65280


class Code(IntEnum):
    """EDNS option codes (IANA)."""

    NSID = 3
    DAU = 5
    SUBNET = 8
    EXPIRE = 9
    COOKIE = 10
    KEEPALIVE = 11
    PADDING = 12
    CHAIN = 13
    ERROR = 15
    LOCAL = 65001


# How many bytes stand in front of the names of the rdata, and how many names there are.
NAMES_IN_RDATA: dict[int, tuple[int, int]] = {
    T.NS: (0, 1),
    T.CNAME: (0, 1),
    T.PTR: (0, 1),
    T.SOA: (0, 2),
    T.MX: (2, 1),
    T.SRV: (6, 1),
}


class R(IntEnum):
    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5
    NOTAUTH = 9
    BADVERS = 16
    BADCOOKIE = 23


class BrokenError(Exception):
    """A rule does not hold; the text is the evidence."""


@dataclass(frozen=True, slots=True)
class Record:
    """`rdata` with its names written out in lower case; `owner` as it came."""

    owner: bytes
    rtype: int
    rclass: int
    ttl: int
    rdata: bytes

    @property
    def key(self) -> tuple[bytes, int, int, int, bytes]:
        return self.owner.lower(), self.rtype, self.rclass, self.ttl, self.rdata


@dataclass(frozen=True, slots=True)
class Message:
    wire: bytes
    ident: int
    flags: int
    question: bytes
    answer: tuple[Record, ...]
    authority: tuple[Record, ...]
    additional: tuple[Record, ...]
    opts: tuple[Record, ...]

    @property
    def rcode(self) -> int:
        return (self.flags & 0xF) | (self.opts[0].ttl >> 24 << 4 if self.opts else 0)

    @property
    def opcode(self) -> int:
        return self.flags >> 11 & 0xF

    def options(self, code: int) -> list[bytes]:
        return [data for found, data in (options(self.opts[0].rdata) if self.opts else ()) if found == code]


def name(text: str) -> bytes:
    labels = [label for label in text.encode().split(b".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def question(owner: str | bytes, qtype: int, qclass: int = IN) -> bytes:
    return (name(owner) if isinstance(owner, str) else owner) + struct.pack("!HH", qtype, qclass)


def query(
    owner: str | bytes,
    qtype: int = T.A,
    *additional: bytes,
    flags: int = 0,
    qclass: int = IN,
    ident: int = 0x5E1F,
    opcode: int = 0,
) -> bytes:
    header = HEADER.pack(ident, flags | opcode << 11, 1, 0, 0, len(additional))
    return header + question(owner, qtype, qclass) + b"".join(additional)


def option(code: int, data: bytes = b"") -> bytes:
    return struct.pack("!HH", code, len(data)) + data


def opt(*content: bytes, size: int = 1232, flags: int = 0, version: int = 0, owner: bytes = b"\0") -> bytes:
    rdata = b"".join(content)
    return owner + struct.pack("!HHBBHH", T.OPT, size, 0, version, flags, len(rdata)) + rdata


def options(rdata: bytes) -> list[tuple[int, bytes]]:
    found, offset = [], 0
    while offset < len(rdata):
        code, length = struct.unpack_from("!HH", rdata, offset)
        data = rdata[offset + 4 : offset + 4 + length]
        if len(data) != length:
            raise BrokenError("an EDNS option runs over the end of the OPT record")
        found.append((code, data))
        offset += 4 + length
    return found


def read(wire: bytes) -> Message:
    try:
        return _Reader(wire).message()
    except (IndexError, struct.error) as error:
        raise BrokenError(f"the answer ends in the middle of something: {wire.hex()}") from error


class _Reader:
    """`_labels`: where a label has begun so far; a pointer may lead nowhere else (RFC 1035 section 4.1.4)."""

    def __init__(self, wire: bytes) -> None:
        self._wire = wire
        self._offset = HEADER.size
        self._labels = set[int]()

    def message(self) -> Message:
        ident, flags, *counts = HEADER.unpack_from(self._wire)
        question = self._questions(counts[0])
        answer, authority, additional = (tuple(self._record() for _ in range(count)) for count in counts[1:])
        if self._offset != len(self._wire):
            raise BrokenError(f"{len(self._wire) - self._offset} bytes behind the end of the answer")
        opts = tuple(record for record in additional if record.rtype == T.OPT)
        rest = tuple(record for record in additional if record.rtype != T.OPT)
        return Message(self._wire, ident, flags, question, answer, authority, rest, opts)

    def _questions(self, count: int) -> bytes:
        start = self._offset
        for _ in range(count):
            self._name()
            self._offset += 4
        return self._wire[start : self._offset]

    def _record(self) -> Record:
        owner = self._name()
        rtype, rclass, ttl, length = FIXED.unpack_from(self._wire, self._offset)
        self._offset += FIXED.size
        end = self._offset + length
        rdata = self._rdata(rtype, end)
        if self._offset != end or end > len(self._wire):
            raise BrokenError(f"the length of the rdata of a type {rtype} record is wrong")
        return Record(owner, rtype, rclass, ttl, rdata)

    def _rdata(self, rtype: int, end: int) -> bytes:
        """RFC 3597 section 4: only the types of RFC 1035 may hold pointers; SRV is read but must not."""
        fixed_in_front, names = NAMES_IN_RDATA.get(rtype, (0, 0))
        front = self._take(fixed_in_front)
        start = self._offset
        written = b"".join(self._name().lower() for _ in range(names))
        if rtype == T.SRV and self._offset - start != len(written):
            raise BrokenError("a compressed name in SRV (RFC 2782)")
        return front + written + self._take(end - self._offset)

    def _take(self, count: int) -> bytes:
        taken = self._wire[self._offset : self._offset + count]
        self._offset += count
        return taken

    def _name(self) -> bytes:
        written, offset, jumped = b"", self._offset, False
        while length := self._wire[offset]:
            if length >= 0xC0:
                target = struct.unpack_from("!H", self._wire, offset)[0] & POINTER_MAX
                self._check(target, offset)
                self._offset = self._offset if jumped else offset + 2
                offset, jumped = target, True
                continue
            if length > 63:
                raise BrokenError(f"a label of type {length >> 6}")
            self._labels.add(offset)
            written += self._wire[offset : offset + 1 + length]
            offset += 1 + length
        self._offset = self._offset if jumped else offset + 1
        if len(written) > 254:
            raise BrokenError("a name of more than 255 bytes")
        return written + b"\0"

    def _check(self, target: int, pointer: int) -> None:
        if target >= pointer or target not in self._labels:
            raise BrokenError(f"the pointer at {pointer} leads to {target}, where no label has begun before")
