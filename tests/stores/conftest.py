"""The stores that keep the contract. A new one adds its factory, and test_contract.py runs with it."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edge.stores.contract import Store
from edge.stores.sqlite import SqliteStore

FACTORIES = {"sqlite": SqliteStore}


@pytest.fixture(params=sorted(FACTORIES))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with closing(FACTORIES[request.param](tmp_path / "state")) as opened:
        yield opened
