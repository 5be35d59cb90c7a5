"""The emulated AWS as tests and the demo hold it: a process that ends with them, and a furnished account.

with Emulator() as aws:
    seeded = aws.seed(Layout(secondary="10.0.1.100"))
    aws.fault("ec2:AssignPrivateIpAddresses", "timeout_after", times=1)
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_address, ip_network
from pathlib import Path
from typing import Any, Self

import boto3
from botocore.config import Config

from .script import SPARED, BgpStatus, Call, FaultKind, VifState

ROOT = Path(__file__).parents[2]
REGION = "ap-northeast-1"
STOP_S = 5.0


@dataclass(frozen=True, slots=True)
class Layout:
    """Any addresses do, 127.0.x.x too: with those, loopback listeners can stand in for the nodes."""

    zone: str = "fs.corp.example"
    name: str = "files.fs.corp.example"
    node_a: str = "10.0.1.10"
    node_b: str = "10.0.1.11"
    subnets: tuple[str, ...] = ("10.0.1.0/24",)  # one for both nodes, or one for each zone of availability
    secondary: str | None = None  # on node a
    record: str | None = None  # the A record that is there already
    record_ttl_s: int = 0


@dataclass(frozen=True, slots=True)
class SeededNode:
    address: str
    instance: str
    interface: str
    subnet: str


@dataclass(frozen=True, slots=True)
class Seeded:
    vpc: str
    zone_id: str
    a: SeededNode
    b: SeededNode


class Emulator:
    def __init__(self, *, host: str = "127.0.0.1", http_port: int = 0, dns_port: int = 0, stock: bool = False) -> None:
        self.host, self.ports = host, (http_port, dns_port)
        self.stock = stock
        self.session = boto3.session.Session()  # one: each reads the services' models anew

    def start(self) -> Self:
        self.process = subprocess.Popen(
            self._command(), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        ready = self.process.stdout.readline() if self.process.stdout else ""
        if not ready:
            raise RuntimeError(f"the emulated AWS ended with {self.process.wait()} before it was ready")
        ports = json.loads(ready)
        self.endpoint_url = f"http://{self.host}:{ports['http']}"
        self.dns_address = (self.host, int(ports["dns"]))
        return self

    def _command(self) -> list[str]:
        http, dns = map(str, self.ports)
        command = [sys.executable, "-m", "tests.cloud", "--until-stdin-closes"]
        command += ["--host", self.host, "--http-port", http, "--dns-port", dns]
        return [*command, *(["--stock"] if self.stock else [])]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(STOP_S)
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                stream.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def env(self) -> dict[str, str]:
        """What a program needs in its environment to find this AWS and no other."""
        return {
            "AWS_ACCESS_KEY_ID": "EDGEEMULATEDKEY00000",
            "AWS_SECRET_ACCESS_KEY": "emulated",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    def client(self, service: Any, *, read_timeout_s: float = 60, spared: bool = False) -> Any:
        """A boto3 client that sends each request once; a spared one meets no scripted fault."""
        env = self.env()
        once = Config(retries={"total_max_attempts": 1}, read_timeout=read_timeout_s, max_pool_connections=32)
        return self.session.client(
            service,
            region_name=REGION,
            endpoint_url=self.endpoint_url,
            aws_access_key_id=SPARED if spared else env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
            config=once,
        )

    def lag(self, **lags_s: float) -> None:
        """How long changes stay unseen, also those not seen yet: `route53_s`, `ec2_s`, `dynamodb_s`, `ssm_s`. How long
        things take: `stop_s` a stop, `delivery_s` a command's way to its instance, `run_s` its document there.
        """
        self._edge("POST", "lag", lags_s)

    def impair(self, *instances: str) -> None:
        """Let the hosts of these instances be ill: their status checks fail, and only force stops them."""
        self._edge("POST", "impair", {"instances": instances})

    def line(self, vif: str, state: VifState = "available", bgp: BgpStatus = "up") -> None:
        """Let Direct Connect tell this of a virtual interface (dxvif-...)."""
        self._edge("POST", "vifs", {"id": vif, "state": state, "bgp": bgp})

    def agent(self, *instances: str, ping: str = "Online", platform: str = "Linux") -> None:
        """Let the instances be managed by Systems Manager; without this they aren't."""
        self._edge("POST", "agents", dict.fromkeys(instances, (ping, platform)))

    def outcome(self, document: str, details: str = "Success", output: str = "", *, times: int | None = None) -> None:
        """How the document ends, in the words of StatusDetails, the next `times` times."""
        outcome = {"document": document, "details": details, "output": output, "times": times}
        self._edge("POST", "outcomes", outcome)

    def ran(self) -> list[tuple[str, str, dict[str, str]]]:
        """What the instances' agents have run: instance, document, parameters."""
        return [(instance, document, given) for instance, document, given in self._edge("GET", "state")["ran"]]

    def fault(self, api: str, kind: FaultKind | str, **when: Any) -> None:
        """Let calls of `api` ("ec2:DescribeSubnets", "route53:*") fail `times` times, or until cleared.

        `skip` of them pass before, and all until `after` (an API) is called, and dry runs where it `spares_dry_runs`.
        """
        self._edge("POST", "faults", {"api": api, "kind": FaultKind(kind).value, **when})

    def clear_faults(self) -> None:
        self._edge("DELETE", "faults")

    def calls(self, api: str | None = None) -> list[Call]:
        calls = [Call(**call) for call in self._edge("GET", "state")["calls"]]
        return [call for call in calls if api in (None, call.api)]

    def forget_calls(self) -> None:
        self._edge("DELETE", "calls")

    def reset(self) -> None:
        """An empty account, no faults, no lag: as new, without the second that a new process costs."""
        self._edge("POST", "reset")

    def _edge(self, method: str, switch: str, body: dict[str, Any] | None = None) -> Any:
        data = json.dumps(body or {}).encode()
        request = urllib.request.Request(f"{self.endpoint_url}/_edge/{switch}", data, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def seed(self, layout: Layout) -> Seeded:
        seeded = Furnisher(self.client("ec2"), self.client("route53"), layout).furnish()
        self.forget_calls()
        return seeded


class Furnisher:
    def __init__(self, ec2: Any, route53: Any, layout: Layout) -> None:
        self.ec2 = ec2
        self.route53 = route53
        self.layout = layout

    def furnish(self) -> Seeded:
        vpc = self.ec2.create_vpc(CidrBlock=str(vpc_range(self.layout)))["Vpc"]["VpcId"]
        subnets = {cidr: self._subnet(vpc, cidr, "ac"[index]) for index, cidr in enumerate(self.layout.subnets)}
        a, b = (self._node(subnets, address) for address in (self.layout.node_a, self.layout.node_b))
        if self.layout.secondary:
            self.ec2.assign_private_ip_addresses(
                NetworkInterfaceId=a.interface, PrivateIpAddresses=[self.layout.secondary]
            )
        return Seeded(vpc, self._zone(vpc), a, b)

    def _subnet(self, vpc: str, cidr: str, availability_zone: str) -> str:
        subnet = self.ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone=f"{REGION}{availability_zone}")
        return str(subnet["Subnet"]["SubnetId"])

    def _node(self, subnets: dict[str, str], address: str) -> SeededNode:
        subnet = next(made for cidr, made in subnets.items() if ip_address(address) in ip_network(cidr))
        interface = self.ec2.create_network_interface(SubnetId=subnet, PrivateIpAddress=address)
        eni = interface["NetworkInterface"]["NetworkInterfaceId"]
        launched = self.ec2.run_instances(
            ImageId="ami-12c6146b",  # one that moto knows
            MinCount=1,
            MaxCount=1,
            NetworkInterfaces=[{"DeviceIndex": 0, "NetworkInterfaceId": eni}],
        )
        return SeededNode(address, launched["Instances"][0]["InstanceId"], eni, subnet)

    def _zone(self, vpc: str) -> str:
        zone = self.route53.create_hosted_zone(
            Name=self.layout.zone,
            CallerReference=vpc,
            HostedZoneConfig={"PrivateZone": True},
            VPC={"VPCRegion": REGION, "VPCId": vpc},
        )
        zone_id = str(zone["HostedZone"]["Id"]).removeprefix("/hostedzone/")
        if self.layout.record:
            self.route53.change_resource_record_sets(HostedZoneId=zone_id, ChangeBatch=self._first_record())
        return zone_id

    def _first_record(self) -> dict[str, Any]:
        rrset = {
            "Name": self.layout.name,
            "Type": "A",
            "TTL": self.layout.record_ttl_s,
            "ResourceRecords": [{"Value": self.layout.record}],
        }
        return {"Changes": [{"Action": "CREATE", "ResourceRecordSet": rrset}]}


def vpc_range(layout: Layout) -> IPv4Network:
    """The /16, the largest that a VPC may have, around the first subnet."""
    return IPv4Network(layout.subnets[0]).supernet(new_prefix=16)
