"""`python -m tests.fuzz.record`: what real programs send, as `tests/fuzz/corpus.txt`. Root, Linux.

A desk on port 53 of a network namespace of its own keeps each packet that arrives, and answers it. There stub resolvers
ask, forwarders and resolvers pass on what they are asked, secondaries ask for the zone and primaries notify of it.
What is not installed is left out. Each line has a packet, its id zeroed, and who sent it first.
"""

import os
import selectors
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory
from time import monotonic, sleep

from edge.dns.counters import Tally
from edge.dns.desk import Desk
from edge.dns.message import Transport
from edge.dns.orders import Order
from edge.dns.tcp import Connection
from tests.conformance.wire import AD, CD, DO, RD, T, opt, query
from tests.conformance.zone import APEX, ZONES, master_file
from tests.fuzz.programs import ASKED, DESK, PROGRAMS, RELAY, RELAYS, STUBS, Relay, Stub
from tests.fuzz.seeds import RECORDED
from tests.fuzz.target import UNLIMITED

PORT = 53
PATIENCE_S = 8.0
START_S = 5.0
LINKS = (
    "link set lo up",
    f"address add {RELAY}/8 dev lo",  # named looks for it
    "link add here type veth peer name there",  # systemd-resolved wants a network
    "address add 192.0.2.2/24 dev here",
    "link set here up",
    "link set there up",
)
QUIET_S = 0.5  # for what a program sends after it was asked
PATHS = f"{os.environ['PATH']}:/usr/sbin:/sbin:/lib/systemd"


class Recorder:
    """Answers on port 53 in a thread, and keeps what arrives."""

    def __init__(self) -> None:
        self.packets = list[bytes]()
        self._desk = Desk(Tally.create(), Order(1, ZONES, UNLIMITED))
        self._udp, self._tcp = socket.socket(type=socket.SOCK_DGRAM), socket.socket()
        self._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for port in (self._udp, self._tcp):
            port.bind((DESK, PORT))
        self._tcp.listen()
        threading.Thread(target=self._run, daemon=True).start()

    def answer(self, packet: bytes, source: tuple[str, int], transport: Transport) -> bytes | None:
        self.packets.append(packet)
        return self._desk.answer(packet, source, transport)

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._udp, selectors.EVENT_READ, self._datagram)
            selector.register(self._tcp, selectors.EVENT_READ, partial(self._accept, selector))
            while True:
                for key, _ in selector.select():
                    key.data()

    def _datagram(self) -> None:
        packet, source = self._udp.recvfrom(65535)
        if (wire := self.answer(packet, source, Transport.UDP)) is not None:
            self._udp.sendto(wire, source)

    def _accept(self, selector: selectors.BaseSelector) -> None:
        stream, source = self._tcp.accept()
        stream.setblocking(False)
        connection = Connection(stream, source)
        selector.register(stream, selectors.EVENT_READ, partial(self._turn, selector, connection))

    def _turn(self, selector: selectors.BaseSelector, connection: Connection) -> None:
        with suppress(OSError):
            connection.turn(_Relay(self))  # type: ignore[arg-type]
            if not connection.ended:
                return
        selector.unregister(connection.stream)
        connection.stream.close()


class _Relay:
    """A desk to a TCP connection."""

    def __init__(self, recorder: Recorder) -> None:
        self.answer = recorder.answer

    def look_at_clock(self) -> None:
        pass


# --- running them


def _ask_all(at: str) -> None:
    """Twice: as a stub does, and as a validating resolver does."""
    for owner, qtype in ASKED:
        for packet in (query(owner, qtype, flags=RD), query(owner, qtype, opt(flags=DO), flags=RD | AD | CD)):
            with socket.socket(type=socket.SOCK_DGRAM) as asker:
                asker.settimeout(1.0)
                asker.connect((at, PORT))
                with suppress(OSError):
                    asker.send(packet)
                    asker.recv(65535)


def _run_stub(stub: Stub, run: str) -> None:
    arguments = [PROGRAMS.get(word, word) for word in run.split()]
    with suppress(subprocess.TimeoutExpired):
        command = [stub.program, *arguments]
        subprocess.run(command, input=stub.given.encode(), capture_output=True, timeout=PATIENCE_S, check=False)


@contextmanager
def _running(relay: Relay) -> Iterator[None]:
    with TemporaryDirectory() as text, (Path(text) / "log").open("w+b") as log:
        home, found = Path(text), partial(Template.substitute, home=text)
        home.chmod(0o777)
        (home / "zone").write_text(master_file())
        (home / "conf").write_text(found(Template(relay.conf)))
        command = [str(shutil.which(relay.program, path=PATHS)), *found(Template(relay.arguments)).split()]
        with subprocess.Popen(command, stdout=log, stderr=log, cwd=home) as process:
            if not _answers(relay.at, process):
                print(
                    f"{relay.program}, {relay.label}: no answer\n", (home / "log").read_text()[-600:], file=sys.stderr
                )
            yield
            process.terminate()


def _answers(at: str, process: subprocess.Popen[bytes]) -> bool:
    deadline_s = monotonic() + START_S
    while monotonic() < deadline_s and process.poll() is None:
        with socket.socket(type=socket.SOCK_DGRAM) as asker, suppress(OSError):
            asker.settimeout(0.3)
            asker.connect((at, PORT))
            asker.send(query(APEX, T.SOA, flags=RD))
            asker.recv(65535)
            return True
        sleep(0.1)
    return False


def _record(recorder: Recorder) -> Iterator[tuple[bytes, str]]:
    for stub in STUBS:
        if shutil.which(stub.program, path=PATHS):
            for run in stub.runs:
                _run_stub(stub, run)
                yield from _heard(recorder, f"{_version(stub)}: {Path(stub.program).name} {run}")
    for relay in RELAYS:
        if shutil.which(relay.program, path=PATHS):
            with _running(relay):
                _ask_all(relay.at)
            sleep(QUIET_S)
            yield from _heard(recorder, f"{_version(relay)}: {relay.label}")


def _heard(recorder: Recorder, label: str) -> Iterator[tuple[bytes, str]]:
    count = len(recorder.packets)
    yield from ((b"\0\0" + packet[2:], label.replace(f"@{DESK} ", "")) for packet in recorder.packets[:count])
    del recorder.packets[:count]


def _version(sender: Stub | Relay) -> str:
    if sender.package == "dnspython":
        from dns.version import version

        return f"dnspython {version}"
    command = ["dpkg-query", "-W", "-f", "${Version}", sender.package]
    found = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return f"{sender.package} {found}".strip()


# --- the namespace


def _enclose(home: Path) -> None:
    """Ours alone from here on: the loopback interface, and what names the DNS server to everybody."""
    files = {
        "/etc/resolv.conf": f"nameserver {DESK}\nsearch {APEX}\noptions edns0 timeout:1\n",
        "/etc/nsswitch.conf": "hosts: dns\n",
        "/etc/passwd": Path("/etc/passwd").read_text() + "systemd-resolve:x:65533:65533::/:/usr/sbin/nologin\n",
        "/etc/group": Path("/etc/group").read_text() + "systemd-resolve:x:65533:\n",
    }
    for words in LINKS:
        subprocess.run(["ip", *words.split()], check=True)
    for place, text in files.items():
        ours = home / Path(place).name
        ours.write_text(text)
        ours.chmod(0o644)
        subprocess.run(["mount", "--bind", ours, place], check=True)
    for place in ("/run/systemd", "/etc/systemd"):
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=True)
    Path("/etc/systemd/resolved.conf").write_text(
        f"[Resolve]\nDNS={DESK}\nDomains=~.\nDNSSEC=no\nLLMNR=no\nMulticastDNS=no\n"
    )


def _inside() -> None:
    with TemporaryDirectory() as home:
        _enclose(Path(home))
        found = dict[bytes, str]()
        for packet, label in _record(Recorder()):
            found.setdefault(packet, label)
    RECORDED.write_text("".join(f"{packet.hex()} # {' '.join(label.split())}\n" for packet, label in found.items()))
    print(f"{len(found)} packets")


def main(arguments: Sequence[str]) -> int:
    if "--inside" in arguments:
        _inside()
        return 0
    return subprocess.run(
        ["unshare", "-mn", sys.executable, "-m", "tests.fuzz.record", "--inside"], check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
