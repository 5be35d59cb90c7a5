"""From the configuration to the parts: what each of them is told, and nothing else of it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from edge.agent.answers import answers
from edge.config import (
    Config,
    FenceKind,
    Guest,
    GuestOs,
    Node,
    Role,
    Service,
    StoreKind,
    Topology,
    detection_s,
    fastest_probe,
)
from edge.failover.lease import Keeper, Timing
from edge.failover.model import Listed, Policy, Stage, Thresholds
from edge.probes.loop import KINDS, WITNESS, Target
from edge.stores.dynamodb import Calls
from edge.stores.records import Clock
from edge.stores.served import Served
from edge.switches import elastic_ip, guest, isolate, route53, route_table, secondary_ip, stop
from edge.switches.contract import Call, Reached, Side, Step, Verify
from edge.switches.runner import Pace
from edge.switches.session import WARM, Session, Settings

STALE_DETECTIONS = 2  # an endpoint that was not probed for two detection times is unknown: our own loop hangs


def policy(config: Config, service: Service) -> Policy:
    """The machine's rules for one service."""
    return Policy(
        service=service.name,
        nodes=tuple(node.name for node in service.nodes),
        witnesses=tuple(witness.name for witness in config.path.witnesses),
        thresholds=Thresholds(service.probe.fall, service.probe.rise, service.probe.leaky),
        stale_s=STALE_DETECTIONS * detection_s(service.probe),
        hold_down_s=service.hold_down_s,
        switches_per_hour=service.switches_per_hour,
        loss_limit=config.path.loss_limit,
        stages=stages(service),
        mode=service.mode,
        authority=service.authority,
        on_outage=service.on_aws_outage,
        fence_required=service.fence.required,
        on_drift=service.drift,
        drift_per_hour=service.drift_per_hour,
        vantage=config.agent.name,
        peers=tuple(name for name in config.vantage.names if name != config.agent.name),
        quorum=config.vantage.needed,
        listed=listed(config),
        unanimous=config.vantage.unanimous,
        report_s=config.lease.duration_s,
        lease_margin_s=config.aws.call_s if config.aws else 0.0,
    )


def listed(config: Config) -> Listed:
    """Their order in the file says nothing."""
    vantage = config.vantage
    return Listed(tuple(sorted(vantage.agents)), tuple(sorted(vantage.witnesses)), vantage.needed)


def stages(service: Service) -> frozenset[Stage]:
    demotes = service.guest is not None and bool(service.guest.demotion)
    promotes = service.guest is not None and bool(service.guest.promotion)
    wanted = {
        Stage.FENCE: service.fence.kind is not FenceKind.NONE or demotes,
        Stage.MOVE: service.switch.moves or service.fence.kind is FenceKind.ISOLATE or promotes,
        Stage.PUBLISH: service.switch.route53 is not None,
        Stage.VERIFY: bool(service.switch) or service.fence.kind is FenceKind.ISOLATE,
    }
    return frozenset(stage for stage, there in wanted.items() if there)


def node_targets(service: Service) -> list[Target]:
    return [_target(service, node.name, node.addresses[0], service.port(node)) for node in service.nodes]


def _target(service: Service, endpoint: str, address: str, port: int) -> Target:
    probe = service.probe
    return Target(endpoint, address, port, KINDS[probe.kind], probe.interval_s, probe.timeout_s, probe.jitter)


def address_target(service: Service, address: str) -> Target:
    """The service as it is reached through an address that moves."""
    return _target(service, address, address, service.probe.port)


def witness_targets(config: Config) -> list[Target]:
    probe = fastest_probe(config)
    pace = (probe.interval_s, probe.timeout_s, probe.jitter)
    return [Target(each.name, each.tcp.address, each.tcp.port, WITNESS, *pace) for each in config.path.witnesses]


def dynamodb(session: Session) -> Calls:
    def call(method: str, **parameters: Any) -> Mapping[str, Any]:
        return session.call(Call("dynamodb", method, parameters))

    return call


def store_session(config: Config) -> Session:
    """For the store alone, and for nobody to hear of."""
    settings = aws(config)
    if settings is None:
        raise AssertionError("a shared store without AWS")
    return Session(replace(settings, warm=("dynamodb",)), lambda *_: None)


def keeper(config: Config, clock: Clock, served: Served) -> Keeper:
    """One state directory within one boot: a successor of ours takes its lease over at once, a copy of it elsewhere
    never does.
    """
    timing = Timing(config.lease.duration_s, config.lease.renew_s)
    candidate = config.agent.role is Role.CANDIDATE
    return Keeper(config.agent.name, f"{clock.boot}/{served.identity}", timing, candidate=candidate)


def aws(config: Config) -> Settings | None:
    if config.aws is None:
        return None
    endpoints = {name: url for name, url in config.aws.endpoints if url}
    guests, shared = any(service.guest for service in config.services), config.store.kind is StoreKind.DYNAMODB
    warm = (*WARM, *(("ssm",) if guests else ()), *(("dynamodb",) if shared else ()))
    return Settings(config.aws.region, config.aws.connect_timeout_s, config.aws.read_timeout_s, endpoints, warm)


@dataclass(frozen=True, slots=True)
class Switches:
    """The AWS side of one service: the steps in the order in which a stage runs them, and what in-VPC clients are told
    by.
    """

    steps: tuple[Step, ...]
    sides: tuple[Side, ...]
    pace: Pace


NO_SWITCHES = Switches((), (), Pace())


def switches(service: Service, session: Session, reached: Reached) -> Switches:
    made = (
        _demotion(service, session),
        _fence(service, session, reached),
        _secondary_ip(service, session, reached),
        _route_table(service, session, reached),
        _elastic_ip(service, session, reached),
        _promotion(service, session),
        _route53(service, session),
    )
    steps = tuple(step for part, _ in made for step in part)
    return Switches(steps, tuple(side for _, side in made if side), Pace())


Part = tuple[tuple[Step, ...], Side | None]
NOTHING: Part = ((), None)


def _demotion(service: Service, session: Session) -> Part:
    """Before the fence: security groups may cut the agent in the guest off, and a stopped guest lets go of nothing."""
    fences = service.fence.kind is FenceKind.GUEST
    return _guest(service, session, Stage.FENCE, service.demotion_deadline_s, required=fences)


def _promotion(service: Service, session: Session) -> Part:
    """Once everything has moved to the node."""
    within_s = service.guest.deadline_s if service.guest else 0.0
    return _guest(service, session, Stage.MOVE, within_s, required=True)


def _guest(service: Service, session: Session, stage: Stage, within_s: float, *, required: bool) -> Part:
    told = service.guest
    if told is None:
        return NOTHING
    names = told.demotion if stage is Stage.FENCE else told.promotion
    runs = [(name, _run(service, told, name)) for name in names]
    return tuple(guest.Run(name, stage, session, run, within_s, required=required) for name, run in runs), None


def _run(service: Service, told: Guest, step: str) -> guest.Settings:
    """Every document is told the address that moves; where none does, the node's own."""
    moving = next(iter(service.moving_addresses), None)
    given = {node.name: {"address": moving or node.addresses[0]} for node in service.nodes}
    own = {"demote": told.on_demote, "promote": told.on_promote}.get(step)
    if own:
        return guest.Settings(service.name, own, _instances(service), given)
    document, platform = _ADDRESS_DOCUMENTS[told.os or GuestOs.LINUX]
    action = {"action": step.removeprefix("address-")}
    whole = {node.name: {**given[node.name], **action, **_interface_in_guest(told, node)} for node in service.nodes}
    return guest.Settings(service.name, document, _instances(service), whole, platform)


# Ours, of deploy/ssm, and the system that each is for, as Systems Manager spells it.
_ADDRESS_DOCUMENTS = {
    GuestOs.LINUX: ("Edge-LinuxAddress", "Linux"),
    GuestOs.WINDOWS: ("Edge-WindowsAddress", "Windows"),
}


def _interface_in_guest(told: Guest, node: Node) -> dict[str, str]:
    if told.interface_name:
        return {"interfaceName": told.interface_name}
    return {"nodeAddress": next(address for address in node.addresses if ":" not in address)}


def _fence(service: Service, session: Session, reached: Reached) -> Part:
    """`unassign` stands with the address that it takes away."""
    fence, within_s = service.fence, service.fence.deadline_s
    if fence.kind is FenceKind.STOP:
        return (stop.Stop(session, stop.Settings(_instances(service), fence.skip_os_shutdown), within_s),), None
    if fence.kind is FenceKind.ISOLATE:
        settings = isolate.Settings(fence.quarantine, _interfaces(service))
        rejoin = isolate.Rejoin(session, settings, within_s)
        return (isolate.Isolate(session, settings, within_s), rejoin, Verify("groups", rejoin, None, reached)), None
    return NOTHING


def _secondary_ip(service: Service, session: Session, reached: Reached) -> Part:
    moving = service.switch.secondary_ip
    if moving is None:
        return NOTHING
    side = secondary_ip.Address(session, secondary_ip.Settings(moving.address, _interfaces(service)))
    assign = secondary_ip.Assign(side, moving.deadline_s)
    verify = Verify("secondary-address", assign, moving.address, reached)
    unassigns = service.fence.kind is FenceKind.UNASSIGN
    fence = (secondary_ip.Unassign(side, service.fence.deadline_s),) if unassigns else ()
    return (*fence, assign, verify), side


def _route_table(service: Service, session: Session, reached: Reached) -> Part:
    """Only over a transit gateway can the agent, outside the VPC, probe through the route."""
    routed = service.switch.route_table
    if routed is None:
        return NOTHING
    side = route_table.Routes(session, route_table.Settings(routed.destination, routed.tables, _interfaces(service)))
    lay = route_table.Lay(side, session, routed.deadline_s)
    probed = routed.destination.removesuffix("/32") if routed.topology is Topology.TRANSIT_GATEWAY else None
    return (lay, Verify("routes", lay, probed, reached)), side


def _elastic_ip(service: Service, session: Session, reached: Reached) -> Part:
    public = service.switch.elastic_ip
    if public is None:
        return NOTHING
    private = {node.name: next(a for a in node.addresses if ":" not in a) for node in service.nodes}
    settings = elastic_ip.Settings(public.allocation_id, _interfaces(service), private)
    side = elastic_ip.Address(session, settings)
    associate = elastic_ip.Associate(side, public.deadline_s)
    return (associate, Verify("public-address", associate, None, reached)), side


def _route53(service: Service, session: Session) -> Part:
    publishing = service.switch.route53
    if publishing is None:
        return NOTHING
    settings = route53.Settings(publishing.zone_id, service.name, answers(service), publishing.vpc)
    side = route53.Zone(session, settings)
    publish = route53.Publish(side)
    return (publish, route53.Verify(side, publish)), side


def _instances(service: Service) -> dict[str, str]:
    return {node.name: node.instance or "" for node in service.nodes}


def _interfaces(service: Service) -> dict[str, str]:
    return {node.name: node.interface or "" for node in service.nodes}
