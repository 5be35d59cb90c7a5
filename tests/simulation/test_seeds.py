"""Random stories on all processors, others each day, as many as CI has time for; `make simulate` runs longer."""

import datetime as dt
import multiprocessing
import time

from tests.simulation.seeds import run, told

RUNS, SHARE_S = 1000, 240.0
LEAST = 3
"""Stories that are run however slow the machine is."""


def test_no_rule_breaks_in_random_stories() -> None:
    first = int(dt.datetime.now(dt.UTC).strftime("%y%m%d")) * 1000
    ends, ran, stories = time.monotonic() + SHARE_S, 0, []
    with multiprocessing.get_context("spawn").Pool() as pool:
        for seed in pool.imap_unordered(told, range(first, first + RUNS)):
            ran += 1
            stories += [seed.story] if seed.story else []
            if ran >= LEAST and time.monotonic() > ends:
                break
    print(f"{ran} stories from seed {first}")
    assert not stories, "\n\n".join(stories)


def test_a_seed_tells_the_same_story_again() -> None:
    assert run(1).story() == run(1).story()
