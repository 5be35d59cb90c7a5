"""The preflight check, asked part by part: all of it for `edgectl check`, and spread over an interval by itself."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial

from edge.agent import preflight
from edge.agent.checks import AGENT, Checks, pause_s
from edge.agent.driver import Driver
from edge.agent.views import Views
from edge.config import Config, Role
from edge.control.contract import Finding
from edge.stores.records import Clock, Records
from edge.switches.session import Session

CHECK_S = 600.0
CHECKED_AT_A_TIME = 4
PATIENCE_S = 20.0  # for one part: `edgectl check` waits for a minute


class Examiner:
    """`config` and `drivers` are the present ones. `agreeing`: who has to agree without the store, and why it was not
    heard when it was asked last. Blocking questions run in `threads`.
    """

    def __init__(
        self,
        config: Callable[[], Config],
        drivers: Mapping[str, Driver],
        *,
        records: Records,
        session: Session | None,
        views: Views,
        clock: Clock,
        agreeing: Callable[[], Mapping[str, str | None]],
        threads: Executor,
    ) -> None:
        self._config = config
        self._drivers = drivers
        self._records = records
        self._session = session
        self._views = views
        self._clock = clock
        self._agreeing = agreeing
        self._threads = threads
        self._checks = Checks()

    def found(self) -> tuple[Finding, ...]:
        return self._checks.found()

    def forget_the_gone(self) -> None:
        self._checks.keep(self._parts())

    async def run(self) -> None:
        """Until it is cancelled: one part after the other."""
        first = True
        while True:
            parts = self._parts()
            for part in parts:
                await asyncio.sleep(pause_s(len(parts), self._interval_s(), first=first))
                await self._check(part)
            first = False

    async def check(self) -> tuple[Finding, ...]:
        """Now, all of it; a few services at a time, as the account's rate is shared with the views and the switches."""
        at_a_time = asyncio.Semaphore(CHECKED_AT_A_TIME)

        async def checked(part: str) -> None:
            async with at_a_time:
                await self._check(part)

        await asyncio.gather(*map(checked, self._parts()))
        return self.found()

    def _parts(self) -> list[str]:
        return [AGENT, *self._drivers]

    def _interval_s(self) -> float:
        aws = self._config().aws
        return aws.check_interval_s if aws else CHECK_S

    async def _check(self, part: str) -> None:
        """One that a reload has taken out while it waited for its turn is passed over."""
        if part not in self._parts():
            return
        questions = self._of_agent() if part == AGENT else self._of_service(self._drivers[part])
        ask = partial(preflight.asked, part, questions, PATIENCE_S)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, lambda: list(ask()))
        if part in self._parts():  # a reload may have taken it out meanwhile
            self._checks.heard(part, found)

    def _of_agent(self) -> Sequence[preflight.Question]:
        config, session = self._config(), self._session
        questions: list[preflight.Question] = [
            partial(preflight.role, config.agent.role),
            partial(preflight.disk, config.agent.state_dir),
            partial(preflight.store, self._records.test),
            partial(preflight.delegations, config),
            partial(preflight.agreeing, self._agreeing()),
        ]
        if session is None:
            return questions
        lines = [partial(preflight.virtual_interface, session, each) for each in config.path.virtual_interfaces]
        asked = partial(preflight.credentials, session, self._clock.wall())
        return [*questions, asked, lambda: preflight.clock(session.ahead_s), *lines]

    def _of_service(self, driver: Driver) -> Sequence[preflight.Question]:
        name, state, session, aws = driver.service, driver.state, self._session, self._config().aws
        questions: list[preflight.Question] = [
            partial(preflight.sides, name, self._views.reads(name), state.assignment),
            partial(preflight.nodes, state, self._clock.monotonic()),
            partial(preflight.witnesses, state),
            partial(preflight.vantages, state, self._clock.monotonic()),
        ]
        if session is None or aws is None or self._config().agent.role is Role.WITNESS:
            return questions
        questions += [partial(preflight.step, name, each) for each in driver.steps]
        questions += [partial(preflight.permissions, name, each, session, aws.identity) for each in driver.steps]
        return questions + [partial(preflight.rehearsal, name, node, driver.rehearse) for node in state.policy.nodes]
