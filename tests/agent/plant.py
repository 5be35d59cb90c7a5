"""A site whose nodes are reached by a secondary address, by a route or by a public address, each with its fence."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.agent.site import ADDRESS, BOTH, NAME, ROOT, ROUTE53, Site
from tests.cloud.emulator import Emulator

ROUTED = "172.31.255.10/32"
RELEASE, TAKE = "Files-Release", "Files-Take"
ADDRESS_DOCUMENT = ROOT / "deploy" / "ssm" / "Edge-LinuxAddress.json"
IN_GUESTS = f"""
  [service.guest]
  os = "linux"
  on_demote = "{RELEASE}"
  on_promote = "{TAKE}"
"""


@dataclass(slots=True)
class Plant:
    """`switches`: the ways and the fence that its agent is configured with."""

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
        epoch = ("TXT", f"_edge.{NAME}")
        assert self.site.answer(*epoch) == self.site.in_vpc(*epoch)
        if "secondary_ip" in self.switches:
            assert self.site.holders() == {"b"}
        elif "route_table" in self.switches:
            assert self.led() == ["b", "b"]
            assert self.groups("a") == {self.quarantine}
            assert self.groups("b") != {self.quarantine}
        else:
            assert self.bound() == "b"
            assert self.state() == "stopped"


@contextmanager
def planted(home: Path, cloud: Emulator) -> Iterator[Plant]:
    cloud.reset()
    site = Site(home, cloud, BOTH)
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
    site.serve("a", "b", "secondary")
    try:
        yield Plant(site, tables, eip, quarantine)
    finally:
        cloud.clear_faults()
        site.close()


def addressed(_: Plant) -> str:
    return BOTH


def guests(plant: Plant) -> str:
    documents(plant.site.aws, plant.site.seeded.a.instance, plant.site.seeded.b.instance)
    return f'{BOTH.partition("[service.fence]")[0]}{IN_GUESTS}\n  [service.fence]\n  kind = "guest"\n'


def documents(aws: Emulator, *instances: str) -> None:
    """Both nodes run SSM's agent, and our document for the address and the operator's two are there."""
    ssm, ours = aws.client("ssm", spared=True), json.loads(ADDRESS_DOCUMENT.read_text())
    own = {name: ours["parameters"][name] for name in ("service", "epoch", "node", "address")}
    for name, parameters in {ADDRESS_DOCUMENT.stem: ours["parameters"], RELEASE: own, TAKE: own}.items():
        content = json.dumps({**ours, "parameters": parameters})
        ssm.create_document(Name=name, Content=content, DocumentType="Command")
    aws.agent(*instances)
    aws.forget_calls()


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
    plant.site.until("the store has it", lambda: plant.site.kept("intent").get("state") == "finished")
    return plant.site
