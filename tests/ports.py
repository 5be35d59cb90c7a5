"""Ports for servers that are told one and bind it later."""

import secrets
import socket
from contextlib import suppress

NOBODYS = range(10_240, 32_768)
"""The kernel gives none of these to who binds or connects without naming one (ip_local_port_range begins at 32,768)."""


def free_port(host: str = "127.0.0.1") -> int:
    """One that is free for UDP and TCP, now, and that only another test could take meanwhile, by chance."""
    port = secrets.choice(NOBODYS)
    with socket.socket(type=socket.SOCK_DGRAM) as udp, socket.socket() as tcp, suppress(OSError):
        udp.bind((host, port))
        tcp.bind((host, port))
        return port
    return free_port(host)
