"""When a worker is in a hurry, and when it steps back. How the kernel takes it is measured by `make abuse`."""

import os
import resource
import subprocess
import sys

import pytest

from edge.dns import urgency
from edge.dns.urgency import LOOK_S, Urgency


class Processor:
    """Stands for the kernel: the time that was used, and the classes that were asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, allowed: bool = True) -> None:
        self.now_s = self.used_s = 0.0
        self.asked: list[int] = []
        self._allowed = allowed
        monkeypatch.setattr(urgency, "thread_time", lambda: self.used_s)
        monkeypatch.setattr(os, "sched_setscheduler", self._set)
        self.urgency = Urgency(self.now_s)

    def _set(self, pid: int, policy: int, parameter: os.sched_param) -> None:
        assert (pid, parameter.sched_priority) == (0, 1 if policy == os.SCHED_RR else 0)
        self.asked.append(policy)
        if not self._allowed:
            raise PermissionError

    def works(self, share: float, for_s: float = 2 * LOOK_S) -> bool:
        self.now_s += for_s
        self.used_s += share * for_s
        self.urgency.look(self.now_s)
        return self.urgency.urgent


def test_it_steps_back_above_a_half_and_returns_below_a_quarter(monkeypatch: pytest.MonkeyPatch) -> None:
    processor = Processor(monkeypatch)
    shares = (0.1, 0.45, 0.55, 0.45, 0.3, 0.2, 0.45, 1.0)
    assert [processor.works(share) for share in shares] == [True, True, False, False, False, True, True, False]
    rr, other = os.SCHED_RR, os.SCHED_OTHER
    assert processor.asked == [rr, other, rr, other]


def test_it_looks_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    processor = Processor(monkeypatch)
    assert processor.works(1.0, LOOK_S / 4)
    assert not processor.works(1.0, LOOK_S)


def test_who_may_not_asks_once(monkeypatch: pytest.MonkeyPatch) -> None:
    processor = Processor(monkeypatch, allowed=False)
    assert not any(processor.works(0.0) for _ in range(5))
    assert processor.asked == [os.SCHED_RR]


PROGRAM = """
import sys
from edge.dns import urgency
from edge.dns.cage import enter
urgency.prepare()
enter()
found = urgency.Urgency(0.0)
print(found.urgent, file=sys.stderr)
found._become(urgent=False)
print(found.urgent, file=sys.stderr)
found._become(urgent=True)
print(found.urgent, file=sys.stderr)
"""


def test_it_may_go_on_to_choose_in_its_cage() -> None:
    if os.geteuid() != 0 and resource.getrlimit(resource.RLIMIT_RTPRIO)[1] < 1:
        pytest.skip("needs root, or a limit of real-time priority")
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stderr.split() == ["True", "False", "True"]
