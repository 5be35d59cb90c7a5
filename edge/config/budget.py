"""The arithmetic: how long a failure takes to detect, and a fail-over at its worst."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from edge.config.models import Aws, Config, Probe, RouteTable, Service
from edge.config.values import FenceKind, StoreKind
from edge.durations import duration_text
from edge.failover.model import Mode

# A stage of a switch tries again and again; the last try begins within these seconds (edge.switches.runner.Pace) after
# a pause, and each of its calls may take its whole time-out: an address is described and changed; of Route 53 the zone
# and its record sets are read and a batch is sent.
_TRIES_S, _PAUSE_S = 3.0, 0.5
_ADDRESS_CALLS, _ROUTE53_CALLS = 2, 3
_FENCE_CALLS = {FenceKind.UNASSIGN: 2, FenceKind.ISOLATE: 5, FenceKind.STOP: 2}  # isolating tries its two calls dry
_REJOIN_CALLS = 2
_DEMOTE_CALLS, _PROMOTE_CALLS = 4, 3  # its commands and its agent are read, then one is sent; the old node's state too
_COMMIT_S = 0.1  # the journal's and the store's fsync: 5-20 ms on a disk in order
_FLIP_S = 0.05  # a new table of answers to every DNS worker, and their word that they have it


SILENT_FALL = 3  # failures in silence that loss on a clean line explains less than once in a million


@dataclass(frozen=True, slots=True)
class Term:
    name: str
    seconds: float
    arithmetic: str


def detection_s(probe: Probe) -> float:
    """At worst: the node falls silent just after an answer, every pause is at the jitter's far end.

    A silent node takes one probe more than `fall`, and three failures at least: others have to answer meanwhile, so
    often that loss can't explain it (edge.failover.verdict). One whose host refuses takes `fall` probes.
    """
    return probe.interval_s * (_silent_probes(probe) + 1) * (1 + probe.jitter) + probe.timeout_s


def _silent_probes(probe: Probe) -> int:
    return max(probe.fall, SILENT_FALL)


def detection_text(probe: Probe) -> str:
    return (
        f"interval {duration_text(probe.interval_s)} x (fall {_silent_probes(probe)} + 1 to prove that the path works)"
        f" x {1 + probe.jitter:g} for jitter + timeout {duration_text(probe.timeout_s)}"
        f" = {duration_text(detection_s(probe))}"
    )


def fastest_probe(config: Config) -> Probe:
    """Its interval and time-out are the witnesses' too: as fresh as what they are compared with."""
    return min((service.probe for service in config.services), key=lambda probe: probe.interval_s)


def failover_budget(service: Service, config: Config) -> tuple[Term, ...]:
    """From a node's death to its clients' right answer, at worst, in the order in which it happens."""
    return (
        Term("detect", detection_s(service.probe), detection_text(service.probe)),
        *_agree_terms(config),
        *_lead_terms(config),
        *_decide_terms(service),
        *(_aws_terms(service, config.aws) if config.aws else ()),
        Term("answer", _FLIP_S, f"every DNS worker has the new table: {duration_text(_FLIP_S)}"),
        Term("ttl", service.ttl_s, f"a forwarder may keep the old answer for {service.ttl_s} s"),
    )


def switch_budget(service: Service, config: Config) -> tuple[Term, ...]:
    """From a promotion to its clients' right answer, at worst."""
    return tuple(term for term in failover_budget(service, config) if term.name not in ("detect", "agree", "approve"))


def _agree_terms(config: Config) -> Iterator[Term]:
    """Another vantage's report is written at once. The leader reads it soon where it sees the failure too."""
    if len(config.vantage.names) > 1 and config.aws:
        renew_s, call_s = config.lease.renew_s, config.aws.call_s
        renew, call = duration_text(renew_s), duration_text(call_s)
        text = f"others' reports are written {call}, and read {call} at the next lease renew {renew} at the latest"
        yield Term("agree", renew_s + 2 * call_s, f"{text} = {duration_text(renew_s + 2 * call_s)}")


def _lead_terms(config: Config) -> Iterator[Term]:
    """What is waited for where the leader dies with the node. Detection goes on meanwhile, and is counted in full."""
    if config.store.kind is StoreKind.DYNAMODB:
        lease = config.lease
        seconds = lease.duration_s + lease.renew_s / 4
        parts = f"lease duration {duration_text(lease.duration_s)} + a look {duration_text(lease.renew_s / 4)}"
        yield Term("lead", seconds, f"only where the leader dies too: {parts} = {duration_text(seconds)}")


def _decide_terms(service: Service) -> Iterator[Term]:
    yield Term("decide", _COMMIT_S, f"the intent is on the disk: {duration_text(_COMMIT_S)}")
    if service.mode is not Mode.AUTO:
        yield Term("approve", math.inf, f'mode is "{service.mode.value}": a person decides, in their own time')


def _aws_terms(service: Service, aws: Aws) -> Iterator[Term]:
    switch, fence = service.switch, service.fence
    yield from _demote_terms(service, aws)
    if fence.kind not in (FenceKind.NONE, FenceKind.GUEST):
        yield _stage("fence", fence.deadline_s, _FENCE_CALLS[fence.kind], aws)
    if fence.kind is FenceKind.ISOLATE:
        yield _stage("rejoin", fence.deadline_s, _REJOIN_CALLS, aws)
    if switch.secondary_ip:
        yield _stage("move", switch.secondary_ip.deadline_s, _ADDRESS_CALLS, aws)
    if switch.route_table:
        yield _stage("route", switch.route_table.deadline_s, _route_calls(switch.route_table), aws)
    if switch.elastic_ip:
        yield _stage("public", switch.elastic_ip.deadline_s, _ADDRESS_CALLS, aws)
    yield from _promote_terms(service, aws)
    if switch.route53:
        yield _stage("publish", _TRIES_S, _ROUTE53_CALLS, aws)


def _demote_terms(service: Service, aws: Aws) -> Iterator[Term]:
    for name in service.guest.demotion if service.guest else ():
        yield _stage(name, service.demotion_deadline_s, _DEMOTE_CALLS, aws)


def _promote_terms(service: Service, aws: Aws) -> Iterator[Term]:
    if service.guest:
        for name in service.guest.promotion:
            yield _stage(name, service.guest.deadline_s, _PROMOTE_CALLS, aws)


def _route_calls(route: RouteTable) -> int:
    """The tables and the interface are read; each table is written, and where there are several, tried dry before."""
    tables = len(route.tables)
    return 2 + tables + (tables if tables > 1 else 0)


def _stage(name: str, tries_s: float, calls: int, aws: Aws) -> Term:
    seconds = tries_s + _PAUSE_S + calls * aws.call_s
    connect, read = duration_text(aws.connect_timeout_s), duration_text(aws.read_timeout_s)
    last = f"{calls} calls x (2 x connect {connect} + read {read})"
    tries = f"tries begin within {duration_text(tries_s)} + pause {duration_text(_PAUSE_S)}"
    return Term(name, seconds, f"{tries} + the last one's {last} = {duration_text(seconds)}")
