"""Servers that behave in one particular way, on loopback ports of their own."""

import asyncio
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from os import killpg
from pathlib import Path
from shutil import which

import pytest

from tests.ports import free_port

LOOPBACK = "127.0.0.1"
# Longer than any stall of a busy machine that would be taken for an agent's own delay (half of it).
PATIENT_S = 5.0

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(behave: Behaviour, host: str = LOOPBACK) -> AsyncIterator[int]:
    """A server that treats each connection so; gives its port."""

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await behave(reader, writer)
        writer.close()

    server = await asyncio.start_server(connection, host, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    while await reader.read(4096):
        pass


def saying(data: bytes) -> Behaviour:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(data)
        await silent(reader, writer)

    return behave


def dripping(data: bytes, pause_s: float) -> Behaviour:
    async def behave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in data:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(pause_s)

    return behave


@contextmanager
def full_backlog() -> Iterator[int]:
    """A port that drops every SYN (tcp(7): the accept queue is full), as a host that is gone does."""
    with socket.create_server((LOOPBACK, 0), backlog=0) as server:
        port = server.getsockname()[1]
        fillers = []
        try:
            while _connects(filler := socket.socket(), port):
                fillers.append(filler)
            filler.close()
            yield port
        finally:
            for filler in fillers:
                filler.close()


def _connects(sock: socket.socket, port: int) -> bool:
    sock.settimeout(0.5)
    try:
        sock.connect((LOOPBACK, port))
    except TimeoutError:
        return False
    return True


@pytest.fixture
def closed_port() -> int:
    return free_port()


@pytest.fixture(scope="session")
def samba(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A real smbd, unprivileged; gives its port."""
    if which("smbd") is None:
        pytest.skip("smbd is not installed (Debian package samba)")
    home, port = tmp_path_factory.mktemp("samba"), free_port()
    argv = ["smbd", "-F", "--no-process-group", "-s", str(_smb_conf(home, port))]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        _wait_for(process, port)
        yield port
    finally:
        killpg(process.pid, signal.SIGKILL)
        process.wait()


def _smb_conf(home: Path, port: int) -> Path:
    folders = {"private dir": "private", "lock directory": "lock", "state directory": "state"}
    folders |= {"cache directory": "cache", "pid directory": "pid", "ncalrpc dir": "ncalrpc"}
    for folder in folders.values():
        (home / folder).mkdir()
    settings = {key: str(home / folder) for key, folder in folders.items()}
    settings |= {"interfaces": LOOPBACK, "bind interfaces only": "yes", "smb ports": str(port)}
    settings |= {"disable netbios": "yes", "load printers": "no", "log file": str(home / "log")}
    conf = home / "smb.conf"
    conf.write_text("[global]\n" + "".join(f"  {key} = {value}\n" for key, value in settings.items()))
    return conf


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection((LOOPBACK, port), 1):
            return
        time.sleep(0.05)
    pytest.fail("smbd did not open its port")
