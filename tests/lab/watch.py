"""What a server answers, asked every few milliseconds: `python -m tests.lab.watch SERVER NAME [EVERY_S]`.

A question goes out on every beat whether or not the last one was answered, so a slow answer delays no
measurement. Each change of answer is one JSON line with the times of CLOCK_MONOTONIC (clock_gettime(2)),
which all processes of a machine share: subtract the time of a SIGKILL in another process and you have how
long clients were told the old address.

`asked_s` is when the first question with the new answer left. A late answer to an earlier question is no
change back. The end of standard input ends it, with a last line that counts every answer.
"""

import itertools
import json
import select
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from subprocess import PIPE
from typing import Any

from dnslib import QTYPE, RCODE, DNSError, DNSRecord

from tests.lab.daemon import Daemon
from tests.lab.netns import Namespace

EVERY_S = 0.005
SILENT_S = 1.0  # nothing new for so long is an answer too
SILENCE = "silence"
IDS = 1 << 16


@dataclass(frozen=True, slots=True)
class Change:
    """`answer`: addresses with commas between them, or NODATA, an rcode's name, or silence."""

    answer: str
    asked_s: float
    seen_s: float


@dataclass(slots=True)
class Memory:
    """The questions under way by their id, and the last answer by the time its question was asked."""

    began_s: float
    asked_s: dict[int, float] = field(default_factory=dict)
    last: Change | None = None
    heard_s: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)

    def hear(self, packet: bytes, now_s: float) -> Change | None:
        asked_s = self.asked_s.pop(int.from_bytes(packet[:2]), None)
        if asked_s is None:
            return None
        self.heard_s = now_s
        return self._see(Change(meaning(packet), asked_s, now_s))

    def quiet(self, now_s: float) -> Change | None:
        since_s = max(self.began_s, self.heard_s)
        if now_s - since_s < SILENT_S or (self.last and self.last.answer == SILENCE):
            return None
        return self._see(Change(SILENCE, since_s, now_s))

    def _see(self, found: Change) -> Change | None:
        self.counts[found.answer] += 1
        before = self.last
        if before and found.asked_s < before.asked_s:
            return None
        self.last = found
        return found if before is None or before.answer != found.answer else None


class Watch:
    """A watcher in `space`, from the test's side."""

    def __init__(self, space: Namespace, server: str, name: str, log: Path, every_s: float = EVERY_S) -> None:
        argv = [sys.executable, "-m", "tests.lab.watch", server, name, str(every_s)]
        self._daemon = Daemon.start(space, argv, log, stdin=PIPE)

    def changes(self) -> list[Change]:
        return [Change(**entry) for entry in self._entries() if "answer" in entry]

    def wait_for(self, wanted: Callable[[Change], bool], timeout_s: float = 30.0) -> Change:
        """The first change that is `wanted`, past or to come."""
        self._daemon.wait_until(lambda: any(map(wanted, self.changes())), timeout_s)
        return next(filter(wanted, self.changes()))

    def stop(self) -> dict[str, int]:
        """How often each answer was given, in all."""
        assert self._daemon.process.stdin is not None
        self._daemon.process.stdin.close()
        self._daemon.process.wait()
        counts: dict[str, int] = self._entries()[-1]["counts"]
        return counts

    def _entries(self) -> list[dict[str, Any]]:
        whole_lines = self._daemon.log.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole_lines.splitlines() if line.startswith("{")]


def meaning(packet: bytes) -> str:
    try:
        reply = DNSRecord.parse(packet)
    except DNSError as error:
        return f"unreadable: {error}"
    addresses = sorted(str(record.rdata) for record in reply.rr if record.rtype == QTYPE.A)
    rcode = str(RCODE[reply.header.rcode])
    return ",".join(addresses) or ("NODATA" if rcode == "NOERROR" else rcode)


def watch(server: str, name: str, every_s: float) -> Counter[str]:
    memory = Memory(began_s=time.monotonic())
    questions = itertools.cycle(_questions(name))
    beat_s = memory.began_s
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.setblocking(False)
        asker.connect((server, 53))
        while not _wait(asker, beat_s, memory):
            now_s = time.monotonic()
            if now_s >= beat_s:
                _ask(asker, next(questions), memory)
                beat_s = max(beat_s + every_s, now_s)
            _tell(memory.quiet(now_s))
    return memory.counts


def _questions(name: str) -> list[bytes]:
    """One for each id (RFC 1035 section 4.1.1), packed once."""
    packed = DNSRecord.question(name, "A").pack()
    return [number.to_bytes(2) + packed[2:] for number in range(IDS)]


def _ask(asker: socket.socket, question: bytes, memory: Memory) -> None:
    memory.asked_s[int.from_bytes(question[:2])] = time.monotonic()
    with suppress(OSError):  # a closed port's ICMP or a full queue: a question without an answer
        asker.send(question)


def _wait(asker: socket.socket, until_s: float, memory: Memory) -> bool:
    """Hear what comes until then. True: standard input has ended."""
    ready, _, _ = select.select([asker, sys.stdin], [], [], max(0.0, until_s - time.monotonic()))
    if asker in ready:
        with suppress(OSError):
            _tell(memory.hear(asker.recv(4096), time.monotonic()))
    return sys.stdin in ready


def _tell(change: Change | None) -> None:
    if change:
        print(json.dumps(asdict(change)), flush=True)


def main(server: str, name: str, every_s: str = str(EVERY_S)) -> None:
    print(json.dumps({"counts": watch(server, name, float(every_s))}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
