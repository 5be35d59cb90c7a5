"""Cautions: what is allowed, and should be known. A sentence each, for who checks the file and for the log."""

from collections.abc import Iterator

from edge.config.models import Config, Service
from edge.config.values import FenceKind, StoreKind
from edge.failover.model import Authority, Mode, OnDrift, OnOutage

_UNFENCED = (
    '"none": a switch stops nobody. A node that was only thought to be dead goes on serving the clients that it has,'
    " and both may write"
)
_UNPROVEN = (
    '"none": the guest is asked to let go, and where it does not, the switch goes on. A node that was only thought to'
    " be dead may go on writing"
)
_OWN_WORD = (
    '"guest": the fence is the guest\'s own word. One that hangs, or has lost Systems Manager, gives none, and the'
    ' fence fails; where that must not keep the service down, "stop" or "isolate" is the fence'
)
_NOT_TAKEN = '"answer": where on_promote fails, clients are sent to a node that has not taken the share; "hold" waits'
_WAIVED = "false: where the fence fails the switch goes on, as if there were none"
_TRACKED = (
    '"isolate": security groups keep new connections out; those that they track already go on until they are idle for'
    ' long. Where sessions must end at once, "stop" is the fence'
)
_ONE_EYE = (
    "the agents share a store and no list: whoever leads decides by its own probes alone. List them all in"
    " vantage.agents, and what the others see counts too"
)
_ALL_NEEDED = (
    "while one of them is down, or can't reach the store, nothing fails over by itself. A third vantage mends that,"
    ' for example a role "witness" in the VPC'
)
_FEW_NEEDED = "less than a majority: an agent that hears of no other decides alone. Those that disagree still hold"
_FOUGHT = '"repair": what the cluster manager itself changes in AWS is changed back. Where it does, "adopt" follows it'
_UNFLUSHED = "true: what the stopped node has not written to its disks is lost"


_NEVER_UNANIMOUS = 'a person switches, and that needs the store: on_store_loss = "unanimous" never moves this service'


def cautions(config: Config) -> Iterator[str]:
    for key, text in _of_vantages(config):
        yield f"{key}: {text}"
    for i, service in enumerate(config.services):
        if config.vantage.unanimous and service.mode is not Mode.AUTO:
            yield f'service[{i}].mode: "{service.mode.value}": {_NEVER_UNANIMOUS}'
        for key, text in (*_of(service), *_shared(config, i, service)):
            yield f"service[{i}].{key}: {text}"


def _of_vantages(config: Config) -> Iterator[tuple[str, str]]:
    listed, needed = config.vantage.names, config.vantage.needed
    if config.store.kind is StoreKind.DYNAMODB and not listed:
        yield "vantage", _ONE_EYE
    if len(listed) > 1 and needed == len(listed):
        alone = ", or quorum = 1 lets the one that is left decide" if len(listed) == 2 else ""
        yield "vantage.quorum", f"{needed} of {len(listed)}: {_ALL_NEEDED}{alone}"
    if needed <= len(listed) // 2:
        yield "vantage.quorum", f"{needed} of {len(listed)}: {_FEW_NEEDED}"
    if config.vantage.witnesses and len(config.vantage.agents) == 1:
        yield "vantage.agents", f'only "{config.vantage.agents[0]}" may lead: when it is down, nobody switches'
    for i, peer in enumerate(config.peers):
        if listed and peer.name not in listed:
            yield f"peer[{i}].name", f'"{peer.name}" is not among the vantages: what it sees does not count'


def _shared(config: Config, i: int, service: Service) -> Iterator[tuple[str, str]]:
    """What else the fence takes, as it is for the whole node."""
    kind = service.fence.kind
    for j, other in enumerate(config.services):
        isolated = kind is FenceKind.ISOLATE and service.interfaces & other.interfaces
        stopped = kind is FenceKind.STOP and service.instances & other.instances
        if i != j and (isolated or stopped):
            yield "fence.kind", f'"{kind.value}": it is for the whole node, and so takes service[{j}] from it too'


def _of(service: Service) -> Iterator[tuple[str, str]]:
    """With a cluster manager, that one sees to it that only one node writes."""
    fence = service.fence
    if fence.kind is FenceKind.NONE and service.authority is Authority.AGENT:
        yield "fence.kind", _UNPROVEN if service.guest and service.guest.demotion else _UNFENCED
    if fence.kind is not FenceKind.NONE and not fence.required:
        yield "fence.required", _WAIVED
    if fence.kind is FenceKind.ISOLATE:
        yield "fence.kind", _TRACKED
    if service.drift is OnDrift.REPAIR and service.authority is Authority.CLUSTER:
        yield "drift", _FOUGHT
    if fence.kind is FenceKind.GUEST:
        yield "fence.kind", _OWN_WORD
    if service.guest and service.guest.on_promote and service.on_aws_outage is OnOutage.ANSWER:
        yield "on_aws_outage", _NOT_TAKEN
    if fence.skip_os_shutdown:
        yield "fence.skip_os_shutdown", _UNFLUSHED
