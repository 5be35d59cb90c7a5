"""How an agent gets its port and gives it on: real agents, without AWS, under questions that never pause."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from edge.agent.systemd import passed_sockets
from edge.control.client import Client
from edge.errors import ConfigError, ControlError
from tests.agent.site import PATIENCE_S, ROOT, workers
from tests.dns.steady import Steady
from tests.dns.test_server import A_QUERY, asking, lives
from tests.ports import free_port

CONFIG = """
[agent]
name = "edge-1"
state_dir = "{home}/state"
[control]
socket = "{home}/edge.sock"
[dns]
listen = ["127.0.0.1:{port}"]
workers = 2
[http]
listen = "127.0.0.1:{http_port}"
[zone]
name = "fs.corp.example"
[zone.nameservers]
"ns1.fs.corp.example" = ["127.0.0.1"]
[[service]]
name = "files.fs.corp.example"
  [service.probe]
  kind = "tcp"
  port = {node_port}
  [[service.node]]
  name = "a"
  address = "127.0.1.10"
  [[service.node]]
  name = "b"
  address = "127.0.1.11"
"""
SO_RCVBUFFORCE = 33  # <asm-generic/socket.h>
AGENT = (sys.executable, "-m", "edge.agent.daemon", "--config")


class House:
    """One agent, its nodes and its port; `passed` is what its service manager holds."""

    def __init__(self, home: Path) -> None:
        self.home, self.port = home, free_port()
        self.opened = ExitStack()
        node_port = free_port()
        for host in ("127.0.1.10", "127.0.1.11"):
            self.opened.enter_context(socket.create_server((host, node_port), backlog=4096))
        self.http_port = free_port()
        keys = {"home": home, "port": self.port, "http_port": self.http_port, "node_port": node_port}
        self.file = home / "edge.toml"
        self.file.write_text(CONFIG.format(**keys))
        self.passed: list[socket.socket] = []
        self.agent: subprocess.Popen[bytes] | None = None

    def hold_port(self, port: int | None = None) -> None:
        self.passed += map(self.opened.enter_context, held_sockets(port or self.port))

    def start(self, **environment: str) -> subprocess.Popen[bytes]:
        fds = [held.fileno() for held in self.passed]
        activate = [sys.executable, "-m", "tests.agent.activate", *map(str, fds), "--"] if fds else []
        return self.run([*activate, *AGENT, str(self.file)], fds, environment)

    def run(
        self, command: Sequence[str], fds: Sequence[int] = (), environment: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        with (self.home / "edged.log").open("ab") as log:
            env = {**os.environ, **(environment or {})}
            self.agent = subprocess.Popen(command, cwd=ROOT, stderr=log, pass_fds=fds, env=env)
        return self.agent

    def end(self, number: signal.Signals) -> int:
        assert self.agent is not None
        self.agent.send_signal(number)
        return self.agent.wait(PATIENCE_S)

    def ready(self) -> bool:
        try:
            return bool(Client(str(self.home / "edge.sock")).get("status")["dns_ready"])
        except ControlError:
            return False

    def log(self) -> str:
        return (self.home / "edged.log").read_text()

    def reference(self) -> bytes:
        """What an asker is told, without the id; an agent without an assignment is silent."""
        while True:
            with suppress(TimeoutError), asking(self.port) as asker:
                asker.settimeout(0.5)
                return asker.recv(4096)[2:]

    def close(self) -> None:
        if self.agent and self.agent.poll() is None:
            self.end(signal.SIGTERM)
        self.opened.close()


def held_sockets(port: int) -> list[socket.socket]:
    """As a service manager binds them."""
    udp, tcp = (socket.socket(type=kind) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM))
    for held in (udp, tcp):
        held.bind(("127.0.0.1", port))
    tcp.listen()
    enlarge(udp)
    return [udp, tcp]


def enlarge(udp: socket.socket) -> None:
    """As ReceiveBuffer= of the unit does: the kernel's default holds 280 questions, a seventh of a second here."""
    try:
        udp.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
    except PermissionError:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    if udp.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) < 4 << 20:
        pytest.skip("neither root nor net.core.rmem_max allow a large receive buffer")


def until(holds: Callable[[], object]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end_s
        time.sleep(0.02)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.close()


RESTARTS = {
    "passed sockets, stopped and started": (True, signal.SIGTERM),
    "passed sockets, restarted": (True, signal.SIGUSR1),
    "own sockets, restarted": (False, signal.SIGUSR1),
    "own sockets, killed": (False, signal.SIGKILL),
}


@pytest.mark.parametrize(("held", "number"), RESTARTS.values(), ids=RESTARTS.keys())
def test_a_restart_under_load_loses_nothing(house: House, held: bool, number: signal.Signals) -> None:
    if held:
        house.hold_port()
    house.start()
    until(house.ready)
    old = workers(house.agent)
    with Steady(house.port, house.reference()) as steady:
        time.sleep(0.5)
        house.end(number)
        house.start()
        until(lambda: house.ready() and not any(map(lives, old)))
        time.sleep(0.5)
    print(f"{steady.asked} asked; lost, refused, wrong: {steady.verdict()}")
    assert steady.asked > 0
    assert steady.verdict() == (0, 0, 0)


def test_an_agent_that_is_stopped_leaves_no_worker(house: House) -> None:
    house.start()
    until(house.ready)
    old = workers(house.agent)
    assert len(old) == 2
    assert house.end(signal.SIGTERM) == 0
    assert not any(map(lives, old))


def test_systemds_own_tool_starts_us_by_the_first_question_which_is_answered(house: House) -> None:
    """It passes sockets of one kind only: TCP is bound here."""
    if (tool := shutil.which("systemd-socket-activate")) is None:
        pytest.skip("systemd-socket-activate is not installed")
    address = f"127.0.0.1:{house.port}"
    options = ("--datagram", "--listen", address, "--fdname", "edge.socket")
    house.run([tool, *options, *AGENT, str(house.file)])
    until(lambda: f"Listening on {address}" in house.log())
    with asking(house.port, A_QUERY.replace(b"\x05files", b"\x05other")) as asker:
        assert asker.recv(512)[3] & 15 == 3
    until(house.ready)


def test_a_passed_socket_that_the_file_does_not_list_is_an_error(house: House) -> None:
    house.hold_port(other := free_port())
    assert house.start().wait(PATIENCE_S) == 1
    assert f"127.0.0.1 port {other}, is not listed" in house.log()


def test_a_second_agent_on_the_same_port_is_refused(house: House, tmp_path: Path) -> None:
    """Another state directory, and so other data."""
    house.start()
    until(house.ready)
    (tmp_path / "second").mkdir()
    second = House(tmp_path / "second")
    second.file.write_text(second.file.read_text().replace(f":{second.port}", f":{house.port}"))
    assert second.start().wait(PATIENCE_S) == 1
    second.close()
    assert house.agent is not None
    assert f"dns.listen: 127.0.0.1 port {house.port}: " in second.log()
    assert str(house.agent.pid) in second.log()


def frozen(house: House) -> list[int]:
    """Workers that were stopped before they could say that they answer; one too late ends all of them."""
    until(lambda: sum(map(executes_a_worker, workers(house.agent))) == 2)
    pids = workers(house.agent)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    until(lambda: all("State:\tT" in shown(pid) for pid in pids))
    if all("NoNewPrivs:\t0" in shown(pid) for pid in pids):
        return pids
    house.end(signal.SIGKILL)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    return []


def executes_a_worker(pid: int) -> bool:
    """A child that is stopped before exec(2) stops its parent too."""
    return b"edge.dns.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()


def shown(pid: int) -> str:
    return Path(f"/proc/{pid}/status").read_text()


def test_ready_is_told_when_every_worker_answers_and_not_before(house: House) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path := str(house.home / "notify"))
        manager.settimeout(PATIENCE_S)
        while True:
            house.start(NOTIFY_SOCKET=path)
            if pids := frozen(house):
                break
        for _ in range(3):
            assert manager.recv(512) == b"WATCHDOG=1"
        os.kill(pids[0], signal.SIGCONT)
        assert manager.recv(512) == b"WATCHDOG=1"
        os.kill(pids[1], signal.SIGCONT)
        while manager.recv(512) != b"READY=1":
            pass


def test_workers_are_not_told_of_the_service_manager(house: House) -> None:
    house.hold_port()
    house.start(NOTIFY_SOCKET="@nobody")
    until(house.ready)
    for pid in workers(house.agent):
        assert Path(f"/proc/{pid}/environ").read_bytes() == b""


# --- sd_listen_fds(3) -------------------------------------------------------------------------------------------------


def test_what_is_meant_for_another_process_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid() + 1))
    monkeypatch.setenv("LISTEN_FDS", "1")
    assert passed_sockets() == []
    assert "LISTEN_FDS" not in os.environ


def test_without_a_service_manager_nothing_is_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LISTEN_PID", raising=False)
    assert passed_sockets() == []


def test_a_passed_descriptor_that_is_no_socket_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        monkeypatch.setattr("edge.agent.systemd.FIRST_FD", file.fileno())
        for key, value in {"PID": str(os.getpid()), "FDS": "1", "FDNAMES": "odd"}.items():
            monkeypatch.setenv(f"LISTEN_{key}", value)
        with pytest.raises(ConfigError, match=rf"dns\.listen: descriptor {file.fileno()}, odd, .* is no socket"):
            passed_sockets()
