"""A service's driver with a real store and nothing else around it: no AWS, no DNS, no control side."""

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import replace

from edge.agent import build
from edge.agent.driver import Driver, Surroundings
from edge.config import Config
from edge.stores.records import Records


async def _nobody(_service: str, _epoch: int, _within_s: float | None) -> Mapping[str, float | None]:
    return {}


def _fault(fault: BaseException) -> None:
    raise fault


def still_driver(
    config: Config, name: str, records: Records, threads: Executor, telling: Executor | None = None
) -> Driver:
    """The configuration's first service, under this name, and without a switch."""
    named = build.policy(config, config.services[0].model_copy(update={"name": name}))
    policy = replace(named, stages=frozenset())
    quiet = (lambda *_: None, lambda *_: None, _fault, _nobody, lambda: None)
    around = Surroundings(records, records._clock, threads, telling or threads, threads, threads, *quiet)
    return Driver(policy, None, build.NO_SWITCHES, around)
