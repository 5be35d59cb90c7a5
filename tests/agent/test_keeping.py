"""The invariant: what an agent serves last is on its disk as soon as the disk takes it."""

import asyncio
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from edge.agent.keeping import Keeping
from edge.errors import StoreError
from edge.failover.model import Assignment
from edge.stores.served import Served

FILES, HOME = "files.fs.corp.example", "home.fs.corp.example"


class Full(Served):
    """On a disk that is full while it is told so."""

    full = False

    def keep(self, service: str, assignment: Assignment) -> None:
        if self.full:
            raise StoreError("served.json: No space left on device")
        super().keep(service, assignment)


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Full]:
    with closing(Full(tmp_path)) as kept:
        yield kept


async def written(thread: ThreadPoolExecutor) -> None:
    """What was handed over before, and what follows of it on the loop."""
    await asyncio.get_running_loop().run_in_executor(thread, int)
    await asyncio.sleep(0)


async def test_what_is_served_is_kept(served: Full, thread: ThreadPoolExecutor) -> None:
    keeping = Keeping(served, thread)
    keeping.keep(FILES, Assignment("a", 1))
    keeping.keep(FILES, Assignment("b", 2))
    await written(thread)
    assert served.live() == {FILES: Assignment("b", 2)}


async def test_what_a_full_disk_did_not_take_is_tried_again_and_told_once(
    served: Full, thread: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    keeping, served.full = Keeping(served, thread), True
    with caplog.at_level(logging.WARNING, "edge"):
        keeping.keep(FILES, Assignment("a", 1))
        for _ in range(3):
            await written(thread)
            keeping.again()
        keeping.keep(FILES, Assignment("b", 2))
        await written(thread)
    assert [record.message for record in caplog.records] == [
        f"{FILES}: after a restart without the shared store it would not be known: served.json: No space left on device"
    ]
    served.full = False
    keeping.again()
    await written(thread)
    assert served.live() == {FILES: Assignment("b", 2)}


async def test_one_that_is_kept_is_not_written_again(served: Full, thread: ThreadPoolExecutor) -> None:
    keeping = Keeping(served, thread)
    keeping.keep(HOME, Assignment("a", 1))
    await written(thread)
    served.path.unlink()
    keeping.again()
    await written(thread)
    assert not served.path.exists()
