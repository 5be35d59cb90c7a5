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


@pytest.mark.parametrize("value", [{}, {"term": 1}, {"holder": "edge-1", "lease": 1}])
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
