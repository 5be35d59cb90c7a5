"""One test for each sentence of the DynamoDB developer guide that a store relies on."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from .emulator import Emulator

HOUR_S = 3600.0
RACERS = 6
ROUNDS = 100


class Table:
    def __init__(self, aws: Emulator) -> None:
        self.client = aws.client("dynamodb")
        self.client.create_table(
            TableName="edge",
            AttributeDefinitions=[{"AttributeName": "key", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )

    def write(self, expected: int, holder: str, client: Any = None) -> None:
        """Version `expected + 1`, where the present one is `expected`."""
        (client or self.client).put_item(
            TableName="edge",
            Item={"key": {"S": "lease"}, "version": {"N": str(expected + 1)}, "holder": {"S": holder}},
            ConditionExpression="version = :expected OR attribute_not_exists(version)",
            ExpressionAttributeValues={":expected": {"N": str(expected)}},
        )

    def holder(self, *, consistent: bool = True) -> str | None:
        found = self.client.get_item(TableName="edge", Key={"key": {"S": "lease"}}, ConsistentRead=consistent)
        return str(found["Item"]["holder"]["S"]) if "Item" in found else None


@pytest.fixture
def table(aws: Emulator) -> Table:
    return Table(aws)


def code(act: Any, *args: Any) -> str:
    with pytest.raises(ClientError) as refusal:
        act(*args)
    return str(refusal.value.response["Error"]["Code"])


def test_of_those_who_race_for_a_version_one_gets_it(table: Table) -> None:
    table.write(0, "nobody")
    together = threading.Barrier(RACERS)

    def take(version: int, holder: str) -> bool:
        together.wait()
        try:
            table.write(version, holder)
        except ClientError as error:
            assert error.response["Error"]["Code"] == "ConditionalCheckFailedException"  # noqa: PT017 it may not happen
            return False
        return True

    with ThreadPoolExecutor(RACERS) as racers:
        for version in range(1, ROUNDS):
            won = list(racers.map(take, [version] * RACERS, map(str, range(RACERS))))
            assert sum(won) == 1, f"version {version}: {sum(won)} racers got it"
            assert table.holder() == str(won.index(True))


def test_a_read_that_does_not_ask_for_consistency_may_be_old(aws: Emulator, table: Table) -> None:
    table.write(0, "a")
    aws.lag(dynamodb_s=HOUR_S)
    table.write(1, "b")
    assert table.holder(consistent=False) == "a"
    aws.lag(dynamodb_s=0)
    assert table.holder(consistent=False) == "b"


def test_a_consistent_read_shows_the_last_write(aws: Emulator, table: Table) -> None:
    table.write(0, "a")
    aws.lag(dynamodb_s=HOUR_S)
    aws.fault("dynamodb:GetItem", "stale")
    table.write(1, "b")
    assert table.holder() == "b"


def test_a_write_that_meets_another_version_is_refused(table: Table) -> None:
    table.write(0, "a")
    assert code(table.write, 0, "b") == "ConditionalCheckFailedException"
    assert table.holder() == "a"


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("throttle", "ThrottlingException"),
        ("deny", "AccessDeniedException"),
        ("expired", "ExpiredTokenException"),
        ("skewed", "InvalidSignatureException"),
    ],
)
def test_an_error_comes_in_the_services_own_words(aws: Emulator, table: Table, kind: str, said: str) -> None:
    aws.fault("dynamodb:PutItem", kind)
    assert code(table.write, 0, "a") == said
    assert [call.result for call in aws.calls("dynamodb:PutItem")] == [said]
    assert table.holder() is None


def test_a_write_may_time_out_after_its_effect(aws: Emulator, table: Table) -> None:
    aws.fault("dynamodb:PutItem", "timeout_after", times=1)
    with pytest.raises(ReadTimeoutError):
        table.write(0, "a", aws.client("dynamodb", read_timeout_s=1.0))
    assert table.holder() == "a"
