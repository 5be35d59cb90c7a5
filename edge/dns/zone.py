"""The zone: what it holds, and what it says of a name and type. Pure.

A zone is small: SOA and NS at its apex, the nameservers' addresses, for each service its addresses and a TXT with
the epoch, and static records beside them.
`Zone` is the document that travels to the workers; `Tree` is the same compiled for look-ups, its data in wire form. It
stands on a `Ground`, what no switch changes of a zone, and so the next one may stand on the same.

    name                      not below the apex     -> OUTSIDE
    name                      not in the tree        -> NXDOMAIN   (nothing lies below it either, RFC 8020)
    name, type                in the tree            -> POSITIVE
    name of an alias          any other type         -> POSITIVE, the CNAME: who follows it is `edge.dns.site`
    name of a service that has never had a node      -> SILENT     (forwarders keep negative answers)
    anything else, empty non-terminals (RFC 4592 section 2.2.2) among them -> NODATA
"""

import json
import struct
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass
from enum import Enum
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, NamedTuple

from edge.dns.message import IN, LABEL_MAX_BYTES, NAME_MAX_BYTES, Name, Qtype, spelled

SOA_TIMERS_S = (
    3600,
    600,
    1209600,
)  # refresh, retry, expire: RIPE-203; nobody transfers this zone, checkers look at them
SOA_NUMBERS = struct.Struct("!5I")  # RFC 1035 section 3.3.13: serial, refresh, retry, expire, minimum
SRV_NUMBERS = struct.Struct("!3H")  # RFC 2782: priority, weight, port
TEXT_MAX_BYTES = 255  # RFC 1035 section 3.3: of one string of a TXT
RDATA_MAX_BYTES = 65535  # RFC 1035 section 3.2.1: its length has two bytes
EPOCH_LABEL = "_edge"
BITE_RRSETS = BITE_SERVICES = 8
REMEMBERED = 4096  # names and records, compiled for the next order, which has nearly all of them again
SERVICES_REMEMBERED = 512  # as they were at the last switches: 1 MB
ZONES_REMEMBERED = 32  # an order has 200 kB at most, so after many reloads these have 6 MB
LASTING = ("name", "nameservers", "contact", "negative_ttl_s", "ns_ttl_s", "records")  # of a `Zone`, whatever moves


@dataclass(frozen=True, slots=True)
class ServiceRecord:
    """`addresses` is empty, `node` and `epoch` None while the service has never had an assignment. `round`: how many
    times the agents moved it since, without the store.
    """

    name: str
    ttl_s: int
    addresses: tuple[str, ...] = ()
    node: str | None = None
    epoch: int | None = None
    round: int = 0


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

    def lasting(self) -> tuple[object, ...]:
        """All that no switch changes."""
        return tuple(service.name for service in self.services), *(getattr(self, field) for field in LASTING)

    def lines(self) -> list[str]:
        """As JSON: what lasts, the serial, and a service in each line more."""
        lasting = {field: getattr(self, field) for field in LASTING}
        lasting |= {"nameservers": dict(self.nameservers), "records": tuple(map(astuple, self.records))}
        return [json.dumps(lasting), json.dumps(self.serial), *(json.dumps(astuple(each)) for each in self.services)]

    @classmethod
    def reading(cls, lines: Iterable[bytes]) -> Generator[None, None, "Zone"]:
        lasting, serial, *moving = lines
        fields, services = _lasting(lasting), list[ServiceRecord]()
        for start in range(0, len(moving), BITE_SERVICES):
            yield
            services += map(_service_record, moving[start : start + BITE_SERVICES])
        yield
        return cls(**fields, serial=int(serial), services=tuple(services))


@lru_cache(ZONES_REMEMBERED)
def _lasting(line: bytes) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(line)
    nameservers = {name: tuple(found) for name, found in fields["nameservers"].items()}
    records = (StaticRecord(name, qtype, ttl_s, tuple(rdata)) for name, qtype, ttl_s, rdata in fields["records"])
    return {**fields, "nameservers": nameservers, "records": tuple(records)}


@lru_cache(SERVICES_REMEMBERED)
def _service_record(line: bytes) -> ServiceRecord:
    name, ttl_s, addresses, *assigned = json.loads(line)
    return ServiceRecord(name, ttl_s, tuple(addresses), *assigned)


class Rdata(NamedTuple):
    """`names` stand first and may be compressed: those of the types of RFC 1035 and no others (RFC 3597 section 4).
    `rest`: bytes that stay as they are.
    """

    names: tuple[Name, ...]
    rest: bytes


class Rrset(NamedTuple):
    name: Name
    qtype: Qtype
    ttl_s: int
    rdata: tuple[Rdata, ...]
    rclass: int = IN


class Outcome(Enum):
    POSITIVE = "positive"
    NODATA = "nodata"
    NXDOMAIN = "nxdomain"
    OUTSIDE = "outside"
    SILENT = "silent"


class Found(NamedTuple):
    outcome: Outcome
    answer: tuple[Rrset, ...] = ()
    authority: tuple[Rrset, ...] = ()
    additional: tuple[Rrset, ...] = ()


@lru_cache(REMEMBERED)
def parse_name(text: str) -> Name:
    """ValueError for what is no name; the final dot may be missing."""
    name = tuple(text.lower().removesuffix(".").encode("ascii").split(b"."))
    if not all(name) or max(map(len, name)) > LABEL_MAX_BYTES:
        raise ValueError(f"{text!r}: each label of a name has 1 to 63 characters")
    if len(spelled(name)) + 1 > NAME_MAX_BYTES:
        raise ValueError(f"{text!r}: longer than {NAME_MAX_BYTES} bytes")
    return name


class Ground:
    """What no switch changes of a zone, compiled: its static data, and which names there are. Never changed once built.
    ValueError where the zone can't be right.

    `inner`: the apexes of our zones below this one. They exist here too, with nothing to say about them but that.
    """

    @classmethod
    def in_bites(cls, zone: Zone, inner: tuple[Name, ...]) -> Generator[None, None, "Ground"]:
        ground = cls.__new__(cls)
        yield from ground.building(zone, inner)
        return ground

    def building(self, zone: Zone, inner: tuple[Name, ...]) -> Iterator[None]:
        self.apex = parse_name(zone.name)
        self._inner = inner
        self._check_owners(zone)
        yield
        self.nodes: dict[Name, dict[int, Rrset]] = {}
        yield from self._adding(zone)
        self.glue = tuple(self._addresses_of(zone))

    def holds(self, name: Name) -> bool:
        return name[-len(self.apex) :] == self.apex

    def _check_owners(self, zone: Zone) -> None:
        if not zone.nameservers:
            raise ValueError(f"zone {zone.name}: no nameserver")
        services = [parse_name(service.name) for service in zone.services]
        if not all(map(self.holds, services)):
            raise ValueError(f"zone {zone.name}: a service's name lies outside it")
        owners = services + [parse_name(name) for name in zone.nameservers]
        if len(set(owners)) != len(owners):
            raise ValueError(f"zone {zone.name}: two services or nameservers have the same name")
        taken = frozenset((*owners, *((EPOCH_LABEL.encode(), *owner) for owner in owners)))
        for record in zone.records:
            self._check_record(zone, record, taken)

    def _check_record(self, zone: Zone, record: StaticRecord, taken: frozenset[Name]) -> None:
        """A service's or nameserver's name is its own: nothing static may hide what happens to it."""
        name = parse_name(record.name)
        if not self.holds(name) or any(name[-len(apex) :] == apex for apex in self._inner):
            raise ValueError(f"zone {zone.name}: the record {record.name} {record.qtype} belongs to another zone")
        if name in taken:
            raise ValueError(f"zone {zone.name}: {record.name} is a service's or a nameserver's")
        if b"*" in name:
            raise ValueError(f"zone {zone.name}: {record.name}: no wildcards (RFC 4592): write each name")
        if record.qtype == "CNAME" and (name == self.apex or len(record.rdata) != 1):
            raise ValueError(f"zone {zone.name}: {record.name}: a CNAME is single, and never at the apex")

    def _adding(self, zone: Zone) -> Iterator[None]:
        for number, rrset in enumerate(_lasting_rrsets(zone)):
            if self.holds(rrset.name):  # a nameserver may lie in another zone: its addresses are that zone's
                self._add_rrset(rrset)
            if number % BITE_RRSETS == 0:
                yield
        for name in (*_moving_names(zone.services), *self._inner, *self.nodes):
            for depth in range(len(name) - len(self.apex)):
                self.nodes.setdefault(name[depth:], {})

    def _add_rrset(self, rrset: Rrset) -> None:
        node = self.nodes.setdefault(rrset.name, {})
        if node and Qtype.CNAME in {rrset.qtype, *node}:  # RFC 2181 section 10.1
            raise ValueError(f"{_text(rrset.name)}: a CNAME stands alone")
        if rrset.qtype in node:
            raise ValueError(f"{_text(rrset.name)} {rrset.qtype.name}: written twice")
        node[rrset.qtype] = rrset

    def _addresses_of(self, zone: Zone) -> Iterator[Rrset]:
        for nameserver in zone.nameservers:
            rrsets = self.nodes.get(parse_name(nameserver), {})
            yield from (rrset for qtype, rrset in rrsets.items() if qtype in {Qtype.A, Qtype.AAAA})


class Tree:
    """A zone compiled for look-ups: what a switch changes, over its ground. Never changed once built. ValueError where
    the zone can't be right.
    """

    @classmethod
    def in_bites(cls, ground: Ground, zone: Zone) -> Generator[None, None, "Tree"]:
        tree = cls.__new__(cls)
        yield from tree.building(ground, zone)
        return tree

    def building(self, ground: Ground, zone: Zone) -> Iterator[None]:
        """`ground`: of this zone, or of one where the same lasts."""
        self._ground = ground
        self._silent = frozenset(_moving_names(service for service in zone.services if not service.addresses))
        soa = _soa(zone)
        self._moving = {ground.apex: {Qtype.SOA: soa, **ground.nodes[ground.apex]}}
        for number, service in enumerate(zone.services):
            if number % BITE_SERVICES == 0:
                yield
            for rrset in _service(service):
                self._moving.setdefault(rrset.name, {**ground.nodes[rrset.name]})[rrset.qtype] = rrset
        yield
        denial = soa._replace(ttl_s=min(zone.ns_ttl_s, zone.negative_ttl_s))  # RFC 2308 section 3
        self._nxdomain = Found(Outcome.NXDOMAIN, authority=(denial,))
        self._nodata = Found(Outcome.NODATA, authority=(denial,))

    def names(self) -> Iterator[Name]:
        yield from self._ground.nodes

    def aliases(self) -> Iterator[Name]:
        return (name for name, rrsets in self._ground.nodes.items() if Qtype.CNAME in rrsets)

    def find(self, name: Name, qtype: int) -> Found:
        rrsets = self._moving.get(name) or self._ground.nodes.get(name)
        if rrsets is None:
            return self._nxdomain if self._ground.holds(name) else Found(Outcome.OUTSIDE)
        if (rrset := _pick(rrsets, qtype)) is not None:
            return Found(Outcome.POSITIVE, (rrset,), additional=self._ground.glue if rrset.qtype is Qtype.NS else ())
        if name in self._silent:
            return Found(Outcome.SILENT)
        return self._nodata


def _pick(rrsets: Mapping[int, Rrset], qtype: int) -> Rrset | None:
    """RFC 8482 section 4.1: ANY gets one of the RRsets. RFC 1034 section 3.6.2: an alias has one for every type."""
    if qtype == Qtype.ANY:
        return next(iter(rrsets.values()), None)
    return rrsets.get(qtype) or rrsets.get(Qtype.CNAME)


def _lasting_rrsets(zone: Zone) -> Iterator[Rrset]:
    yield Rrset(parse_name(zone.name), Qtype.NS, zone.ns_ttl_s, tuple(map(_host, zone.nameservers)))
    for name, addresses in zone.nameservers.items():
        yield from _addresses(parse_name(name), zone.ns_ttl_s, addresses)
    for record in zone.records:
        yield _static(record)


@lru_cache(REMEMBERED)
def _static(record: StaticRecord) -> Rrset:
    if (packed := STATIC.get(record.qtype)) is None:
        raise ValueError(f"{record.name}: {record.qtype} is none of {', '.join(STATIC)}")
    if not record.rdata:
        raise ValueError(f"{record.name} {record.qtype}: no data")
    rdata = tuple(map(packed, record.rdata))
    if len(set(rdata)) != len(rdata):  # RFC 2181 section 5
        raise ValueError(f"{record.name} {record.qtype}: the same data twice")
    return Rrset(parse_name(record.name), Qtype[record.qtype], record.ttl_s, rdata)


def _srv(text: str) -> Rdata:
    """RFC 2782: priority, weight, port, target, which may be the root and is never compressed."""
    *numbers, target = text.split()
    if len(numbers) != 3 or not all(number.isdecimal() and int(number) < 2**16 for number in numbers):
        raise ValueError(f"{text!r}: an SRV has priority, weight, port and target")
    labels = () if target == "." else parse_name(target)
    return Rdata((), SRV_NUMBERS.pack(*map(int, numbers)) + spelled(labels) + b"\0")


def _host(text: str) -> Rdata:
    return Rdata((parse_name(text),), b"")


def text_rdata(text: str) -> Rdata:
    """In as many strings as it needs, and one at least."""
    encoded = text.encode()
    starts = range(0, max(1, len(encoded)), TEXT_MAX_BYTES)
    strings = (encoded[start : start + TEXT_MAX_BYTES] for start in starts)
    rest = b"".join(bytes((len(string),)) + string for string in strings)
    if len(rest) > RDATA_MAX_BYTES:
        raise ValueError(f"a TXT of {len(rest)} bytes, more than {RDATA_MAX_BYTES}")
    return Rdata((), rest)


STATIC: Mapping[str, Callable[[str], Rdata]] = {
    "A": lambda text: Rdata((), IPv4Address(text).packed),
    "AAAA": lambda text: Rdata((), IPv6Address(text).packed),
    "CNAME": _host,
    "TXT": text_rdata,
    "SRV": _srv,
    "PTR": _host,
}


def _soa(zone: Zone) -> Rrset:
    names = parse_name(next(iter(zone.nameservers))), parse_name(zone.contact)
    numbers = SOA_NUMBERS.pack(zone.serial % 2**32, *SOA_TIMERS_S, zone.negative_ttl_s)
    return Rrset(parse_name(zone.name), Qtype.SOA, zone.ns_ttl_s, (Rdata(names, numbers),))


@lru_cache(SERVICES_REMEMBERED)
def _service(service: ServiceRecord) -> tuple[Rrset, ...]:
    if not service.addresses:
        return ()
    moved = f" round={service.round}" if service.round else ""
    evidence = f"epoch={service.epoch} node={service.node}{moved}"
    told = Rrset(parse_name(f"{EPOCH_LABEL}.{service.name}"), Qtype.TXT, 0, (text_rdata(evidence),))
    return (*_addresses(parse_name(service.name), service.ttl_s, service.addresses), told)


def _addresses(name: Name, ttl_s: int, addresses: tuple[str, ...]) -> Iterator[Rrset]:
    packed = [_packed(address) for address in addresses]
    for qtype, bytes_ in ((Qtype.A, 4), (Qtype.AAAA, 16)):
        if rdata := tuple(Rdata((), each) for each in packed if len(each) == bytes_):
            yield Rrset(name, qtype, ttl_s, rdata)


@lru_cache(REMEMBERED)
def _packed(address: str) -> bytes:
    return ip_address(address).packed


def _moving_names(services: Iterable[ServiceRecord]) -> Iterator[Name]:
    for service in services:
        yield parse_name(service.name)
        yield parse_name(f"{EPOCH_LABEL}.{service.name}")


def _text(name: Name) -> str:
    return b".".join(name).decode() + "."
