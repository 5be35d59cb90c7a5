"""What is lost when an authority ends: questions that it neither answers nor refuses, though its machine stays up.

One asker asks it directly all the time. What had arrived and was not read is dropped with a killed process' socket, and
the port refuses only once the last copy of that socket is closed. A forwarder waits its time-out for such a question.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from dnslib import DNSRecord

from tests.lab.two_agents import SERVICE, TwoAgents

BEFORE_S, AFTER_S, PAUSE_S = 0.3, 5.0, 0.0003
QUESTION = DNSRecord.question(SERVICE, "A").pack()


@dataclass(slots=True)
class Heard:
    """Questions by number. `refused_at`: the one before which the first refusal came back."""

    asked: int = 0
    answered: set[int] = field(default_factory=set)
    refused_at: int | None = None

    def lost(self) -> int:
        """The question that was refused, and the one that was asked meanwhile, are not lost."""
        assert self.refused_at is not None
        return len(set(range(1, self.refused_at - 1)) - self.answered)


def lost_s(lab: TwoAgents, server: str, end: Callable[[], None]) -> float:
    """How much time's questions are lost. RuntimeError when the port never refuses."""
    ending = threading.Thread(target=end)
    began_s, heard = time.monotonic(), Heard()
    with lab.client.socket(socket.SOCK_DGRAM) as asking:
        asking.connect((server, 53))
        asking.setblocking(False)
        for _ in _beats(BEFORE_S + AFTER_S):
            if not ending.ident and time.monotonic() > began_s + BEFORE_S:
                ending.start()
            if _refuses(asking, heard):
                break
    took_s = time.monotonic() - began_s
    ending.join()
    if heard.refused_at is None:
        raise RuntimeError(f"{server} did not refuse within {AFTER_S:.0f} s of its end")
    return heard.lost() * took_s / heard.asked


def _beats(for_s: float) -> Iterator[None]:
    until_s = time.monotonic() + for_s
    while time.monotonic() < until_s:
        yield
        time.sleep(PAUSE_S)


def _refuses(asking: socket.socket, heard: Heard) -> bool:
    """One more question, and all answers that are there by now."""
    heard.asked += 1
    try:
        asking.send(heard.asked.to_bytes(2) + QUESTION[2:])
        while True:
            heard.answered.add(int.from_bytes(asking.recv(512)[:2]))
    except BlockingIOError:
        return False
    except ConnectionRefusedError:
        heard.refused_at = heard.asked
        return True
