"""A campaign: mutated packets in rounds, and with each round a stream of them and some batches for a port.

Each process has a seed of its own, and notes what it is about to try in memory that it shares with us: so we can say
what it was, whether it hangs or has died.
"""

import faulthandler
import mmap
import multiprocessing
import os
import random
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from time import monotonic

from edge.dns import cookies, rates
from edge.dns.message import Transport
from tests.conformance.wire import BrokenError
from tests.fuzz.mutate import mutated
from tests.fuzz.port import BATCH, PortTarget
from tests.fuzz.seeds import corpus
from tests.fuzz.target import KINDS, SOURCES, Target

ROUND = 1_000
STREAM_PACKETS = 12
TCP_SHARE = 0.25
PORT_SHARE = 0.2
SMALL = 200  # caches that are full soon: what comes later is a leak, and their turnover is tried too
SAMPLE_ROUNDS = 20  # a sample of memory each so many
SAMPLES_MIN = 4  # the least: a leak of 100 bytes a packet is then 4 MB
SLACK_KIB = 2_048
HANG_S = 60.0  # a packet takes some 0.1 ms
LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one process, or of all of them. `memory`: resident KiB of each, a quarter of the way, halfway and at the end.

    Until the first of them the caches fill and the allocator takes its arenas.
    """

    packets: int
    over_port: int
    streams: int
    seconds: float
    memory: tuple[tuple[int, int, int], ...]

    @property
    def flat(self) -> bool:
        return all(end < start + SLACK_KIB for start, _, end in self.memory)

    def __str__(self) -> str:
        rate = f"{self.packets / self.seconds:,.0f} packets/s"
        told = f"{self.packets:,} packets, {self.over_port:,} of them over a port, and {self.streams:,} streams"
        memory = ", ".join(f"{start:,} > {half:,} > {end:,} KiB" for start, half, end in self.memory)
        return f"{told} in {self.seconds:.1f} s, {rate}; memory {memory}"


@dataclass(frozen=True, slots=True)
class Bounds:
    """Whichever comes first; but a campaign is never too short to see a leak."""

    seconds: float
    packets: int

    def leave(self, began_s: float, packets: int) -> bool:
        return monotonic() < began_s + self.seconds and packets < self.packets


class BlackBox:
    """What a process is about to try: a count, a length, and the packets in hexadecimal digits."""

    HEAD_BYTES = 12
    SIZE_BYTES = 1 << 18

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, self.SIZE_BYTES)
        self._count = 0

    def note(self, packets: Sequence[bytes]) -> None:
        text = " ".join(map(bytes.hex, packets)).encode()[: self.SIZE_BYTES - self.HEAD_BYTES]
        self._count += 1
        head = self._count.to_bytes(8) + len(text).to_bytes(4)
        self._shared[: self.HEAD_BYTES + len(text)] = head + text

    def count(self) -> int:
        return int.from_bytes(self._shared[:8])

    def packets(self) -> str:
        size = int.from_bytes(self._shared[8:12])
        return self._shared[self.HEAD_BYTES : self.HEAD_BYTES + size].decode()


class Worker:
    """One process of a campaign, seen from outside."""

    def __init__(self, seed: int, bounds: Bounds) -> None:
        context = multiprocessing.get_context("fork")
        self._box = BlackBox()
        self._end, theirs = context.Pipe(duplex=False)
        self._process: BaseProcess = context.Process(target=_work, args=(seed, bounds, self._box, theirs))
        self._process.start()
        theirs.close()

    def figures(self) -> Figures:
        """Waits. Raises BrokenError with the packets."""
        seen, since_s = -1, monotonic()
        while not self._end.poll(LOOK_S):
            if self._box.count() != seen:
                seen, since_s = self._box.count(), monotonic()
            elif monotonic() > since_s + HANG_S:
                os.kill(self._process.pid or 0, signal.SIGABRT)  # faulthandler shows where it hangs
                raise BrokenError(f"hangs: {self._box.packets()}")
        return self._told()

    def stop(self) -> None:
        self._process.kill()
        self._process.join()

    def _told(self) -> Figures:
        try:
            told = self._end.recv()
        except EOFError as error:
            raise BrokenError(f"died: {self._box.packets()}") from error
        if isinstance(told, str):
            raise BrokenError(told)
        assert isinstance(told, Figures)
        return told


class Campaign:
    """In one process."""

    def __init__(self, seed: int, box: BlackBox) -> None:
        self._chance, self._seeds, self._box = random.Random(seed), corpus(), box
        self._targets = cycle([(Target(kind), PortTarget(kind)) for kind in KINDS])
        self._packets = self._over_port = self._streams = 0

    def run(self, bounds: Bounds) -> Figures:
        began_s, resident_kib = monotonic(), list[int]()
        while len(resident_kib) < SAMPLES_MIN or bounds.leave(began_s, self._packets):
            self._round(*next(self._targets))
            if self._streams % SAMPLE_ROUNDS == 0:
                resident_kib.append(_resident_kib())
        quarter, half = resident_kib[len(resident_kib) // 4], resident_kib[len(resident_kib) // 2]
        memory = (quarter, half, _resident_kib())
        return Figures(self._packets, self._over_port, self._streams, monotonic() - began_s, (memory,))

    def _round(self, target: Target, port: PortTarget) -> None:
        for packet in self._drawn(ROUND):
            self._one(target, packet)
        for _ in range(int(ROUND * PORT_SHARE) // BATCH):
            self._batch(port, list(self._drawn(BATCH)))
        self._stream(target, list(self._drawn(STREAM_PACKETS)))
        target.finish()

    def _one(self, target: Target, packet: bytes) -> None:
        self._box.note((packet,))
        transport = Transport.TCP if self._chance.random() < TCP_SHARE else Transport.UDP
        try:
            target.packet(packet, self._chance.choice(SOURCES), transport)
        except Exception as error:
            raise BrokenError(f"{packet.hex()}: {error}") from error

    def _batch(self, port: PortTarget, packets: list[bytes]) -> None:
        self._box.note(packets)
        port.batch(packets)
        self._over_port += len(packets)

    def _stream(self, target: Target, packets: list[bytes]) -> None:
        self._box.note(packets)
        target.stream(packets, tuple(self._cuts(packets)))
        self._streams += 1

    def _drawn(self, count: int) -> Iterator[bytes]:
        self._packets += count
        return (mutated(self._seeds, self._chance) for _ in range(count))

    def _cuts(self, packets: list[bytes]) -> Iterator[int]:
        size = sum(len(packet) + 2 for packet in packets)
        yield from (self._chance.randrange(size) for _ in range(self._chance.randrange(30)))


def fuzz(bounds: Bounds, seed: int, processes: int = 1) -> Figures:
    """Raises BrokenError with the packets. `bounds` are for all processes together."""
    share = Bounds(bounds.seconds, -(-bounds.packets // processes))
    workers = [Worker(seed + number, share) for number in range(processes)]
    try:
        return _merged([worker.figures() for worker in workers])
    finally:
        for worker in workers:
            worker.stop()


def _work(seed: int, bounds: Bounds, box: BlackBox, end: Connection) -> None:
    faulthandler.enable()
    cookies.REMEMBERED = rates.MAX_BUCKETS = SMALL
    try:
        end.send(Campaign(seed, box).run(bounds))
    except BrokenError as error:
        end.send(f"seed {seed}: {error}")


def _merged(found: Sequence[Figures]) -> Figures:
    return Figures(
        packets=sum(figures.packets for figures in found),
        over_port=sum(figures.over_port for figures in found),
        streams=sum(figures.streams for figures in found),
        seconds=max(figures.seconds for figures in found),
        memory=tuple(pair for figures in found for pair in figures.memory),
    )


def _resident_kib() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])
