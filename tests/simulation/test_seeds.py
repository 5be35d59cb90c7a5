"""Random stories within the time that CI has for them, other ones with each day; `make simulate` runs longer."""

import datetime as dt
import logging
import time

import pytest

from tests.simulation.seeds import run

SHARE_S = 40.0
LEAST = 3
"""Stories that are run however slow the machine is."""


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


def test_no_rule_breaks_in_random_stories() -> None:
    first = int(dt.datetime.now(dt.UTC).strftime("%y%m%d")) * 1000
    began, ran = time.monotonic(), 0
    while ran < LEAST or time.monotonic() - began < SHARE_S:
        run(first + ran)
        ran += 1
    print(f"{ran} stories from seed {first}")


def test_a_seed_tells_the_same_story_again() -> None:
    assert run(1).story() == run(1).story()
