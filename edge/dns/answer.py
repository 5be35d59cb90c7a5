"""From a query's bytes to the answer's bytes. Pure.

Two ways lead to the same bytes:

    the careful way   `respond`: read the packet, find in the zones, encode
    the ready way     `prepared` runs the careful way once for a usual question and keeps what doesn't depend on
                      the asker; `ready.answer(packet)` puts the asker's id, RD and question in front of it

A ready answer is found by everything behind the header's flags, `packet[4:].lower()`. Folding all of it and not
only the name is sound: lengths of labels are below "A", and no key holds a byte of "a"-"z" outside of its name, so
nothing else can fold into one. A ready answer fits 512 bytes with a cookie, and is not too big for its question: so
neither transport nor EDNS size changes it.

A question whose OPT holds a cookie and nothing else has the key of the same question with an empty OPT, and gets the
same answer with the cookie's stamp in place of the OPT's last two bytes, which say that it is empty.
"""

import struct
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

from edge.dns.bites import at_once
from edge.dns.cookies import MINUTE_S, Stamp
from edge.dns.counters import slot
from edge.dns.encoder import encoded
from edge.dns.message import (
    ANY_CLASS,
    CH,
    HEADER,
    HEADER_BYTES,
    IN,
    OPTION,
    Drop,
    Name,
    Opcode,
    Option,
    Qtype,
    Query,
    Question,
    Rcode,
    Transport,
    read,
    spelled,
    unanswerable,
)
from edge.dns.site import Site
from edge.dns.zone import Found, Outcome, Zone, parse_name

OUR_SIZE = 1232  # never fragmented: IPv6's least MTU of 1280 less the headers (DNS flag day 2020, RFC 9715)
PLAIN_SIZE = 512  # RFC 1035 section 4.2.1; also the least that an EDNS size can mean (RFC 6891 section 6.2.5)
TCP_SIZE = 65535  # RFC 1035 section 4.2.2: the length in front has two bytes
STAMP_BYTES = 28  # a cookie of ours in its option

READY_QTYPES = (Qtype.A, Qtype.AAAA, Qtype.NS, Qtype.SOA, Qtype.TXT, Qtype.CNAME, Qtype.PTR, Qtype.SRV, Qtype.DS)
# Unbound, BIND, PowerDNS, Knot and dnsmasq send 1232; systemd-resolved 1472; the others are older or Windows.
READY_SIZES = (512, 1220, 1232, 1280, 1410, 1452, 1472, 1680, 4000, 4096)
QUESTIONS_REMEMBERED = 4096  # some 10 MB: those of 450 names
OPT_RECORD = struct.Struct("!BHHBBHH")  # root, type, size, extended code, version, flags, length of options
EMPTY = b"\0\0"
NO_FLAGS = HEADER.pack(0, 0, 1, 0, 0, 0)
# What stands before the cookie: the length of the options, code, the cookie's own length. The client's alone, or both.
COOKIE_HEADS = {8: bytes.fromhex("000c000a0008"), 24: bytes.fromhex("001c000a0018")}

MAILB, MAILA = 253, 254
# Not types of data (RFC 6895 section 3.1): those that only ever stand in additional sections, and those that nobody
# implements. As BIND.
META = {
    Qtype.OPT: Rcode.FORMERR,
    Qtype.TSIG: Rcode.FORMERR,
    Qtype.TKEY: Rcode.NOTIMP,
    MAILB: Rcode.NOTIMP,
    MAILA: Rcode.NOTIMP,
}
CLASS_IN = IN.to_bytes(2)
CLASSES = frozenset({IN, CH, ANY_CLASS})
TRANSFERS = (Qtype.IXFR, Qtype.AXFR)
NOTHING = Found(Outcome.NODATA)


class Mistake(IntEnum):
    """Why an answer is what it is, for whoever looks at it (RFC 8914 section 4)."""

    PROHIBITED = 18
    NOT_AUTHORITATIVE = 20
    NOT_SUPPORTED = 21


@dataclass(frozen=True, slots=True)
class Asker:
    """What an answer depends on beside the packet. `now_s`: Unix time. `exempt`: no limit on the answer's size but
    the protocol's. `keepalive_s`: for how long an idle TCP connection stays open.
    """

    transport: Transport
    host: str = "::"
    now_s: float = 0.0
    exempt: bool = False
    keepalive_s: float = 0.0


class Answer(NamedTuple):
    """`told`: what a rate limit counts (see `edge.dns.rates`). `proven`: the asker has a valid cookie. The question
    ends at `question_end`, the OPT begins at `opt_start`.
    """

    wire: bytes
    qtype: int
    rcode: Rcode
    told: bytes
    proven: bool
    question_end: int
    opt_start: int

    @property
    def truncated(self) -> bool:
        return bool(self.wire[2] & 2)

    @property
    def slot(self) -> int:
        return slot(self.qtype, self.rcode)


@dataclass(frozen=True, slots=True)
class Silence:
    reason: Drop


class Ready(NamedTuple):
    """An answer without its id and question. `heads`: flags and counts, with RD clear and set. `_turn.c` reads the
    first four fields by their place.
    """

    heads: tuple[bytes, bytes]
    question_end: int
    tail: bytes
    slot: int
    told: bytes
    opt_start: int

    def answer(self, packet: bytes) -> bytes:
        return packet[:2] + self.heads[packet[2]] + packet[12 : self.question_end] + self.tail

    def stamped(self, packet: bytes, stamp: Stamp) -> bytes:
        return self.answer(packet)[:-2] + stamp.rdata


Table = dict[bytes, Ready]


ANYBODY = Asker(Transport.TCP)


def _opt_record(size: int, flags: int) -> bytes:
    return OPT_RECORD.pack(0, Qtype.OPT, size, 0, 0, flags, 0)


# What may stand around a usual question: the counts before it, and each OPT behind it that gets the same answer.
READY_FORMS = (
    (NO_FLAGS[4:], (b"",)),
    *((NO_FLAGS[4:11] + b"\1", tuple(_opt_record(size, flags) for size in READY_SIZES)) for flags in (0, 0x8000)),
)
READY_OPTS = (b"", _opt_record(OUR_SIZE, 0), _opt_record(OUR_SIZE, 0x8000))


class _Reply(NamedTuple):
    """`aa`: RFC 1035 section 6.2 wants it clear where the class is ANY: we can't know all classes."""

    rcode: Rcode
    found: Found = NOTHING
    aa: int = 0
    mistake: Mistake | None = None


class _Case(NamedTuple):
    """One question and all that its answer needs."""

    site: Site
    query: Query
    asker: Asker
    stamp: Stamp | None
    packet_bytes: int

    @property
    def proven(self) -> bool:
        return self.stamp is not None and self.stamp.valid


def respond(site: Site, packet: bytes, asker: Asker) -> Answer | Silence:
    if (drop := unanswerable(packet)) is not None:
        return Silence(drop)
    case = _case(site, read(packet), asker, len(packet))
    reply = _reply(case)
    return reply if isinstance(reply, Silence) else _fitting(case, reply)


def refuse(site: Site, packet: bytes, asker: Asker) -> Answer | Silence:
    """For those who may not ask at all."""
    if (drop := unanswerable(packet)) is not None:
        return Silence(drop)
    case = _case(site, read(packet), asker, len(packet))
    return _fitting(case, _Reply(Rcode.REFUSED, mistake=Mistake.PROHIBITED))


def slip(wire: bytes, question_end: int, opt_start: int) -> bytes:
    """The same answer with nothing in it, and TC: ask again over TCP."""
    opt = wire[opt_start:]
    counts = wire[4:6] + bytes(5) + bytes([bool(opt)])
    return wire[:2] + bytes([wire[2] | 2]) + wire[3:4] + counts + wire[HEADER_BYTES:question_end] + opt


def _case(site: Site, query: Query, asker: Asker, packet_bytes: int) -> _Case:
    cookie, stamp = query.option(Option.COOKIE), None
    if site.jar and cookie is not None and not query.malformed:
        stamp = site.jar.stamp(asker.host, cookie, int(asker.now_s) // MINUTE_S)
    return _Case(site, query, asker, stamp, packet_bytes)


def _reply(case: _Case) -> _Reply | Silence:
    return _objection(case) or _found(case)


def _objection(case: _Case) -> _Reply | None:
    query = case.query
    if query.opcode != Opcode.QUERY and not _heeded(case):
        return _Reply(Rcode.NOTIMP, mistake=Mistake.NOT_SUPPORTED)  # RFC 1035 section 4.1.1
    if query.malformed:
        return _Reply(Rcode.FORMERR)
    if query.edns is not None and query.edns.version > 0:
        return _Reply(Rcode.BADVERS)  # RFC 6891 section 6.1.3
    if not query.question.wire:  # RFC 7873 section 5.4: who asks nothing wants a cookie
        return _Reply(Rcode.NOERROR if case.stamp else Rcode.FORMERR)
    if _unproven(case):
        return _Reply(Rcode.BADCOOKIE)  # RFC 7873 section 5.2.3
    return _refusal(query)


def _heeded(case: _Case) -> bool:
    return case.query.opcode == Opcode.NOTIFY and case.asker.host in case.site.policy.peers


def _unproven(case: _Case) -> bool:
    required = case.site.policy.cookie_required and case.asker.transport is Transport.UDP
    return required and case.stamp is not None and not case.stamp.valid


def _refusal(query: Query) -> _Reply | None:
    if (rcode := META.get(query.question.qtype)) is not None:
        return _Reply(rcode)
    if query.question.qclass not in CLASSES:
        return _Reply(Rcode.REFUSED, mistake=Mistake.NOT_AUTHORITATIVE)
    return None


def _found(case: _Case) -> _Reply | Silence:
    question = case.query.question
    if case.query.opcode == Opcode.NOTIFY:
        return _noticed(case.site, question)
    look_up = case.site.chaos if question.qclass == CH else case.site.find
    found = look_up(question.name, question.qtype)
    if found.outcome is Outcome.SILENT:
        return Silence(Drop.UNASSIGNED)
    if found.outcome is Outcome.OUTSIDE:
        return _Reply(Rcode.REFUSED, mistake=Mistake.NOT_AUTHORITATIVE)
    if question.qtype in TRANSFERS:
        return _Reply(Rcode.REFUSED, mistake=Mistake.PROHIBITED)
    rcode = Rcode.NXDOMAIN if found.outcome is Outcome.NXDOMAIN else Rcode.NOERROR
    return _Reply(rcode, found, aa=int(question.qclass != ANY_CLASS))


def _noticed(site: Site, question: Question) -> _Reply:
    """RFC 1996 sections 3.7 and 4.7: a zone of ours is acknowledged with AA and no record; it is said by its SOA."""
    if question.qtype == Qtype.SOA and question.qclass == IN and site.is_apex(question.name):
        return _Reply(Rcode.NOERROR, aa=1)
    return _Reply(Rcode.REFUSED, mistake=Mistake.NOT_AUTHORITATIVE)


def _fitting(case: _Case, reply: _Reply) -> Answer:
    """RFC 2181 section 9: additional records may be left out; where anything else is missing, TC is set."""
    limit, opt = _limit(case), _opt(case, reply)
    wire = _encode(case.query, reply, opt)
    if len(wire) > limit:
        reply = reply._replace(found=reply.found._replace(additional=()))
        wire = _encode(case.query, reply, opt)
    end, opt_start = HEADER_BYTES + len(case.query.question.wire), len(wire) - len(opt)
    if len(wire) > limit:
        wire, opt_start = slip(wire, end, opt_start), end
    return Answer(wire, case.query.question.qtype, reply.rcode, _told(case, reply), case.proven, end, opt_start)


def _limit(case: _Case) -> int:
    if case.asker.transport is Transport.TCP:
        return TCP_SIZE
    edns = case.query.edns
    size = PLAIN_SIZE if edns is None else max(PLAIN_SIZE, min(edns.size, OUR_SIZE))
    return size if case.asker.exempt or case.proven else min(size, _amplified(case.site, case.packet_bytes))


def _amplified(site: Site, packet_bytes: int) -> int:
    return int(site.policy.amplification * packet_bytes)


def _told(case: _Case, reply: _Reply) -> bytes:
    if reply.rcode is Rcode.NXDOMAIN:
        return b"NXDOMAIN " + b".".join(reply.found.authority[0].name)
    return case.query.question.wire.lower() if reply.rcode is Rcode.NOERROR else reply.rcode.name.encode()


def _encode(query: Query, reply: _Reply, opt: bytes) -> bytes:
    """RA, AD and CD stay clear (RFC 4035 section 3.1.6)."""
    flags = 0x8000 | query.opcode << 11 | reply.aa << 10 | query.recursion_desired << 8 | reply.rcode & 0xF
    (answers, authorities, additionals), records = encoded(query.question, reply.found[1:])
    counts = bool(query.question.wire), answers, authorities, additionals + bool(opt)
    return HEADER.pack(query.ident, flags, *counts) + query.question.wire + records + opt


def _opt(case: _Case, reply: _Reply) -> bytes:
    """RFC 6891 section 6.1.1: an OPT is answered with an OPT, and nothing else is."""
    edns = case.query.edns
    if edns is None:
        return b""
    flags = 0x8000 if edns.dnssec_ok else 0  # RFC 3225 section 3: copied
    options = b"".join(_options(case, reply))
    return OPT_RECORD.pack(0, Qtype.OPT, OUR_SIZE, reply.rcode >> 4, 0, flags, len(options)) + options


def _options(case: _Case, reply: _Reply) -> Iterator[bytes]:
    if case.stamp is not None:
        yield case.stamp.rdata[2:]
    if case.site.nsid and case.query.option(Option.NSID) is not None:  # RFC 5001: only for who asks for it
        yield _option(Option.NSID, case.site.nsid)
    if case.asker.transport is Transport.TCP and case.query.option(Option.KEEPALIVE) is not None:
        yield _option(Option.KEEPALIVE, int(case.asker.keepalive_s * 10).to_bytes(2))  # RFC 7828 section 3.1: in 0.1 s
    if reply.mistake is not None:
        yield _option(Option.EXTENDED_ERROR, reply.mistake.to_bytes(2))


def _option(code: Option, data: bytes) -> bytes:
    return OPTION.pack(code, len(data)) + data


def lookup(table: Table, packet: bytes) -> Ready | None:
    ready = table.get(packet[4:].lower())
    # The third byte has QR, the opcode, AA, TC and RD: with none but perhaps RD in it this is a plain query.
    return ready if ready is not None and packet[2] < 2 else None


def cookie_bytes(packet: bytes) -> int:
    """8 or 24, if the packet seems to end in a cookie of that size; else 0."""
    for size, head in COOKIE_HEADS.items():
        if packet[-size - 6 : -size] == head:
            return size
    return 0


def lookup_without(table: Table, packet: bytes, cookie_bytes: int) -> Ready | None:
    """For a packet that ends in a cookie."""
    ready = table.get(packet[4 : -cookie_bytes - 6].lower() + EMPTY)
    return ready if ready is not None and packet[2] < 2 else None


def moving(zones: Iterable[Zone]) -> Iterator[bytes]:
    """The questions that a switch is for, and that are asked all day."""
    for service in (service for zone in zones for service in zone.services):
        yield from _addresses_of(service.name)


@lru_cache(QUESTIONS_REMEMBERED)
def _addresses_of(name: str) -> tuple[bytes, ...]:
    return tuple(usual(parse_name(name), qtype) for qtype in (Qtype.A, Qtype.AAAA))


def usual(name: Name, qtype: Qtype) -> bytes:
    return spelled(name) + b"\0" + OPTION.pack(qtype, IN)


def is_usual(answer: Answer) -> bool:
    """Whether `prepared` may have its question, which is in `told` then: of a name that is there, so they are few."""
    return answer.rcode is Rcode.NOERROR and answer.qtype in READY_QTYPES and answer.told.endswith(CLASS_IN)


def prepared(site: Site, question: bytes) -> Table:
    """One question in each usual form. Nothing where the answer is silence, is not usual or might have to be cut."""
    return at_once(preparing(site, question))


def preparing(site: Site, question: bytes) -> Generator[None, None, Table]:
    case = _case(site, _query(question), ANYBODY, HEADER_BYTES + len(question))
    reply = _reply(case)
    yield
    answer = reply if isinstance(reply, Silence) else _fitting(case, reply)
    yield
    if isinstance(answer, Silence) or not is_usual(answer) or not _always_fits(site, answer):
        return {}
    counter = answer.slot
    forms = (_ready(answer, counter, opt) for opt in READY_OPTS)
    return {key: ready for keys, ready in zip(_keys(question), forms, strict=True) for key in keys}


def kept(before: Site, table: Table, site: Site, question: bytes) -> Table:
    """What `before` has ready for a question in its table, if `site` would answer the same."""
    name, qtype = _query(question).question[1:3]
    if site.grounds is not before.grounds or site.find(name, qtype) != before.find(name, qtype):
        return {}
    return {key: table[key] for keys in _keys(question) for key in keys if key in table}


def rehearse(site: Site, questions: Iterable[bytes]) -> None:
    """What raises here would raise in a worker."""
    for question in questions:
        respond(site, NO_FLAGS + question, ANYBODY)


def everything(site: Site) -> Iterator[bytes]:
    """The questions about all that is there."""
    return (usual(name, qtype) for name in site.names() for qtype in READY_QTYPES)


@lru_cache(QUESTIONS_REMEMBERED)
def _query(question: bytes) -> Query:
    return read(NO_FLAGS + question)


@lru_cache(QUESTIONS_REMEMBERED)
def _keys(question: bytes) -> tuple[tuple[bytes, ...], ...]:
    """For each of `READY_OPTS`. Remembered for the next order, which has the same: that saves a quarter of a swap."""
    return tuple(tuple(start + question + form for form in forms) for start, forms in READY_FORMS)


def _always_fits(site: Site, answer: Answer) -> bool:
    """With and without an OPT, which is as long in the answer as in the question."""
    bytes_ = len(answer.wire)
    return bytes_ + OPT_RECORD.size + STAMP_BYTES <= PLAIN_SIZE and bytes_ <= _amplified(site, answer.question_end)


def _ready(answer: Answer, counter: int, opt: bytes) -> Ready:
    wire, end = answer.wire, answer.question_end
    behind = wire[3:11] + bytes((wire[11] + bool(opt),))
    heads = bytes((wire[2],)) + behind, bytes((wire[2] | 1,)) + behind
    return Ready(heads, end, wire[end:] + opt, counter, answer.told, len(wire))
