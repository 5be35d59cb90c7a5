"""Run Command as the Systems Manager API reference and user guide describe it, where moto differs.

    SendCommand -> Pending -> .. delivery .. -> In Progress: it runs -> .. run .. -> Success, or what is scripted
                -> the agent has lost its connection: Delayed -> .. TimeoutSeconds .. -> Delivery Timed Out
                -> the instance is down: Undeliverable

A document has no effect here; what was run, where and with which parameters is in the script (`ran`).
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, cast

from moto.core.responses import ActionResult
from moto.ec2.models import ec2_backends
from moto.ssm.exceptions import SSMException
from moto.ssm.responses import SimpleSystemManagerResponse

from .script import Outcome, Script

DELIVERY_S = 3600
WAITING, RUNNING = ("Pending", "Delayed"), "In Progress"
NEVER_RAN = ("Delivery Timed Out", "Undeliverable", "Cancelled")
# "Status" has fewer words than "StatusDetails" (API_CommandInvocation).
STATUS = {
    "In Progress": "InProgress",
    "Delivery Timed Out": "TimedOut",
    "Execution Timed Out": "TimedOut",
    "Undeliverable": "Failed",
    "Terminated": "Failed",
}
PLATFORM = {"aws:runShellScript": "Linux", "aws:runPowerShellScript": "Windows"}


@dataclass(slots=True)
class Invocation:
    """One command at one instance."""

    command_id: str
    instance: str
    document: str
    parameters: dict[str, list[str]]
    comment: str
    timeout_s: int
    requested: datetime = field(default_factory=lambda: datetime.now(UTC))
    sent_s: float = field(default_factory=time.monotonic)
    begun_s: float = 0.0
    details: str = "Pending"
    outcome: Outcome | None = None

    def shown(self, *, plugins: bool) -> dict[str, Any]:
        status = STATUS.get(self.details, self.details)
        shown = {
            "CommandId": self.command_id,
            "InstanceId": self.instance,
            "Comment": self.comment,
            "DocumentName": self.document,
            "RequestedDateTime": self.requested,
            "Status": status,
            "StatusDetails": self.details,
        }
        # "Details: If set this returns the response of the command executions and any command output." The output of a
        # plugin has 2500 characters at most. (API_ListCommandInvocations, API_CommandPlugin)
        output = (
            self.outcome.output[:2500] if self.outcome and status not in ("Pending", "Delayed", "InProgress") else ""
        )
        plugin = {"Name": "run", "Status": status, "StatusDetails": self.details, "Output": output}
        return {**shown, "CommandPlugins": [plugin]} if plugins else shown


@dataclass(slots=True)
class Commands:
    """Every invocation, oldest first."""

    script: Script
    invocations: list[Invocation] = field(default_factory=list)

    def settle(self) -> None:
        """What has happened stays, whatever the lags become."""
        for each in self.invocations:
            self._arrive(each)
            self._end(each)

    def _arrive(self, each: Invocation) -> None:
        if each.details not in WAITING:
            return
        waited_s = time.monotonic() - each.sent_s
        if waited_s >= each.timeout_s:
            each.details = "Delivery Timed Out"
        elif state_of(each.instance) in ("stopped", "terminated"):
            each.details = "Undeliverable"
        elif self.script.agents.get(each.instance, ("", ""))[0] != "Online":
            each.details = "Delayed"
        elif waited_s >= self.script.delivery_lag_s:
            self._begin(each)

    def _begin(self, each: Invocation) -> None:
        each.outcome = self.script.outcome_of(each.document)
        if each.outcome.details in NEVER_RAN:
            each.details = each.outcome.details
            return
        each.details, each.begun_s = RUNNING, time.monotonic()
        self.script.ran.append(
            (each.instance, each.document, {name: value[0] for name, value in each.parameters.items()})
        )

    def _end(self, each: Invocation) -> None:
        if each.details == RUNNING and each.outcome and time.monotonic() - each.begun_s >= self.script.run_lag_s:
            each.details = each.outcome.details

    # "The Run Command API follows an eventual consistency model [...]. This means that the result of an API command you
    # run that affects your resources might not be immediately visible to all subsequent commands you run."
    # (API_GetCommandInvocation)
    def seen(self, *, stale: bool) -> list[Invocation]:
        """Newest first."""
        self.settle()
        until_s = time.monotonic() - self.script.ssm_lag_s
        known = self.invocations[: -1 if stale else None]
        return [each for each in reversed(known) if each.sent_s <= until_s]


def state_of(instance: str) -> str | None:
    """None: EC2 doesn't know it."""
    for regions in ec2_backends.values():
        for backend in regions.values():
            found = backend.get_instance_by_id(instance)
            if found is not None:
                return str(found._state.name)
    return None


class InvalidInstanceIdError(SSMException):
    def __init__(self, instance: str) -> None:
        super().__init__("InvalidInstanceId", f"Instances {instance} not in a valid state for account")


def refused(code: str, message: str) -> SSMException:
    return SSMException(code, message)


class StockSSM(SimpleSystemManagerResponse):
    """moto as it is; the parameters are parsed as the server's record wants them."""

    def __init__(self) -> None:
        super().__init__()
        self.automated_parameter_parsing = True


class MendedSSM(StockSSM):
    commands: ClassVar[Commands]
    stale = False

    # "InvalidInstanceId: You don't have permission to access the managed node. SSM Agent isn't running. [...] SSM Agent
    # isn't registered with the SSM endpoint. [...] The managed node isn't in a valid state. Valid states are: Running,
    # Pending, Stopped, and Stopping." "InvalidDocument: The specified SSM document doesn't exist." "InvalidParameters:
    # You must specify values for all required parameters [...]. You can only supply values to parameters defined in the
    # SSM document." "UnsupportedPlatformType: The document doesn't support the platform type of the given managed node
    # IDs." (API_SendCommand)
    def send_command(self) -> ActionResult:
        document = self._get_param("DocumentName")
        content = self.ssm_backend._get_documents(document).get_default_version().content_json
        instances, given = self._get_param("InstanceIds", []), self._get_param("Parameters", {})
        timeout_s = self._get_int_param("TimeoutSeconds", DELIVERY_S)
        for instance in instances:
            self._receives(instance, content)
        check_parameters(content.get("parameters", {}), given)
        command_id, comment = str(uuid.uuid4()), self._get_param("Comment", "")
        for instance in instances:
            sent = Invocation(command_id, instance, document, given, comment, timeout_s)
            self.commands.invocations.append(sent)
        said = {"CommandId": command_id, "DocumentName": document, "InstanceIds": instances, "Status": "Pending"}
        return ActionResult({"Command": {**said, "Comment": comment, "Parameters": given}})

    def _receives(self, instance: str, content: Mapping[str, Any]) -> None:
        _, platform = self.commands.script.agents.get(instance, ("", ""))
        if not platform or state_of(instance) in (None, "shutting-down", "terminated"):
            raise InvalidInstanceIdError(instance)
        if platform not in {PLATFORM.get(step["action"], platform) for step in content["mainSteps"]}:
            raise refused("UnsupportedPlatformType", f"the document does not support {platform}")

    # "The ExecutionStage filter can't be used with the ListCommandInvocations operation", the others can.
    # "InvokedAfter: Specify a timestamp to limit your results." (API_CommandFilter) "MaxResults: The maximum number of
    # items to return for this call. The call also returns a token that you can specify in a subsequent call to get the
    # next set of results", at most 50. (API_ListCommandInvocations)
    def list_command_invocations(self) -> ActionResult:
        found = [each for each in self.commands.seen(stale=self.stale) if self._asked_for(each)]
        begin, most = int(self._get_param("NextToken") or 0), int(self._get_param("MaxResults") or 50)
        details = bool(self._get_param("Details"))
        page = [each.shown(plugins=details) for each in found[begin : begin + most]]
        more = {"NextToken": str(begin + most)} if len(found) > begin + most else {}
        return ActionResult({"CommandInvocations": page, **more})

    def _asked_for(self, each: Invocation) -> bool:
        asked = [(self._get_param("CommandId"), each.command_id), (self._get_param("InstanceId"), each.instance)]
        for filtered in self._get_param("Filters") or ():
            match filtered["key"]:
                case "DocumentName":
                    asked.append((filtered["value"], each.document))
                case "InvokedAfter":
                    after = datetime.fromisoformat(filtered["value"])
                    asked.append((True, each.requested > after))
                case other:
                    raise refused("InvalidFilterKey", f"{other} is not emulated")
        return all(wanted in (None, is_) for wanted, is_ in asked)

    # "This operation does not return information for nodes that are either Stopped or Terminated." "PingStatus:
    # Connection status of SSM Agent." (API_DescribeInstanceInformation, API_InstanceInformation)
    def describe_instance_information(self) -> ActionResult:
        wanted = {key["Key"]: key["Values"] for key in self._get_param("Filters") or ()}.get("InstanceIds")
        agents = self.commands.script.agents.items()
        shown = [
            {"InstanceId": instance, "PingStatus": ping, "PlatformType": platform, "ResourceType": "EC2Instance"}
            for instance, (ping, platform) in agents
            if state_of(instance) not in (None, "stopped", "terminated") and (wanted is None or instance in wanted)
        ]
        return ActionResult({"InstanceInformationList": shown})


# "allowedPattern: The regular expression the parameter must match." "allowedValues: An array of values allowed for the
# parameter." One without a default is required. (Systems Manager user guide, Data elements and parameters)
def check_parameters(defined: Mapping[str, Any], given: Mapping[str, list[str]]) -> None:
    for trouble in parameter_troubles(defined, given):
        raise refused("InvalidParameters", trouble)


def parameter_troubles(defined: Mapping[str, Any], given: Mapping[str, list[str]]) -> Iterator[str]:
    yield from (f"{name} is not a parameter of the document" for name in given.keys() - defined.keys())
    for name, rule in defined.items():
        if name not in given:
            if "default" not in rule:
                yield f"{name} is required"
            continue
        [value] = given[name]
        if not re.search(rule.get("allowedPattern", ""), value):
            yield f"{name} does not match {rule['allowedPattern']}"
        if value not in rule.get("allowedValues", [value]):
            yield f"{name} is not one of {rule['allowedValues']}"


def mend(commands: Commands) -> type[SimpleSystemManagerResponse]:
    return cast("type[SimpleSystemManagerResponse]", type("MendedSSM", (MendedSSM,), {"commands": commands}))
