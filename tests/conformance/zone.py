"""One zone, for edge as its document and for everybody else as a master file."""

from edge.dns.zone import ServiceRecord, Zone

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

ZONE = Zone(
    name=APEX,
    nameservers={NS1: ("10.10.0.53", "fd00::53"), ABROAD: ()},
    contact="hostmaster.corp.example",
    serial=SERIAL,
    services=(
        ServiceRecord(FILES, 0, FILES_ADDRESSES, "a", 12),
        ServiceRecord(DUAL, 3, DUAL_ADDRESSES, "b", 7),
        ServiceRecord(MEDIUM, 5, MEDIUM_ADDRESSES, "a", 1),
        ServiceRecord(BIG, 5, BIG_ADDRESSES, "a", 1),
    ),
    negative_ttl_s=NEGATIVE_TTL_S,
    ns_ttl_s=NS_TTL_S,
)


def master_file() -> str:
    primary = f"{NS_TTL_S} IN SOA {NS1}. hostmaster.corp.example. {SERIAL} 3600 600 1209600 {NEGATIVE_TTL_S}"
    lines = [f"{APEX}. {primary}"]
    for host, addresses in ZONE.nameservers.items():
        lines += [f"{APEX}. {NS_TTL_S} IN NS {host}.", *_addresses(host, NS_TTL_S, addresses)]
    for service in ZONE.services:
        evidence = f'_edge.{service.name}. 0 IN TXT "epoch={service.epoch} node={service.node}"'
        lines += [*_addresses(service.name, service.ttl_s, service.addresses), evidence]
    return "\n".join(lines) + "\n"


def _addresses(owner: str, ttl_s: int, addresses: tuple[str, ...]) -> list[str]:
    return [f"{owner}. {ttl_s} IN {'AAAA' if ':' in address else 'A'} {address}" for address in addresses]
