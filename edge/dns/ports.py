"""The sockets of the DNS port: passed by the service manager, or bound here.

A passed one is shared by all workers and all generations of them: what arrives while nobody reads waits in it. What is
bound here is bound for each worker anew (SO_REUSEPORT), and the kernel spreads the askers over them; a second agent
could so slip in unseen and answer half of them, so the first UDP socket of each address is bound alone and opened to
the others then.
"""

import errno
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from edge.dns.wildcard import ask_where_sent, is_wildcard
from edge.errors import ConfigError

RECEIVE_BUFFER_BYTES = 4 << 20  # some 5,000 queries while a worker is started anew; the kernel caps it at rmem_max
BACKLOG = 256
KINDS = {socket.SOCK_DGRAM: "UDP", socket.SOCK_STREAM: "TCP"}
ADVICE = {
    errno.EADDRNOTAVAIL: "this host does not have the address (yet)",
    errno.EACCES: "a port below 1024 takes CAP_NET_BIND_SERVICE, or a socket that systemd passes",
    errno.EINVAL: "a link-local address has to come with its interface, which dns.listen does not take",
}

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Passed:
    """`name`: as the service manager calls it."""

    name: str
    socket: socket.socket


class Ports:
    """ConfigError for a passed socket that `listen` does not have."""

    def __init__(self, listen: Sequence[Address], passed: Iterable[Passed] = ()) -> None:
        self._listen = sorted(listen, key=lambda address: not is_wildcard(address[0]))
        self._passed = {_checked(each, listen): each.socket for each in passed}

    def shared(self, kind: socket.SocketKind) -> list[socket.socket]:
        return [port for (_, found), port in self._passed.items() if found is kind]

    def bind(self, kind: socket.SocketKind, *, alone: bool) -> list[socket.socket]:
        """New ones for what was not passed. ConfigError for what can't be bound, or, `alone`, is somebody else's."""
        wanted = [address for address in self._listen if (address, kind) not in self._passed]
        return [_bind(address, kind, alone=alone and not _covered(address, wanted)) for address in wanted]


def _checked(passed: Passed, listen: Sequence[Address]) -> tuple[Address, socket.SocketKind]:
    port = passed.socket
    if port.family not in (socket.AF_INET, socket.AF_INET6) or port.type not in KINDS:
        raise ConfigError([f"dns.listen: the socket {passed.name} that was passed is neither UDP nor TCP"])
    host, number = port.getsockname()[:2]
    address = next((each for each in listen if each[1] == number and _same(each[0], host)), None)
    said = f"dns.listen: the {KINDS[port.type]} socket {passed.name} that was passed, {host} port {number}"
    if address is None:
        raise ConfigError([f"{said}, is not listed"])
    if problem := _unfit(port, host):
        raise ConfigError([f"{said}, {problem}"])
    if is_wildcard(host) and port.type is socket.SOCK_DGRAM:
        ask_where_sent(port)
    return address, port.type


def _same(listed: str, host: str) -> bool:
    return ip_address(listed) == ip_address(host)


def _unfit(port: socket.socket, host: str) -> str:
    if port.type is socket.SOCK_STREAM and not port.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return "does not listen: Accept=no would be right"
    if host == "::" and not port.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
        return "takes IPv4 too: BindIPv6Only=ipv6-only would be right"
    return ""


def _covered(address: Address, listen: Iterable[Address]) -> bool:
    """By a wildcard of ours, which comes first."""
    wildcard = "::" if ":" in address[0] else "0.0.0.0"
    return address[0] != wildcard and (wildcard, address[1]) in listen


def _bind(address: Address, kind: socket.SocketKind, *, alone: bool) -> socket.socket:
    host, port = address
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
    udp = kind is socket.SOCK_DGRAM
    _set_options(bound)
    if is_wildcard(host) and udp:
        ask_where_sent(bound)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, not (alone and udp))
        bound.bind(address)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except OSError as error:
        bound.close()
        raise ConfigError([f"dns.listen: {host} port {port}: {_reason(error, port)}"]) from error
    if kind is socket.SOCK_STREAM:
        bound.listen(BACKLOG)
    return bound


def _set_options(unbound: socket.socket) -> None:
    if unbound.family is socket.AF_INET6:
        unbound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if unbound.type is socket.SOCK_STREAM:
        unbound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # over connections in TIME_WAIT
    else:
        unbound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)


def _reason(error: OSError, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        pids = " ".join(map(str, _holders(port))) or f"none that we may see, `ss -lnp sport = :{port}` sees more"
        return f"{error.strerror}; other processes with that port: {pids}"
    return f"{error.strerror}: {ADVICE[error.errno]}" if error.errno in ADVICE else str(error.strerror)


def _holders(port: int) -> list[int]:
    sockets = {f"socket:[{inode}]" for inode in _inodes(port)}
    pids = (int(process.name) for process in Path("/proc").glob("[0-9]*") if not sockets.isdisjoint(_files(process)))
    return sorted(set(pids) - {os.getpid()})


def _inodes(port: int) -> Iterator[str]:
    for table in ("udp", "udp6", "tcp", "tcp6"):
        with suppress(OSError):
            rows = [line.split() for line in Path("/proc/net", table).read_text().splitlines()[1:]]
            yield from (row[9] for row in rows if int(row[1].rpartition(":")[2], 16) == port and row[9] != "0")


def _files(process: Path) -> Iterator[str]:
    """As far as we may look, and the process still lives (proc(5))."""
    with suppress(OSError):
        yield from (str(fd.readlink()) for fd in (process / "fd").iterdir())
