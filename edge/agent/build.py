"""From the configuration to the parts: what each of them is told, and nothing else of it."""

from dataclasses import dataclass

from edge.agent.answers import answers
from edge.config import Config, FenceKind, Service, detection_s, fastest_probe
from edge.failover.model import Policy, Stage, Thresholds
from edge.probes.loop import KINDS, WITNESS, Target
from edge.switches import route53, secondary_ip
from edge.switches.contract import Side, Step
from edge.switches.runner import Pace
from edge.switches.session import Session, Settings

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
        vantage=config.agent.name,
        lease_margin_s=0.0,
    )


def stages(service: Service) -> frozenset[Stage]:
    wanted = {
        Stage.FENCE: service.fence.kind is not FenceKind.NONE,
        Stage.MOVE: service.switch.secondary_ip is not None,
        Stage.PUBLISH: service.switch.route53 is not None,
        Stage.VERIFY: bool(service.switch),
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


def aws(config: Config) -> Settings | None:
    if config.aws is None:
        return None
    endpoints = {name: url for name, url in config.aws.endpoints if url}
    return Settings(config.aws.region, config.aws.connect_timeout_s, config.aws.read_timeout_s, endpoints)


@dataclass(frozen=True, slots=True)
class Switches:
    """The AWS side of one service: the steps in the order in which a stage runs them, and what in-VPC clients are told
    by.
    """

    steps: tuple[Step, ...]
    sides: tuple[Side, ...]
    pace: Pace


NO_SWITCHES = Switches((), (), Pace())


def switches(service: Service, session: Session, reached: secondary_ip.Reached) -> Switches:
    steps: list[Step] = []
    sides: list[Side] = []
    pace = Pace()
    if moving := service.switch.secondary_ip:
        pace = Pace(move_s=moving.deadline_s)
        address = secondary_ip.Address(session, _movable(service, moving.address))
        assign = secondary_ip.Assign(address)
        steps += [secondary_ip.Unassign(address)] if service.fence.kind is FenceKind.UNASSIGN else []
        steps += [assign, secondary_ip.Verify(assign, moving.address, reached)]
        sides.append(address)
    if publishing := service.switch.route53:
        side = route53.Zone(session, route53.Settings(publishing.zone_id, service.name, answers(service)))
        publish = route53.Publish(side)
        steps += [publish, route53.Verify(side, publish)]
        sides.append(side)
    return Switches(tuple(steps), tuple(sides), pace)


def _movable(service: Service, address: str) -> secondary_ip.Settings:
    return secondary_ip.Settings(address, {node.name: node.interface or "" for node in service.nodes})
