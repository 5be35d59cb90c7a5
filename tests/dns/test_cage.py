"""What a caged process is refused, tried in children of the test, and what the real workers show in /proc."""

import asyncio
import errno
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from edge.dns import server
from edge.dns.cage import NOBODY, PARTS
from edge.dns.guard import TcpLimits
from edge.dns.rates import Rates
from tests.dns.samples import ZONE
from tests.dns.test_server import (
    LOOPBACK,
    MOVED,
    address,
    ask,
    ask_tcp,
    everybody_says,
    lives,
    pids,
    running,
)
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
PRELUDE = """
    import ctypes, json, os, socket
    from edge.dns import cage
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_ssize_t
    def checked(result):
        if result == -1:
            raise OSError(ctypes.get_errno(), "")
    def tried(act):
        try:
            act()
        except OSError as error:
            return error.errno
        return 0
    def say(what):
        os.write(2, json.dumps(what).encode())
"""


def said_by(program: str, *before: str) -> object:
    """What a child says, on stderr: a caged one can write nowhere else."""
    code = dedent(PRELUDE) + dedent(program)
    done = subprocess.run([*before, sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    return json.loads(done.stderr)


@pytest.fixture(scope="module")
def parts() -> dict[str, bool]:
    """The cage that this host has."""
    held = said_by("say(cage.enter())")
    assert isinstance(held, list)
    return dict(zip(PARTS, held, strict=True))


@pytest.fixture
def whole(parts: dict[str, bool]) -> None:
    if missing := [part for part, holds in parts.items() if not holds]:
        pytest.skip(f"this host has no {', '.join(missing)}")


FORBIDDEN = {
    "read a file": "open('/etc/passwd')",
    "write a file": "open('/tmp/edge-cage', 'w')",
    "list a folder": "os.listdir('/')",
    "a UDP socket": "socket.socket(type=socket.SOCK_DGRAM)",
    "a TCP socket": "socket.socket()",
    "a TCP connection": "stream.connect(('127.0.0.1', 9))",
    "a Unix socket": "socket.socket(socket.AF_UNIX)",
    "netlink": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "a child": "os.fork()",
    "a program": "os.execv('/bin/true', ['true'])",
    "a signal": "os.kill(os.getppid(), 0)",
    "a signal to a thread": "checked(libc.tgkill(os.getppid(), os.getppid(), 0))",
    "ptrace": "checked(libc.ptrace(16, os.getppid(), None, None))",
    "another's memory": "checked(libc.process_vm_readv(os.getppid(), None, 0, None, 0, 0))",
    "root": "os.setuid(0)",
    "a namespace": "checked(libc.unshare(0x10000000))",
    "code in memory": "checked(libc.mmap(None, 4096, 7, 0x22, -1, 0))",
    "code of data": "checked(libc.mprotect(ctypes.c_void_p(page), 4096, 5))",
    "an inherited file": "os.write(inherited, b'x')",
    "terminal input": "checked(libc.ioctl(0, 0x5412, b'x'))",
}


@pytest.mark.usefixtures("whole")
@pytest.mark.parametrize("attempt", FORBIDDEN.values(), ids=FORBIDDEN.keys())
def test_a_caged_process_is_refused(attempt: str) -> None:
    program = f"""
        inherited, stream = os.memfd_create("inherited"), socket.socket()
        page = libc.mmap(None, 4096, 3, 0x22, -1, 0)
        cage.enter()
        say(tried(lambda: {attempt}))
    """
    assert said_by(program) in {errno.EPERM, errno.EACCES}


@pytest.mark.usefixtures("whole")
def test_each_part_refuses_files_or_sockets_or_children_alone() -> None:
    alone = """
        cage._SHUT[{part!r}](cage._Libraries())
        say([tried(lambda: open('/etc/passwd')), tried(lambda: os.kill(os.getppid(), 0)), tried(socket.socket)])
    """
    assert said_by(alone.format(part="landlock")) == [errno.EACCES, errno.EPERM, 0]
    assert said_by(alone.format(part="seccomp")) == [errno.EPERM] * 3


def test_roots_groups_are_left() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    assert said_by("os.setgroups([1, 2]); cage._SHUT['user'](cage._Libraries()); say(os.getgroups())") == []


def test_a_host_without_a_part_goes_on_and_says_so() -> None:
    """The second time, the first cage forbids most of what the cage is made with."""
    again = said_by("cage.enter(); say(cage.enter())")
    assert again == [part == "user" for part in PARTS]


def test_a_traceback_can_be_printed() -> None:
    program = dedent(PRELUDE) + "cage.enter(); 1 / 0"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "ZeroDivisionError" in done.stderr


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, value in (line.split(":", 1) for line in lines)}


def assert_caged(pid: int, parts: dict[str, bool]) -> None:
    shown = status(pid)
    assert {int(shown[f"Cap{which}"], 16) for which in ("Inh", "Prm", "Eff", "Amb")} == {0}
    assert shown["NoNewPrivs"] == "1"
    assert shown["Seccomp"] == ("2" if parts["seccomp"] else "0")
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert re.search(r"Max core file size +0 +0 ", limits)
    assert re.search(r"Max processes +0 +0 ", limits)
    if os.geteuid() == 0:
        assert shown["Uid"].split() == shown["Gid"].split() == [str(NOBODY)] * 4
        assert (shown["Groups"], int(shown["CapBnd"], 16)) == ("", 0)


async def test_real_workers_are_caged_answer_and_follow(tmp_path: Path, parts: dict[str, bool]) -> None:
    port, second = free_port(), replace(ZONE, name="example.org", services=(), records=())
    async with running(tmp_path, port, count=2) as workers:
        assert workers.counters().cage == parts
        before = pids(workers)
        for pid in before:
            assert_caged(pid, parts)
        limits = {"rates": Rates(per_s=1000), "tcp": TcpLimits(idle_s=5.0), "cookie_secrets": ("ab" * 16,)}
        workers.publish([MOVED, second], replace(LOOPBACK, **limits))
        await workers.published()
        assert await everybody_says(port) == {"10.0.2.10"}
        assert address(await asyncio.to_thread(ask_tcp, port)) == "10.0.2.10"
        assert pids(workers) == before
    assert not any(map(lives, before))


async def test_a_caged_worker_that_is_killed_has_a_caged_successor(tmp_path: Path, parts: dict[str, bool]) -> None:
    port = free_port()
    async with running(tmp_path, port) as workers:
        (member,) = workers._members
        victim = member.process
        victim.kill()
        while member.process is victim or not member.acknowledged:
            assert address(await asyncio.to_thread(ask, port)) == "10.0.1.10"
        assert_caged(member.process.pid, parts)


def test_what_does_not_hold_is_told(caplog: pytest.LogCaptureFixture) -> None:
    server._tell_cage({"user": True, "landlock": False, "seccomp": False})
    assert "not confined by landlock, seccomp" in caplog.text


def test_what_systemd_lends_for_port_53_is_not_kept() -> None:
    """Ambient capabilities of a user who is not root."""
    port_53 = ("--inh-caps=+net_bind_service", "--ambient-caps=+net_bind_service")
    lent = ("setpriv", "--reuid=65534", "--clear-groups", *port_53)
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv")
    if subprocess.run([*lent, sys.executable, "-c", "import edge"], cwd=ROOT, check=False).returncode:
        pytest.skip("nobody can't run this interpreter")
    program = """
        def held():
            lines = open("/proc/self/status").read().splitlines()
            return {line.split()[0]: int(line.split()[1], 16) for line in lines if line.startswith("Cap")}
        before = held()
        cage._SHUT["user"](cage._Libraries())
        cage._SHUT["capabilities"](cage._Libraries())
        say([before["CapAmb:"], held()["CapAmb:"], held()["CapEff:"], held()["CapPrm:"]])
    """
    assert said_by(program, *lent) == [1 << 10, 0, 0, 0]
