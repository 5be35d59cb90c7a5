"""Guest steps: what has to happen inside an instance, by documents that Systems Manager's agent runs there.

    this switch's command? ─▶ none: is the agent there? ─▶ SendCommand ─▶ pending ─▶ Success: done, with what it printed
                                      ▲                                        └──▶ Failed, timed out: told, once;
                                      └───────────────────────────────────────────  the next try sends another

SendCommand has no client token: each call is a command of its own, and runs (AWS, *SendCommand*). So a command says in
its comment which switch and step it is for, and before one is sent those of the last hour are read. So it is found
after a time-out, and by another agent after a crash. Two may run all the same, where the list did not show the first
one yet (AWS, *GetCommandInvocation*: eventual consistency): a document is written to be repeated.

A command outlives the permission with which it was sent: AWS tries to deliver it for 30 s at least. So each document is
told the epoch. Ours keep the highest one in the guest and refuse an older one, which ends the switch as a conflict;
whatever prints the same sentence and fails does so too.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from edge.errors import CloudError, Fault
from edge.failover.model import Intent, Stage
from edge.switches import instances
from edge.switches.contract import Call, Need, NewerEpochError, Plan, Step
from edge.switches.session import Session

DELIVERY_S = 30  # the shortest that SendCommand takes: what was not begun by then never is
REMEMBERED = timedelta(hours=1)  # AWS refuses a clock that is five minutes off, so ours is good enough for this
OUTPUT_LIMIT = 400  # characters of what a document printed that the journal and the history keep
_COMMENT_LIMIT = 100
_UNDER_WAY = {"Pending", "InProgress", "Delayed", "Cancelling"}
_NEWER = re.compile(r"edge: epoch (\d+) is newer")
_EVERY = ("service", "epoch", "node")  # the parameters that each document is given


@dataclass(frozen=True, slots=True)
class Settings:
    """What is run, and where. `instances` (i-...) and `given`, the document's further parameters, by node.

    `platform`: "Linux" or "Windows", where the document is for one of them alone.
    """

    service: str
    document: str
    instances: Mapping[str, str]
    given: Mapping[str, Mapping[str, str]]
    platform: str | None = None


class Run(Step):
    """Stage fence: the document has run at each node that may still act for the service, or the node's instance is
    down. Stage move: it has run at the target.
    """

    def __init__(
        self,
        name: str,
        stage: Stage,
        session: Session,
        settings: Settings,
        within_s: float | None = None,
        *,
        required: bool = True,
    ) -> None:
        self.name, self.stage, self.within_s, self.required = name, stage, within_s, required
        self._session = session
        self._settings = settings
        self._sent: dict[tuple[int, str], str] = {}  # our own commands, by epoch and instance
        self._told: dict[str, str] = {}  # the failed command of an instance that was told of

    def plan(self, intent: Intent) -> Plan:
        plans = [self._at(intent, node) for node in self._nodes(intent)]
        evidence = "; ".join(plan.evidence for plan in plans) or f"no node is to run {self._settings.document}"
        return Plan(evidence, tuple(c for plan in plans for c in plan.calls), any(plan.pending for plan in plans))

    def applied(self, intent: Intent, answer: Mapping[str, Any]) -> None:
        """What was sent is asked for by its id from now on: a list may not show it yet."""
        command = answer["Command"]
        known = {key: sent for key, sent in self._sent.items() if key[0] == intent.epoch}
        self._sent = {**known, **{(intent.epoch, each): command["CommandId"] for each in command["InstanceIds"]}}

    def check(self) -> str:
        """Whether each agent can run the document, and the document takes what it will be given."""
        for node in self._settings.instances:
            if trouble := self._trouble(node):
                raise trouble
        document = self._settings.document
        described = self._session.read("ssm", "describe_document", Name=document)["Document"]
        has = {each["Name"] for each in described.get("Parameters", ())}
        missing = sorted({*_EVERY, *(name for given in self._settings.given.values() for name in given)} - has)
        if missing:
            message = f"{document} has no parameter {', '.join(missing)}, which it is given"
            raise CloudError("DescribeDocument", Fault.IMPOSSIBLE, message)
        return f"{document} is there, and the SSM agents of {' and '.join(self._settings.instances)} are online"

    def needs(self) -> tuple[Need, ...]:
        where = (f"ec2:instance/{instance}" for instance in self._settings.instances.values())
        return (Need("ssm:SendCommand", (f"document/{self._settings.document}", *where)),)

    def _nodes(self, intent: Intent) -> list[str]:
        if self.stage is Stage.FENCE:
            return [node for node in self._settings.instances if node in intent.outgoing]
        return [intent.node]

    def _at(self, intent: Intent, node: str) -> Plan:
        sent = self._sent.get((intent.epoch, self._settings.instances[node]))
        found = self._found(intent, node, sent)
        if found:
            return self._after(intent, node, found)
        if sent:
            return Plan(f"{self._where(node)}: command {sent} is not listed yet", pending=True)
        return self._first(intent, node)

    # --- what has been sent -------------------------------------------------------------------------------------------

    def _found(self, intent: Intent, node: str, sent: str | None) -> Mapping[str, Any] | None:
        """The newest command for this step of this switch, as the instance has it."""
        since = (datetime.now(UTC) - REMEMBERED).strftime("%Y-%m-%dT%H:%M:%SZ")
        filters = [{"key": "DocumentName", "value": self._settings.document}, {"key": "InvokedAfter", "value": since}]
        asked = {"CommandId": sent} if sent else {"Filters": filters}
        listed = self._listed(InstanceId=self._settings.instances[node], Details=True, **asked)
        ours = [each for each in listed if each.get("Comment") == self._comment(intent)]
        return max(ours, key=lambda each: each["RequestedDateTime"], default=None)

    def _listed(self, **asked: Any) -> Iterator[Mapping[str, Any]]:
        token: Mapping[str, str] = {}
        while True:
            page = self._session.read("ssm", "list_command_invocations", **asked, **token)
            yield from page["CommandInvocations"]
            if not page.get("NextToken"):
                return
            token = {"NextToken": page["NextToken"]}

    def _comment(self, intent: Intent) -> str:
        """Epochs begin anew where all state is lost: the whole intent tells this switch from one of then."""
        whole = repr((self._settings.service, intent.cause.value, intent.who, intent.sentence, intent.outgoing))
        digest = hashlib.sha256(f"{intent.epoch} {intent.node} {whole}".encode()).hexdigest()[:12]
        return f"edge {digest} {self.name} {self._settings.service}@{intent.epoch}"[:_COMMENT_LIMIT]

    def _after(self, intent: Intent, node: str, found: Mapping[str, Any]) -> Plan:
        output = " ".join(plugin.get("Output", "") for plugin in found.get("CommandPlugins", ()))
        said = (
            f"{self._where(node)}: {found['StatusDetails']}: {' '.join(output.split())[:OUTPUT_LIMIT] or 'no output'}"
        )
        if found["Status"] == "Success":
            return Plan(said)
        if found["Status"] in _UNDER_WAY:
            return Plan(said, pending=True)
        if newer := _NEWER.search(output):
            raise NewerEpochError("SendCommand", int(newer[1]), said)
        if self._told.get(node) == found["CommandId"]:
            return self._first(intent, node)
        self._told[node] = found["CommandId"]
        raise CloudError("SendCommand", Fault.IMPOSSIBLE, said)

    # --- sending ------------------------------------------------------------------------------------------------------

    def _first(self, intent: Intent, node: str) -> Plan:
        trouble = self._trouble(node)
        if trouble and self.stage is Stage.FENCE and (state := self._down(node)):
            return Plan(f"{self._settings.instances[node]} of {node} is {state}")
        if trouble:
            raise trouble
        return Plan(f"{self._where(node)}: it was not run", (self._call(intent, node),))

    def _call(self, intent: Intent, node: str) -> Call:
        given = {"service": self._settings.service, "epoch": str(intent.epoch), "node": node}
        parameters = {
            "InstanceIds": [self._settings.instances[node]],
            "DocumentName": self._settings.document,
            "Comment": self._comment(intent),
            "TimeoutSeconds": DELIVERY_S,
            "Parameters": {name: [value] for name, value in {**given, **self._settings.given[node]}.items()},
        }
        return Call("ssm", "send_command", parameters)

    def _trouble(self, node: str) -> CloudError | None:
        """Why the node's agent can't run the document."""
        api, instance = "DescribeInstanceInformation", self._settings.instances[node]
        asked = [{"Key": "InstanceIds", "Values": [instance]}]
        found = self._session.read("ssm", "describe_instance_information", Filters=asked)["InstanceInformationList"]
        if not found:
            said = f"{instance} of {node} is not managed by Systems Manager: its SSM agent has to run, and to be let in"
            return CloudError(api, Fault.IMPOSSIBLE, f"{said} (AmazonSSMManagedInstanceCore in the instance profile)")
        ping, runs = found[0]["PingStatus"], found[0]["PlatformType"]
        if ping != "Online":  # which is worth waiting for where the stage needs it
            fault = Fault.UNREACHABLE if self.required else Fault.IMPOSSIBLE
            return CloudError(api, fault, f"the SSM agent of {instance} of {node} is not online: {ping}")
        if self._settings.platform not in (None, runs):
            said = f"{instance} of {node} runs {runs}, and {self._settings.document} is for {self._settings.platform}"
            return CloudError(api, Fault.IMPOSSIBLE, said)
        return None

    def _down(self, node: str) -> str | None:
        """The state of an instance in which nothing runs. Systems Manager tells nothing of it then."""
        state = instances.states(self._session, {node: self._settings.instances[node]})[node]
        return state if state in instances.DOWN else None

    def _where(self, node: str) -> str:
        return f"{self._settings.document} at {self._settings.instances[node]} of {node}"
