"""When a worker is in a hurry, and when it steps back. How the kernel takes it is measured by `make abuse`."""

import logging
import os
import subprocess
import sys
import time

import pytest

from edge.dns import urgency
from edge.dns.urgency import LOOK_S, Urgency, much

PID = 4711
PROCESSORS = 2


class Processor:
    """Stands for the kernel: the time that was used, and the classes that were asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, refusal: OSError | None = None, workers: int = 1) -> None:
        self.now_s = self.used_s = 0.0
        self.asked: list[int] = []
        self._refusal = refusal
        monkeypatch.setattr(urgency, "clock_gettime", lambda _: self.used_s)
        monkeypatch.setattr(os, "sched_setscheduler", self._set)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(PROCESSORS)))
        self.urgency = Urgency(PID, self.now_s, workers)

    def _set(self, pid: int, policy: int, parameter: os.sched_param) -> None:
        assert (pid, parameter.sched_priority) == (PID, 1 if policy == os.SCHED_RR else 0)
        self.asked.append(policy)
        if self._refusal:
            raise self._refusal

    def works(self, share: float, for_s: float = 2 * LOOK_S) -> bool:
        self.now_s += for_s
        self.used_s += share * for_s
        self.urgency.look(self.now_s)
        return self.urgency.urgent


def test_it_hurries_below_a_quarter_and_steps_back_above_a_half(monkeypatch: pytest.MonkeyPatch) -> None:
    processor = Processor(monkeypatch)
    shares = (0.3, 0.1, 0.45, 0.55, 0.45, 0.3, 0.2, 0.45, 1.0)
    hurries = [False, True, True, False, False, False, True, True, False]
    assert [processor.works(share) for share in shares] == hurries
    rr, other = os.SCHED_RR, os.SCHED_OTHER
    assert processor.asked == [rr, other, rr, other]


def test_several_hurry_with_a_quarter_of_the_processors_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    processor = Processor(monkeypatch, workers=2)
    assert [processor.works(share) for share in (0.15, 0.1, 0.2, 0.3, 0.2, 0.1)] == [
        False,
        True,
        True,
        False,
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("workers", "processors", "share"),
    [(1, 1, 0.25), (1, 2, 0.5), (2, 2, 0.25), (1, 64, 0.5), (8, 16, 0.5), (4, 2, 0.125)],
)
def test_nobody_takes_more_than_half_and_all_together_a_quarter(workers: int, processors: int, share: float) -> None:
    assert much(workers, processors) == share


def test_it_is_looked_at_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    processor = Processor(monkeypatch)
    assert not processor.works(0.0, LOOK_S / 4)
    assert processor.works(0.0, LOOK_S)


def test_who_may_not_is_told_once_and_not_asked_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    processor = Processor(monkeypatch, PermissionError(1, "Operation not permitted"))
    assert not any(processor.works(0.0) for _ in range(5))
    assert processor.asked == [os.SCHED_RR]
    assert caplog.messages == [
        "DNS worker 4711 waits its turn on a busy processor: Operation not permitted (LimitRTPRIO=)"
    ]


def test_one_that_has_ended_is_no_news(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    Processor(monkeypatch, ProcessLookupError(3, "No such process")).works(0.0)
    assert caplog.messages == []


def test_a_real_process_hurries_while_it_sleeps_and_not_while_it_works() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    program = "import sys\nprint(flush=True)\nsys.stdin.readline()\nprint(flush=True)\nwhile True: pass"
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        process.stdout.readline()
        looked = Urgency(process.pid, time.monotonic() - 1000.0, workers=1)
        looked.look(time.monotonic())
        assert os.sched_getscheduler(process.pid) == os.SCHED_RR
        process.stdin.write("\n")
        process.stdin.flush()
        process.stdout.readline()
        while looked.urgent:  # it is the only one that may: so it soon has half of a processor
            time.sleep(LOOK_S)
            looked.look(time.monotonic())
        assert os.sched_getscheduler(process.pid) == os.SCHED_OTHER
        process.kill()
