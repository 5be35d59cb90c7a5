"""One line of the history: what was told, kept by the store and shown by the control side."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """`wall_s`: seconds since 1970, for people. `took_s`: the stages of a switch that ended, in seconds; `views_s`: how
    long after its commit each view agreed.
    """

    service: str
    wall_s: float
    kind: str
    sentence: str
    epoch: int | None
    who: str | None
    took_s: Mapping[str, float] | None
    views_s: Mapping[str, float] | None = None
