"""What stories begin with. Nothing is logged: a story tells it all."""

import logging

import pytest

from tests.simulation.world import World


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


@pytest.fixture
def pair() -> World:
    return World(2).starts()
