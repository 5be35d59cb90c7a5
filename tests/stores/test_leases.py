"""The lease's record and the agents' words, as each store keeps them."""

import math
from dataclasses import replace

import pytest

from edge.errors import StoreConflictError, StoreSchemaError
from edge.failover.lease import Record, Word, Write
from edge.failover.model import Assignment, Listed, Opinion, Report, Sight
from edge.stores.contract import Store
from edge.stores.leases import LEADER, Leases

OURS = Record(3, "edge-1", "boot/word", 15.0)


def test_there_is_none_before_the_first_is_written(store: Store) -> None:
    assert Leases(store).read() == (None, 0)


def test_what_was_written_is_read_with_its_version(store: Store) -> None:
    leases = Leases(store)
    leases.write(Write(0.0, OURS, 0))
    leases.write(Write(0.0, OURS, 1))
    assert leases.read() == (OURS, 2)
    with pytest.raises(StoreConflictError):
        leases.write(Write(0.0, OURS, 1))


WHOLE = {"term": 3, "holder": "edge-1", "by": "boot/word", "duration_s": 15.0, "released": False}


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"term": 1},
        {"holder": "edge-1", "lease": 1},
        *(
            {**WHOLE, key: wrong}
            for key, wrong in (("term", "3"), ("by", None), ("duration_s", "15s"), ("released", 0))
        ),
    ],
)
def test_a_record_of_another_version_is_refused(store: Store, value: dict) -> None:
    store.compare_and_set(LEADER, value, 0)
    with pytest.raises(StoreSchemaError, match="lease/leader can't be understood"):
        Leases(store).read()


def test_what_a_newer_version_adds_is_passed_over(store: Store) -> None:
    store.compare_and_set(LEADER, {**WHOLE, "region": "later"}, 0)
    leases = Leases(store)
    assert leases.read() == (OURS, 1)
    leases.write(Write(0.0, OURS, 1))


SEEN = Report(
    7.0,
    path_up=True,
    opinions={"a": Opinion(Sight.DOWN, "a is down"), "b": Opinion(Sight.ACTIVE, "b is up")},
    listed=Listed(("edge-1", "edge-2"), ("vpc",), 2),
)


def test_each_agents_word_is_heard_by_all(store: Store) -> None:
    one, two = Leases(store), Leases(store)
    one.say("edge-1", Word(0, path_up=True))
    two.say("edge-2", Word(0, path_up=True))
    two.say("edge-2", Word(0, path_up=False, candidate=False, reports={"files": SEEN}))
    heard = replace(SEEN, at=-math.inf)
    assert one.heard() == {"edge-1": Word(1, path_up=True), "edge-2": Word(2, False, False, {"files": heard})}


def test_what_was_agreed_on_without_the_store_is_in_an_agents_word(store: Store) -> None:
    moved = {"files": Assignment("b", 7, 1)}
    Leases(store).say("edge-1", Word(0, path_up=True, moved=moved))
    assert Leases(store).heard() == {"edge-1": Word(1, path_up=True, moved=moved)}
    store.compare_and_set("agent/edge-1", {"path_up": True, "moved": {"files": {"nodes": "b"}}}, 1)
    assert Leases(store).heard() == {"edge-1": Word(2, path_up=True)}


def test_what_an_agent_would_switch_if_it_led_is_in_its_word(store: Store) -> None:
    word = Word(1, path_up=True, could=frozenset({"files", "home"}))
    Leases(store).say("edge-1", word)
    assert Leases(store).heard() == {"edge-1": word}


def test_a_word_goes_on_from_the_version_that_is_there(store: Store) -> None:
    """The agent's successor, and after that the agent again: each meets a version that it does not know."""
    old, new = Leases(store), Leases(store)
    old.say("edge-1", Word(0, path_up=True))
    new.say("edge-1", Word(0, path_up=True))
    with pytest.raises(StoreConflictError):
        old.say("edge-1", Word(0, path_up=True))
    old.say("edge-1", Word(0, path_up=False))
    assert new.heard() == {"edge-1": Word(3, path_up=False)}


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ({"path_up": True}, Word(1, path_up=True)),
        ({"path_up": True, "sees": {"files": "all is well"}}, Word(1, path_up=True)),
        ({"path_up": True, "sees": {"files": {"path_up": True, "nodes": {"a": ["gone", ""]}}}}, Word(1, path_up=True)),
        ({"path_up": True, "sees": {"files": {"path_up": True, "nodes": {}, "listed": {}}}}, Word(1, path_up=True)),
        ({"path_up": True, "could": "files"}, Word(1, path_up=True)),
        ({"up": True}, Word(1, path_up=False)),
    ],
)
def test_who_says_less_or_says_it_otherwise_has_no_opinion(store: Store, value: dict, word: Word) -> None:
    """An agent of another version: the lease goes on with it."""
    store.compare_and_set("agent/edge-2", value, 0)
    assert Leases(store).heard() == {"edge-2": word}
