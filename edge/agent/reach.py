"""Whether AWS answers this agent at all, by the calls that it makes anyway."""

from collections.abc import Callable

from edge.errors import Fault


class Reach:
    """Told of each call, in whatever thread made it. A refusal is an answer; no answer, and a fault of AWS's own, is
    none. From the start on, as if it had answered then.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._answered_at = now()

    def called(self, _api: str, _seconds: float, fault: Fault | None) -> None:
        if fault is not Fault.UNREACHABLE:
            self._answered_at = self._now()

    def silent_s(self) -> float:
        return self._now() - self._answered_at
