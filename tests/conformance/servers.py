"""The servers that are compared, each started for real on loopback, with its files in one directory.

Their defaults hold, but: no rate limit, no file-system home, idle time-outs of some seconds so that the rule about
them need not wait for minutes, and TTL 0 allowed (gdnsd's `min_ttl`).
"""

import asyncio
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import NamedTuple

from edge.dns.guard import Policy
from edge.dns.rates import Rates
from edge.dns.server import Workers
from tests.conformance.wire import T, query
from tests.conformance.zone import APEX, CHILD, ZONES, master_file
from tests.ports import free_port

HOST = "127.0.0.1"
START_S = 30.0
POLICY = Policy(
    ("127.0.0.0/8",),
    amplification=100.0,  # out of the way of the rules about sizes: at the default, 10, it cuts before they do
    cookie_secrets=("e5e973e5a6b2a43f48e7dc849e37bfcf",),
    identity="edge-1",
    version="edge",
    rates=Rates(unprepared_per_s=0.0),
)


class Config(NamedTuple):
    """`text` has the zones in it, each as `zone`."""

    file: str
    text: str
    zone: str


BIND = Config(
    "named.conf",
    """
options {{ directory "{home}"; listen-on port {port} {{ {host}; }}; listen-on-v6 {{ none; }}; recursion no;
  pid-file none; session-keyfile "{home}/session.key"; managed-keys-directory "{home}"; allow-transfer {{ none; }};
  dnssec-validation no; notify no; check-names primary ignore;
  tcp-initial-timeout 50; tcp-idle-timeout 50; server-id "peer"; }};
controls {{ }};
{zones}
""",
    'zone "{name}" {{ type primary; file "{home}/{name}"; }};',
)
KNOT = Config(
    "knot.conf",
    """
server:
  listen: {host}@{port}
  rundir: {home}
  nsid: peer
  identity: peer
  tcp-idle-timeout: 5
  udp-workers: {threads}
  tcp-workers: 1
  background-workers: 1
database:
  storage: {home}
mod-cookies:
  - id: default
template:
  - id: default
    storage: {home}
    global-module: mod-cookies/default
zone:
{zones}
""",
    "  - domain: {name}\n    file: {home}/{name}",
)
NSD = Config(
    "nsd.conf",
    """
server:
  ip-address: {host}@{port}
  username: ""
  chroot: ""
  zonesdir: "{home}"
  pidfile: "{home}/nsd.pid"
  database: ""
  xfrdfile: "{home}/xfrd.state"
  zonelistfile: "{home}/zone.list"
  xfrdir: "{home}"
  logfile: "{home}/nsd.log"
  server-count: {threads}
  rrl-ratelimit: 0
  tcp-timeout: 5
  answer-cookie: yes
  nsid: "ascii_peer"
  identity: "peer"
remote-control:
  control-enable: no
{zones}
""",
    'zone:\n  name: {name}\n  zonefile: "{home}/{name}"',
)
GDNSD = Config(
    "config",
    """
options => {{ listen => [ "{host}:{port}" ], udp_threads => {threads}, tcp_threads => 1, min_ttl => 0,
  tcp_timeout => 5, run_dir => {home}, state_dir => {home}, nsid_ascii => peer, chaos_response => peer }}
""",
    "",
)


@dataclass(frozen=True, slots=True)
class Server:
    """`variants`: the same server as others may have configured it; see `tests.conformance.variants`."""

    name: str
    host: str
    port: int
    pids: tuple[int, ...]
    variants: Mapping[str, "Server"] = field(default_factory=dict, compare=False)


Start = Callable[[Path, int], Iterator[Server]]


@contextmanager
def edge(home: Path, workers: int = 1, policy: Policy = POLICY, hosts: Sequence[str] = (HOST,)) -> Iterator[Server]:
    """A real controller's side, its loop in a thread: the workers are processes of their own."""
    port, loop = free_port(), asyncio.new_event_loop()
    side = Workers([(host, port) for host in hosts], workers, policy, home)
    side.start(ZONES)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    supervising = asyncio.run_coroutine_threadsafe(side.supervise(), loop)
    try:
        asyncio.run_coroutine_threadsafe(side.published(), loop).result(START_S)
        yield Server("edge", hosts[0], port, tuple(member.process.pid for member in side._members))
    finally:
        supervising.cancel()
        asyncio.run_coroutine_threadsafe(side.stop(), loop).result(START_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def bind(home: Path, threads: int = 1) -> Iterator[Server]:
    port = free_port()
    config = _configured(home, BIND, port, threads)
    yield from run_server("BIND", ["named", "-f", "-n", str(threads), "-c", str(config), "-g"], home, port)


@contextmanager
def knot(home: Path, threads: int = 1) -> Iterator[Server]:
    port = free_port()
    yield from run_server("Knot", ["knotd", "-c", str(_configured(home, KNOT, port, threads))], home, port)


@contextmanager
def nsd(home: Path, threads: int = 1) -> Iterator[Server]:
    port = free_port()
    yield from run_server("NSD", ["nsd", "-d", "-c", str(_configured(home, NSD, port, threads))], home, port)


@contextmanager
def gdnsd(home: Path, threads: int = 1) -> Iterator[Server]:
    port = free_port()
    _configured(home, GDNSD, port, threads)
    (home / "zones").mkdir()
    for zone in ZONES:
        if zone.name != CHILD:  # it takes no zone below another
            (home / zone.name).rename(home / "zones" / zone.name)
    yield from run_server("gdnsd", ["gdnsd", "-c", str(home), "start"], home, port)


PEERS = {"BIND": (bind, "named"), "Knot": (knot, "knotd"), "NSD": (nsd, "nsd"), "gdnsd": (gdnsd, "gdnsd")}


def installed(peer: str) -> bool:
    return shutil.which(PEERS[peer][1]) is not None


def _configured(home: Path, config: Config, port: int, threads: int) -> Path:
    for zone in ZONES:
        (home / zone.name).write_text(master_file(zone))
    zones = "\n".join(config.zone.format(name=zone.name, home=home) for zone in ZONES)
    (home / config.file).write_text(config.text.format(home=home, host=HOST, port=port, zones=zones, threads=threads))
    return home / config.file


def run_server(name: str, command: list[str], home: Path, port: int) -> Iterator[Server]:
    with (home / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log, cwd=home) as process:
        try:
            _wait(partial(process.poll), port, home / "log")
            yield Server(name, HOST, port, (process.pid,))
        finally:
            process.terminate()


def _wait(ended: Callable[[], int | None], port: int, log: Path) -> None:
    deadline_s = monotonic() + START_S
    with socket.socket(type=socket.SOCK_DGRAM) as asker:
        asker.settimeout(0.2)
        while monotonic() < deadline_s and ended() is None:
            with suppress(OSError):
                asker.connect((HOST, port))
                asker.send(query(APEX, T.SOA))
                if asker.recv(4096)[3] & 0xF == 0:
                    return
            sleep(0.05)
    raise RuntimeError(f"did not start: {log.read_text()[-2000:]}")
