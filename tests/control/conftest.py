from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.control.api import serve_control
from tests.control.desk import FILES, Bench, world


@dataclass
class Served:
    desk: Bench
    path: Path


@pytest.fixture
def desk() -> Bench:
    return Bench(world(FILES))


@pytest.fixture
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Short, whatever the test is called: unix(7) allows 107 bytes."""
    return tmp_path_factory.mktemp("s") / "edge.sock"


@pytest.fixture
async def served(desk: Bench, path: Path) -> AsyncIterator[Served]:
    """One service on a real socket."""
    runner = await serve_control(desk, path)
    yield Served(desk, path)
    await runner.cleanup()
