"""One zone, one below it and a reverse one, for edge as documents and for everybody else as master files."""

from collections.abc import Iterator
from ipaddress import ip_address

from edge.dns.zone import ServiceRecord, StaticRecord, Zone

APEX = "fs.corp.example"
FILES = f"files.{APEX}"
DUAL = f"deep.below.{APEX}"
HALF_WAY = f"below.{APEX}"  # an empty non-terminal
EVIDENCE = f"_edge.{FILES}"
MEDIUM = f"medium.{APEX}"  # more than 512 bytes, less than 1232
BIG = f"big.{APEX}"  # more than 1472 bytes, an Ethernet frame's worth
NS1 = f"ns1.{APEX}"
ABROAD = "ns.elsewhere.example"
MISSING = f"missing.{APEX}"
SERIAL = 41
NEGATIVE_TTL_S = 5
NS_TTL_S = 3600
FILES_ADDRESSES = ("10.0.1.10",)
DUAL_ADDRESSES = ("10.0.2.10", "fd00::2:10")
MEDIUM_ADDRESSES = tuple(f"10.1.0.{host}" for host in range(1, 41))
BIG_ADDRESSES = tuple(f"10.2.0.{host}" for host in range(1, 101))

HOST = f"host.{APEX}"  # static records from here on
ALIAS = f"alias.{APEX}"  # of a service
CHAIN = f"chain.{APEX}"  # of the alias
LOST = f"lost.{APEX}"  # an alias of a name that is not there
EXPORTED = f"exported.{APEX}"  # an alias of a name elsewhere
LENT = f"lent.{APEX}"  # an alias of a name in the zone below
SMB = f"_smb._tcp.{APEX}"
TEXT = f"text.{APEX}"
LONG = f"long.{APEX}"  # a text of more than 255 bytes
POINTER = f"pointer.{APEX}"
ODD = f"odd (name);.{APEX}"
ELSEWHERE = "www.elsewhere.example"
TEXTS = ("plain", 'say "hi"; back\\slash', "Größe €", "")
LONG_TEXT = "0123456789" * 60
TARGETS = (f"0 10 445 {FILES}", f"1 0 65535 {HOST}")
CHILD = f"child.{APEX}"
CHILD_HOST = f"entry.{CHILD}"
REVERSE = "0.10.in-addr.arpa"
REVERSE_FILES = ip_address(FILES_ADDRESSES[0]).reverse_pointer
REVERSE6 = "0.0.d.f.ip6.arpa"
REVERSE6_DUAL = ip_address(DUAL_ADDRESSES[1]).reverse_pointer
CONTACT = "hostmaster.corp.example"

RECORDS = (
    StaticRecord(HOST, "A", 300, ("10.0.9.9", "10.0.9.10")),
    StaticRecord(HOST, "AAAA", 300, ("fd00::9:9",)),
    StaticRecord(ALIAS, "CNAME", 60, (FILES,)),
    StaticRecord(CHAIN, "CNAME", 61, (ALIAS,)),
    StaticRecord(LOST, "CNAME", 62, (MISSING,)),
    StaticRecord(EXPORTED, "CNAME", 63, (ELSEWHERE,)),
    StaticRecord(LENT, "CNAME", 64, (CHILD_HOST,)),
    StaticRecord(SMB, "SRV", 120, TARGETS),
    StaticRecord(TEXT, "TXT", 300, TEXTS),
    StaticRecord(LONG, "TXT", 300, (LONG_TEXT,)),
    StaticRecord(POINTER, "PTR", 300, (HOST,)),
    StaticRecord(ODD, "A", 300, ("10.0.9.11",)),
)

ZONE = Zone(
    name=APEX,
    nameservers={NS1: ("10.10.0.53", "fd00::53"), ABROAD: ()},
    contact=CONTACT,
    serial=SERIAL,
    services=(
        ServiceRecord(FILES, 0, FILES_ADDRESSES, "a", 12),
        ServiceRecord(DUAL, 3, DUAL_ADDRESSES, "b", 7),
        ServiceRecord(MEDIUM, 5, MEDIUM_ADDRESSES, "a", 1),
        ServiceRecord(BIG, 5, BIG_ADDRESSES, "a", 1),
    ),
    negative_ttl_s=NEGATIVE_TTL_S,
    ns_ttl_s=NS_TTL_S,
    records=RECORDS,
)


def _beside(name: str, *records: StaticRecord) -> Zone:
    """Another of our zones, with nothing in it but static records."""
    return Zone(name, {NS1: (), ABROAD: ()}, CONTACT, SERIAL, (), NEGATIVE_TTL_S, NS_TTL_S, records)


ZONES = (
    ZONE,
    _beside(CHILD, StaticRecord(CHILD_HOST, "A", 300, ("10.0.9.12",))),
    _beside(REVERSE, StaticRecord(REVERSE_FILES, "PTR", 300, (FILES,))),
    _beside(REVERSE6, StaticRecord(REVERSE6_DUAL, "PTR", 300, (DUAL,))),
)


def master_file(zone: Zone = ZONE) -> str:
    return "\n".join(_lines(zone)) + "\n"


def _lines(zone: Zone) -> Iterator[str]:
    """The zone below is delegated by the one above, as everybody else wants it; edge knows that it has both."""
    yield f"{zone.name}. {NS_TTL_S} IN SOA {NS1}. {CONTACT}. {SERIAL} 3600 600 1209600 {NEGATIVE_TTL_S}"
    for host, addresses in zone.nameservers.items():
        yield f"{zone.name}. {NS_TTL_S} IN NS {host}."
        yield from _addresses(host, NS_TTL_S, addresses)
    for service in zone.services:
        yield from _addresses(service.name, service.ttl_s, service.addresses)
        yield f'_edge.{service.name}. 0 IN TXT "epoch={service.epoch} node={service.node}"'
    for record in zone.records:
        yield from (
            f"{_owner(record.name)} {record.ttl_s} IN {record.qtype} {_rdata(record, text)}" for text in record.rdata
        )
    yield from (f"{below.name}. {NS_TTL_S} IN NS {NS1}." for below in ZONES if below.name.endswith("." + zone.name))


def _addresses(owner: str, ttl_s: int, addresses: tuple[str, ...]) -> Iterator[str]:
    yield from (f"{owner}. {ttl_s} IN {'AAAA' if ':' in address else 'A'} {address}" for address in addresses)


def _owner(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "._-" else f"\\{ord(letter):03}" for letter in name) + "."


def _rdata(record: StaticRecord, text: str) -> str:
    if record.qtype == "TXT":
        strings = [text.encode()[start : start + 255] for start in range(0, max(1, len(text.encode())), 255)]
        return " ".join('"' + "".join(f"\\{byte:03}" for byte in string) + '"' for string in strings)
    return f"{text}." if record.qtype in {"CNAME", "PTR", "SRV"} else text
