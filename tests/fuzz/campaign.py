"""A campaign: mutated packets, and now and then a stream of them, for some seconds."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from time import monotonic

from tests.conformance.wire import BrokenError
from tests.fuzz.mutate import mutated
from tests.fuzz.seeds import corpus
from tests.fuzz.target import Target

ROUND = 1_000
NO_LIMIT = 1_000.0  # on amplification, which would hide what the other limits do
STREAM_PACKETS = 12
WARM_UP_ROUNDS = 20  # until caches of bounded size are full and the allocator has its arenas


@dataclass(frozen=True, slots=True)
class Figures:
    packets: int
    streams: int
    seconds: float
    start_kib: int
    end_kib: int

    def __str__(self) -> str:
        rate = f"{self.packets / self.seconds:,.0f} packets/s"
        memory = f"memory {self.start_kib:,} KiB after warming up, {self.end_kib:,} KiB at the end"
        return f"{self.packets:,} packets and {self.streams:,} streams in {self.seconds:.1f} s, {rate}; {memory}"


def fuzz(seconds: float, seed: int) -> Figures:
    """Raises BrokenError with the packet."""
    targets, chance, seeds = cycle([Target(), Target(NO_LIMIT)]), random.Random(seed), corpus()
    began_s, start_kib, rounds = monotonic(), _resident_kib(), 0
    while monotonic() < began_s + seconds or rounds < WARM_UP_ROUNDS:
        _round(next(targets), seeds, chance)
        rounds += 1
        start_kib = _resident_kib() if rounds == WARM_UP_ROUNDS else start_kib
    return Figures(rounds * ROUND, rounds, monotonic() - began_s, start_kib, _resident_kib())


def _round(target: Target, seeds: tuple[bytes, ...], chance: random.Random) -> None:
    for _ in range(ROUND):
        _one(target, mutated(seeds, chance))
    packets = [mutated(seeds, chance) for _ in range(STREAM_PACKETS)]
    target.stream(packets, tuple(_cuts(packets, chance)))


def _one(target: Target, packet: bytes) -> None:
    try:
        target.packet(packet)
    except Exception as error:
        raise BrokenError(f"{packet.hex()}: {error}") from error


def _cuts(packets: list[bytes], chance: random.Random) -> Iterator[int]:
    size = sum(len(packet) + 2 for packet in packets)
    yield from (chance.randrange(size) for _ in range(chance.randrange(30)))


def _resident_kib() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])
