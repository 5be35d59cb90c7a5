"""What the watcher tells: each change once, in the order of the questions, and the want of an answer too."""

import pytest
from dnslib import QTYPE, RCODE, RR, A, DNSRecord

from tests.lab.watch import SILENCE, SILENT_S, Change, Memory, meaning

NAME = "files.fs.corp.example."


def reply(number: int, *addresses: str, rcode: str = "NOERROR") -> bytes:
    record = DNSRecord.question(NAME)
    record.header.id, record.header.qr, record.header.rcode = number, 1, getattr(RCODE, rcode)
    for address in addresses:
        record.add_answer(RR(NAME, QTYPE.A, rdata=A(address)))
    packed: bytes = record.pack()
    return packed


@pytest.mark.parametrize(
    ("packet", "told"),
    [
        (reply(1, "10.0.1.10"), "10.0.1.10"),
        (reply(1, "10.0.2.10", "10.0.1.10"), "10.0.1.10,10.0.2.10"),
        (reply(1), "NODATA"),
        (reply(1, rcode="NXDOMAIN"), "NXDOMAIN"),
        (reply(1, rcode="SERVFAIL"), "SERVFAIL"),
        (b"\x00\x01\xff", "unreadable"),
    ],
)
def test_an_answer_in_one_word(packet: bytes, told: str) -> None:
    assert meaning(packet).partition(":")[0] == told


def test_a_change_is_told_once_and_a_late_answer_is_no_change_back() -> None:
    memory = Memory(began_s=0.0, asked_s={1: 1.0, 2: 2.0, 3: 3.0, 4: 4.0})
    assert memory.hear(reply(1, "10.0.1.10"), 1.1) == Change("10.0.1.10", 1.0, 1.1)
    assert memory.hear(reply(3, "10.0.2.10"), 3.1) == Change("10.0.2.10", 3.0, 3.1)
    assert memory.hear(reply(2, "10.0.1.10"), 3.2) is None
    assert memory.hear(reply(4, "10.0.2.10"), 4.1) is None
    assert memory.counts == {"10.0.1.10": 2, "10.0.2.10": 2}


def test_an_answer_that_nobody_asked_for_is_not_counted() -> None:
    memory = Memory(began_s=0.0)
    assert memory.hear(reply(9, "10.0.1.10"), 1.0) is None
    assert not memory.counts


def test_silence_is_told_once_and_dates_from_the_last_answer() -> None:
    memory = Memory(began_s=0.0, asked_s={1: 1.0, 2: 9.0})
    memory.hear(reply(1, "10.0.1.10"), 1.5)
    assert memory.quiet(1.5 + SILENT_S / 2) is None
    assert memory.quiet(1.5 + SILENT_S) == Change(SILENCE, 1.5, 1.5 + SILENT_S)
    assert memory.quiet(8.0) is None
    assert memory.hear(reply(2, "10.0.1.10"), 9.1) == Change("10.0.1.10", 9.0, 9.1)
