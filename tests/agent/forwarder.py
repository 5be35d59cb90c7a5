"""A real forwarder on this machine's loopback, between a test and whatever answers the zone."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from edge.dns.ask import NotAnsweredError, ask
from tests.agent.site import PATIENCE_S
from tests.ports import free_port

Server = tuple[str, int]

UNBOUND = """
server:
  interface: {own[0]}@{own[1]}
  do-ip6: no
  do-not-query-localhost: no
  domain-insecure: "corp.example."
  cache-min-ttl: {kept_s}
  chroot: ""
  username: ""
  directory: "{home}"
  pidfile: ""
  use-syslog: no
remote-control:
  control-enable: no
stub-zone:
  name: "fs.corp.example."
  stub-addr: {authority[0]}@{authority[1]}
"""


def _unbound(own: Server, authority: Server, home: Path, kept_s: int) -> list[str]:
    path = home / "unbound.conf"
    path.write_text(UNBOUND.format(own=own, authority=authority, home=home, kept_s=kept_s))
    return ["unbound", "-d", "-p", "-c", str(path)]


def _dnsmasq(own: Server, authority: Server, _home: Path, kept_s: int) -> list[str]:
    listen = [f"--listen-address={own[0]}", f"--port={own[1]}", "--bind-interfaces"]
    alone = ["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=", "--pid-file="]
    zone = f"--server=/fs.corp.example/{authority[0]}#{authority[1]}"
    return ["dnsmasq", *alone, *listen, zone, f"--min-cache-ttl={kept_s}"]


PROGRAMS = {"unbound": _unbound, "dnsmasq": _dnsmasq}


@contextmanager
def forwarding(program: str, authority: Server, home: Path, kept_s: int = 0) -> Iterator[Server]:
    """`kept_s`: seconds for which it keeps an answer, whatever its TTL says."""
    if shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
        pytest.skip(f"{program} is not installed")
    own = ("127.0.0.1", free_port())
    argv = PROGRAMS[program](own, authority, home, kept_s)
    with (home / f"{program}.log").open("wb") as log:
        running = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        _wait(own, home / f"{program}.log")
        yield own
    finally:
        running.kill()
        running.wait()


def _wait(server: Server, log: Path) -> None:
    """It is asked for a name that nobody asks later: what it has once answered, it may keep."""
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE_S:
        with suppress(NotAnsweredError):
            ask(server, "ready.fs.corp.example", "A", 1.0)
            return
        time.sleep(0.02)
    pytest.fail(f"the forwarder does not answer: {log.read_text()}")
