"""From a query's bytes to the answer's bytes. Pure.

Two ways lead to the same bytes:

    the careful way   `respond`: read the packet, find in the tree, encode with dnslib
    the ready way     `prepare` runs the careful way once for each usual question and keeps what doesn't depend
                      on the asker; `ready.answer(packet)` puts the asker's id, RD and question in front of it

A ready answer is found by everything behind the header's flags, `packet[4:].lower()`. Folding all of it and not
only the name is sound: lengths of labels are below "A", and no key holds a byte of "a"-"z" outside of its name, so
nothing else can fold into one. A ready answer fits 512 bytes, so neither transport nor EDNS size changes it.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address
from itertools import product
from typing import Any

import dnslib

from edge.dns.counters import slot
from edge.dns.message import (
    HEADER,
    HEADER_BYTES,
    IN,
    OPTION,
    Drop,
    Name,
    Qtype,
    Query,
    Rcode,
    Transport,
    read,
    unanswerable,
)
from edge.dns.zone import Found, Outcome, Rrset, Tree, parse_name

OUR_SIZE = 1232  # never fragmented: IPv6's least MTU of 1280 less the headers (DNS flag day 2020, RFC 9715)
PLAIN_SIZE = 512  # RFC 1035 section 4.2.1; also the least that an EDNS size can mean (RFC 6891 section 6.2.5)
TCP_SIZE = 65535  # RFC 1035 section 4.2.2: the length in front has two bytes

READY_QTYPES = (Qtype.A, Qtype.AAAA, Qtype.NS, Qtype.SOA, Qtype.TXT)
# Unbound, BIND, PowerDNS, Knot and dnsmasq send 1232; systemd-resolved 1472; the others are older or Windows.
READY_SIZES = (512, 1220, 1232, 1280, 1410, 1452, 1472, 1680, 4000, 4096)
OPT_RECORD = struct.Struct("!BHHHHH")  # root, type, size, extended code and version, flags, length of options

TRANSFERS = (Qtype.IXFR, Qtype.AXFR)
NOTHING = Found(Outcome.NODATA)


@dataclass(frozen=True, slots=True)
class Answer:
    wire: bytes
    qtype: int
    rcode: Rcode


@dataclass(frozen=True, slots=True)
class Silence:
    reason: Drop


@dataclass(frozen=True, slots=True)
class Ready:
    """An answer without its id and question. `heads`: flags and counts, with RD clear and set."""

    heads: tuple[bytes, bytes]
    question_end: int
    tail: bytes
    slot: int

    def answer(self, packet: bytes) -> bytes:
        return packet[:2] + self.heads[packet[2]] + packet[12 : self.question_end] + self.tail


Table = dict[bytes, Ready]


def respond(tree: Tree, packet: bytes, transport: Transport) -> Answer | Silence:
    if (drop := unanswerable(packet)) is not None:
        return Silence(drop)
    query = read(packet)
    if (rcode := _objection(query)) is not None:
        return _bare(query, rcode)
    found = tree.find(query.question.name, query.question.qtype)
    if found.outcome is Outcome.SILENT:
        return Silence(Drop.UNASSIGNED)
    if found.outcome is Outcome.OUTSIDE or query.question.qtype in TRANSFERS:
        return _bare(query, Rcode.REFUSED)
    return _fitting(query, found, transport)


def refuse(packet: bytes) -> Answer | Silence:
    """For those who may not ask at all."""
    if (drop := unanswerable(packet)) is not None:
        return Silence(drop)
    return _bare(read(packet), Rcode.REFUSED)


def _objection(query: Query) -> Rcode | None:
    if query.opcode != 0:
        return Rcode.NOTIMP  # RFC 1035 section 4.1.1
    if query.malformed:
        return Rcode.FORMERR
    if query.edns is not None and query.edns.version > 0:
        return Rcode.BADVERS  # RFC 6891 section 6.1.3
    return None if query.question.qclass == IN else Rcode.REFUSED


def _bare(query: Query, rcode: Rcode) -> Answer:
    return Answer(_encode(query, rcode, NOTHING, aa=0), query.question.qtype, rcode)


def _fitting(query: Query, found: Found, transport: Transport) -> Answer:
    """RFC 2181 section 9: additional records may be left out; where anything else is missing, TC is set."""
    rcode = Rcode.NXDOMAIN if found.outcome is Outcome.NXDOMAIN else Rcode.NOERROR
    limit = _limit(query, transport)
    for attempt in (found, replace(found, additional=())):
        wire = _encode(query, rcode, attempt, aa=1)
        if len(wire) <= limit:
            return Answer(wire, query.question.qtype, rcode)
    return Answer(_encode(query, rcode, NOTHING, aa=1, tc=1), query.question.qtype, rcode)


def _limit(query: Query, transport: Transport) -> int:
    if transport is Transport.TCP:
        return TCP_SIZE
    if query.edns is None:
        return PLAIN_SIZE
    return max(PLAIN_SIZE, min(query.edns.size, OUR_SIZE))


def _encode(query: Query, rcode: Rcode, found: Found, **flags: int) -> bytes:
    """RA, AD and CD stay clear (RFC 4035 section 3.1.6)."""
    rd = int(query.recursion_desired)
    header = dnslib.DNSHeader(id=query.ident, bitmap=0, qr=1, rd=rd, opcode=query.opcode, rcode=rcode & 0xF, **flags)
    record = dnslib.DNSRecord(header, questions=_question(query))
    record.add_answer(*_records(found.answer))
    record.add_auth(*_records(found.authority))
    record.add_ar(*_records(found.additional), *_opt(query, rcode))
    wire = record.pack()
    asked = query.question.wire
    return bytes(wire[:HEADER_BYTES] + asked + wire[HEADER_BYTES + len(asked) :])


def _question(query: Query) -> list[Any]:
    """In lower case, so that the records' names can point into it."""
    question = query.question
    return (
        [dnslib.DNSQuestion(dnslib.DNSLabel(question.name), question.qtype, question.qclass)] if question.wire else []
    )


def _opt(query: Query, rcode: Rcode) -> list[Any]:
    """RFC 6891 section 6.1.1: an OPT is answered with an OPT, and nothing else is."""
    if query.edns is None:
        return []
    flags = "do" if query.edns.dnssec_ok else ""  # RFC 3225 section 3: copied
    return [dnslib.EDNS0(udp_len=OUR_SIZE, ext_rcode=rcode >> 4, flags=flags)]


def _records(rrsets: tuple[Rrset, ...]) -> list[Any]:
    return [
        dnslib.RR(dnslib.DNSLabel(rrset.name), rrset.qtype, ttl=rrset.ttl_s, rdata=_rdata(rrset.qtype, rdata))
        for rrset in rrsets
        for rdata in rrset.rdata
    ]


def _rdata(qtype: Qtype, text: str) -> Any:
    match qtype:
        case Qtype.A:
            return dnslib.A(tuple(ip_address(text).packed))
        case Qtype.AAAA:
            return dnslib.AAAA(tuple(ip_address(text).packed))
        case Qtype.NS:
            return dnslib.NS(_label(text))
        case Qtype.SOA:
            primary, contact, *numbers = text.split()
            return dnslib.SOA(_label(primary), _label(contact), tuple(map(int, numbers)))
        case _:
            return dnslib.TXT(text)


def _label(text: str) -> Any:
    return dnslib.DNSLabel(parse_name(text))


def lookup(table: Table, packet: bytes) -> Ready | None:
    ready = table.get(packet[4:].lower())
    # The third byte has QR, the opcode, AA, TC and RD: with none but perhaps RD in it this is a plain query.
    return ready if ready is not None and packet[2] < 2 else None


def prepare(tree: Tree) -> Table:
    table: Table = {}
    for name, qtype in product(tree.names(), READY_QTYPES):
        table.update(_ready_for(tree, name, qtype))
    return table


def _ready_for(tree: Tree, name: Name, qtype: Qtype) -> Iterator[tuple[bytes, Ready]]:
    question = b"".join(bytes([len(label)]) + label for label in name) + b"\0" + OPTION.pack(qtype, IN)
    for keys, opt in _shapes():
        wires = [HEADER.pack(0, flags, 1, 0, 0, bool(opt)) + question + opt for flags in (0, 0x0100)]
        answers = [respond(tree, wire, Transport.TCP) for wire in wires]
        if (ready := _ready(answers, HEADER_BYTES + len(question))) is not None:
            yield from ((wires[0][4:12] + question + key, ready) for key in keys)


def _shapes() -> Iterator[tuple[list[bytes], bytes]]:
    """What may stand behind a question: the forms that get the same answer, and one of them to ask with."""
    yield [b""], b""
    for flags in (0, 0x8000):
        forms = [OPT_RECORD.pack(0, Qtype.OPT, size, 0, flags, 0) for size in READY_SIZES]
        yield forms, forms[0]


def _ready(answers: list[Answer | Silence], question_end: int) -> Ready | None:
    """None where nothing is answered, or where UDP might have to leave something out."""
    plain, desired = answers
    if isinstance(plain, Silence) or isinstance(desired, Silence) or len(plain.wire) > PLAIN_SIZE:
        return None
    heads = (plain.wire[2:HEADER_BYTES], desired.wire[2:HEADER_BYTES])
    return Ready(heads, question_end, plain.wire[question_end:], slot(plain.qtype, plain.rcode))
