"""An agent that comes back asks the shared store before it answers, and waits for no store that is out of reach."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.agent.outset import committed, newest
from edge.config import load
from edge.failover.model import Assignment
from edge.stores.records import Clock
from tests.agent.pair import Pair
from tests.agent.site import ADDRESS, NAME, PATIENCE_S, Site, workers
from tests.cloud.line import Line
from tests.dns.test_server import lives

FILE = Path(__file__).parents[2] / "config" / "two-agents.toml"
CLOCK = Clock("boot", time.monotonic, time.time)
SILENCE = ("silence",)


def moved(pair: Pair) -> None:
    assert pair.one.edgectl("promote", "b", "--reason", "test", "--yes").returncode == 0


def in_time(site: Site) -> None:
    """An emulated AWS on a busy machine may not be; then there is nothing to be seen."""
    if "it does not tell within" in (site.home / "edged.log").read_text():
        pytest.skip("the store took longer than an agent waits for it")


def answers(site: Site) -> set[tuple[str, ...]]:
    """All that it tells from its start on, until it has settled."""
    found: set[tuple[str, ...]] = set()
    site.start()
    site.until("it settles", lambda: found.add(site.answer()) or site.settled_on("b"))  # type: ignore[func-returns-value]
    return found


def test_who_missed_a_switch_tells_nothing_of_before(pair: Pair) -> None:
    pair.two.terminate()
    moved(pair)
    found = answers(pair.two)
    in_time(pair.two)
    assert found == {SILENCE, (ADDRESS["b"],)}


def test_what_answered_while_the_agent_was_dead_is_followed_by_what_the_store_has(pair: Pair) -> None:
    old = workers(pair.two.agent)
    pair.two.kill()
    moved(pair)
    assert pair.two.answer() == (ADDRESS["a"],)
    pair.two.start()
    pair.two.until("the successor answers alone", lambda: not any(map(lives, old)))
    answer = pair.two.answer()
    in_time(pair.two)
    assert answer == (ADDRESS["b"],)


def test_who_waits_for_no_store_answers_from_its_disk(pair: Pair) -> None:
    pair.two.terminate()
    pair.one.aws.fault("dynamodb:*", "black_hole")
    pair.two.start()
    pair.two.until("it answers", lambda: pair.two.answer() == (ADDRESS["a"],))
    said = "the shared store, at the start: it does not tell within 1 s. What this agent served last is answered"
    assert said in (pair.two.home / "edged.log").read_text()


# --- the question alone -----------------------------------------------------------------------------------------------


@pytest.fixture
def line(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    with Line(pair.one.aws.endpoint_url) as line:
        for key, value in {**pair.one.aws_env, "AWS_ENDPOINT_URL": line.url}.items():
            monkeypatch.setenv(key, value)
        yield line


def test_the_store_tells_of_all_services(pair: Pair, line: Line) -> None:
    assert committed(load(pair.two.file), CLOCK, PATIENCE_S) == {NAME: Assignment("a", 1)}


def test_a_store_that_is_out_of_reach_is_not_waited_for(pair: Pair, line: Line) -> None:
    line.cut()
    assert committed(load(pair.two.file), CLOCK, 0.1) == {}


def test_a_store_that_refuses_is_not_waited_for_either(pair: Pair, line: Line) -> None:
    os.environ["AWS_ENDPOINT_URL"] = "http://127.0.0.1:1"
    assert committed(load(pair.two.file), CLOCK, PATIENCE_S) == {}


@pytest.mark.parametrize(
    ("served", "told", "answered"),
    [
        (None, Assignment("a", 3), Assignment("a", 3)),
        (Assignment("a", 3), None, Assignment("a", 3)),
        (Assignment("a", 3), Assignment("b", 4), Assignment("b", 4)),
        (Assignment("a", 5), Assignment("b", 4), Assignment("a", 5)),
        (Assignment("a", 4, 1), Assignment("b", 4), Assignment("a", 4, 1)),
        (Assignment("a", 4, 1), Assignment("b", 5), Assignment("b", 5)),
        (Assignment("a", 3), Assignment("z", 4), Assignment("a", 3)),
        (None, Assignment("z", 4), None),
    ],
)
def test_the_newer_one_is_answered(
    served: Assignment | None, told: Assignment | None, answered: Assignment | None
) -> None:
    config = load(FILE)
    name = config.services[0].name
    kept, found = ({name: each} if each else {} for each in (served, told))
    assert newest(config, kept, found).get(name) == answered


def test_a_service_that_our_file_lacks_is_left_out() -> None:
    assert newest(load(FILE), {}, {"another.fs.corp.example": Assignment("a", 1)}) == {}
