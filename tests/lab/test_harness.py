"""The laboratory itself, on trial without the agent: what a test of the agent may take for granted in it."""

import errno
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from tests.lab import netns
from tests.lab.daemon import Daemon, accepts_tcp, connect_s
from tests.lab.forwarders import ZONE
from tests.lab.line import Settings
from tests.lab.samba import PORT, write_file
from tests.lab.topology import ADDRESS, NODES, SERVICE, WITNESS_PORT, Lab
from tests.lab.watch import SILENCE

pytestmark = pytest.mark.lab

A, B = (ADDRESS[node] for node in NODES)
FORWARDERS = ("unbound", "bind")
GENEROUS_S = 5.0  # for what takes milliseconds on an idle machine
NOTHING_COMES_S = 0.5  # how long a test waits for what mustn't come


class Authority:
    """The stand-in on the agent's address, when both forwarders have found it."""

    def __init__(self, lab: Lab) -> None:
        argv = [sys.executable, "-m", "tests.lab.stand_in", ADDRESS["agent"], ZONE, SERVICE, A]
        self.daemon = lab.start("agent", argv, "stand-in.log", stdin=subprocess.PIPE)
        for server in ("agent", *FORWARDERS):  # BIND remembers a SERVFAIL for 1 s (servfail-ttl)
            self.daemon.wait_until(partial(answers_a, lab, ADDRESS[server]))

    def asked_by(self) -> list[str]:
        return self.daemon.log.read_text().split()

    def point_to(self, target: str) -> None:
        told = self.daemon.process.stdin
        assert told is not None
        told.write(f"{target}\n".encode())
        told.flush()


@pytest.fixture(autouse=True)
def mended(lab: Lab) -> Iterator[None]:
    yield
    lab.line.mend()


@pytest.fixture
def authority(lab: Lab) -> Iterator[Authority]:
    running = Authority(lab)
    yield running
    running.daemon.kill()


def answers_a(lab: Lab, server: str) -> bool:
    with suppress(OSError):
        records = lab.query("client-bind", server, timeout_s=NOTHING_COMES_S).rr
        return [str(record.rdata) for record in records] == [A]
    return False


def put(lab: Lab, forwarder: str, name: str) -> subprocess.CompletedProcess[str]:
    """A user who asks that forwarder writes a file into the share."""
    file = lab.scratch / name
    file.write_text(f"written as {name}\n")
    return write_file(lab.spaces[f"client-{forwarder}"], SERVICE.rstrip("."), file, timeout_s=5)


def path_works(lab: Lab) -> bool:
    return accepts_tcp(lab.spaces["agent"], ADDRESS["witness"], WITNESS_PORT, GENEROUS_S)


# The line


@pytest.mark.parametrize("delay_s", [0.010, 0.040])
def test_a_connect_takes_two_delays(lab: Lab, delay_s: float) -> None:
    lab.line.apply(Settings(delay_s=delay_s))
    best_s = min(connect_s(lab.spaces["agent"], A, PORT) for _ in range(10))
    assert 2 * delay_s <= best_s < 2 * delay_s + 1.0


@pytest.mark.parametrize("settings", [Settings(up=False), Settings(loss_to_vpc=1.0, loss_to_onprem=1.0)])
def test_a_dead_line_is_silent_and_can_be_mended(lab: Lab, settings: Settings) -> None:
    assert path_works(lab)
    lab.line.apply(settings)
    with pytest.raises(TimeoutError):
        connect_s(lab.spaces["agent"], ADDRESS["witness"], WITNESS_PORT, NOTHING_COMES_S)
    lab.line.mend()
    assert path_works(lab)


@pytest.mark.parametrize(
    ("settings", "there", "back"),
    [
        (Settings(), True, True),
        (Settings(loss_to_onprem=1.0), True, False),
        (Settings(loss_to_vpc=1.0), False, True),
    ],
)
def test_loss_may_be_one_way(lab: Lab, settings: Settings, there: bool, back: bool) -> None:
    lab.line.apply(settings)
    assert crosses(lab, "agent", "node-a", wait_s=GENEROUS_S if there else NOTHING_COMES_S) == there
    assert crosses(lab, "node-a", "agent", wait_s=GENEROUS_S if back else NOTHING_COMES_S) == back


def crosses(lab: Lab, here: str, there: str, wait_s: float) -> bool:
    """Does a datagram arrive? It needs no answer, so it tells one direction from the other."""
    with (
        lab.spaces[there].socket(socket.SOCK_DGRAM) as door,
        lab.spaces[here].socket(socket.SOCK_DGRAM) as sender,
    ):
        door.bind((ADDRESS[there], 0))
        door.settimeout(wait_s)
        sender.sendto(b"hello", door.getsockname())
        with suppress(TimeoutError):
            return door.recv(16) == b"hello"
        return False


# The machines


def test_nothing_leaves_the_laboratory(lab: Lab) -> None:
    with pytest.raises(OSError, match="unreachable") as refusal:
        connect_s(lab.spaces["client-bind"], "192.0.2.1", 53)  # TEST-NET-1, RFC 5737
    assert refusal.value.errno in {errno.ENETUNREACH, errno.EHOSTUNREACH}


def test_loopback_works_for_what_runs_beside_the_agent(lab: Lab) -> None:
    with lab.spaces["agent"].socket(socket.SOCK_STREAM) as door:
        door.bind(("127.0.0.1", 0))
        door.listen()
        assert accepts_tcp(lab.spaces["agent"], "127.0.0.1", door.getsockname()[1])


def test_a_killed_server_refuses_and_a_lost_machine_is_silent(lab: Lab) -> None:
    client, node = lab.spaces["client-bind"], lab.samba["node-b"]
    node.kill()
    with pytest.raises(ConnectionRefusedError):
        connect_s(client, B, PORT)
    node.start()
    assert accepts_tcp(client, B, PORT, GENEROUS_S)
    lab.silence("node-b")
    with pytest.raises(TimeoutError):
        connect_s(client, B, PORT, NOTHING_COMES_S)
    lab.unsilence("node-b")
    assert accepts_tcp(client, B, PORT, GENEROUS_S)


# Names and files


@pytest.mark.parametrize("forwarder", FORWARDERS)
def test_a_file_lands_where_the_name_points(lab: Lab, authority: Authority, forwarder: str) -> None:
    for node in NODES:
        authority.point_to(ADDRESS[node])
        name, before = f"{forwarder}-{node}.txt", len(authority.asked_by())
        done = put(lab, forwarder, name)
        assert done.returncode == 0, done.stdout + done.stderr
        assert [n for n in NODES if (lab.samba[n].share / name).exists()] == [node]
        assert (lab.samba[node].share / name).read_text() == f"written as {name}\n"
        assert ADDRESS[forwarder] in authority.asked_by()[before:]


@pytest.mark.parametrize("forwarder", FORWARDERS)
def test_without_the_authority_there_is_no_name(lab: Lab, forwarder: str) -> None:
    """The name comes from nowhere else: no hosts file, no cache, no other resolver."""
    done = put(lab, forwarder, "nobody.txt")
    assert done.returncode != 0
    assert accepts_tcp(lab.spaces["agent"], A, PORT)  # it wasn't for want of a server
    assert not any((lab.samba[node].share / "nobody.txt").exists() for node in NODES)


def test_a_killed_server_takes_no_file_and_a_restarted_one_does(lab: Lab, authority: Authority) -> None:
    lab.samba["node-a"].kill()
    refused = put(lab, "bind", "dead.txt")
    assert refused.returncode != 0
    assert "NT_STATUS_CONNECTION_REFUSED" in refused.stderr  # and not for want of a name
    lab.samba["node-a"].start()
    assert put(lab, "bind", "alive.txt").returncode == 0
    assert not (lab.samba["node-a"].share / "dead.txt").exists()


@pytest.mark.parametrize("forwarder", FORWARDERS)
def test_the_watcher_sees_a_change_and_when_it_was(lab: Lab, authority: Authority, forwarder: str) -> None:
    watch = lab.watch(f"client-{forwarder}", ADDRESS[forwarder], f"{forwarder}.watch")
    old = watch.wait_for(lambda change: change.answer == A)
    authority.point_to(B)
    new = watch.wait_for(lambda change: change.answer == B)
    counts = watch.stop()
    assert old.asked_s <= old.seen_s < new.seen_s
    assert new.asked_s <= new.seen_s
    assert counts[A] >= 1
    assert counts[B] >= 1


def test_the_watcher_tells_silence(lab: Lab, authority: Authority) -> None:
    watch = lab.watch("client-bind", ADDRESS["agent"], "silence.watch")
    watch.wait_for(lambda change: change.answer == A)
    authority.daemon.signal(signal.SIGSTOP)
    silent = watch.wait_for(lambda change: change.answer == SILENCE)
    authority.daemon.signal(signal.SIGCONT)
    watch.wait_for(lambda change: change.answer == A and change.seen_s > silent.seen_s)
    watch.stop()


# The end of it


class SomethingWentWrongError(Exception):
    pass


def test_a_failure_leaves_no_namespace_no_file_and_no_process(able: None) -> None:
    broken = Lab()
    servers: list[int] = []
    with pytest.raises(SomethingWentWrongError):
        fail_inside(broken, servers)
    assert len(servers) >= 5  # two file servers, the witness, two forwarders
    assert netns.remains(broken.run_id) == []
    assert not [pid for pid in servers if runs(pid)]


def fail_inside(lab: Lab, servers: list[int]) -> None:
    with lab:
        servers.extend(pids_of(lab.run_id))
        raise SomethingWentWrongError


def test_the_leftovers_of_a_dead_run_are_swept_and_a_live_run_is_left_alone(lab: Lab) -> None:
    sleeper, run_id = orphan(dead_pid())
    netns.sweep()
    assert sleeper.process.wait(GENEROUS_S) == -signal.SIGKILL
    assert netns.remains(run_id) == []
    assert path_works(lab)


def orphan(owner: int) -> tuple[Daemon, str]:
    run_id = f"{netns.PREFIX}{owner}-0000"
    log = netns.scratch(run_id) / "sleep.log"
    space = netns.create(run_id, "node-a", ADDRESS["bind"])
    return Daemon.start(space, ["sleep", "600"], log), run_id


def dead_pid() -> int:
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    return gone.pid


def pids_of(run_id: str) -> list[int]:
    names = [path.name for path in netns.NETNS.glob(f"{run_id}-*")]
    return [pid for name in names for pid in netns.pids(name)]


def runs(pid: int) -> bool:
    """A zombie doesn't: it has been killed, and waits for its parent to notice."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return ") Z " not in Path("/proc", str(pid), "stat").read_text()
    return False
