"""One file that is right; each test makes it wrong in one way (or several), and reads what `load` says."""

import copy
import math
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError
from datetime import datetime
from ipaddress import ip_network
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from edge.agent.build import policy
from edge.config import (
    Answer,
    Config,
    Endpoint,
    FenceKind,
    GuestOs,
    ProbeKind,
    Topology,
    cautions,
    detection_s,
    failover_budget,
    fastest_probe,
    load,
)
from edge.config.reading import _examine
from edge.config.values import owner_name, zone_name
from edge.durations import duration_text, parse_duration
from edge.errors import ConfigError
from edge.failover.model import Mode, OnOutage

RIGHT = """
[agent]
name = "edge-1"

[dns]
listen = ["10.10.0.53:53", "[FD00::53]:53"]
trusted_forwarders = ["10.10.0.10"]

[zone]
name = "FS.corp.example."
contact = "hostmaster@corp.example"
[zone.nameservers]
"ns1.fs.corp.example" = ["10.10.0.53"]
"ns.elsewhere.example" = []

[aws]
region = "ap-northeast-1"

[path]
loss_limit = 0.2
[[path.witness]]
name = "ec2"
tcp = "10.0.1.5:443"

[[service]]
name = "files.fs.corp.example"
hold_down = "30s"
answer = "secondary"

  [service.probe]
  kind = "smb"
  interval = "1s"
  timeout = "500ms"
  fall = 3

  [[service.node]]
  name = "a"
  address = ["10.0.1.10", "fd00:1::10"]
  interface = "eni-0aaaaaaaaaaaaaaaa"
  subnet = "subnet-0cccccccccccccccc"

  [[service.node]]
  name = "b"
  address = ["10.0.1.11", "fd00:1::11"]
  port = 4450
  interface = "eni-0bbbbbbbbbbbbbbbb"
  subnet = "subnet-0cccccccccccccccc"

  [service.switch.route53]
  zone_id = "Z0123456789EXAMPLE"

  [service.switch.secondary_ip]
  address = "10.0.1.100"

  [service.fence]
  kind = "unassign"

  [[service.freeze]]
  name = "batch"
  days = ["Sat"]
  start = "22:00"
  end = "02:00"
  timezone = "Asia/Tokyo"
"""

Read = Callable[[str], Config]
Problems = Callable[[str], list[str]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def _read(text: str) -> Config:
        path = tmp_path / "edge.toml"
        path.write_text(text)
        return load(path)

    return _read


@pytest.fixture
def problems(read: Read, tmp_path: Path) -> Problems:
    """Each problem without the file's name, which every one must begin with."""

    def _problems(text: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            read(text)
        prefix = f"{tmp_path / 'edge.toml'}: "
        assert all(problem.startswith(prefix) for problem in caught.value.problems)
        return [problem.removeprefix(prefix) for problem in caught.value.problems]

    return _problems


def changed(*changes: tuple[str, str]) -> str:
    text = RIGHT
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def test_every_value_arrives_typed(read: Read) -> None:
    config = read(RIGHT)
    service = config.services[0]
    assert config.dns.listen == (Endpoint("10.10.0.53", 53), Endpoint("fd00::53", 53))
    assert str(config.dns.listen[1]) == "[fd00::53]:53"
    assert config.dns.trusted_forwarders == (ip_network("10.10.0.10/32"),)
    assert config.zones[0].name == "fs.corp.example"
    assert config.zones[0].rname == "hostmaster.corp.example"
    assert config.zones[0].nameservers == {"ns1.fs.corp.example": ("10.10.0.53",), "ns.elsewhere.example": ()}
    assert config.path.witnesses[0].tcp == Endpoint("10.0.1.5", 443)
    assert (service.probe.kind, service.probe.interval_s, service.probe.timeout_s) == (ProbeKind.SMB, 1.0, 0.5)
    assert (service.answer, service.mode, service.on_aws_outage) == (Answer.SECONDARY, Mode.AUTO, OnOutage.ANSWER)
    assert service.nodes[1].addresses == ("10.0.1.11", "fd00:1::11")
    assert [service.port(node) for node in service.nodes] == [445, 4450]
    assert service.switch.route53 is not None
    assert service.switch.route53.zone_id == "Z0123456789EXAMPLE"


def test_the_default_mailbox_is_hostmaster(read: Read) -> None:
    assert read(changed(('contact = "hostmaster@corp.example"\n', ""))).zones[0].rname == "hostmaster.fs.corp.example"


def test_a_config_cannot_be_changed(read: Read) -> None:
    with pytest.raises((ValidationError, FrozenInstanceError)):
        read(RIGHT).agent.name = "other"  # type: ignore[misc]


def test_a_line_alone_needs_no_brackets(read: Read) -> None:
    one = read(changed(("[path]", '[path]\nvirtual_interface = "dxvif-ffhhk74f"'))).path
    two = read(changed(("[path]", '[path]\nvirtual_interface = ["dxvif-ffhhk74f", "dxvif-0aaaaaaa"]'))).path
    assert (one.virtual_interfaces, len(two.virtual_interfaces)) == (("dxvif-ffhhk74f",), 2)


def test_a_line_is_asked_about_in_aws(read: Read, problems: Problems) -> None:
    start, end = RIGHT.index("  [service.switch.route53]"), RIGHT.index("  [[service.freeze]]")
    text = (RIGHT[:start] + RIGHT[end:]).replace('answer = "secondary"', "")
    text = text.replace('[aws]\nregion = "ap-northeast-1"', "")
    text = text.replace("[path]", '[path]\nvirtual_interface = "dxvif-ffhhk74f"')
    assert problems(text) == ["aws: missing: to ask about path.virtual_interface needs [aws] with the region"]


def test_a_service_without_a_switch_is_right(read: Read) -> None:
    start, end = RIGHT.index("  [service.switch.route53]"), RIGHT.index("  [[service.freeze]]")
    text = RIGHT[:start] + RIGHT[end:]
    config = read(text.replace('answer = "secondary"', "").replace('[aws]\nregion = "ap-northeast-1"', ""))
    assert config.aws is None
    assert not config.services[0].switch
    assert [t.name for t in failover_budget(config.services[0], config)] == ["detect", "decide", "answer", "ttl"]


def test_a_fence_is_required_unless_said_otherwise(read: Read) -> None:
    assert read(RIGHT).services[0].fence.required
    relaxed = read(changed(('kind = "unassign"', 'kind = "unassign"\nrequired = false')))
    assert not relaxed.services[0].fence.required
    none = read(changed(('kind = "unassign"', 'kind = "none"'))).services[0].fence
    assert (none.kind, none.required) == (FenceKind.NONE, False)


PROFILE = ('  interval = "1s"\n  timeout = "500ms"\n  fall = 3\n', "")


@pytest.mark.parametrize(
    ("profile", "probe_timings", "hold_down_s"),
    [("fast", (0.2, 0.2, 3, 5), 10.0), ("default", (1.0, 0.5, 3, 2), 30.0), ("careful", (2.0, 1.0, 5, 5), 120.0)],
)
def test_a_profile_sets_the_timings(
    read: Read, profile: str, probe_timings: tuple[float, float, int, int], hold_down_s: float
) -> None:
    service = read(changed(PROFILE, ('hold_down = "30s"', f'profile = "{profile}"'))).services[0]
    probe = service.probe
    assert (probe.interval_s, probe.timeout_s, probe.fall, probe.rise) == probe_timings
    assert service.hold_down_s == hold_down_s


def test_a_single_value_overrides_the_profile(read: Read) -> None:
    service = read(changed(PROFILE, ('hold_down = "30s"', 'profile = "fast"\nhold_down = "7s"'))).services[0]
    assert (service.hold_down_s, service.probe.interval_s) == (7.0, 0.2)


# What is changed in RIGHT, and the beginning of the one problem that this makes.
ONE_MISTAKE = [
    # by itself
    ('timeout = "500ms"', "timeout = 0.5", "service[0].probe.timeout: found 0.5; expected a duration with its unit"),
    ('timeout = "500ms"', 'timeout = "0s"', 'service[0].probe.timeout: found "0s"; it should be greater than 0'),
    ('timeout = "500ms"', 'timeout = "-1s"', 'service[0].probe.timeout: found "-1s"; expected a duration'),
    ("fall = 3", "fall = 0", "service[0].probe.fall: found 0; it should be greater than or equal to 1"),
    ("fall = 3", "fall = true", "service[0].probe.fall: found true; it should be a valid integer"),
    ("fall = 3", "fall = 3\n  jitter = nan", "service[0].probe.jitter: found NaN"),
    ("fall = 3", "fal = 3", 'service[0].probe.fal: unknown key; did you mean "fall"?'),
    ("fall = 3", "qwertz = 3", "service[0].probe.qwertz: unknown key; known here: kind, port, interval, timeout"),
    ("[path]", "[pathh]\n[path]", 'pathh: unknown key; did you mean "path"?'),
    ('kind = "smb"', 'kind = "nfs"', 'service[0].probe.kind: found "nfs"; this version does not have it yet'),
    ('kind = "smb"', 'kind = "sbm"', 'service[0].probe.kind: found "sbm"; did you mean "smb"?'),
    (
        "[service.switch.route53]\n  zone_id",
        "[service.switch.nfs]\n  zone_id",
        "service[0].switch.nfs: unknown key; this version does not have it yet; available: route53",
    ),
    ("[aws]", '[store]\nkind = "dynamo"\n[aws]', 'store.kind: found "dynamo"; did you mean "dynamodb"?'),
    ("[aws]", '[store]\ntable = "edge"\n[aws]', 'store.table: "edge" is for kind "dynamodb", and this is "sqlite"'),
    ("[aws]", '[store]\nkind = "dynamodb"\ntable = "a b"\n[aws]', 'store.table: found "a b"; not in its form; for'),
    (
        "[aws]",
        '[store]\nkind = "dynamodb"\n[lease]\nduration = "14s"\n[aws]',
        "lease.duration: 14s x 0.9 (two clocks may run apart) - renew 3s - the renewal's own call 5s = 4.6s",
    ),
    (
        "[aws]",
        '[store]\nkind = "dynamodb"\n[lease]\nrenew = "4s"\n[aws]',
        "lease.duration: 15s x 0.9 (two clocks may run apart) - renew 4s",
    ),
    ("[aws]", '[lease]\nrenew = "0s"\n[aws]', 'lease.renew: found "0s"; it should be greater than 0'),
    (
        'zone_id = "Z',
        'zone_id = "/hostedzone/Z',
        'service[0].switch.route53.zone_id: found "/hostedzone/Z0123456789EXAMPLE"; not in its form; for example "Z',
    ),
    ('"10.10.0.10"', '"192.0.2.10"', 'dns.trusted_forwarders[0]: "192.0.2.10/32" is not in dns.allow_query'),
    ("trusted", "cookie_required = true\ntrusted", "dns.cookie_required: true, but there are no cookie_secrets"),
    ("trusted", "amplification = 1.5\ntrusted", "dns.amplification: found 1.5; it should be greater than"),
    ('"10.10.0.53:53", ', '"10.10.0.53:0", ', 'dns.listen[0]: found "10.10.0.53:0"; a port is'),
    ('"10.10.0.53:53", ', '"10.10.0.53:65536", ', 'dns.listen[0]: found "10.10.0.53:65536"; a port is'),
    (
        '"10.10.0.53:53", ',
        '"10.10.0.353:53", ',
        'dns.listen[0]: found "10.10.0.353:53"; expected an IPv4 or IPv6 address',
    ),
    ('"10.10.0.53:53", ', '"10.10.0.53", ', 'dns.listen[0]: found "10.10.0.53"; expected address:port'),
    ('"10.10.0.53:53", ', '"[FD00:0::53]:53", ', 'dns.listen: "[fd00::53]:53" is listed twice'),
    (
        '["10.10.0.10"]',
        '["10.10.0.10/8"]',
        'dns.trusted_forwarders[0]: found "10.10.0.10/8"; the address has bits beyond its prefix; "10.0.0.0/8"',
    ),
    ('["10.10.0.10"]', '["forwarder"]', 'dns.trusted_forwarders[0]: found "forwarder"; expected a prefix'),
    ('name = "FS.corp.example."', 'name = "fs..example"', 'zone.name: found "fs..example"; expected a DNS name'),
    (
        'contact = "hostmaster@',
        'contact = "host.master@',
        'zone.contact: found "host.master@corp.example"; a SOA record cannot show a dot',
    ),
    ("contact", 'negative_ttl = "1500ms"\ncontact', 'zone.negative_ttl: found "1500ms"; DNS counts in whole seconds'),
    (
        "contact",
        'negative_ttl = "1h"\ncontact',
        'zone.negative_ttl: found "1h"; it should be less than or equal to 300',
    ),
    (
        '"ns1.fs.corp.example" = ["10.10.0.53"]',
        '"ns_.fs.corp.example" = ["10.10.0.53"]',
        'zone.nameservers."ns_.fs.corp.example": found "ns_.fs.corp.example"; expected a DNS name',
    ),
    ('hold_down = "30s"', "ttl = 301", "service[0].ttl: found 301; it should be less than or equal to 300"),
    ('hold_down = "30s"', "ttl = -1", "service[0].ttl: found -1; it should be greater than or equal to 0"),
    ('hold_down = "30s"', 'mode = "autom"', 'service[0].mode: found "autom"; did you mean "auto"?'),
    (
        '["10.0.1.10", "fd00:1::10"]',
        '["10.0.1.10", "10.0.1.12"]',
        'service[0].node[0].address: found ["10.0.1.10", "10.0.1.12"]; expected one address, or one IPv4 and one IPv6',
    ),
    (
        '["10.0.1.10", "fd00:1::10"]',
        '["10.0.1.10", "224.0.0.1"]',
        'service[0].node[0].address: found ["10.0.1.10", "224.0.0.1"]; a multicast address belongs to no host',
    ),
    (
        '["10.0.1.10", "fd00:1::10"]',
        '["0.0.0.0", "fd00:1::10"]',
        'service[0].node[0].address: found ["0.0.0.0", "fd00:1::10"]; the unspecified address',
    ),
    ('["10.0.1.10", "fd00:1::10"]', "7", "service[0].node[0].address: found 7; expected an IPv4 or IPv6 address"),
    ('start = "22:00"', 'start = "24:00"', 'service[0].freeze[0].start: found "24:00"; expected a time of day'),
    ('"Asia/Tokyo"', '"Asia"', 'service[0].freeze[0].timezone: found "Asia"; expected a zone of the tz database'),
    ('"Asia/Tokyo"', '"../etc"', 'service[0].freeze[0].timezone: found "../etc"; expected a zone of the tz database'),
    ('["Sat"]', '["Saturday"]', 'service[0].freeze[0].days[0]: found "Saturday"; known here: Mon, Tue'),
    ("[aws]", '[aws.endpoints]\nec2 = "ec2.example"\n[aws]', 'aws.endpoints.ec2: found "ec2.example"; expected a URL'),
    ("[aws]", f'[control]\nsocket = "/{"x" * 107}"\n[aws]', "control.socket: found "),
    ('name = "edge-1"', "", 'agent.name: missing; for example "edge-1"'),
    ('[agent]\nname = "edge-1"', "", "agent: missing"),
    # empty
    ('listen = ["10.10.0.53:53", "[FD00::53]:53"]', "listen = []", "dns.listen: found []; expected at least one"),
    ('["10.0.1.10", "fd00:1::10"]', "[]", "service[0].node[0].address: found []; expected one address"),
    ('["Sat"]', "[]", "service[0].freeze[0].days: found []; expected at least one"),
    # two keys together
    ('timeout = "500ms"', 'timeout = "1500ms"', "service[0].probe.timeout: 1.5s is longer than interval 1s"),
    (
        'hold_down = "30s"',
        'hold_down = "3s"',
        (
            "service[0].hold_down: 3s is shorter than the time to detect a failure "
            "(interval 1s x (fall 3 + 1 to prove that the path works) x 1.1 for jitter + timeout 500ms = 4.9s)"
        ),
    ),
    ("fall = 3", "fall = 7", "service[0].probe.leaky: 6 is full before fall 7"),
    ('kind = "smb"', 'kind = "tcp"', "service[0].probe.port: missing: tcp has no port of its own"),
    ('name = "b"', 'name = "a"', 'service[0].node[1].name: "a" is also the name of node[0]'),
    ('"10.0.1.11"', '"10.0.1.10"', 'service[0].node[1].address: "10.0.1.10" is also an address of node "a"'),
    (
        "eni-0bbbbbbbbbbbbbbbb",
        "eni-0aaaaaaaaaaaaaaaa",
        'service[0].node[1].interface: "eni-0aaaaaaaaaaaaaaaa" is also node "a"\'s',
    ),
    (
        ', "fd00:1::11"',
        "",
        'service[0].node[1].address: node "a" has IPv4 and IPv6 and node "b" IPv4: a switch',
    ),
    (
        '  [service.switch.secondary_ip]\n  address = "10.0.1.100"\n\n  [service.fence]\n  kind = "unassign"',
        "",
        'service[0].answer: "secondary" needs [service.switch.secondary_ip]',
    ),
    ('"10.0.1.100"', '"10.0.1.11"', 'service[0].switch.secondary_ip.address: "10.0.1.11" is node "b"\'s own address'),
    (
        '"10.0.1.100"',
        '"fd00::1"',
        'service[0].switch.secondary_ip.address: "fd00::1": AssignPrivateIpAddresses moves IPv4 addresses only',
    ),
    (
        'interface = "eni-0aaaaaaaaaaaaaaaa"',
        "",
        "service[0].node[0].interface: missing: switch.secondary_ip needs the interface",
    ),
    (
        'subnet = "subnet-0cccccccccccccccc"',
        "",
        "service[0].node[0].subnet: missing: switch.secondary_ip needs the subnet",
    ),
    (
        "subnet-0cccccccccccccccc",
        "subnet-0dddddddddddddddd",
        "service[0].switch.secondary_ip: the nodes are in subnet-0cccccccccccccccc, subnet-0dddddddddddddddd: an",
    ),
    (
        'kind = "unassign"',
        'kind = "none"\nrequired = true',
        'service[0].fence.required: true, but fence.kind is "none"',
    ),
    ('start = "22:00"', 'start = "02:00"', "service[0].freeze[0].end: start and end are both 02:00"),
    (
        'name = "files.fs.corp.example"',
        'name = "files.corp.example"',
        'service[0].name: "files.corp.example" is not below the zone "fs.corp.example"',
    ),
    (
        'name = "files.fs.corp.example"',
        'name = "filesfs.corp.example"',
        'service[0].name: "filesfs.corp.example" is not below the zone "fs.corp.example"',
    ),
    (
        'name = "files.fs.corp.example"',
        'name = "ns1.fs.corp.example"',
        'service[0].name: "ns1.fs.corp.example" is also a nameserver',
    ),
    (
        '"ns1.fs.corp.example" = ["10.10.0.53"]',
        '"ns1.fs.corp.example" = []',
        'zone.nameservers."ns1.fs.corp.example": is inside the zone',
    ),
    (
        '"ns.elsewhere.example" = []',
        '"ns.elsewhere.example" = ["10.0.0.1"]',
        'zone.nameservers."ns.elsewhere.example": is outside the zone',
    ),
    ("contact", "serial_base = -1\ncontact", "zone.serial_base: found -1; it should be greater than or equal to 0"),
    ("contact", 'reverse_of = "10.0.1.0/24"\ncontact', "zone.reverse_of: unknown key"),
    (
        "trusted",
        "rate_limit.unprepared_per_second = -1\ntrusted",
        "dns.rate_limit.unprepared_per_second: found -1; it should be greater than or equal to 0",
    ),
    (
        '"ns.elsewhere.example" = []',
        '"10.10.0.54" = []',
        'zone.nameservers."10.10.0.54": found "10.10.0.54"; expected a',
    ),
    (
        'name = "files.fs.corp.example"',
        'name = "fs.corp.example"',
        'service[0].name: "fs.corp.example" is a zone itself',
    ),
    (
        "  port = 4450",
        '  ptr = "fs_b."',
        "service[0].node[1].ptr: no zone of ours holds 11.1.0.10.in-addr.arpa or 1.1.0",
    ),
    ("  port = 4450", "  ptr = 4450", "service[0].node[1].ptr: found 4450; expected a DNS name"),
    ("[path]", '[http]\nlisten = "10.10.0.53:53"\n[path]', 'http.listen: "10.10.0.53:53" is also in dns.listen'),
    ('name = "ec2"', 'name = "a"', 'path.witness[0].name: "a" is also the name of a node'),
    (
        'name = "ec2"',
        'name = "ec2"\ntcp = "10.0.9.5:443"\n[[path.witness]]\nname = "ec2"',
        'path.witness[1].name: "ec2" is also the name of witness[0]',
    ),
    (
        "[[service]]",
        '[[path.witness]]\nname = "ec2-again"\ntcp = "10.0.1.5:443"\n[[service]]',
        'path.witness[1].tcp: "10.0.1.5:443" is also the tcp of witness[0]: one endpoint is one witness',
    ),
    *(
        (
            'tcp = "10.0.1.5:443"',
            f'tcp = "{own}"',
            f'path.witness[0].tcp: "{own}" is also our own {key}: a witness lies behind the path that it proves',
        )
        for key, own in (("dns.listen", "10.10.0.53:53"), ("http.listen", "127.0.0.1:9353"))
    ),
    (
        "[aws]",
        '[store]\nkind = "dynamodb"\n[lease]\nrenew = "99ms"\n[aws]',
        "lease.renew: 99ms: the store is written so often, and read four times as often; at least 100ms",
    ),
    (
        "[aws]",
        '[store]\nkind = "dynamodb"\n[lease]\nduration = "601s"\n[aws]',
        "lease.duration: 601s: for so long nobody switches where the leader has died; at most 600s",
    ),
    (
        'tcp = "10.0.1.5:443"',
        'tcp = "10.0.1.11:443"',
        'path.witness[0].tcp: "10.0.1.11:443" is node "b": a witness that dies with a node proves nothing',
    ),
    *(
        (
            "[path]",
            f'[[{word}]]\nname = "one"\ndns = "10.10.0.60:53"\n[[{word}]]\nname = "{name}"\ndns = "{dns}"\n[path]',
            f'{word}[1].{key}: "{value}" is also the {key} of {word}[0]',
        )
        for word in ("peer", "forwarder")
        for name, dns, key, value in (
            ("one", "10.10.0.61:53", "name", "one"),
            ("two", "10.10.0.60:53", "dns", "10.10.0.60:53"),
        )
    ),
    (
        "[path]",
        '[[peer]]\nname = "edge-1"\ndns = "10.10.0.54:53"\n[path]',
        'peer[0].name: "edge-1" is this agent itself',
    ),
    (
        "[path]",
        '[[forwarder]]\nname = "dc1"\ndns = "10.10.0.53:53"\n[path]',
        'forwarder[0].dns: "10.10.0.53:53" is also in dns.listen: this agent would ask itself',
    ),
    ("[path]", '[[forwarder]]\nname = "dc1"\ndns = "10.10.0.53"\n[path]', 'forwarder[0].dns: found "10.10.0.53"; exp'),
    (
        '  zone_id = "Z0123456789EXAMPLE"',
        '  zone_id = "Z0123456789EXAMPLE"\n  resolver = ["10.0.1.2:53", "10.0.1.2:53"]',
        'service[0].switch.route53.resolver: "10.0.1.2:53" is listed twice',
    ),
    (
        '  zone_id = "Z0123456789EXAMPLE"',
        '  zone_id = "Z0123456789EXAMPLE"\n  vpc = "10.0.0.0/16"',
        'service[0].switch.route53.vpc: found "10.0.0.0/16"; not in its form; for example "vpc-0123456789abcdef0"',
    ),
    (
        "[path]",
        '[path]\nvirtual_interface = "dxcon-0"',
        'path.virtual_interface[0]: found "dxcon-0"; not in its form; for example "dxvif-ffhhk74f"',
    ),
    (
        '[aws]\nregion = "ap-northeast-1"',
        '[aws]\nregion = "ap-northeast-1"\nidentity = "arn:aws:sts::123456789012:assumed-role/edge/1"',
        'aws.identity: found "arn:aws:sts::123456789012:assumed-role/edge/1"; not in its form; for exam',
    ),
    (
        "[aws]\nregion",
        '[aws]\ncheck_interval = "0s"\nregion',
        'aws.check_interval: found "0s"; it should be greater than 0',
    ),
    ('answer = "secondary"', 'answer = "secondary"\ndrift = "mend"', 'service[0].drift: found "mend"; known here: al'),
    ('[aws]\nregion = "ap-northeast-1"', "", "aws: missing: service[0].switch needs [aws] with the region"),
    (
        "[aws]",
        '[aws.endpoints]\nec2 = "https://ec2.fs.corp.example"\n[aws]',
        'aws.endpoints.ec2: "ec2.fs.corp.example" is a name of our own zone',
    ),
]


ROUTE = """  [service.switch.route_table]
  destination = "172.31.255.10/32"
  tables = ["rtb-0aaaaaaaaaaaaaaaa"]
  topology = "vpc_only"
"""
ELASTIC = """  [service.switch.elastic_ip]
  allocation_id = "eipalloc-0cccccccccccccccc"
  allow_public = true
"""
ISOLATE = 'kind = "isolate"\nquarantine = ["sg-0eeeeeeeeeeeeeeee"]'
WAYS = ROUTE + ELASTIC
ONE_MISTAKE_MORE = [
    (
        '  topology = "vpc_only"\n',
        "",
        "service[0].switch.route_table.topology: missing: over a private virtual interface on a virtual",
    ),
    (
        '"vpc_only"',
        '"vgw"',
        'service[0].switch.route_table.topology: found "vgw"; known here: transit_gateway, vpc_only',
    ),
    (
        "allow_public = true",
        "",
        "service[0].switch.elastic_ip.allow_public: false, but an Elastic IP is a public address: whoever",
    ),
    (
        '.10/32"',
        '.10/31"',
        'service[0].switch.route_table.destination: found "172.31.255.10/31"; expected one IPv4 address',
    ),
    ('.10/32"', '.10"', 'service[0].switch.route_table.destination: found "172.31.255.10"; expected one IPv4 address'),
    (
        "172.31.255.10/32",
        "10.0.1.11/32",
        'service[0].switch.route_table.destination: "10.0.1.11/32" is node "b"\'s own address',
    ),
    ('["rtb-0aaaaaaaaaaaaaaaa"]', "[]", "service[0].switch.route_table.tables: found []; expected at least one"),
    ('["rtb-0aaaaaaaaaaaaaaaa"]', '["x"]', 'service[0].switch.route_table.tables[0]: found "x"; not in its form'),
    (
        '["rtb-0aaaaaaaaaaaaaaaa"]',
        '["rtb-0aaaaaaaaaaaaaaaa", "rtb-0aaaaaaaaaaaaaaaa"]',
        'service[0].switch.route_table.tables: "rtb-0aaaaaaaaaaaaaaaa" is listed twice',
    ),
    (
        "eipalloc-0c",
        "eip-0c",
        'service[0].switch.elastic_ip.allocation_id: found "eip-0cccccccccccccccc"; not in its form',
    ),
    ('kind = "unassign"', 'kind = "isolate"', 'service[0].fence.quarantine: missing: "isolate" gives the old node'),
    (
        'kind = "unassign"',
        'kind = "unassign"\nquarantine = ["sg-0eeeeeeeeeeeeeeee"]',
        'service[0].fence.quarantine: is for kind "isolate", and this is "unassign"',
    ),
    (
        'kind = "unassign"',
        'kind = "unassign"\nskip_os_shutdown = true',
        'service[0].fence.skip_os_shutdown: is for kind "stop", and this is "unassign"',
    ),
]


@pytest.mark.parametrize(("old", "new", "beginning"), ONE_MISTAKE_MORE)
def test_one_mistake_in_the_other_ways_is_one_problem(problems: Problems, old: str, new: str, beginning: str) -> None:
    (problem,) = problems(changed(("  [service.fence]", f"{WAYS}  [service.fence]"), (old, new)))
    assert problem.startswith(beginning)


def test_every_way_and_fence_is_read(read: Read) -> None:
    text = changed(("  [service.fence]", f"{WAYS}  [service.fence]"), ('kind = "unassign"', ISOLATE))
    service = read(text).services[0]
    assert service.switch.route_table is not None
    assert service.switch.route_table.topology is Topology.VPC_ONLY
    assert service.switch.elastic_ip is not None
    assert (service.fence.kind, service.fence.quarantine) == (FenceKind.ISOLATE, ("sg-0eeeeeeeeeeeeeeee",))
    terms = [term.name for term in failover_budget(service, read(text))]
    assert terms[2:-2] == ["fence", "rejoin", "move", "route", "public", "publish"]


def without_secondary(*more: tuple[str, str]) -> str:
    address = '  [service.switch.secondary_ip]\n  address = "10.0.1.100"\n'
    return changed((address, ""), ('answer = "secondary"', ""), *more)


@pytest.mark.parametrize(
    ("way", "needs"),
    [
        ((ROUTE, 'kind = "none"'), "switch.route_table"),
        ((ELASTIC, 'kind = "none"'), "switch.elastic_ip"),
        (("", ISOLATE), "fence.kind isolate"),
    ],
)
def test_what_moves_between_interfaces_needs_them(problems: Problems, way: tuple[str, str], needs: str) -> None:
    more = ("  [service.fence]", f"{way[0]}  [service.fence]"), ('kind = "unassign"', way[1])
    text = without_secondary(*more, ('interface = "eni-0aaaaaaaaaaaaaaaa"', ""))
    assert problems(text) == [f"service[0].node[0].interface: missing: {needs} needs the interface"]


def test_a_node_that_is_stopped_has_an_instance(problems: Problems) -> None:
    found = problems(changed(('kind = "unassign"', 'kind = "stop"')))
    assert found == [f'service[0].node[{j}].instance: missing: the fence "stop" needs the instance' for j in (0, 1)]


@pytest.mark.parametrize("word", ["repair", "adopt"])
def test_a_drift_is_answered_only_where_something_of_aws_is_read(problems: Problems, word: str) -> None:
    text = without_secondary(('name = "files.fs.corp.example"', f'name = "files.fs.corp.example"\ndrift = "{word}"'))
    bare = text.replace('  [service.switch.route53]\n  zone_id = "Z0123456789EXAMPLE"\n', "")
    [problem] = problems(bare.replace('  [service.fence]\n  kind = "unassign"\n', ""))
    assert problem.startswith(f'service[0].drift: "{word}" needs a [service.switch.')


def test_a_fence_alone_needs_aws(problems: Problems) -> None:
    route53 = '  [service.switch.route53]\n  zone_id = "Z0123456789EXAMPLE"\n'
    text = without_secondary((route53, ""), ('kind = "unassign"', ISOLATE), ('[aws]\nregion = "ap-northeast-1"', ""))
    assert problems(text) == ["aws: missing: service[0].fence needs [aws] with the region"]


@pytest.mark.parametrize(
    ("kind", "deadline_s"),
    [
        ('"unassign"', 3.0),
        ('"stop"', 60.0),
        ('"stop"\ndeadline = "2m"', 120.0),
    ],
)
def test_a_fence_has_a_deadline(read: Read, kind: str, deadline_s: float) -> None:
    instance = 'instance = "i-0123456789abcdef0"'
    text = RIGHT.replace("interface =", f"{instance}\n  interface =").replace('kind = "unassign"', f"kind = {kind}")
    text = text.replace('instance = "i-0123456789abcdef0"', 'instance = "i-0123456789abcdef1"', 1)
    config = read(text)
    assert config.services[0].fence.deadline_s == deadline_s
    [fence] = [term for term in failover_budget(config.services[0], config) if term.name == "fence"]
    assert fence.seconds == deadline_s + 0.5 + 2 * (2 * 1 + 3)


@pytest.mark.parametrize(
    ("fence", "key"),
    [
        ('kind = "none"', 'fence.kind: "none": a switch stops nobody'),
        ('kind = "unassign"\nrequired = false', "fence.required: false: where the fence fails"),
        (ISOLATE, 'fence.kind: "isolate": security groups keep new connections out'),
    ],
)
def test_what_a_weak_fence_means_is_said(read: Read, fence: str, key: str) -> None:
    [caution] = cautions(read(changed(('kind = "unassign"', fence))))
    assert caution.startswith(f"service[0].{key}")
    assert not list(cautions(read(RIGHT)))


# --- guests -----------------------------------------------------------------------------------------------------------

GUEST = """
  [service.guest]
  os = "linux"
  interface_name = "ens5"
  on_demote = "Files-Release"
  on_promote = "Files-Take"
  deadline = "8s"
"""


def with_guest(*more: tuple[str, str]) -> str:
    """The right file, whose nodes have instances and guest steps."""
    text = RIGHT
    for node, letter in (("eni-0a", "a"), ("eni-0b", "b")):
        text = text.replace(f'interface = "{node}', f'instance = "i-{letter * 17}"\n  interface = "{node}')
    text = text.replace("  [service.fence]", f"{GUEST}  [service.fence]")
    for old, new in more:
        assert old in text
        text = text.replace(old, new)
    return text


def test_guest_steps_are_read(read: Read) -> None:
    service = read(with_guest()).services[0]
    assert service.guest is not None
    assert (service.guest.os, service.guest.interface_name) == (GuestOs.LINUX, "ens5")
    assert service.guest.demotion == ("demote", "address-down")
    assert service.guest.promotion == ("address-up", "promote")
    assert service.moving_addresses == ("10.0.1.100",)
    bare = read(with_guest((GUEST, '  [service.guest]\n  on_promote = "Files-Take"\n'))).services[0].guest
    assert bare is not None
    assert (bare.demotion, bare.promotion, bare.deadline_s) == ((), ("promote",), 10.0)


def test_a_routed_address_is_brought_up_too(read: Read) -> None:
    routed = with_guest(
        ('  [service.switch.secondary_ip]\n  address = "10.0.1.100"\n', ROUTE),
        ('answer = "secondary"', ""),
        ('kind = "unassign"', 'kind = "guest"'),
        ('"ens5"', '"lo"'),
    )
    service = read(routed).services[0]
    assert service.moving_addresses == ("172.31.255.10",)
    assert service.guest is not None
    assert service.guest.interface_name == "lo"


GUEST_MISTAKES = [
    (('os = "linux"', 'os = "macos"'), 'service[0].guest.os: found "macos"; known here: linux, windows'),
    (("on_demote", "on_demoted"), 'service[0].guest.on_demoted: unknown key; did you mean "on_demote"?'),
    (('"Files-Take"', '"files/take"'), 'service[0].guest.on_promote: found "files/take"; not in its form; for example'),
    (
        ('"ens5"', '"ens5; reboot"'),
        'service[0].guest.interface_name: found "ens5; reboot"; not in its form; for example',
    ),
    (('"ens5"', '"Ethernet 2"'), 'service[0].guest.interface_name: "Ethernet 2" is no interface of Linux: 1 to 15'),
    (
        ('os = "linux"\n', ""),
        'service[0].guest.interface_name: "ens5" is where "os" brings an address up, and there is',
    ),
    ((GUEST, "  [service.guest]\n"), 'service[0].guest: has nothing to do: "os" brings the address that moves up'),
    (('instance = "i-bb', '# "i-bb'), "service[0].node[1].instance: missing: the guest steps need the instance"),
    (
        ("  [service.fence]", f"{ROUTE}  [service.fence]"),
        'service[0].guest.os: "linux" brings up the address that moves, and there are two: 10.0.1.100 and',
    ),
    (
        (f'{GUEST}  [service.fence]\n  kind = "unassign"', '  [service.fence]\n  kind = "guest"'),
        'service[0].fence.kind: "guest" demotes the old node in its guest, so it needs [service.guest] with on_demote',
    ),
]


@pytest.mark.parametrize(("change", "beginning"), GUEST_MISTAKES)
def test_one_mistake_in_the_guest_steps_is_one_problem(
    problems: Problems, change: tuple[str, str], beginning: str
) -> None:
    (problem,) = problems(with_guest(change))
    assert problem.startswith(beginning)


def test_an_address_is_brought_up_where_one_moves(problems: Problems) -> None:
    address = '  [service.switch.secondary_ip]\n  address = "10.0.1.100"\n'
    more = ((address, ""), ('answer = "secondary"', ""), ('kind = "unassign"', 'kind = "guest"'))
    needs = "[service.switch.secondary_ip] or [service.switch.route_table]"
    said = f'service[0].guest.os: "linux" brings up the address that moves, so it needs {needs}'
    assert problems(with_guest(*more)) == [said]


def test_an_interface_is_found_by_an_ipv4_address(problems: Problems) -> None:
    only_ipv6 = (('["10.0.1.10", "fd00:1::10"]', '"fd00:1::10"'), ('["10.0.1.11", "fd00:1::11"]', '"fd00:1::11"'))
    assert problems(with_guest(('  interface_name = "ens5"\n', ""), *only_ipv6)) == [
        f'service[0].guest.interface_name: missing: node "{node}" has no IPv4 address by which its interface is found'
        for node in "ab"
    ]


def test_guest_steps_alone_need_aws(problems: Problems) -> None:
    route53 = '  [service.switch.route53]\n  zone_id = "Z0123456789EXAMPLE"\n'
    address = '  [service.switch.secondary_ip]\n  address = "10.0.1.100"\n'
    gone = ((route53, ""), (address, ""), ('answer = "secondary"', ""), ('[aws]\nregion = "ap-northeast-1"', ""))
    only = (GUEST, '  [service.guest]\n  on_promote = "Files-Take"\n')
    assert problems(with_guest(*gone, only, ('kind = "unassign"', 'kind = "none"'))) == [
        "aws: missing: service[0].guest needs [aws] with the region"
    ]


def test_the_budget_has_every_document(read: Read) -> None:
    config = read(with_guest())
    terms = {term.name: term for term in failover_budget(config.services[0], config)}
    order = ["detect", "decide", "demote", "address-down", "fence", "move", "address-up", "promote", "publish"]
    assert list(terms)[:-2] == order
    call_s = 2 * 1 + 3
    assert terms["demote"].seconds == terms["address-down"].seconds == 8 + 0.5 + 4 * call_s
    assert terms["address-up"].seconds == terms["promote"].seconds == 8 + 0.5 + 3 * call_s
    fenced = read(with_guest(('kind = "unassign"', 'kind = "guest"')))
    terms = {term.name: term for term in failover_budget(fenced.services[0], fenced)}
    assert "fence" not in terms
    assert terms["demote"].seconds == 20 + 0.5 + 4 * call_s
    assert terms["address-up"].seconds == 8 + 0.5 + 3 * call_s


@pytest.mark.parametrize(
    ("fence", "outage", "keys"),
    [
        ('kind = "unassign"', "answer", ["on_aws_outage"]),
        ('kind = "unassign"', "hold", []),
        ('kind = "guest"', "hold", ["fence.kind"]),
        ('kind = "none"', "hold", ["fence.kind"]),
    ],
)
def test_what_guest_steps_do_not_prove_is_said(read: Read, fence: str, outage: str, keys: list[str]) -> None:
    config = read(with_guest(('kind = "unassign"', fence), ("hold_down", f'on_aws_outage = "{outage}"\nhold_down')))
    told = list(cautions(config))
    assert [each.partition(":")[0] for each in told] == [f"service[0].{key}" for key in keys]
    assert all("guest" in each or "on_promote" in each for each in told)


def second(text: str, *changes: tuple[str, str]) -> str:
    """The same service once more, with another name and other things that move."""
    more = text[text.index("[[service]]") :].replace("files.", "more.")
    for old, new in (("10.0.1.100", "10.0.1.101"), ("172.31.255.10", "172.31.255.11"), *changes):
        more = more.replace(old, new)
    return text + more


def test_a_fence_that_takes_another_service_along_is_told(read: Read) -> None:
    isolated = changed(('kind = "unassign"', ISOLATE))
    [both] = [[said for said in cautions(read(second(isolated))) if "whole node" in said]]
    assert [said.partition(":")[0] for said in both] == ["service[0].fence.kind", "service[1].fence.kind"]
    assert both[0].endswith("and so takes service[1] from it too")
    assert not [said for said in cautions(read(second(RIGHT))) if "whole node" in said]


def test_a_node_has_one_quarantine(problems: Problems) -> None:
    text = second(changed(('kind = "unassign"', ISOLATE)), ("sg-0e", "sg-0f"))
    [problem] = problems(text)
    assert problem.startswith("service[1].fence.quarantine: is not that of service[0], which isolates eni-0aaaa")


@pytest.mark.parametrize(("way", "key"), [(ROUTE, "route_table.destination"), (ELASTIC, "elastic_ip.allocation_id")])
def test_two_services_do_not_move_one_thing(problems: Problems, way: str, key: str) -> None:
    text = second(changed(("  [service.fence]", f"{way}  [service.fence]")), ("172.31.255.11", "172.31.255.10"))
    [problem] = problems(text)
    assert problem.startswith(f"service[1].switch.{key}: ")
    assert "also moves with service[0]" in problem


def test_an_elastic_ip_is_bound_to_an_ipv4_address(problems: Problems) -> None:
    text = without_secondary(
        ("  [service.fence]", f"{ELASTIC}  [service.fence]"), ('kind = "unassign"', 'kind = "none"')
    )
    text = text.replace('["10.0.1.10", "fd00:1::10"]', '"fd00:1::10"').replace(
        '["10.0.1.11", "fd00:1::11"]', '"fd00:1::11"'
    )
    found = problems(text)
    assert found == [
        f"service[0].node[{j}].address: has no IPv4 address, which an Elastic IP is bound to" for j in (0, 1)
    ]


def test_two_nodes_are_two_instances(problems: Problems) -> None:
    """A fence would stop the target."""
    text = RIGHT.replace("interface =", 'instance = "i-0123456789abcdef0"\n  interface =')
    assert problems(text) == ['service[0].node[1].instance: "i-0123456789abcdef0" is also node "a"\'s']


def test_repairing_what_a_cluster_manager_changes_is_warned_of(read: Read) -> None:
    name, fought = 'name = "files.fs.corp.example"', 'drift = "repair"\nauthority = "cluster"'
    config = read(changed((name, f"{name}\n{fought}")))
    assert any(caution.startswith('service[0].drift: "repair": what the cluster') for caution in cautions(config))


def test_who_leaves_the_data_to_a_cluster_manager_needs_no_fence(read: Read) -> None:
    text = changed(('kind = "unassign"', 'kind = "none"'), ("hold_down", 'authority = "cluster"\nhold_down'))
    assert not list(cautions(read(text)))


@pytest.mark.parametrize(("old", "new", "beginning"), ONE_MISTAKE)
def test_one_mistake_is_one_problem(problems: Problems, old: str, new: str, beginning: str) -> None:
    (problem,) = problems(changed((old, new)))
    assert problem.startswith(beginning)


HOST = """
[[zone.record]]
name = "host.fs.corp.example"
type = "A"
data = "10.0.9.1"
"""


def with_zones(*further: str, record: str = HOST) -> str:
    """RIGHT with a record in its zone, and further zones."""
    text = changed(("[zone]", "[[zone]]"), ("[aws]", f"{record}[aws]"))
    return text + "".join(f"[[zone]]\n{zone}\n" for zone in further)


REVERSE = 'name = "10.0.1.0/24"\nnameservers = { "ns1.fs.corp.example" = [] }'
PARENT = 'name = "corp.example"\nnameservers = { "ns.corp.example" = ["10.10.0.54"] }'


def test_a_zone_may_have_records_and_further_zones_beside_it(read: Read) -> None:
    config = read(with_zones(REVERSE, PARENT))
    assert [zone.name for zone in config.zones] == ["fs.corp.example", "1.0.10.in-addr.arpa", "corp.example"]
    (record,) = config.zones[0].records
    assert (record.name, record.type.value, record.ttl_s) == ("host.fs.corp.example", "A", 300)
    assert record.data == ("10.0.9.1",)
    assert config.services[0].nodes[0].ptr is None


def test_a_name_belongs_to_the_zone_of_which_it_has_most(read: Read) -> None:
    config = read(with_zones(PARENT))
    for name, zone in (("files.fs.corp.example", 0), ("fs.corp.example", 0), ("otherfs.corp.example", 1)):
        assert config.zone_of(name) == zone
    assert config.zone_of("example") is config.zone_of("xcorp.example") is None


@pytest.mark.parametrize(
    ("prefix", "name"),
    [
        ("10.0.1.0/24", "1.0.10.in-addr.arpa"),
        ("10.0.0.0/16", "0.10.in-addr.arpa"),
        ("10.0.0.0/8", "10.in-addr.arpa"),
        ("10.0.1.7/32", "7.1.0.10.in-addr.arpa"),
        ("fd00:1::/32", "1.0.0.0.0.0.d.f.ip6.arpa"),
        ("fd00:1:20::/44", "2.0.0.1.0.0.0.0.0.d.f.ip6.arpa"),
    ],
)
def test_a_prefix_stands_for_its_reverse_zone(prefix: str, name: str) -> None:
    assert zone_name(prefix) == name


@pytest.mark.parametrize(("address", "name"), [("10.0.1.7", "7.1.0.10.in-addr.arpa"), ("_smb._TCP.x.", "_smb._tcp.x")])
def test_a_record_is_named_by_its_name_or_its_address(address: str, name: str) -> None:
    assert owner_name(address) == name
    assert owner_name("fd00::1").endswith(".d.f.ip6.arpa")


# What is changed in the file with two zones and a record, and the beginning of the one problem that this makes.
ONE_MISTAKE_IN_ZONES = [
    ("10.0.1.0/24", "10.0.1.0/20", 'zone[1].name: found "10.0.1.0/20"; the address has bits beyond its prefix'),
    ("10.0.1.0/24", "10.0.16.0/20", 'zone[1].name: found "10.0.16.0/20"; a reverse zone ends at an octet'),
    ("10.0.1.0/24", "0.0.0.0/0", 'zone[1].name: found "0.0.0.0/0"; a reverse zone ends at an octet'),
    ("10.0.1.0/24", "fd00:1::/33", 'zone[1].name: found "fd00:1::/33"; a reverse zone ends at four bits'),
    ("10.0.1.0/24", "fs.corp.example", 'zone[1].name: "fs.corp.example" is also the name of zone[0]'),
    ("10.0.1.0/24", "10.0.1.0", 'zone[1].name: found "10.0.1.0"; expected a DNS name'),
    (
        '"ns1.fs.corp.example" = [] }',
        '"ns2.fs.corp.example" = [] }',
        'zone[1].nameservers."ns2.fs.corp.example": is in our zone "fs.corp.example", which has no address of it',
    ),
    (
        '"ns1.fs.corp.example" = [] }',
        '"ns1.fs.corp.example" = ["10.10.0.53"] }',
        'zone[1].nameservers."ns1.fs.corp.example": is outside the zone',
    ),
    (
        '"ns1.fs.corp.example" = [] }',
        '"files.fs.corp.example" = [] }',
        'service[0].name: "files.fs.corp.example" is also a nameserver of the zone "1.0.10.in-addr.arpa"',
    ),
    (
        'name = "files.fs.corp.example"',
        'name = "files.corp.example"',
        'service[0].name: "files.corp.example" is not below the zone "fs.corp.example" or "1.0.10.in-addr.arpa"',
    ),
    ('"host.fs.corp.example"', '"host name.fs.corp.example"', "zone[0].record[0].name: found "),
    ('"host.fs.corp.example"', '"224.0.0.1"', 'zone[0].record[0].name: found "224.0.0.1"; expected a DNS name'),
    ('type = "A"', 'type = "MX"', 'zone[0].record[0].type: found "MX"; known here: A, AAAA, CNAME, TXT, SRV, PTR'),
    ('type = "A"', 'type = "A"\nttl = 86401', "zone[0].record[0].ttl: found 86401; it should be less than"),
    ('type = "A"', 'type = "A"\nttl = "5m"', 'zone[0].record[0].ttl: found "5m"; it should be a valid integer'),
    ('"10.0.9.1"', "[]", "zone[0].record[0].data: found []; expected a string of 1 to 500"),
    ('"10.0.9.1"', f'"{"x" * 501}"', "zone[0].record[0].data: found "),
    ('"10.0.9.1"', '"f\u00fcr"', 'zone[0].record[0].data: found "f\u00fcr"; expected a string'),
    ('"10.0.9.1"', str(["10.0.9.1"] * 65), "zone[0].record[0].data: found "),
    ('data = "10.0.9.1"\n', "", "zone[0].record[0].data: missing"),
    ('"A"\ndata = "10.0.9.1"', '"CNAME"\ndata = "a b"', 'zone[0].record[0].data: found "a b"; expected a DNS name'),
    ('"A"\ndata = "10.0.9.1"', '"PTR"\ndata = ["a", "-"]', 'zone[0].record[0].data: found "-"; expected a DNS name'),
    ('"A"\ndata = "10.0.9.1"', '"SRV"\ndata = "0 0 1 10.0.0.1"', 'zone[0].record[0].data: found "10.0.0.1"; expected'),
]


@pytest.mark.parametrize(("old", "new", "beginning"), ONE_MISTAKE_IN_ZONES)
def test_one_mistake_in_zones_is_one_problem(problems: Problems, old: str, new: str, beginning: str) -> None:
    text = with_zones(REVERSE)
    assert old in text
    (problem,) = problems(text.replace(old, new, 1))
    assert problem.startswith(beginning)


def test_a_nameserver_may_have_its_address_from_a_record_of_another_zone(read: Read) -> None:
    text = with_zones(REVERSE.replace("ns1", "host"))
    assert read(text).zones[1].nameservers == {"host.fs.corp.example": ()}


def test_an_srv_may_say_that_there_is_no_such_service(read: Read) -> None:
    record = HOST.replace('"A"', '"SRV"').replace("10.0.9.1", "0 0 0 .")
    assert read(with_zones(record=record)).zones[0].records[0].data == ("0 0 0 .",)


@pytest.mark.parametrize(("zone", "key"), [("zone = 3", "zone"), ("zone = []", "zone"), ("zone = [3]", "zone")])
def test_what_is_no_zone_is_told(problems: Problems, zone: str, key: str) -> None:
    start, end = RIGHT.index("[zone]"), RIGHT.index("[aws]")
    (problem,) = problems(f"{zone}\n{RIGHT[:start]}{RIGHT[end:]}")
    assert problem.startswith(f"{key}: found ")


def test_every_mistake_is_told_in_one_run(problems: Problems) -> None:
    text = changed(
        ('"10.10.0.53:53", ', '"10.10.0.53:0", '),
        ('address = ["10.0.1.10", "fd00:1::10"]', 'adress = "10.0.1.10"'),
        ('hold_down = "30s"', 'hold_down = "3s"'),
        ("zone_id = ", "# zone_id = "),
        ('name = "files.fs.corp.example"', 'name = "files.corp.example"'),
        ('kind = "unassign"', 'kind = "none"\nrequired = true'),
    )
    assert sorted(problem.partition(": ")[0] for problem in problems(text)) == [
        "dns.listen[0]",
        "service[0].fence.required",
        "service[0].hold_down",
        "service[0].name",
        "service[0].node[0].address",
        "service[0].node[0].adress",
        "service[0].switch.route53.zone_id",
    ]


def test_a_wrong_value_is_not_compared_with_others(problems: Problems) -> None:
    """The stand-in for the interval is 1 s, and a time-out of 2 s may well be right beside what was meant."""
    (problem,) = problems(changed(('interval = "1s"', 'interval = "3"'), ('"500ms"', '"2s"')))
    assert problem.startswith("service[0].probe.interval")


def test_a_mistyped_key_is_not_compared_with_others(problems: Problems) -> None:
    (problem,) = problems(changed(('interval = "1s"', 'intervall = "3s"'), ('"500ms"', '"2s"')))
    assert problem.startswith("service[0].probe.intervall")


def test_a_service_that_is_no_table_hides_no_other_service(problems: Problems) -> None:
    text = RIGHT[: RIGHT.index("[[service]]")]
    found = problems(f'service = [3, {{ name = "x", ttl = 999 }}]\n{text}')
    assert [problem.partition(": ")[0] for problem in found] == ["service[0]", "service[1].ttl", "service[1].probe"]


def test_services_share_neither_name_nor_secondary_address(problems: Problems) -> None:
    found = problems(RIGHT + RIGHT[RIGHT.index("[[service]]") :])
    assert [problem.partition(": ")[0] for problem in found] == [
        "service[1].name",
        "service[1].switch.secondary_ip.address",
    ]


def test_a_configuration_serves_something(problems: Problems) -> None:
    (problem,) = problems(RIGHT[: RIGHT.index("[[service]]")])
    assert problem == "service: missing: at least one [[service]]"


def test_a_service_has_two_nodes(problems: Problems) -> None:
    start, end = RIGHT.rindex("  [[service.node]]"), RIGHT.index("  [service.switch.route53]")
    (problem,) = problems(RIGHT[:start] + RIGHT[end:])
    assert problem.startswith("service[0].node: 1 node(s): a fail-over needs two")


def test_unassign_needs_an_address_to_take_away(problems: Problems) -> None:
    start, end = RIGHT.index("  [service.switch.secondary_ip]"), RIGHT.index("  [service.fence]")
    found = problems((RIGHT[:start] + RIGHT[end:]).replace('answer = "secondary"', ""))
    assert found == [
        'service[0].fence.kind: "unassign" takes the secondary address away, so it needs [service.switch.secondary_ip]'
    ]


def test_a_file_that_is_not_toml_says_where(problems: Problems) -> None:
    (problem,) = problems("[agent]\nname = \n")
    assert problem.startswith("not a TOML file")
    assert "line 2" in problem


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: No such file or directory"):
        load(tmp_path / "none.toml")


def test_a_file_that_is_not_text_says_so(tmp_path: Path) -> None:
    path = tmp_path / "edge.toml"
    path.write_bytes(b'[agent]\nname = "\xff"\n')
    with pytest.raises(ConfigError, match="not a TOML file"):
        load(path)


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("2s", 2.0), ("1.5s", 1.5), ("5m", 300.0), ("2h", 7200.0), ("1d", 86400.0)]
)
def test_durations_carry_their_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds
    assert parse_duration(duration_text(seconds)) == seconds


@pytest.mark.parametrize("text", ["", "5", "5 s", "-5s", "5S", "1e3s", "infs", "5s ", "\u0665s", 5, 5.0, None, True])
def test_what_has_no_unit_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="expected a duration with its unit"):
        parse_duration(text)


def test_detection_at_its_worst(read: Read) -> None:
    assert detection_s(read(RIGHT).services[0].probe) == pytest.approx(1.0 * (3 + 1) * 1.1 + 0.5)


def test_witnesses_follow_the_fastest_probe(read: Read) -> None:
    more = RIGHT[RIGHT.index("[[service]]") :].replace("files.", "more.").replace("10.0.1.100", "10.0.1.101")
    config = read(RIGHT + more.replace('interval = "1s"', 'interval = "600ms"'))
    assert fastest_probe(config) is config.services[1].probe


def test_the_budget_adds_up_every_bounded_step(read: Read) -> None:
    config = read(changed(("hold_down", "ttl = 2\nhold_down")))
    terms = {term.name: term for term in failover_budget(config.services[0], config)}
    assert list(terms) == ["detect", "decide", "fence", "move", "publish", "answer", "ttl"]
    assert terms["detect"].seconds == pytest.approx(4.9)
    assert terms["fence"].seconds == 3 + 0.5 + 2 * (2 * 1 + 3)
    assert terms["move"].seconds == 10 + 0.5 + 2 * (2 * 1 + 3)
    assert terms["publish"].seconds == 3 + 0.5 + 3 * (2 * 1 + 3)
    assert terms["ttl"].seconds == 2
    assert terms["move"].arithmetic == (
        "tries begin within 10s + pause 500ms + the last one's 2 calls x (2 x connect 1s + read 3s) = 20.5s"
    )


def test_no_time_is_promised_where_a_person_decides(read: Read) -> None:
    config = read(changed(("hold_down", 'mode = "confirm"\nhold_down')))
    assert sum(term.seconds for term in failover_budget(config.services[0], config)) == math.inf


@pytest.mark.parametrize(
    ("at", "frozen"),
    [
        ("2024-06-01T21:59", False),  # a Saturday
        ("2024-06-01T22:00", True),
        ("2024-06-02T01:59", True),
        ("2024-06-02T02:00", False),
        ("2024-06-01T01:00", False),  # the small hours of Saturday belong to Friday's window
        ("2024-06-02T22:30", False),
    ],
)
def test_a_freeze_over_midnight_belongs_to_its_first_day(read: Read, at: str, frozen: bool) -> None:
    moment = datetime.fromisoformat(at).replace(tzinfo=ZoneInfo("Asia/Tokyo"))
    freeze = read(RIGHT).services[0].freezes[0]
    assert freeze.covers(moment) is frozen
    assert freeze.covers(moment.astimezone(ZoneInfo("America/New_York"))) is frozen


def test_a_freeze_within_one_day(read: Read) -> None:
    freeze = read(changed(('start = "22:00"', 'start = "01:00"'))).services[0].freezes[0]
    tokyo = ZoneInfo("Asia/Tokyo")
    assert freeze.covers(datetime(2024, 6, 1, 1, 30, tzinfo=tokyo))
    assert not freeze.covers(datetime(2024, 6, 1, 2, 0, tzinfo=tokyo))
    assert not freeze.covers(datetime(2024, 6, 2, 1, 30, tzinfo=tokyo))


JUNK = [3, -1, 1.5, math.nan, True, "", "x", "10.0.0.1", "::1", "5s", "\0", [], {}, [3], [{}], {"a": 1}, 10**30]


def keys_of(tree: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for key in tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield (*at, key)
        yield from keys_of(tree[key], (*at, key))


def spoiled(tree: Any, random: Random) -> None:
    *path, last = random.choice(list(keys_of(tree)))
    for key in path:
        tree = tree[key]
    match random.choice(("replace", "drop", "add")):
        case "replace":
            tree[last] = copy.deepcopy(random.choice(JUNK))
        case "drop":
            del tree[last]
        case "add" if isinstance(tree, dict):
            tree[random.choice(("nam", "kind", "node", "[key]"))] = copy.deepcopy(random.choice(JUNK))


@pytest.mark.parametrize("seed", range(500))
def test_whatever_is_wrong_is_told_as_problems(seed: int) -> None:
    """Every stand-in fits, so the second pass never fails; and nothing but problems comes out, whatever went in."""
    random = Random(seed)
    raw = tomllib.loads(random.choice((RIGHT, with_guest(), with_zones(REVERSE, PARENT))))
    for _ in range(random.randint(1, 4)):
        spoiled(raw, random)
    config, problems = _examine(raw)
    assert isinstance(config, Config)
    assert all(": " in problem for problem in problems)


SHARED = '[store]\nkind = "dynamodb"\ntable = "edge"\n'


def test_a_shared_store_has_a_lease_that_outlasts_a_call(read: Read) -> None:
    config = read(changed(("[aws]", f'{SHARED}[lease]\nduration = "14500ms"\n[aws]')))
    assert (config.store.kind, config.store.table) == ("dynamodb", "edge")
    assert (config.lease.duration_s, config.lease.renew_s) == (14.5, 3.0)
    assert read(changed(("[aws]", f"{SHARED}[aws]"))).lease.duration_s == 15.0


def test_the_refusal_of_a_lease_names_one_that_works(read: Read, problems: Problems) -> None:
    short = changed(("[aws]", f'{SHARED}[lease]\nduration = "9s"\n[aws]'))
    (problem,) = problems(short)
    assert problem.endswith("it could outlive the lease; at least 14.5s")
    read(short.replace('"9s"', '"14500ms"'))


def test_a_single_agents_lease_needs_no_arithmetic(read: Read) -> None:
    assert read(changed(("[aws]", '[lease]\nduration = "1s"\n[aws]'))).store.kind == "sqlite"


def test_a_shared_store_needs_aws(problems: Problems) -> None:
    without = RIGHT[: RIGHT.index("[aws]")] + SHARED + RIGHT[RIGHT.index("[path]") :]
    assert 'aws: missing: store.kind "dynamodb" needs [aws] with the region' in "\n".join(problems(without))


def test_the_budget_counts_the_lease_where_agents_share_a_store(read: Read) -> None:
    config = read(changed(("[aws]", f"{SHARED}[aws]")))
    (lead,) = [term for term in failover_budget(config.services[0], config) if term.name == "lead"]
    assert lead.seconds == 15.75
    assert lead.arithmetic == "only where the leader dies too: lease duration 15s + a look 750ms = 15.75s"
    alone = read(changed())
    assert "lead" not in {term.name for term in failover_budget(alone.services[0], alone)}


# --- vantages ---------------------------------------------------------------------------------------------------------


def watched(vantage: str, role: str = "candidate") -> str:
    shared = ("[aws]", f"{SHARED}[vantage]\n{vantage}\n[aws]")
    return changed(shared, ('name = "edge-1"', f'name = "edge-1"\nrole = "{role}"'))


@pytest.mark.parametrize(
    ("vantage", "needed"),
    [
        ('agents = ["edge-1"]', 1),
        ('agents = ["edge-1", "edge-2"]', 2),
        ('agents = ["edge-1", "edge-2"]\nwitnesses = ["edge-3"]', 2),
        ('agents = ["edge-1", "edge-2"]\nwitnesses = ["edge-3", "edge-4"]', 3),
        ('agents = ["edge-1", "edge-2"]\nquorum = 1', 1),
    ],
)
def test_the_quorum_is_a_majority_of_those_that_are_listed(read: Read, vantage: str, needed: int) -> None:
    config = read(watched(vantage))
    assert config.vantage.needed == needed
    built = policy(config, config.services[0])
    assert (built.vantage, built.quorum, built.report_s) == ("edge-1", needed, 15.0)
    assert {built.vantage, *built.peers} == set(config.vantage.names)


def test_a_single_agent_decides_alone(read: Read) -> None:
    config = read(RIGHT)
    built = policy(config, config.services[0])
    assert (built.peers, built.quorum) == ((), 1)


@pytest.mark.parametrize(
    ("vantage", "role", "beginning"),
    [
        ('agents = ["edge-1"]\nquorum = 2', "candidate", "vantage.quorum: 2 of 1 vantages can never agree; at most 1"),
        ('agents = ["edge-1"]\nquorum = 0', "candidate", "vantage.quorum: found 0; it should be"),
        ('witnesses = ["edge-1"]', "witness", "vantage.agents: missing: nobody could lead"),
        ('agents = ["edge-2"]', "candidate", 'agent.name: "edge-1" is not among the vantages (edge-2)'),
        ('agents = ["edge-1", "edge-2"]', "witness", 'agent.role: "witness" has to be listed as one'),
        (
            'agents = ["edge-2"]\nwitnesses = ["edge-1"]',
            "candidate",
            'agent.role: "candidate", and vantage.witnesses has',
        ),
        (
            'agents = ["edge-1", "edge-1"]',
            "candidate",
            'vantage.agents: "edge-1" is listed twice: an agent has one vote',
        ),
        ('agents = ["edge-1"]', "leader", 'agent.role: found "leader"; known here: candidate, witness'),
        (
            'agents = ["edge-1", "Edge-1"]',
            "candidate",
            'vantage: "Edge-1" differs from "edge-1" by case alone: an agent is listed as its agent.name has it, once',
        ),
        ('agents = "edge-1"', "candidate", 'vantage.agents: found "edge-1"; a list of such: ["edge-1"]'),
        ('agents = ["edge 1"]', "candidate", 'vantage.agents[0]: found "edge 1"; not in its form'),
    ],
)
def test_vantages_that_can_not_work(problems: Problems, vantage: str, role: str, beginning: str) -> None:
    (problem,) = problems(watched(vantage, role))
    assert problem.startswith(beginning)


UNANIMOUS = 'agents = ["edge-1", "edge-2"]\non_store_loss = "unanimous"\nkey_file = "/etc/edge/agents.key"'
OTHER = '[[peer]]\nname = "edge-2"\ndns = "10.10.0.54:53"\nhttp = "10.10.0.54:9353"\n'


def without_store(*changes: tuple[str, str]) -> str:
    text = watched(f'{UNANIMOUS}\n{OTHER}[http]\nlisten = "10.10.0.53:9353"')
    able = (('answer = "secondary"\n', ""), ('kind = "unassign"\n', 'kind = "unassign"\n  required = false\n'))
    for old, new in (*able, *changes):
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def test_without_the_store_the_agents_hold_or_move_what_all_agree_on(read: Read, problems: Problems) -> None:
    three = 'agents = ["edge-1", "edge-2", "edge-3"]\non_store_loss = "{}"'
    assert not read(watched(three.format("hold"))).vantage.unanimous
    config = read(without_store())
    assert config.vantage.unanimous
    assert config.peers[0].http == ("10.10.0.54", 9353)
    (other,) = problems(watched(three.format("go")))
    assert other == 'vantage.on_store_loss: found "go"; known here: hold, unanimous'


@pytest.mark.parametrize(
    ("changes", "beginning"),
    [
        (
            [('key_file = "/etc/edge/agents.key"', "")],
            'vantage.key_file: missing: with on_store_loss = "unanimous" the agents sign what they say',
        ),
        (
            [('http = "10.10.0.54:9353"', "")],
            'vantage.on_store_loss: "unanimous" asks every agent, and no [[peer]] "edge-2" has `http`',
        ),
        (
            [('agents = ["edge-1", "edge-2"]', 'agents = ["edge-1", "edge-2"]\nwitnesses = ["edge-3"]')],
            'vantage.on_store_loss: "unanimous" asks every agent, and no [[peer]] "edge-3" has `http`',
        ),
        (
            [('agents = ["edge-1", "edge-2"]', 'agents = ["edge-1"]')],
            'vantage.on_store_loss: "unanimous" is for several agents, and 1 is listed',
        ),
        (
            [('listen = "10.10.0.53:9353"', 'listen = "127.0.0.1:9353"')],
            'http.listen: "127.0.0.1:9353" is this host\'s own: with on_store_loss = "unanimous" the other agents ask',
        ),
        (
            [('http = "10.10.0.54:9353"', 'http = "10.10.0.53:9353"')],
            'peer[0].http: "10.10.0.53:9353" is our own http.listen: this agent would ask itself',
        ),
        (
            [("[[peer]]", '[[peer]]\nname = "edge-3"\ndns = "10.10.0.55:53"\nhttp = "10.10.0.54:9353"\n[[peer]]')],
            'peer[1].http: "10.10.0.54:9353" is also the http of peer[0]',
        ),
        (
            [('hold_down = "30s"', 'hold_down = "30s"\non_aws_outage = "hold"')],
            (
                'vantage.on_store_loss: "unanimous" moves the answer while AWS is out of reach, and'
                ' service[0].on_aws_outage forbids it: "hold"'
            ),
        ),
        (
            [("  required = false\n", "")],
            (
                'vantage.on_store_loss: "unanimous" moves the answer while AWS is out of reach, and'
                " service[0].fence.required forbids it: true, and no fence can be had then"
            ),
        ),
        (
            [('hold_down = "30s"', 'hold_down = "30s"\nanswer = "secondary"')],
            (
                'vantage.on_store_loss: "unanimous" moves the answer while AWS is out of reach, and'
                ' service[0].answer forbids it: "secondary" is an address that AWS moves'
            ),
        ),
    ],
)
def test_what_can_not_be_unanimous(problems: Problems, changes: list[tuple[str, str]], beginning: str) -> None:
    (problem,) = problems(without_store(*changes))
    assert problem.startswith(beginning)


def test_an_agent_is_an_agent_or_a_witness(problems: Problems) -> None:
    told = problems(watched('agents = ["edge-1", "edge-2"]\nwitnesses = ["edge-1"]'))
    assert 'vantage.witnesses: "edge-1" is listed twice: an agent has one vote' in told


@pytest.mark.parametrize(
    ("changes", "beginning"),
    [
        (('name = "edge-1"', 'name = "edge-1"\nrole = "witness"'), 'agent.role: "witness" never leads, and a store of'),
        (("[aws]", '[vantage]\nagents = ["edge-1"]\n[aws]'), "vantage: is for agents that share a store of kind"),
    ],
)
def test_vantages_share_a_store(problems: Problems, changes: tuple[str, str], beginning: str) -> None:
    (problem,) = problems(changed(changes))
    assert problem.startswith(beginning)


@pytest.mark.parametrize(
    ("vantage", "cautioned"),
    [
        ("", ["vantage: the agents share a store and no list"]),
        ('agents = ["edge-1", "edge-2"]', ["vantage.quorum: 2 of 2: while one of them is down"]),
        ('agents = ["edge-1", "edge-2"]\nquorum = 1', ["vantage.quorum: 1 of 2: less than a majority"]),
        ('agents = ["edge-1", "edge-2", "edge-3"]\nquorum = 3', ["vantage.quorum: 3 of 3: while one of them is down"]),
        ('agents = ["edge-1", "edge-2"]\nwitnesses = ["edge-3"]', []),
        ('agents = ["edge-1"]\nwitnesses = ["edge-2", "edge-3"]', ['vantage.agents: only "edge-1" may lead']),
    ],
)
def test_what_a_list_of_vantages_means_is_said(read: Read, vantage: str, cautioned: list[str]) -> None:
    told = list(cautions(read(watched(vantage))))
    assert len(told) == len(cautioned)
    assert all(said.startswith(beginning) for said, beginning in zip(told, cautioned, strict=True))


def test_a_service_that_a_person_switches_never_moves_without_the_store_and_that_is_said(read: Read) -> None:
    told = list(cautions(read(without_store(('hold_down = "30s"', 'hold_down = "30s"\nmode = "confirm"')))))
    assert told[1] == (
        'service[0].mode: "confirm": a person switches, and that needs the store: on_store_loss = "unanimous" never'
        " moves this service"
    )
    assert "service[0].mode" not in " ".join(cautions(read(without_store())))


def test_of_two_that_have_to_agree_the_way_out_is_said(read: Read) -> None:
    (told,) = cautions(read(watched('agents = ["edge-1", "edge-2"]')))
    assert "nothing fails over by itself" in told
    assert 'a role "witness" in the VPC' in told
    assert told.endswith("or quorum = 1 lets the one that is left decide")


def test_a_peer_that_is_no_vantage_is_told(read: Read) -> None:
    peer = '[[peer]]\nname = "edge-9"\ndns = "10.10.0.59:53"\n'
    text = watched('agents = ["edge-1", "edge-2"]\nwitnesses = ["edge-3"]').replace(
        "[[service]]", f"{peer}[[service]]", 1
    )
    assert list(cautions(read(text))) == [
        'peer[0].name: "edge-9" is not among the vantages: what it sees does not count'
    ]


def test_the_budget_counts_the_others_reports(read: Read) -> None:
    config = read(watched('agents = ["edge-1", "edge-2"]'))
    (agree,) = [term for term in failover_budget(config.services[0], config) if term.name == "agree"]
    assert agree.seconds == 3.0 + 2 * 5.0
    assert agree.arithmetic.endswith("at the next lease renew 3s at the latest = 13s")
    alone = read(watched('agents = ["edge-1"]'))
    assert "agree" not in {term.name for term in failover_budget(alone.services[0], alone)}
