"""The table is made once, by whoever comes first, and is found again by all others."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import pytest

from edge.errors import CloudError, Fault, StoreError, StoreSchemaError
from edge.stores.dynamodb import Calls, DynamoStore
from edge.stores.table import create, template


@pytest.fixture
def name() -> str:
    return f"lent-{uuid4().hex}"


def test_it_is_made_once_and_can_be_used_at_once(calls: Calls, name: str) -> None:
    assert create(calls, name)
    assert not create(calls, name)
    DynamoStore(calls, name).compare_and_set("k/a", {}, 0)
    described = calls("describe_table", TableName=name)["Table"]
    assert described["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"


def test_history_is_cleaned_up_and_the_table_is_protected(moto: Calls, name: str) -> None:
    create(moto, name)
    create(moto, name)
    said = moto("describe_time_to_live", TableName=name)["TimeToLiveDescription"]
    assert said == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires"}
    assert moto("describe_table", TableName=name)["Table"]["DeletionProtectionEnabled"]


def test_a_table_of_somebody_else_is_refused(calls: Calls, name: str) -> None:
    calls(
        "create_table",
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "LockID", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "LockID", "KeyType": "HASH"}],
    )
    with pytest.raises(StoreSchemaError, match=f"{name} is no store of this program: name another one"):
        create(calls, name)


def test_a_table_that_does_not_come_up_is_told(name: str) -> None:
    slept: list[float] = []

    def creating(method: str, **_parameters: Any) -> Mapping[str, Any]:
        return {"Table": {"TableStatus": "CREATING"}} if method == "describe_table" else {}

    with pytest.raises(StoreError, match=f"the table {name} is CREATING after 60 s"):
        create(creating, name, slept.append)
    assert sum(slept) == 60


def test_a_refusal_is_passed_on(name: str) -> None:
    def denied(method: str, **_parameters: Any) -> Mapping[str, Any]:
        raise CloudError("CreateTable", Fault.DENIED, "no")

    with pytest.raises(CloudError, match="CreateTable: denied"):
        create(denied, name)


def test_the_template_says_the_same_as_the_call(moto: Calls, name: str) -> None:
    create(moto, name)
    described = moto("describe_table", TableName=name)["Table"]
    (resource,) = json.loads(template(name))["Resources"].values()
    properties = resource["Properties"]
    for key in ("KeySchema", "AttributeDefinitions", "DeletionProtectionEnabled"):
        assert properties[key] == described[key]
    assert properties["TableName"] == name
    assert properties["TimeToLiveSpecification"] == {"AttributeName": "expires", "Enabled": True}
    assert resource["DeletionPolicy"] == "Retain"
