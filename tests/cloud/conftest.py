"""One emulator for the folder, emptied between tests.

EDGE_STOCK_MOTO=1 runs moto without the mends: then each test of a mend fails, which proves that it tests one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from .emulator import Emulator


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    with Emulator(stock=os.environ.get("EDGE_STOCK_MOTO") == "1") as aws:
        yield aws


@pytest.fixture
def aws(emulator: Emulator) -> Emulator:
    emulator.reset()
    return emulator
