"""The fence `isolate`: the nodes that the switch is away from get the quarantine security groups, and no others.

    isolate: write the present groups into the interface's tag ─▶ the quarantine groups ─▶ described as such
    rejoin:  the interface has the quarantine groups ─▶ those of the tag ─▶ described as such

The tag lies on the interface, so that whichever agent makes the node live again finds the groups to give back. They are
given back when the node becomes the target of a switch, before anything moves to it.

A security group is stateful: what it tracks already is not interrupted by a change of groups, and goes on until it is
idle for long enough (EC2 user guide, *Security group connection tracking*). So this fence keeps new clients out; where
sessions must end at once, `stop` is the fence.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge.errors import CloudError, Fault
from edge.failover.model import Intent, Stage
from edge.switches import interfaces
from edge.switches.contract import Call, Need, Plan, Step
from edge.switches.session import Session

TAG = "edge-groups"
_TAG_LIMIT = 256  # characters (AWS, *Tag restrictions*): twelve groups; an interface has five unless AWS raised it


@dataclass(frozen=True, slots=True)
class Settings:
    """`quarantine`: the security groups (sg-...) of an isolated interface. `interfaces` by node."""

    quarantine: tuple[str, ...]
    interfaces: Mapping[str, str]


class Isolate(Step):
    """Stage fence: each node that may still act for the service is in quarantine. One that is gone needs no fence."""

    name, stage = "isolate", Stage.FENCE

    def __init__(self, session: Session, settings: Settings, within_s: float | None = None) -> None:
        self._session = session
        self._settings = settings
        self.within_s = within_s

    def plan(self, intent: Intent) -> Plan:
        fenced = {node: eni for node, eni in self._settings.interfaces.items() if node in intent.outgoing}
        if not fenced:
            return Plan("no node is to be isolated")
        found = interfaces.described(self._session, fenced)
        calls = [call for interface in found.values() for call in self._calls(interface)]
        return Plan(", ".join(_said(node, found.get(node)) for node in fenced), tuple(calls))

    def _calls(self, interface: Mapping[str, Any]) -> list[Call]:
        groups = _groups(interface)
        if set(groups) == set(self._settings.quarantine):
            return []
        if _isolated(interface, self._settings.quarantine) and _tagged(interface):
            # A person has let themselves in since: the tag has what was there before.
            return [_swap(interface, self._settings.quarantine)]
        return [_tag(interface), _swap(interface, self._settings.quarantine)]

    def check(self) -> str:
        """Whether the quarantine groups are there: otherwise the first who asks is a switch."""
        self._session.read("ec2", "describe_security_groups", GroupIds=list(self._settings.quarantine))
        return f"{' '.join(self._settings.quarantine)} is there"

    def needs(self) -> tuple[Need, ...]:
        """The nodes' own groups among them: they are given back by the same call."""
        found = interfaces.described(self._session, self._settings.interfaces).values()
        own = tuple(f"network-interface/{eni}" for eni in self._settings.interfaces.values())
        groups = sorted({*self._settings.quarantine, *(group for each in found for group in _groups(each))})
        instances = sorted(f"instance/{each['Attachment']['InstanceId']}" for each in found if "Attachment" in each)
        swaps = tuple(_swap(each, to) for each in found for to in (self._settings.quarantine, tuple(_groups(each))))
        return (
            Need("ec2:CreateTags", own, tuple(map(_tag, found)), {"aws:TagKeys": (TAG,)}),
            Need(
                "ec2:ModifyNetworkInterfaceAttribute",
                (*own, *instances, *(f"security-group/{group}" for group in groups)),
                swaps,
            ),
        )


class Rejoin(Step):
    """Stage move: a target that an earlier switch has isolated has its own groups again."""

    name, stage = "rejoin", Stage.MOVE

    def __init__(self, session: Session, settings: Settings, within_s: float | None = None) -> None:
        self._session = session
        self._settings = settings
        self.within_s = within_s

    def plan(self, intent: Intent) -> Plan:
        interface = interfaces.there(self._session, self._settings.interfaces, intent.node)
        said = _said(intent.node, interface)
        if not _isolated(interface, self._settings.quarantine):
            return Plan(said)
        return Plan(said, (_swap(interface, _kept(intent.node, interface)),))


def _isolated(interface: Mapping[str, Any], quarantine: tuple[str, ...]) -> bool:
    """Also where a person has added a group since, to look at the node."""
    return set(quarantine) <= set(_groups(interface))


def _groups(interface: Mapping[str, Any]) -> list[str]:
    return sorted(group["GroupId"] for group in interface["Groups"])


def _tagged(interface: Mapping[str, Any]) -> str:
    return next((tag["Value"] for tag in interface.get("TagSet", ()) if tag["Key"] == TAG), "")


def _kept(node: str, interface: Mapping[str, Any]) -> tuple[str, ...]:
    kept = _tagged(interface)
    if not kept:
        message = f"{_said(node, interface)}, and no tag {TAG} says which it had before: give it its own groups"
        raise CloudError(interfaces.DESCRIBE, Fault.IMPOSSIBLE, message)
    return tuple(kept.split())


def _tag(interface: Mapping[str, Any]) -> Call:
    eni, groups = interface["NetworkInterfaceId"], _groups(interface)
    kept = " ".join(groups)
    if len(kept) > _TAG_LIMIT:
        raise interfaces.unfit(f"{eni} has {len(groups)} security groups, more than its tag can keep")
    return Call("ec2", "create_tags", {"Resources": [eni], "Tags": [{"Key": TAG, "Value": kept}]})


def _swap(interface: Mapping[str, Any], groups: tuple[str, ...]) -> Call:
    parameters = {"NetworkInterfaceId": interface["NetworkInterfaceId"], "Groups": list(groups)}
    return Call("ec2", "modify_network_interface_attribute", parameters)


def _said(node: str, interface: Mapping[str, Any] | None) -> str:
    if interface is None:
        return f"the interface of {node} is gone"
    return f"{interface['NetworkInterfaceId']} of {node} has {' '.join(_groups(interface))}"
