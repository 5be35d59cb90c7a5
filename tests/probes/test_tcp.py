"""What a TCP probe makes of real sockets that connect, refuse, stay silent or cannot be had."""

import asyncio
import errno
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge.failover.model import Sight
from edge.probes.tcp import Outcome, failure, over_tcp, probe, witness
from tests.probes.conftest import LOOPBACK, PATIENT_S, full_backlog, serving, silent


async def test_an_open_port_is_active() -> None:
    async with serving(silent) as port:
        assert await probe(LOOPBACK, port, PATIENT_S) == Outcome(Sight.ACTIVE, True, "TCP connect answered")


async def test_an_open_port_is_active_over_ipv6() -> None:
    async with serving(silent, "::1") as port:
        assert (await probe("::1", port, PATIENT_S)).sight is Sight.ACTIVE


async def test_a_closed_port_is_down_and_proves_the_path(closed_port: int) -> None:
    assert await probe(LOOPBACK, closed_port, PATIENT_S) == Outcome(Sight.DOWN, True, "connection refused")


async def test_silence_is_down_and_proves_nothing() -> None:
    with full_backlog() as port:
        assert await probe(LOOPBACK, port, 1.0) == Outcome(Sight.DOWN, False, "no answer within 1000 ms")


async def test_a_witness_that_refuses_has_answered(closed_port: int) -> None:
    assert await witness(LOOPBACK, closed_port, PATIENT_S) == Outcome(Sight.ACTIVE, True, "connection refused")


async def test_a_silent_witness_is_down() -> None:
    with full_backlog() as port:
        assert (await witness(LOOPBACK, port, 1.0)).sight is Sight.DOWN


@contextmanager
def no_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_want_of_descriptors_is_our_own_trouble() -> None:
    with no_descriptors():
        seen = await probe(LOOPBACK, 1, PATIENT_S)
    assert seen == Outcome(Sight.UNKNOWN, False, "this agent's own trouble: Too many open files")


async def test_no_route_is_our_own_trouble() -> None:
    """TCP to the broadcast address ends in the kernel's own routing, before any packet (ENETUNREACH)."""
    seen = await probe("255.255.255.255", 1, PATIENT_S)
    assert seen == Outcome(Sight.UNKNOWN, False, "this agent's own trouble: Network is unreachable")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a network namespace")
def test_host_unreachable_is_down_and_proves_nothing() -> None:
    code = "import asyncio; from edge.probes.tcp import probe; print(asyncio.run(probe('10.1.1.1', 445, 5.0)))"
    script = f'ip link set lo up && ip route add unreachable 10.1.1.1/32 && exec {sys.executable} -c "{code}"'
    done = subprocess.run(["unshare", "-n", "sh", "-c", script], capture_output=True, text=True, check=False)
    expected = Outcome(Sight.DOWN, False, "host unreachable")
    assert (done.stdout.strip(), done.stderr) == (str(expected), "")


@pytest.mark.parametrize(
    ("number", "sight", "answered"),
    [
        (errno.ECONNRESET, Sight.DOWN, True),
        (errno.EPIPE, Sight.DOWN, True),
        (errno.ETIMEDOUT, Sight.DOWN, False),
        (errno.EHOSTUNREACH, Sight.DOWN, False),
        (errno.ENETUNREACH, Sight.UNKNOWN, False),
        (errno.EADDRNOTAVAIL, Sight.UNKNOWN, False),
        (errno.ENOBUFS, Sight.UNKNOWN, False),
        (None, Sight.UNKNOWN, False),
    ],
)
def test_what_an_error_proves(number: int | None, sight: Sight, answered: bool) -> None:
    seen = failure(OSError() if number is None else OSError(number, "words"))
    assert (seen.sight, seen.answered) == (sight, answered)


async def test_the_kernels_time_out_is_not_taken_for_ours() -> None:
    """Both are TimeoutError in Python; only the kernel's has a number."""

    async def talk(_sock: object) -> Outcome:
        raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")

    async with serving(silent) as port:
        seen = await over_tcp(LOOPBACK, port, PATIENT_S, talk)
    assert seen == Outcome(Sight.DOWN, False, "connection timed out")


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def in_time_wait(port: int) -> int:
    """Connections to or from the port in state 06 of /proc/net/tcp."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[3] == "06" and f":{port:04X}" in row[1] + row[2] for row in rows)


async def test_probes_leave_nothing_behind() -> None:
    async with serving(silent) as port:
        await probe(LOOPBACK, port, PATIENT_S)
        before = descriptors()
        for _ in range(20):
            await probe(LOOPBACK, port, PATIENT_S)
        async with asyncio.timeout(30):
            while descriptors() > before:  # noqa: ASYNC110 - the server's ends close a little later, unannounced
                await asyncio.sleep(0.01)
        assert in_time_wait(port) == 0
