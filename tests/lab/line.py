"""Direct Connect as a process: two TUN devices and a heap of packets that wait for their time.

    VPC router  dx0 ──read──▶ [ up? lost? ] ──▶ heap by due time ──write──▶ dx0  on-premises router
                    ◀──write──                                   ◀──read──

A packet that is read at `now` is written to the other side at `now + delay + random(0..jitter)`. Jitter
therefore also reorders, as a real wide-area line may. `up = false` drops everything, what is on its way too,
and tells nobody: that is how a line fails under a router without BFD. Loss is drawn for each packet, for each
direction on its own.

The settings arrive as JSON, one line each on standard input, and are acknowledged on standard output, so
whoever changes them knows when they hold. The end of standard input ends the process: it can't outlive the
test that started it.
"""

import dataclasses
import fcntl
import heapq
import itertools
import json
import os
import random
import select
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import FileIO
from typing import IO

from tests.lab.netns import ROOT, Namespace

DEVICE = "dx0"
MTU_BYTES = 1500  # a private virtual interface's default (AWS: "Set network MTU for private virtual interfaces")
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000  # linux/if_tun.h
BATCH = 64  # packets read at a go, so that one busy direction can't hold up what is due
VPC, ONPREM = 0, 1


@dataclass(frozen=True, slots=True)
class Settings:
    """Losses are shares of 1, named for where the packets were going."""

    delay_s: float = 0.010  # each way: a data centre in the region's own city has less, the next region more
    jitter_s: float = 0.0
    loss_to_vpc: float = 0.0
    loss_to_onprem: float = 0.0
    up: bool = True

    def loss(self, to: int) -> float:
        return self.loss_to_vpc if to == VPC else self.loss_to_onprem


@dataclass(slots=True)
class Wire:
    """What is on its way. Pure but for its dice: takes `now_s`, gives back what is due."""

    settings: Settings = Settings()
    dice: random.Random = field(default_factory=random.Random)
    _heap: list[tuple[float, int, int, bytes]] = field(default_factory=list)
    _order: Iterator[int] = field(default_factory=itertools.count)

    def change(self, settings: Settings) -> None:
        self.settings = settings
        if not settings.up:
            self._heap.clear()

    def admit(self, packet: bytes, to: int, now_s: float) -> None:
        settings = self.settings
        if settings.up and self.dice.random() >= settings.loss(to):
            due_s = now_s + settings.delay_s + self.dice.uniform(0, settings.jitter_s)
            heapq.heappush(self._heap, (due_s, next(self._order), to, packet))

    def due(self, now_s: float) -> list[tuple[int, bytes]]:
        out = []
        while self._heap and self._heap[0][0] <= now_s:
            _, _, to, packet = heapq.heappop(self._heap)
            out.append((to, packet))
        return out

    def wait_s(self, now_s: float) -> float | None:
        return max(0.0, self._heap[0][0] - now_s) if self._heap else None


class Line:
    """The line of one lab, from the test's side. Its devices outlive its process, so it can start again."""

    def __init__(self, vpc: Namespace, onprem: Namespace) -> None:
        self._ends = (vpc, onprem)
        self.settings = Settings()
        for end in self._ends:
            end.ip(f"tuntap add dev {DEVICE} mode tun")
            end.ip(f"link set {DEVICE} mtu {MTU_BYTES} up")

    def start(self) -> None:
        names = [end.name for end in self._ends]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.lab.line", *names],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        self.apply(self.settings)

    def apply(self, settings: Settings) -> None:
        """Returns when the line carries by them."""
        self.settings = settings
        told, answer = _pipes(self._process)
        told.write(json.dumps(dataclasses.asdict(settings)).encode() + b"\n")
        told.flush()
        if answer.readline() != b"ok\n":
            raise RuntimeError(f"the line ended with status {self._process.wait()}: see its words on stderr")

    def cut(self) -> None:
        self.apply(dataclasses.replace(self.settings, up=False))

    def mend(self) -> None:
        """Back to the defaults."""
        self.apply(Settings())

    def stop(self) -> None:
        for pipe in _pipes(self._process):
            pipe.close()
        self._process.wait()


def _pipes(process: "subprocess.Popen[bytes]") -> tuple[IO[bytes], IO[bytes]]:
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


def attach(space: Namespace) -> int:
    """The file descriptor of the TUN device in `space`: it stays with the namespace it was opened in."""
    with space.entered():
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), IFF_TUN | IFF_NO_PI))
    return fd


def carry(ends: tuple[int, int], control: FileIO, wire: Wire) -> None:
    """Until the end of `control`. select(), for its time-out has microseconds and poll's milliseconds."""
    while True:
        ready, _, _ = select.select([*ends, control.fileno()], [], [], wire.wait_s(time.monotonic()))
        if control.fileno() in ready and not obey(control.readline(), wire):
            return
        for here in (VPC, ONPREM):
            if ends[here] in ready:
                take(ends[here], 1 - here, wire)
        for to, packet in wire.due(time.monotonic()):
            deliver(ends[to], packet)


def obey(words: bytes, wire: Wire) -> bool:
    if words:
        wire.change(Settings(**json.loads(words)))
        sys.stdout.write("ok\n")
        sys.stdout.flush()
    return bool(words)


def take(fd: int, to: int, wire: Wire) -> None:
    for _ in range(BATCH):
        try:
            packet = os.read(fd, MTU_BYTES)
        except BlockingIOError:
            return
        wire.admit(packet, to, time.monotonic())


def deliver(fd: int, packet: bytes) -> None:
    try:
        os.write(fd, packet)
    except OSError as error:  # the far device is down, or its queue is full: to the sender both are loss
        sys.stderr.write(f"line: a packet of {len(packet)} bytes was lost: {error}\n")


def main(vpc: str, onprem: str) -> None:
    ends = (attach(Namespace(vpc)), attach(Namespace(onprem)))
    with FileIO(0, closefd=False) as control:
        carry(ends, control, Wire())


if __name__ == "__main__":
    main(*sys.argv[1:])
