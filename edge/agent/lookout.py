"""Reads what every side is told, again and again: the views that are shown, and the drift that the machines hear of."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress

from edge.agent import answering
from edge.agent.driver import Driver
from edge.agent.reading import pointing
from edge.agent.views import Views
from edge.config import Config, Service
from edge.errors import CloudError
from edge.failover import events as ev
from edge.failover.drift import READINGS
from edge.switches.contract import Side
from edge.switches.session import Session

VIEWS_S = 30.0  # without AWS only our own answer is read
DOUBT_S = 5.0  # EC2's describes are old for a second or two (AWS, *Eventual consistency in the EC2 API*)


class Lookout:
    """`config` and `drivers` are the present ones. `credentials_end_s`: seconds since 1970, where they end."""

    def __init__(
        self,
        config: Callable[[], Config],
        drivers: Mapping[str, Driver],
        session: Session | None,
        views: Views,
        threads: Executor,
    ) -> None:
        self.credentials_end_s: float | None = None
        self._config = config
        self._drivers = drivers
        self._session = session
        self._views = views
        self._threads = threads
        self._again = asyncio.Event()
        self._looking = asyncio.Lock()

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            self._again.clear()  # before the reading: what happens during it is looked at again
            await self.look()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s()):
                    await self._again.wait()

    def look_again(self) -> None:
        """Soon: something has changed."""
        self._again.set()

    async def look(self) -> None:
        """Now, at everything."""
        async with self._looking:
            for service in self._config().services:
                if driver := self._drivers.get(service.name):  # a reload may take one out meanwhile
                    await self._look_at(service, driver)
            await self._look_at_credentials()

    def sides_of(self, name: str) -> Sequence[Side]:
        return next((self._sides(service) for service in self._config().services if service.name == name), ())

    def _sides(self, service: Service) -> Sequence[Side]:
        return [*answering.views(self._config(), service), *self._drivers[service.name].sides]

    def _interval_s(self) -> float:
        """What was read once, and is not yet believed, is soon read again."""
        aws = self._config().aws
        usual_s = aws.views_interval_s if aws else VIEWS_S
        doubted = any(d.state.drift and d.state.drift.times < READINGS for d in self._drivers.values())
        return min(usual_s, DOUBT_S) if doubted else usual_s

    async def _look_at(self, service: Service, driver: Driver) -> None:
        """All views; of AWS's sides the machine is told what they said of the assignment that was live before."""
        live, ours = driver.live(), {side.name for side in driver.sides}
        reads = await self._views.look(service.name, self._sides(service))
        if live and ours and self._drivers.get(service.name) is driver:
            driver.post(ev.SidesRead(live.epoch, tuple(pointing(each) for each in reads if each.name in ours)))

    async def _look_at_credentials(self) -> None:
        if self._session is None:
            return
        with suppress(CloudError):
            loop = asyncio.get_running_loop()
            self.credentials_end_s = await loop.run_in_executor(self._threads, self._session.credentials_end)
