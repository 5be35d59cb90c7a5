"""One round of one server: as fast as it goes, then at a fixed pace; dnsperf asks as forwarders do, A and AAAA. And
once more as fast as it goes, asked in batches.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench import batches
from tests.conformance.servers import Server
from tests.conformance.zone import FILES

PACE = 5_000
CLIENTS = 8
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024
QUERIES = f"{FILES} A\n{FILES} AAAA\n"
ANSWERED = re.compile(r"^> \w+ \S+ \S+ ([0-9.]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Round:
    """`lost`: at the fixed pace. CPU times are for one query at full speed, asked by dnsperf."""

    queries_s: float
    batched_s: float
    user_us: float
    system_us: float
    p50_us: float
    p99_us: float
    p999_us: float
    lost: int
    resident_mib: float


@dataclass(frozen=True, slots=True)
class _Cpu:
    user_s: float
    system_s: float


def measure(server: Server, seconds: int, home: Path) -> Round:
    before = _cpu(server)
    fast = _dnsperf(server, seconds, home)
    after = _cpu(server)
    completed = int(_figure(fast, "Queries completed"))
    paced = _dnsperf(server, seconds, home, "-Q", str(PACE), "-v")
    batched = _batched(server, seconds)
    waits = sorted(float(wait) for wait in ANSWERED.findall(paced))
    return Round(
        queries_s=_figure(fast, "Queries per second"),
        batched_s=batched,
        user_us=(after.user_s - before.user_s) / completed * 1e6,
        system_us=(after.system_s - before.system_s) / completed * 1e6,
        p50_us=_quantile_us(waits, 0.5),
        p99_us=_quantile_us(waits, 0.99),
        p999_us=_quantile_us(waits, 0.999),
        lost=int(_figure(paced, "Queries lost")),
        resident_mib=sum(_resident_kib(pid) for pid in family(server.pids)) / 1024,
    )


def _dnsperf(server: Server, seconds: int, home: Path, *more: str) -> str:
    queries = home / "queries"
    queries.write_text(QUERIES)
    address = ["-s", server.host, "-p", str(server.port)]
    command = ["dnsperf", *address, "-d", str(queries), "-l", str(seconds), "-c", str(CLIENTS), "-e", *more]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _batched(server: Server, seconds: int) -> float:
    plan = batches.Plan(server.host, server.port, FILES, seconds)
    command = [sys.executable, "-m", batches.__name__, json.dumps(asdict(plan))]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    counted = batches.Counted(**json.loads(told))
    if counted.wrong:
        raise AssertionError(f"{counted.wrong} answers were none")
    return counted.answers_s


def _figure(report: str, title: str) -> float:
    return float(report.partition(f"{title}:")[2].split()[0])


def _quantile_us(waits: list[float], share: float) -> float:
    return waits[min(int(share * len(waits)), len(waits) - 1)] * 1e6


def family(pids: Iterable[int]) -> Iterator[int]:
    """The processes and their children: NSD answers from those."""
    for pid in pids:
        yield pid
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(FileNotFoundError):  # a thread may have ended since
                yield from family(map(int, (task / "children").read_text().split()))


def _cpu(server: Server) -> _Cpu:
    ticks = [_stat(pid)[11:13] for pid in family(server.pids)]
    return _Cpu(sum(int(user) for user, _ in ticks) * TICK_S, sum(int(system) for _, system in ticks) * TICK_S)


def _resident_kib(pid: int) -> int:
    return int(_stat(pid)[21]) * PAGE_KIB


def _stat(pid: int) -> list[str]:
    """From the process' state on: the third field of proc(5)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
