"""Whether a permission is there, without using it: by a dry run where EC2 has one, else by asking IAM, else unknown."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edge.errors import CloudError, Fault
from edge.switches.contract import Need
from edge.switches.session import Session


@dataclass(frozen=True, slots=True)
class Proof:
    """`allowed` None: it could not be told, and `said` is why."""

    allowed: bool | None
    said: str


def proof(session: Session, need: Need, identity: str | None) -> Proof:
    """`identity`: the ARN of the agent's own role or user, where IAM may be asked about it. Blocks; never raises."""
    if need.trials:
        return _tried(session, need)
    if identity:
        return _simulated(session, need, identity)
    return Proof(None, "AWS has no dry run of it, and aws.identity doesn't say whom to ask IAM about")


def _tried(session: Session, need: Need) -> Proof:
    try:
        for trial in need.trials:
            session.rehearse(trial)
    except CloudError as error:
        return Proof(False if error.fault is Fault.DENIED else None, str(error))
    return Proof(True, f"{len(need.trials)} by dry run" if len(need.trials) > 1 else "by dry run")


def _simulated(session: Session, need: Need, identity: str) -> Proof:
    """What the policies of the identity and of its organization say (IAM API, *SimulatePrincipalPolicy*)."""
    try:
        caller = session.read("sts", "get_caller_identity")["Arn"]
        parameters = _question(need, _arns(need, session.settings.region, caller))
        answer = session.read("iam", "simulate_principal_policy", PolicySourceArn=identity, **parameters)
    except CloudError as error:
        return Proof(None, str(error))
    refused = list(_refused(answer))
    return Proof(not refused, f"IAM would {f'refuse {identity} on ' + ', '.join(refused) if refused else 'allow it'}")


def _question(need: Need, arns: list[str]) -> Mapping[str, Any]:
    context = [
        {"ContextKeyName": key, "ContextKeyType": "stringList", "ContextKeyValues": list(values)}
        for key, values in need.context.items()
    ]
    return {"ActionNames": [need.action], "ResourceArns": arns, "ContextEntries": context}


def _refused(answer: Mapping[str, Any]) -> Iterator[str]:
    for result in answer["EvaluationResults"]:
        each = result.get("ResourceSpecificResults") or ()
        yield from (one["EvalResourceName"] for one in each if one["EvalResourceDecision"] != "allowed")
        if not each and result["EvalDecision"] != "allowed":
            yield result["EvalResourceName"]


def _arns(need: Need, region: str, caller: str) -> list[str]:
    """Route 53 is of no Region and its zones of no account (Service authorization reference)."""
    _, partition, _, _, account, _ = caller.split(":", 5)
    own = need.action.partition(":")[0]
    place = ":" if own == "route53" else f"{region}:{account}"
    named = (resource.rpartition(":")[::2] for resource in need.resources)
    return [f"arn:{partition}:{service or own}:{place}:{resource}" for service, resource in named]
