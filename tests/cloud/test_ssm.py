"""One test for each sentence of the Systems Manager documentation that guest steps rely on; stock moto fails them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from .emulator import ROOT, Emulator, Layout

HOUR_S = 3600.0
TAKE = "Files-Take"
CONTENT = {
    "schemaVersion": "2.2",
    "parameters": {
        "node": {"type": "String", "allowedPattern": "^[a-z]+$"},
        "action": {"type": "String", "allowedValues": ["up", "down"], "default": "up"},
    },
    "mainSteps": [{"action": "aws:runShellScript", "name": "run", "inputs": {"runCommand": ["true"]}}],
}
RIGHT_IN_MOTO = {"test_a_document_that_is_unknown_is_not_described", "test_what_is_not_managed_is_not_described"}


class Account:
    def __init__(self, aws: Emulator) -> None:
        self.aws = aws
        seeded = aws.seed(Layout())
        self.a, self.b = seeded.a.instance, seeded.b.instance
        self.ec2, self.ssm = aws.client("ec2"), aws.client("ssm")
        self.ssm.create_document(Name=TAKE, Content=json.dumps(CONTENT), DocumentType="Command")

    def send(self, *instances: str, client: Any = None, **other: Any) -> str:
        asked = {"DocumentName": TAKE, "Parameters": {"node": ["a"]}, "Comment": "edge", **other}
        sent = (client or self.ssm).send_command(InstanceIds=list(instances or [self.a]), **asked)
        return str(sent["Command"]["CommandId"])

    def listed(self, **asked: Any) -> list[dict[str, Any]]:
        return list(self.ssm.list_command_invocations(**asked)["CommandInvocations"])

    def status(self, command: str) -> tuple[str, str]:
        [found] = self.listed(CommandId=command)
        return found["Status"], found["StatusDetails"]

    def pings(self) -> dict[str, str]:
        asked = [{"Key": "InstanceIds", "Values": [self.a, self.b]}]
        found = self.ssm.describe_instance_information(Filters=asked)["InstanceInformationList"]
        return {each["InstanceId"]: f"{each['PlatformType']} {each['PingStatus']}" for each in found}


@pytest.fixture
def account(aws: Emulator) -> Account:
    account = Account(aws)
    if not aws.stock:
        aws.agent(account.a, account.b)
    return account


def refused(act: Any, *args: Any, **more: Any) -> str:
    with pytest.raises(ClientError) as refusal:
        act(*args, **more)
    return str(refusal.value.response["Error"]["Code"])


def test_a_command_runs_and_its_output_is_kept(aws: Emulator, account: Account) -> None:
    aws.outcome(TAKE, output="x" * 3000)
    command = account.send()
    [found] = account.listed(CommandId=command, InstanceId=account.a, Details=True)
    assert (found["Status"], found["StatusDetails"], found["Comment"]) == ("Success", "Success", "edge")
    assert [plugin["Output"] for plugin in found["CommandPlugins"]] == ["x" * 2500]
    assert aws.ran() == [(account.a, TAKE, {"node": "a"})]


def test_a_command_is_pending_then_in_progress_then_done(aws: Emulator, account: Account) -> None:
    aws.lag(delivery_s=HOUR_S, run_s=HOUR_S)
    command = account.send()
    assert account.status(command) == ("Pending", "Pending")
    assert aws.ran() == []
    aws.lag(delivery_s=0)
    assert account.status(command) == ("InProgress", "In Progress")
    assert len(aws.ran()) == 1
    aws.lag(run_s=0)
    assert account.status(command) == ("Success", "Success")


@pytest.mark.parametrize(
    ("details", "status", "ran"),
    [
        ("Failed", "Failed", 1),
        ("Execution Timed Out", "TimedOut", 1),
        ("Delivery Timed Out", "TimedOut", 0),
        ("Undeliverable", "Failed", 0),
        ("Cancelled", "Cancelled", 0),
    ],
)
def test_a_command_may_fail_in_many_ways(aws: Emulator, account: Account, details: str, status: str, ran: int) -> None:
    aws.outcome(TAKE, details, times=1)
    assert account.status(account.send()) == (status, details)
    assert len(aws.ran()) == ran
    assert account.status(account.send()) == ("Success", "Success")


def test_each_call_is_a_command_of_its_own(aws: Emulator, account: Account) -> None:
    """There is no client token."""
    assert account.send() != account.send()
    assert len(aws.ran()) == 2


def test_a_command_may_be_for_several_instances(account: Account) -> None:
    command = account.send(account.a, account.b)
    assert {each["InstanceId"] for each in account.listed(CommandId=command)} == {account.a, account.b}


def test_a_command_is_found_by_instance_document_and_time(account: Account) -> None:
    sent = [account.send(), account.send()]
    account.send(account.b)
    of_a = account.listed(InstanceId=account.a, Filters=[{"key": "DocumentName", "value": TAKE}])
    assert [each["CommandId"] for each in of_a] == sent[::-1]
    assert account.listed(InstanceId=account.a, Filters=[{"key": "DocumentName", "value": "Other"}]) == []
    later = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert account.listed(InstanceId=account.a, Filters=[{"key": "InvokedAfter", "value": later}]) == []


def test_a_list_comes_in_pages(account: Account) -> None:
    sent = {account.send() for _ in range(3)}
    first = account.ssm.list_command_invocations(MaxResults=2)
    second = account.ssm.list_command_invocations(MaxResults=2, NextToken=first["NextToken"])
    assert "NextToken" not in second
    pages = (*first["CommandInvocations"], *second["CommandInvocations"])
    assert {each["CommandId"] for each in pages} == sent


def test_a_list_may_not_show_the_last_command_yet(aws: Emulator, account: Account) -> None:
    aws.lag(ssm_s=HOUR_S)
    account.send()
    assert account.listed() == []
    aws.lag(ssm_s=0)
    assert len(account.listed()) == 1
    aws.fault("ssm:ListCommandInvocations", "stale", times=1)
    assert account.listed() == []
    assert len(account.listed()) == 1


def test_an_instance_that_is_not_managed_takes_no_command(aws: Emulator) -> None:
    account = Account(aws)
    assert refused(account.send) == "InvalidInstanceId"


def test_an_instance_that_is_terminated_takes_no_command(account: Account) -> None:
    account.ec2.terminate_instances(InstanceIds=[account.a])
    assert refused(account.send) == "InvalidInstanceId"


def test_a_document_that_is_unknown_is_not_run(account: Account) -> None:
    assert refused(account.send, DocumentName="Files-Drop") == "InvalidDocument"


def test_a_document_that_is_unknown_is_not_described(account: Account) -> None:
    assert refused(account.ssm.describe_document, Name="Files-Drop") == "InvalidDocument"
    parameters = account.ssm.describe_document(Name=TAKE)["Document"]["Parameters"]
    assert {each["Name"] for each in parameters} == {"node", "action"}


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"node": ["a"], "epoch": ["1"]},
        {"node": ["a; reboot"]},
        {"node": ["a"], "action": ["away"]},
    ],
)
def test_parameters_are_those_of_the_document(account: Account, given: dict[str, list[str]]) -> None:
    assert refused(account.send, Parameters=given) == "InvalidParameters"


def test_a_document_is_for_a_platform(aws: Emulator, account: Account) -> None:
    aws.agent(account.a, platform="Windows")
    assert refused(account.send) == "UnsupportedPlatformType"


def test_a_command_for_a_lost_agent_is_delayed(aws: Emulator, account: Account) -> None:
    aws.agent(account.a, ping="ConnectionLost")
    command = account.send()
    assert account.status(command) == ("Delayed", "Delayed")
    aws.agent(account.a)
    assert account.status(command) == ("Success", "Success")


def test_a_command_for_a_stopped_instance_can_not_be_delivered(account: Account) -> None:
    account.ec2.stop_instances(InstanceIds=[account.a])
    assert account.status(account.send()) == ("Failed", "Undeliverable")


def test_agents_and_their_connections_are_described(aws: Emulator, account: Account) -> None:
    aws.agent(account.b, ping="ConnectionLost", platform="Windows")
    assert account.pings() == {account.a: "Linux Online", account.b: "Windows ConnectionLost"}


def test_a_stopped_instance_is_not_described(account: Account) -> None:
    account.ec2.stop_instances(InstanceIds=[account.a])
    assert account.pings() == {account.b: "Linux Online"}


def test_what_is_not_managed_is_not_described(aws: Emulator) -> None:
    if not aws.stock:  # which has no such operation
        assert Account(aws).pings() == {}


def test_a_command_may_be_sent_and_its_answer_lost(aws: Emulator, account: Account) -> None:
    aws.fault("ssm:SendCommand", "timeout_after", times=1)
    with pytest.raises(ReadTimeoutError):
        account.send(client=aws.client("ssm", read_timeout_s=1.0))
    assert len(account.listed()) == 1


@pytest.mark.skipif(os.environ.get("EDGE_STOCK_MOTO") == "1", reason="it is what runs the others on stock moto")
def test_stock_moto_fails_what_is_mended() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "--tb=no", "-p", "no:cacheprovider", __file__]
    env = os.environ | {"EDGE_STOCK_MOTO": "1"}
    ran = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    passed = {line.split("::")[1].split("[")[0] for line in ran.stdout.splitlines() if line.startswith("PASSED")}
    assert passed == RIGHT_IN_MOTO, ran.stdout
