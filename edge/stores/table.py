"""The shared store's table: making it, and what a CloudFormation template says of it.

PAY_PER_REQUEST: two agents ask for a handful of small items a second. Nobody deletes the table by mistake: the epochs
would go with it.
"""

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from edge.errors import CloudError, Fault, StoreError, StoreSchemaError
from edge.stores.contract import Item
from edge.stores.dynamodb import EXPIRES, KEYS, Calls, item_of

WAIT_S = 60.0  # a table of this size is there within some seconds
_BEAT_S = 0.5

_DEFINITION: Mapping[str, Any] = {
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name, _ in KEYS],
    "KeySchema": [{"AttributeName": name, "KeyType": kind} for name, kind in KEYS],
    "DeletionProtectionEnabled": True,
}
_CLEAN_UP = {"AttributeName": EXPIRES, "Enabled": True}


def create(call: Calls, table: str, sleep: Callable[[float], None] = time.sleep) -> bool:
    """Make the table where there is none, and wait until it can be used. Returns whether it was made.

    Raises CloudError, StoreError where it takes too long, StoreSchemaError where another kind of table has the name.
    """
    made = _made(call, table)
    found = _active(call, table, sleep)
    if found["KeySchema"] != _DEFINITION["KeySchema"]:
        raise StoreSchemaError(f"the table {table} is no store of this program: name another one in store.table")
    with suppress(CloudError):  # on already, or not to be had: history then stays
        call("update_time_to_live", TableName=table, TimeToLiveSpecification=_CLEAN_UP)
    return made


def _made(call: Calls, table: str) -> bool:
    try:
        call("create_table", TableName=table, **_DEFINITION)
    except CloudError as error:
        if error.fault is not Fault.CONFLICT:
            raise
        return False
    return True


def _active(call: Calls, table: str, sleep: Callable[[float], None]) -> Mapping[str, Any]:
    for _ in range(int(WAIT_S / _BEAT_S)):
        found: Mapping[str, Any] = call("describe_table", TableName=table)["Table"]
        if found["TableStatus"] == "ACTIVE":
            return found
        sleep(_BEAT_S)
    raise StoreError(f"the table {table} is {found['TableStatus']} after {WAIT_S:g} s: look at it, and try again")


def items(call: Calls, table: str) -> list[Item]:
    """All of them. Raises CloudError, StoreSchemaError."""
    found: list[Item] = []
    asked: dict[str, Any] = {"TableName": table, "ConsistentRead": True}
    while True:
        page = call("scan", **asked)
        found += map(item_of, page["Items"])
        if "LastEvaluatedKey" not in page:
            return found
        asked["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def template(table: str) -> str:
    """For `aws cloudformation deploy`. A table that is deleted from the stack stays."""
    properties = {
        "TableName": table,
        **_DEFINITION,
        "TimeToLiveSpecification": _CLEAN_UP,
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
    }
    resource = {"Type": "AWS::DynamoDB::Table", "DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}
    return json.dumps(
        {
            "AWSTemplateFormatVersion": "2010-09-09",
            "Description": "What the Edge agents share: lease, assignments, intents, history.",
            "Resources": {"Store": {**resource, "Properties": properties}},
        },
        indent=2,
    )
