"""What an agent serves is kept on its own disk; where that fails, it is tried again until it is there."""

import asyncio
import logging
from concurrent.futures import Executor
from functools import partial

from edge.errors import StoreError
from edge.failover.model import Assignment
from edge.stores.served import Served

log = logging.getLogger("edge")


class Keeping:
    """On the event loop; what blocks runs in `thread`, one alone, so that writes keep their order."""

    def __init__(self, kept: Served, thread: Executor) -> None:
        self._kept = kept
        self._thread = thread
        self._owed: dict[str, Assignment] = {}
        self._failed: set[str] = set()
        self._said: dict[str, str] = {}

    def keep(self, service: str, assignment: Assignment) -> None:
        self._owed[service] = assignment
        self._write(service, assignment)

    def again(self) -> None:
        """What failed before; what is on its way is left alone."""
        failed, self._failed = self._failed, set()
        for service in failed & self._owed.keys():
            self._write(service, self._owed[service])

    def _write(self, service: str, assignment: Assignment) -> None:
        writing = asyncio.get_running_loop().run_in_executor(self._thread, self._put, service, assignment)
        writing.add_done_callback(partial(self._ended, service, assignment))

    def _put(self, service: str, assignment: Assignment) -> StoreError | None:
        """Called in the thread."""
        try:
            self._kept.keep(service, assignment)
        except StoreError as error:
            return error
        return None

    def _ended(self, service: str, assignment: Assignment, writing: "asyncio.Future[StoreError | None]") -> None:
        if writing.cancelled() or self._owed.get(service) is not assignment:
            return  # the agent stops, or a newer one is on its way
        trouble = writing.result()
        if trouble is None:
            del self._owed[service]
            self._said.pop(service, None)
            return
        self._failed.add(service)
        if str(trouble) != self._said.get(service):
            log.warning("%s: after a restart without the shared store it would not be known: %s", service, trouble)
        self._said[service] = str(trouble)
