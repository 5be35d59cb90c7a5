"""Whether a worker takes a processor from whoever has it when a question comes (SCHED_RR, sched(7)), or waits its turn.

    urgent  ──more than half of a processor used──▶  patient
    patient ──less than a quarter used──────────▶  urgent

Beside a controller that is busy the urgent one answers at once, where a patient one waits for milliseconds, whatever
its nice value. But who is urgent in a flood could keep the controller's probes from their pace; and it is woken for
each packet, where a patient one finds several, which at full speed saves a third of its time.
"""

import os
import resource
from contextlib import suppress
from time import thread_time

NICE = -10  # with `LimitNICE=` or as root; else as it comes
PRIORITY = 1  # the least there is; with `LimitRTPRIO=` or as root
LOOK_S = 0.02
MUCH, LITTLE = 0.5, 0.25  # of a processor


def prepare() -> None:
    """Before privileges are given up."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
    with suppress(OSError, ValueError):  # the latter for who may not
        resource.setrlimit(resource.RLIMIT_RTPRIO, (PRIORITY, PRIORITY))


class Urgency:
    def __init__(self, now_s: float) -> None:
        self._looked_s, self._used_s = now_s, thread_time()
        self._allowed, self.urgent = True, False
        self._become(urgent=True)

    def look(self, now_s: float) -> None:
        """To be called again and again."""
        if self._allowed and now_s - self._looked_s >= LOOK_S:
            used_s = thread_time()
            share = (used_s - self._used_s) / (now_s - self._looked_s)
            self._looked_s, self._used_s = now_s, used_s
            self._become(urgent=share < (MUCH if self.urgent else LITTLE))

    def _become(self, *, urgent: bool) -> None:
        if urgent == self.urgent:
            return
        try:
            os.sched_setscheduler(0, *((os.SCHED_RR, os.sched_param(PRIORITY)) if urgent else _PATIENT))
        except OSError:
            self._allowed = False
        else:
            self.urgent = urgent


_PATIENT = os.SCHED_OTHER, os.sched_param(0)
