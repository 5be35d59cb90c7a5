"""Sockets that were passed, sockets that are ours alone, and those that nobody can bind."""

import asyncio
import errno
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from time import monotonic

import pytest

from edge.dns import ports
from edge.dns.message import Qtype
from edge.dns.ports import Passed, Ports
from edge.dns.server import Workers
from edge.dns.wildcard import ask_where_sent
from edge.dns.worker import _withdraw
from edge.errors import ConfigError
from tests.dns.desks import A_QUERY
from tests.dns.samples import FILES, ZONE, packet
from tests.dns.test_server import (
    LOOPBACK,
    MOVED,
    PATIENCE_S,
    address,
    ask,
    ask_tcp,
    asking,
    controller,
    everybody_says,
    lives,
    orphans,
    pids,
    running,
    until,
)
from tests.ports import free_port

MANY = 200  # more than a turn answers; a receive buffer of Linux' default size has room for some more
UDP, TCP = socket.SOCK_DGRAM, socket.SOCK_STREAM


@contextmanager
def manager(port: int, host: str = "127.0.0.1", *, v6only: bool = True) -> Iterator[list[Passed]]:
    """What a service manager binds and passes, as the unit says: one socket of each kind."""
    with ExitStack() as opened:
        yield [Passed("edge.socket", opened.enter_context(_bound(host, port, kind, v6only))) for kind in (UDP, TCP)]


def _bound(host: str, port: int, kind: socket.SocketKind, v6only: bool) -> socket.socket:
    six = ":" in host
    bound = socket.socket(socket.AF_INET6 if six else socket.AF_INET, kind)
    if six:
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
    bound.bind((host, port))
    if kind is TCP:
        bound.listen()
    else:
        ask_where_sent(bound)
    return bound


@pytest.mark.parametrize(("host", "asked"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.7"), ("::", "::1")])
async def test_passed_sockets_are_answered_by_all_workers_from_the_first_question_on(
    tmp_path: Path, host: str, asked: str
) -> None:
    port = free_port()
    with manager(port, host) as passed, asking(port, host=asked) as early:
        async with running(tmp_path, port, count=2, host=host, passed=passed):
            assert len(await asyncio.to_thread(early.recv, 512)) > 0
            for ask_it in (ask, ask_tcp):
                assert address(await asyncio.to_thread(ask_it, port, host=asked)) == "10.0.1.10"


async def test_a_passed_wildcard_need_not_have_been_asked_for_addresses(tmp_path: Path) -> None:
    port = free_port()
    with socket.socket(type=UDP) as bare:
        bare.bind(("0.0.0.0", port))
        async with running(tmp_path, port, host="0.0.0.0", passed=[Passed("bare", bare)]):
            assert address(await asyncio.to_thread(ask, port, host="127.0.0.7")) == "10.0.1.10"


async def test_a_shared_socket_is_read_by_the_others_while_a_worker_hangs(tmp_path: Path) -> None:
    port = free_port()
    with manager(port) as passed:
        async with running(tmp_path, port, count=2, passed=passed) as workers:
            hung = pids(workers)[0]
            os.kill(hung, signal.SIGSTOP)
            assert await everybody_says(port) == {"10.0.1.10"}
            os.kill(hung, signal.SIGCONT)


async def test_what_is_asked_between_two_agents_waits_in_the_passed_socket(tmp_path: Path) -> None:
    port = free_port()
    with manager(port) as passed:
        async with running(tmp_path, port, passed=passed):
            assert address(await asyncio.to_thread(ask, port)) == "10.0.1.10"
        with asking(port) as between:
            async with running(tmp_path, port, passed=[Passed(each.name, each.socket.dup()) for each in passed]):
                assert len(await asyncio.to_thread(between.recv, 512)) > 0


async def test_what_a_worker_has_taken_from_a_passed_socket_it_answers_before_it_ends(tmp_path: Path) -> None:
    port = free_port()
    with manager(port) as passed, passed[0].socket.dup() as next_reader, asking(port) as asker:
        async with running(tmp_path, port, passed=passed) as workers:
            assert len(await asyncio.to_thread(asker.recv, 512)) > 0
            pid = pids(workers)[0]
            os.kill(pid, signal.SIGSTOP)
            await asyncio.to_thread(os.waitid, os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)
            for _ in range(MANY):
                asker.send(A_QUERY)
            workers._roll.retire_all()
            workers._members[0].channel.shutdown(socket.SHUT_WR)  # what it reads when its controller is gone
            os.kill(pid, signal.SIGCONT)
        assert count_waiting(asker) + count_waiting(next_reader) == MANY


def count_waiting(udp: socket.socket) -> int:
    udp.setblocking(False)
    return len(list(iter(partial(_received, udp), b"")))


def _received(udp: socket.socket) -> bytes:
    with suppress(BlockingIOError):
        return udp.recv(512)
    return b""


async def test_what_is_not_passed_is_bound(tmp_path: Path) -> None:
    port = free_port()
    with manager(port) as passed:
        passed[1].socket.close()
        async with running(tmp_path, port, passed=passed[:1]):
            for ask_it in (ask, ask_tcp):
                assert address(await asyncio.to_thread(ask_it, port)) == "10.0.1.10"


def test_a_passed_socket_that_is_not_listed_is_named() -> None:
    with manager(port := free_port()) as passed:
        said = rf"dns\.listen: the UDP socket edge\.socket that was passed, 127\.0\.0\.1 port {port}, is not listed"
        with pytest.raises(ConfigError, match=said):
            Ports([("127.0.0.2", port)], passed)


def test_a_passed_socket_that_takes_ipv4_too_is_refused() -> None:
    with manager(port := free_port(), "::", v6only=False) as passed, pytest.raises(ConfigError, match="ipv6-only"):
        Ports([("::", port)], passed)


def test_a_passed_socket_that_does_not_listen_is_refused() -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        with pytest.raises(ConfigError, match="Accept=no"):
            Ports([mute.getsockname()], [Passed("x", mute)])


def test_a_passed_socket_of_another_kind_is_refused() -> None:
    with (
        socket.socket(socket.AF_UNIX) as other,
        pytest.raises(ConfigError, match=r"the socket x .* neither UDP nor TCP"),
    ):
        Ports([("127.0.0.1", 53)], [Passed("x", other)])


# --- one agent an address ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_second_agent_with_another_state_directory_is_refused_and_the_first_is_named(
    tmp_path: Path, host: str
) -> None:
    """Both would answer, each half of the askers, from data of their own."""
    port = free_port()
    (other := tmp_path / "other").mkdir()
    said = rf"dns\.listen: {host} port {port}: .*in use; .* with that port: "
    with controller(port, tmp_path) as (first, _), pytest.raises(ConfigError, match=said) as refused:
        Workers([(host, port)], 1, LOOPBACK, other).start(ZONE)
    assert str(first.pid) in str(refused.value)


def test_orphans_of_another_state_directory_count_as_well(tmp_path: Path) -> None:
    port = free_port()
    (other := tmp_path / "other").mkdir()
    with orphans(port, tmp_path), pytest.raises(ConfigError, match="in use"):
        Workers([("127.0.0.1", port)], 1, LOOPBACK, other).start(ZONE)


async def test_wildcards_of_both_families_and_a_single_address_share_a_port(tmp_path: Path) -> None:
    port = free_port()
    listen = [("127.0.0.3", port), ("0.0.0.0", port), ("::", port), ("::1", port)]
    workers = Workers(listen, 2, LOOPBACK, tmp_path)
    workers.start(ZONE)
    supervising = asyncio.create_task(workers.supervise())
    try:
        for asked in ("127.0.0.3", "127.0.0.4", "::1"):
            for ask_it in (ask, ask_tcp):
                assert address(await asyncio.to_thread(ask_it, port, host=asked)) == "10.0.1.10"
    finally:
        supervising.cancel()
        await workers.stop()


@pytest.mark.parametrize(("host", "said"), [("192.0.2.1", "does not have the address"), ("fe80::1", "interface")])
def test_an_address_that_cannot_be_bound_is_explained(tmp_path: Path, host: str, said: str) -> None:
    with pytest.raises(ConfigError, match=rf"dns\.listen: {host} port .*{said}"):
        Workers([(host, free_port())], 1, LOOPBACK, tmp_path).start(ZONE)


def test_a_port_of_root_is_explained() -> None:
    assert "CAP_NET_BIND_SERVICE" in ports._reason(OSError(errno.EACCES, "Permission denied"), 53)


# --- handing over -----------------------------------------------------------------------------------------------------


async def test_stopping_workers_answer_what_has_arrived(tmp_path: Path) -> None:
    """These wait in the socket of a worker that is held still until it is told to end, and ends by itself then."""
    port = free_port()
    workers = Workers([("127.0.0.1", port)], 1, LOOPBACK, tmp_path)
    workers.start(ZONE)
    (member,) = workers._members
    await until(lambda: workers.counters().zone_sequence)
    os.kill(member.process.pid, signal.SIGSTOP)
    with ExitStack() as askers:
        waiting = [askers.enter_context(asking(port)) for _ in range(200)]
        stopping = asyncio.create_task(workers.stop())
        await until(lambda: member.channel.fileno() == -1)
        os.kill(member.process.pid, signal.SIGCONT)
        for asker in waiting:
            assert len(await asyncio.to_thread(asker.recv, 512)) > 0
        await stopping
    assert member.process.returncode == 0


async def test_a_worker_that_hangs_is_ended_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.dns.server.LAST_WORDS_S", 0.1)
    async with running(tmp_path, free_port()) as workers:
        os.kill(pids(workers)[0], signal.SIGSTOP)
    assert workers._members[0].process.returncode == -signal.SIGKILL


UNASSIGNED = replace(ZONE, services=(replace(FILES, addresses=(), node=None, epoch=None),))


@asynccontextmanager
async def knowing_nothing(port: int, state_dir: Path) -> AsyncIterator[Workers]:
    workers = Workers([("127.0.0.1", port)], 2, LOOPBACK, state_dir)
    workers.start(UNASSIGNED)
    supervising = asyncio.create_task(workers.supervise())
    try:
        yield workers
    finally:
        supervising.cancel()
        await workers.stop()


async def test_a_generation_without_an_assignment_leaves_the_port_to_the_one_that_has_it(tmp_path: Path) -> None:
    """As when the store was lost and its workers live on: half of the askers would meet silence."""
    port = free_port()
    with orphans(port, tmp_path) as left:
        async with knowing_nothing(port, tmp_path) as workers, asyncio.timeout(PATIENCE_S):
            await workers.answering()
            assert await everybody_says(port) == {"10.0.1.10"}
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(workers.published(), 0.3)
            workers.publish(UNASSIGNED)
            assert all(map(lives, left))
            workers.publish(MOVED)
            await workers.published()
            await workers.alone()
            assert await everybody_says(port) == {"10.0.2.10"}


async def test_a_generation_without_an_assignment_takes_the_port_that_nobody_answers(tmp_path: Path) -> None:
    port = free_port()
    with orphans(port, tmp_path) as left:
        async with knowing_nothing(port, tmp_path) as workers, asyncio.timeout(PATIENCE_S):
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            await workers.published()
            assert (await asyncio.to_thread(ask, port, packet("fs.corp.example", Qtype.SOA))).header.aa


async def test_how_long_a_killed_worker_is_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sibling answers meanwhile, and nothing that was counted is lost."""
    monkeypatch.setattr("edge.dns.server.EARLY_DEATH_S", 0.0)
    port, took_ms = free_port(), []
    async with running(tmp_path, port, count=2) as workers:
        await everybody_says(port)
        counted = workers.counters().queries["A", "NOERROR", "udp"]
        member = workers._members[0]
        for _ in range(20):
            began_s, victim = monotonic(), member.process
            victim.kill()
            await until(lambda victim=victim: member.process is not victim and member.acknowledged)
            took_ms.append((monotonic() - began_s) * 1000)
        assert workers.counters().queries["A", "NOERROR", "udp"] == counted
    print(f"a killed worker's successor answers after {median(took_ms):.0f} ms, at most {max(took_ms):.0f} ms")


@pytest.mark.parametrize(("host", "asked"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.5"), ("::", "::1")])
def test_a_leaving_worker_gets_nothing_new_and_can_answer_what_it_has(host: str, asked: str) -> None:
    """Its sockets share the port with its successor's; what comes between its last look and its end would be lost."""
    port = free_port()
    ours = Ports([(host, port)])
    with ExitStack() as opened:
        leaving, staying = (opened.enter_context(ours.bind(UDP, alone=False)[0]) for _ in range(2))
        for each in (leaving, staying):
            each.setblocking(False)
        for _ in range(24):
            opened.enter_context(asking(port, host=asked))
        _withdraw(leaving)
        later = [opened.enter_context(asking(port, host=asked)) for _ in range(24)]
        had = received(leaving)
        assert len(had) + len(received(staying)) == 48
        assert had
        assert not {source[:2] for source in had} & {asker.getsockname()[:2] for asker in later}
        leaving.sendto(b"answer", had[0])


def received(port: socket.socket) -> list[tuple[str, int]]:
    with suppress(BlockingIOError):
        return [port.recvfrom(512)[1], *received(port)]
    return []
