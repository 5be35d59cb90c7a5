"""The laboratory as a fixture, or the reason why this machine can't have it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.topology import Lab

PROGRAMS = ("ip", "smbd", "smbclient", "unbound", "named")
PACKAGES = "iproute2 samba smbclient unbound bind9"


def obstacle() -> str | None:
    if os.geteuid() != 0:
        return "the laboratory makes network namespaces: it needs root"
    if not Path("/dev/net/tun").exists():
        return "the line needs /dev/net/tun: modprobe tun"
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    return f"{', '.join(missing)} missing: apt-get install {PACKAGES}" if missing else None


@pytest.fixture(scope="session")
def able() -> None:
    reason = obstacle()
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="module")
def lab(able: None) -> Iterator[Lab]:
    with Lab() as running:
        yield running
