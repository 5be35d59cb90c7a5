"""What a store is: items under keys, each with a version, and one way to write that can't overwrite what was not read.

    read(key)                            the item, or None
    scan(prefix, limit)                  the items whose key begins so, highest key (by its UTF-8 bytes) first
    compare_and_set(key, value, version) writes where the stored version is still `version` (0: no item), counts it up

A key is KIND/NAME, a prefix KIND/ and the beginning of a name. A value is a JSON object. An item that
`compare_and_set` returned survives a power cut. Every method may be called from any thread, and raises StoreError where
the store can't be used (whether a write took effect is then not known), StoreConflictError where somebody else wrote
first.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, Protocol, TypeVar

from edge.errors import StoreSchemaError

Value = Mapping[str, Any]
Kind = TypeVar("Kind")


@dataclass(frozen=True, slots=True)
class Item:
    key: str
    version: int
    value: Value


class Store(Protocol):
    def read(self, key: str) -> Item | None: ...

    def scan(self, prefix: str, limit: int) -> Sequence[Item]: ...

    def compare_and_set(self, key: str, value: Value, version: int) -> Item: ...


def read_as(kind: type[Kind], value: Value) -> Kind:
    """A dataclass of what it has fields for: what a later version has added is passed over. TypeError for one that is
    missing and has no default.
    """
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: value[name] for name in names if name in value})


@contextmanager
def understood(what: str, advice: str = "restore a backup") -> Iterator[None]:
    """Around what reads values of a store: one that is not as this program writes it raises StoreSchemaError."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StoreSchemaError(f"{what} can't be understood ({error!r}): {advice}") from error
