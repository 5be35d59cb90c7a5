"""A forwarder that asks at a fixed pace over UDP and looks at every byte: `python -m tests.load.asker PLAN`.

A wait begins just before the question is sent, and ends when the kernel has the answer (SO_TIMESTAMPNS): how late this
process itself wakes up for it is left out. An answer that took longer than LOST_S is none.
"""

import json
import os
import select
import socket
import struct
import sys
from dataclasses import asdict, dataclass
from time import monotonic, time_ns

from tests.load.figures import LOST_S, Asked, asked
from tests.load.process import run

SO_TIMESTAMPNS = 35  # asm-generic/socket.h
TIMESPEC = struct.Struct("@ll")
PORTS = 16  # enough that each of two workers gets some


@dataclass(frozen=True, slots=True)
class Plan:
    """`query` and `right` in hexadecimal; `right`: all answers that are, without their ids. `processor`: the only one
    to run on.
    """

    host: str
    port: int
    source: str
    per_second: int
    seconds: float
    query: str
    right: tuple[str, ...]
    processor: int | None = None


class Asker:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._tail = bytes.fromhex(plan.query)[2:]
        self._right = frozenset(map(bytes.fromhex, plan.right))
        self._ports = [_port(plan) for _ in range(PORTS)]
        self._sent_ns: dict[int, int] = {}
        self._waits_ns: list[int] = []
        self._wrong = 0

    def run(self) -> Asked:
        if self._plan.processor is not None:
            os.sched_setaffinity(0, {self._plan.processor})
        count = int(self._plan.per_second * self._plan.seconds)
        begun_s = monotonic()
        for number in range(count):
            self._listen(begun_s + number / self._plan.per_second)
            self._ask(number)
        last_s = monotonic() + LOST_S
        while self._sent_ns and monotonic() < last_s:
            self._listen(min(last_s, monotonic() + 0.01))
        return asked(count, self._wrong, self._waits_ns)

    def _listen(self, until_s: float) -> None:
        while (left_s := until_s - monotonic()) > 0:
            for port in select.select(self._ports, [], [], left_s)[0]:
                self._hear(port)

    def _ask(self, number: int) -> None:
        ident = number & 0xFFFF  # comes again after longer than LOST_S at any pace that is asked for here
        self._sent_ns[ident] = time_ns()
        try:
            self._ports[number % PORTS].send(ident.to_bytes(2) + self._tail)
        except OSError:  # ECONNREFUSED by an earlier one: nobody has the port
            return

    def _hear(self, port: socket.socket) -> None:
        try:
            answer, control, _, _ = port.recvmsg(4096, 64)
        except OSError:
            return
        sent_ns = self._sent_ns.pop(int.from_bytes(answer[:2]), None)
        if answer[2:] not in self._right:
            self._wrong += 1
        elif sent_ns is not None and (wait_ns := _stamp_ns(control[0][2]) - sent_ns) < LOST_S * 1e9:
            self._waits_ns.append(wait_ns)


def _port(plan: Plan) -> socket.socket:
    port = socket.socket(type=socket.SOCK_DGRAM)
    port.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    port.bind((plan.source, 0))
    port.connect((plan.host, plan.port))
    port.setblocking(False)
    return port


def _stamp_ns(timespec: bytes) -> int:
    seconds, nanoseconds = TIMESPEC.unpack(timespec)
    return int(seconds * 1_000_000_000 + nanoseconds)


def over_udp(plan: Plan) -> Asked:
    return Asked.from_json(run("tests.load.asker", asdict(plan)))


def over_tcp(plan: Plan) -> Asked:
    return Asked.from_json(run("tests.load.tcp_asker", asdict(plan)))


if __name__ == "__main__":
    print(Asker(Plan(**json.loads(sys.argv[1]))).run().to_json())
