"""A service on the emulated AWS, as the switches and those who look at AWS behind their backs see it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from dnslib import DNSRecord

from edge.failover.events import StageEnded
from edge.failover.model import Cause, Intent, Reason, Stage
from edge.switches import elastic_ip, guest, isolate, route53, route_table, secondary_ip, stop
from edge.switches.contract import Reached, Step, Verify
from edge.switches.runner import Pace, Runner
from edge.switches.session import Session, Settings
from tests.cloud.emulator import REGION, Emulator, Furnisher, Layout, Seeded

NAME = "files.fs.corp.example"
MOVING = "10.0.1.100"
CHANGE = "route53:ChangeResourceRecordSets"
ASSIGN = "ec2:AssignPrivateIpAddresses"
UNASSIGN = "ec2:UnassignPrivateIpAddresses"
CREATE_ROUTE = "ec2:CreateRoute"
REPLACE_ROUTE = "ec2:ReplaceRoute"
ASSOCIATE = "ec2:AssociateAddress"
TAG = "ec2:CreateTags"
SET_GROUPS = "ec2:ModifyNetworkInterfaceAttribute"
STOP = "ec2:StopInstances"
SEND = "ssm:SendCommand"
MUTATIONS = (CHANGE, ASSIGN, UNASSIGN, CREATE_ROUTE, REPLACE_ROUTE, ASSOCIATE, TAG, SET_GROUPS, STOP, SEND)
RELEASE, TAKE = "Files-Release", "Files-Take"
ROUTED = "172.31.255.10/32"
HOUR_S = 3600.0
NODES = {"a": ("10.0.1.10",), "b": ("10.0.1.11",)}


def signed_in(
    aws: Emulator, *, connect_timeout_s: float = 10.0, read_timeout_s: float = 60.0, url: str | None = None
) -> Session:
    """A session whose time-outs no slow machine meets, unless they are given."""
    endpoints = dict.fromkeys(("route53", "ec2", "sts", "ssm", "iam", "directconnect"), url or aws.endpoint_url)
    with pytest.MonkeyPatch.context() as environment:
        for name, value in aws.env().items():
            environment.setenv(name, value)
        session = Session(Settings(REGION, connect_timeout_s, read_timeout_s, endpoints), lambda *_: None)
        session.credentials_end()  # they are obtained now, and kept
    return session


def intent(epoch: int, node: str = "b") -> Intent:
    outgoing = tuple(other for other in NODES if other != node)
    return Intent(epoch, node, "a", Cause.FAILURE, "edge", "a is down", outgoing)


def document() -> str:
    """An operator's."""
    parameters = {each: {"type": "String"} for each in ("service", "epoch", "node", "address")}
    steps = [{"action": "aws:runShellScript", "name": "run", "inputs": {"runCommand": ["true"]}}]
    return json.dumps({"schemaVersion": "2.2", "parameters": parameters, "mainSteps": steps})


def allowed(_epoch: int, _needed_s: float) -> Reason | None:
    return None


@dataclass(slots=True)
class Time:
    """Time that only sleeping passes; `at_sleep` happens in the middle of a pause."""

    at_s: float = 0.0
    at_sleep: Callable[[float], None] = lambda _: None

    def now(self) -> float:
        return self.at_s

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.at_s += seconds
        self.at_sleep(self.at_s)


@dataclass(slots=True)
class Journal:
    lines: list[tuple[int, str, str]] = field(default_factory=list)
    at_line: Callable[[str, str], None] = lambda *_: None

    def __call__(self, epoch: int, step: str, state: str, evidence: str) -> None:
        assert evidence
        self.at_line(step, state)
        self.lines.append((epoch, step, state))


@dataclass(frozen=True, slots=True)
class Hands:
    """Clients of somebody else, who looks behind the agent's back and changes things by hand."""

    ec2: Any
    route53: Any
    ssm: Any


@dataclass(slots=True)
class Site:
    aws: Emulator
    session: Session
    hands: Hands
    seeded: Seeded
    time: Time = field(default_factory=Time)
    journal: Journal = field(default_factory=Journal)

    def zone(self, addresses: Mapping[str, tuple[str, ...]] = NODES, name: str = NAME, **other: Any) -> route53.Zone:
        zone_id = other.get("zone_id", self.seeded.zone_id)
        return route53.Zone(other.get("session", self.session), route53.Settings(zone_id, name, addresses))

    def address(self, moving: str = MOVING) -> secondary_ip.Address:
        return secondary_ip.Address(self.session, secondary_ip.Settings(moving, self.interfaces))

    @property
    def interfaces(self) -> dict[str, str]:
        return {"a": self.seeded.a.interface, "b": self.seeded.b.interface}

    def tables(self, count: int = 2, lead: str | None = "a") -> tuple[str, ...]:
        """Route tables, that lead to a node or nowhere; what is routed to the nodes is let in."""
        for eni in self.interfaces.values():
            self.hands.ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, SourceDestCheck={"Value": False})
        made = [self.hands.ec2.create_route_table(VpcId=self.seeded.vpc)["RouteTable"] for _ in range(count)]
        tables = tuple(sorted(str(table["RouteTableId"]) for table in made))
        for table in tables if lead else ():
            self.route(table, NetworkInterfaceId=self.interfaces[lead or ""])
        self.aws.forget_calls()
        return tables

    def route(self, table: str, **target: str) -> None:
        self.hands.ec2.create_route(RouteTableId=table, DestinationCidrBlock=ROUTED, **target)

    def routes(self, *tables: str, destination: str = ROUTED) -> route_table.Routes:
        return route_table.Routes(self.session, route_table.Settings(destination, tables, self.interfaces))

    def lay(self, *tables: str) -> route_table.Lay:
        return route_table.Lay(self.routes(*tables), self.session)

    def allocated(self, at: str | None = "a") -> str:
        """An Elastic IP, bound to a node's own address or to nothing."""
        eip = str(self.hands.ec2.allocate_address(Domain="vpc")["AllocationId"])
        if at:
            self.hands.ec2.associate_address(AllocationId=eip, NetworkInterfaceId=self.interfaces[at])
        self.aws.forget_calls()
        return eip

    def elastic(self, eip: str) -> elastic_ip.Address:
        private = {node: addresses[0] for node, addresses in NODES.items()}
        return elastic_ip.Address(self.session, elastic_ip.Settings(eip, self.interfaces, private))

    def group(self, name: str) -> str:
        made = self.hands.ec2.create_security_group(GroupName=name, Description=name, VpcId=self.seeded.vpc)
        self.aws.forget_calls()
        return str(made["GroupId"])

    def quarantine(self) -> isolate.Settings:
        return isolate.Settings((self.group("quarantine"),), self.interfaces)

    @property
    def instances(self) -> dict[str, str]:
        return {"a": self.seeded.a.instance, "b": self.seeded.b.instance}

    def documents(self) -> None:
        """An operator's two documents, and agents at both nodes that run them."""
        for name in (RELEASE, TAKE):
            self.hands.ssm.create_document(Name=name, Content=document(), DocumentType="Command")
        self.aws.agent(*self.instances.values())
        self.aws.forget_calls()

    def document(self, name: str, **other: Any) -> guest.Settings:
        given = {node: {"address": MOVING} for node in NODES}
        return guest.Settings(
            **{"service": NAME, "document": name, "instances": self.instances, "given": given, **other}
        )

    def releases(self, *, required: bool = True, **other: Any) -> guest.Run:
        return guest.Run("demote", Stage.FENCE, self.session, self.document(RELEASE, **other), required=required)

    def takes(self, **other: Any) -> guest.Run:
        return guest.Run("promote", Stage.MOVE, self.session, self.document(TAKE, **other))

    def ran(self, document: str) -> list[str]:
        """At which nodes it was run, in order."""
        nodes = {instance: node for node, instance in self.instances.items()}
        return [nodes[instance] for instance, name, _ in self.aws.ran() if name == document]

    def stops(self, *, skip_os_shutdown: bool = False) -> stop.Stop:
        return stop.Stop(self.session, stop.Settings(self.instances, skip_os_shutdown))

    def steps(self, reached: Reached = lambda _: (True, "it serves")) -> tuple[Step, ...]:
        zone, address = self.zone(), self.address()
        assign, publish = secondary_ip.Assign(address), route53.Publish(zone)
        own = Verify("secondary-address", assign, MOVING, reached)
        return secondary_ip.Unassign(address), assign, own, publish, route53.Verify(zone, publish)

    def runner(self, *steps: Step, permit: Any = allowed, pace: Pace | None = None, session: Any = None) -> Runner:
        chosen, clock = steps or self.steps(), {"sleep": self.time.sleep, "now": self.time.now}
        return Runner(chosen, session or self.session, self.journal, permit, pace or Pace(), **clock)

    def run(self, epoch: int, stage: Stage, node: str = "b", **how: Any) -> StageEnded:
        return self.runner(**how).run(intent(epoch, node), stage)

    def run_step(self, step: Step, *, epoch: int = 1, node: str = "b") -> StageEnded:
        return self.runner(step).run(intent(epoch, node), step.stage)

    def publish(self, epoch: int, node: str = "b") -> None:
        """As another agent does it."""
        ended = Site(self.aws, self.session, self.hands, self.seeded).run(epoch, Stage.PUBLISH, node)
        assert ended.fault is None, ended

    # --- what AWS has, and was asked --------------------------------------------------------------------------------

    def sent(self, api: str) -> int:
        return len(self.aws.calls(api))

    def mutations(self) -> list[str]:
        """The calls that were to take effect."""
        return [call.api for call in self.aws.calls() if call.api in MUTATIONS and not call.parameters.get("DryRun")]

    def records(self) -> dict[tuple[str, str], tuple[int, list[str]]]:
        """(name, type) -> (TTL, values), without what every zone has."""
        listed = self.hands.route53.list_resource_record_sets(HostedZoneId=self.seeded.zone_id)
        return {
            (each["Name"], each["Type"]): (each["TTL"], sorted(r["Value"] for r in each["ResourceRecords"]))
            for each in listed["ResourceRecordSets"]
            if each["Type"] not in ("NS", "SOA")
        }

    def change(self, action: str, kind: str, *values: str, name: str = NAME, ttl_s: int = 0) -> None:
        """By hand, in the console."""
        record_set = {"Name": name, "Type": kind, "TTL": ttl_s, "ResourceRecords": [{"Value": v} for v in values]}
        batch = {"Changes": [{"Action": action, "ResourceRecordSet": record_set}]}
        self.hands.route53.change_resource_record_sets(HostedZoneId=self.seeded.zone_id, ChangeBatch=batch)

    def led(self, *tables: str) -> list[str | None]:
        """The interface to which each table leads."""
        described = self.hands.ec2.describe_route_tables(RouteTableIds=list(tables))["RouteTables"]
        by_id = {table["RouteTableId"]: table["Routes"] for table in described}
        found = ([r for r in by_id[table] if r.get("DestinationCidrBlock") == ROUTED] for table in tables)
        return [routes[0].get("NetworkInterfaceId") if routes else None for routes in found]

    def bound(self, eip: str) -> tuple[str | None, str | None]:
        [address] = self.hands.ec2.describe_addresses(AllocationIds=[eip])["Addresses"]
        return address.get("NetworkInterfaceId") or None, address.get("PrivateIpAddress")

    def groups(self, node: str) -> set[str]:
        described = self.hands.ec2.describe_network_interfaces(NetworkInterfaceIds=[self.interfaces[node]])
        return {group["GroupId"] for group in described["NetworkInterfaces"][0]["Groups"]}

    def state(self, node: str) -> str:
        described = self.hands.ec2.describe_instances(InstanceIds=[self.instances[node]])
        return str(described["Reservations"][0]["Instances"][0]["State"]["Name"])

    def holders(self, moving: str = MOVING) -> list[str]:
        """The interfaces that hold the address; a primary one counts."""
        described = self.hands.ec2.describe_network_interfaces()["NetworkInterfaces"]
        return [
            each["NetworkInterfaceId"]
            for each in described
            if moving in (own["PrivateIpAddress"] for own in each["PrivateIpAddresses"])
        ]

    def resolved(self, name: str = NAME, kind: str = "A") -> list[tuple[int, str]]:
        """What a client inside the VPC is told: (TTL, value)."""
        host, port = self.aws.dns_address
        reply = DNSRecord.parse(DNSRecord.question(name, kind).send(host, port, timeout=30))
        return sorted((rr.ttl, str(rr.rdata)) for rr in reply.rr)


def furnish(aws: Emulator, session: Session, hands: Hands, **layout: Any) -> Site:
    chosen = Layout(**{"name": NAME, "secondary": MOVING, **layout})
    seeded = Furnisher(hands.ec2, hands.route53, chosen).furnish()
    aws.forget_calls()
    return Site(aws, session, hands, seeded)
