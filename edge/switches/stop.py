"""The fence `stop`: the instances of the nodes that the switch is away from are stopped.

The call only begins it: the instance is `stopping` until its operating system is down, or given up on. The fence holds
when a describe shows it `stopped` (or `terminated`). `Force` ends an instance whose host is ill, after a graceful try;
`SkipOsShutdown` leaves that try out, which loses what was not flushed (AWS, *StopInstances*).

An instance that EC2 doesn't know proves nothing: the fence then fails.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from edge.failover.model import Intent, Stage
from edge.switches import instances
from edge.switches.contract import Call, Need, Plan, Step
from edge.switches.session import Session

_ON_ITS_WAY = {"stopping", "shutting-down"}


@dataclass(frozen=True, slots=True)
class Settings:
    """`instances` (i-...) by node."""

    instances: Mapping[str, str]
    skip_os_shutdown: bool = False


class Stop(Step):
    """Stage fence: no instance that may still act for the service runs."""

    name, stage = "stop", Stage.FENCE

    def __init__(self, session: Session, settings: Settings, within_s: float | None = None) -> None:
        self._session = session
        self._settings = settings
        self.within_s = within_s

    def plan(self, intent: Intent) -> Plan:
        fenced = {node: each for node, each in self._settings.instances.items() if node in intent.outgoing}
        if not fenced:
            return Plan("no node is to be stopped")
        states = instances.states(self._session, fenced)
        running = [fenced[node] for node, state in states.items() if state not in instances.DOWN | _ON_ITS_WAY]
        said = ", ".join(f"{fenced[node]} of {node} is {state}" for node, state in states.items())
        return Plan(said, self._calls(running), pending=not instances.DOWN.issuperset(states.values()))

    def check(self) -> str:
        """Whether every instance is there: a wrong id would be found by the first fence."""
        states = instances.states(self._session, self._settings.instances)
        return ", ".join(f"{self._settings.instances[node]} of {node} is {state}" for node, state in states.items())

    def needs(self) -> tuple[Need, ...]:
        all_of_them = list(self._settings.instances.values())
        resources = tuple(f"instance/{each}" for each in all_of_them)
        return (Need("ec2:StopInstances", resources, self._calls(all_of_them)),)

    def _calls(self, running: list[str]) -> tuple[Call, ...]:
        parameters = {"InstanceIds": running, "Force": True}
        if self._settings.skip_os_shutdown:
            parameters["SkipOsShutdown"] = True
        return (Call("ec2", "stop_instances", parameters),) if running else ()
