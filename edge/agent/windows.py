"""Disagreement windows: at one switch, how long after the first to move each view told the new assignment.

    opened ──▶ a view moves ──▶ committed ──▶ ... ──▶ the last view moves
                    └──────── its window ────────────────┘

A window begins with the commit, or with the first view that was seen to move before it. A reading counts from its end,
so a window is too long by as much as passes between two readings, and never too short.
"""

from collections.abc import Iterable, Mapping

from edge.agent.reading import Read, agrees
from edge.failover.model import Assignment


class Window:
    """`names`: the views that are measured. Those that told `wanted` `before` have nothing to move to."""

    def __init__(self, wanted: Assignment, names: Iterable[str], before: Iterable[Read] = ()) -> None:
        self.wanted = wanted
        still = {each.name for each in before if agrees(each, wanted)}
        self._moving = tuple(name for name in names if name not in still)
        self._agreed_at: dict[str, float] = {}
        self._committed_at: float | None = None
        self._taken: set[str] = set()

    def note(self, read: Read) -> None:
        if read.name in self._moving and agrees(read, self.wanted):
            self._agreed_at.setdefault(read.name, read.at)

    def committed(self, at: float) -> None:
        self._committed_at = at

    def awaits(self, name: str) -> bool:
        return name in self._moving and name not in self._agreed_at

    @property
    def whole(self) -> bool:
        return self._committed_at is not None and not any(map(self.awaits, self._moving))

    @property
    def began(self) -> float | None:
        """None before the commit."""
        if self._committed_at is None:
            return None
        return min((self._committed_at, *self._agreed_at.values()))

    def took_s(self) -> dict[str, float | None]:
        """By view; None: it does not agree yet. Nothing before the commit."""
        began = self.began
        if began is None:
            return {}
        return {name: self._agreed_at[name] - began if name in self._agreed_at else None for name in self._moving}

    def fresh_s(self) -> dict[str, float]:
        """What `took_s` has for the first time since this was asked last."""
        known = {name: took for name, took in self.took_s().items() if took is not None and name not in self._taken}
        self._taken |= known.keys()
        return known


def said(took_s: Mapping[str, float | None]) -> str:
    """For the history: every view, slowest last."""
    known = sorted(((took, name) for name, took in took_s.items() if took is not None))
    each = [f"{name} {took * 1000:.0f} ms" for took, name in known]
    slowest = f", {known[-1][1]} was the slowest" if len(known) > 1 else ""
    missing = [name for name, took in took_s.items() if took is None]
    late = f"; not seen to agree yet: {', '.join(missing)}" if missing else ""
    return f"; views: {', '.join(each) or 'none'}{slowest}{late}" if took_s else ""
