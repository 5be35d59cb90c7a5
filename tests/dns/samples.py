"""One zone, and the packets that tests ask with."""

import struct

from dnslib import RDMAP, DNSBuffer

from edge.dns.zone import Rrset, ServiceRecord, StaticRecord, Zone

FILES = ServiceRecord("files.fs.corp.example", 0, ("10.0.1.10",), "a", 12)
DUAL = ServiceRecord("Deep.below.fs.corp.example.", 3, ("10.0.2.10", "fd00::2:10"), "b", 7)
WAITING = ServiceRecord("waiting.fs.corp.example", 0)
ZONE = Zone(
    name="fs.corp.example",
    nameservers={"ns1.fs.corp.example": ("10.10.0.53", "fd00::53"), "ns.elsewhere.example": ("192.0.2.1",)},
    contact="hostmaster.corp.example",
    serial=2**32 + 41,
    services=(FILES, DUAL, WAITING),
)
HOST = StaticRecord("host.fs.corp.example", "A", 300, ("10.0.9.9", "10.0.9.10"))


def labels(name: str) -> tuple[bytes, ...]:
    return tuple(name.encode().split(b".")) if name else ()


def shown(rrset: Rrset) -> tuple[str, ...]:
    """The rdata in presentation format, read by dnslib."""
    wires = [b"".join(question(name, 0)[:-4] for name in rdata.names) + rdata.rest for rdata in rrset.rdata]
    return tuple(str(RDMAP[rrset.qtype.name].parse(DNSBuffer(wire), len(wire))) for wire in wires)


def question(name: tuple[bytes, ...], qtype: int, qclass: int = 1) -> bytes:
    return b"".join(bytes([len(label)]) + label for label in name) + b"\0" + struct.pack("!HH", qtype, qclass)


def opt(size: int = 1232, flags: int = 0, version: int = 0, options: bytes = b"") -> bytes:
    return b"\0" + struct.pack("!HHBBHH", 41, size, 0, version, flags, len(options)) + options


def packet(name: str, qtype: int, *opts: bytes, flags: int = 0x0100, qclass: int = 1, ident: int = 4242) -> bytes:
    header = struct.pack("!HHHHHH", ident, flags, 1, 0, 0, len(opts))
    return header + question(labels(name), qtype, qclass) + b"".join(opts)


def option(code: int, data: bytes = b"") -> bytes:
    return struct.pack("!HH", code, len(data)) + data
