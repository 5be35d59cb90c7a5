"""What the shared store adds to the contract: answers that are lost on the way, tables that are not ours.

The invariant: what was written is never told as lost, nor what was lost as written; where it can't be told, StoreError.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from edge.errors import CloudError, Fault, StoreConflictError, StoreError, StoreSchemaError
from edge.stores import dynamodb
from edge.stores.contract import Item
from edge.stores.dynamodb import SCHEMA_KEY, Calls, DynamoStore
from tests.cloud.emulator import Emulator
from tests.stores.conftest import asking, dynamodb_store

KEY = "intent/files"
Send = Callable[[], Mapping[str, Any]]


class Line:
    """The way to DynamoDB, on which the next calls of a method can go wrong: each is told how to be sent."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls
        self.ways: dict[str, list[Callable[[Send], Mapping[str, Any]]]] = {}
        self.sent: list[str] = []

    def __call__(self, method: str, **parameters: Any) -> Mapping[str, Any]:
        self.sent.append(method)
        ways = self.ways.get(method, [])
        way = ways.pop(0) if ways else lambda send: send()
        return way(lambda: self.calls(method, **parameters))


def unanswered() -> CloudError:
    return CloudError("PutItem", Fault.UNREACHABLE, "ReadTimeoutError: Read timeout on endpoint URL")


def lost_on_the_way(_send: Send) -> Mapping[str, Any]:
    raise unanswered()


def answer_lost(send: Send) -> Mapping[str, Any]:
    send()
    raise unanswered()


@pytest.fixture
def line(calls: Calls) -> Line:
    return Line(calls)


@pytest.fixture
def store(line: Line) -> DynamoStore:
    made = dynamodb_store(line)
    made.read(KEY)
    line.sent.clear()
    return made


@pytest.fixture
def other(store: DynamoStore, calls: Calls) -> DynamoStore:
    """Another agent's way to the same table."""
    return DynamoStore(calls, store._table)


def test_a_write_whose_answer_was_lost_is_found_to_be_ours(store: DynamoStore, line: Line) -> None:
    store.compare_and_set(KEY, {"n": 1}, 0)
    line.ways["put_item"] = [answer_lost]
    assert store.compare_and_set(KEY, {"n": 2}, 1) == Item(KEY, 2, {"n": 2})
    assert line.sent == ["put_item", "put_item", "get_item"], "it is never sent again"


def test_a_write_that_did_not_arrive_is_not_a_lost_one(store: DynamoStore, line: Line) -> None:
    line.ways["put_item"] = [lost_on_the_way]
    with pytest.raises(StoreError, match="is not written yet: PutItem: unreachable") as failed:
        store.compare_and_set(KEY, {"n": 1}, 0)
    assert not isinstance(failed.value, StoreConflictError)
    assert store.read(KEY) is None


def test_what_can_not_be_read_back_is_unknown(store: DynamoStore, line: Line) -> None:
    line.ways = {"put_item": [answer_lost], "get_item": [lost_on_the_way]}
    with pytest.raises(StoreError, match="whether intent/files was written is not known") as failed:
        store.compare_and_set(KEY, {"n": 1}, 0)
    assert not isinstance(failed.value, StoreConflictError)


def test_the_same_value_of_somebody_else_is_not_ours(store: DynamoStore, other: DynamoStore, line: Line) -> None:
    def overtaken(_send: Send) -> Mapping[str, Any]:
        other.compare_and_set(KEY, {"n": 1}, 0)
        raise unanswered()

    line.ways["put_item"] = [overtaken]
    with pytest.raises(StoreConflictError):
        store.compare_and_set(KEY, {"n": 1}, 0)


def test_a_write_that_arrives_late_loses_to_what_came_before_it(
    store: DynamoStore, other: DynamoStore, line: Line
) -> None:
    held_up: list[Send] = []

    def late(send: Send) -> Mapping[str, Any]:
        held_up.append(send)
        raise unanswered()

    line.ways["put_item"] = [late]
    with pytest.raises(StoreError, match="not written yet"):
        store.compare_and_set(KEY, {"by": "us"}, 0)
    written = other.compare_and_set(KEY, {"by": "another"}, 0)
    with pytest.raises(CloudError, match="ConditionalCheckFailed"):
        held_up[0]()
    assert store.read(KEY) == written


@pytest.mark.parametrize("fault", [Fault.THROTTLED, Fault.DENIED, Fault.EXPIRED, Fault.IMPOSSIBLE])
def test_a_refused_write_is_an_error_that_needs_no_reading_back(store: DynamoStore, line: Line, fault: Fault) -> None:
    def refused(_send: Send) -> Mapping[str, Any]:
        raise CloudError("PutItem", fault, "no")

    line.ways["put_item"] = [refused]
    with pytest.raises(StoreError, match=f"the table {store._table}: PutItem: {fault.value}: no") as failed:
        store.compare_and_set(KEY, {}, 0)
    assert not isinstance(failed.value, StoreConflictError)
    assert line.sent == ["put_item"]


@pytest.mark.parametrize("read", [lambda store: store.read(KEY), lambda store: store.scan("intent/", 1)])
def test_a_read_that_fails_is_a_store_error(
    store: DynamoStore, line: Line, read: Callable[[DynamoStore], object]
) -> None:
    line.ways = {"get_item": [lost_on_the_way], "query": [lost_on_the_way]}
    with pytest.raises(StoreError, match="unreachable"):
        read(store)


# --- whose table it is ----------------------------------------------------------------------------------------------


def test_a_table_that_nobody_used_becomes_ours_whoever_comes_first(line: Line) -> None:
    store = dynamodb_store(line)
    stores = [DynamoStore(line, store._table) for _ in range(4)]
    with ThreadPoolExecutor(4) as together:
        assert list(together.map(lambda each: each.read(KEY), stores)) == [None] * 4
    found = store.read(SCHEMA_KEY)
    assert found == Item(SCHEMA_KEY, 1, {"schema": 1})


def test_the_table_of_another_version_is_refused_and_left_as_it_is(
    store: DynamoStore, other: DynamoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dynamodb, "SCHEMA", 2)
    for use in (lambda: other.read(KEY), lambda: other.scan("intent/", 9), lambda: other.compare_and_set(KEY, {}, 0)):
        with pytest.raises(
            StoreSchemaError, match=r'has \{"schema": 1\}, this version knows schema 2: run the version'
        ):
            use()
    assert store.read(KEY) is None


def test_a_schemas_number_alone_says_whether_it_is_ours(store: DynamoStore, other: DynamoStore) -> None:
    store.compare_and_set(SCHEMA_KEY, {"schema": 1, "later": "more"}, 1)
    assert other.read(KEY) is None


def test_a_table_that_is_not_there_is_refused_with_what_to_do(calls: Calls) -> None:
    with pytest.raises(StoreSchemaError, match="there is no table edge-none: `edgectl store init` makes it"):
        DynamoStore(calls, "edge-none").read(KEY)


NAMED = {"kind": {"S": "intent"}, "name": {"S": "files"}}
SHAPES = {
    "no JSON": {"version": {"N": "1"}, "value": {"S": "{"}},
    "no object": {"version": {"N": "1"}, "value": {"S": "[]"}},
    "no version": {"value": {"S": "{}"}},
    "no number": {"version": {"S": "1"}, "value": {"S": "{}"}},
    "no value": {"version": {"N": "1"}, "token": {"S": "theirs"}},
    "a map": {"version": {"N": "1"}, "token": {"S": "theirs"}, "value": {"M": {}}},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_an_item_that_is_none_of_ours_is_damage(store: DynamoStore, calls: Calls, shape: str) -> None:
    calls("put_item", TableName=store._table, Item={**NAMED, **SHAPES[shape]})
    for read in (lambda: store.read(KEY), lambda: store.scan("intent/", 9)):
        with pytest.raises(StoreSchemaError, match="intent/files in the store can't be understood"):
            read()


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_read_back_in_another_shape_is_neither_ours_nor_lost(
    store: DynamoStore, calls: Calls, line: Line, shape: str
) -> None:
    def overwritten(_send: Send) -> Mapping[str, Any]:
        calls("put_item", TableName=store._table, Item={**NAMED, **SHAPES[shape]})
        raise unanswered()

    line.ways["put_item"] = [overwritten]
    with pytest.raises(StoreSchemaError, match="intent/files in the store can't be understood"):
        store.compare_and_set(KEY, {"n": 1}, 0)


def test_a_schema_of_another_shape_is_damage(line: Line, calls: Calls) -> None:
    store = dynamodb_store(line)
    row = {"kind": {"S": "schema"}, "name": {"S": "edge"}, "version": {"N": "1"}, "value": {"N": "1"}}
    calls("put_item", TableName=store._table, Item=row)
    with pytest.raises(StoreSchemaError, match="schema/edge in the store can't be understood"):
        store.read(KEY)


@pytest.mark.parametrize("key", ["intent", "intent/", "/files", ""])
def test_a_key_has_a_kind_and_a_name(store: DynamoStore, key: str) -> None:
    with pytest.raises(ValueError, match="a key is KIND/NAME"):
        store.read(key)


def test_history_is_what_the_table_may_clean_up(line: Line, calls: Calls) -> None:
    store = DynamoStore(line, dynamodb_store(calls)._table, wall=lambda: 1_700_000_000.5)
    store.compare_and_set("history/files/1", {}, 0)
    store.compare_and_set(KEY, {}, 0)
    rows = calls("scan", TableName=store._table)["Items"]
    expiring = {row["kind"]["S"]: row["expires"]["N"] for row in rows if "expires" in row}
    assert expiring == {"history": str(1_700_000_000 + 400 * 86_400)}


def test_what_is_brought_from_another_store_keeps_its_version_and_overwrites_nothing(store: DynamoStore) -> None:
    item = Item(KEY, 7, {"text": "ü"})
    store.restore(item)
    assert store.read(KEY) == item
    with pytest.raises(StoreConflictError):
        store.restore(Item(KEY, 9, {}))
    assert store.compare_and_set(KEY, {}, 7).version == 8


# --- on the emulated AWS's own faults -------------------------------------------------------------------------------


@pytest.fixture
def aws(cloud: Emulator) -> Iterator[Emulator]:
    yield cloud
    cloud.clear_faults()
    cloud.lag(dynamodb_s=0)


def test_a_real_time_out_after_the_effect_is_read_back(aws: Emulator, moto: Calls) -> None:
    made = dynamodb_store(moto)
    made.read(KEY)
    store = DynamoStore(asking(aws.endpoint_url, read_timeout_s=1.0), made._table)
    store.read(KEY)
    aws.fault("dynamodb:PutItem", "timeout_after", times=1)
    assert store.compare_and_set(KEY, {"n": 1}, 0) == made.read(KEY)


def test_no_read_shows_the_past(aws: Emulator, moto: Calls) -> None:
    store = dynamodb_store(moto)
    aws.lag(dynamodb_s=3600)
    written = store.compare_and_set(KEY, {"n": 1}, 0)
    assert store.read(KEY) == written
    assert store.scan("intent/", 1) == [written]


def test_values_are_kept_as_text_that_a_person_can_read(store: DynamoStore, calls: Calls) -> None:
    value = {"sentence": "Knoten b übernimmt", "automatic": [1.5], "none": None}
    store.compare_and_set(KEY, value, 0)
    row = calls("get_item", TableName=store._table, Key={"kind": {"S": "intent"}, "name": {"S": "files"}})["Item"]
    assert json.loads(row["value"]["S"]) == value
    assert "übernimmt" in row["value"]["S"]
