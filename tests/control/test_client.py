"""The client against the real server, and against what is none."""

import asyncio
import grp
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from edge.control.client import ANSWER_S, Client, MisunderstoodError
from edge.errors import ControlError, RefusedError
from edge.failover import events as ev
from tests.control.conftest import Served
from tests.control.desk import FILES


@contextmanager
def saying(path: Path, said: bytes) -> Iterator[Client]:
    """Whatever is asked, this is the answer; an empty one is silence."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        done = threading.Event()
        thread = threading.Thread(target=_answer, args=(server, said, done))
        thread.start()
        yield Client(str(path))
        done.set()
        thread.join()


def _answer(server: socket.socket, said: bytes, done: threading.Event) -> None:
    with server.accept()[0] as connection:
        connection.recv(65536)
        if said:
            connection.sendall(said)
        else:
            done.wait()


async def test_questions_and_words(served: Served) -> None:
    client = Client(str(served.path))
    said = await asyncio.to_thread(client.get, "status", service="files")
    assert said["services"][0]["service"] == FILES
    said = await asyncio.to_thread(lambda: client.post("hold", service=None, reason="backup: 50 % & more", for_s=60.0))
    assert "backup: 50 % & more" in said["replies"][0]["sentence"]


async def test_what_is_refused_and_what_is_not_understood(served: Served) -> None:
    client = Client(str(served.path))
    with pytest.raises(RefusedError, match="there is no service x"):
        await asyncio.to_thread(client.get, "why", service="x")
    with pytest.raises(MisunderstoodError, match=r"^node: expected"):
        await asyncio.to_thread(lambda: client.post("promote", reason="x"))


async def test_a_switch_is_followed_to_its_end(served: Served) -> None:
    client = Client(str(served.path))
    await asyncio.to_thread(lambda: client.post("promote", node="b", reason="x"))
    lines = await asyncio.to_thread(lambda: list(client.follow("files@8", 30)))
    assert (lines[0]["kind"], lines[-1]["kind"]) == ("opened", "agreed")
    with pytest.raises(RefusedError, match="no switch files@9 is known"):
        await asyncio.to_thread(lambda: list(client.follow("files@9", 30)))


async def test_a_switch_that_takes_longer_than_one_waits(served: Served) -> None:
    served.desk.first.slow = (ev.RunStage,)
    client = Client(str(served.path))
    await asyncio.to_thread(lambda: client.post("promote", node="b", reason="x"))
    lines = client.follow("files@8", 0.5)
    assert (await asyncio.to_thread(next, lines))["kind"] == "opened"
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        await asyncio.to_thread(list, lines)
    assert time.monotonic() - began < ANSWER_S  # which is how long one waits for an answer, not for a switch
    with pytest.raises(TimeoutError):
        await asyncio.to_thread(list, client.follow("files@8", 0.0))


async def test_a_fault_while_following(served: Served) -> None:
    served.desk.first.slow = (ev.RunStage,)
    client = Client(str(served.path))
    await asyncio.to_thread(lambda: client.post("promote", node="b", reason="x"))
    served.desk.store_up = False
    with pytest.raises(ControlError, match="the disk is gone"):
        await asyncio.to_thread(list, client.follow("files@8", 30))


HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
OPENED = b'{"kind": "opened", "final": false}\n'


@pytest.mark.parametrize(
    "cut", [b"0\r\n\r\n", b"23\r\n" + OPENED + b"\r\n0\r\n\r\n", b"23\r\n" + OPENED + b"\r\n", b"23\r\n{"]
)
def test_an_agent_that_ends_before_the_switch(path: Path, cut: bytes) -> None:
    with saying(path, HEAD + cut) as client, pytest.raises(ControlError):
        list(client.follow("files@8", 30))


@pytest.mark.parametrize("said", [b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
                                  b"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nhi",
                                  b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
                                  b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"])  # fmt: skip
def test_what_answers_nonsense(path: Path, said: bytes) -> None:
    with saying(path, said) as client, pytest.raises(ControlError, match=str(path)):
        client.get("status")


def test_an_agent_that_hangs(path: Path) -> None:
    with saying(path, b"") as client, pytest.raises(ControlError, match="does not answer"):
        client.get("status", timeout_s=0.2)


def test_no_socket(path: Path) -> None:
    with pytest.raises(ControlError, match=r"there is no socket .*: start edged"):
        Client(str(path)).get("status")


def test_a_socket_without_an_agent(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with pytest.raises(ControlError, match=r"nobody listens on .*: edged has died"):
        Client(str(path)).get("status")


def test_a_file_that_is_no_socket(tmp_path: Path) -> None:
    (tmp_path / "edge.toml").touch()
    with pytest.raises(ControlError, match=r"edge.toml is no socket: say --socket"):
        Client(str(tmp_path / "edge.toml")).get("status")


def test_a_path_that_no_socket_can_have() -> None:
    with pytest.raises(ControlError, match="can't be asked"):
        Client("x" * 200).get("status")


def test_a_socket_that_is_not_for_everybody() -> None:
    """As another user in a child process: root may do everything."""
    if os.getuid() != 0:
        pytest.skip("only root can become somebody else")
    with TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        path = Path(folder) / "edge.sock"
        server.bind(str(path))
        server.listen()
        path.chmod(0o660)
        assert _as_nobody(path) == f"you may not use {path}: its directory is closed to you"
        Path(folder).chmod(0o755)
        assert (
            _as_nobody(path)
            == f"you may not use {path}: it is for root and the members of group {grp.getgrgid(0).gr_name}"
        )


def _as_nobody(path: Path) -> str:
    read, write = os.pipe()
    if os.fork() == 0:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        try:
            Client(str(path)).get("status")
        except ControlError as error:
            os.write(write, str(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as said:
        text = said.read()
    os.wait()
    return text
