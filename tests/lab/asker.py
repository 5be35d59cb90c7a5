"""A client as users' machines are: a question over UDP, two tries of 5 s (resolv.conf(5)), and what came of it.

SERVFAIL and REFUSED end a try at once, as in glibc; so does nothing else. The second try is the same packet from the
same port: dnsmasq knows a repeated question by that, and then asks all its servers.
"""

import asyncio
import itertools
import random
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from dnslib import EDNS0, QTYPE, DNSRecord

from tests.lab.netns import Namespace
from tests.lab.watch import SILENCE, meaning

TRIES, TRY_S = 2, 5.0
FAILURES = (SILENCE, "SERVFAIL", "REFUSED")
IDS = 1 << 16


@dataclass(frozen=True, slots=True)
class Asked:
    """One question and its last word: `answer` as `watch.meaning` has it, or silence. Monotonic times."""

    asked_s: float
    heard_s: float
    answer: str
    tries: int = 1

    @property
    def took_s(self) -> float:
        return self.heard_s - self.asked_s


@dataclass(slots=True)
class Asker(asyncio.DatagramProtocol):
    """One client of one server: each question has an id of its own, so many may be under way."""

    packed: bytes
    waiting: dict[int, "asyncio.Future[bytes]"] = field(default_factory=dict)
    ids: Iterator[int] = field(default_factory=lambda: itertools.count(random.randrange(IDS)))
    transport: asyncio.DatagramTransport | None = None

    @classmethod
    async def open(cls, space: Namespace, server: str, name: str, *, dnssec: bool = False) -> "Asker":
        question = DNSRecord.question(name, "A")
        if dnssec:
            question.add_ar(EDNS0(flags="do", udp_len=1232))
        asking = space.socket(socket.SOCK_DGRAM)
        asking.setblocking(False)
        asking.connect((server, 53))
        loop = asyncio.get_running_loop()
        transport, asker = await loop.create_datagram_endpoint(lambda: cls(question.pack()), sock=asking)
        asker.transport = transport
        return asker

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        waiting = self.waiting.get(int.from_bytes(data[:2]))
        if waiting and not waiting.done():
            waiting.set_result(data)

    def error_received(self, exc: Exception) -> None:
        """A closed port's ICMP belongs to no question: the one that it belongs to waits in vain."""

    def close(self) -> None:
        assert self.transport is not None
        self.transport.close()

    async def ask(self, tries: int = TRIES, try_s: float = TRY_S) -> Asked:
        asked_s, number = time.monotonic(), next(self.ids) % IDS
        last = Asked(asked_s, asked_s, SILENCE, 0)
        while last.answer in FAILURES and last.tries < tries:
            reply = await self._try(number, try_s)
            last = Asked(asked_s, time.monotonic(), meaning(reply) if reply else SILENCE, last.tries + 1)
        return last

    async def told_ttl_s(self) -> int | None:
        """The lowest TTL of the addresses in an answer; None without any."""
        reply = await self._try(next(self.ids) % IDS, TRY_S)
        records = DNSRecord.parse(reply).rr if reply else []
        return min((record.ttl for record in records if record.rtype == QTYPE.A), default=None)

    async def _try(self, number: int, try_s: float) -> bytes | None:
        assert self.transport is not None
        self.waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self.transport.sendto(number.to_bytes(2) + self.packed[2:])
            return await asyncio.wait_for(self.waiting[number], try_s)
        except TimeoutError:
            return None
        finally:
            del self.waiting[number]


async def keep_asking(asker: Asker, every_s: float, go_on: Callable[[], bool], heard: list[Asked]) -> None:
    """A question on every beat, whatever became of the last; `heard` grows in the order of the answers. Returns when
    the last question has its answer too.
    """

    async def one() -> None:
        heard.append(await asker.ask())

    under_way: list[asyncio.Task[None]] = []
    beat_s = time.monotonic()
    while go_on():
        under_way.append(asyncio.create_task(one()))
        beat_s += every_s
        await asyncio.sleep(max(0.0, beat_s - time.monotonic()))
    await asyncio.gather(*under_way)
