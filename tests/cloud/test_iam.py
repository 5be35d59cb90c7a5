"""IAM's policy simulation, as its API reference tells it."""

from __future__ import annotations

from typing import Any

from .emulator import Emulator

ROLE = "arn:aws:iam::123456789012:role/edge"
STOP = "ec2:StopInstances"
NODES = [f"arn:aws:ec2:ap-northeast-1:123456789012:instance/i-{n}" for n in range(2)]


def simulated(aws: Emulator, *actions: str) -> list[dict[str, Any]]:
    answer = aws.client("iam").simulate_principal_policy(
        PolicySourceArn=ROLE, ActionNames=list(actions), ResourceArns=NODES
    )
    found: list[dict[str, Any]] = answer["EvaluationResults"]
    return found


def test_a_simulation_tells_a_decision_for_each_resource(aws: Emulator) -> None:
    [result] = simulated(aws, STOP)
    assert (result["EvalActionName"], result["EvalDecision"]) == (STOP, "allowed")
    each = {one["EvalResourceName"]: one["EvalResourceDecision"] for one in result["ResourceSpecificResults"]}
    assert each == dict.fromkeys(NODES, "allowed")


def test_a_simulation_refuses_what_is_denied_and_is_not_a_call_of_it(aws: Emulator) -> None:
    aws.fault(STOP, "deny", times=1)
    stop, describe = simulated(aws, STOP, "ec2:DescribeInstances")
    assert (stop["EvalDecision"], describe["EvalDecision"]) == ("implicitDeny", "allowed")
    assert simulated(aws, STOP)[0]["EvalDecision"] == "implicitDeny", "the fault is still to come"
    assert not aws.calls(STOP)
