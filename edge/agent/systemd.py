"""sd_notify(3): one datagram to the socket that the service manager names; nothing where there is none."""

import os
import socket
from contextlib import suppress


def notify(word: str) -> None:
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    address = f"\0{path[1:]}" if path.startswith("@") else path
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending:
        sending.connect(address)
        sending.send(word.encode())
