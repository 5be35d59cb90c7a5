"""Of one service: its probes, its nodes, and its times."""

import itertools
from collections.abc import Iterator

from edge.config.budget import detection_s, detection_text
from edge.config.clashes.clash import Clash, Loc, ServiceCheck
from edge.config.models import Node, Service
from edge.config.values import ProbeKind, families
from edge.durations import duration_text
from edge.failover.model import OnDrift


def _timing_keys(at: Loc, *words: str) -> tuple[Loc, ...]:
    return (*((*at, "probe", word) for word in words), (*at, "profile"))


def _timeout_fits(at: Loc, service: Service) -> Iterator[Clash]:
    probe = service.probe
    if probe.timeout_s > probe.interval_s:
        timeout, interval = duration_text(probe.timeout_s), duration_text(probe.interval_s)
        text = f"{timeout} is longer than interval {interval}: the next probe would be due before this one ended"
        yield Clash(_timing_keys(at, "timeout", "interval"), f"{text}; at most {interval}")


def _hold_down_outlasts_detection(at: Loc, service: Service) -> Iterator[Clash]:
    if service.hold_down_s < detection_s(service.probe):
        text = (
            f"{duration_text(service.hold_down_s)} is shorter than the time to detect a failure"
            f" ({detection_text(service.probe)}): the next switch could come before the new node was judged"
        )
        keys = _timing_keys(at, "interval", "fall", "jitter", "timeout")
        yield Clash(((*at, "hold_down"), *keys), text)


def _leaky_above_fall(at: Loc, service: Service) -> Iterator[Clash]:
    leaky, fall = service.probe.leaky, service.probe.fall
    if 0 < leaky < fall:
        text = f"{leaky} is full before fall {fall} failures in a row are seen; at least {fall}, or 0 for off"
        yield Clash(_timing_keys(at, "leaky", "fall"), text)


def _tcp_port_known(at: Loc, service: Service) -> Iterator[Clash]:
    probe = service.probe
    if probe.kind is ProbeKind.TCP and "port" not in probe.model_fields_set:
        yield Clash(((*at, "probe", "port"), (*at, "probe", "kind")), "missing: tcp has no port of its own")


def _nodes_enough(at: Loc, service: Service) -> Iterator[Clash]:
    if len(service.nodes) < 2:
        text = f"{len(service.nodes)} node(s): a fail-over needs two, each a [[service.node]]"
        yield Clash(((*at, "node"),), text)


def _nodes_distinct(at: Loc, service: Service) -> Iterator[Clash]:
    for (i, one), (j, other) in itertools.combinations(enumerate(service.nodes), 2):
        if one.name == other.name:
            yield Clash(_both(at, i, j, "name"), f'"{other.name}" is also the name of node[{i}]')
        for address in set(one.addresses) & set(other.addresses):
            yield Clash(_both(at, i, j, "address"), f'"{address}" is also an address of node "{one.name}"')
        for word in ("interface", "instance"):
            if (value := getattr(one, word)) and value == getattr(other, word):
                yield Clash(_both(at, i, j, word), f'"{value}" is also node "{one.name}"\'s')


def _both(at: Loc, i: int, j: int, key: str) -> tuple[Loc, ...]:
    return ((*at, "node", j, key), (*at, "node", i, key))


def _nodes_of_one_family(at: Loc, service: Service) -> Iterator[Clash]:
    for (i, one), (j, other) in itertools.pairwise(enumerate(service.nodes)):
        if families(one.addresses) != families(other.addresses):
            have = f'node "{one.name}" has {_family_text(one)} and node "{other.name}" {_family_text(other)}'
            yield Clash(_both(at, i, j, "address"), f"{have}: a switch would take an address family away")


def _family_text(node: Node) -> str:
    return " and ".join(f"IPv{version}" for version in sorted(families(node.addresses)))


def _drift_can_be_answered(at: Loc, service: Service) -> Iterator[Clash]:
    if service.drift is not OnDrift.ALERT and not service.switch:
        text = f'"{service.drift.value}" needs a [service.switch.…]: without one, nothing of AWS is read'
        yield Clash(((*at, "drift"), (*at, "switch")), text)


def _freeze_has_length(at: Loc, service: Service) -> Iterator[Clash]:
    for i, freeze in enumerate(service.freezes):
        if freeze.start == freeze.end:
            key = (*at, "freeze", i)
            text = f"start and end are both {freeze.start:%H:%M}; for a whole day write two windows"
            yield Clash(((*key, "end"), (*key, "start")), text)


CHECKS: tuple[ServiceCheck, ...] = (
    _timeout_fits,
    _hold_down_outlasts_detection,
    _leaky_above_fall,
    _tcp_port_known,
    _nodes_enough,
    _nodes_distinct,
    _nodes_of_one_family,
    _drift_can_be_answered,
    _freeze_has_length,
)
