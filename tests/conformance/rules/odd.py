"""Other opcodes and classes, other counts, broken and hostile packets."""

import random
import struct

from tests.conformance.asker import NotOfferedError, answers, ask, expect, require
from tests.conformance.rule import Rule, rule
from tests.conformance.servers import Server
from tests.conformance.wire import (
    ANY_CLASS,
    CHAOS,
    HEADER,
    IN,
    QR,
    BrokenError,
    Message,
    R,
    T,
    name,
    query,
    question,
    read,
)
from tests.conformance.zone import APEX, FILES

A_QUESTION = question(FILES, T.A)


def _packet(body: bytes, *counts: int, flags: int = 0) -> bytes:
    return HEADER.pack(0x0DD1, flags, *(*counts, 0, 0, 0, 0)[:4]) + body


def _silent(server: Server, *packets: bytes) -> None:
    expect(answers(server, *packets), [], "answers")


def _formerr_or_silence(server: Server, packet: bytes) -> None:
    for wire in answers(server, packet):
        expect(wire[3] & 0xF, R.FORMERR, f"rcode for {packet.hex()}:")


def _formerr(server: Server, packet: bytes) -> None:
    """The header alone may come back: what could not be read cannot be echoed."""
    (wire,) = answers(server, packet) or [b""]
    require(wire, "no answer")
    expect(wire[3] & 0xF, R.FORMERR, "rcode")
    expect(wire[:2], packet[:2], "id")


# --- opcodes


def _not_implemented(opcode: int, title: str, source: str, *allowed: int) -> Rule:
    def check(server: Server) -> None:
        message = ask(server, query(FILES, opcode=opcode))
        expect(message.opcode, opcode, "opcode")
        require(message.rcode in {R.NOTIMP, *allowed}, f"rcode {message.rcode}")
        expect(message.answer, (), "answer")

    return Rule(f"{title} is not implemented", source, check)


OPCODES = (
    _not_implemented(1, "IQUERY", "RFC 3425 3"),
    _not_implemented(2, "STATUS", "RFC 1035 4.1.1"),
    _not_implemented(3, "opcode 3", "RFC 1035 4.1.1"),
    _not_implemented(4, "NOTIFY from anybody", "RFC 1996 3.10", R.REFUSED, R.NOTAUTH, R.FORMERR, R.NXDOMAIN),
    _not_implemented(5, "UPDATE from anybody", "RFC 2136 2.2", R.REFUSED, R.NOTAUTH, R.FORMERR),
    _not_implemented(6, "DSO over UDP", "RFC 8490 5.1", R.FORMERR),
    _not_implemented(7, "opcode 7", "RFC 1035 4.1.1"),
    _not_implemented(15, "opcode 15", "RFC 1035 4.1.1"),
)


@rule("RFC 2136 3.8")
def an_update_changes_nothing(server: Server) -> None:
    zone = question(APEX, T.SOA)
    record = name(FILES) + struct.pack("!HHIH", T.A, IN, 60, 4) + b"\xc0\0\2\1"
    answers(server, HEADER.pack(7, 5 << 11, 1, 0, 1, 0) + zone + record)
    expect([found.rdata for found in ask(server, query(FILES)).answer], [b"\x0a\0\1\x0a"])


@rule("RFC 1996 4.7")
def a_notify_changes_nothing(server: Server) -> None:
    before = ask(server, query(APEX, T.SOA)).answer
    answers(server, query(APEX, T.SOA, opcode=4, flags=0x0400))
    expect(ask(server, query(APEX, T.SOA)).answer, before, "SOA")


# --- classes


def _foreign_class(title: str, qclass: int) -> Rule:
    def check(server: Server) -> None:
        message = ask(server, query(FILES, qclass=qclass))
        require(message.rcode in {R.REFUSED, R.NOTIMP, R.NOTAUTH, R.FORMERR}, f"rcode {message.rcode}")
        expect(message.answer, (), "answer")

    return Rule(f"class {title} has none of our data", "RFC 1034 3.6, RFC 1035 3.2.4", check)


CLASSES = (
    _foreign_class("0", 0),
    _foreign_class("CS", 2),
    _foreign_class("CH for a name of ours", CHAOS),
    _foreign_class("HS", 4),
    _foreign_class("NONE", 254),
    _foreign_class("65280", 65280),
    _foreign_class("65535", 65535),
)


@rule("RFC 1035 6.2")
def class_any_is_data_without_authority_or_an_error(server: Server) -> None:
    """The answer to QCLASS=* can never be authoritative."""
    message = ask(server, query(FILES, qclass=ANY_CLASS))
    if message.rcode == R.NOERROR:
        require(not message.flags & 0x0400, "AA is set for QCLASS=*")
    expect(message.question, question(FILES, T.A, ANY_CLASS), "question")


@rule("RFC 1034 3.6")
def a_foreign_class_is_echoed(server: Server) -> None:
    message = ask(server, query(FILES, qclass=CHAOS))
    expect(message.question, question(FILES, T.A, CHAOS))


def _chaos(owner: str, qtype: int = T.TXT) -> bytes:
    return query(owner, qtype, qclass=CHAOS)


def _chaos_text(owner: str) -> Rule:
    def check(server: Server) -> None:
        message = ask(server, _chaos(owner))
        if message.rcode in {R.REFUSED, R.NOTIMP}:
            raise NotOfferedError(f"{owner} is not told")
        expect(message.rcode, R.NOERROR, "rcode")
        expect([(r.owner.lower(), r.rtype, r.rclass) for r in message.answer], [(name(owner), T.TXT, CHAOS)], "answer")
        (record,) = message.answer
        expect(record.rdata[0], len(record.rdata) - 1, "length of the only string")

    return Rule(f"{owner} is a text of class CH", "RFC 4892 2", check)


CHAOS_NAMES = tuple(_chaos_text(owner) for owner in ("version.bind", "hostname.bind", "id.server", "version.server"))


@rule("RFC 4892 2")
def a_chaos_text_is_not_cached(server: Server) -> None:
    message = ask(server, _chaos("id.server"))
    if not message.answer:
        raise NotOfferedError("id.server is not told")
    expect([record.ttl for record in message.answer], [0], "TTL")


@rule("RFC 4892 2")
def a_chaos_name_is_found_in_any_case(server: Server) -> None:
    lower, mixed = (ask(server, _chaos(owner)) for owner in ("version.bind", "Version.BIND"))
    expect([r.rdata for r in mixed.answer], [r.rdata for r in lower.answer], "text")


@rule("RFC 4892 2")
def another_chaos_name_is_denied(server: Server) -> None:
    """BIND limits the rate of such answers: silence denies as well."""
    for wire in answers(server, _chaos("secrets.bind")):
        require(read(wire).rcode in {R.REFUSED, R.NOTIMP, R.NXDOMAIN}, f"rcode {read(wire).rcode}")


@rule("RFC 4892 2")
def a_chaos_name_has_no_address(server: Server) -> None:
    expect([r.rtype for r in ask(server, _chaos("version.bind", T.A)).answer if r.rtype == T.A], [], "addresses")


@rule("RFC 4892 2")
def a_chaos_name_in_class_in_is_refused(server: Server) -> None:
    expect(ask(server, query("version.bind", T.TXT)).rcode, R.REFUSED, "rcode")


# --- counts


@rule("RFC 9619 4")
def no_question_is_a_format_error(server: Server) -> None:
    _formerr(server, _packet(b"", 0))


@rule("RFC 9619 4")
def two_questions_are_a_format_error(server: Server) -> None:
    _formerr(server, _packet(A_QUESTION + question(APEX, T.SOA), 2))


@rule("RFC 9619 4")
def twice_the_same_question_is_a_format_error(server: Server) -> None:
    _formerr(server, _packet(A_QUESTION * 2, 2))


@rule("RFC 9619 4")
def a_second_question_that_is_not_there_is_a_format_error(server: Server) -> None:
    _formerr(server, _packet(A_QUESTION, 2))


@rule("RFC 1035 4.1.1")
def a_lying_number_of_questions_is_a_format_error(server: Server) -> None:
    _formerr(server, _packet(A_QUESTION, 0xFFFF))


def _lying_count(title: str, position: int) -> Rule:
    counts = [1, 0, 0, 0]
    counts[position] = 1
    return Rule(
        f"a record missing in {title} is a format error or silence",
        "RFC 1035 4.1.1",
        lambda server: _formerr_or_silence(server, _packet(A_QUESTION, *counts)),
    )


LYING_COUNTS = (_lying_count("answer", 1), _lying_count("authority", 2), _lying_count("additional", 3))


# --- broken packets


@rule("RFC 1035 4.1.1")
def no_byte_at_all_gets_no_answer(server: Server) -> None:
    _silent(server, b"")


@rule("RFC 1035 4.1.1")
def less_than_a_header_gets_no_answer(server: Server) -> None:
    _silent(server, *(query(FILES)[:length] for length in (1, 2, 4, 11)))


@rule("RFC 1035 4.1.1")
def a_header_that_promises_a_question_is_a_format_error(server: Server) -> None:
    _formerr(server, query(FILES)[:12])


@rule("RFC 1035 4.1.2")
def a_question_that_is_cut_anywhere_is_a_format_error(server: Server) -> None:
    for length in range(13, len(query(FILES))):
        _formerr_or_silence(server, query(FILES)[:length])


@rule("RFC 1035 4.1.1")
def garbage_behind_the_message_is_a_format_error_or_ignored(server: Server) -> None:
    for garbage in (b"\0", b"x" * 7, b"\xff" * 300):
        message = ask(server, query(FILES) + garbage)
        require(message.rcode in {R.NOERROR, R.FORMERR}, f"rcode {message.rcode}")
        require(garbage not in message.wire or garbage == b"\0", "garbage came back")


def _bad_name(title: str, owner: bytes) -> Rule:
    return Rule(
        f"{title} in the question is a format error or silence",
        "RFC 1035 4.1.4",
        lambda server: _formerr_or_silence(server, query(owner)),
    )


BAD_NAMES = (
    _bad_name("a pointer to itself", b"\xc0\x0c"),
    _bad_name("a pointer forwards", b"\xc0\x20" + name(FILES)),
    _bad_name("a pointer into the header", b"\xc0\x00"),
    _bad_name("a label that points to itself", b"\x01a\xc0\x0c"),
    _bad_name("a label of type 0x40", b"\x41" + name(FILES)),
    _bad_name("a label of type 0x80", b"\x81" + name(FILES)),
    _bad_name("a label over the end", b"\x3fabc"),
    _bad_name("a name of 256 bytes", b"".join([b"\x3f" + b"y" * 63] * 3) + b"\x2e" + b"z" * 46 + name(APEX)),
    _bad_name("a name of 300 labels", b"\x01a" * 300 + b"\0"),
)


@rule("RFC 1035 4.1.1")
def a_response_gets_no_answer(server: Server) -> None:
    _silent(server, query(FILES, flags=QR), query(APEX, T.SOA, flags=QR | 0x0400))


@rule("RFC 1035 4.1.1")
def a_response_of_any_opcode_gets_no_answer(server: Server) -> None:
    _silent(server, *(query(FILES, flags=QR, opcode=opcode) for opcode in range(16)))


@rule("RFC 1035 4.1.1")
def a_broken_response_gets_no_answer(server: Server) -> None:
    _silent(server, _packet(b"", 0, flags=QR), _packet(b"\xff" * 9, 1, flags=QR), query(FILES, flags=QR)[:15])


@rule("RFC 1035 4.1.1")
def its_own_answer_sent_back_gets_no_answer(server: Server) -> None:
    _silent(server, ask(server, query(FILES)).wire)


@rule("RFC 9267")
def random_packets_stop_nobody(server: Server) -> None:
    chance = random.Random(20)
    for _ in range(20):  # a few at a time: a receive buffer of the usual size holds some 150
        for wire in answers(server, *(chance.randbytes(chance.randrange(1, 600)) for _ in range(20))):
            require(wire[2] & 0x80, "QR is clear")


@rule("RFC 9267")
def mutated_questions_get_readable_answers_or_none(server: Server) -> None:
    chance = random.Random(21)
    for _ in range(100):
        packet = bytearray(query(FILES))
        packet[chance.randrange(2, len(packet))] = chance.randrange(256)
        for wire in answers(server, bytes(packet)):
            _readable(wire, packet)


def _readable(wire: bytes, packet: bytearray) -> Message:
    try:
        return read(wire)
    except BrokenError as error:
        raise BrokenError(f"{packet.hex()}: {error}") from error


@rule("RFC 768")
def the_longest_datagram_stops_nobody(server: Server) -> None:
    answers(server, b"\0" * 65507, b"\xff" * 65507, query(FILES) + b"\0" * 60000)
