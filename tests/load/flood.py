"""Very many questions from one prefix, which nobody waits for answers to: `python -m tests.load.flood PLAN`.

The packets are laid out once; from then on a system call (sendmmsg(2)) sends BATCH of them, so that the sender takes
little of a machine that it shares with who is flooded.
"""

import ctypes
import json
import socket
import sys
from dataclasses import dataclass
from time import monotonic, sleep

from tests.load import questions
from tests.load.process import told_to_end

BATCH = 16
BLOCKS = 1024  # of BATCH packets, sent round and round
SOURCES = 64  # addresses of the prefix
MALFORMED_SHARE = 0.01


class Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_char_p), ("length", ctypes.c_size_t))


class Msghdr(ctypes.Structure):
    """Without a name: the sockets are connected."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint),
        ("iovecs", ctypes.POINTER(Iovec)),
        ("iovec_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class Mmsghdr(ctypes.Structure):
    _fields_ = (("head", Msghdr), ("length", ctypes.c_uint))


@dataclass(frozen=True, slots=True)
class Plan:
    """`prefix`: the first three numbers of IPv4 addresses. `seconds`: at most."""

    host: str
    port: int
    prefix: str
    per_second: int
    seconds: float
    name: str
    random_names: bool


def table(packets: list[bytes]) -> ctypes.Array[Mmsghdr]:
    iovecs = (Iovec * len(packets))(*((packet, len(packet)) for packet in packets))
    step, base = ctypes.sizeof(Iovec), ctypes.addressof(iovecs)
    pointers = (ctypes.cast(base + number * step, ctypes.POINTER(Iovec)) for number in range(len(packets)))
    heads = (Mmsghdr * len(packets))(*(Mmsghdr(Msghdr(None, 0, pointer, 1)) for pointer in pointers))
    heads.kept = iovecs, packets  # type: ignore[attr-defined]  # what the kernel reads lives as long as the table
    return heads


def ports(plan: Plan) -> list[socket.socket]:
    made = [socket.socket(type=socket.SOCK_DGRAM) for _ in range(SOURCES)]
    for number, port in enumerate(made, 1):
        port.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)  # the answers are not wanted
        port.bind((f"{plan.prefix}.{number}", 0))
        port.connect((plan.host, plan.port))
        port.setblocking(False)
    return made


def run(plan: Plan) -> dict[str, float]:
    """How many packets were sent a second."""
    named = {"random_names": plan.random_names, "malformed_share": MALFORMED_SHARE}
    heads, senders = table(list(questions.flood(BATCH * BLOCKS, plan.name, **named))), ports(plan)
    sendmmsg, step = ctypes.CDLL(None).sendmmsg, BATCH * ctypes.sizeof(Mmsghdr)
    print("ready", flush=True)
    sent, number, begun_s = 0, 0, monotonic()
    while (now_s := monotonic()) < begun_s + plan.seconds and not told_to_end():
        block = ctypes.byref(heads, number % BLOCKS * step)
        sent += max(0, sendmmsg(senders[number % SOURCES].fileno(), block, BATCH, 0))
        number += 1
        sleep(max(0.0, begun_s + number * BATCH / plan.per_second - now_s))
    return {"per_second": sent / (monotonic() - begun_s)}


if __name__ == "__main__":
    print(json.dumps(run(Plan(**json.loads(sys.argv[1])))))
