"""The lease's record and the agents' words, as each store keeps them."""

import pytest

from edge.errors import StoreConflictError, StoreSchemaError
from edge.failover.lease import Record, Word, Write
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


def test_each_agents_word_is_heard_by_all(store: Store) -> None:
    leases = Leases(store)
    leases.say("edge-1", path_up=True)
    leases.say("edge-2", path_up=True)
    leases.say("edge-2", path_up=False)
    assert leases.heard() == {"edge-1": Word(1, path_up=True), "edge-2": Word(2, path_up=False)}


@pytest.mark.parametrize("value", [{}, {"path": "up"}])
def test_a_word_of_another_shape_is_refused_by_its_name(store: Store, value: dict) -> None:
    store.compare_and_set("agent/edge-2", value, 0)
    with pytest.raises(StoreSchemaError, match="agent/edge-2 can't be understood"):
        Leases(store).heard()
