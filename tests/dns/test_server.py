"""Real controllers and real worker processes on loopback. Waits are generous: a slow machine only takes longer."""

import asyncio
import json
import logging
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from time import monotonic

import pytest
from dnslib import DNSRecord

from edge.dns import orders, server
from edge.dns.guard import Deny, Policy
from edge.dns.message import Qtype
from edge.dns.ports import Passed
from edge.dns.server import Workers
from edge.dns.zone import Zone
from edge.errors import ConfigError, RefusedError
from tests.dns.samples import DUAL, FILES, WAITING, ZONE, packet
from tests.ports import free_port

PATIENCE_S = 60.0
LOOPBACK = Policy(("127.0.0.0/8", "::1/128"))
A_QUERY = packet("files.fs.corp.example", Qtype.A)
MOVED = replace(ZONE, serial=2, services=(replace(FILES, addresses=("10.0.2.10",), node="b", epoch=13), DUAL, WAITING))
SOURCES = 24  # enough that the kernel's hash gives each of two workers some: all to one has a chance of 2 ** -23


@asynccontextmanager
async def running(
    state_dir: Path,
    port: int,
    *,
    count: int = 1,
    zone: Zone = ZONE,
    host: str = "127.0.0.1",
    policy: Policy = LOOPBACK,
    passed: Iterable[Passed] = (),
) -> AsyncIterator[Workers]:
    workers = Workers([(host, port)], count, policy, state_dir, passed)
    workers.start(zone)
    supervising = asyncio.create_task(workers.supervise())
    try:
        async with asyncio.timeout(PATIENCE_S):
            await workers.published()
        yield workers
    finally:
        supervising.cancel()
        await workers.stop()


@contextmanager
def asking(port: int, data: bytes = A_QUERY, host: str = "127.0.0.1") -> Iterator[socket.socket]:
    """A socket that has sent its question, once."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.connect((host, port))
        asker.settimeout(PATIENCE_S)
        asker.send(data)
        yield asker


def ask(port: int, data: bytes = A_QUERY, host: str = "127.0.0.1") -> DNSRecord:
    with asking(port, data, host) as asker:
        return DNSRecord.parse(asker.recv(4096))


def ask_tcp(port: int, data: bytes = A_QUERY, host: str = "127.0.0.1") -> DNSRecord:
    with socket.create_connection((host, port), PATIENCE_S) as stream, stream.makefile("rb") as answers:
        stream.sendall(len(data).to_bytes(2) + data)
        return DNSRecord.parse(answers.read(int.from_bytes(answers.read(2))))


def address(record: DNSRecord) -> str:
    return str(record.rr[0].rdata)


async def everybody_says(port: int) -> set[str]:
    """What askers from many source ports, and so all workers, are told over UDP."""
    return {address(await asyncio.to_thread(ask, port)) for _ in range(SOURCES)}


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - other processes raise no event
            await asyncio.sleep(0.01)


def lives(pid: int) -> bool:
    """A zombie of somebody else's child is dead enough."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def pids(workers: Workers) -> list[int]:
    return [member.process.pid for member in workers._members]


def inherited(pid: int) -> tuple[bytes, list[Path]]:
    process = Path(f"/proc/{pid}")
    return (process / "environ").read_bytes(), [entry.readlink() for entry in (process / "fd").iterdir()]


@contextmanager
def controller(port: int, state_dir: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """Another process with two workers, and their process ids."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.dns.controller", str(port), str(state_dir)]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        workers = json.loads(process.stdout.readline())
        try:
            yield process, workers
        finally:
            process.kill()
            for pid in filter(lives, workers):
                os.kill(pid, signal.SIGKILL)


@contextmanager
def orphans(port: int, state_dir: Path) -> Iterator[list[int]]:
    """The workers of a controller that was killed with SIGKILL."""
    with controller(port, state_dir) as (process, workers):
        process.kill()
        process.wait()
        yield workers


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1"])
async def test_answers_over_udp_and_tcp_come_from_the_address_that_was_asked(tmp_path: Path, host: str) -> None:
    port = free_port()
    async with running(tmp_path, port, host=host):
        assert address(await asyncio.to_thread(ask, port, host=host)) == "10.0.1.10"
        assert address(await asyncio.to_thread(ask_tcp, port, host=host)) == "10.0.1.10"


async def test_dig_understands_us(tmp_path: Path) -> None:
    async def dig(*words: str) -> str:
        command = ("dig", "@127.0.0.1", "-p", str(port), "+time=30", "+noall", "+answer", "+comments", *words)
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        return (await process.communicate())[0].decode()

    port = free_port()
    async with running(tmp_path, port):
        for transport in ("+notcp", "+tcp"):
            answer = await dig(transport, "_edge.files.fs.corp.example", "TXT")
            assert '"epoch=12 node=a"' in answer
            assert "flags: qr aa rd;" in answer
            assert "udp: 1232" in answer
        assert "status: NXDOMAIN" in await dig("+notcp", "no.fs.corp.example")


async def test_once_published_a_zone_is_answered_by_every_worker(tmp_path: Path) -> None:
    port = free_port()
    async with running(tmp_path, port, count=2) as workers:
        for zone, expected in [(MOVED, "10.0.2.10"), (ZONE, "10.0.1.10"), (MOVED, "10.0.2.10")]:
            workers.publish(zone)
            async with asyncio.timeout(PATIENCE_S):
                await workers.published()
            assert await everybody_says(port) == {expected}
            assert workers.counters().zone_sequence == workers._newest.order.sequence


async def test_a_zone_is_swapped_whole_and_without_a_lost_query(tmp_path: Path) -> None:
    """Two names ask in one TCP write: their answers always belong to the same zone."""
    port = free_port()
    txt = packet("_edge.files.fs.corp.example", Qtype.TXT)
    both = b"".join(len(data).to_bytes(2) + data for data in (A_QUERY, txt))

    def pair() -> tuple[str, str]:
        with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as stream, stream.makefile("rb") as answers:
            stream.sendall(both)
            read = [DNSRecord.parse(answers.read(int.from_bytes(answers.read(2)))) for _ in range(2)]
            return address(read[0]), address(read[1])

    async with running(tmp_path, port) as workers:
        seen = set()
        for turn in range(30):
            workers.publish(replace(ZONE if turn % 2 else MOVED, serial=turn))
            seen |= set(await asyncio.gather(*(asyncio.to_thread(pair) for _ in range(4))))
        assert seen <= {("10.0.1.10", '"epoch=12 node=a"'), ("10.0.2.10", '"epoch=13 node=b"')}
        assert len(seen) == 2


async def test_a_worker_that_is_killed_costs_nobody_an_answer(tmp_path: Path) -> None:
    """Its sibling answers on; what came to its own socket waits there for its successor, and is answered unrepeated."""
    port = free_port()
    async with running(tmp_path, port, count=2) as workers:
        await everybody_says(port)
        before = workers.counters().queries["A", "NOERROR", "udp"]
        victim, sibling = pids(workers)
        workers.publish(MOVED)
        os.kill(victim, signal.SIGKILL)
        await until(lambda: workers._members[1].acknowledged == 2)  # what comes before is answered from the old order
        assert await everybody_says(port) == {"10.0.2.10"}
        await until(lambda: workers._members[0].acknowledged)
        assert pids(workers)[0] != victim
        assert pids(workers)[1] == sibling
        assert workers.counters().queries["A", "NOERROR", "udp"] >= before + SOURCES


async def test_orders_in_a_hurry_need_no_question_to_be_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that come while another is prepared: the newest of them holds in the end, on a port that nobody asks."""
    taken = server._checked(orders.Order(1, (ZONE,), Policy(()))).site
    monkeypatch.setattr(  # it takes longer than the worker, and so would pace it
        server, "_checked", lambda order, *_: server.Checked(order, order.to_lines(), taken)
    )
    async with running(tmp_path, free_port()) as workers:
        for serial in range(2, 30):
            workers.publish(replace(MOVED, serial=serial))
            await asyncio.sleep(0.001)
        async with asyncio.timeout(PATIENCE_S):
            await workers.published()


async def test_a_worker_that_dies_again_and_again_is_started_less_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "EARLY_DEATH_S", float("inf"))
    async with running(tmp_path, free_port()) as workers:
        (member,) = workers._members
        for pause_s in (0.0, 0.1, 0.5):
            killed_s, victim = monotonic(), member.process
            victim.kill()
            await until(lambda victim=victim: member.process is not victim)
            assert member._started_s >= killed_s + pause_s


async def test_a_worker_of_another_version_is_not_started_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, port := free_port()) as workers:
        (member,) = workers._members
        with monkeypatch.context() as replaced:
            replaced.setattr(orders, "__version__", "0.0.9")
            member.process.kill()
            await until(lambda: member.process.returncode == orders.OTHER_VERSION)
        assert member._due_s > monotonic() + server.RESTART_PAUSES_S[-1]
        member._due_s = 0.0
        await until(lambda: member.acknowledged)
        assert await everybody_says(port) == {"10.0.1.10"}


async def test_a_worker_too_busy_to_listen_gets_the_newest_zone_later(tmp_path: Path) -> None:
    port = free_port()
    async with running(tmp_path, port) as workers:
        (member,) = workers._members
        member.channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # the kernel's least
        await until(lambda: member.acknowledged)
        os.kill(member.process.pid, signal.SIGSTOP)
        workers.publish(ZONE)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await workers.published()
        for turn in range(30):
            workers.publish(replace(MOVED, serial=turn))
        assert member._sent < workers._newest.order.sequence
        os.kill(member.process.pid, signal.SIGCONT)
        async with asyncio.timeout(PATIENCE_S):
            await workers.published()
        assert await everybody_says(port) == {"10.0.2.10"}


@pytest.mark.parametrize(("native", "word"), [(True, "natively"), (False, "in Python")])
async def test_the_log_says_who_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, *, native: bool, word: str
) -> None:
    monkeypatch.setattr(server, "NATIVE", native)
    with caplog.at_level(logging.INFO, "edge.dns.server"):
        async with running(tmp_path, free_port()):
            assert f"UDP is answered {word}" in caplog.text


async def test_workers_inherit_neither_environment_nor_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very secret")
    with (tmp_path / "secret").open("w") as secret:
        os.set_inheritable(secret.fileno(), True)
        async with running(tmp_path, free_port()) as workers:
            environment, files = inherited(*pids(workers))
    assert environment == b""
    assert not [file for file in files if "secret" in file.name]


async def test_garbage_is_survived(tmp_path: Path) -> None:
    seeded = random.Random(53)
    port = free_port()
    async with running(tmp_path, port) as workers:
        before = pids(workers)
        with socket.socket(type=socket.SOCK_DGRAM) as sender:
            for _ in range(500):
                damaged = bytearray(packet("no.fs.corp.example", Qtype.A, b"\0\0\x29\x04\xd0\0\0\0\0\0\0"))
                for _ in range(3):
                    damaged[seeded.randrange(len(damaged))] = seeded.randrange(256)
                sender.sendto(damaged[: seeded.randrange(len(damaged) + 1)], ("127.0.0.1", port))
        assert await everybody_says(port) == {"10.0.1.10"}
        assert pids(workers) == before
        assert workers.counters().dropped["short"] > 0
        assert workers.counters().dropped["internal"] == 0


async def test_a_service_without_assignment_is_silent_until_it_has_one(tmp_path: Path) -> None:
    port = free_port()
    fresh = replace(ZONE, services=(replace(FILES, addresses=(), node=None, epoch=None),))
    async with running(tmp_path, port, zone=fresh) as workers:
        with asking(port) as waiting:
            soa = await asyncio.to_thread(ask, port, packet("fs.corp.example", Qtype.SOA))
            assert soa.header.aa
            await until(lambda: workers.counters().dropped["unassigned"] == 1)
            workers.publish(ZONE)
            await workers.published()
            assert address(await asyncio.to_thread(ask, port)) == "10.0.1.10"
            waiting.setblocking(False)
            with pytest.raises(BlockingIOError):
                waiting.recv(512)


async def test_the_policy_can_change_with_a_zone(tmp_path: Path) -> None:
    port = free_port()
    async with running(tmp_path, port, policy=Policy(())) as workers:
        with asking(port):
            await until(lambda: workers.counters().dropped["denied"] == 1)
        workers.publish(ZONE, Policy((), Deny.REFUSE))
        await workers.published()
        assert (await asyncio.to_thread(ask, port)).header.rcode == 5
        workers.publish(ZONE, LOOPBACK)
        await workers.published()
        workers.publish(MOVED)
        await workers.published()
        assert await everybody_says(port) == {"10.0.2.10"}


async def test_nobody_waits_for_a_client_that_does_not_read(tmp_path: Path) -> None:
    port = free_port()
    burst = (len(A_QUERY).to_bytes(2) + A_QUERY) * 2000
    async with running(tmp_path, port):
        with socket.create_connection(("127.0.0.1", port)) as lazy:
            lazy.setblocking(False)
            with suppress(BlockingIOError):
                for _ in range(200):
                    lazy.send(burst)
                    await asyncio.sleep(0.002)
            assert await everybody_says(port) == {"10.0.1.10"}
            assert address(await asyncio.to_thread(ask_tcp, port)) == "10.0.1.10"


async def test_when_the_controller_is_killed_its_workers_answer_on_until_the_next_one_is_ready(tmp_path: Path) -> None:
    port = free_port()
    with orphans(port, tmp_path) as left:
        assert await everybody_says(port) == {"10.0.1.10"}
        assert address(await asyncio.to_thread(ask_tcp, port)) == "10.0.1.10"
        async with running(tmp_path, port, count=2, zone=MOVED) as workers, asyncio.timeout(PATIENCE_S):
            await workers.alone()
            assert await everybody_says(port) == {"10.0.2.10"}
            await until(lambda: not any(map(lives, left)))


async def test_orphans_of_two_generations_go_together(tmp_path: Path) -> None:
    port = free_port()
    with orphans(port, tmp_path) as oldest, orphans(port, tmp_path) as older:
        async with running(tmp_path, port, zone=MOVED) as workers, asyncio.timeout(PATIENCE_S):
            await workers.alone()
            assert await everybody_says(port) == {"10.0.2.10"}
            await until(lambda: not any(map(lives, oldest + older)))


async def test_orphans_go_with_their_state_directory(tmp_path: Path) -> None:
    with orphans(free_port(), tmp_path) as left:
        assert all(map(lives, left))
        (tmp_path / server.ROLL_FILE).unlink()
        await until(lambda: not any(map(lives, left)))


async def test_detached_workers_answer_on(tmp_path: Path) -> None:
    port = free_port()
    workers = Workers([("127.0.0.1", port)], 1, LOOPBACK, tmp_path)
    workers.start(ZONE)
    (pid,) = pids(workers)
    workers.detach()
    try:
        assert address(await asyncio.to_thread(ask, port)) == "10.0.1.10"
    finally:
        os.kill(pid, signal.SIGKILL)


async def test_a_worker_in_a_hurry_steps_back_when_its_controller_is_gone(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    async with running(tmp_path, free_port()) as workers:
        (pid,) = pids(workers)
        await until(lambda: os.sched_getscheduler(pid) == os.SCHED_RR)
        workers._members[0].channel.shutdown(socket.SHUT_WR)
        await until(lambda: os.sched_getscheduler(pid) == os.SCHED_OTHER)


async def test_stopped_workers_are_gone_and_so_is_their_port(tmp_path: Path) -> None:
    port = free_port()
    async with running(tmp_path, port, count=2) as workers:
        before = pids(workers)
    assert not any(map(lives, before))
    with socket.socket(type=socket.SOCK_DGRAM) as udp, socket.create_server(("127.0.0.1", port)):
        udp.bind(("127.0.0.1", port))


def test_a_second_controller_on_the_same_state_directory_is_refused(tmp_path: Path) -> None:
    with controller(free_port(), tmp_path), pytest.raises(RefusedError):
        Workers([("127.0.0.1", free_port())], 1, LOOPBACK, tmp_path).start(ZONE)


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
def test_an_address_that_is_not_ours_is_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigError, match=rf"dns\.listen: {host} "):
        Workers([(host, free_port())], 1, LOOPBACK, tmp_path).start(ZONE)


@pytest.mark.parametrize(("host", "asked"), [("0.0.0.0", "127.0.0.77"), ("::", "::1")])
async def test_a_wildcard_answers_from_the_address_that_was_asked(tmp_path: Path, host: str, asked: str) -> None:
    """A connected socket takes nothing from any other."""
    port = free_port()
    async with running(tmp_path, port, host=host):
        for ask_it in (ask, ask_tcp):
            assert address(await asyncio.to_thread(ask_it, port, host=asked)) == "10.0.1.10"


async def test_two_zones_are_answered_and_a_third_can_be_published(tmp_path: Path) -> None:
    port, other = free_port(), replace(ZONE, name="example.org", services=(), records=())
    async with running(tmp_path, port) as workers:
        workers.publish([ZONE, other])
        await workers.published()
        for name in (ZONE.name, other.name):
            record = await asyncio.to_thread(ask, port, packet(name, Qtype.SOA))
            assert (record.header.aa, len(record.rr)) == (1, 1)


CLIENTS = {
    "dig": ["dig", "+nocmd", "+nsid", "+cookie", "+tries=1", "+time=30"],
    "kdig": ["kdig", "+nsid", "+cookie", "+retry=0", "+time=30"],
}


@pytest.mark.parametrize("client", CLIENTS)
async def test_clients_take_our_cookies_and_nsid(tmp_path: Path, client: str) -> None:
    """dig says that a cookie is good where the client's half came back; a BADCOOKIE makes both ask again with ours."""
    if shutil.which(client) is None:
        pytest.skip(f"{client} is not installed")
    port = free_port()
    policy = replace(LOOPBACK, cookie_secrets=("e5e973e5a6b2a43f48e7dc849e37bfcf",), identity="edge-a")
    async with running(tmp_path, port, policy=policy) as workers:
        asking = [*CLIENTS[client], "@127.0.0.1", "-p", str(port), "files.fs.corp.example", "A"]
        said = (await asyncio.to_thread(subprocess.check_output, asking, text=True)).lower()
        assert all(words in said for words in ("noerror", "edge-a", "10.0.1.10", "cookie"))
        workers.publish(ZONE, replace(policy, cookie_required=True))
        await workers.published()
        said = (await asyncio.to_thread(subprocess.check_output, [*asking, "+badcookie"], text=True)).lower()
        assert "10.0.1.10" in said
        assert workers.counters().events["bad_cookie"] == 1


def test_a_port_that_somebody_else_has_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(ConfigError, match="in use"):
        Workers([other.getsockname()], 1, LOOPBACK, tmp_path).start(ZONE)


async def test_a_zone_that_cannot_be_right_leaves_the_old_one_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    async with running(tmp_path, port) as workers:
        with pytest.raises(ValueError, match="no nameserver"):
            workers.publish(replace(MOVED, nameservers={}))
        with pytest.raises(ValueError, match="not appear"):
            workers.publish(MOVED, Policy(("nonsense",)))
        monkeypatch.setattr(server, "ORDER_MAX_BYTES", 100)
        with pytest.raises(ValueError, match="more than 100"):
            workers.publish(MOVED)
        assert await everybody_says(port) == {"10.0.1.10"}


async def test_the_largest_order_fits_the_channel(tmp_path: Path) -> None:
    services = tuple(replace(FILES, name=f"{index:03}.fs.corp.example") for index in range(40))
    padded = replace(ZONE, services=services)
    spare = orders.ORDER_MAX_BYTES - len(orders.Order(2, (padded,), LOOPBACK).to_lines())
    assert spare > 0
    many = LOOPBACK.allow_query + ("10.0.0.0/8",) * (spare // len(', \\"10.0.0.0/8\\"'))
    port = free_port()
    async with running(tmp_path, port) as workers, asyncio.timeout(PATIENCE_S):
        workers.publish(padded, Policy(many))
        await workers.published()
        assert address(await asyncio.to_thread(ask, port, packet("007.fs.corp.example", Qtype.A))) == "10.0.1.10"
