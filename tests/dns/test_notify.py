"""NOTIFY (RFC 1996): what is sent, what counts as its acknowledgement, who is heeded, and who is told of it."""

import asyncio
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from dnslib import DNSRecord

from edge.dns import notify as sending
from edge.dns.answer import Answer, Asker, respond
from edge.dns.counters import total
from edge.dns.guard import Policy
from edge.dns.message import Event, Qtype, Rcode, Transport
from edge.dns.notify import acknowledges, notice, notify
from edge.dns.site import Site
from tests.dns.desks import desk
from tests.dns.samples import ZONE, packet
from tests.dns.test_server import LOOPBACK, PATIENCE_S, running
from tests.ports import free_port

PEER, STRANGER = "10.10.0.54", "10.10.0.55"
POLICY = Policy(("10.0.0.0/8",), peers=(PEER,))
SITE = Site((ZONE,), POLICY)
NOTICE = notice(4242, ZONE.name)


def answer(data: bytes, host: str = PEER, transport: Transport = Transport.UDP) -> Answer:
    given = respond(SITE, data, Asker(transport, host))
    assert isinstance(given, Answer)
    return given


def test_it_is_the_question_for_the_soa_with_the_opcode_and_aa() -> None:
    sent = DNSRecord.parse(NOTICE)
    assert (sent.header.id, sent.header.opcode, sent.header.aa, sent.header.qr, sent.header.rd) == (4242, 4, 1, 0, 0)
    assert (str(sent.q.qname), sent.q.qtype) == ("fs.corp.example.", Qtype.SOA)


@pytest.mark.parametrize("transport", Transport)
def test_an_agent_that_we_know_is_acknowledged(transport: Transport) -> None:
    given = answer(NOTICE, transport=transport)
    assert acknowledges(given.wire, NOTICE)
    record = DNSRecord.parse(given.wire)
    assert (record.header.aa, record.header.ra, record.rr, record.auth, record.ar) == (1, 0, [], [], [])


@pytest.mark.parametrize(
    ("data", "host", "rcode"),
    [
        pytest.param(NOTICE, STRANGER, Rcode.NOTIMP, id="from a stranger"),
        pytest.param(notice(1, "other.example"), PEER, Rcode.REFUSED, id="of another zone"),
        pytest.param(notice(1, f"files.{ZONE.name}"), PEER, Rcode.REFUSED, id="of a name in our zone"),
        pytest.param(packet(ZONE.name, Qtype.A, flags=0x2000), PEER, Rcode.REFUSED, id="for another type"),
        pytest.param(packet(ZONE.name, Qtype.SOA, flags=0x2000, qclass=3), PEER, Rcode.REFUSED, id="class CH"),
        pytest.param(packet(ZONE.name, Qtype.SOA, flags=0x2800), PEER, Rcode.NOTIMP, id="UPDATE"),
        pytest.param(NOTICE[:-1], PEER, Rcode.FORMERR, id="cut"),
    ],
)
def test_everything_else_is_turned_down(data: bytes, host: str, rcode: Rcode) -> None:
    given = answer(data, host)
    assert given.rcode is rcode
    assert not acknowledges(given.wire, data)


def test_only_the_answer_to_what_was_sent_acknowledges_it() -> None:
    good = answer(NOTICE).wire
    for bad in (b"\0\0" + good[2:], NOTICE, good[:-1], good[:12] + b"\2xy" + good[15:], good[:3] + b"\5" + good[4:]):
        assert not acknowledges(bad, NOTICE)


def test_the_desk_says_so_and_counts() -> None:
    at = desk(POLICY)
    at.answer(NOTICE, (STRANGER, 5300), Transport.UDP)
    assert not at.notified
    at.answer(NOTICE, (PEER, 5300), Transport.UDP)
    assert at.notified
    counted = {event: count for event, count in total([at.tally]).events.items() if count}
    assert counted == {Event.NOTIFIED.value: 1, Event.NOTIFY_DENIED.value: 1}


async def test_a_worker_passes_it_on_and_a_flood_as_few_words(tmp_path: Path) -> None:
    port, known = free_port(), replace(LOOPBACK, peers=("127.0.0.1",))
    async with running(tmp_path, port, policy=known, count=2) as workers:
        for _ in range(2):
            assert await notify(("127.0.0.1", port), ZONE.name, "127.0.0.1")
            async with asyncio.timeout(PATIENCE_S):
                await workers.notified()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.connect(("127.0.0.1", port))
            for _ in range(300):
                asking.send(NOTICE)
        async with asyncio.timeout(PATIENCE_S):
            await workers.notified()
        assert not await notify(("127.0.0.1", port), "other.example")


async def test_it_is_sent_again_until_it_is_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    """By who hears the third one; what came in between is not the answer."""
    monkeypatch.setattr(sending, "PATIENCE_S", (0.05, 0.05, PATIENCE_S))
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        other.setblocking(False)
        telling = asyncio.create_task(notify(other.getsockname(), ZONE.name))
        async with asyncio.timeout(PATIENCE_S):
            heard = [await loop.sock_recvfrom(other, 512) for _ in range(3)]
        assert len({data for data, _ in heard}) == 1
        sent, asker = heard[-1]
        await loop.sock_sendto(other, sent, asker)
        await loop.sock_sendto(other, answer(sent).wire, asker)
        assert await telling


async def test_nobody_there_is_asked_a_few_times_and_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "PATIENCE_S", (0.01, 0.01))
    assert not await notify(("127.0.0.1", free_port()), ZONE.name)
    assert not await notify(("127.0.0.1", free_port()), ZONE.name, "192.0.2.1")
