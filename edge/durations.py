"""Durations as people write them: "500ms", "2s", "5m", "2h", "1d"."""

import math
import re

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)")


def parse_duration(text: object) -> float:
    """Seconds. Raises ValueError with what would be right."""
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError('expected a duration with its unit, such as "500ms", "2s", "5m" or "2h"')
    return float(match[1]) * _UNITS_S[match[2]]


def duration_text(seconds: float) -> str:
    if seconds == math.inf:
        return "no limit"
    return f"{seconds:g}s" if seconds >= 1 or seconds == 0 else f"{seconds * 1000:g}ms"
