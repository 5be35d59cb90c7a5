"""What is lost when an authority ends: questions that it neither answers nor refuses, though its machine stays up.

One asker asks it directly all the time. What had arrived and was not read is dropped with a killed process' socket, and
the port refuses only once the last copy of that socket is closed. A forwarder waits its time-out for such a question.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from dnslib import DNSRecord

from tests.lab.two_agents import SERVICE, TwoAgents

BEFORE_S, AFTER_S, PAUSE_S, LATE_S = 0.3, 15.0, 0.0003, 0.5
QUESTION = DNSRecord.question(SERVICE, "A").pack()
IP_RECVERR = 11  # ip(7): a refusal comes with the packet that it is about, through the error queue
PACKET_BYTES, ANCILLARY_BYTES = 512, 512


@dataclass(slots=True)
class Heard:
    """Questions by number."""

    asked: set[int] = field(default_factory=set)
    answered: set[int] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)

    def lost(self) -> int:
        """Asked before the first one that was refused: of later ones the kernel may refuse a part only."""
        return len({number for number in self.asked if number < min(self.refused)} - self.answered)


def lost_s(lab: TwoAgents, server: str, end: Callable[[], None]) -> float:
    """How much time's questions are lost. RuntimeError when the port never refuses."""
    ending = threading.Thread(target=end)
    began_s, heard = time.monotonic(), Heard()
    with lab.client.socket(socket.SOCK_DGRAM) as asking:
        asking.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        asking.connect((server, 53))
        asking.setblocking(False)
        for number in _beats(BEFORE_S + AFTER_S):
            if not ending.ident and time.monotonic() > began_s + BEFORE_S:
                ending.start()
            _ask(asking, number, heard)
            _listen(asking, heard)
            if heard.refused:
                break
        took_s = time.monotonic() - began_s
        for _ in _beats(LATE_S):
            _listen(asking, heard)
    ending.join()
    if not heard.refused:
        raise RuntimeError(f"{server} did not refuse within {AFTER_S:.0f} s of its end")
    return heard.lost() * took_s / len(heard.asked)


def _beats(for_s: float) -> Iterator[int]:
    until_s, number = time.monotonic() + for_s, 0
    while time.monotonic() < until_s:
        number += 1
        yield number
        time.sleep(PAUSE_S)


def _ask(asking: socket.socket, number: int, heard: Heard) -> None:
    with suppress(ConnectionRefusedError):  # a refusal of an earlier one: nothing was sent
        asking.send(number.to_bytes(2) + QUESTION[2:])
        heard.asked.add(number)


def _listen(asking: socket.socket, heard: Heard) -> None:
    """All that is there by now. The socket's own error is the newest refusal's, which is in the queue too."""
    with suppress(BlockingIOError, ConnectionRefusedError):
        while True:
            heard.answered.add(int.from_bytes(asking.recv(PACKET_BYTES)[:2]))
    with suppress(BlockingIOError):
        while True:
            packet = asking.recvmsg(PACKET_BYTES, ANCILLARY_BYTES, socket.MSG_ERRQUEUE)[0]
            heard.refused.add(int.from_bytes(packet[:2]))
