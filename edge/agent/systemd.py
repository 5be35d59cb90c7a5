"""The service manager: sd_notify(3), one datagram to the socket that it names, and sd_listen_fds(3), the sockets that
it has bound for us. Nothing where there is none.
"""

import os
import socket
from contextlib import suppress

from edge.dns.ports import Passed
from edge.errors import ConfigError

FIRST_FD = 3


def notify(word: str) -> None:
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    address = f"\0{path[1:]}" if path.startswith("@") else path
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending:
        sending.connect(address)
        sending.send(word.encode())


def passed_sockets() -> list[Passed]:
    """Takes them: the variables are gone then, and no child gets the sockets unasked. ConfigError for what is none."""
    pid, count, names = (os.environ.pop(f"LISTEN_{name}", "") for name in ("PID", "FDS", "FDNAMES"))
    if pid != str(os.getpid()):  # meant for somebody else
        return []
    named = dict(enumerate(names.split(":")))
    return [_passed(named.get(index) or "unknown", FIRST_FD + index) for index in range(int(count))]


def _passed(name: str, fd: int) -> Passed:
    os.set_inheritable(fd, False)
    try:
        return Passed(name, socket.socket(fileno=fd))
    except OSError as error:
        raise ConfigError([f"dns.listen: descriptor {fd}, {name}, that was passed is no socket"]) from error
