"""deploy/iam-policy.json allows what the program does, and nothing else: held against every call of a whole test run.

Each call to an emulated AWS by edge.switches.session, of whichever test and process, is judged as IAM would: some
statement has to allow its action on each of its resources, under its conditions. The policy's ids are an example's, so
an id stands for any of its kind. And whatever the policy allows has to have been used.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from edge.agent.build import switches
from edge.config import load
from edge.stores.dynamodb import KEYS
from edge.switches.session import Session, Settings
from tests.conftest import Asked

ROOT = Path(__file__).parents[2]
REGION = "ap-northeast-1"
SERVICE = "files.fs.corp.example"
KEY = "route53:ChangeResourceRecordSets"

# Needs no permission (STS); or is for another identity than the agent's, who makes the shared table and copies it.
FREE = {"sts:GetCallerIdentity"} | {
    f"dynamodb:{api}" for api in ("CreateTable", "DescribeTable", "UpdateTimeToLive", "DescribeTimeToLive", "Scan")
}
LENT = re.compile(r"lent-[0-9a-f]{32}")  # a table in which the store's own tests write keys that no agent has

Parameters = Mapping[str, Any]
Values = Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Statement:
    sid: str
    actions: frozenset[str]
    resources: tuple[str, ...]
    equal: Values  # StringEquals: the context has the key, and one of the values
    all_equal: Values  # ForAllValues:StringEquals: whatever the context has of the key is among the values

    def allows(self, action: str, resource: str, context: Values) -> bool:
        return (
            action in self.actions
            and any(fnmatchcase(resource, pattern) for pattern in self.resources)
            and all(context.get(key, frozenset()) & values for key, values in self.equal.items())
            and all(context.get(key, frozenset()) <= values for key, values in self.all_equal.items())
        )


def listed(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def any_of_its_kind(named: str) -> str:
    """`.../instance/i-0aaa` as `.../instance/*`, of any account."""
    if named == "*":
        return named
    head, resource = re.sub(r":\d{12}:", ":*:", named).rsplit(":", 1)
    return f"{head}:{resource.partition('/')[0]}/*"


def conditions(given: Mapping[str, Any], operator: str) -> Values:
    return {key: frozenset(listed(values)) for key, values in given.get(operator, {}).items()}


@cache
def policy() -> tuple[Statement, ...]:
    found = json.loads((ROOT / "deploy" / "iam-policy.json").read_text())["Statement"]
    return tuple(map(statement, found))


def statement(given: Mapping[str, Any]) -> Statement:
    assert given["Effect"] == "Allow"
    limits = given.get("Condition", {})
    assert limits.keys() <= {"StringEquals", "ForAllValues:StringEquals"}, "this test knows no other"
    equal, all_equal = (conditions(limits, name) for name in ("StringEquals", "ForAllValues:StringEquals"))
    kinds = tuple({any_of_its_kind(named) for named in listed(given["Resource"])})
    return Statement(given["Sid"], frozenset(listed(given["Action"])), kinds, equal, all_equal)


# --- what a call is to IAM (Service authorization reference) ----------------------------------------------------------


def interface(asked: Parameters) -> list[str]:
    return [f"network-interface/{asked['NetworkInterfaceId']}"]


def attribute(asked: Parameters) -> list[str]:
    """The instance too, to which the interface is attached."""
    return [*interface(asked), "instance/i-0", *(f"security-group/{group}" for group in asked["Groups"])]


def zone(key: str) -> Callable[[Parameters], list[str]]:
    return lambda asked: [f"hostedzone/{asked[key].rpartition('/')[2]}"]


def document(asked: Parameters) -> list[str]:
    return [f"document/{asked.get('DocumentName') or asked['Name']}"]


def command(asked: Parameters) -> list[str]:
    return [*document(asked), *(f"ec2:instance/{instance}" for instance in asked["InstanceIds"])]


def table(asked: Parameters) -> list[str]:
    return [f"table/{asked['TableName']}"]


RESOURCES: Mapping[str, Callable[[Parameters], list[str]]] = {
    "ec2:AssignPrivateIpAddresses": interface,
    "ec2:UnassignPrivateIpAddresses": interface,
    "ec2:CreateRoute": lambda asked: [f"route-table/{asked['RouteTableId']}"],
    "ec2:ReplaceRoute": lambda asked: [f"route-table/{asked['RouteTableId']}"],
    "ec2:AssociateAddress": lambda asked: [f"elastic-ip/{asked['AllocationId']}", *interface(asked)],
    "ec2:ModifyNetworkInterfaceAttribute": attribute,
    "ec2:CreateTags": lambda asked: [f"network-interface/{resource}" for resource in asked["Resources"]],
    "ec2:StopInstances": lambda asked: [f"instance/{instance}" for instance in asked["InstanceIds"]],
    "ssm:SendCommand": command,
    "ssm:DescribeDocument": document,
    "dynamodb:GetItem": table,
    "dynamodb:Query": table,
    "dynamodb:PutItem": table,
    "route53:GetHostedZone": zone("Id"),
    "route53:ListResourceRecordSets": zone("HostedZoneId"),
    KEY: zone("HostedZoneId"),
    "route53:GetChange": lambda asked: [f"change/{asked['Id'].rpartition('/')[2]}"],
}


def resources(call: Asked) -> list[str]:
    """The ARNs. Route 53 is of no Region, IAM neither."""
    if call.api == "iam:SimulatePrincipalPolicy":
        return [call.parameters["PolicySourceArn"]]
    named = RESOURCES.get(call.api)
    return [arn(call.api, call.region, each) for each in named(call.parameters)] if named else ["*"]


def arn(action: str, region: str, resource: str) -> str:
    """`resource`: with its service, where that is not the action's."""
    service, _, own = resource.rpartition(":")
    service = service or action.partition(":")[0]
    return f"arn:aws:{service}:{':' if service == 'route53' else f'{region}:123456789012'}:{own}"


def context(call: Asked) -> Values:
    found = {"aws:RequestedRegion": frozenset({call.region}), "ec2:Region": frozenset({call.region})}
    if call.api == "ec2:CreateTags":
        found["aws:TagKeys"] = frozenset(tag["Key"] for tag in call.parameters["Tags"])
    if call.api.startswith("dynamodb:"):
        found["dynamodb:LeadingKeys"] = frozenset(leading(call.parameters))
    return found | (batch(call) if call.api == KEY else {})


def leading(asked: Parameters) -> Iterator[str]:
    """The partition keys of a request."""
    (kind, _), item = KEYS[0], asked.get("Item") or asked.get("Key") or {}
    if not LENT.fullmatch(asked["TableName"]):
        yield from item.get(kind, {}).values()


def batch(call: Asked) -> dict[str, frozenset[str]]:
    """A batch's names in lower case and without the final dot; a service of any name counts as the example's."""
    changes = call.parameters["ChangeBatch"]["Changes"]
    sets = [change["ResourceRecordSet"] for change in changes]
    names = {str(each["Name"]).rstrip(".").lower() for each in sets}
    [own] = {name.removeprefix("_edge.") for name in names}
    return {
        f"{KEY}NormalizedRecordNames": frozenset(name.replace(own, SERVICE) for name in names),
        f"{KEY}RecordTypes": frozenset(str(each["Type"]) for each in sets),
        f"{KEY}Actions": frozenset(str(change["Action"]) for change in changes),
    }


# --- both ways --------------------------------------------------------------------------------------------------------


def test_every_call_of_a_whole_run_is_allowed(all_calls: Sequence[Asked]) -> None:
    refused = [(call, resource) for call, resource in judged(all_calls) if not allowing(call, resource)]
    assert not {(call.api, resource, str(context(call))) for call, resource in refused}


def judged(calls: Iterable[Asked]) -> Iterator[tuple[Asked, str]]:
    yield from ((call, each) for call in calls if call.api not in FREE for each in resources(call))


def allowing(call: Asked, resource: str) -> list[Statement]:
    return [each for each in policy() if each.allows(call.api, resource, context(call))]


def test_whatever_the_policy_allows_was_used_in_a_whole_run(all_calls: Sequence[Asked]) -> None:
    allowed = {(each.sid, action, kind) for each in policy() for action in each.actions for kind in each.resources}
    limits = {(each.sid, key, value) for each in policy() for key, value in values(each.equal, each.all_equal)}
    used, met = set(), set()
    for call, resource in judged(all_calls):
        for each in allowing(call, resource):
            used |= {(each.sid, call.api, pattern) for pattern in each.resources if fnmatchcase(resource, pattern)}
            met |= {(each.sid, key, value) for key, value in values(context(call))} & limits
    assert (allowed - used, limits - met) == (set(), set())


def values(*found: Values) -> Iterator[tuple[str, str]]:
    yield from ((key, value) for each in found for key, all_of_it in each.items() for value in all_of_it)


# --- this test is no rubber stamp -------------------------------------------------------------------------------------

RECORD = {"Name": f"{SERVICE}.", "Type": "A", "TTL": 0, "ResourceRecords": [{"Value": "10.0.1.10"}]}


def change(**other: Any) -> Parameters:
    return {
        "HostedZoneId": "Z1",
        "ChangeBatch": {"Changes": [{"Action": "UPSERT", "ResourceRecordSet": RECORD | other}]},
    }


@pytest.mark.parametrize(
    ("api", "region", "parameters", "allowed"),
    [
        (KEY, "us-east-1", change(), True),
        (KEY, "us-east-1", change(Type="MX"), False),
        ("ec2:StopInstances", REGION, {"InstanceIds": ["i-0123456789abcdef0"]}, True),
        ("ec2:StopInstances", "eu-west-1", {"InstanceIds": ["i-0123456789abcdef0"]}, False),
        ("ec2:TerminateInstances", REGION, {}, False),
        ("ec2:DescribeInstances", "eu-west-1", {}, False),
        ("ec2:CreateTags", REGION, {"Resources": ["eni-1"], "Tags": [{"Key": "edge-groups"}]}, True),
        ("ec2:CreateTags", REGION, {"Resources": ["eni-1"], "Tags": [{"Key": "owner"}]}, False),
    ],
)
def test_a_call_is_judged_by_its_resource_and_its_conditions(
    api: str, region: str, parameters: Parameters, allowed: bool
) -> None:
    call = Asked(api, region, dict(parameters))
    assert all(allowing(call, resource) for resource in resources(call)) is allowed


@pytest.mark.parametrize("name", ["both", "transit-gateway-route", "public-elastic-ip", "guest-steps"])
def test_what_the_check_asks_for_is_what_the_policy_allows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The needs of the examples' switches, whose ids the policy has."""
    session = Session(Settings(REGION, 1.0, 1.0), lambda *_: None)
    described = {"NetworkInterfaces": []}
    monkeypatch.setattr(session, "call", lambda _: described)
    for step in switches(load(ROOT / "config" / f"{name}.toml").services[0], session, lambda _: (True, "")).steps:
        for need in step.needs():
            assert need.action in {action for each in policy() for action in each.actions}
            wanted = {key: frozenset(found) for key, found in need.context.items()}
            for resource in need.resources:
                assert any(each.allows(need.action, arn(need.action, REGION, resource), wanted) for each in policy())
