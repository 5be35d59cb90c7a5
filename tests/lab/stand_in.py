"""The least authoritative server that a forwarder believes.

    python -m tests.lab.stand_in ADDRESS ZONE NAME TARGET

It proves the lab without the agent. A line on standard input is the new target, at once; the end of it ends
the server. Standard output says who asked.
"""

import os
import select
import socket
import sys

from dnslib import NS, QTYPE, RR, SOA, A, DNSHeader, DNSRecord


def answer(packet: bytes, zone: str, name: str, target: str) -> bytes:
    asked = DNSRecord.parse(packet)
    header = DNSHeader(id=asked.header.id, qr=1, aa=1, ra=0, rd=asked.header.rd)
    reply = DNSRecord(header, q=asked.q)
    here, kind = str(asked.q.qname).lower(), asked.q.qtype
    authority = RR(zone, QTYPE.SOA, ttl=0, rdata=SOA(f"ns1.{zone}", f"hostmaster.{zone}", (1, 60, 60, 600, 0)))
    if here == name and kind == QTYPE.A:
        reply.add_answer(RR(asked.q.qname, QTYPE.A, ttl=0, rdata=A(target)))
    elif here == zone and kind == QTYPE.NS:
        reply.add_answer(RR(zone, QTYPE.NS, ttl=0, rdata=NS(f"ns1.{zone}")))
    elif here == zone and kind == QTYPE.SOA:
        reply.add_answer(authority)
    else:
        reply.add_auth(authority)  # NODATA: RFC 2308 section 2.2
    packed: bytes = reply.pack()
    return packed


def main(address: str, zone: str, name: str, target: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        door.bind((address, 53))
        while True:
            ready, _, _ = select.select([door, sys.stdin], [], [])
            if sys.stdin in ready:  # first: a question that was asked after the change is answered by it
                words = os.read(sys.stdin.fileno(), 4096).decode().split()
                if not words:
                    return
                target = words[-1]
            if door in ready:
                packet, asker = door.recvfrom(4096)
                door.sendto(answer(packet, zone, name, target), asker)
                print(asker[0], flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
