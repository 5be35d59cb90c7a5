"""The store that several agents share: one DynamoDB table.

A key is KIND/NAME; KIND is the table's partition key and NAME its sort key, so a scan is one Query, and an IAM policy
can say who may write which kind (`dynamodb:LeadingKeys`). Each write is one conditional PutItem of the whole item
(DynamoDB guide, *Condition expressions*: checked and written as one), each read strongly consistent (*Read
consistency*).

A write that was sent and not answered may have taken effect, or may still take it. It is read back: each write has a
token of its own, so what is there tells whose it was. What can't be told is a StoreError, never a conflict: "lost" and
"unknown" are different results.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Protocol
from uuid import uuid4

from edge.errors import CloudError, Fault, StoreConflictError, StoreError, StoreSchemaError
from edge.stores.contract import Item, Value, understood

SCHEMA = 1
SCHEMA_KEY = "schema/edge"
HISTORY_KEPT_S = 400 * 86_400  # a year and a bit; the table's own clean-up takes it away (DynamoDB guide, *TTL*)
EXPIRES = "expires"
KEYS = (("kind", "HASH"), ("name", "RANGE"))

_ABSENT = "attribute_not_exists(kind)"
_SAME = "version = :version"
_PAGE = 100


class Calls(Protocol):
    """One DynamoDB call: boto3's method name and parameters. Sent once; raises CloudError and nothing else."""

    def __call__(self, method: str, **parameters: Any) -> Mapping[str, Any]: ...


class DynamoStore:
    """A table that exists (edge.stores.table makes it). Nothing is asked of it before the first use.

    StoreSchemaError: there is no such table, or another version of this program wrote it.
    """

    def __init__(self, call: Calls, table: str, wall: Callable[[], float] = time.time) -> None:
        self._send = call
        self._table = table
        self._wall = wall
        self._known = False

    def read(self, key: str) -> Item | None:
        self._understand()
        row = self._row(key)
        return item_of(row) if row else None

    def scan(self, prefix: str, limit: int) -> Sequence[Item]:
        self._understand()
        return [item_of(row) for row in islice(self._rows(prefix), limit)]

    def compare_and_set(self, key: str, value: Value, version: int) -> Item:
        self._understand()
        return self._put(Item(key, version + 1, value), version)

    def restore(self, item: Item) -> None:
        """Write an item as it was in another store, version and all, where there is none."""
        self._understand()
        self._put(item, 0)

    def close(self) -> None:
        """Nothing is held: the connections are the session's."""

    # --- one row ----------------------------------------------------------------------------------------------------

    def _row(self, key: str) -> Mapping[str, Any] | None:
        row: Mapping[str, Any] | None = self._call("get_item", Key=_key(key), ConsistentRead=True).get("Item")
        return row

    def _rows(self, prefix: str) -> Iterator[Mapping[str, Any]]:
        """A page is one call of at most 1 MB; it says where the next one begins."""
        kind, _, name = prefix.partition("/")
        asked: dict[str, Any] = {
            "KeyConditionExpression": "kind = :kind AND begins_with(#name, :name)" if name else "kind = :kind",
            "ExpressionAttributeValues": {":kind": {"S": kind}, **({":name": {"S": name}} if name else {})},
            **({"ExpressionAttributeNames": {"#name": "name"}} if name else {}),
            "ConsistentRead": True,
            "ScanIndexForward": False,
            "Limit": _PAGE,
        }
        while True:
            page = self._call("query", **asked)
            yield from page["Items"]
            if "LastEvaluatedKey" not in page:
                return
            asked["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def _put(self, item: Item, version: int) -> Item:
        token = uuid4().hex
        asked: dict[str, Any] = {"Item": self._made(item, token), "ConditionExpression": _ABSENT}
        if version:
            asked["ConditionExpression"] = _SAME
            asked["ExpressionAttributeValues"] = {":version": {"N": str(version)}}
        try:
            self._send("put_item", TableName=self._table, **asked)
        except CloudError as error:
            if error.fault is Fault.CONFLICT:
                raise StoreConflictError(f"{item.key} is no longer at version {version}") from error
            if error.fault is not Fault.UNREACHABLE:
                raise self._failed(error) from error
            self._read_back(item, version, token, error)
        return item

    def _read_back(self, item: Item, version: int, token: str, error: CloudError) -> None:
        """What became of a write that was not answered. Returns where it took effect."""
        try:
            row = self._row(item.key)
        except StoreError:
            raise StoreError(f"{self._table}: whether {item.key} was written is not known: {error}") from error
        if row and _token_of(row) == token:
            return
        if (item_of(row).version if row else 0) == version:
            raise StoreError(f"{self._table}: {item.key} is not written yet: {error}") from error
        raise StoreConflictError(f"{item.key} is no longer at version {version}") from error

    def _made(self, item: Item, token: str) -> Mapping[str, Any]:
        row = {
            **_key(item.key),
            "version": {"N": str(item.version)},
            "value": {"S": json.dumps(item.value, ensure_ascii=False)},
            "token": {"S": token},
        }
        if item.key.startswith("history/"):
            row[EXPIRES] = {"N": str(int(self._wall()) + HISTORY_KEPT_S)}
        return row

    # --- whether it is ours -----------------------------------------------------------------------------------------

    def _understand(self) -> None:
        """Once: a table that nobody has used yet becomes one of this version's."""
        if self._known:
            return
        row = self._row(SCHEMA_KEY)
        if row is None:
            self._claim()
        elif (schema := item_of(row).value).get("schema") != SCHEMA or "moved" in schema:
            raise StoreSchemaError(
                f"the table {self._table} has {row['value']['S']}, this version knows schema {SCHEMA}: run the version "
                "that wrote it on every agent, or name another table in store.table"
            )
        self._known = True

    def _claim(self) -> None:
        try:
            self._put(Item(SCHEMA_KEY, 1, {"schema": SCHEMA}), 0)
        except StoreConflictError:
            self._understand()  # another agent was as quick

    def _call(self, method: str, **parameters: Any) -> Mapping[str, Any]:
        with self._told():
            return self._send(method, TableName=self._table, **parameters)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except CloudError as error:
            raise self._failed(error) from error

    def _failed(self, error: CloudError) -> StoreError:
        if "ResourceNotFoundException" in str(error):
            return StoreSchemaError(f"there is no table {self._table}: `edgectl store init` makes it ({error})")
        return StoreError(f"the table {self._table}: {error}")


def _key(key: str) -> dict[str, Any]:
    kind, slash, name = key.partition("/")
    if not (kind and slash and name):
        raise ValueError(f"a key is KIND/NAME, and this is {key!r}")
    return {"kind": {"S": kind}, "name": {"S": name}}


def item_of(row: Mapping[str, Any]) -> Item:
    """Raises StoreSchemaError."""
    with understood(_name_of(row)):
        value = json.loads(row["value"]["S"])
        if not isinstance(value, dict):
            raise TypeError(f"its value is {value!r}")
        return Item(f"{row['kind']['S']}/{row['name']['S']}", int(row["version"]["N"]), value)


def _token_of(row: Mapping[str, Any]) -> str:
    with understood(_name_of(row)):
        return str(row["token"]["S"])


def _name_of(row: Mapping[str, Any]) -> str:
    """For people."""
    key = "/".join(str(part) for name, _ in KEYS for part in row.get(name, {"": "?"}).values())
    return f"{key} in the store"
