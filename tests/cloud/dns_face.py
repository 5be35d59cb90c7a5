"""What a client inside the VPC is told: a resolver that knows the zones as they have propagated.

"If there's a matching private hosted zone but there's no record that matches the domain name and type in the
request, Resolver doesn't forward the request to a public DNS resolver." (Route 53 developer guide,
Considerations when working with a private hosted zone.) So a name that is not there is NXDOMAIN, and one that
has other types only is NODATA, each with the zone's SOA (RFC 2308 section 2).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from itertools import count

from dnslib import QTYPE, RCODE, RR, DNSHeader, DNSRecord
from dnslib.server import BaseResolver, DNSHandler, DNSLogger, DNSServer

from .route53 import Ledger, Rrset, absolute

PORT_ATTEMPTS = 20  # a free UDP port whose TCP twin is taken is rare; twenty in a row are a fault


class VpcResolver(BaseResolver):  # type: ignore[misc]  # dnslib has no types
    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def resolve(self, request: DNSRecord, handler: DNSHandler) -> DNSRecord:
        # The VPC's resolver is recursive: RA=1 and, unlike the agent, AA=0.
        reply = DNSRecord(DNSHeader(id=request.header.id, qr=1, aa=0, ra=1, rd=request.header.rd), q=request.q)
        name = absolute(str(request.q.qname))
        rrsets = self.zone_of(name)
        if rrsets is None:
            reply.header.rcode = RCODE.REFUSED  # the real one asks the internet; this one has none
            return reply
        answer(reply, name, QTYPE[request.q.qtype], rrsets)
        return reply

    def zone_of(self, name: str) -> frozenset[Rrset] | None:
        """The records of the most specific zone that holds the name."""
        zones = self.ledger.zones_as_resolved()
        holding = [zone for zone in zones if f".{name}".endswith(f".{zone}")]
        return zones[max(holding, key=len)] if holding else None


def answer(reply: DNSRecord, name: str, rtype: str, rrsets: Collection[Rrset]) -> None:
    matching = [rrset for rrset in rrsets if rrset.name == name and rrset.rtype == rtype]
    if matching:
        told = min(matching, key=lambda rrset: rrset.set_identifier)  # of a routing policy's sets, always the same one
        reply.add_answer(*records(told, rrsets))
        return
    soa = next(rrset for rrset in rrsets if rrset.rtype == "SOA")
    reply.add_auth(*records(soa))
    if not any(f".{rrset.name}".endswith(f".{name}") for rrset in rrsets):  # RFC 8020: not even below it
        reply.header.rcode = RCODE.NXDOMAIN


def records(rrset: Rrset, zone: Collection[Rrset] = ()) -> list[RR]:
    """An alias is answered with what its target has, under its own name; its target is in the same zone."""
    if rrset.alias:
        targets = [each for each in zone if (each.name, each.rtype) == (rrset.alias, rrset.rtype)]
        return [rr for each in targets for rr in records(replace(each, name=rrset.name), zone)]
    text = "\n".join(f"{rrset.name} {rrset.ttl_s} IN {rrset.rtype} {value}" for value in rrset.values)
    return list(RR.fromZone(text))


def listen(ledger: Ledger, host: str, port: int) -> int:
    """Serve UDP and TCP on one port (0: a free one) in daemon threads, and tell which."""
    for attempt in count(1):
        udp = _server(ledger, host, port, tcp=False)
        chosen = int(udp.server.server_address[1])
        try:
            tcp = _server(ledger, host, chosen, tcp=True)
            break
        except OSError:
            udp.server.server_close()
            if port or attempt == PORT_ATTEMPTS:
                raise
    udp.start_thread()
    tcp.start_thread()
    return chosen


def _server(ledger: Ledger, host: str, port: int, *, tcp: bool) -> DNSServer:
    silent = DNSLogger(logf=lambda _line: None)
    return DNSServer(VpcResolver(ledger), address=host, port=port, tcp=tcp, logger=silent)
