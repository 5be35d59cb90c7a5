"""Configuration: a TOML file becomes frozen models, or one error that lists every mistake in it.

Three passes, so that one run tells all:

1. *values*: pydantic checks every key by itself. Each wrong or missing value is one problem.
2. *stand-ins*: a wrong value is replaced by its default, or by the field's first example, and the file is
   read again, so that one wrong value hides nothing else.
3. *clashes*: the checks that compare keys with each other run on that. A clash names every key that it has
   read, and is kept only if none of them is a stand-in: what is said is true of the file as it was written.

Bad timings are refused with their arithmetic and never adjusted in silence. Models use the TOML's keys as
aliases (`interval`) and say the unit in the attribute's name (`interval_s`).
"""

import difflib
import itertools
import json
import math
import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_args
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from edge.durations import duration_text, parse_duration
from edge.errors import ConfigError
from edge.failover.model import Authority, Mode, OnOutage

# --- words --------------------------------------------------------------------------------------------------


class Deny(StrEnum):
    DROP = "drop"
    REFUSE = "refuse"


class StoreKind(StrEnum):
    SQLITE = "sqlite"


class ProbeKind(StrEnum):
    TCP = "tcp"
    SMB = "smb"


class FenceKind(StrEnum):
    NONE = "none"
    UNASSIGN = "unassign"


class Answer(StrEnum):
    """Which address the service's name answers with."""

    NODE = "node"
    SECONDARY = "secondary"


class Profile(StrEnum):
    FAST = "fast"
    DEFAULT = "default"
    CAREFUL = "careful"


class Day(StrEnum):
    """In the order of `datetime.weekday()`."""

    MON = "Mon"
    TUE = "Tue"
    WED = "Wed"
    THU = "Thu"
    FRI = "Fri"
    SAT = "Sat"
    SUN = "Sun"


# Words of the interface that this version does not have yet: refused by name, not as a typing mistake.
_LATER = frozenset({"nfs", "http", "icmp", "command", "dynamodb", "table", "route_table", "elastic_ip", "guest"})

# What a profile sets; a key that the service gives itself overrides it.
#   fast:    0.86 s to detect; for a quiet line: 200 ms are ten round trips of a line of 20 ms.
#   default: 3.8 s to detect, what people know from VRRP (keepalived's default: 3.6 s).
#   careful: 12 s to detect; the hold-down outlasts the hold time of a BGP session on Direct Connect (90 s).
_PROFILES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "fast": {
        "probe": {"interval": "200ms", "timeout": "200ms", "fall": 3, "rise": 5},
        "service": {"hold_down": "10s"},
    },
    "default": {
        "probe": {"interval": "1s", "timeout": "500ms", "fall": 3, "rise": 2},
        "service": {"hold_down": "30s"},
    },
    "careful": {
        "probe": {"interval": "2s", "timeout": "1s", "fall": 5, "rise": 5},
        "service": {"hold_down": "2m"},
    },
}

# --- values -------------------------------------------------------------------------------------------------


class Endpoint(NamedTuple):
    address: str
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


_ENDPOINT = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):([0-9]{1,5})")


def _whole_seconds(text: object) -> int:
    seconds = parse_duration(text)
    if not seconds.is_integer():
        raise ValueError("DNS counts in whole seconds (RFC 2181 8)")
    return int(seconds)


def _address(text: object) -> str:
    try:
        address = ip_address(text) if isinstance(text, str) and "%" not in text else None
    except ValueError:
        address = None
    if address is None:
        raise ValueError('expected an IPv4 or IPv6 address, such as "10.0.1.10"')
    if address.is_multicast:
        raise ValueError("a multicast address belongs to no host")
    return str(address)


def _host(text: object) -> str:
    address = _address(text)
    if ip_address(address).is_unspecified:
        raise ValueError("the unspecified address belongs to no host")
    return address


def _endpoint(text: object) -> Endpoint:
    match = _ENDPOINT.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError('expected address:port, such as "10.10.0.53:53" or "[fd00::53]:53"')
    if not 1 <= int(match[3]) <= 65535:
        raise ValueError("a port is a number from 1 to 65535")
    return Endpoint(_address(match[1] or match[2]), int(match[3]))


def _concrete(endpoint: Endpoint) -> Endpoint:
    if ip_address(endpoint.address).is_unspecified:
        raise ValueError(
            "answers must come from the address that was asked, and a wildcard socket answers from the one"
            " that the routing table picks; list each address of this host that is to answer"
        )
    return endpoint


def _prefix(text: object) -> IPv4Network | IPv6Network:
    try:
        return ip_network(str(text))
    except ValueError:
        raise ValueError(_prefix_advice(str(text))) from None


def _prefix_advice(text: str) -> str:
    try:
        return f'the address has bits beyond its prefix; "{ip_network(text, strict=False)}" would be right'
    except ValueError:
        return 'expected a prefix, such as "10.0.0.0/8"'


_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?")
_NAME_LIMIT = 253 - len("_edge.")  # RFC 1035 2.3.4, less the label under which a service's epoch is published


def _name(text: object) -> str:
    """Lower case, without the final dot: the form of labels in metrics and of names in status."""
    name = text.lower().removesuffix(".") if isinstance(text, str) else ""
    if len(name) > _NAME_LIMIT or not all(map(_LABEL.fullmatch, name.split("."))):
        raise ValueError('expected a DNS name, such as "files.fs.corp.example" (letters, digits, "-")')
    return name


def _rname(text: object) -> str:
    """A mailbox as the SOA record writes it (RFC 1035 3.3.13): the first dot stands for the `@`."""
    local, at, domain = text.partition("@") if isinstance(text, str) else ("", "", "")
    if at and "." in local:
        raise ValueError("a SOA record cannot show a dot before the @; use another mailbox")
    return _name(f"{local}.{domain}" if at else text)


def _time(text: object) -> time:
    if not isinstance(text, str) or not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", text):
        raise ValueError('expected a time of day, such as "22:00"')
    return time.fromisoformat(text)


def _timezone(text: object) -> ZoneInfo:
    try:
        return ZoneInfo(str(text))
    except (OSError, ValueError, KeyError):  # ZoneInfoNotFoundError is a KeyError; a folder's name an OSError
        raise ValueError('expected a zone of the tz database, such as "Asia/Tokyo"') from None


def _socket_path(path: Path) -> Path:
    if len(str(path).encode()) > 107:  # unix(7): sun_path holds 108 bytes with the final zero
        raise ValueError("a Unix socket's path has at most 107 bytes")
    return path


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError('expected a URL, such as "https://vpce-0123.ec2.ap-northeast-1.vpce.amazonaws.com"')
    return text


def _some(items: Collection[Any]) -> Collection[Any]:
    if not items:
        raise ValueError("expected at least one")
    return items


def _addresses(value: object) -> tuple[str, ...]:
    addresses = tuple(map(_host, value if isinstance(value, list) else [value]))
    if not addresses or len(_families(addresses)) != len(addresses):
        raise ValueError("expected one address, or one IPv4 and one IPv6 address")
    return addresses


def _families(addresses: Iterable[str]) -> frozenset[int]:
    return frozenset(ip_address(address).version for address in addresses)


Duration = Annotated[float, BeforeValidator(parse_duration), Field(gt=0)]
Ttl = Annotated[int, BeforeValidator(_whole_seconds), Field(le=86400)]
Count = Annotated[StrictInt, Field(ge=1, le=1000)]
Port = Annotated[StrictInt, Field(ge=1, le=65535)]
Address = Annotated[str, BeforeValidator(_host)]
Addresses = Annotated[tuple[str, ...], PlainValidator(_addresses)]
Socket = Annotated[Endpoint, PlainValidator(_endpoint)]
ConcreteSocket = Annotated[Socket, AfterValidator(_concrete)]
Prefix = Annotated[IPv4Network | IPv6Network, PlainValidator(_prefix)]
Name = Annotated[str, BeforeValidator(_name)]
# A word goes into metric labels and TXT records as it stands.
Word = Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$")]
Url = Annotated[StrictStr, AfterValidator(_url)]

# --- models -------------------------------------------------------------------------------------------------


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Agent(Model):
    name: Word = Field(examples=["edge-1"])
    state_dir: Path = Path("/var/lib/edge")


class Control(Model):
    socket: Annotated[Path, AfterValidator(_socket_path)] = Path("/run/edge/edge.sock")


# RFC 1918, 4193, 1122 3.2.1.3: forgetting `allow_query` must not make a responder that is open to all.
_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "fc00::/7", "::1/128")


class Dns(Model):
    listen: Annotated[tuple[ConcreteSocket, ...], AfterValidator(_some)] = Field(examples=[["192.0.2.53:53"]])
    workers: Annotated[StrictInt, Field(ge=1, le=64)] = 1
    allow_query: tuple[Prefix, ...] = tuple(map(ip_network, _PRIVATE))
    trusted_forwarders: tuple[Prefix, ...] = ()
    # A refusal tells a scanner that something is here, and goes to whatever source address the query claimed.
    deny: Deny = Deny.DROP


class Http(Model):
    listen: Socket = Endpoint("127.0.0.1", 9353)


_NAMESERVERS = {"ns1.fs.corp.example": ["192.0.2.53"]}


class Zone(Model):
    name: Name = Field(examples=["fs.corp.example"])
    nameservers: Annotated[Mapping[Name, tuple[Address, ...]], AfterValidator(_some)] = Field(examples=[_NAMESERVERS])
    contact: Annotated[str, BeforeValidator(_rname)] | None = None
    # A service's own address is never negative, and the missing AAAA of an IPv4 service doesn't change at a
    # switch. Five seconds halve the load of such questions and hide a new name for no longer than that.
    negative_ttl_s: Annotated[Ttl, Field(le=300)] = Field(5, alias="negative_ttl")
    # The nameservers move when an agent is rebuilt: five minutes later every forwarder has the new address.
    ns_ttl_s: Ttl = Field(300, alias="ns_ttl")

    @property
    def rname(self) -> str:
        """The SOA's mailbox; RFC 2142 7 names the default."""
        return self.contact or f"hostmaster.{self.name}"


class Endpoints(Model):
    """Interface endpoints of the VPC, or an emulator; without them boto3's rules hold (AWS_ENDPOINT_URL)."""

    route53: Url | None = None
    ec2: Url | None = None
    sts: Url | None = None


class Aws(Model):
    region: StrictStr = Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$", examples=["ap-northeast-1"])
    # botocore waits 60 s + 60 s, five times over. A handshake across an ocean takes 0.3 s.
    connect_timeout_s: Duration = Field(1.0, alias="connect_timeout")
    read_timeout_s: Duration = Field(3.0, alias="read_timeout")
    # Route 53 grants the whole account five requests a second (DNSLimitations): two in 30 s are 1 % of it.
    views_interval_s: Duration = Field(30.0, alias="views_interval")
    endpoints: Endpoints = Endpoints()

    @property
    def call_s(self) -> float:
        """One call at its worst. botocore counts the connect time-out anew for each address of a name."""
        return self.connect_timeout_s + self.read_timeout_s


class Store(Model):
    kind: StoreKind = StoreKind.SQLITE


class Witness(Model):
    name: Word = Field(examples=["witness"])
    tcp: Socket = Field(examples=["192.0.2.5:443"])


class PathCheck(Model):
    # Past one lost probe in five the line is ill, not a node; a line that loses one in ten fails three in a
    # row once in a thousand and may still be judged by.
    loss_limit: Annotated[StrictFloat, Field(gt=0, le=1)] = 0.2
    witnesses: tuple[Witness, ...] = Field((), alias="witness")


class Probe(Model):
    kind: ProbeKind = Field(examples=["smb"])
    port: Port = 445  # SMB's own ([MS-SMB2] 2.1); a tcp probe must say its port
    interval_s: Duration = Field(1.0, alias="interval")
    timeout_s: Duration = Field(0.5, alias="timeout")
    fall: Count = 3
    rise: Count = 2
    # A failure adds 1 and a success takes 1/4, so only a node that fails more than one probe in five ever
    # fills it, even if it never fails `fall` times in a row. 0 switches it off.
    leaky: Annotated[StrictInt, Field(ge=0, le=1000)] = 6
    # Agents and nodes drift apart instead of probing in step.
    jitter: Annotated[StrictFloat, Field(ge=0, le=0.5)] = 0.1


class Node(Model):
    name: Word = Field(examples=["node"])
    addresses: Addresses = Field(alias="address", examples=["192.0.2.10"])
    port: Port | None = None
    instance: StrictStr | None = Field(None, pattern=r"^i-[0-9a-f]{8,17}$", examples=["i-0123456789abcdef0"])
    interface: StrictStr | None = Field(None, pattern=r"^eni-[0-9a-f]{8,17}$", examples=["eni-0123456789abcdef0"])
    subnet: StrictStr | None = Field(None, pattern=r"^subnet-[0-9a-f]{8,17}$", examples=["subnet-0123456789abcdef0"])


class Route53(Model):
    zone_id: StrictStr = Field(pattern=r"^[A-Z0-9]{1,32}$", examples=["Z0123456789EXAMPLE"])


class SecondaryIp(Model):
    address: Address = Field(examples=["192.0.2.100"])
    # AssignPrivateIpAddresses is asynchronous and AWS promises no time; past this the move counts as failed.
    deadline_s: Duration = Field(10.0, alias="deadline")


class Switch(Model):
    route53: Route53 | None = None
    secondary_ip: SecondaryIp | None = None

    def __bool__(self) -> bool:
        return self.route53 is not None or self.secondary_ip is not None


class Fence(Model):
    kind: FenceKind = FenceKind.NONE
    required: StrictBool = False  # left out, it is true wherever there is a fence

    @model_validator(mode="before")
    @classmethod
    def _require_what_exists(cls, given: Any) -> Any:
        exists = isinstance(given, dict) and given.get("kind", FenceKind.NONE) != FenceKind.NONE
        return {"required": True, **given} if exists else given


class Freeze(Model):
    """A window of wall-clock time, in a place's own time, in which nothing switches by itself."""

    name: StrictStr = Field(examples=["window"])
    days: Annotated[tuple[Day, ...], AfterValidator(_some)] = tuple(Day)
    start: Annotated[time, PlainValidator(_time)] = Field(examples=["22:00"])
    end: Annotated[time, PlainValidator(_time)] = Field(examples=["02:00"])
    timezone: Annotated[ZoneInfo, PlainValidator(_timezone)] = Field(examples=["UTC"])

    def covers(self, at: datetime) -> bool:
        """Whether the aware `at` lies in it. A window over midnight belongs to the day of its start."""
        local = at.astimezone(self.timezone)
        if self.start < self.end:
            return self._on(local) and self.start <= local.time() < self.end
        after_midnight = self._on(local - timedelta(days=1)) and local.time() < self.end
        return after_midnight or (self._on(local) and self.start <= local.time())

    def _on(self, local: datetime) -> bool:
        return tuple(Day)[local.weekday()] in self.days


class Service(Model):
    name: Name = Field(examples=["service.fs.corp.example"])
    # Each forwarder measured keeps an answer for its TTL, and none at 0 (two need a setting for it).
    ttl_s: Annotated[StrictInt, Field(ge=0, le=300)] = Field(0, alias="ttl")
    mode: Mode = Mode.AUTO
    authority: Authority = Authority.AGENT
    profile: Profile = Profile.DEFAULT
    answer: Answer = Answer.NODE
    hold_down_s: Duration = Field(30.0, alias="hold_down")
    # The fourth within the hour is a flapping node or line: people decide then.
    switches_per_hour: Count = 3
    # Route 53's control plane is in one Region, and AWS advises against a recovery that waits for it
    # (aws-fault-isolation-boundaries). What fencing requires is required all the same.
    on_aws_outage: OnOutage = OnOutage.ANSWER
    probe: Probe = Field(examples=[{"kind": "smb"}])
    nodes: tuple[Node, ...] = Field((), alias="node")
    switch: Switch = Switch()
    fence: Fence = Fence()
    freezes: tuple[Freeze, ...] = Field((), alias="freeze")

    @model_validator(mode="before")
    @classmethod
    def _fill_from_profile(cls, given: Any) -> Any:
        word = given.get("profile", Profile.DEFAULT) if isinstance(given, dict) else None
        profile = _PROFILES.get(word) if isinstance(word, str) else None
        if profile is None or not isinstance(given.get("probe"), dict):
            return given
        return {**profile["service"], **given, "probe": {**profile["probe"], **given["probe"]}}

    def port(self, node: Node) -> int:
        return node.port or self.probe.port


class Config(Model):
    agent: Agent = Field(examples=[{"name": "edge-1"}])
    control: Control = Control()
    dns: Dns = Field(examples=[{"listen": ["192.0.2.53:53"]}])
    http: Http = Http()
    zone: Zone = Field(examples=[{"name": "fs.corp.example", "nameservers": _NAMESERVERS}])
    aws: Aws | None = None
    store: Store = Store()
    path: PathCheck = PathCheck()
    services: tuple[Service, ...] = Field((), alias="service")


# --- clashes: keys that are right by themselves and wrong together ------------------------------------------

Loc = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Clash:
    """`keys` are all that the check has read; the first is the one to mend, and stands in the message."""

    keys: tuple[Loc, ...]
    text: str


def _timing_keys(at: Loc, *words: str) -> tuple[Loc, ...]:
    return (*((*at, "probe", word) for word in words), (*at, "profile"))


def _timeout_fits(at: Loc, service: Service) -> Iterator[Clash]:
    probe = service.probe
    if probe.timeout_s > probe.interval_s:
        timeout, interval = duration_text(probe.timeout_s), duration_text(probe.interval_s)
        text = f"{timeout} is longer than interval {interval}: the next probe would be due before this one ended"
        yield Clash(_timing_keys(at, "timeout", "interval"), f"{text}; at most {interval}")


def _hold_down_outlasts_detection(at: Loc, service: Service) -> Iterator[Clash]:
    if service.hold_down_s < detection_s(service.probe):
        text = (
            f"{duration_text(service.hold_down_s)} is shorter than the time to detect a failure"
            f" ({detection_text(service.probe)}): the next switch could come before the new node was judged"
        )
        keys = _timing_keys(at, "interval", "fall", "jitter", "timeout")
        yield Clash(((*at, "hold_down"), *keys), text)


def _leaky_above_fall(at: Loc, service: Service) -> Iterator[Clash]:
    leaky, fall = service.probe.leaky, service.probe.fall
    if 0 < leaky < fall:
        text = f"{leaky} is full before fall {fall} failures in a row are seen; at least {fall}, or 0 for off"
        yield Clash(_timing_keys(at, "leaky", "fall"), text)


def _tcp_port_known(at: Loc, service: Service) -> Iterator[Clash]:
    probe = service.probe
    if probe.kind is ProbeKind.TCP and "port" not in probe.model_fields_set:
        yield Clash(((*at, "probe", "port"), (*at, "probe", "kind")), "missing: tcp has no port of its own")


def _nodes_enough(at: Loc, service: Service) -> Iterator[Clash]:
    if len(service.nodes) < 2:
        text = f"{len(service.nodes)} node(s): a fail-over needs two, each a [[service.node]]"
        yield Clash(((*at, "node"),), text)


def _nodes_distinct(at: Loc, service: Service) -> Iterator[Clash]:
    for (i, one), (j, other) in itertools.combinations(enumerate(service.nodes), 2):
        if one.name == other.name:
            yield Clash(_both(at, i, j, "name"), f'"{other.name}" is also the name of node[{i}]')
        for address in set(one.addresses) & set(other.addresses):
            yield Clash(_both(at, i, j, "address"), f'"{address}" is also an address of node "{one.name}"')
        if one.interface and one.interface == other.interface:
            yield Clash(_both(at, i, j, "interface"), f'"{one.interface}" is also node "{one.name}"\'s')


def _both(at: Loc, i: int, j: int, key: str) -> tuple[Loc, ...]:
    return ((*at, "node", j, key), (*at, "node", i, key))


def _nodes_of_one_family(at: Loc, service: Service) -> Iterator[Clash]:
    for (i, one), (j, other) in itertools.pairwise(enumerate(service.nodes)):
        if _families(one.addresses) != _families(other.addresses):
            have = f'node "{one.name}" has {_family_text(one)} and node "{other.name}" {_family_text(other)}'
            yield Clash(_both(at, i, j, "address"), f"{have}: a switch would take an address family away")


def _family_text(node: Node) -> str:
    return " and ".join(f"IPv{version}" for version in sorted(_families(node.addresses)))


def _secondary_answer_exists(at: Loc, service: Service) -> Iterator[Clash]:
    if service.answer is Answer.SECONDARY and service.switch.secondary_ip is None:
        text = '"secondary" needs [service.switch.secondary_ip] with the address that moves'
        yield Clash(((*at, "answer"), (*at, "switch")), text)


def _secondary_is_movable(at: Loc, service: Service) -> Iterator[Clash]:
    secondary = service.switch.secondary_ip
    if secondary is None:
        return
    key = (*at, "switch", "secondary_ip", "address")
    if _families((secondary.address,)) == {6}:
        yield Clash((key,), f'"{secondary.address}": AssignPrivateIpAddresses moves IPv4 addresses only')
    for j, node in enumerate(service.nodes):
        if secondary.address in node.addresses:
            text = f'"{secondary.address}" is node "{node.name}"\'s own address; the secondary one is a third'
            yield Clash((key, (*at, "node", j, "address")), text)


def _secondary_has_interfaces(at: Loc, service: Service) -> Iterator[Clash]:
    if service.switch.secondary_ip is None:
        return
    for j, node in enumerate(service.nodes):
        for word, value in (("interface", node.interface), ("subnet", node.subnet)):
            if value is None:
                keys = ((*at, "node", j, word), (*at, "switch"))
                yield Clash(keys, f"missing: switch.secondary_ip needs the {word}")


def _secondary_in_one_subnet(at: Loc, service: Service) -> Iterator[Clash]:
    subnets = sorted({node.subnet for node in service.nodes if node.subnet})
    if service.switch.secondary_ip is not None and len(subnets) > 1:
        text = f"the nodes are in {', '.join(subnets)}: an address cannot leave its subnet; use switch.route53"
        keys = [(*at, "node", j, "subnet") for j in range(len(service.nodes))]
        yield Clash(((*at, "switch", "secondary_ip"), *keys), text)


def _fence_can_work(at: Loc, service: Service) -> Iterator[Clash]:
    fence = service.fence
    if fence.kind is FenceKind.UNASSIGN and service.switch.secondary_ip is None:
        text = '"unassign" takes the secondary address away, so it needs [service.switch.secondary_ip]'
        yield Clash(((*at, "fence", "kind"), (*at, "switch")), text)
    if fence.kind is FenceKind.NONE and fence.required:
        text = 'true, but fence.kind is "none": no switch could ever happen'
        yield Clash(((*at, "fence", "required"), (*at, "fence", "kind")), text)


def _freeze_has_length(at: Loc, service: Service) -> Iterator[Clash]:
    for i, freeze in enumerate(service.freezes):
        if freeze.start == freeze.end:
            key = (*at, "freeze", i)
            text = f"start and end are both {freeze.start:%H:%M}; for a whole day write two windows"
            yield Clash(((*key, "end"), (*key, "start")), text)


def _services_there(config: Config) -> Iterator[Clash]:
    if not config.services:
        yield Clash((("service",),), "missing: at least one [[service]]")


def _services_distinct(config: Config) -> Iterator[Clash]:
    for (i, one), (j, other) in itertools.combinations(enumerate(config.services), 2):
        if one.name == other.name:
            keys: tuple[Loc, ...] = (("service", j, "name"), ("service", i, "name"))
            yield Clash(keys, f'"{other.name}" is also the name of service[{i}]')
        yield from _secondaries_distinct(i, one, j, other)


def _secondaries_distinct(i: int, one: Service, j: int, other: Service) -> Iterator[Clash]:
    key = ("switch", "secondary_ip", "address")
    mine, theirs = one.switch.secondary_ip, other.switch.secondary_ip
    if mine and theirs and mine.address == theirs.address:
        text = f'"{mine.address}" also moves with service[{i}]: two decisions would pull at one address'
        yield Clash((("service", j, *key), ("service", i, *key)), text)


def _services_inside_zone(config: Config) -> Iterator[Clash]:
    for i, service in enumerate(config.services):
        key = ("service", i, "name")
        if not service.name.endswith(f".{config.zone.name}"):
            text = f'"{service.name}" is not below the zone "{config.zone.name}"'
            yield Clash((key, ("zone", "name")), text)
        if service.name in config.zone.nameservers:
            yield Clash((key, ("zone", "nameservers")), f'"{service.name}" is also a nameserver of the zone')


def _nameservers_have_glue(config: Config) -> Iterator[Clash]:
    for name, addresses in config.zone.nameservers.items():
        keys: tuple[Loc, ...] = (("zone", "nameservers", name), ("zone", "name"))
        inside = name == config.zone.name or name.endswith(f".{config.zone.name}")
        if inside and not addresses:
            yield Clash(keys, "is inside the zone, so only we can tell its address: list it (RFC 1034 4.2.1)")
        if addresses and not inside:
            yield Clash(keys, "is outside the zone, so its address is another zone's to tell: write []")


def _listeners_distinct(config: Config) -> Iterator[Clash]:
    listen = config.dns.listen
    for endpoint in sorted({endpoint for endpoint in listen if listen.count(endpoint) > 1}):
        yield Clash((("dns", "listen"),), f'"{endpoint}" is listed twice')
    if config.http.listen in listen:
        text = f'"{config.http.listen}" is also in dns.listen, which answers TCP there'
        yield Clash((("http", "listen"), ("dns", "listen")), text)


def _witnesses_apart(config: Config) -> Iterator[Clash]:
    for (w, witness), (at, node) in itertools.product(enumerate(config.path.witnesses), _nodes(config)):
        key = ("path", "witness", w)
        if witness.name == node.name:
            yield Clash(((*key, "name"), (*at, "name")), f'"{witness.name}" is also the name of a node')
        if witness.tcp.address in node.addresses:
            text = f'"{witness.tcp}" is node "{node.name}": a witness that dies with a node proves nothing'
            yield Clash(((*key, "tcp"), (*at, "address")), text)


def _nodes(config: Config) -> Iterator[tuple[Loc, Node]]:
    for i, service in enumerate(config.services):
        for j, node in enumerate(service.nodes):
            yield ("service", i, "node", j), node


def _witnesses_distinct(config: Config) -> Iterator[Clash]:
    for (i, one), (j, other) in itertools.combinations(enumerate(config.path.witnesses), 2):
        if one.name == other.name:
            keys: tuple[Loc, ...] = (("path", "witness", j, "name"), ("path", "witness", i, "name"))
            yield Clash(keys, f'"{other.name}" is also the name of witness[{i}]')


def _aws_known(config: Config) -> Iterator[Clash]:
    for i, service in enumerate(config.services):
        if service.switch and config.aws is None:
            keys: tuple[Loc, ...] = (("aws",), ("service", i, "switch"))
            yield Clash(keys, f"missing: service[{i}].switch needs [aws] with the region")


def _aws_found_without_us(config: Config) -> Iterator[Clash]:
    """A switch must not wait for an answer that depends on the switch."""
    for word, url in config.aws.endpoints if config.aws else Endpoints():
        host = (urlsplit(url).hostname or "") if url else ""
        if f".{host}".endswith(f".{config.zone.name}"):
            text = f'"{host}" is a name of our own zone: AWS must be found while we do not answer'
            yield Clash((("aws", "endpoints", word), ("zone", "name")), text)


_SERVICE_CHECKS: tuple[Callable[[Loc, Service], Iterator[Clash]], ...] = (
    _timeout_fits,
    _hold_down_outlasts_detection,
    _leaky_above_fall,
    _tcp_port_known,
    _nodes_enough,
    _nodes_distinct,
    _nodes_of_one_family,
    _secondary_answer_exists,
    _secondary_is_movable,
    _secondary_has_interfaces,
    _secondary_in_one_subnet,
    _fence_can_work,
    _freeze_has_length,
)
_CHECKS: tuple[Callable[[Config], Iterator[Clash]], ...] = (
    _services_there,
    _services_distinct,
    _services_inside_zone,
    _nameservers_have_glue,
    _listeners_distinct,
    _witnesses_apart,
    _witnesses_distinct,
    _aws_known,
    _aws_found_without_us,
)


def _clashes(config: Config) -> Iterator[Clash]:
    for check in _CHECKS:
        yield from check(config)
    for (i, service), service_check in itertools.product(enumerate(config.services), _SERVICE_CHECKS):
        yield from service_check(("service", i), service)


# --- reading ------------------------------------------------------------------------------------------------


def load(path: Path) -> Config:
    """Raises ConfigError with every problem, each as `file: key: what was found, and what would be right`."""
    config, problems = _examine(_read(path))
    if problems:
        raise ConfigError([f"{path}: {problem}" for problem in problems])
    return config


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror}"]) from error
    except ValueError as error:  # TOMLDecodeError says line and column; UnicodeDecodeError the byte
        raise ConfigError([f"{path}: not a TOML file: {error}"]) from error


def _examine(raw: dict[str, Any]) -> tuple[Config, list[str]]:
    try:
        return _judged(Config.model_validate(raw), [])
    except ValidationError as error:
        errors = error.errors(include_url=False)
        return _judged(_with_stand_ins(raw, errors), errors)


def _judged(config: Config, errors: Sequence[ErrorDetails]) -> tuple[Config, list[str]]:
    wrong = [_meant(error) for error in errors]
    clashes = [clash for clash in _clashes(config) if not _reads(clash, wrong)]
    return config, [_sentence(error) for error in errors] + [f"{_key(c.keys[0])}: {c.text}" for c in clashes]


def _with_stand_ins(raw: dict[str, Any], errors: Iterable[ErrorDetails]) -> Config:
    for loc in sorted((_field_loc(error["loc"]) for error in errors), key=len, reverse=True):
        raw = _replaced(raw, loc)
    return Config.model_validate(raw)


def _replaced(raw: Any, loc: Loc, at: Loc = ()) -> Any:
    """A copy in which the key at `loc` is its field's example, or gone if it can do without."""
    key, rest = loc[0], loc[1:]
    if rest:
        inner = _replaced(raw[key], rest, (*at, key))
        return {**raw, key: inner} if isinstance(raw, dict) else [*raw[:key], inner, *raw[int(key) + 1 :]]
    kept = {k: v for k, v in raw.items() if k != key}
    field = _fields(_model_at(at)).get(str(key))
    return {**kept, key: field.examples[0]} if field and field.is_required() and field.examples else kept


def _field_loc(loc: Loc) -> Loc:
    """Up to the last key of a model: what lies below (a list's item, a table's free key) goes with it."""
    ends = (end for end in range(len(loc), 0, -1) if isinstance(loc[end - 1], str))
    return loc[: next(end for end in ends if _model_at(loc[: end - 1]))]


def _meant(error: ErrorDetails) -> Loc:
    """The key that a clash must not have read: for an unknown key, the one that was probably meant."""
    loc = _field_loc(error["loc"])
    near = _nearest(str(loc[-1]), _fields(_model_at(loc[:-1])))
    return (*loc[:-1], near) if near else loc


def _reads(clash: Clash, wrong: Iterable[Loc]) -> bool:
    return any(all(a == b for a, b in zip(key, loc, strict=False)) for key in clash.keys for loc in wrong)


def _model_at(loc: Loc) -> type[Model] | None:
    model: type[Model] | None = Config
    for key in loc:
        if isinstance(key, str):
            field = _fields(model).get(key)
            model = next(_models_in(field.annotation), None) if field else None
    return model


def _models_in(annotation: Any) -> Iterator[type[Model]]:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _fields(model: type[Model] | None) -> dict[str, Any]:
    return {field.alias or name: field for name, field in model.model_fields.items()} if model else {}


# --- sentences ----------------------------------------------------------------------------------------------


def _key(loc: Loc) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{_quoted(part)}" for part in loc)
    return "".join(parts).removeprefix(".")


def _quoted(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else f'"{key}"'


def _sentence(error: ErrorDetails) -> str:
    loc = tuple(part for part in error["loc"] if part != "[key]")
    return f"{_key(loc)}: {_complaint(error, _fields(_model_at(loc[:-1])))}"


def _complaint(error: ErrorDetails, known: Mapping[str, Any]) -> str:
    match error["type"]:
        case "missing":
            return f"missing{_such_as(known.get(str(error['loc'][-1])))}"
        case "extra_forbidden":
            return f"unknown key; {_advice(str(error['loc'][-1]), known)}"
        case "enum":
            allowed = [str(word) for word in re.findall(r"'(\w+)'", error["ctx"]["expected"])]
            return f"found {_found(error['input'])}; {_advice(str(error['input']), allowed)}"
        case "value_error":
            return f"found {_found(error['input'])}; {error['ctx']['error']}"
        case "string_pattern_mismatch":
            return f"found {_found(error['input'])}; not in its form{_such_as(known.get(str(error['loc'][-1])))}"
    return f"found {_found(error['input'])}; {error['msg'].replace('Input should', 'it should')}"


def _such_as(field: Any) -> str:
    example = field.examples[0] if field and field.examples else None
    return f'; for example "{example}"' if isinstance(example, str) else ""


def _advice(word: str, known: Iterable[str]) -> str:
    near = _nearest(word, known)
    if word in _LATER:
        return f"this version does not have it yet; available: {', '.join(known)}"
    return f'did you mean "{near}"?' if near else f"known here: {', '.join(known)}"


def _nearest(word: str, known: Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(word.lower(), known, n=1)), None)


def _found(value: object) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."


# --- arithmetic ---------------------------------------------------------------------------------------------

# A stage of a switch tries again and again; the last try begins within these seconds (edge.switches.runner.Pace) after
# a pause, and each of its calls may take its whole time-out: an address is described and changed; of Route 53 the zone
# and its record sets are read and a batch is sent.
_TRIES_S, _PAUSE_S = 3.0, 0.5
_ADDRESS_CALLS, _ROUTE53_CALLS = 2, 3
_COMMIT_S = 0.1  # the journal's and the store's fsync: 5-20 ms on a disk in order
_FLIP_S = 0.05  # a new table of answers to every DNS worker, and their word that they have it


@dataclass(frozen=True, slots=True)
class Term:
    name: str
    seconds: float
    arithmetic: str


def detection_s(probe: Probe) -> float:
    """At worst: the node dies just after an answer, every pause is at the jitter's far end."""
    return probe.interval_s * probe.fall * (1 + probe.jitter) + probe.timeout_s


def detection_text(probe: Probe) -> str:
    return (
        f"interval {duration_text(probe.interval_s)} x fall {probe.fall} x {1 + probe.jitter:g} for jitter"
        f" + timeout {duration_text(probe.timeout_s)} = {duration_text(detection_s(probe))}"
    )


def fastest_probe(config: Config) -> Probe:
    """Its interval and time-out are the witnesses' too: as fresh as what they are compared with."""
    return min((service.probe for service in config.services), key=lambda probe: probe.interval_s)


def failover_budget(service: Service, config: Config) -> tuple[Term, ...]:
    """From a node's death to its clients' right answer, at worst, in the order in which it happens."""
    return (
        Term("detect", detection_s(service.probe), detection_text(service.probe)),
        *_decide_terms(service),
        *(_aws_terms(service, config.aws) if config.aws else ()),
        Term("answer", _FLIP_S, f"every DNS worker has the new table: {duration_text(_FLIP_S)}"),
        Term("ttl", service.ttl_s, f"a forwarder may keep the old answer for {service.ttl_s} s"),
    )


def _decide_terms(service: Service) -> Iterator[Term]:
    yield Term("decide", _COMMIT_S, f"the intent is on the disk: {duration_text(_COMMIT_S)}")
    if service.mode is not Mode.AUTO:
        yield Term("approve", math.inf, f'mode is "{service.mode.value}": a person decides, in their own time')


def _aws_terms(service: Service, aws: Aws) -> Iterator[Term]:
    secondary = service.switch.secondary_ip
    if service.fence.kind is FenceKind.UNASSIGN:
        yield _stage("fence", _TRIES_S, _ADDRESS_CALLS, aws)
    if secondary:
        yield _stage("move", secondary.deadline_s, _ADDRESS_CALLS, aws)
    if service.switch.route53:
        yield _stage("publish", _TRIES_S, _ROUTE53_CALLS, aws)


def _stage(name: str, tries_s: float, calls: int, aws: Aws) -> Term:
    seconds = tries_s + _PAUSE_S + calls * aws.call_s
    last = (
        f"{calls} calls x (connect {duration_text(aws.connect_timeout_s)} + read {duration_text(aws.read_timeout_s)})"
    )
    tries = f"tries begin within {duration_text(tries_s)} + pause {duration_text(_PAUSE_S)}"
    return Term(name, seconds, f"{tries} + the last one's {last} = {duration_text(seconds)}")
