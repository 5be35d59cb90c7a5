"""edged: the process. Answers first, and becomes everything else afterwards.

    configuration ─▶ store: the last assignments ─▶ DNS workers answer them ─▶ the rest (edge.agent.running)

What the rest needs (boto3, aiohttp) takes longer to import than the first answer may take, so it is imported when the
workers run already. From then on nothing that happens here can delay an answer: the workers are processes of their
own.
"""

import argparse
import asyncio
import logging
import math
import os
import signal
import sys
import threading
from pathlib import Path
from typing import NoReturn

from edge import __version__
from edge.agent import logs
from edge.agent.stances import key_of
from edge.agent.wake import Awake, wake
from edge.agent.zones import checked, zones
from edge.config import Config, cautions, failover_budget, load
from edge.durations import duration_text
from edge.errors import ConfigError, EdgeError

DEFAULT_CONFIG = "/etc/edge/edge.toml"
log = logging.getLogger("edge")


def main() -> None:
    arguments = _arguments()
    leaving = threading.Event()  # SIGTERM from now on, until the event loop has a handler of its own
    signal.signal(signal.SIGTERM, lambda *_: leaving.set())
    try:
        config = load(arguments.config)
        checked(config)
        key_of(config)
        if arguments.check:
            _print_zones(config)
            _print_cautions(config)
            _print_budget(config)
            return
        logs.set_up()
        for caution in cautions(config):
            log.warning("%s: %s", arguments.config, caution)
        awake = wake(config, arguments.config)
    except ConfigError as error:
        sys.exit("\n".join(error.problems))
    except EdgeError as error:
        sys.exit(f"edged: {error}")
    _end(_live(awake, leaving))


def _live(awake: Awake, leaving: threading.Event) -> int:
    from edge.agent.running import live

    try:
        return asyncio.run(live(awake, leaving))
    except EdgeError as error:
        print(f"edged: {error}", file=sys.stderr)
        return 1


def _end(code: int) -> NoReturn:
    """Now: a call to AWS that hangs in its thread must not keep the process."""
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("edged", description="The Edge agent, in the foreground.")
    default = Path(os.environ.get("EDGE_CONFIG", DEFAULT_CONFIG))
    parser.add_argument("--config", type=Path, default=default, help="TOML file (default: $EDGE_CONFIG, %(default)s)")
    parser.add_argument("--check", action="store_true", help="validate the file, print the time to fail over, and end")
    parser.add_argument("--version", action="version", version=f"edged {__version__}")
    return parser.parse_args()


def _print_zones(config: Config) -> None:
    for zone in zones(config, {}):
        print(f"{zone.name}: {len(zone.services)} service(s), {len(zone.records)} record(s) that stay")


def _print_cautions(config: Config) -> None:
    for caution in cautions(config):
        print(f"warning: {caution}", file=sys.stderr)


def _print_budget(config: Config) -> None:
    for service in config.services:
        terms = failover_budget(service, config)
        bounded_s = sum(term.seconds for term in terms if term.seconds < math.inf)
        person = "" if all(term.seconds < math.inf for term in terms) else ", and the time that a person takes"
        print(f"{service.name}: at worst {duration_text(bounded_s)} from a death to the answer{person}")
        for term in terms:
            print(f"  {term.name:8} {duration_text(term.seconds):>8}  {term.arithmetic}")


if __name__ == "__main__":
    main()
