"""`python -m tests.cloud`: the emulated AWS as a process of its own, on loopback."""

from __future__ import annotations

import argparse

from . import server


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.cloud", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--http-port", type=int, default=0, help="0: a free one, printed when ready")
    parser.add_argument("--dns-port", type=int, default=0, help="UDP and TCP; 0: a free one")
    parser.add_argument("--stock", action="store_true", help="moto as it is, without the mends")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end with whoever holds standard input")
    chosen = parser.parse_args()
    try:
        server.serve(**vars(chosen))
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
