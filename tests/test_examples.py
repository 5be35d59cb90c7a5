"""What people copy has to work: each example is loaded, each deployment file is read by the program that it is for."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from edge.config import Config, Endpoint, FenceKind, ProbeKind, failover_budget, load
from edge.config.models import Guest, RateLimit, Record, Switch, Zone

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "config").glob("*.toml"))
FORWARDERS = ROOT / "deploy" / "forwarders"


def run(*argv: str | Path) -> subprocess.CompletedProcess[str]:
    """Skips where the program is missing. Debian puts servers' programs where users have no path to."""
    program = which(str(argv[0])) or which(str(argv[0]), path="/usr/sbin:/sbin")
    if program is None:
        pytest.skip(f"{argv[0]} is not installed")
    return subprocess.run([program, *map(str, argv[1:])], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_loads(path: Path) -> None:
    config = load(path)
    assert all(failover_budget(service, config) for service in config.services)


def test_the_examples_show_every_switch_and_authority() -> None:
    services = [load(path).services[0] for path in EXAMPLES]
    kinds = {frozenset(kind for kind, there in service.switch if there) for service in services}
    assert {frozenset({"route53"}), frozenset({"secondary_ip"}), frozenset({"route53", "secondary_ip"})} < kinds
    assert frozenset().union(*kinds) == set(Switch.model_fields)
    assert {service.fence.kind for service in services} == set(FenceKind)
    assert {s.authority.value for s in services} == {"agent", "cluster"}
    assert {s.answer.value for s in services} == {"node", "secondary"}


def test_the_manual_has_every_key_of_zones_records_guests_and_rate_limits() -> None:
    manual = (ROOT / "docs" / "operating.md").read_text()
    for table, model in (("zone", Zone), ("zone.record", Record)):
        keys = [field.alias or name for name, field in model.model_fields.items()]
        assert not [key for key in keys if key != "record" and f"`{table}.{key}`" not in manual]
    assert not [name for name, field in Guest.model_fields.items() if f"`{field.alias or name}`" not in manual]
    assert not [key for name, field in RateLimit.model_fields.items() if (key := field.alias or name) not in manual]


def test_the_demo_is_what_the_documents_say() -> None:
    config = load(ROOT / "config" / "demo.toml")
    service = config.services[0]
    assert config.dns.listen == (Endpoint("127.0.0.1", 5300),)
    assert config.http.listen == Endpoint("127.0.0.1", 9353)
    assert (config.zones[0].name, service.name) == ("fs.corp.example", "files.fs.corp.example")
    assert {node.name: node.addresses for node in service.nodes} == {"a": ("127.0.1.10",), "b": ("127.0.2.10",)}
    assert (service.probe.kind, service.probe.port) == (ProbeKind.SMB, 4450)
    assert {config.agent.state_dir, config.control.socket.parent} == {Path(".demo")}
    assert config.aws is not None
    assert (config.aws.endpoints.route53, config.aws.endpoints.ec2) == (None, None)  # AWS_ENDPOINT_URL decides


# --- systemd ----------------------------------------------------------------------------------------------------------

SOCKET = (ROOT / "deploy" / "edge.socket").read_text()


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that exists here."""
    text = (ROOT / "deploy" / "edge.service").read_text()
    path = tmp_path / "edge.service"
    path.write_text(re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={sys.executable}", text))
    return path


def test_systemd_accepts_the_units(unit: Path) -> None:
    port = unit.with_suffix(".socket")
    port.write_text(SOCKET)
    for each in (unit, port):
        done = run("systemd-analyze", "verify", each)
        assert (done.returncode, done.stderr) == (0, "")


def test_the_socket_unit_has_both_kinds_of_an_examples_addresses() -> None:
    listen = load(ROOT / "config" / "multi-az-route53.toml").dns.listen
    for kind in ("Datagram", "Stream"):
        assert re.findall(rf"(?m)^Listen{kind}=(.*)", SOCKET) == list(map(str, listen))


def test_the_socket_unit_keeps_the_port_open_and_ours_alone() -> None:
    wanted = {"TriggerLimitIntervalSec=0", "ReusePort=no", "BindIPv6Only=ipv6-only", "PassPacketInfo=yes"}
    assert wanted <= set(SOCKET.splitlines())


def test_the_unit_is_well_confined(unit: Path) -> None:
    """systemd's own score of 0 to 10, in tenths; an unconfined service has 9.6."""
    done = run("systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", unit)
    assert done.returncode == 0, done.stdout
    assert {"User=edge", "ProtectSystem=strict", "CapabilityBoundingSet=CAP_NET_BIND_SERVICE"} <= set(unit_lines())


def unit_lines() -> list[str]:
    return (ROOT / "deploy" / "edge.service").read_text().splitlines()


def test_a_restart_of_the_controller_spares_the_dns_workers() -> None:
    assert "RestartKillSignal=SIGUSR1" in unit_lines()
    assert {"KillMode=process", "Type=notify", "Restart=always", "StartLimitIntervalSec=0"} <= set(unit_lines())


# --- IAM --------------------------------------------------------------------------------------------------------------

POLICY = json.loads((ROOT / "deploy" / "iam-policy.json").read_text())


def listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else value


def actions() -> list[str]:
    return [action for statement in POLICY["Statement"] for action in listed(statement["Action"])]


def constants(node: ast.AST) -> list[object]:
    """Of a call's arguments."""
    return [each.value for each in node.args if isinstance(each, ast.Constant)] if isinstance(node, ast.Call) else []


def calls_in(source: Path) -> set[str]:
    """IAM actions of the `"service", "boto3_method"` pairs that follow each other in a call's arguments."""
    found = set()
    for node in ast.walk(ast.parse(source.read_text())):
        match constants(node):
            case ["ec2" | "route53" | "ssm" | "iam" | "directconnect" | "cloudtrail" as service, str(method), *_]:
                found.add(f"{service}:{''.join(part.capitalize() for part in method.split('_'))}")
    return found


def test_the_policy_allows_exactly_the_calls_that_the_program_makes() -> None:
    made = set().union(*(calls_in(source) for source in (ROOT / "edge").rglob("*.py")))
    assert made | calls_of_the_store() == set(actions())


def calls_of_the_store() -> set[str]:
    """The agent's; a table is made with other rights."""
    words = {word for node in ast.walk(ast.parse(STORE.read_text())) for word in constants(node)}
    return {f"dynamodb:{''.join(map(str.capitalize, str(word).split('_')))}" for word in words & CALLS_OF_DYNAMODB}


STORE = ROOT / "edge" / "stores" / "dynamodb.py"
CALLS_OF_DYNAMODB = {"get_item", "put_item", "update_item", "delete_item", "query", "scan", "create_table"}


def test_the_policy_lets_the_agent_write_the_kinds_that_it_writes_and_no_others() -> None:
    (keys,) = [
        statement["Condition"]["ForAllValues:StringEquals"]["dynamodb:LeadingKeys"]
        for statement in POLICY["Statement"]
        if statement["Action"] == "dynamodb:PutItem"
    ]
    sources = "".join(
        (ROOT / "edge" / "stores" / f"{name}.py").read_text() for name in ("records", "leases", "dynamodb")
    )
    assert set(keys) == set(re.findall(r'"(\w+)/', sources)) | set(re.findall(r'_value\("(\w+)"', sources))


def test_the_policy_is_of_the_form_that_iam_takes() -> None:
    assert POLICY["Version"] == "2012-10-17"
    sids = [statement["Sid"] for statement in POLICY["Statement"]]
    assert len(set(sids)) == len(sids)
    assert all(re.fullmatch(r"[A-Za-z0-9]+", sid) for sid in sids)
    assert all(statement["Effect"] == "Allow" for statement in POLICY["Statement"])
    assert all(re.fullmatch(r"[a-z0-9]+:[A-Za-z0-9]+", action) for action in actions())  # no wildcards


def test_whatever_changes_something_is_bound_to_its_resource() -> None:
    for statement in POLICY["Statement"]:
        reading = ("Describe", "Get", "List", "Lookup")
        changing = [a for a in listed(statement["Action"]) if not a.partition(":")[2].startswith(reading)]
        assert not changing or all("*" not in resource for resource in listed(statement["Resource"]))


def test_the_policy_is_that_of_the_examples() -> None:
    """Somebody who copies both has to change the same names in both."""
    service = both().services[0]
    resources = " ".join(r for statement in POLICY["Statement"] for r in listed(statement["Resource"]))
    aws = both().aws
    assert aws is not None
    assert aws.identity in resources
    assert service.switch.route53 is not None
    assert f"hostedzone/{service.switch.route53.zone_id}" in resources
    assert all(f"network-interface/{node.interface}" in resources for node in service.nodes)
    routed, public = (load(ROOT / "config" / f"{name}.toml").services[0] for name in ROUTED_AND_PUBLIC)
    assert routed.switch.route_table is not None
    assert public.switch.elastic_ip is not None
    assert all(f"route-table/{table}" in resources for table in routed.switch.route_table.tables)
    assert all(f"security-group/{group}" in resources for group in routed.fence.quarantine)
    assert f"elastic-ip/{public.switch.elastic_ip.allocation_id}" in resources
    assert all(f"instance/{node.instance}" in resources for node in public.nodes)
    guest = load(ROOT / "config" / "guest-steps.toml").services[0].guest
    assert guest is not None
    named = re.findall(r":document/(\S+)", resources)
    assert set(named) == {guest.on_demote, guest.on_promote, *(p.stem for p in (ROOT / "deploy" / "ssm").iterdir())}
    condition = POLICY["Statement"][1]["Condition"]["ForAllValues:StringEquals"]
    names = condition["route53:ChangeResourceRecordSetsNormalizedRecordNames"]
    assert names == [service.name, f"_edge.{service.name}"]


ROUTED_AND_PUBLIC = ("transit-gateway-route", "public-elastic-ip")


def both() -> Config:
    return load(ROOT / "config" / "both.toml")


def test_the_kernel_has_what_the_agents_host_sets() -> None:
    lines = (ROOT / "deploy" / "edge-sysctl.conf").read_text().splitlines()
    keys = [line.partition(" = ")[0] for line in lines if line and not line.startswith("#")]
    assert keys == [key for key in keys if Path("/proc/sys", *key.split(".")).exists()] != []


# --- forwarders -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["unbound.conf", "unbound-forward.conf"])
def test_unbound_accepts_its_file(name: str) -> None:
    done = run("unbound-checkconf", FORWARDERS / name)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("infra-host-ttl", "2"),
        ("infra-cache-max-rtt", "8000"),
        ("fast-server-permil", "1000"),
        ("fast-server-num", "1"),
        ("cache-min-ttl", "0"),
        ("serve-expired", "no"),
    ],
)
def test_unbound_reads_what_is_meant(option: str, value: str) -> None:
    assert run("unbound-checkconf", "-o", option, FORWARDERS / "unbound.conf").stdout.strip() == value


@pytest.mark.parametrize("name", ["bind-static-stub.conf", "bind-forward.conf", "bind-delegation.conf"])
def test_bind_accepts_its_file(name: str) -> None:
    done = run("named-checkconf", FORWARDERS / name)
    assert done.returncode == 0, done.stdout


def test_bind_accepts_the_delegation_in_its_parent(tmp_path: Path) -> None:
    parent = tmp_path / "corp.example.zone"
    head = "$TTL 300\n@ SOA ns.corp.example. hostmaster.corp.example. 1 3600 600 86400 300\n@ NS ns\nns A 10.0.0.1\n"
    parent.write_text(f"{head}$INCLUDE {FORWARDERS / 'bind-delegation.zone'}\n")
    done = run("named-checkzone", "-D", "-i", "full", "corp.example", parent)
    assert done.returncode == 0, done.stdout
    records = [line.split() for line in done.stdout.splitlines()]
    assert ["fs.corp.example.", "300", "IN", "NS", "ns1.fs.corp.example."] in records
    assert ["ns2.fs.corp.example.", "300", "IN", "A", "10.10.0.54"] in records


@pytest.mark.parametrize("path", sorted(FORWARDERS.iterdir()), ids=lambda path: path.name)
def test_forwarders_ask_the_agents_of_the_example(path: Path) -> None:
    nameservers = load(ROOT / "config" / "multi-az-route53.toml").zones[0].nameservers
    addresses = {address for group in nameservers.values() for address in group}
    elsewhere = path.name in ("bind-delegation.conf", "pdns-recursor.lua")  # the file beside it has the addresses
    assert set(re.findall(r"\b10(?:\.\d+){3}\b", path.read_text())) == (set() if elsewhere else addresses)


@pytest.mark.parametrize("path", sorted(FORWARDERS.iterdir()), ids=lambda path: path.name)
def test_the_documentation_says_whom_each_file_is_for(path: Path) -> None:
    assert f"](../deploy/forwarders/{path.name})" in (ROOT / "docs" / "forwarders.md").read_text()
