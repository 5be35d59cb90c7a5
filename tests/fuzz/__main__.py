"""`python -m tests.fuzz [--seconds N] [--packets N] [--processes N] [--seed S] [--engine mutate|atheris]`.

A campaign, and its figures; it fails when memory grows. `atheris` (libFuzzer, guided by coverage, extra `fuzz`) prints
libFuzzer's own, and keeps what it finds worth keeping in `--home`, where the next run goes on.
"""

import argparse
import os
import sys
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from time import time_ns

WITHOUT_END = 10**12


def _atheris(seconds: int, home: Path) -> None:
    import atheris  # type: ignore[import-not-found]

    with atheris.instrument_imports(include=["edge.dns"]):
        from edge.dns.message import Transport
        from tests.fuzz.seeds import corpus
        from tests.fuzz.target import KINDS, Target
    targets = [Target(kind) for kind in KINDS]
    home.mkdir(parents=True, exist_ok=True)
    _keep(home, corpus())

    def each(packet: bytes) -> None:
        for target, transport in product(targets, Transport):
            target.packet(packet, transport=transport)

    atheris.Setup([sys.argv[0], f"-max_total_time={seconds}", "-print_final_stats=1", str(home)], each)
    atheris.Fuzz()


def _keep(home: Path, packets: Iterable[bytes]) -> None:
    for number, packet in enumerate(packets):
        (home / f"seed-{number}").write_bytes(packet)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=int, default=WITHOUT_END)
    parser.add_argument("--packets", type=int, default=WITHOUT_END)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=time_ns())
    parser.add_argument("--engine", choices=("mutate", "atheris"), default="mutate")
    parser.add_argument("--home", type=Path, default=Path(".fuzz"))
    chosen = parser.parse_args()
    seconds = 60 if chosen.seconds == chosen.packets else chosen.seconds
    if chosen.engine == "atheris":
        _atheris(seconds, chosen.home)
    from tests.fuzz.campaign import Bounds, fuzz  # not earlier: atheris instruments what it sees imported

    print(f"seed {chosen.seed}, {chosen.processes} processes", flush=True)
    figures = fuzz(Bounds(seconds, chosen.packets), chosen.seed, chosen.processes)
    print(figures)
    return 0 if figures.flat else 1


if __name__ == "__main__":
    sys.exit(main())
