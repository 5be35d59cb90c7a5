"""Work that is done in bites: a generator, which yields where packets may be answered, and returns what was made."""

from collections.abc import Generator, Iterator
from typing import Any, TypeVar

BITE_FREED = 64
Made = TypeVar("Made")


def at_once(bites: Generator[None, None, Made]) -> Made:
    """For who has nothing else to do."""
    while True:
        try:
            next(bites)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def emptying(things: dict[Any, Any]) -> Iterator[None]:
    """To free a large table at once takes milliseconds."""
    while things:
        yield
        for _ in range(min(len(things), BITE_FREED)):
            things.popitem()
