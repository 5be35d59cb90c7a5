"""Each kind of fault as a caller meets it, the log of calls, and the life of the emulator's process."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from .emulator import ROOT, Emulator, Layout, Seeded
from .script import FaultKind

ASSIGN = "ec2:AssignPrivateIpAddresses"
CHANGE = "route53:ChangeResourceRecordSets"
VIP = "10.0.1.100"


@pytest.fixture
def seeded(aws: Emulator) -> Seeded:
    return aws.seed(Layout(record="10.0.1.10"))


def assign(aws: Emulator, seeded: Seeded, *, read_timeout_s: float = 60) -> None:
    client = aws.client("ec2", read_timeout_s=read_timeout_s)
    client.assign_private_ip_addresses(NetworkInterfaceId=seeded.a.interface, PrivateIpAddresses=[VIP])


def assign_unanswered(aws: Emulator, seeded: Seeded) -> None:
    with pytest.raises(ReadTimeoutError):
        assign(aws, seeded, read_timeout_s=0.2)
    while not aws.calls(ASSIGN):
        time.sleep(0.01)  # on a slow machine the request may still be on its way


def point_to(aws: Emulator, seeded: Seeded, address: str) -> None:
    rrset = {
        "Name": "files.fs.corp.example",
        "Type": "A",
        "TTL": 0,
        "ResourceRecords": [{"Value": address}],
    }
    batch: dict[str, Any] = {"Changes": [{"Action": "UPSERT", "ResourceRecordSet": rrset}]}
    aws.client("route53").change_resource_record_sets(HostedZoneId=seeded.zone_id, ChangeBatch=batch)


def held(aws: Emulator, seeded: Seeded) -> list[str]:
    described = aws.client("ec2").describe_network_interfaces(NetworkInterfaceIds=[seeded.a.interface])
    return [item["PrivateIpAddress"] for item in described["NetworkInterfaces"][0]["PrivateIpAddresses"]]


@pytest.mark.parametrize(
    ("kind", "ec2_code", "route53_code"),
    [
        (FaultKind.THROTTLE, "RequestLimitExceeded", "Throttling"),
        (FaultKind.DENY, "UnauthorizedOperation", "AccessDenied"),
        (FaultKind.EXPIRED, "RequestExpired", "ExpiredToken"),
        (FaultKind.SKEWED, "RequestExpired", "SignatureDoesNotMatch"),
        (FaultKind.PRIOR_REQUEST, "PriorRequestNotComplete", "PriorRequestNotComplete"),
    ],
)
def test_an_error_comes_in_the_services_own_words(
    aws: Emulator, seeded: Seeded, kind: FaultKind, ec2_code: str, route53_code: str
) -> None:
    aws.fault("*", kind)
    with pytest.raises(ClientError, match=ec2_code):
        assign(aws, seeded)
    with pytest.raises(ClientError, match=route53_code):
        point_to(aws, seeded, "10.0.1.11")
    assert [call.result for call in aws.calls()] == [ec2_code, route53_code]


def test_a_fault_hits_its_api_the_given_number_of_times(aws: Emulator, seeded: Seeded) -> None:
    aws.fault(ASSIGN, "throttle", times=2)
    point_to(aws, seeded, "10.0.1.11")
    for _ in range(2):
        with pytest.raises(ClientError, match="RequestLimitExceeded"):
            assign(aws, seeded)
    assign(aws, seeded)
    assert [call.result for call in aws.calls(ASSIGN)] == [
        "RequestLimitExceeded",
        "RequestLimitExceeded",
        "ok",
    ]


def test_a_fault_lasts_until_it_is_cleared(aws: Emulator, seeded: Seeded) -> None:
    aws.fault("ec2:*", "deny")
    for _ in range(3):
        with pytest.raises(ClientError, match="UnauthorizedOperation"):
            assign(aws, seeded)
    aws.clear_faults()
    assign(aws, seeded)


def test_a_black_hole_takes_the_request_and_never_answers(aws: Emulator, seeded: Seeded) -> None:
    aws.fault(ASSIGN, "black_hole", times=1)
    assign_unanswered(aws, seeded)
    assert held(aws, seeded) == ["10.0.1.10"]
    assert [call.result for call in aws.calls(ASSIGN)] == ["black_hole"]


def test_a_reset_breaks_the_connection_without_effect(aws: Emulator, seeded: Seeded) -> None:
    aws.fault(ASSIGN, "reset", times=1)
    with pytest.raises(ConnectionClosedError) as broken:
        assign(aws, seeded)
    assert "ConnectionResetError" in str(broken.value.kwargs["error"])
    assert held(aws, seeded) == ["10.0.1.10"]
    assert [call.result for call in aws.calls(ASSIGN)] == ["reset"]


def test_a_timeout_after_the_effect_has_the_effect(aws: Emulator, seeded: Seeded) -> None:
    aws.fault(ASSIGN, "timeout_after", times=1)
    assign_unanswered(aws, seeded)
    assert held(aws, seeded) == ["10.0.1.10", VIP]
    assert [call.result for call in aws.calls(ASSIGN)] == ["timeout_after"]


def test_an_unanswered_call_holds_up_nobody_else(aws: Emulator, seeded: Seeded) -> None:
    aws.fault(ASSIGN, "black_hole", times=1)
    assign_unanswered(aws, seeded)
    point_to(aws, seeded, "10.0.1.11")
    assert [call.result for call in aws.calls()] == ["black_hole", "ok"]


def test_the_log_tells_what_was_asked_and_what_came_of_it(aws: Emulator, seeded: Seeded) -> None:
    assign(aws, seeded)
    with pytest.raises(ClientError):
        aws.client("route53").get_change(Id="C0")
    first, second = aws.calls()
    assert (first.api, first.result) == (ASSIGN, "ok")
    assert first.parameters == {"NetworkInterfaceId": seeded.a.interface, "PrivateIpAddresses": [VIP]}
    assert (second.api, second.parameters, second.result) == (
        "route53:GetChange",
        {"Id": "C0"},
        "NoSuchChange",
    )
    assert first.at_s <= second.at_s


def test_sts_tells_who_is_calling(aws: Emulator) -> None:
    assert aws.client("sts").get_caller_identity()["Account"] == "123456789012"


def test_the_environment_alone_leads_a_program_here(aws: Emulator, seeded: Seeded) -> None:
    program = "import boto3; print(boto3.client('ec2').describe_vpcs()['Vpcs'][-1]['VpcId'])"
    ran = subprocess.run([sys.executable, "-c", program], env=aws.env(), capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == seeded.vpc


def test_the_emulator_ends_when_its_parent_is_killed() -> None:
    program = (
        "from tests.cloud.emulator import Emulator; import os, signal\n"
        "aws = Emulator().start(); print(aws.process.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    # The emulator inherits stderr: run() comes back only when the last holder of that pipe has ended.
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == -9
    assert ran.stdout.strip().isdigit()
