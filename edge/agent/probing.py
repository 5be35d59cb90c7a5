"""What is probed, and who hears of it: the nodes of each service its own driver, the witnesses all of them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import Random

from edge.agent import build
from edge.agent.driver import Driver
from edge.agent.sharing import Sharing
from edge.config import Config
from edge.control.metrics import Metrics
from edge.failover import events as ev
from edge.failover.model import Observation
from edge.probes.loop import Emit, Prober, Target

_WITNESSES = ""  # where the name of a service stands else: all services share them


class Probing:
    """`config` and `drivers`: those at present. `sharing`: with the other agents, where there are any."""

    def __init__(
        self,
        config: Callable[[], Config],
        drivers: Mapping[str, Driver],
        sharing: Sharing | None,
        metrics: Metrics,
    ) -> None:
        self._config = config
        self._drivers = drivers
        self._sharing = sharing
        self._metrics = metrics
        self._group: asyncio.TaskGroup | None = None
        self._probers: dict[str, Prober] = {}
        self._running: dict[str, asyncio.Task[None]] = {}

    def begin(self, group: asyncio.TaskGroup) -> None:
        """The probes run in this group from now on."""
        self._group = group
        self.again()

    def again(self) -> None:
        """The configuration is another one. Nothing is probed before `begin`."""
        if self._group is None:
            return
        for service in self._config().services:
            emit, glimpsed = partial(self._observed, service.name), partial(self._glimpsed, service.name)
            self._probe(self._group, service.name, build.node_targets(service), emit, glimpsed)
        witnesses = build.witness_targets(self._config())
        self._probe(self._group, _WITNESSES, witnesses, self._witnessed, self._glimpsed_witness)
        self.look_closer()

    def ended(self, service: str) -> None:
        if service in self._running:
            self._running.pop(service).cancel()
            self._probers.pop(service)

    def stop(self) -> None:
        for running in self._running.values():
            running.cancel()

    def look_closer(self) -> None:
        """At what each service wants, and at the witnesses for any of them."""
        wanted = {name: frozenset(driver.state.glimpses) for name, driver in self._drivers.items()}
        wanted[_WITNESSES] = frozenset[str]().union(*wanted.values())
        for name, prober in self._probers.items():
            prober.look_closer(wanted[name])

    def _probe(
        self, group: asyncio.TaskGroup, name: str, targets: Sequence[Target], emit: Emit, glimpsed: Emit
    ) -> None:
        if name in self._probers:
            self._probers[name].replace(targets)
            return
        self._probers[name] = Prober(targets, emit, glimpsed, Random())  # noqa: S311 jitter, no secret
        self._running[name] = group.create_task(self._probers[name].run())

    def _observed(self, service: str, seen: Observation) -> None:
        self._metrics.probed(service, seen.endpoint, seen)
        if service in self._drivers:  # a probe may end just after its service was taken out
            self._drivers[service].post(ev.Observed(seen))
            self._share(service)

    def _witnessed(self, seen: Observation) -> None:
        for service, driver in self._drivers.items():
            driver.post(ev.Observed(seen))
            self._share(service)

    def _glimpsed(self, service: str, seen: Observation) -> None:
        self._metrics.glimpsed(service, seen)
        if service in self._drivers:
            self._drivers[service].post(ev.Glimpsed(seen))
            self._share(service)

    def _glimpsed_witness(self, seen: Observation) -> None:
        for service in [name for name, driver in self._drivers.items() if seen.endpoint in driver.state.glimpses]:
            self._glimpsed(service, seen)

    def _share(self, service: str) -> None:
        if self._sharing:
            self._sharing.saw(service)
