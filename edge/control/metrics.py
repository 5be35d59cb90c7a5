"""Metrics for Prometheus: what happened is counted as it happens, what is so is read from a snapshot at each scrape.

A series never comes and goes with its value: each reason, state and cause that can be has one from the start, at 0.
"""

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, product

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from edge import __version__
from edge.control import status
from edge.control.contract import LEVELS, DnsCounts, ServiceSnapshot, Snapshot
from edge.errors import Fault
from edge.failover import vetoes
from edge.failover.model import Cause, Observation, Sight

Sample = tuple[Sequence[str], float]

# A probe over Direct Connect takes 2-30 ms in a region, 300 ms across an ocean; a time-out is 500 ms by default.
_PROBE_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
# A commit takes 10 ms, a call to AWS 100 ms; a switch ends within some seconds, or AWS is out and it takes minutes.
_STAGE_BUCKETS_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
# Who obeys TTL 0 agrees within 0.1 s; a cache keeps the old node for its TTL.
_WINDOW_BUCKETS_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_CALL_BUCKETS_S = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


_FAILURES = ("silent", "answered", "local")
_GLIMPSES = ("answered", "lost", "local")
_GLIMPSE_TEXT = "Probes of a closer look, beside the schedule: answered in time, lost, local (our own trouble)."
_WINDOW_TEXT = "From a switch, or the first view that moved, until this view told the new node."
_FAILURE_TEXT = "Probes that failed: silent, answered (the host did, not the service), local (our own trouble)."


class Metrics(Collector):
    """Every method may be called from any thread; `snapshot` is called by whoever calls `page`.

    `response_bounds_s`: the upper bounds of the buckets of `DnsCounts.responses`, which has one more without bound.
    """

    def __init__(self, snapshot: Callable[[], Snapshot], response_bounds_s: Sequence[float]) -> None:
        self._snapshot = snapshot
        self._bounds_s = tuple(response_bounds_s)
        self._failovers = _counter("edge_failovers", "Switches that were committed.", "service", "cause")
        self._stages = _histogram(
            "edge_switch_stage_seconds", "Time of each stage of a switch.", _STAGE_BUCKETS_S, "service", "stage"
        )
        self._probes = _histogram(
            "edge_probe_seconds", "Round trip of the probes that were answered.", _PROBE_BUCKETS_S, "service", "node"
        )
        self._failures = _counter("edge_probe_failures", _FAILURE_TEXT, "service", "node", "kind")
        self._glimpses = _counter("edge_glimpses", _GLIMPSE_TEXT, "service", "endpoint", "kind")
        self._calls = _histogram("edge_aws_call_seconds", "Time of each call to AWS.", _CALL_BUCKETS_S, "api")
        self._errors = _counter("edge_aws_errors", "Calls to AWS that failed.", "api", "code")
        self._windows = _histogram(
            "edge_view_disagreement_window_seconds", _WINDOW_TEXT, _WINDOW_BUCKETS_S, "service", "view"
        )
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def probed(self, service: str, node: str, seen: Observation) -> None:
        if seen.rtt_s is not None:
            self._probes.labels(service, node).observe(seen.rtt_s)
        if kind := _failure(seen):
            self._failures.labels(service, node, kind).inc()

    def glimpsed(self, service: str, seen: Observation) -> None:
        kind = "local" if seen.sight is Sight.UNKNOWN else "answered" if seen.in_time else "lost"
        self._glimpses.labels(service, seen.endpoint, kind).inc()

    def aws_called(self, api: str, seconds: float, fault: Fault | None) -> None:
        self._calls.labels(api).observe(seconds)
        if fault is not None:
            self._errors.labels(api, fault.value).inc()

    def stages(self, service: str, took_s: Mapping[str, float]) -> None:
        """As `machine.durations_s` has them: detect, decide, fence, move, publish, verify, agree."""
        for stage, seconds in took_s.items():
            self._stages.labels(service, stage).observe(seconds)

    def failed_over(self, service: str, cause: Cause) -> None:
        self._failovers.labels(service, cause.value).inc()

    def view_agreed(self, service: str, view: str, seconds: float) -> None:
        self._windows.labels(service, view).observe(seconds)

    def page(self) -> bytes:
        """In Prometheus's text format."""
        return generate_latest(self._registry)

    def describe(self) -> Sequence[Metric]:
        """None: what the registry would else collect at once to learn the names, before there is anything to see."""
        return ()

    def collect(self) -> Iterator[Metric]:
        now = self._snapshot()
        self._open_series(now)
        probes = (self._probes, self._failures, self._glimpses)
        for counted in (self._failovers, self._stages, self._windows, *probes, self._calls, self._errors):
            yield from _without_birthdays(counted.collect())
        yield from _services(now)
        yield from _agent(now)
        yield _checks(now)
        yield from _dns(now.dns, self._bounds_s)

    def _open_series(self, now: Snapshot) -> None:
        """A counter that first appears at 1 hides its first event from `increase()`."""
        for each in now.services:
            name, nodes, witnesses = each.state.policy.service, each.state.policy.nodes, each.state.policy.witnesses
            for cause in Cause:
                self._failovers.labels(name, cause.value)
            for node, kind in product(nodes, _FAILURES):
                self._failures.labels(name, node, kind)
            for endpoint, kind in product((*nodes, *witnesses), _GLIMPSES):
                self._glimpses.labels(name, endpoint, kind)
            for view in each.views:
                self._windows.labels(name, view.name)


def _failure(seen: Observation) -> str | None:
    if seen.sight is Sight.UNKNOWN:
        return "local"
    if seen.sight is Sight.DOWN:
        return "answered" if seen.answered else "silent"
    return None


def _without_birthdays(found: Iterable[Metric]) -> Iterator[Metric]:
    """The library gives each counter a second series with the time at which it began, which nobody here asks for."""
    for metric in found:
        metric.samples = [each for each in metric.samples if not each.name.endswith("_created")]
        yield metric


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(name, text, labels, registry=None)


def _histogram(name: str, text: str, bounds_s: Sequence[float], *labels: str) -> Histogram:
    return Histogram(name, text, labels, registry=None, buckets=bounds_s)


# --- what is so -----------------------------------------------------------------------------------------------------


def _services(now: Snapshot) -> Iterator[Metric]:
    for name, text, labels, read in _BY_SERVICE:
        samples = [
            ((each.state.policy.service, *values), number)
            for each in now.services
            for values, number in read(each, now.now)
        ]
        yield _gauge(name, text, samples, "service", *labels)


def _active(each: ServiceSnapshot, _now: float) -> Iterator[Sample]:
    live = each.state.assignment
    for node in each.state.policy.nodes:
        yield (node,), live is not None and live.node == node


def _epoch(each: ServiceSnapshot, _now: float) -> Iterator[Sample]:
    yield (), each.state.assignment.epoch if each.state.assignment else 0


def _round(each: ServiceSnapshot, _now: float) -> Iterator[Sample]:
    yield (), each.state.assignment.round if each.state.assignment else 0


def _holds(each: ServiceSnapshot, now: float) -> Iterator[Sample]:
    state = each.state
    standing = {state.reason.slug, *(veto.slug for veto in vetoes.standing(state, now))}
    for slug in vetoes.HOLDS:
        yield (slug,), slug in standing


def _health(each: ServiceSnapshot, now: float) -> Iterator[Sample]:
    for node in each.state.policy.nodes:
        seen = status.endpoint_health(each.state, node, now)
        for sight in Sight:
            yield (node, sight.value), sight is seen


def _views(each: ServiceSnapshot, _now: float) -> Iterator[Sample]:
    for view in each.views:
        yield (view.name,), float("nan") if view.agrees is None else view.agrees


def _disagreement(each: ServiceSnapshot, _now: float) -> Iterator[Sample]:
    yield (), each.disagreement_s


def _drifted(each: ServiceSnapshot, _now: float) -> Iterator[Sample]:
    yield (), each.state.drift is not None


def _quorum(each: ServiceSnapshot, _now: float) -> Iterator[Sample]:
    yield (), each.state.policy.quorum


def _vantage_counts(each: ServiceSnapshot, now: float) -> Iterator[Sample]:
    for vantage in status.vantages(each.state, now):
        yield (vantage["name"],), vantage["abstains"] is None


def _vantage_differs(each: ServiceSnapshot, now: float) -> Iterator[Sample]:
    for vantage in status.vantages(each.state, now):
        yield (vantage["name"],), vantage["differs"] is not None


def _vantage_ages(each: ServiceSnapshot, now: float) -> Iterator[Sample]:
    for vantage in status.vantages(each.state, now):
        yield (vantage["name"],), float("nan") if vantage["age_s"] is None else vantage["age_s"]


def _vantage_nodes(each: ServiceSnapshot, now: float) -> Iterator[Sample]:
    for vantage in status.vantages(each.state, now):
        for (node, seen), sight in product(vantage["sees"].items(), Sight):
            yield (vantage["name"], node, sight.value), sight.value == seen


_BY_SERVICE: tuple[tuple[str, str, tuple[str, ...], Callable[[ServiceSnapshot, float], Iterator[Sample]]], ...] = (
    ("edge_active_node", "1 for the node that is live.", ("node",), _active),
    ("edge_epoch", "The epoch of the assignment; 0 without one.", (), _epoch),
    ("edge_round", "How often all agents moved the answers since that epoch, without the store.", (), _round),
    ("edge_hold", "1 for why the service holds, and for all that bars an automatic switch.", ("reason",), _holds),
    ("edge_node_health", "1 for the state in which a node is seen.", ("node", "state"), _health),
    ("edge_view_agrees", "Whether a side tells the assignment; NaN: it could not be read.", ("view",), _views),
    ("edge_drift", "1 while AWS, changed by somebody else, differs from the assignment.", (), _drifted),
    ("edge_disagreement_seconds", "How long some view has not agreed; 0 when all do.", (), _disagreement),
    ("edge_quorum", "How many vantages have to agree.", (), _quorum),
    ("edge_vantage_counts", "Whether a vantage's word counts; 0 while it abstains.", ("vantage",), _vantage_counts),
    (
        "edge_vantage_differs",
        "1 where its file lists the vantages otherwise than ours.",
        ("vantage",),
        _vantage_differs,
    ),
    ("edge_vantage_age_seconds", "How old a vantage's word is; NaN: not heard of.", ("vantage",), _vantage_ages),
    ("edge_vantage_node", "1 for what a vantage says of a node.", ("vantage", "node", "state"), _vantage_nodes),
)
"""Name, help, labels beside the service, and how to read it."""


def _agent(now: Snapshot) -> Iterator[Metric]:
    build: list[Sample] = [((__version__, platform.python_version()), 1)]
    held = all(each.state.lease.held for each in now.services)
    expiry = [] if now.credentials_end_s is None else [((), now.credentials_end_s - now.wall_s)]
    yield _gauge("edge_build_info", "The version of this agent.", build, "version", "python")
    yield _one("edge_path_up", "Whether anything answers over the path.", status.path_up(now))
    yield _one("edge_answer_age_seconds", "Since the controller last confirmed the answers.", now.answer_age_s)
    yield _one("edge_lease_held", "Whether this agent may open epochs and act.", held)
    yield _one("edge_witness", "Whether this agent is a witness, which never leads.", now.witness)
    yield _one("edge_store_up", "Whether the store can be written.", now.store_up)
    yield _one(
        "edge_store_age_seconds", "Since a shared store was last read; 0 for one of this agent.", now.store_age_s
    )
    yield _gauge("edge_credentials_expiry_seconds", "Until the AWS credentials end; absent when they don't.", expiry)
    yield _one("edge_config_reload_success", "Whether the last reload was accepted.", now.reload_ok)


def _checks(now: Snapshot) -> Metric:
    found = {
        (each.service, each.subject, level): float(each.level == level) for each in now.findings for level in LEVELS
    }
    text = "1 for the level of each line of `edgectl check`, of a service or of the agent; asked every ten minutes."
    return _gauge("edge_check", text, list(found.items()), "service", "subject", "level")


def _dns(counts: DnsCounts, bounds_s: Sequence[float]) -> Iterator[Metric]:
    queries = CounterMetricFamily("edge_dns_queries", "Answers.", labels=("qtype", "rcode", "transport"))
    for labels, count in counts.queries.items():
        queries.add_metric(labels, count)
    dropped = CounterMetricFamily("edge_dns_dropped", "Packets that got no answer.", labels=("reason",))
    for reason, count in counts.dropped.items():
        dropped.add_metric((reason,), count)
    events = CounterMetricFamily("edge_dns_events", "Answers cut, limited or turned down.", labels=("event",))
    for event, count in counts.events.items():
        events.add_metric((event,), count)
    bounds = [*map(str, bounds_s), "+Inf"]
    buckets = list(zip(bounds, map(float, accumulate(counts.responses)), strict=True))
    response = HistogramMetricFamily("edge_dns_response_seconds", "Time of a sample of the answers.")
    response.add_metric((), buckets, counts.response_s)
    cage: list[Sample] = [((part,), holds) for part, holds in counts.cage.items()]
    yield from (queries, dropped, events, response)
    yield _gauge("edge_dns_worker_cage", "1 for what confines every DNS worker.", cage, "part")


def _gauge(name: str, text: str, samples: Sequence[Sample], *labels: str) -> Metric:
    gauge = GaugeMetricFamily(name, text, labels=labels)
    for values, number in samples:
        gauge.add_metric(values, number)
    return gauge


def _one(name: str, text: str, value: float) -> Metric:
    return _gauge(name, text, [((), value)])
