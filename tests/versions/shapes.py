"""What JSON values have in common, whatever they tell: their fields, and the types of these."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

NAMED = frozenset({"steps", "nodes", "sees", "moved", "services", "took_s", "views_s", "took_ms", "views_ms"})
"""Objects whose keys name something and are no fields, where these are objects."""
NULL = "NoneType"


def fields(value: Any) -> frozenset[tuple[str, str]]:
    """Path and type of each; what is in a list, or named, has one path."""
    return frozenset((path, _kind(each)) for path, each in _parts(value, ""))


def _kind(value: Any) -> str:
    return "number" if type(value) in (int, float) else type(value).__name__


def _parts(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, value
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _parts(each, f"{path}[]" if _named(path) else f"{path}.{name}")
    elif isinstance(value, list):
        for each in value:
            yield from _parts(each, f"{path}[]")


def _named(path: str) -> bool:
    return path.rpartition(".")[2] in NAMED


def grown(value: Any, name: str = "") -> Any:
    """As a later version may write it: a field more in each object."""
    if isinstance(value, list):
        return [grown(each) for each in value]
    if not isinstance(value, Mapping):
        return value
    more = {} if name in NAMED else {"later": {"of": ["a version"]}}
    return {**{key: grown(each, key) for key, each in value.items()}, **more}


def broken(before: Iterable[Any], now: Iterable[Any]) -> list[str]:
    """What an earlier version would miss in values of today, or find of another type.

    It is sure of a field that each of its own objects had, and of no type where it has met nothing but null.
    """
    sure, kinds = _known(before)
    missed = {
        f"{path}.{name} is missing"
        for value in now
        for path, each in _parts(value, "")
        if isinstance(each, Mapping) and not _named(path)
        for name in sure.get(path, frozenset()) - each.keys()
    }
    other = {
        f"{path} is {kind}, and was {' or '.join(sorted(kinds[path]))}"
        for value in now
        for path, kind in fields(value)
        if path in kinds and kind not in kinds[path] and kinds[path] != {NULL}
    }
    return sorted(missed | other)


def _known(values: Iterable[Any]) -> tuple[Mapping[str, frozenset[str]], Mapping[str, set[str]]]:
    """The fields that each object of a path has, and the types that were met at a path."""
    sure: dict[str, frozenset[str]] = {}
    kinds: defaultdict[str, set[str]] = defaultdict(set)
    for value in values:
        for path, each in _parts(value, ""):
            kinds[path].add(_kind(each))
            if isinstance(each, Mapping):
                sure[path] = sure.get(path, frozenset(each)) & each.keys()
    return sure, kinds
