"""An asker that takes less of the machine than dnsperf: `python -m tests.bench.batches PLAN` prints what it counted.

WINDOW questions are under way; a system call reads what has come (recvmmsg(2)), another one asks as many again
(sendmmsg(2)). So the server is what has no time left, not who asks it.
"""

import ctypes
import json
import socket
import struct
import sys
from dataclasses import asdict, dataclass
from time import monotonic

from tests.load.flood import Iovec, Mmsghdr, table
from tests.load.questions import a_query

BATCH, WINDOW = 64, 256
SIZE = 1232
PATIENCE_S = 1
WAIT_FOR_ONE = 0x10000  # MSG_WAITFORONE: what is there, and at least one
STEP = ctypes.sizeof(Mmsghdr)


@dataclass(frozen=True, slots=True)
class Plan:
    host: str
    port: int
    name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Counted:
    """`wrong`: of the first answer of each call, those that are no answer with an address. `lost`: after a second."""

    answers_s: float
    wrong: int
    lost: int


class Asker:
    def __init__(self, plan: Plan) -> None:
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", PATIENCE_S, 0))
        self._socket.connect((plan.host, plan.port))
        self._buffers = [ctypes.create_string_buffer(SIZE) for _ in range(BATCH)]
        self._questions = table([a_query(plan.name, number) for number in range(BATCH)])
        self._answers = _room(self._buffers)
        self._libc = ctypes.CDLL(None)

    def ask(self, count: int) -> None:
        if self._libc.sendmmsg(self._socket.fileno(), self._questions, count, 0) != count:
            raise OSError("not all questions could be sent")

    def read(self) -> int:
        """How many answers had come; none within a second: 0."""
        return max(self._libc.recvmmsg(self._socket.fileno(), self._answers, BATCH, WAIT_FOR_ONE, None), 0)

    def wrong(self) -> bool:
        """The first answer of those that were read: QR, NOERROR, and something in it."""
        _, flags, _, answers = struct.unpack_from("!HHHH", self._buffers[0])
        return not flags & 0x8000 or bool(flags & 15) or answers == 0


def _room(buffers: list["ctypes.Array[ctypes.c_char]"]) -> "ctypes.Array[Mmsghdr]":
    iovecs = (Iovec * len(buffers))(*(Iovec(ctypes.cast(each, ctypes.c_char_p), SIZE) for each in buffers))
    heads = (Mmsghdr * len(buffers))()
    for number, each in enumerate(heads):
        where = ctypes.addressof(iovecs) + number * ctypes.sizeof(Iovec)
        each.head.iovecs, each.head.iovec_count = ctypes.cast(where, ctypes.POINTER(Iovec)), 1
    heads.kept = iovecs  # type: ignore[attr-defined]  # what the kernel writes to lives as long as the table
    return heads


def run(plan: Plan) -> Counted:
    asker, asked, got, wrong, lost = Asker(plan), WINDOW, 0, 0, 0
    for _ in range(WINDOW // BATCH):
        asker.ask(BATCH)
    begun_s = monotonic()
    while monotonic() < begun_s + plan.seconds:
        count = asker.read()
        if count:
            got, wrong = got + count, wrong + asker.wrong()
        else:
            lost = asked - got
            count = BATCH
        asker.ask(count)
        asked += count
    return Counted(got / (monotonic() - begun_s), wrong, lost)


if __name__ == "__main__":
    print(json.dumps(asdict(run(Plan(**json.loads(sys.argv[1]))))))
