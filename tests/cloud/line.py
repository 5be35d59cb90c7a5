"""The way to the emulated AWS, which a test can cut: a relay on loopback in front of it.

A cut is a black hole as a path makes one. What is sent on a connection is lost, and a new connection never comes about:
the kernel drops the SYN while the backlog is full (listen(2)), and the caller's TCP tries it again and again. After the
mending, connections that have lost something are broken.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

FILLERS = 4  # one fills a backlog of 0; the others are dropped already, and show that it is full
CHUNK = 65536


class Line:
    def __init__(self, url: str) -> None:
        far = urlsplit(url)
        self.far = (far.hostname, far.port)
        self.broken = threading.Event()
        self.connections: list[socket.socket] = []
        self.fillers: list[socket.socket] = []
        self.address = ("127.0.0.1", 0)
        self._open()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.address[1]}"

    def cut(self) -> None:
        self.broken.set()
        self._close_listener()
        self.listener = self._listener(backlog=0)
        for _ in range(FILLERS):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(self.address)
            self.fillers.append(filler)

    def mend(self) -> None:
        self._forget()
        self._close_listener()
        self.broken.clear()
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._forget()
        self._close_listener()

    def _open(self) -> None:
        self.listener = self._listener(backlog=128)
        self.address = self.listener.getsockname()
        threading.Thread(target=self._accept, args=[self.listener], daemon=True).start()

    def _listener(self, backlog: int) -> socket.socket:
        return socket.create_server(self.address, backlog=backlog)

    def _close_listener(self) -> None:
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)  # wakes who accepts
        self.listener.close()

    def _forget(self) -> None:
        for each in [*self.fillers, *self.connections]:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self.fillers, self.connections = [], []

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # the listener is closed, or the far end refuses
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(self.far)
                self.connections += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=[one, other], daemon=True).start()

    def _pump(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(CHUNK):
                if not self.broken.is_set():
                    other.sendall(data)
        if not self.broken.is_set():
            with suppress(OSError):
                other.shutdown(socket.SHUT_WR)
