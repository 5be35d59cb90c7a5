"""Who changed AWS: CloudTrail is asked when a drift is told, and again each minute until it names somebody."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor

from edge.config import Service
from edge.errors import CloudError
from edge.switches.session import Session
from edge.switches.trail import Deed, Trail

BEFORE_S = 300.0  # the change is older than the reading that shows it, by a cycle of the views
ASKED_S, TIMES = 60.0, 20
log = logging.getLogger("edge")


def trail(service: Service, session: Session) -> Trail:
    switch = service.switch
    interfaces = tuple(sorted(service.interfaces))
    subjects = {
        "route53": (service.name,) if switch.route53 else (),
        "secondary_ip": interfaces if switch.secondary_ip else (),
        "route_table": switch.route_table.tables if switch.route_table else (),
        "elastic_ip": (switch.elastic_ip.allocation_id,) if switch.elastic_ip else (),
    }
    return Trail(session, {side: named for side, named in subjects.items() if named})


class Trails:
    """`said` is told each deed once, in a sentence, with its service; `failed` of a fault in this program."""

    def __init__(
        self, threads: Executor, said: Callable[[str, str], None], failed: Callable[[BaseException], None]
    ) -> None:
        self._threads = threads
        self._said = said
        self._failed = failed
        self._known: set[str] = set()
        self._asking: dict[str, asyncio.Task[None]] = {}

    def ask(self, service: str, one: Trail, wall_s: float) -> None:
        """Of what was done since shortly before `wall_s` (seconds since 1970)."""
        self.ended(service)
        asking = asyncio.get_running_loop().create_task(self._ask(service, one, wall_s - BEFORE_S))
        self._asking[service] = asking
        asking.add_done_callback(self._done)

    def ended(self, service: str) -> None:
        if task := self._asking.pop(service, None):
            task.cancel()

    def stop(self) -> None:
        for service in list(self._asking):
            self.ended(service)

    def _done(self, task: asyncio.Task[None]) -> None:
        fault = None if task.cancelled() else task.exception()
        if fault:
            self._failed(fault)

    async def _ask(self, service: str, one: Trail, since_s: float) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(TIMES):
            try:
                deeds = await loop.run_in_executor(self._threads, one.since, since_s)
            except CloudError as error:  # who did it is of interest, and no more
                log.warning("%s: CloudTrail does not tell who changed AWS: %s", service, error)
                deeds = []
            if self._new(service, deeds):
                return
            await asyncio.sleep(ASKED_S)

    def _new(self, service: str, deeds: list[Deed]) -> bool:
        new = [deed for deed in deeds if deed.id not in self._known]
        self._known |= {deed.id for deed in new}
        for deed in new:
            self._said(service, deed.sentence)
        return bool(new)
