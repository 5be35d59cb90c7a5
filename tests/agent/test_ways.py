"""The other ways and fences with the real agent: a fail-over by each, and the check before.

What kill -9 in the middle does, tests/switches/test_faults.py shows for every step.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from edge.stores.contract import Item
from edge.stores.sqlite import dump
from tests.agent.plant import Plant, addressed, content, planted, public, routed
from tests.agent.site import ADDRESS, BOTH, PATIENCE_S, ROUTE53, Site
from tests.cloud.emulator import Emulator
from tests.cloud.script import FaultKind

READING = ("Describe", "Get", "List")
Way = Callable[[Plant], str]


@pytest.fixture
def plant(tmp_path: Path, cloud: Emulator) -> Iterator[Plant]:
    with planted(tmp_path, cloud) as made:
        yield made


@pytest.mark.parametrize("way", [routed, public])
def test_a_dead_node_is_fenced_and_left(plant: Plant, way: object) -> None:
    site = content(plant, way(plant))  # type: ignore[operator]
    site.crash("a")
    site.until("the agent is content with b", lambda: site.settled_on("b"))
    plant.agrees_on_b()


def test_an_isolated_node_that_becomes_live_again_has_its_groups(plant: Plant) -> None:
    own = plant.groups("a")
    site = content(plant, routed(plant))
    for node, other in (("b", "a"), ("a", "b")):
        assert site.edgectl("promote", node, "--reason", "test", "--yes").returncode == 0
        site.until(f"the agent is content with {node}", lambda node=node: site.settled_on(node))
        assert plant.groups(other) == {plant.quarantine}
    assert plant.groups("a") == own
    assert plant.led() == ["a", "a"]


@pytest.mark.parametrize("way", [routed, public])
def test_the_check_rehearses_a_switch_and_changes_nothing(plant: Plant, way: object) -> None:
    site = content(plant, way(plant))  # type: ignore[operator]
    site.aws.forget_calls()
    api = "ec2:ReplaceRoute" if way is routed else "ec2:StopInstances"
    checked = site.edgectl("--json", "check")
    assert "switch to b" in {each["subject"] for each in json.loads(checked.stdout)["findings"]}
    assert {call.result for call in site.aws.calls(api)} == {"DryRunOperation"}
    site.aws.fault(api, FaultKind.DENY)
    denied = site.edgectl("check")
    assert denied.returncode == 1
    assert re.search(r"switch to b\b", denied.stdout)
    assert "iam-policy.json" in denied.stdout
    changing = ("Create", "Replace", "Associate", "Modify", "Stop")
    sent = [call for call in site.aws.calls() if call.api.partition(":")[2].startswith(changing)]
    assert sent
    assert all(call.parameters.get("DryRun") for call in sent)


def changing(plant: Plant) -> list[tuple[str, Mapping[str, Any]]]:
    """What AWS was asked that was no reading, dry runs among it."""
    calls = [call for call in plant.site.aws.calls() if not call.api.partition(":")[2].startswith(READING)]
    return [(call.api, plain(call.parameters)) for call in calls]


def store(site: Site) -> Path:
    return site.home / "state" / "edge.sqlite"


def remembered(site: Site) -> list[Item]:
    """All but the history, whose lines may come a little late."""
    return [item for item in dump(store(site)) if not item.key.startswith("history/")]


def plain(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """As both tell it: without the process that spoke, and what is false by default."""
    said = json.loads(re.sub(r"pid \d+", "pid", json.dumps(parameters)).replace("/hostedzone/", ""))
    return {key.removesuffix("Id") if key == "Id" else key: value for key, value in said.items() if value is not False}


@pytest.mark.parametrize("way", [routed, public, addressed])
def test_a_dry_run_changes_nothing_and_tells_exactly_what_is_then_sent(plant: Plant, way: Way) -> None:
    site = content(plant, way(plant))
    site.until("the store has it too", lambda: site.kept("intent").get("state") == "finished")
    kept, status = remembered(site), site.status()
    site.aws.forget_calls()
    told = site.edgectl("--json", "promote", "b", "--dry-run")
    assert told.returncode == 0, told.stderr
    assert not changing(plant)
    assert site.answer() == site.in_vpc() == (ADDRESS["a"],)
    forecast = json.loads(told.stdout)
    assert forecast["epoch"] == status["epoch"] + 1
    assert remembered(site) == kept
    assert not [item for item in dump(store(site)) if item.value.get("epoch") == forecast["epoch"]], (
        "no line of history"
    )
    assert site.edgectl("promote", "b", "--reason", "a dry run", "--yes").returncode == 0
    calls = [call for step in forecast["steps"] for call in step["calls"]]
    assert changing(plant) == [(f"{c['service']}:{c['operation']}", plain(c["parameters"])) for c in calls]
    back = json.loads(site.edgectl("--json", "promote", "a", "--dry-run").stdout)
    assert {cost["name"] for cost in back["outage"] if cost["last_s"] is not None} >= {"decide", "publish"}


def test_a_dry_run_of_what_would_be_refused_is_refused(plant: Plant) -> None:
    site = content(plant, public(plant))
    for words, said in (
        (("a",), "a is live already"),
        (("b", "--expect-epoch", "9"), "not 9: something was switched since you looked"),
    ):
        refused = site.edgectl("promote", *words, "--dry-run")
        assert (refused.returncode, said in refused.stderr) == (1, True)
    site.aws.fault("route53:*", FaultKind.DENY)
    stumbles = site.edgectl("promote", "b", "--dry-run")
    assert (stumbles.returncode, "FAILS: " in stumbles.stdout, "denied" in stumbles.stdout) == (1, True, True)


def test_a_dry_run_beside_a_switch_that_runs_is_refused(plant: Plant) -> None:
    site = content(plant, public(plant))
    site.aws.fault("ec2:StopInstances", FaultKind.BLACK_HOLE)
    site.edgectl("promote", "b", "--reason", "test", "--yes", "--no-wait")
    site.until("it is under way", lambda: bool(site.aws.calls("ec2:StopInstances")))
    for node in ("a", "b"):
        refused = site.edgectl("promote", node, "--dry-run")
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "a switch to b is under way (epoch 2, fencing)" in refused.stderr


@pytest.mark.parametrize(
    ("switches", "said"),
    [
        (ROUTE53, 'service[0].fence.kind: "none": a switch stops nobody'),
        (BOTH, ""),
    ],
)
def test_a_switch_without_a_fence_is_warned_of(plant: Plant, switches: str, said: str) -> None:
    plant.site.configure(switches)
    command = [sys.executable, "-m", "edge.agent.daemon", "--config", str(plant.site.file), "--check"]
    checked = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    assert checked.stderr.startswith(f"warning: {said}" if said else "")
    assert bool(checked.stderr) is bool(said)
