"""A question to a DNS server, as a client asks it: for views, which want to know what others are told."""

import socket
from dataclasses import dataclass

import dnslib

from edge.errors import WorldError

_MAX_BYTES = 4096


class NotAnsweredError(WorldError):
    """No answer, or none that can be read, within the time."""


@dataclass(frozen=True, slots=True)
class Told:
    """`values`: the rdata of the type that was asked, in presentation format; `ttl_s` the lowest of their TTLs."""

    rcode: str
    values: tuple[str, ...]
    ttl_s: int | None


def ask(server: tuple[str, int], name: str, kind: str, timeout_s: float, *, recursive: bool = True) -> Told:
    """Blocks. Raises NotAnsweredError. A forwarder has to be asked for recursion (RFC 1035 4.1.1: RD)."""
    question = dnslib.DNSRecord.question(name, kind)
    question.header.rd = int(recursive)
    family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asking:
            asking.settimeout(timeout_s)
            asking.connect(server)
            asking.send(question.pack())
            answer = dnslib.DNSRecord.parse(asking.recv(_MAX_BYTES))
    except (OSError, dnslib.DNSError, IndexError, UnicodeDecodeError) as error:
        raise NotAnsweredError(f"{server[0]} port {server[1]} does not answer for {name}: {error}") from error
    if answer.header.id != question.header.id:
        raise NotAnsweredError(f"{server[0]} port {server[1]} answers another question than that for {name}")
    if answer.header.tc or answer.header.rcode not in (dnslib.RCODE.NOERROR, dnslib.RCODE.NXDOMAIN):
        said = "truncated" if answer.header.tc else dnslib.RCODE.get(answer.header.rcode)
        raise NotAnsweredError(f"{server[0]} port {server[1]} does not tell {name}: {said}")
    own = [record for record in answer.rr if record.rtype == getattr(dnslib.QTYPE, kind)]
    rcode = dnslib.RCODE.get(answer.header.rcode)
    return Told(rcode, tuple(str(record.rdata) for record in own), min((record.ttl for record in own), default=None))
