"""Whether a worker takes a processor from whoever has it when a question comes (SCHED_RR, sched(7)), or waits its turn.

    patient ──less than a quarter of a processor used──▶  urgent
    urgent  ──more than half──────────────────────────▶  patient

and less of it where several workers would take more than a quarter of all processors together.

Beside a controller that is busy the urgent one answers at once, where a patient one waits for milliseconds, whatever
its nice value. But who is urgent in a flood could keep the controller's probes from their pace; and it is woken for
each packet, where a patient one finds several, which at full speed saves a third of its time. The controller decides:
a worker has no business with its own priority, but that it steps back when there is no controller any more.
"""

import logging
import os
from time import clock_gettime

PRIORITY = 1  # the least there is; the kernel leaves 5 % of each second to others (sched_rt_runtime_us) all the same
LOOK_S = 0.2
MUCH = 0.5  # of a processor, by one worker
MUCH_TOGETHER = 0.25  # of all processors
WAYS = {True: (os.SCHED_RR, os.sched_param(PRIORITY)), False: (os.SCHED_OTHER, os.sched_param(0))}

log = logging.getLogger(__name__)


class Urgency:
    """Of a process that has just been started, one of so many `workers`."""

    def __init__(self, pid: int, now_s: float, workers: int) -> None:
        self._pid = pid
        self._much = much(workers, len(os.sched_getaffinity(0)))
        self._looked_s, self._used_s = now_s, 0.0
        self._allowed, self.urgent = True, False

    def look(self, now_s: float) -> None:
        """To be called again and again while the process is there."""
        if not self._allowed or now_s - self._looked_s < LOOK_S:
            return
        try:
            self._look(now_s)
        except ProcessLookupError:
            pass  # it has just ended: whoever waits for it is told
        except OSError as error:
            self._allowed = False
            log.info("DNS worker %d waits its turn on a busy processor: %s (LimitRTPRIO=)", self._pid, error.strerror)

    def _look(self, now_s: float) -> None:
        used_s = clock_gettime(~self._pid << 3 | 2)  # what clock_getcpuclockid(3) gives for a process
        share = (used_s - self._used_s) / (now_s - self._looked_s)
        self._looked_s, self._used_s = now_s, used_s
        if (urgent := share < (self._much if self.urgent else self._much / 2)) != self.urgent:
            os.sched_setscheduler(self._pid, *WAYS[urgent])
            self.urgent = urgent


def much(workers: int, processors: int) -> float:
    """The share of a processor from which each of the workers steps back."""
    return min(MUCH, MUCH_TOGETHER * processors / workers)
