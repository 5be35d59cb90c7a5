"""Who is measured. Each has one thread (process) for UDP, but where its name says two."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from unittest.mock import patch

from edge.dns import server
from edge.dns.orders import Legacy
from tests.bench.page import debian_version
from tests.conformance import servers
from tests.conformance.servers import HOST, Server, run_server
from tests.conformance.zone import APEX, FILES, master_file
from tests.ports import free_port

POWERDNS = """
launch=bind
bind-config={home}/named.conf
local-address={host}
local-port={port}
socket-dir={home}
daemon=no
guardian=no
receiver-threads=1
enable-lua-records=yes
"""
IN_PYTHON = "from edge.dns import udp, worker; udp.NATIVE = False; worker.main()"
ZONE_OF = 'zone "{apex}" {{ type master; file "{home}/zone"; }};\n'
ROOT = Path(__file__).parents[2]

Start = Callable[[Path], AbstractContextManager[Server]]


@contextmanager
def edge_in_python(home: Path) -> Iterator[Server]:
    """As where the native module was not built."""
    with patch.object(server, "_run", _run_in_python), servers.edge(home) as running:
        yield running


def _run_in_python(legacy: Legacy) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-I", "-c", IN_PYTHON, legacy.to_json()]
    return subprocess.Popen(command, pass_fds=legacy.descriptors(), env={}, cwd="/", start_new_session=True)


@contextmanager
def powerdns(home: Path) -> Iterator[Server]:
    """The address comes from Lua's `ifportup`; the port that is up is PowerDNS' own."""
    port = free_port()
    lines = [line for line in master_file().splitlines() if not line.startswith(FILES)]
    lua = f"""{FILES}. 0 IN LUA A "ifportup({port}, {{'{HOST}'}})\""""
    (home / "zone").write_text("\n".join([*lines, lua, ""]))
    (home / "named.conf").write_text(ZONE_OF.format(apex=APEX, home=home))
    (home / "pdns.conf").write_text(POWERDNS.format(home=home, host=HOST, port=port))
    yield from run_server("PowerDNS", ["pdns_server", f"--config-dir={home}"], home, port)


@contextmanager
def dnslib(home: Path) -> Iterator[Server]:
    port = free_port()
    (home / "tests").symlink_to(ROOT / "tests")
    yield from run_server("dnslib", [sys.executable, "-m", "tests.bench.dnslib_server", str(port)], home, port)


@dataclass(frozen=True, slots=True)
class Contestant:
    """`package`: Debian's, or PyPI's where the program is Python."""

    program: str
    package: str
    start: Start


CONTESTANTS: dict[str, Contestant] = {
    "edge": Contestant(sys.executable, "edge-dns", servers.edge),
    "edge, in Python": Contestant(sys.executable, "edge-dns", edge_in_python),
    "edge, 2 workers": Contestant(sys.executable, "edge-dns", partial(servers.edge, workers=2)),
    "gdnsd": Contestant("gdnsd", "gdnsd", servers.gdnsd),
    "gdnsd, 2 threads": Contestant("gdnsd", "gdnsd", partial(servers.gdnsd, threads=2)),
    "Knot": Contestant("knotd", "knot", servers.knot),
    "NSD": Contestant("nsd", "nsd", servers.nsd),
    "BIND": Contestant("named", "bind9", servers.bind),
    "PowerDNS Lua": Contestant("pdns_server", "pdns-server", powerdns),
    "dnslib": Contestant(sys.executable, "dnslib", dnslib),
}


def present() -> list[str]:
    return [name for name, contestant in CONTESTANTS.items() if shutil.which(contestant.program)]


def versions(names: Iterable[str]) -> dict[str, str]:
    """By package, each once."""
    chosen = [CONTESTANTS[name] for name in names]
    return {each.package: _version(each) for each in chosen}


def _version(contestant: Contestant) -> str:
    if contestant.program == sys.executable:
        return metadata.version(contestant.package)
    return debian_version(contestant.package)
