"""The invariant: of those who write over the same version one succeeds, and what it wrote is what is read."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from edge.errors import StoreConflictError
from edge.stores.contract import Item, Store

RACERS, ROUNDS = 4, 40


def put(store: Store, *keys: str) -> None:
    for key in keys:
        store.compare_and_set(key, {"key": key}, 0)


def test_what_was_never_written_is_none(store: Store) -> None:
    assert store.read("k/a") is None
    assert list(store.scan("k/", 10)) == []


def test_what_was_written_is_read_with_its_version(store: Store) -> None:
    value = {"text": 'ü "quoted" \\ \n', "number": 1.5, "nothing": None, "list": [1, {"deep": True}]}
    assert store.compare_and_set("k/a", value, 0) == Item("k/a", 1, value)
    assert store.read("k/a") == Item("k/a", 1, value)


def test_each_write_counts_the_version_up(store: Store) -> None:
    for version in range(3):
        assert store.compare_and_set("k/a", {"n": version}, version).version == version + 1
    assert store.read("k/a") == Item("k/a", 3, {"n": 2})


@pytest.mark.parametrize("version", [0, 1, 3, 99])
def test_a_write_over_another_version_is_refused_and_changes_nothing(store: Store, version: int) -> None:
    put(store, "k/a", "k/b")
    present = store.compare_and_set("k/a", {"n": 2}, 1)
    with pytest.raises(StoreConflictError, match="k/a is no longer at version"):
        store.compare_and_set("k/a", {"n": 3}, version)
    assert store.read("k/a") == present


def test_a_write_over_a_version_of_what_is_not_there_is_refused(store: Store) -> None:
    with pytest.raises(StoreConflictError):
        store.compare_and_set("k/a", {}, 1)
    assert store.read("k/a") is None


def test_of_those_who_race_for_a_version_one_wins(store: Store) -> None:
    together = Barrier(RACERS)

    def race(racer: int) -> list[int]:
        won = []
        for version in range(ROUNDS):
            together.wait()
            try:
                store.compare_and_set("k/a", {"by": racer}, version)
            except StoreConflictError:
                continue
            won.append(version)
        return won

    with ThreadPoolExecutor(RACERS) as racers:
        won = [version for versions in racers.map(race, range(RACERS)) for version in versions]
    assert sorted(won) == list(range(ROUNDS))


def test_a_scan_gives_the_highest_keys_first_and_no_more_than_asked(store: Store) -> None:
    put(store, "h/a/1", "h/a/3", "h/a/2")
    assert [item.key for item in store.scan("h/a/", 10)] == ["h/a/3", "h/a/2", "h/a/1"]
    assert [item.key for item in store.scan("h/a/", 2)] == ["h/a/3", "h/a/2"]


def test_a_scan_takes_the_prefix_as_it_is(store: Store) -> None:
    """Neither a pattern, nor without regard to case, nor by the byte."""
    put(store, "k/h/a/1", "k/h/ab/1", "k/h/A/1", "k/h/ä/1", "k/h_a/1", "k/h%a/1", "k/h", "kk/h/a/1")
    assert [item.key for item in store.scan("k/h/a/", 10)] == ["k/h/a/1"]
    assert [item.key for item in store.scan("k/h_a/", 10)] == ["k/h_a/1"]
    assert [item.key for item in store.scan("k/h%", 10)] == ["k/h%a/1"]
    assert [item.key for item in store.scan("k/h/ä/", 10)] == ["k/h/ä/1"]
    assert [item.key for item in store.scan("k/", 10)][-1] == "k/h"
    assert len(store.scan("k/", 10)) == 7


def test_a_scan_shows_versions_and_values(store: Store) -> None:
    put(store, "h/1")
    written = store.compare_and_set("h/1", {"n": 2}, 1)
    assert list(store.scan("h/", 1)) == [written]


def test_a_long_scan_is_whole(store: Store) -> None:
    names = [f"{number:04}" for number in range(250)]
    put(store, *(f"k/{name}" for name in names))
    found = [item.key.removeprefix("k/") for item in store.scan("k/", 1000)]
    assert found == names[::-1]


def test_a_version_that_somebody_else_wrote_is_told_from_ours(store: Store) -> None:
    """Who reads, and finds the version one up, has still lost it to whoever wrote."""
    put(store, "k/a")
    store.compare_and_set("k/a", {"by": "another"}, 1)
    with pytest.raises(StoreConflictError):
        store.compare_and_set("k/a", {"by": "us"}, 1)
    found = store.read("k/a")
    assert found is not None
    assert found.value == {"by": "another"}
