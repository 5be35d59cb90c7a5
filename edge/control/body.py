"""What a request may say: each key has a reader, which gives the value or raises ValueError with what would be right.

A key that is absent is read as null. One without a reader is refused: a misspelt `pin` is no promotion without a pin.
"""

import json
from collections.abc import Callable
from typing import Any

Reader = Callable[[object], Any]

TEXT_LIMIT = 500
HOLD_LIMIT_S = 365 * 86400.0


def read(raw: bytes, **readers: Reader) -> dict[str, Any]:
    """Raises ValueError with a sentence that begins with the key."""
    said = _object(raw)
    for key in said.keys() - readers.keys():
        raise ValueError(f"{key}: unknown key; known here: {', '.join(readers)}")
    return {key: _value(key, reader, said.get(key)) for key, reader in readers.items()}


def _object(raw: bytes) -> dict[str, Any]:
    try:
        said = json.loads(raw)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise ValueError("the body must be a JSON object")  # noqa: TRY004 - their value is wrong, not our type
    return said


def _value(key: str, reader: Reader, value: object) -> Any:
    try:
        return reader(value)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def text(value: object) -> str:
    """Printable, for it goes into logs and onto terminals as it stands."""
    if not isinstance(value, str) or not value.strip() or len(value) > TEXT_LIMIT or not value.isprintable():
        raise ValueError(f"expected one line of text, up to {TEXT_LIMIT} characters")
    return value


def maybe_text(value: object) -> str | None:
    return None if value is None else text(value)


def flag(value: object) -> bool:
    if value is not None and not isinstance(value, bool):
        raise ValueError("expected true or false")
    return bool(value)


def maybe_epoch(value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("expected an epoch, which is a whole number")
    return value


def maybe_seconds(value: object) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= HOLD_LIMIT_S:
        raise ValueError("expected seconds: more than none, at most a year (365d)")
    return float(value)
