"""Answers from the address that was asked, on a socket that is bound to all of them (RFC 2181 section 4.1).

The kernel tells with each packet where it was sent to, and takes the same as the sender's address of the answer:
IP_PKTINFO (ip(7)) and IPV6_PKTINFO (RFC 3542 section 6). The interface stays the routing table's choice.
"""

import socket
import struct
from collections.abc import Iterable
from ipaddress import ip_address

IP_PKTINFO = 8  # <linux/in.h>; the socket module names it from Python 3.12 on
IN_PKTINFO = struct.Struct("=I4s4s")  # interface, our address, the address that the packet was sent to
IN6_PKTINFO = struct.Struct("=16sI")  # address, interface
ANCILLARY_BYTES = socket.CMSG_SPACE(IN6_PKTINFO.size)

Ancillary = tuple[int, int, bytes]


def is_wildcard(host: str) -> bool:
    return ip_address(host).is_unspecified


def ask_where_sent(udp: socket.socket) -> None:
    if udp.family is socket.AF_INET6:
        udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    else:
        udp.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)


def origin(received: Iterable[Ancillary]) -> list[Ancillary]:
    """What to send with the answer to a packet that came with this."""
    return [(level, kind, _without_interface(level, data)) for level, kind, data in received]


def _without_interface(level: int, data: bytes) -> bytes:
    if level == socket.IPPROTO_IPV6:
        return IN6_PKTINFO.pack(IN6_PKTINFO.unpack(data)[0], 0)
    return IN_PKTINFO.pack(0, IN_PKTINFO.unpack(data)[1], bytes(4))
