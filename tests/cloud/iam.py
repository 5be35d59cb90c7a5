"""IAM's policy simulation, which moto doesn't have: it refuses what a scripted fault would deny."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any, ClassVar

from moto.core.responses import ActionResult
from moto.iam.responses import IamResponse

from .script import FaultKind, Script


class MendedIam(IamResponse):
    script: ClassVar[Script]

    # "Simulate how a set of IAM policies attached to an IAM entity works with a list of API operations and AWS
    # resources to determine the policies' effective permissions. [...] The simulation does not perform the API
    # operations; it only checks the authorization". (API_SimulatePrincipalPolicy)
    def simulate_principal_policy(self) -> ActionResult:
        actions, resources = self._get_param("ActionNames", []), self._get_param("ResourceArns", ["*"])
        return ActionResult({"EvaluationResults": [self._simulated(action, resources) for action in actions]})

    def _simulated(self, action: str, resources: list[str]) -> dict[str, Any]:
        with self.script.lock:
            denied = any(f.kind is FaultKind.DENY and fnmatchcase(action, f.api) for f in self.script.faults)
        decision = "implicitDeny" if denied else "allowed"
        each = [{"EvalResourceName": arn, "EvalResourceDecision": decision} for arn in resources]
        result = {"EvalActionName": action, "EvalResourceName": "*", "EvalDecision": decision}
        return {**result, "ResourceSpecificResults": each}


def mend(script: Script) -> type[IamResponse]:
    return type("MendedIam", (MendedIam,), {"script": script})
