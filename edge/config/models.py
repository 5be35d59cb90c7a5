"""The models: every key of the file with its type, its default, and the reason for the default.

They use the TOML's keys as aliases (`interval`) and say the unit in the attribute's name (`interval_s`).
"""

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any
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
    model_validator,
)

from edge.config.values import (
    Address,
    Addresses,
    Answer,
    Count,
    Day,
    Deny,
    Duration,
    Endpoint,
    FenceKind,
    GuestOs,
    HostPrefix,
    Name,
    OnStoreLoss,
    OwnerName,
    Port,
    Prefix,
    ProbeKind,
    Profile,
    RecordData,
    RecordType,
    Role,
    Socket,
    StoreKind,
    Topology,
    Ttl,
    Url,
    Word,
    ZoneName,
    rname_of,
    several,
    socket_path,
    some,
    time_of_day,
    timezone_of,
)
from edge.failover.model import Authority, Mode, OnDrift, OnOutage


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Agent(Model):
    name: Word = Field(examples=["edge-1"])
    state_dir: Path = Path("/var/lib/edge")
    role: Role = Role.CANDIDATE


class Control(Model):
    socket: Annotated[Path, AfterValidator(socket_path)] = Path("/run/edge/edge.sock")


# RFC 1918, 4193, 1122 3.2.1.3: forgetting `allow_query` must not make a responder that is open to all.
_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "fc00::/7", "::1/128")


class RateLimit(Model):
    """How often one network may be told the same over UDP. Trusted forwarders and proven cookies are exempt."""

    # Off unless wanted: forwarders ask for one name all day, and from one network.
    per_second: Annotated[StrictFloat | StrictInt, Field(ge=0, le=100_000)] = 0
    burst_s: Duration = Field(5.0, alias="burst")
    # As BIND and NSD: every second limited answer is sent empty with TC, no bigger than its question. 0: none.
    slip: Annotated[StrictInt, Field(ge=0, le=100)] = 2
    # As BIND and NSD: who holds one address holds its neighbours.
    ipv4_prefix: Annotated[StrictInt, Field(ge=8, le=32)] = 24
    ipv6_prefix: Annotated[StrictInt, Field(ge=32, le=128)] = 56
    log_only: StrictBool = False
    # Packets a second from one network that no prepared answer fits: random names and garbage cost ten times as
    # much as real questions, of which nearly all are prepared. 0: no limit.
    unprepared_per_s: Annotated[StrictFloat | StrictInt, Field(ge=0, le=100_000)] = Field(
        1000, alias="unprepared_per_second"
    )


class TcpLimits(Model):
    """Each DNS worker's own."""

    connections: Annotated[StrictInt, Field(ge=1, le=10_000)] = 256  # as gdnsd; the longest idle makes room
    per_client: Annotated[StrictInt, Field(ge=1, le=10_000)] = 32  # forwarders are few and keep one or two
    idle_s: Duration = Field(10.0, alias="idle")  # RFC 7766 6.2.3: "on the order of a few seconds"


class Dns(Model):
    listen: Annotated[tuple[Socket, ...], AfterValidator(some)] = Field(examples=[["192.0.2.53:53"]])
    workers: Annotated[StrictInt, Field(ge=1, le=64)] = 1
    allow_query: tuple[Prefix, ...] = tuple(map(ip_network, _PRIVATE))
    trusted_forwarders: tuple[Prefix, ...] = ()
    # A refusal tells a scanner that something is here, and goes to whatever source address the query claimed.
    deny: Deny = Deny.DROP
    # Over UDP, without a valid cookie, an answer has at most so many times the question's bytes: more is sent
    # truncated. Our own answers need less than 6, so only what was forged to be small meets it.
    amplification: Annotated[StrictFloat | StrictInt, Field(ge=2, le=100)] = 10
    # RFC 7873, 9018: files with 32 hex digits each, the same on every agent; the first one signs, all are valid.
    # To roll over: (old, new), then (new, old), then (new). Without one, cookies are ignored.
    cookie_secrets: tuple[Path, ...] = ()
    cookie_required: StrictBool = False
    # NSID (RFC 5001), hostname.bind and id.server tell the agent's name; version.bind tells the program's.
    identity: StrictBool = True
    version: StrictBool = False
    rate_limit: RateLimit = RateLimit()
    tcp: TcpLimits = TcpLimits()


class Http(Model):
    listen: Socket = Endpoint("127.0.0.1", 9353)


_NAMESERVERS = {"ns1.fs.corp.example": ["192.0.2.53"]}


class Record(Model):
    """What is written here never changes at a switch."""

    name: OwnerName = Field(examples=["host.fs.corp.example"])
    type: RecordType = Field(examples=["A"])
    ttl_s: Annotated[StrictInt, Field(ge=0, le=86_400)] = Field(300, alias="ttl")  # as `ns_ttl`, for the same reason
    data: RecordData = Field(examples=["192.0.2.20"])


class Zone(Model):
    name: ZoneName = Field(examples=["fs.corp.example"])
    nameservers: Annotated[Mapping[Name, tuple[Address, ...]], AfterValidator(some)] = Field(examples=[_NAMESERVERS])
    contact: Annotated[str, BeforeValidator(rname_of)] | None = None
    # A service's own address is never negative, and the missing AAAA of an IPv4 service doesn't change at a
    # switch. Five seconds halve the load of such questions and hide a new name for no longer than that.
    negative_ttl_s: Annotated[Ttl, Field(le=300)] = Field(5, alias="negative_ttl")
    # The nameservers move when an agent is rebuilt: five minutes later every forwarder has the new address.
    ns_ttl_s: Ttl = Field(300, alias="ns_ttl")
    # The epochs are added to it. Nobody transfers the zone, so nobody misses that it stays when a record changes;
    # who watches the serial raises this with the change, alike on every agent.
    serial_base: Annotated[StrictInt, Field(ge=0, lt=2**32)] = 1
    records: tuple[Record, ...] = Field((), alias="record")

    @property
    def rname(self) -> str:
        """The SOA's mailbox; RFC 2142 7 names the default."""
        return self.contact or f"hostmaster.{self.name}"


class Endpoints(Model):
    """Interface endpoints of the VPC, or an emulator; without them boto3's rules hold (AWS_ENDPOINT_URL)."""

    route53: Url | None = None
    ec2: Url | None = None
    sts: Url | None = None
    ssm: Url | None = None
    dynamodb: Url | None = None
    iam: Url | None = None
    directconnect: Url | None = None


class Aws(Model):
    region: StrictStr = Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$", examples=["ap-northeast-1"])
    # botocore waits 60 s + 60 s, five times over. A handshake across an ocean takes 0.3 s. Each is of the whole: of the
    # lookup, all addresses and TLS; of an answer to its last byte.
    connect_timeout_s: Duration = Field(1.0, alias="connect_timeout")
    read_timeout_s: Duration = Field(3.0, alias="read_timeout")
    # Route 53 grants the whole account five requests a second (DNSLimitations): two in 30 s are 1 % of it.
    views_interval_s: Duration = Field(30.0, alias="views_interval")
    # What a switch will need is tried beforehand: credentials are renewed hourly, and policies change by hand.
    check_interval_s: Duration = Field(600.0, alias="check_interval")
    # The agent's own role or user: with it IAM is asked what can't be tried dry (iam:SimulatePrincipalPolicy).
    identity: StrictStr | None = Field(
        None,
        pattern=r"^arn:aws[a-z-]*:iam::\d{12}:(role|user)/[\w+=,.@/-]+$",
        examples=["arn:aws:iam::123456789012:role/edge"],
    )
    # Asks CloudTrail who changed AWS, once somebody has. It has a permission of its own, and the answer takes minutes.
    cloudtrail: StrictBool = False
    endpoints: Endpoints = Endpoints()

    @property
    def call_s(self) -> float:
        """One call at its worst: credentials that ended are waited for as long as a connection is."""
        return 2 * self.connect_timeout_s + self.read_timeout_s


class Peer(Model):
    """Another agent that answers the same zones."""

    name: Word = Field(examples=["edge-2"])
    dns: Socket = Field(examples=["192.0.2.54:53"])
    http: Socket | None = None  # its http.listen, where the agents ask each other (vantage.on_store_loss)


class Forwarder(Model):
    """A resolver that clients ask."""

    name: Word = Field(examples=["forwarder"])
    dns: Socket = Field(examples=["192.0.2.10:53"])


class Store(Model):
    kind: StoreKind = StoreKind.SQLITE
    # DynamoDB, *Naming rules*. All agents that serve a service name the same table, and no others do.
    table: Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9_.-]{3,255}$")] = Field("edge", examples=["edge"])


class LeaseTiming(Model):
    """Of several agents: who leads. A single one has no use for it."""

    # Until another agent may lead that heard nothing of this one. It has to outlast a renewal and a call to AWS
    # (edge.config.clashes.agents): with the default time-outs, 14.5 s.
    duration_s: Duration = Field(15.0, alias="duration")
    # So two agents ask DynamoDB for about one write and four reads of a small item a second.
    renew_s: Duration = Field(3.0, alias="renew")


class Vantages(Model):
    """The agents whose observations count, by name, the same on all of them."""

    agents: tuple[Word, ...] = Field((), examples=[["edge-1", "edge-2"]])
    witnesses: tuple[Word, ...] = Field((), examples=[["edge-3"]])  # those that never lead
    quorum: Count | None = None
    # Without the store nobody leads, and an answer that moved could be one that another agent does not give; with
    # "unanimous" it moves where each and all of them agree.
    on_store_loss: OnStoreLoss = OnStoreLoss.HOLD
    # A file with at least 32 hex digits, the same on every agent: what they say to each other is signed with it.
    key_file: Path | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.agents, *self.witnesses)

    @property
    def unanimous(self) -> bool:
        return self.on_store_loss is OnStoreLoss.UNANIMOUS

    @property
    def needed(self) -> int:
        """More than half of those that are listed, so that no two groups of them decide apart."""
        return self.quorum or len(self.names) // 2 + 1


class Witness(Model):
    name: Word = Field(examples=["witness"])
    tcp: Socket = Field(examples=["192.0.2.5:443"])


VirtualInterface = Annotated[StrictStr, Field(pattern=r"^dxvif-[0-9a-z]{8,17}$")]


class PathCheck(Model):
    # Past one lost probe in five the line is ill, not a node; a line that loses one in ten fails three in a
    # row once in a thousand and may still be judged by.
    loss_limit: Annotated[StrictFloat, Field(gt=0, le=1)] = 0.2
    # Shown by `edgectl check`, and nothing else: AWS tells of them minutes late.
    virtual_interfaces: Annotated[tuple[VirtualInterface, ...], BeforeValidator(several)] = Field(
        (), alias="virtual_interface", examples=["dxvif-ffhhk74f"]
    )
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


RouteTableId = Annotated[StrictStr, Field(pattern=r"^rtb-[0-9a-f]{8,17}$")]
SecurityGroup = Annotated[StrictStr, Field(pattern=r"^sg-[0-9a-f]{8,17}$")]


class Node(Model):
    name: Word = Field(examples=["node"])
    addresses: Addresses = Field(alias="address", examples=["192.0.2.10"])
    port: Port | None = None
    instance: StrictStr | None = Field(None, pattern=r"^i-[0-9a-f]{8,17}$", examples=["i-0123456789abcdef0"])
    interface: StrictStr | None = Field(None, pattern=r"^eni-[0-9a-f]{8,17}$", examples=["eni-0123456789abcdef0"])
    subnet: StrictStr | None = Field(None, pattern=r"^subnet-[0-9a-f]{8,17}$", examples=["subnet-0123456789abcdef0"])
    # What the reverse names of its addresses tell: the host's own name, for an address stays with its host while the
    # service moves.
    ptr: Name | None = None


class Route53(Model):
    zone_id: StrictStr = Field(pattern=r"^[A-Z0-9]{1,32}$", examples=["Z0123456789EXAMPLE"])
    # Whose clients ask the zone: one that is not associated with it is refused.
    vpc: StrictStr | None = Field(None, pattern=r"^vpc-[0-9a-f]{8,17}$", examples=["vpc-0123456789abcdef0"])
    # Resolver inbound endpoints, where there are some: what clients in the VPC are told, asked over DNS.
    resolver: tuple[Socket, ...] = ()


class SecondaryIp(Model):
    address: Address = Field(examples=["192.0.2.100"])
    # AssignPrivateIpAddresses is asynchronous and AWS promises no time; past this the move counts as failed.
    deadline_s: Duration = Field(10.0, alias="deadline")


class RouteTable(Model):
    destination: HostPrefix = Field(examples=["172.31.255.10/32"])
    tables: Annotated[tuple[RouteTableId, ...], AfterValidator(some)] = Field(examples=[["rtb-0123456789abcdef0"]])
    topology: Topology | None = None  # no default could be right: see edge.config.clashes.moves
    # Routes take effect within a second or two; past this the move counts as failed.
    deadline_s: Duration = Field(10.0, alias="deadline")


class ElasticIp(Model):
    allocation_id: StrictStr = Field(pattern=r"^eipalloc-[0-9a-f]{8,17}$", examples=["eipalloc-0123456789abcdef0"])
    allow_public: StrictBool = False
    deadline_s: Duration = Field(10.0, alias="deadline")


class Switch(Model):
    route53: Route53 | None = None
    secondary_ip: SecondaryIp | None = None
    route_table: RouteTable | None = None
    elastic_ip: ElasticIp | None = None

    def __bool__(self) -> bool:
        return self.route53 is not None or self.moves

    @property
    def moves(self) -> bool:
        """Whether something leaves one node's interface for another's."""
        return any((self.secondary_ip, self.route_table, self.elastic_ip))


# Seconds within which a fence may be tried. An address and security groups change within a second or two; a guest takes
# half a minute to shut down, and EC2 gives up on it after some minutes; a document runs a second or two after it was
# sent, and takes its own time.
_FENCE_DEADLINE_S = {FenceKind.STOP: 60.0, FenceKind.GUEST: 20.0}


class Fence(Model):
    kind: FenceKind = FenceKind.NONE
    required: StrictBool = False  # left out, it is true wherever there is a fence
    deadline: Duration | None = None
    quarantine: tuple[SecurityGroup, ...] = ()
    skip_os_shutdown: StrictBool = False

    @property
    def deadline_s(self) -> float:
        return self.deadline or _FENCE_DEADLINE_S.get(self.kind, 3.0)

    @model_validator(mode="before")
    @classmethod
    def _require_what_exists(cls, given: Any) -> Any:
        exists = isinstance(given, dict) and given.get("kind", FenceKind.NONE) != FenceKind.NONE
        return {"required": True, **given} if exists else given


DocumentName = Annotated[StrictStr, Field(pattern=r"^[a-zA-Z0-9_.-]{3,128}$")]  # SendCommand's, of our own account


class Guest(Model):
    """What Systems Manager runs in the instances."""

    os: GuestOs | None = None  # brings the address that moves up and down, by deploy/ssm's document for it
    # As the guest calls it; left out, the one that has the node's own IPv4 address.
    interface_name: StrictStr | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$", examples=["ens5"])
    on_demote: DocumentName | None = Field(None, examples=["Files-Release"])
    on_promote: DocumentName | None = Field(None, examples=["Files-Take"])
    # For each document, from sending it until it has run. Where it is no fence, a dead node costs all of it.
    deadline_s: Duration = Field(10.0, alias="deadline")

    @property
    def demotion(self) -> tuple[str, ...]:
        """The steps at a node that is left, in their order."""
        return tuple(name for name, there in (("demote", self.on_demote), ("address-down", self.os)) if there)

    @property
    def promotion(self) -> tuple[str, ...]:
        """The steps at the target."""
        return tuple(name for name, there in (("address-up", self.os), ("promote", self.on_promote)) if there)


class Freeze(Model):
    """A window of wall-clock time, in a place's own time, in which nothing switches by itself."""

    name: StrictStr = Field(examples=["window"])
    days: Annotated[tuple[Day, ...], AfterValidator(some)] = tuple(Day)
    start: Annotated[time, PlainValidator(time_of_day)] = Field(examples=["22:00"])
    end: Annotated[time, PlainValidator(time_of_day)] = Field(examples=["02:00"])
    timezone: Annotated[ZoneInfo, PlainValidator(timezone_of)] = Field(examples=["UTC"])

    def covers(self, at: datetime) -> bool:
        """Whether the aware `at` lies in it. A window over midnight belongs to the day of its start."""
        local = at.astimezone(self.timezone)
        if self.start < self.end:
            return self._on(local) and self.start <= local.time() < self.end
        after_midnight = self._on(local - timedelta(days=1)) and local.time() < self.end
        return after_midnight or (self._on(local) and self.start <= local.time())

    def _on(self, local: datetime) -> bool:
        return tuple(Day)[local.weekday()] in self.days


# What a profile sets; a key that the service gives itself overrides it.
#   fast:    1.1 s to detect at worst; for a quiet line: 200 ms are ten round trips of a line of 20 ms.
#   default: 4.9 s to detect at worst, near what people know from VRRP (keepalived's default: 3.6 s).
#   careful: 14 s to detect at worst; the hold-down outlasts the hold time of a BGP session on Direct Connect (90 s).
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
    # Who changes AWS by hand may have a reason, so it is told and not undone, unless that is wanted.
    drift: OnDrift = OnDrift.ALERT
    # The fourth within the hour is somebody, or something, that changes it back each time.
    drift_per_hour: Count = 3
    probe: Probe = Field(examples=[{"kind": "smb"}])
    nodes: tuple[Node, ...] = Field((), alias="node")
    switch: Switch = Switch()
    fence: Fence = Fence()
    guest: Guest | None = None
    freezes: tuple[Freeze, ...] = Field((), alias="freeze")

    @model_validator(mode="before")
    @classmethod
    def _fill_from_profile(cls, given: Any) -> Any:
        word = given.get("profile", Profile.DEFAULT) if isinstance(given, dict) else None
        profile = _PROFILES.get(word) if isinstance(word, str) else None
        if profile is None or not isinstance(given.get("probe"), dict):
            return given
        return {**profile["service"], **given, "probe": {**profile["probe"], **given["probe"]}}

    @property
    def interfaces(self) -> frozenset[str]:
        return frozenset(node.interface for node in self.nodes if node.interface)

    @property
    def instances(self) -> frozenset[str]:
        return frozenset(node.instance for node in self.nodes if node.instance)

    @property
    def moving_addresses(self) -> tuple[str, ...]:
        """Those that a guest has to carry while its node is live."""
        switch = self.switch
        routed = switch.route_table.destination.removesuffix("/32") if switch.route_table else None
        return tuple(filter(None, (switch.secondary_ip.address if switch.secondary_ip else None, routed)))

    @property
    def demotion_deadline_s(self) -> float:
        """Of each step of the demotion: the fence's own, where it is the fence."""
        if self.guest is None or self.fence.kind is FenceKind.GUEST:
            return self.fence.deadline_s
        return self.guest.deadline_s

    def port(self, node: Node) -> int:
        return node.port or self.probe.port


class Config(Model):
    agent: Agent = Field(examples=[{"name": "edge-1"}])
    control: Control = Control()
    dns: Dns = Field(examples=[{"listen": ["192.0.2.53:53"]}])
    http: Http = Http()
    zones: Annotated[tuple[Zone, ...], AfterValidator(some)] = Field(
        alias="zone", examples=[[{"name": "fs.corp.example", "nameservers": _NAMESERVERS}]]
    )
    aws: Aws | None = None
    store: Store = Store()
    lease: LeaseTiming = LeaseTiming()
    vantage: Vantages = Vantages()
    path: PathCheck = PathCheck()
    peers: tuple[Peer, ...] = Field((), alias="peer")
    forwarders: tuple[Forwarder, ...] = Field((), alias="forwarder")
    services: tuple[Service, ...] = Field((), alias="service")

    def zone_of(self, name: str) -> int | None:
        """The index of the zone that holds a name: of those that it ends with, the longest."""
        holding = [i for i, zone in enumerate(self.zones) if f".{name}".endswith(f".{zone.name}")]
        return max(holding, key=lambda i: len(self.zones[i].name), default=None)

    def zone_key(self, index: int) -> str:
        """As it is written where there is but one."""
        return f"zone[{index}]" if len(self.zones) > 1 else "zone"
