"""Network namespaces that belong to one run, and leave nothing behind.

Every run has an id, `edgelab-<pid>-<token>`. Whatever it creates outside its own processes begins with that
id:

    /run/netns/<id>-<role>    the namespace, by its name for ip(8)
    /etc/netns/<id>-<role>/   what `ip netns exec` lays over /etc: a resolv.conf for each namespace
    <tmp>/<id>/               scratch: shares, configuration, logs

So what a killed run left is known by a pid that no longer lives, and `sweep` removes it. Nothing here touches
the machine's own namespace: both ends of every link are born inside the lab's namespaces.
"""

import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]  # `python -m tests.lab...` and `-m edge...` work from here
NETNS, ETC = Path("/run/netns"), Path("/etc/netns")
PREFIX = "edgelab-"
CLONE_NEWNET = 0x40000000  # setns(2)
HOSTS_BY_DNS = "hosts: files dns\n"  # nsswitch.conf(5): no mDNS, WINS or resolved between a client and its forwarder


@dataclass(frozen=True, slots=True)
class Namespace:
    """One network namespace under its name for ip(8)."""

    name: str

    def ip(self, words: str) -> None:
        _ip(f"-n {self.name} {words}")

    def run(self, argv: Sequence[str], timeout_s: float = 30.0) -> subprocess.CompletedProcess[str]:
        """Run to the end, whatever the exit status; standard output and error come back as text."""
        return subprocess.run(
            self._inside(argv), capture_output=True, text=True, timeout=timeout_s, cwd=ROOT, check=False
        )

    def popen(self, argv: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start in a session of its own; `ip netns exec` becomes the program, so `pid` is the program's."""
        return subprocess.Popen(self._inside(argv), **{"cwd": ROOT, "start_new_session": True, **options})

    def socket(self, kind: socket.SocketKind) -> socket.socket:
        """An IPv4 socket that lives in this namespace while the caller stays where it is."""
        with self.entered():
            return socket.socket(socket.AF_INET, kind)

    def write_sysctl(self, key: str, value: str) -> None:
        with self.entered():
            Path("/proc/sys", *key.split(".")).write_text(value)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This thread is inside the namespace meanwhile; sockets and TUN devices opened here stay there."""
        with Path("/proc/thread-self/ns/net").open() as home, (NETNS / self.name).open() as there:
            _setns(there.fileno())
            try:
                yield
            finally:
                _setns(home.fileno())

    def _inside(self, argv: Sequence[str]) -> list[str]:
        return ["ip", "netns", "exec", self.name, *argv]


def new_run_id() -> str:
    return f"{PREFIX}{os.getpid()}-{secrets.token_hex(2)}"


def scratch(run_id: str) -> Path:
    """A short path on purpose: Samba keeps Unix sockets below it, whose names end at 108 bytes (unix(7))."""
    path = Path(tempfile.gettempdir(), run_id)
    path.mkdir()
    return path


def create(run_id: str, role: str, resolver: str) -> Namespace:
    """`resolver`: the address that programs inside find in /etc/resolv.conf."""
    space = Namespace(f"{run_id}-{role}")
    etc = ETC / space.name
    etc.mkdir(parents=True)
    # resolv.conf(5): two tries of 5 s are the usual client; they are what a failover must not exhaust.
    (etc / "resolv.conf").write_text(f"nameserver {resolver}\noptions timeout:5 attempts:2\n")
    (etc / "nsswitch.conf").write_text(HOSTS_BY_DNS)
    _ip(f"netns add {space.name}")
    space.ip("link set lo up")
    return space


def link(one: Namespace, device: str, other: Namespace, far_device: str) -> None:
    """A cable: a veth pair, up at both ends."""
    one.ip(f"link add {device} type veth peer name {far_device} netns {other.name}")
    one.ip(f"link set {device} up")
    other.ip(f"link set {far_device} up")


def destroy(run_id: str) -> None:
    """Processes, namespaces, overlays and scratch of a run. May be repeated, and goes on after a failure."""
    for path in NETNS.glob(f"{run_id}-*"):
        for pid in pids(path.name):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        subprocess.run(["ip", "netns", "del", path.name], capture_output=True, check=False)
    for path in [*ETC.glob(f"{run_id}-*"), Path(tempfile.gettempdir(), run_id)]:
        shutil.rmtree(path, ignore_errors=True)


def remains(run_id: str) -> list[Path]:
    places = (NETNS, ETC, Path(tempfile.gettempdir()))
    return [path for place in places for path in place.glob(f"{run_id}*")]


def sweep() -> None:
    """Remove what runs left whose process has died."""
    found = {"-".join(path.name.split("-")[:3]) for path in remains(PREFIX)}
    for run_id in found:
        pid = run_id.split("-")[1]
        if pid.isdecimal() and not Path("/proc", pid).exists():
            destroy(run_id)


def pids(name: str) -> list[int]:
    found = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False)
    return [int(word) for word in found.stdout.split()]


def _ip(words: str) -> None:
    done = subprocess.run(["ip", *words.split()], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ip {words}: {done.stderr.strip()}")


def _setns(fd: int) -> None:
    """setns(2); os.setns came with Python 3.12."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(fd, CLONE_NEWNET):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
