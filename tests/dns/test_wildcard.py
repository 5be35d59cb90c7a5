"""Real sockets on loopback: all of 127.0.0.0/8, but one address in IPv6, where the ancillary data is looked at."""

import socket
from ipaddress import ip_address

import pytest

from edge.dns.wildcard import ANCILLARY_BYTES, IN6_PKTINFO, ask_where_sent, is_wildcard, origin


@pytest.mark.parametrize(("host", "expected"), [("0.0.0.0", True), ("::", True), ("127.0.0.1", False), ("::1", False)])
def test_wildcards_are_known(host: str, expected: bool) -> None:
    assert is_wildcard(host) == expected


def test_the_answer_comes_from_the_address_that_was_asked() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as ours, socket.socket(type=socket.SOCK_DGRAM) as asker:
        ours.bind(("0.0.0.0", 0))
        ask_where_sent(ours)
        asker.settimeout(30)
        asker.sendto(b"question", ("127.0.0.77", ours.getsockname()[1]))
        _, ancillary, _, source = ours.recvmsg(512, ANCILLARY_BYTES)
        ours.sendmsg([b"answer"], origin(ancillary), 0, source)
        assert asker.recvfrom(512) == (b"answer", ("127.0.0.77", ours.getsockname()[1]))


def test_ipv6_keeps_the_address_and_leaves_the_interface_to_routing() -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as ours, socket.socket(socket.AF_INET6, 2) as asker:
        ours.bind(("::", 0))
        ask_where_sent(ours)
        asker.settimeout(30)
        asker.sendto(b"question", ("::1", ours.getsockname()[1]))
        _, ancillary, _, source = ours.recvmsg(512, ANCILLARY_BYTES)
        ((level, kind, data),) = origin(ancillary)
        assert (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO)
        assert IN6_PKTINFO.unpack(data) == (ip_address("::1").packed, 0)
        ours.sendmsg([b"answer"], [(level, kind, data)], 0, source)
        assert asker.recv(512) == b"answer"
