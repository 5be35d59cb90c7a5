"""Who is measured. Each has one thread (process) for UDP, but where its name says two."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from unittest.mock import patch

from edge.dns import server
from edge.dns.orders import Legacy
from tests.conformance import servers
from tests.conformance.servers import HOST, Server, free_port, run_server
from tests.conformance.zone import APEX, FILES, master_file

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


CONTESTANTS: dict[str, tuple[str, Start]] = {
    "edge": (sys.executable, servers.edge),
    "edge, in Python": (sys.executable, edge_in_python),
    "edge, 2 workers": (sys.executable, partial(servers.edge, workers=2)),
    "gdnsd": ("gdnsd", servers.gdnsd),
    "gdnsd, 2 threads": ("gdnsd", partial(servers.gdnsd, threads=2)),
    "Knot": ("knotd", servers.knot),
    "NSD": ("nsd", servers.nsd),
    "BIND": ("named", servers.bind),
    "PowerDNS Lua": ("pdns_server", powerdns),
    "dnslib": (sys.executable, dnslib),
}


def present() -> list[str]:
    return [name for name, (program, _) in CONTESTANTS.items() if shutil.which(program)]
