"""What one value may be: durations, addresses, names, prefixes, and the words that a key takes."""

import re
from collections.abc import Collection, Iterable
from datetime import time
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    StrictInt,
    StrictStr,
)

from edge.durations import parse_duration


class Deny(StrEnum):
    DROP = "drop"
    REFUSE = "refuse"


class Role(StrEnum):
    """What an agent is to the others: one that may lead, or one that only observes and answers."""

    CANDIDATE = "candidate"
    WITNESS = "witness"


class StoreKind(StrEnum):
    SQLITE = "sqlite"
    DYNAMODB = "dynamodb"


class ProbeKind(StrEnum):
    TCP = "tcp"
    SMB = "smb"


class RecordType(StrEnum):
    A = "A"
    AAAA = "AAAA"
    CNAME = "CNAME"
    TXT = "TXT"
    SRV = "SRV"
    PTR = "PTR"


class FenceKind(StrEnum):
    NONE = "none"
    UNASSIGN = "unassign"
    ISOLATE = "isolate"
    STOP = "stop"
    GUEST = "guest"


class GuestOs(StrEnum):
    """The nodes' operating system."""

    LINUX = "linux"
    WINDOWS = "windows"


class Topology(StrEnum):
    """How clients reach an address outside the VPC's range."""

    TRANSIT_GATEWAY = "transit_gateway"
    VPC_ONLY = "vpc_only"


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


class OnStoreLoss(StrEnum):
    """What the agents do while the store that they share can't be reached."""

    HOLD = "hold"
    UNANIMOUS = "unanimous"


# Words of the interface that this version does not have yet: refused by name, not as a typing mistake.
LATER = frozenset({"nfs", "http", "icmp", "command"})


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
_UNDERSCORED = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?")  # RFC 8552
_NAME_LIMIT = 253 - len("_edge.")  # RFC 1035 2.3.4, less the label under which a service's epoch is published


def _name(text: object) -> str:
    """Lower case, without the final dot: the form of labels in metrics and of names in status."""
    return _spelled(text, _LABEL)


def _spelled(text: object, label: re.Pattern[str]) -> str:
    name = text.lower().removesuffix(".") if isinstance(text, str) else ""
    labels = name.split(".")
    if len(name) > _NAME_LIMIT or not all(map(label.fullmatch, labels)) or labels[-1].isdecimal():  # RFC 3696 2
        raise ValueError('expected a DNS name, such as "files.fs.corp.example" (letters, digits, "-")')
    return name


def zone_name(text: object) -> str:
    """A prefix stands for its reverse zone."""
    return _reverse_zone(_prefix(text)) if isinstance(text, str) and "/" in text else _name(text)


def _reverse_zone(prefix: IPv4Network | IPv6Network) -> str:
    """RFC 1035 3.5: an octet a label; RFC 3596 2.5: four bits."""
    step, ends = (8, "at an octet: /8, /16, /24, /32") if prefix.version == 4 else (4, "at four bits: /32, /48, /64")
    if prefix.prefixlen == 0 or prefix.prefixlen % step:
        raise ValueError(f"a reverse zone ends {ends}")
    host_labels = (prefix.max_prefixlen - prefix.prefixlen) // step
    return prefix.network_address.reverse_pointer.split(".", host_labels)[-1]


def owner_name(text: object) -> str:
    """A record's: a name, perhaps with labels like `_smb`, or an address, which stands for its reverse name."""
    try:
        return ip_address(_address(text)).reverse_pointer
    except ValueError:
        return target_name(text)


def target_name(text: object) -> str:
    return _spelled(text, _UNDERSCORED)


def rname_of(text: object) -> str:
    """A mailbox as the SOA record writes it (RFC 1035 3.3.13): the first dot stands for the `@`."""
    local, at, domain = text.partition("@") if isinstance(text, str) else ("", "", "")
    if at and "." in local:
        raise ValueError("a SOA record cannot show a dot before the @; use another mailbox")
    return _name(f"{local}.{domain}" if at else text)


def time_of_day(text: object) -> time:
    if not isinstance(text, str) or not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", text):
        raise ValueError('expected a time of day, such as "22:00"')
    return time.fromisoformat(text)


def timezone_of(text: object) -> ZoneInfo:
    try:
        return ZoneInfo(str(text))
    except (OSError, ValueError, KeyError):  # ZoneInfoNotFoundError is a KeyError; a folder's name an OSError
        raise ValueError('expected a zone of the tz database, such as "Asia/Tokyo"') from None


def socket_path(path: Path) -> Path:
    if len(str(path).encode()) > 107:  # unix(7): sun_path holds 108 bytes with the final zero
        raise ValueError("a Unix socket's path has at most 107 bytes")
    return path


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError('expected a URL, such as "https://vpce-0123.ec2.ap-northeast-1.vpce.amazonaws.com"')
    return text


def several(value: object) -> object:
    """One alone may be written without brackets."""
    return value if isinstance(value, list) else [value]


def some(items: Collection[Any]) -> Collection[Any]:
    if not items:
        raise ValueError("expected at least one")
    return items


def _addresses(value: object) -> tuple[str, ...]:
    addresses = tuple(map(_host, value if isinstance(value, list) else [value]))
    if not addresses or len(families(addresses)) != len(addresses):
        raise ValueError("expected one address, or one IPv4 and one IPv6 address")
    return addresses


def _data(value: object) -> tuple[str, ...]:
    data = tuple(value if isinstance(value, list) else [value])
    if not 0 < len(data) <= _DATA_MAX or not all(isinstance(text, str) and _DATUM.fullmatch(text) for text in data):
        raise ValueError(f"expected a string of 1 to 500 ASCII characters, or a list of 1 to {_DATA_MAX} of them")
    return data


def _host_prefix(text: object) -> str:
    """One IPv4 address as a route's destination."""
    address, _, bits = text.partition("/") if isinstance(text, str) else ("", "", "")
    if bits != "32" or ":" in address:
        raise ValueError('expected one IPv4 address as a prefix, such as "172.31.255.10/32"')
    return f"{_host(address)}/32"


def families(addresses: Iterable[str]) -> frozenset[int]:
    return frozenset(ip_address(address).version for address in addresses)


_DATA_MAX = 64  # with 500 characters each they fit an answer over TCP, whatever stands beside them
_DATUM = re.compile(r"[ -~]{1,500}")

Duration = Annotated[float, BeforeValidator(parse_duration), Field(gt=0)]
Ttl = Annotated[int, BeforeValidator(_whole_seconds), Field(le=86400)]
Count = Annotated[StrictInt, Field(ge=1, le=1000)]
Port = Annotated[StrictInt, Field(ge=1, le=65535)]
Address = Annotated[str, BeforeValidator(_host)]
Addresses = Annotated[tuple[str, ...], PlainValidator(_addresses)]
Socket = Annotated[Endpoint, PlainValidator(_endpoint)]
HostPrefix = Annotated[str, BeforeValidator(_host_prefix)]
Prefix = Annotated[IPv4Network | IPv6Network, PlainValidator(_prefix)]
Name = Annotated[str, BeforeValidator(_name)]
ZoneName = Annotated[str, BeforeValidator(zone_name)]
OwnerName = Annotated[str, BeforeValidator(owner_name)]
RecordData = Annotated[tuple[str, ...], PlainValidator(_data)]
# A word goes into metric labels and TXT records as it stands.
Word = Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$")]
Url = Annotated[StrictStr, AfterValidator(_url)]
