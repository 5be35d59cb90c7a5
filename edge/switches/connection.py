"""Connections to AWS that end in time, below boto3.

botocore's time-outs are of one address and of one read: a name with three dead addresses takes three of them, an answer
that trickles in never ends, and a name server that is silent holds up the lookup for as long as resolv.conf says. Here
each time-out is of the whole: the connect time-out of lookup, all addresses and TLS; the read time-out of the answer to
its last byte. Whoever gives up closes the socket, so nothing is sent later than the caller knows.
"""

import errno
import io
import os
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from http.client import HTTPResponse
from typing import Any, ClassVar

from botocore.awsrequest import AWSHTTPConnection, AWSHTTPConnectionPool, AWSHTTPSConnection, AWSHTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

STAGGER_S = 0.25  # RFC 8305 5: "the recommended value for a default delay is 250 milliseconds"
_INSTANT_S = 0.001  # a socket whose time-out is 0 does not block
_ASK_AGAIN = 0.5  # the share of the time that is left for a new answer where an older one is known

Found = Sequence[tuple[Any, ...]]
"""As `socket.getaddrinfo` gives them."""


class Lookup:
    """Where hosts are. A lookup that is late serves the next who asks; where none comes, the last answer does."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._asking: dict[tuple[str, int], Future[Found]] = {}
        self._known: dict[tuple[str, int], Found] = {}

    def find(self, host: str, port: int, within_s: float) -> Found:
        """Raises TimeoutError, and socket.gaierror where the name server says no."""
        known = self._known.get((host, port))
        try:
            found = self._ask(host, port).result(within_s * _ASK_AGAIN if known else within_s)
        except (TimeoutError, socket.gaierror):
            if known is None:
                raise
            return known
        self._known[host, port] = found
        return found

    def _ask(self, host: str, port: int) -> "Future[Found]":
        """One thread asks for a host at a time, and none holds up the end of the process."""
        with self._mutex:
            asking = self._asking.get((host, port))
            if asking is None or asking.done():
                asking = self._asking[host, port] = Future()
                name = f"lookup of {host}"
                threading.Thread(target=_resolve, args=(host, port, asking), name=name, daemon=True).start()
            return asking


def _resolve(host: str, port: int, asking: "Future[Found]") -> None:
    try:
        asking.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except Exception as error:  # noqa: BLE001 who waits is told
        asking.set_exception(error)


def connected(found: Found, within_s: float) -> socket.socket:
    """To the first address that answers: each next one is tried while the ones before are waited for, and at once where
    they refuse (RFC 8305 5). Raises TimeoutError; OSError where all refuse.
    """
    until, waiting, trouble = time.monotonic() + within_s, deque(found), OSError("the name has no address")
    with selectors.DefaultSelector() as trying:
        try:
            while (left_s := until - time.monotonic()) > 0:
                if not waiting and not trying.get_map():
                    raise trouble
                try:
                    if waiting:
                        _begin(trying, *waiting.popleft())
                    if sock := _answered(trying, min(left_s, STAGGER_S) if waiting else left_s):
                        sock.settimeout(max(until - time.monotonic(), _INSTANT_S))  # what is left is for TLS
                        return sock
                except OSError as error:
                    trouble = error
            raise TimeoutError(f"no address answered within {within_s:g} s")
        finally:
            for key in list(trying.get_map().values()):
                _socket(key).close()


def _begin(trying: selectors.BaseSelector, family: int, kind: int, protocol: int, _name: str, address: Any) -> None:
    sock = socket.socket(family, kind, protocol)
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as urllib3 does
    refusal = sock.connect_ex(address)
    if refusal not in (0, errno.EINPROGRESS):
        sock.close()
        raise OSError(refusal, os.strerror(refusal), str(address[0]))
    trying.register(sock, selectors.EVENT_WRITE)


def _answered(trying: selectors.BaseSelector, within_s: float) -> socket.socket | None:
    for key, _ in trying.select(within_s):
        sock = _socket(key)
        trying.unregister(sock)
        refusal = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if not refusal:
            return sock
        sock.close()
        raise OSError(refusal, os.strerror(refusal))
    return None


def _socket(key: selectors.SelectorKey) -> socket.socket:
    sock: Any = key.fileobj
    return sock  # type: ignore[no-any-return]


class _Timed(io.RawIOBase):
    """What a socket still receives within its time-out, counted from now and not from each byte."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase) -> None:
        self._sock = sock
        self._raw = raw
        self._until = time.monotonic() + (sock.gettimeout() or 0.0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left_s = self._until - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the answer did not end in time")
        self._sock.settimeout(left_s)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Answer(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_Timed(sock, self.fp.detach()))


class _InTime:
    """Mixed into botocore's connections, whose time-out is the connect time-out until there is a socket."""

    response_class = _Answer
    lookup: ClassVar[Lookup]

    def _new_conn(self) -> socket.socket:
        connection: Any = self
        host, port, within_s = connection.host, connection.port, connection.timeout
        begun = time.monotonic()
        try:
            found = self.lookup.find(host.strip("[]"), port, within_s)
            return connected(found, within_s - (time.monotonic() - begun))
        except socket.gaierror as error:
            raise NameResolutionError(host, connection, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(connection, f"{host} can't be reached within {within_s:g} s: {error}") from error
        except OSError as error:
            raise NewConnectionError(connection, f"{host} can't be reached: {error}") from error


def pools(lookup: Lookup) -> Mapping[str, type]:
    """Connection pools by scheme, as botocore has them."""
    plain = type("Plain", (_InTime, AWSHTTPConnection), {"lookup": lookup})
    secure = type("Secure", (_InTime, AWSHTTPSConnection), {"lookup": lookup})
    return {
        "http": type("PlainPool", (AWSHTTPConnectionPool,), {"ConnectionCls": plain}),
        "https": type("SecurePool", (AWSHTTPSConnectionPool,), {"ConnectionCls": secure}),
    }
