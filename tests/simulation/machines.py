"""The nodes as EC2 and Systems Manager have them: what a fence takes away, what runs in a guest, and when it is so.

A node that is stopped, or in quarantine, shows nothing to anybody, whatever else befalls it. Some time later a person
starts it, or gives it its own groups back.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any

from edge.failover.model import Stage
from edge.switches import guest, isolate, stop
from edge.switches.contract import Step, Verify
from tests.failover.world import Shown
from tests.simulation.host import Timeline

if TYPE_CHECKING:
    from tests.simulation.far import Nodes

INSTANCES = {"a": "i-a", "b": "i-b"}
NODES = {instance: node for node, instance in INSTANCES.items()}
OWN, QUARANTINE = ("sg-own",), ("sg-quarantine",)
STALE_S = 2.0  # a list of commands is as old as that at most
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
FENCE_S, GUEST_S = 60.0, 15.0  # config/public-elastic-ip.toml and config/guest-steps.toml


class Fence(Enum):
    UNASSIGN = "unassign"
    ISOLATE = "isolate"
    STOP = "stop"
    GUEST = "guest"


def fencing(kind: Fence, session: Any) -> Sequence[Step]:
    """The steps of such a fence, beside that of the address: as edge.agent.build has them."""
    if kind is Fence.STOP:
        return (stop.Stop(session, stop.Settings(INSTANCES), FENCE_S),)
    if kind is Fence.ISOLATE:
        settings = isolate.Settings(QUARANTINE, {"a": "eni-a", "b": "eni-b"})
        rejoin = isolate.Rejoin(session, settings)
        return isolate.Isolate(session, settings), rejoin, Verify("groups", rejoin, None, lambda _: (True, ""))
    if kind is Fence.GUEST:
        return (_run("demote", Stage.FENCE, session),)
    return ()


def promoting(kind: Fence, session: Any) -> Sequence[Step]:
    return (_run("promote", Stage.MOVE, session),) if kind is Fence.GUEST else ()


def _run(name: str, stage: Stage, session: Any) -> Step:
    given = {node: {"address": "10.0.1.100"} for node in INSTANCES}
    return guest.Run(name, stage, session, guest.Settings("files", f"Files-{name}", INSTANCES, given), GUEST_S)


@dataclass(slots=True)
class Command:
    """`sent_at`: in the world's time."""

    id: str
    instance: str
    document: str
    comment: str
    epoch: int
    sent_at: float
    status: str = "Pending"
    output: str = ""

    def listed(self) -> Mapping[str, Any]:
        return {
            "CommandId": self.id,
            "Comment": self.comment,
            "RequestedDateTime": BEGAN + timedelta(seconds=self.sent_at),
            "Status": self.status,
            "StatusDetails": self.status,
            "CommandPlugins": [{"Output": self.output}],
        }


class Machines:
    """Its methods with AWS's names are AWS's calls."""

    def __init__(self, timeline: Timeline, rng: random.Random, nodes: "Nodes") -> None:
        self._timeline, self._rng, self._nodes = timeline, rng, nodes
        self._states = dict.fromkeys(INSTANCES.values(), "running")
        self._groups = dict.fromkeys(("eni-a", "eni-b"), OWN)
        self._tags: dict[str, str] = {}
        self._commands: list[Command] = []
        self._highest = dict.fromkeys(INSTANCES, 0)
        self._fenced_at: dict[str, float] = {}

    def fenced_since(self, node: str, since: float) -> bool:
        """Whether it was fenced at some moment since then."""
        fenced = self._states[INSTANCES[node]] == "stopped" or self._groups[f"eni-{node}"] == QUARANTINE
        return fenced or self._fenced_at.get(node, -1.0) >= since

    def mended(self) -> None:
        """By a person."""
        for node, instance in INSTANCES.items():
            self._starts(instance)
            self._rejoins(f"eni-{node}")

    def _let(self, node: str, out: bool) -> None:
        self._nodes.fenced(node, out)
        self._fenced_at[node] = self._timeline.now

    # --- isolate ------------------------------------------------------------------------------------------------------

    def interface(self, eni: str) -> Mapping[str, Any]:
        """What else a describe tells of it."""
        tags = [{"Key": isolate.TAG, "Value": self._tags[eni]}] if eni in self._tags else []
        return {"Groups": [{"GroupId": group} for group in self._groups[eni]], "TagSet": tags}

    def create_tags(self, Resources: list[str], Tags: list[Mapping[str, str]]) -> Mapping[str, Any]:  # noqa: N803 AWS's
        self._tags[Resources[0]] = Tags[0]["Value"]
        return {}

    def modify_network_interface_attribute(self, NetworkInterfaceId: str, Groups: list[str]) -> Mapping[str, Any]:  # noqa: N803
        self._regroups(NetworkInterfaceId, tuple(Groups))
        if tuple(Groups) == QUARANTINE:
            self._timeline.after(self._rng.uniform(30.0, 150.0), lambda: self._rejoins(NetworkInterfaceId))
        return {}

    def _regroups(self, eni: str, groups: tuple[str, ...]) -> None:
        self._groups[eni] = groups
        self._let(eni.removeprefix("eni-"), groups == QUARANTINE)

    def _rejoins(self, eni: str) -> None:
        if self._groups[eni] != OWN:
            self._regroups(eni, OWN)

    # --- stop ---------------------------------------------------------------------------------------------------------

    def describe_instances(self, InstanceIds: list[str]) -> Mapping[str, Any]:  # noqa: N803
        found = [{"InstanceId": each, "State": {"Name": self._states[each]}} for each in InstanceIds]
        return {"Reservations": [{"Instances": found}]}

    def stop_instances(self, InstanceIds: list[str], **_: Any) -> Mapping[str, Any]:  # noqa: N803
        for instance in InstanceIds:
            if self._states[instance] == "running":
                self._states[instance] = "stopping"
                self._timeline.after(self._rng.choice((2.0, 20.0, 70.0)), lambda each=instance: self._stopped(each))  # type: ignore[misc]
        return {}

    def _stopped(self, instance: str) -> None:
        self._states[instance] = "stopped"
        self._let(NODES[instance], True)
        self._timeline.after(self._rng.uniform(30.0, 150.0), lambda: self._starts(instance))

    def _starts(self, instance: str) -> None:
        if self._states[instance] == "stopped":
            self._states[instance] = "running"
            self._let(NODES[instance], False)

    # --- guests -------------------------------------------------------------------------------------------------------

    def describe_instance_information(self, Filters: list[Mapping[str, Any]]) -> Mapping[str, Any]:  # noqa: N803
        ping = "Online" if self._runs(Filters[0]["Values"][0]) else "ConnectionLost"
        return {"InstanceInformationList": [{"PingStatus": ping, "PlatformType": "Linux"}]}

    def _runs(self, instance: str) -> bool:
        shown = self._nodes.shown(NODES[instance], self._timeline.now)
        return self._states[instance] == "running" and shown not in (Shown.SILENT, Shown.HUNG)

    def list_command_invocations(self, InstanceId: str, CommandId: str = "", **_: Any) -> Mapping[str, Any]:  # noqa: N803
        until = self._timeline.now - self._rng.choice((0.0, 0.0, 0.0, self._rng.uniform(0.0, STALE_S)))
        known = [each for each in self._commands if each.instance == InstanceId and each.sent_at <= until]
        return {"CommandInvocations": [each.listed() for each in known if CommandId in ("", each.id)]}

    def send_command(self, InstanceIds: list[str], DocumentName: str, Comment: str, **more: Any) -> Mapping[str, Any]:  # noqa: N803
        epoch, instance = int(more["Parameters"]["epoch"][0]), InstanceIds[0]
        sent = Command(f"c-{len(self._commands)}", instance, DocumentName, Comment, epoch, self._timeline.now)
        self._commands.append(sent)
        self._timeline.after(self._rng.uniform(0.1, 2.0), lambda: self._delivered(sent, 15))
        return {"Command": {"CommandId": sent.id, "InstanceIds": InstanceIds}}

    def _delivered(self, sent: Command, tries: int) -> None:
        if self._runs(sent.instance):
            sent.status = "InProgress"
            self._timeline.after(self._rng.choice((0.2, 2.0, 8.0)), lambda: self._ended(sent))
        elif tries:
            self._timeline.after(2.0, lambda: self._delivered(sent, tries - 1))
        else:
            sent.status = "TimedOut"

    def _ended(self, sent: Command) -> None:
        """As our documents do it: an older epoch than one that was there is refused."""
        node = NODES[sent.instance]
        if sent.epoch < self._highest[node]:
            sent.status, sent.output = "Failed", f"edge: epoch {self._highest[node]} is newer"
            return
        self._highest[node] = sent.epoch
        sent.status, sent.output = self._rng.choice((("Success", "done"),) * 9 + (("Failed", "the volume is busy"),))
        if sent.status == "Success" and sent.document == "Files-demote":
            self._fenced_at[node] = self._timeline.now
