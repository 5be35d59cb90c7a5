"""`python -m tests.fuzz [--seconds N] [--seed S] [--engine mutate|atheris]`: a campaign, and its figures.

`atheris` (libFuzzer, guided by coverage) is used where it is installed; its figures are libFuzzer's own.
"""

import argparse
import sys
from pathlib import Path
from tempfile import mkdtemp
from time import time_ns


def _atheris(seconds: int) -> None:
    import atheris  # type: ignore[import-untyped]

    with atheris.instrument_imports(include=["edge.dns"]):
        from tests.fuzz.seeds import corpus
        from tests.fuzz.target import Target
    target = Target()
    home = Path(mkdtemp(prefix="edge-fuzz-"))  # stays: libFuzzer ends the process, and what it found is worth keeping
    for number, packet in enumerate(corpus()):
        (home / str(number)).write_bytes(packet)
    atheris.Setup([sys.argv[0], f"-max_total_time={seconds}", "-print_final_stats=1", str(home)], target.packet)
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=time_ns())
    parser.add_argument("--engine", choices=("mutate", "atheris"), default="mutate")
    chosen = parser.parse_args()
    if chosen.engine == "atheris":
        _atheris(chosen.seconds)
    from tests.fuzz.campaign import fuzz  # not earlier: atheris instruments what it sees imported

    print(f"seed {chosen.seed}", flush=True)
    print(fuzz(chosen.seconds, chosen.seed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
