"""The zone: what it holds, and what it says of a name and type. Pure.

A zone is small: SOA and NS at its apex, the nameservers' addresses, and for each service its addresses and a TXT
with the epoch.
`Zone` is the document that travels to the workers; `Tree` is the same compiled for look-ups.

    name                      not below the apex     -> OUTSIDE
    name                      not in the tree        -> NXDOMAIN   (nothing lies below it either, RFC 8020)
    name, type                in the tree            -> POSITIVE
    name of a service that has never had a node      -> SILENT     (forwarders keep negative answers)
    anything else, empty non-terminals (RFC 4592 section 2.2.2) among them -> NODATA
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from enum import Enum
from ipaddress import ip_address

from edge.dns.message import Name, Qtype

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
class Zone:
    """`nameservers`: name to addresses, the SOA's primary first. `contact` is a mailbox written as a DNS name."""

    name: str
    nameservers: Mapping[str, tuple[str, ...]]
    contact: str
    serial: int
    services: tuple[ServiceRecord, ...]
    negative_ttl_s: int = 5  # an AAAA that isn't there never changes at a switch; 5 s halves a forwarder's questions
    ns_ttl_s: int = 3600  # nameservers don't move at a switch

    def to_json(self) -> str:
        return json.dumps(asdict(replace(self, nameservers=dict(self.nameservers))))

    @classmethod
    def from_json(cls, text: str) -> "Zone":
        fields = json.loads(text)
        fields["nameservers"] = {name: tuple(found) for name, found in fields["nameservers"].items()}
        fields["services"] = tuple(
            ServiceRecord(**{**service, "addresses": tuple(service["addresses"])}) for service in fields["services"]
        )
        return cls(**fields)


@dataclass(frozen=True, slots=True)
class Rrset:
    """`rdata` in presentation format."""

    name: Name
    qtype: Qtype
    ttl_s: int
    rdata: tuple[str, ...]


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
    """A zone compiled for look-ups. Never changed once built. ValueError where the zone can't be right."""

    def __init__(self, zone: Zone) -> None:
        self.apex = parse_name(zone.name)
        self._check_owners(zone)
        self._nodes: dict[Name, dict[int, Rrset]] = {}
        self._silent = frozenset(_silent_names(zone))
        self._add(zone)
        self._glue = tuple(self._addresses_of(zone))
        self._denial = replace(_soa(zone), ttl_s=min(zone.ns_ttl_s, zone.negative_ttl_s))  # RFC 2308 section 3

    def names(self) -> Iterator[Name]:
        yield from self._nodes

    def find(self, name: Name, qtype: int) -> Found:
        if not self._holds(name):
            return Found(Outcome.OUTSIDE)
        rrsets = self._nodes.get(name)
        if rrsets is None:
            return Found(Outcome.NXDOMAIN, authority=(self._denial,))
        if (rrset := _pick(rrsets, qtype)) is not None:
            return Found(Outcome.POSITIVE, (rrset,), additional=self._glue if rrset.qtype is Qtype.NS else ())
        if name in self._silent:
            return Found(Outcome.SILENT)
        return Found(Outcome.NODATA, authority=(self._denial,))

    def _holds(self, name: Name) -> bool:
        return name[-len(self.apex) :] == self.apex

    def _check_owners(self, zone: Zone) -> None:
        if not zone.nameservers:
            raise ValueError(f"zone {zone.name}: no nameserver")
        services = [parse_name(service.name) for service in zone.services]
        if not all(map(self._holds, services)):
            raise ValueError(f"zone {zone.name}: a service's name lies outside it")
        owners = services + [parse_name(name) for name in zone.nameservers]
        if len(set(owners)) != len(owners):
            raise ValueError(f"zone {zone.name}: two services or nameservers have the same name")

    def _add(self, zone: Zone) -> None:
        for rrset in _rrsets(zone):
            if self._holds(rrset.name):  # a nameserver may lie in another zone: its addresses are that zone's
                self._nodes.setdefault(rrset.name, {})[rrset.qtype] = rrset
        for name in (*self._silent, *self._nodes):
            for depth in range(len(name) - len(self.apex)):
                self._nodes.setdefault(name[depth:], {})

    def _addresses_of(self, zone: Zone) -> Iterator[Rrset]:
        for nameserver in zone.nameservers:
            rrsets = self._nodes.get(parse_name(nameserver), {})
            yield from (rrset for qtype, rrset in rrsets.items() if qtype in {Qtype.A, Qtype.AAAA})


def _pick(rrsets: Mapping[int, Rrset], qtype: int) -> Rrset | None:
    """RFC 8482 section 4.1: ANY gets one of the RRsets."""
    return next(iter(rrsets.values()), None) if qtype == Qtype.ANY else rrsets.get(qtype)


def _rrsets(zone: Zone) -> Iterator[Rrset]:
    yield _soa(zone)
    hosts = tuple(_text(parse_name(name)) for name in zone.nameservers)
    yield Rrset(parse_name(zone.name), Qtype.NS, zone.ns_ttl_s, hosts)
    for name, addresses in zone.nameservers.items():
        yield from _addresses(parse_name(name), zone.ns_ttl_s, addresses)
    for service in zone.services:
        yield from _service(service)


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
