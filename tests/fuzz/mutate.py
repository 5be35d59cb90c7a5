"""Damage to packets: bits, bytes, lengths and counts, pieces lost, repeated and swapped with another packet's."""

import random
from collections.abc import Callable, Sequence

INTERESTING = (0, 1, 11, 12, 41, 63, 64, 127, 128, 191, 192, 255)
DAMAGES_MAX = 4
FRESH_SHARE = 0.02


def _bit(packet: bytearray, chance: random.Random) -> None:
    packet[chance.randrange(len(packet))] ^= 1 << chance.randrange(8)


def _byte(packet: bytearray, chance: random.Random) -> None:
    packet[chance.randrange(len(packet))] = chance.choice(INTERESTING)


def _header(packet: bytearray, chance: random.Random) -> None:
    packet[chance.randrange(min(12, len(packet)))] = chance.choice((0, 1, 2, 0x80, 255, chance.randrange(256)))


def _cut(packet: bytearray, chance: random.Random) -> None:
    del packet[chance.randrange(len(packet)) :]


def _lose(packet: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(packet))
    del packet[start : start + chance.randrange(1, 9)]


def _insert(packet: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(packet) + 1)
    packet[start:start] = chance.randbytes(chance.randrange(1, 9))


def _repeat(packet: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(packet))
    packet[start:start] = packet[start : start + chance.randrange(1, 40)]


def _letter(packet: bytearray, chance: random.Random) -> None:
    packet[chance.randrange(len(packet))] ^= 0x20


DAMAGES: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _bit, _byte, _header, _cut, _lose, _insert, _repeat, _letter,
)  # fmt: skip


def mutated(corpus: Sequence[bytes], chance: random.Random) -> bytes:
    """A packet of the corpus, whole or damaged; now and then the head of one and the end of another, or noise."""
    if chance.random() < FRESH_SHARE:
        return chance.randbytes(chance.randrange(600))
    packet = bytearray(chance.choice(corpus))
    if chance.random() < 0.1:
        other = chance.choice(corpus)
        packet[chance.randrange(len(packet)) :] = other[chance.randrange(len(other)) :]
    for _ in range(chance.randrange(DAMAGES_MAX + 1)):
        if packet:
            chance.choice(DAMAGES)(packet, chance)
    return bytes(packet)
