"""What has happened and may still be unseen: pictures of an account before its last changes.

a change -> the account, at once
         -> .. lag, or a read that is scripted `stale` .. -> the account as an eventually consistent read shows it
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Picture = list[tuple[Any, str, Any]]  # (object, attribute, value)


@contextmanager
def shown(past: Picture) -> Iterator[None]:
    now = [(each, name, getattr(each, name, None)) for each, name, _ in past]
    _set(past)
    try:
        yield
    finally:
        _set(now)


def _set(taken: Picture) -> None:
    for each, name, value in taken:
        setattr(each, name, value)


@dataclass(slots=True)
class Past:
    """The account before each of the changes that may still be unseen, oldest first; and before the last one."""

    lag_s: Callable[[], float]
    changes: list[tuple[float, Picture]] = field(default_factory=list)
    last: Picture = field(default_factory=list)

    def note(self, made_s: float, before: Picture) -> None:
        self.changes.append((made_s, before))
        self.last = before

    def settle(self) -> None:
        """What has been seen stays seen, whatever the lag becomes."""
        seen_s = time.monotonic() - self.lag_s()
        self.changes = [change for change in self.changes if change[0] > seen_s]

    def unseen(self) -> Picture | None:
        self.settle()
        return self.changes[0][1] if self.changes else None

    def forget(self) -> None:
        self.changes.clear()
        self.last = []
