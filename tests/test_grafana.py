"""The dashboard and the alerts speak of metrics that exist, and each alert fires when it should and only then."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from typing import Any

import pytest

GRAFANA = Path(__file__).parent.parent / "grafana"
ALERTS = GRAFANA / "alerts.yml"
DASHBOARD = json.loads((GRAFANA / "dashboard.json").read_text())

# docs and dashboards rely on these names and labels
METRICS = {
    "edge_build_info": "",
    "edge_active_node": "service node",
    "edge_epoch": "service",
    "edge_failovers_total": "service cause",
    "edge_switch_stage_seconds": "service stage",
    "edge_hold": "service reason",
    "edge_node_health": "service node state",
    "edge_probe_seconds": "service node",
    "edge_probe_failures_total": "service node kind",
    "edge_glimpses_total": "service endpoint kind",
    "edge_path_up": "",
    "edge_view_agrees": "service view",
    "edge_disagreement_seconds": "service",
    "edge_drift": "service",
    "edge_check": "service subject level",
    "edge_view_disagreement_window_seconds": "service view",
    "edge_answer_age_seconds": "",
    "edge_lease_held": "",
    "edge_quorum": "service",
    "edge_vantage_counts": "service vantage",
    "edge_round": "service",
    "edge_vantage_differs": "service vantage",
    "edge_vantage_age_seconds": "service vantage",
    "edge_vantage_node": "service vantage node state",
    "edge_store_up": "",
    "edge_aws_call_seconds": "api",
    "edge_aws_errors_total": "api code",
    "edge_credentials_expiry_seconds": "",
    "edge_dns_queries_total": "qtype rcode transport",
    "edge_dns_dropped_total": "reason",
    "edge_dns_response_seconds": "",
    "edge_config_reload_success": "",
}
HISTOGRAMS = {
    "edge_switch_stage_seconds",
    "edge_view_disagreement_window_seconds",
    "edge_probe_seconds",
    "edge_aws_call_seconds",
    "edge_dns_response_seconds",
}


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = DASHBOARD["panels"]
    return found


def queries() -> Iterator[str]:
    for panel in panels():
        yield from (target["expr"] for target in panel.get("targets", ()))
    yield from (note["expr"] for note in DASHBOARD["annotations"]["list"])


def expressions() -> Iterator[str]:
    """`label_values(...)` of the variables is Grafana's own function, all others are PromQL."""
    yield from queries()
    yield from (variable.get("definition", "") for variable in DASHBOARD["templating"]["list"])


def metric(name: str) -> str:
    """A histogram's series carry a suffix; a counter's name is its own."""
    base = re.sub(r"_(bucket|sum|count)$", "", name)
    return base if base in HISTOGRAMS else name


def used(text: str) -> set[str]:
    return {metric(name) for name in re.findall(r"\bedge_[a-z0-9_]+", text)}


def test_the_dashboard_uses_metrics_that_exist_and_all_of_them() -> None:
    assert set().union(*map(used, expressions())) == set(METRICS)


def test_alerts_use_metrics_that_exist() -> None:
    assert used(ALERTS.read_text()) <= set(METRICS)


def test_labels_are_those_of_some_metric_in_the_expression() -> None:
    for expression in expressions():
        allowed = {"le", "instance", "job"}.union(*(METRICS[name].split() for name in used(expression)))
        grouped = {label for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(", ")}
        matched = set(re.findall(r"(\w+)(?:=~|!=|=)\"", expression))
        assert grouped | matched <= allowed, expression


def test_the_dashboard_is_of_the_form_that_grafana_takes() -> None:
    assert {"title", "uid", "schemaVersion", "panels", "templating", "time"} <= DASHBOARD.keys()
    ids = [panel["id"] for panel in panels()]
    assert len(set(ids)) == len(ids)
    for panel in panels():
        assert {"id", "type", "title", "gridPos"} <= panel.keys()
        assert panel["type"] == "row" or all(target["expr"] for target in panel["targets"])


def test_panels_do_not_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


def promtool(*argv: str | Path) -> subprocess.CompletedProcess[str]:
    if which("promtool") is None:
        pytest.skip("promtool is not installed (Debian package prometheus)")
    return subprocess.run(["promtool", *map(str, argv)], capture_output=True, text=True, check=False)


def test_prometheus_accepts_the_alerts() -> None:
    done = promtool("check", "rules", ALERTS)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("expression", sorted(set(queries())))
def test_prometheus_accepts_the_dashboards_queries(expression: str, tmp_path: Path) -> None:
    query = expression.replace("$__rate_interval", "1m").replace("$service", ".*")
    rules = {"groups": [{"name": "dashboard", "rules": [{"record": "panel", "expr": query}]}]}
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps(rules))  # JSON is YAML
    done = promtool("check", "rules", path)
    assert done.returncode == 0, done.stderr


# Each alert: its series when all is well (or not yet ill for long enough), and when it is not. One value a minute, in
# promtool's notation: "0x7 1x2" is eight of 0, then three of 1.
FIRING = {
    "EdgeFailover": ("edge_epoch{service='s'}", "7x20", "7x9 8x10"),
    "EdgeMovedWithoutStore": ("edge_round{service='s'}", "0x20", "0x5 1x5"),
    "EdgeHold": ("edge_hold{service='s',reason='path'}", "0x7 1x2", "0 1x20"),
    "EdgeDisagreement": ("edge_disagreement_seconds{service='s'}", "60x20", "91x20"),
    "EdgeViewDisagrees": ("edge_view_agrees{service='s',view='route53'}", "1x6 0x3", "1 0x20"),
    "EdgeDrift": ("edge_drift{service='s'}", "0x9 1x1", "0 1x20"),
    "EdgePathDown": ("edge_path_up", "1x9 0", "0x20"),
    "EdgeNodeDown": ("edge_node_health{service='s',node='a',state='down'}", "0x8 1x1", "1x20"),
    "EdgeNoLease": ("edge_lease_held", "1x9 0", "0x20"),
    "EdgeVantageMissing": ("edge_vantage_counts{service='s',vantage='dc2'}", "1x5 0x4", "1 0x20"),
    "EdgeVantagesDiffer": ("edge_vantage_differs{service='s',vantage='dc2'}", "0x8 1x1", "1x20"),
    "EdgeCheckFails": ("edge_check{service='s',subject='step assign',level='fail'}", "0x8 1x1", "1x20"),
    "EdgeStoreDown": ("edge_store_up", "1x9 0", "0x20"),
    "EdgeStaleAnswers": ("edge_answer_age_seconds", "30x20", "61+60x20"),
    "EdgeSilent": ("edge_dns_dropped_total{reason='unassigned'}", "5x20", "5+5x20"),
    "EdgeCredentialsExpiring": ("edge_credentials_expiry_seconds", "601x9 599", "599x20"),
    "EdgeAwsErrors": ("edge_aws_errors_total{api='GetChange',code='throttled'}", "9x20", "0+1x20"),
    "EdgeReloadFailed": ("edge_config_reload_success", "1x20", "0x20"),
    "EdgeAgentDown": ("up{job='edge'}", "1x9 0", "0x20"),
}


def fires(alert: str, series: str, values: str, path: Path) -> bool:
    """Whether promtool's claim "nothing fires after ten minutes" fails for this alert."""
    case = {
        "interval": "1m",
        "input_series": [{"series": series, "values": values}],
        "alert_rule_test": [{"eval_time": "10m", "alertname": alert, "exp_alerts": []}],
    }
    path.write_text(json.dumps({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": [case]}))
    done = promtool("test", "rules", path)
    assert f"alertname: {alert}" in done.stdout + done.stderr or done.returncode == 0, done.stderr
    return done.returncode != 0


def test_every_alert_is_tried() -> None:
    assert re.findall(r"- alert: (\w+)", ALERTS.read_text()) == list(FIRING)


@pytest.mark.parametrize("alert", FIRING)
def test_an_alert_fires_when_it_should_and_only_then(alert: str, tmp_path: Path) -> None:
    series, well, ill = FIRING[alert]
    assert not fires(alert, series, well, tmp_path / "well.yml")
    assert fires(alert, series, ill, tmp_path / "ill.yml")


def test_a_second_agent_without_the_lease_is_no_alert(tmp_path: Path) -> None:
    case = {
        "interval": "1m",
        "input_series": [
            {"series": "edge_lease_held{instance='one'}", "values": "1x20"},
            {"series": "edge_lease_held{instance='two'}", "values": "0x20"},
        ],
        "alert_rule_test": [{"eval_time": "10m", "alertname": "EdgeNoLease", "exp_alerts": []}],
    }
    path = tmp_path / "two.yml"
    path.write_text(json.dumps({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": [case]}))
    done = promtool("test", "rules", path)
    assert done.returncode == 0, done.stderr
