"""The SMB probe against a real Samba, and against what only pretends to be one."""

import asyncio
import struct

import pytest

from edge.failover.model import Sight
from edge.probes.smb import NotSmbError, parse, probe, request
from edge.probes.tcp import Outcome
from tests.probes.conftest import LOOPBACK, PATIENT_S, dripping, full_backlog, saying, serving, silent


def answer(  # noqa: PLR0917
    protocol: bytes = b"\xfeSMB", size: int = 64, status: int = 0, command: int = 0, flags: int = 1, message: int = 0,
    body_size: int = 65, dialect: int = 0x0311,
) -> bytes:  # fmt: skip
    header = struct.pack("<4sHHIHHIIQIIQ16s", protocol, size, 0, status, command, 1, flags, 0, message, 0, 0, 0, b"")
    return header + struct.pack("<HHHH16sIIIIQQHHI", body_size, 1, dialect, 0, b"", 0, 1, 1, 1, 0, 0, 128, 0, 0)


def framed(message: bytes) -> bytes:
    return len(message).to_bytes(4, "big") + message


async def test_samba_answers_the_newest_dialect(samba: int) -> None:
    seen = await probe(LOOPBACK, samba, PATIENT_S)
    assert seen == Outcome(Sight.ACTIVE, True, "SMB2 NEGOTIATE answered, dialect 3.1.1")


async def test_samba_stays_well_under_many_probes(samba: int) -> None:
    assert {(await probe(LOOPBACK, samba, PATIENT_S)).sight for _ in range(20)} == {Sight.ACTIVE}


async def test_a_closed_port_is_down(closed_port: int) -> None:
    assert await probe(LOOPBACK, closed_port, PATIENT_S) == Outcome(Sight.DOWN, True, "connection refused")


async def test_a_host_that_is_gone_is_down() -> None:
    with full_backlog() as port:
        assert await probe(LOOPBACK, port, 1.0) == Outcome(Sight.DOWN, False, "no answer within 1000 ms")


async def test_a_hung_server_is_down_though_its_port_accepts() -> None:
    async with serving(silent) as port:
        seen = await probe(LOOPBACK, port, 1.0)
    assert seen == Outcome(Sight.DOWN, True, "accepted the connection, then said too little within 1000 ms")


async def test_a_slow_drip_does_not_outlast_the_deadline() -> None:
    """Each byte comes well within the time-out; all of them would take 13 s."""
    async with serving(dripping(framed(answer()), 0.1)) as port:
        seen = await probe(LOOPBACK, port, 1.0)
    assert seen == Outcome(Sight.DOWN, True, "accepted the connection, then said too little within 1000 ms")


async def test_an_answer_in_pieces_is_an_answer() -> None:
    async with serving(dripping(framed(answer()), 0.001)) as port:
        assert (await probe(LOOPBACK, port, PATIENT_S)).sight is Sight.ACTIVE


@pytest.mark.parametrize(
    ("said", "evidence"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "wrong protocol: begins with b'HTTP'"),
        (b"\0\0\0\x10" + bytes(16), "wrong protocol: begins with"),
        (b"\0\xff\xff\xff", "wrong protocol: begins with"),
        (framed(answer(status=0xC00000BB)), "NEGOTIATE failed with NTSTATUS 0xC00000BB"),
    ],
)
async def test_another_protocol_is_down_and_says_what_came(said: bytes, evidence: str) -> None:
    async with serving(saying(said)) as port:
        seen = await probe(LOOPBACK, port, PATIENT_S)
    assert (seen.sight, seen.answered) == (Sight.DOWN, True)
    assert seen.evidence.startswith(evidence)


async def test_a_server_that_hangs_up_is_down() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(framed(answer())[:40])

    async with serving(hang_up) as port:
        seen = await probe(LOOPBACK, port, PATIENT_S)
    assert seen == Outcome(Sight.DOWN, True, "closed the connection after 36 of 128 bytes")


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (answer(protocol=b"\xffSMB"), "SMB 1"),
        (answer(protocol=b"\xfdSMB"), "wrong protocol"),
        (answer(size=63), "wrong protocol"),
        (answer(command=1), "wrong protocol"),
        (answer(flags=0), "wrong protocol"),
        (answer(message=1), "wrong protocol"),
        (answer(status=0xC0000022), "NTSTATUS 0xC0000022"),
        (answer(body_size=9), "structure size 9"),
        (answer(dialect=0x02FF), "dialect 0x02FF"),
        (answer()[:-1], "cut short: 63 of 64 bytes"),
    ],
)
def test_each_field_of_an_answer_counts(message: bytes, words: str) -> None:
    with pytest.raises(NotSmbError, match=words):
        parse(message)


@pytest.mark.parametrize(
    ("dialect", "words"), [(0x0202, "2.0.2"), (0x0210, "2.1"), (0x0300, "3.0"), (0x0302, "3.0.2"), (0x0311, "3.1.1")]
)
def test_every_dialect_is_understood(dialect: int, words: str) -> None:
    assert parse(answer(dialect=dialect)) == words


def test_the_request_is_laid_out_as_specified() -> None:
    """[MS-SMB2] 2.2.3: offsets are from the header's beginning, the context list is aligned to 8 bytes."""
    packet = request(guid=b"G" * 16, salt=b"S" * 32)
    message = packet[4:]
    assert int.from_bytes(packet[:4], "big") == len(message)
    assert struct.unpack_from("<HHH", message, 64) == (36, 5, 1)
    assert struct.unpack_from("<5H", message, 100) == (0x0202, 0x0210, 0x0300, 0x0302, 0x0311)
    at, count = struct.unpack_from("<IH", message, 92)
    assert (at % 8, count) == (0, 1)
    assert struct.unpack_from("<HHIHHH", message, at) == (1, 38, 0, 1, 32, 1)
    assert message[at + 14 :] == b"S" * 32
