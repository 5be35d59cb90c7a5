"""Askers who ask without pause, and count what they are not told."""

import selectors
import socket
import threading
from contextlib import suppress
from time import monotonic, sleep
from types import TracebackType

from tests.dns.desks import A_QUERY

RATE_PER_S = 2000
ASKERS = 50  # source ports: the kernel gives each worker some
PATIENCE_S = 30.0
BEAT_S = 0.005


class Steady:
    """Asks `per_s` times a second while the block runs, each question once. Then `asked`, and how many of them
    were `lost`, `refused` (the port was closed) or told something else than `expected`, the answer without its id.
    """

    def __init__(self, port: int, expected: bytes, question: bytes = A_QUERY, *, per_s: int = RATE_PER_S) -> None:
        self._per_s = per_s
        self._target = ("127.0.0.1", port)
        self._expected = expected
        self._question = question[2:]
        self._open: set[int] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.asked = self.refused = self.wrong = 0

    @property
    def lost(self) -> int:
        return len(self._open)

    def verdict(self) -> tuple[int, int, int]:
        return self.lost, self.refused, self.wrong

    def __enter__(self) -> "Steady":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            askers = [self._asker(selector) for _ in range(ASKERS)]
            began_s = monotonic()
            while not self._over.is_set():
                self._ask(askers, int((monotonic() - began_s) * self._per_s) - self.asked)
                self._hear(selector)
                sleep(BEAT_S)
            ended_s = monotonic()
            while self._open and monotonic() < ended_s + PATIENCE_S:
                self._hear(selector)
            for asker in askers:
                asker.close()

    def _asker(self, selector: selectors.BaseSelector) -> socket.socket:
        asker = socket.socket(type=socket.SOCK_DGRAM)
        asker.connect(self._target)
        asker.setblocking(False)
        selector.register(asker, selectors.EVENT_READ)
        return asker

    def _ask(self, askers: list[socket.socket], count: int) -> None:
        """At most 65,536 in all, the ids that there are. After a pause of ours, not all at once."""
        for _ in range(min(count, ASKERS)):
            try:
                askers[self.asked % ASKERS].send(self.asked.to_bytes(2) + self._question)
            except ConnectionRefusedError:  # what the kernel has to tell of an earlier one; this one is not sent
                self.refused += 1
            else:
                self._open.add(self.asked)
                self.asked += 1

    def _hear(self, selector: selectors.BaseSelector) -> None:
        for key, _ in selector.select(0.01):
            assert isinstance(key.fileobj, socket.socket)
            with suppress(BlockingIOError):
                self._judge(key.fileobj)

    def _judge(self, asker: socket.socket) -> None:
        try:
            told = asker.recv(4096)
        except ConnectionRefusedError:
            self.refused += 1
            return
        self._open.discard(int.from_bytes(told[:2]))
        self.wrong += told[2:] != self._expected
