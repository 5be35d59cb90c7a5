"""The zone: what it holds, and what it says of a name and type. Pure.

A zone is small: SOA and NS at its apex, the nameservers' addresses, for each service its addresses and a TXT with
the epoch, and static records beside them.
`Zone` is the document that travels to the workers; `Tree` is the same compiled for look-ups.

    name                      not below the apex     -> OUTSIDE
    name                      not in the tree        -> NXDOMAIN   (nothing lies below it either, RFC 8020)
    name, type                in the tree            -> POSITIVE
    name of an alias          any other type         -> POSITIVE, the CNAME: who follows it is `edge.dns.site`
    name of a service that has never had a node      -> SILENT     (forwarders keep negative answers)
    anything else, empty non-terminals (RFC 4592 section 2.2.2) among them -> NODATA
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, ip_address

from edge.dns.message import IN, Name, Qtype

SOA_TIMERS_S = (
    3600,
    600,
    1209600,
)  # refresh, retry, expire: RIPE-203; nobody transfers this zone, checkers look at them
EPOCH_LABEL = "_edge"
NAME_MAX_BYTES = 255  # RFC 1035 section 3.1, in wire form


@dataclass(frozen=True, slots=True)
class ServiceRecord:
    """`addresses` is empty, `node` and `epoch` None while the service has never had an assignment."""

    name: str
    ttl_s: int
    addresses: tuple[str, ...] = ()
    node: str | None = None
    epoch: int | None = None


@dataclass(frozen=True, slots=True)
class StaticRecord:
    """Never changes at a switch. `qtype`: A, AAAA, CNAME, TXT, SRV or PTR; `rdata` in presentation format, a TXT's
    without quotes. The name is written in full, as every name here.
    """

    name: str
    qtype: str
    ttl_s: int
    rdata: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Zone:
    """`nameservers`: name to addresses, the SOA's primary first. `contact` is a mailbox written as a DNS name."""

    name: str
    nameservers: Mapping[str, tuple[str, ...]]
    contact: str
    serial: int
    services: tuple[ServiceRecord, ...]
    negative_ttl_s: int = 5  # an AAAA that isn't there never changes at a switch; 5 s halves a forwarder's questions
    ns_ttl_s: int = 3600  # nameservers don't move at a switch
    records: tuple[StaticRecord, ...] = ()

    def to_json(self) -> str:
        return json.dumps(asdict(replace(self, nameservers=dict(self.nameservers))))

    @classmethod
    def from_json(cls, text: str) -> "Zone":
        fields = json.loads(text)
        fields["nameservers"] = {name: tuple(found) for name, found in fields["nameservers"].items()}
        fields["services"] = tuple(
            ServiceRecord(**{**service, "addresses": tuple(service["addresses"])}) for service in fields["services"]
        )
        fields["records"] = tuple(
            StaticRecord(**{**record, "rdata": tuple(record["rdata"])}) for record in fields["records"]
        )
        return cls(**fields)


@dataclass(frozen=True, slots=True)
class Rrset:
    """`rdata` in presentation format."""

    name: Name
    qtype: Qtype
    ttl_s: int
    rdata: tuple[str, ...]
    rclass: int = IN


class Outcome(Enum):
    POSITIVE = "positive"
    NODATA = "nodata"
    NXDOMAIN = "nxdomain"
    OUTSIDE = "outside"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Found:
    outcome: Outcome
    answer: tuple[Rrset, ...] = ()
    authority: tuple[Rrset, ...] = ()
    additional: tuple[Rrset, ...] = ()


def parse_name(text: str) -> Name:
    """ValueError for what is no name; the final dot may be missing."""
    name = tuple(text.lower().removesuffix(".").encode("ascii").split(b"."))
    if not all(0 < len(label) <= 63 for label in name):
        raise ValueError(f"{text!r}: each label of a name has 1 to 63 characters")
    if sum(len(label) + 1 for label in name) + 1 > NAME_MAX_BYTES:
        raise ValueError(f"{text!r}: longer than {NAME_MAX_BYTES} bytes")
    return name


class Tree:
    """A zone compiled for look-ups. Never changed once built. ValueError where the zone can't be right.

    `inner`: the apexes of our zones below this one. They exist here too, with nothing to say about them but that.
    """

    def __init__(self, zone: Zone, inner: tuple[Name, ...] = ()) -> None:
        self.apex = parse_name(zone.name)
        self._inner = inner
        self._check_owners(zone)
        self._nodes: dict[Name, dict[int, Rrset]] = {}
        self._silent = frozenset(_silent_names(zone))
        self._add(zone)
        self._glue = tuple(self._addresses_of(zone))
        self._denial = replace(_soa(zone), ttl_s=min(zone.ns_ttl_s, zone.negative_ttl_s))  # RFC 2308 section 3

    def names(self) -> Iterator[Name]:
        yield from self._nodes

    def holds(self, name: Name) -> bool:
        return name[-len(self.apex) :] == self.apex

    def find(self, name: Name, qtype: int) -> Found:
        if not self.holds(name):
            return Found(Outcome.OUTSIDE)
        rrsets = self._nodes.get(name)
        if rrsets is None:
            return Found(Outcome.NXDOMAIN, authority=(self._denial,))
        if (rrset := _pick(rrsets, qtype)) is not None:
            return Found(Outcome.POSITIVE, (rrset,), additional=self._glue if rrset.qtype is Qtype.NS else ())
        if name in self._silent:
            return Found(Outcome.SILENT)
        return Found(Outcome.NODATA, authority=(self._denial,))

    def _check_owners(self, zone: Zone) -> None:
        if not zone.nameservers:
            raise ValueError(f"zone {zone.name}: no nameserver")
        services = [parse_name(service.name) for service in zone.services]
        if not all(map(self.holds, services)):
            raise ValueError(f"zone {zone.name}: a service's name lies outside it")
        owners = services + [parse_name(name) for name in zone.nameservers]
        if len(set(owners)) != len(owners):
            raise ValueError(f"zone {zone.name}: two services or nameservers have the same name")
        for record in zone.records:
            self._check_record(zone, record, frozenset(owners))

    def _check_record(self, zone: Zone, record: StaticRecord, owners: frozenset[Name]) -> None:
        """A service's or nameserver's name is its own: nothing static may hide what happens to it."""
        name = parse_name(record.name)
        if not self.holds(name) or any(name[-len(apex) :] == apex for apex in self._inner):
            raise ValueError(f"zone {zone.name}: the record {record.name} {record.qtype} belongs to another zone")
        if name in owners | {(EPOCH_LABEL.encode(), *owner) for owner in owners}:
            raise ValueError(f"zone {zone.name}: {record.name} is a service's or a nameserver's")
        if b"*" in name:
            raise ValueError(f"zone {zone.name}: {record.name}: no wildcards (RFC 4592): write each name")
        if record.qtype == "CNAME" and (name == self.apex or len(record.rdata) != 1):
            raise ValueError(f"zone {zone.name}: {record.name}: a CNAME is single, and never at the apex")

    def _add(self, zone: Zone) -> None:
        for rrset in _rrsets(zone):
            if self.holds(rrset.name):  # a nameserver may lie in another zone: its addresses are that zone's
                self._add_rrset(rrset)
        for name in (*self._silent, *self._inner, *self._nodes):
            for depth in range(len(name) - len(self.apex)):
                self._nodes.setdefault(name[depth:], {})

    def _add_rrset(self, rrset: Rrset) -> None:
        node = self._nodes.setdefault(rrset.name, {})
        if node and Qtype.CNAME in {rrset.qtype, *node}:  # RFC 2181 section 10.1
            raise ValueError(f"{_text(rrset.name)}: a CNAME stands alone")
        if rrset.qtype in node:
            raise ValueError(f"{_text(rrset.name)} {rrset.qtype.name}: written twice")
        node[rrset.qtype] = rrset

    def _addresses_of(self, zone: Zone) -> Iterator[Rrset]:
        for nameserver in zone.nameservers:
            rrsets = self._nodes.get(parse_name(nameserver), {})
            yield from (rrset for qtype, rrset in rrsets.items() if qtype in {Qtype.A, Qtype.AAAA})


def _pick(rrsets: Mapping[int, Rrset], qtype: int) -> Rrset | None:
    """RFC 8482 section 4.1: ANY gets one of the RRsets. RFC 1034 section 3.6.2: an alias has one for every type."""
    if qtype == Qtype.ANY:
        return next(iter(rrsets.values()), None)
    return rrsets.get(qtype) or rrsets.get(Qtype.CNAME)


def _rrsets(zone: Zone) -> Iterator[Rrset]:
    yield _soa(zone)
    hosts = tuple(_text(parse_name(name)) for name in zone.nameservers)
    yield Rrset(parse_name(zone.name), Qtype.NS, zone.ns_ttl_s, hosts)
    for name, addresses in zone.nameservers.items():
        yield from _addresses(parse_name(name), zone.ns_ttl_s, addresses)
    for service in zone.services:
        yield from _service(service)
    for record in zone.records:
        yield _static(record)


def _static(record: StaticRecord) -> Rrset:
    if (normal := STATIC.get(record.qtype)) is None:
        raise ValueError(f"{record.name}: {record.qtype} is none of {', '.join(STATIC)}")
    if not record.rdata:
        raise ValueError(f"{record.name} {record.qtype}: no data")
    rdata = tuple(map(normal, record.rdata))
    if len(set(rdata)) != len(rdata):  # RFC 2181 section 5
        raise ValueError(f"{record.name} {record.qtype}: the same data twice")
    return Rrset(parse_name(record.name), Qtype[record.qtype], record.ttl_s, rdata)


def _srv(text: str) -> str:
    """RFC 2782: priority, weight, port, target, which may be the root."""
    *numbers, target = text.split()
    if len(numbers) != 3 or not all(number.isdecimal() and int(number) < 2**16 for number in numbers):
        raise ValueError(f"{text!r}: an SRV has priority, weight, port and target")
    return " ".join((*numbers, target if target == "." else _host(target)))


def _host(text: str) -> str:
    return _text(parse_name(text))


STATIC: Mapping[str, Callable[[str], str]] = {
    "A": lambda text: str(IPv4Address(text)),
    "AAAA": lambda text: str(IPv6Address(text)),
    "CNAME": _host,
    "TXT": str,
    "SRV": _srv,
    "PTR": _host,
}


def _soa(zone: Zone) -> Rrset:
    primary = _text(parse_name(next(iter(zone.nameservers))))
    numbers = (zone.serial % 2**32, *SOA_TIMERS_S, zone.negative_ttl_s)
    rdata = " ".join((primary, _text(parse_name(zone.contact)), *map(str, numbers)))
    return Rrset(parse_name(zone.name), Qtype.SOA, zone.ns_ttl_s, (rdata,))


def _service(service: ServiceRecord) -> Iterator[Rrset]:
    yield from _addresses(parse_name(service.name), service.ttl_s, service.addresses)
    if service.addresses:
        evidence = f"epoch={service.epoch} node={service.node}"
        yield Rrset(parse_name(f"{EPOCH_LABEL}.{service.name}"), Qtype.TXT, 0, (evidence,))


def _addresses(name: Name, ttl_s: int, addresses: tuple[str, ...]) -> Iterator[Rrset]:
    for qtype, version in ((Qtype.A, 4), (Qtype.AAAA, 6)):
        if rdata := tuple(address for address in addresses if ip_address(address).version == version):
            yield Rrset(name, qtype, ttl_s, rdata)


def _silent_names(zone: Zone) -> Iterator[Name]:
    for service in zone.services:
        if not service.addresses:
            yield parse_name(service.name)
            yield parse_name(f"{EPOCH_LABEL}.{service.name}")


def _text(name: Name) -> str:
    return b".".join(name).decode() + "."
