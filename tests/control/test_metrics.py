"""What a scrape shows, read back with Prometheus's own parser, and judged by promtool where it is installed."""

import math
import subprocess
from concurrent.futures import ThreadPoolExecutor
from shutil import which

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge.control.contract import Finding
from edge.control.metrics import Metrics
from edge.dns.cage import PARTS
from edge.dns.counters import BUCKETS_S, slot
from edge.dns.message import Drop, Qtype, Rcode
from edge.errors import Fault
from edge.failover import events as ev
from edge.failover.model import Assignment, Cause, Lease, Listed, Observation, Opinion, Pointing, Report, Sight
from edge.failover.vetoes import HOLDS
from tests.control.desk import FILES, MEDIA, WALL_S, Bench, Side, world
from tests.failover.world import Shown, World

# Dashboards and alerts rely on these names and labels.
PROMISED = {
    "edge_build_info", "edge_active_node", "edge_epoch", "edge_failovers_total", "edge_switch_stage_seconds_bucket",
    "edge_hold", "edge_node_health", "edge_probe_seconds_bucket", "edge_probe_failures_total", "edge_path_up",
    "edge_view_agrees", "edge_disagreement_seconds", "edge_answer_age_seconds", "edge_lease_held", "edge_store_up",
    "edge_store_age_seconds", "edge_witness", "edge_quorum", "edge_glimpses_total",
    "edge_aws_call_seconds_bucket", "edge_aws_errors_total", "edge_credentials_expiry_seconds",
    "edge_dns_queries_total", "edge_dns_dropped_total", "edge_dns_worker_cage", "edge_dns_response_seconds_bucket",
    "edge_config_reload_success",
}  # fmt: skip


def metrics(desk: Bench) -> Metrics:
    return Metrics(desk.snapshot, BUCKETS_S)


Samples = dict[tuple[str, frozenset[str]], float]


def samples(found: Metrics) -> Samples:
    """By name and the values of the labels."""
    families = text_string_to_metric_families(found.page().decode())
    return {(s.name, frozenset(s.labels.values())): s.value for family in families for s in family.samples}


def of(found: Samples, name: str, *labels: str) -> float:
    return found[name, frozenset(labels)]


def busy() -> tuple[Bench, Metrics]:
    """A desk and metrics in which everything has happened once."""
    desk = Bench(world())
    desk.sides = [Side("agent", Assignment("a", 7)), Side("route53", Assignment("b", 6)), Side("ec2", None)]
    desk._read = [(desk.first.now, side) for side in desk.sides]
    desk.credentials_end_s = WALL_S + desk.first.now + 900
    found = metrics(desk)
    found.probed(FILES, "a", Observation("a", Sight.ACTIVE, True, "answered", 0.003))
    found.probed(FILES, "b", Observation("b", Sight.DOWN, False, "no answer"))
    found.aws_called("ListResourceRecordSets", 0.2, Fault.THROTTLED)
    found.stages(FILES, {"detect": 3.1, "fence": 0.2, "agree": 4.0})
    found.failed_over(FILES, Cause.FAILURE)
    return desk, found


def test_every_name_that_was_promised() -> None:
    assert {name for name, _ in samples(busy()[1])} >= PROMISED


def test_no_series_that_was_not_asked_for() -> None:
    assert not [name for name, _ in samples(busy()[1]) if name.endswith("_created")]


def test_promtool_finds_nothing_wrong() -> None:
    if which("promtool") is None:
        pytest.skip("promtool is not installed (Debian package prometheus)")
    page = busy()[1].page()
    checked = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_who_is_live() -> None:
    found = samples(metrics(Bench(world(FILES), world(MEDIA))))
    assert of(found, "edge_active_node", FILES, "a") == 1
    assert of(found, "edge_active_node", FILES, "b") == 0
    assert of(found, "edge_active_node", MEDIA, "a") == 1
    assert of(found, "edge_epoch", FILES) == 7


def test_nobody_is_live() -> None:
    found = samples(metrics(Bench(World(held=False))))
    assert of(found, "edge_active_node", FILES, "a") == 0
    assert of(found, "edge_epoch", FILES) == 0
    assert of(found, "edge_hold", FILES, "silent") == 1
    assert of(found, "edge_lease_held") == 0


def test_every_hold_has_its_series_and_those_that_stand_are_1() -> None:
    one = world()
    one.hears(ev.FreezeSaid("nights"))
    one.says(ev.Hold("kim", "backup runs"))
    found = samples(metrics(Bench(one)))
    holds = {slug: of(found, "edge_hold", FILES, slug) for slug in HOLDS}
    assert {slug for slug, value in holds.items() if value} == {"held", "frozen"}


def test_a_hold_that_is_the_reason_and_no_standing_veto() -> None:
    one = world()
    one.sees |= {"a": Shown.REFUSED, "b": Shown.REFUSED}
    one.passes(10)
    assert of(samples(metrics(Bench(one))), "edge_hold", FILES, "no_target") == 1


def test_a_node_is_in_one_state() -> None:
    one = world()
    one.sees["b"] = Shown.STANDBY
    one.passes(10)
    found = samples(metrics(Bench(one)))
    states = {sight.value: of(found, "edge_node_health", FILES, "b", sight.value) for sight in Sight}
    assert states == {"active": 0, "standby": 1, "down": 0, "unknown": 0}


def test_each_vantage_has_its_series() -> None:
    one = world(vantage="dc1", peers=("dc2", "vpc"), quorum=2)
    seen = {"a": Opinion(Sight.DOWN, "a is down"), "b": Opinion(Sight.ACTIVE, "b is active")}
    one.hears(ev.Reported("dc2", Report(one.now, path_up=True, opinions=seen, listed=Listed(quorum=7))))
    one.passes(2.0)
    found = samples(metrics(Bench(one)))
    assert of(found, "edge_quorum", FILES) == 2
    assert [of(found, "edge_vantage_counts", FILES, name) for name in ("dc1", "dc2", "vpc")] == [1, 1, 0]
    assert [of(found, "edge_vantage_differs", FILES, name) for name in ("dc1", "dc2", "vpc")] == [0, 1, 0]
    assert [of(found, "edge_vantage_age_seconds", FILES, name) for name in ("dc1", "dc2")] == [0, 2]
    assert math.isnan(of(found, "edge_vantage_age_seconds", FILES, "vpc"))
    down = [of(found, "edge_vantage_node", FILES, "a", "down", name) for name in ("dc1", "dc2", "vpc")]
    assert down == [0, 1, 0]
    assert of(found, "edge_witness") == 0


def test_a_dead_path() -> None:
    one = world()
    found = metrics(Bench(one))
    assert of(samples(found), "edge_path_up") == 1
    one.path_up = False
    one.passes(10)
    assert of(samples(found), "edge_path_up") == 0


def test_views_and_their_disagreement() -> None:
    found = samples(busy()[1])
    assert of(found, "edge_view_agrees", FILES, "agent") == 1
    assert of(found, "edge_view_agrees", FILES, "route53") == 0
    assert math.isnan(of(found, "edge_view_agrees", FILES, "ec2"))
    assert of(found, "edge_disagreement_seconds", FILES) == 12


def test_the_window_of_each_view_is_counted_from_its_first() -> None:
    found = busy()[1]
    assert of(samples(found), "edge_view_disagreement_window_seconds_count", FILES, "route53") == 0
    found.view_agreed(FILES, "route53", 0.2)
    assert of(samples(found), "edge_view_disagreement_window_seconds_count", FILES, "route53") == 1
    assert of(samples(found), "edge_view_disagreement_window_seconds_sum", FILES, "route53") == 0.2


def test_a_drift() -> None:
    one = world()
    found = metrics(Bench(one))
    assert of(samples(found), "edge_drift", FILES) == 0
    one.hears(ev.SidesRead(7, (Pointing("route53", "b", 7, "10.0.2.10"),)))
    assert of(samples(found), "edge_drift", FILES) == 1


def test_the_agent_itself() -> None:
    desk, found = busy()
    assert of(samples(found), "edge_credentials_expiry_seconds") == 900
    assert of(samples(found), "edge_answer_age_seconds") == 0.25
    assert [of(samples(found), f"edge_{name}") for name in ("lease_held", "store_up", "config_reload_success")] == [
        1
    ] * 3
    desk.store_up = desk.reload_ok = False
    desk.credentials_end_s = None
    desk.first.hears(ev.LeaseSaid(Lease(held=False, until=0.0, holder="edge-2")))
    assert [of(samples(found), f"edge_{name}") for name in ("lease_held", "store_up", "config_reload_success")] == [
        0
    ] * 3
    assert ("edge_credentials_expiry_seconds", frozenset()) not in samples(found)
    desk.store_age_s = 2.5
    assert of(samples(found), "edge_store_age_seconds") == 2.5


def test_each_line_of_the_check_has_one_level() -> None:
    desk, found = busy()
    desk.findings = [Finding("", "disk", "ok", "room"), Finding(FILES, "step assign", "fail", "denied", "attach it")]
    levels = {level: of(samples(found), "edge_check", FILES, "step assign", level) for level in ("ok", "warn", "fail")}
    assert levels == {"ok": 0, "warn": 0, "fail": 1}
    assert of(samples(found), "edge_check", "", "disk", "ok") == 1


def test_probes() -> None:
    found = metrics(Bench(world()))
    found.probed(FILES, "a", Observation("a", Sight.ACTIVE, True, "answered", 0.003))
    found.probed(FILES, "a", Observation("a", Sight.STANDBY, True, "answered as a standby", 0.3))
    found.probed(FILES, "b", Observation("b", Sight.DOWN, True, "connection refused", 0.001))
    found.probed(FILES, "b", Observation("b", Sight.DOWN, False, "no answer"))
    found.probed(FILES, "b", Observation("b", Sight.DOWN, False, "no answer"))
    found.probed(FILES, "b", Observation("b", Sight.UNKNOWN, False, "no descriptor"))
    seen = samples(found)
    assert of(seen, "edge_probe_seconds_bucket", FILES, "a", "0.005") == 1
    assert of(seen, "edge_probe_seconds_count", FILES, "a") == 2
    assert of(seen, "edge_probe_seconds_sum", FILES, "a") == pytest.approx(0.303)
    assert of(seen, "edge_probe_seconds_count", FILES, "b") == 1
    kinds = ("silent", "answered", "local")
    assert [of(seen, "edge_probe_failures_total", FILES, "b", kind) for kind in kinds] == [2, 1, 1]
    assert [of(seen, "edge_probe_failures_total", FILES, "a", kind) for kind in kinds] == [0, 0, 0]


def test_a_closer_look() -> None:
    found = metrics(Bench(world()))
    kinds = ("answered", "lost", "local")
    for endpoint in ("a", "b", "w"):
        assert [of(samples(found), "edge_glimpses_total", FILES, endpoint, kind) for kind in kinds] == [0, 0, 0]
    found.glimpsed(FILES, Observation("w", Sight.ACTIVE, True, "answered", 0.003))
    found.glimpsed(FILES, Observation("w", Sight.DOWN, True, "connection refused", 0.003))
    found.glimpsed(FILES, Observation("w", Sight.DOWN, True, "accepted, then silent"))
    found.glimpsed(FILES, Observation("w", Sight.UNKNOWN, False, "no descriptor"))
    assert [of(samples(found), "edge_glimpses_total", FILES, "w", kind) for kind in kinds] == [2, 1, 1]


def test_switches_are_counted_from_0() -> None:
    found = metrics(Bench(world()))
    assert {of(samples(found), "edge_failovers_total", FILES, cause.value) for cause in Cause} == {0}
    found.failed_over(FILES, Cause.OPERATOR)
    found.stages(FILES, {"fence": 0.2, "agree": 4.0})
    assert of(samples(found), "edge_failovers_total", FILES, "operator") == 1
    assert of(samples(found), "edge_switch_stage_seconds_bucket", FILES, "agree", "5.0") == 1
    assert of(samples(found), "edge_switch_stage_seconds_bucket", FILES, "agree", "2.5") == 0


def test_aws_is_called_from_many_threads() -> None:
    found = metrics(Bench(world()))
    with ThreadPoolExecutor(8) as threads:
        for number in range(400):
            threads.submit(found.aws_called, "DescribeInstances", 0.1, Fault.THROTTLED if number % 4 == 0 else None)
    assert of(samples(found), "edge_aws_call_seconds_count", "DescribeInstances") == 400
    assert of(samples(found), "edge_aws_errors_total", "DescribeInstances", "throttled") == 100


def test_what_the_dns_workers_count() -> None:
    desk = Bench(world())
    desk.tally.slots[slot(Qtype.A, Rcode.NOERROR)] += 5
    desk.tally.dropped(Drop.DENIED)
    desk.tally.caged([part == "user" for part in PARTS])
    for took_us in (7, 8, 150, 50_000):
        desk.tally.took(took_us * 1000)
    found = samples(metrics(desk))
    assert of(found, "edge_dns_queries_total", "A", "NOERROR", "udp") == 5
    assert of(found, "edge_dns_queries_total", "A", "NOERROR", "tcp") == 0
    assert {part: of(found, "edge_dns_worker_cage", part) for part in PARTS} == {part: part == "user" for part in PARTS}
    assert sum(value for (name, _), value in found.items() if name == "edge_dns_dropped_total") == 1
    bounds = ("5e-06", "1e-05", "0.0001", "0.0002", "0.01", "+Inf")
    assert [of(found, "edge_dns_response_seconds_bucket", bound) for bound in bounds] == [0, 2, 2, 3, 3, 4]
    assert of(found, "edge_dns_response_seconds_sum") == pytest.approx(0.050165)


def test_two_agents_in_one_process_share_nothing() -> None:
    one, other = metrics(Bench(world())), metrics(Bench(world()))
    one.failed_over(FILES, Cause.FAILURE)
    assert of(samples(other), "edge_failovers_total", FILES, "failure") == 0
