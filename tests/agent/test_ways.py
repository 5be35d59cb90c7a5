"""The other ways and fences with the real agent: a fail-over by each, kill -9 in the middle, and the check before."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edge.stores.sqlite import dump
from tests.agent.site import ADDRESS, BOTH, PATIENCE_S, ROUTE53, SECONDARY, Site
from tests.cloud.emulator import Emulator
from tests.cloud.script import FaultKind

ROUTED = "172.31.255.10/32"
HANG = "60s"  # the agent must still hang when it is killed
READING = ("Describe", "Get", "List")
BEFORE, AFTER = FaultKind.BLACK_HOLE, FaultKind.TIMEOUT_AFTER


Way = Callable[["Plant"], str]


@dataclass(slots=True)
class Plant:
    """A site whose nodes are reached by a route and fenced by groups, or by a public address and stopped."""

    site: Site
    tables: list[str]
    eip: str
    quarantine: str
    switches: str = ""

    def led(self) -> list[str | None]:
        described = self.ec2().describe_route_tables(RouteTableIds=self.tables)["RouteTables"]
        routes = [r for table in described for r in table["Routes"] if r.get("DestinationCidrBlock") == ROUTED]
        return [self.node(route.get("NetworkInterfaceId")) for route in routes]

    def bound(self) -> str | None:
        [address] = self.ec2().describe_addresses(AllocationIds=[self.eip])["Addresses"]
        return self.node(address.get("NetworkInterfaceId"))

    def node(self, eni: str | None) -> str | None:
        return {self.site.seeded.a.interface: "a", self.site.seeded.b.interface: "b"}.get(eni or "")

    def groups(self, node: str) -> set[str]:
        eni = {"a": self.site.seeded.a, "b": self.site.seeded.b}[node].interface
        [found] = self.ec2().describe_network_interfaces(NetworkInterfaceIds=[eni])["NetworkInterfaces"]
        return {group["GroupId"] for group in found["Groups"]}

    def state(self) -> str:
        [found] = self.ec2().describe_instances(InstanceIds=[self.site.seeded.a.instance])["Reservations"]
        return str(found["Instances"][0]["State"]["Name"])

    def ec2(self) -> Any:
        return self.site.aws.client("ec2", spared=True)

    def agrees_on_b(self) -> None:
        assert self.site.answer() == self.site.in_vpc() == (ADDRESS["b"],)
        if "route_table" in self.switches:
            assert self.led() == ["b", "b"]
            assert self.groups("a") == {self.quarantine}
            assert self.groups("b") != {self.quarantine}
        else:
            assert self.bound() == "b"
            assert self.state() == "stopped"


@pytest.fixture
def plant(tmp_path: Path, cloud: Emulator) -> Iterator[Plant]:
    cloud.reset()
    site = Site(tmp_path, cloud, ROUTE53)
    ec2, vpc, a = cloud.client("ec2"), site.seeded.vpc, site.seeded.a.interface
    tables = [ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"] for _ in range(2)]
    for eni in (a, site.seeded.b.interface):
        ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, SourceDestCheck={"Value": False})
    for table in tables:
        ec2.create_route(RouteTableId=table, DestinationCidrBlock=ROUTED, NetworkInterfaceId=a)
    eip = ec2.allocate_address(Domain="vpc")["AllocationId"]
    ec2.associate_address(AllocationId=eip, NetworkInterfaceId=a)
    quarantine = ec2.create_security_group(GroupName="quarantine", Description="quarantine", VpcId=vpc)["GroupId"]
    cloud.forget_calls()
    site.serve("a", "b")
    yield Plant(site, tables, eip, quarantine)
    cloud.clear_faults()
    site.close()


def routed(plant: Plant) -> str:
    tables = ", ".join(f'"{table}"' for table in plant.tables)
    route = f'destination = "{ROUTED}"\n  tables = [{tables}]\n  topology = "vpc_only"'
    fence = f'kind = "isolate"\n  quarantine = ["{plant.quarantine}"]'
    return f"{ROUTE53}\n  [service.switch.route_table]\n  {route}\n  [service.fence]\n  {fence}\n"


def public(plant: Plant) -> str:
    elastic = f'allocation_id = "{plant.eip}"\n  allow_public = true'
    return f'{ROUTE53}\n  [service.switch.elastic_ip]\n  {elastic}\n  [service.fence]\n  kind = "stop"\n'


def content(plant: Plant, switches: str, **settings: str) -> Site:
    plant.switches = switches
    plant.site.configure(switches, **settings)
    plant.site.start()
    plant.site.until("the agent is content with a", lambda: plant.site.ready_on("a"))
    return plant.site


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


POINTS = {
    "isolate": (routed, "ec2:ModifyNetworkInterfaceAttribute", AFTER, 1),  # the dry one passes
    "first-table": (routed, "ec2:ReplaceRoute", AFTER, 2),
    "second-table": (routed, "ec2:ReplaceRoute", BEFORE, 3),
    "stop": (public, "ec2:StopInstances", AFTER, 0),
    "associate-before": (public, "ec2:AssociateAddress", BEFORE, 0),
    "associate-after": (public, "ec2:AssociateAddress", AFTER, 0),
}


@pytest.mark.parametrize("point", POINTS.values(), ids=POINTS.keys())
def test_killed_at_a_step(plant: Plant, point: tuple[object, str, FaultKind, int]) -> None:
    way, call, kind, skip = point
    site = content(plant, way(plant), read_timeout=HANG)  # type: ignore[operator]
    first = site.kept("assignment")["epoch"]
    site.aws.forget_calls()
    site.aws.fault(call, kind, skip=skip)
    site.crash("a")
    site.until("AWS holds the call", lambda: any(each.result == kind.value for each in site.aws.calls(call)))
    assert site.kept("assignment")["epoch"] == first
    site.kill()
    site.aws.clear_faults()
    site.configure(plant.switches)
    site.start()
    site.until("the agent is content with b", lambda: site.settled_on("b"))
    assert site.kept("assignment")["epoch"] == first + 1
    plant.agrees_on_b()


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


def plain(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """As both tell it: without the process that spoke, and what is false by default."""
    said = json.loads(re.sub(r"pid \d+", "pid", json.dumps(parameters)).replace("/hostedzone/", ""))
    return {key.removesuffix("Id") if key == "Id" else key: value for key, value in said.items() if value is not False}


@pytest.mark.parametrize("way", [routed, public, lambda _: BOTH])
def test_a_dry_run_changes_nothing_and_tells_exactly_what_is_then_sent(plant: Plant, way: Way) -> None:
    if "secondary_ip" in way(plant):
        eni = plant.site.seeded.a.interface
        plant.ec2().assign_private_ip_addresses(NetworkInterfaceId=eni, PrivateIpAddresses=[SECONDARY])
        plant.site.serve("secondary")
    site = content(plant, way(plant))
    kept, status = dump(site.home / "state" / "edge.sqlite"), site.status()
    site.aws.forget_calls()
    told = site.edgectl("--json", "promote", "b", "--dry-run")
    assert told.returncode == 0, told.stderr
    assert not changing(plant)
    assert site.answer() == site.in_vpc() == (ADDRESS["a"],)
    forecast = json.loads(told.stdout)
    assert forecast["epoch"] == status["epoch"] + 1
    assert dump(site.home / "state" / "edge.sqlite") == kept
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
