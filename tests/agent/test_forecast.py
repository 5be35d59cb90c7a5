"""The outage that a dry run predicts, in parts."""

from pathlib import Path

import pytest

from edge.agent.forecast import forecast
from edge.config import load
from edge.failover.model import Cause, Intent
from edge.history import Line

CONFIGS = Path(__file__).parents[2] / "config"
NAME = "files.fs.corp.example"


def intent(*outgoing: str) -> Intent:
    return Intent(13, "b", "a", Cause.OPERATOR, "kim", "patch day", outgoing)


def switched(epoch: int, cause: Cause, took_s: float) -> list[Line]:
    """As the machine tells a switch."""
    opened = f"epoch {epoch}: b is to be live ({cause.value}): because"
    took = {"decide": 0.01, "fence": took_s, "move": took_s, "publish": took_s, "verify": 60.0, "agree": 61.0}
    return [
        Line(NAME, 0.0, "opened", opened, epoch, None, None),
        Line(NAME, 0.0, "agreed", "every side agrees", epoch, None, took),
    ]


def test_each_part_has_its_worst_case_and_what_it_took_last() -> None:
    config = load(CONFIGS / "both.toml")
    lines = [*switched(11, Cause.FAILURE, 1.0), *switched(12, Cause.OPERATOR, 2.0)]
    told = forecast(config, config.services[0], intent("a"), lines)
    last = {cost.name: cost.last_s for cost in told.outage}
    assert last == {"decide": 0.01, "fence": 2.0, "move": 2.0, "publish": 2.0, "answer": None, "ttl": None}
    assert all(cost.arithmetic for cost in told.outage)
    assert "detect" not in last, "a person decides"
    assert "approve" not in last


@pytest.mark.parametrize("cause", [Cause.BOOTSTRAP, Cause.REPAIR])
def test_an_epoch_that_moved_nothing_says_nothing_of_the_next_switch(cause: Cause) -> None:
    config = load(CONFIGS / "both.toml")
    lines = [*switched(11, Cause.FAILURE, 1.0), *switched(12, cause, 0.0)]
    for known, wanted in ((lines, 1.0), (lines[2:], None)):
        told = forecast(config, config.services[0], intent("a"), known)
        assert {cost.last_s for cost in told.outage if cost.name in ("fence", "move")} == {wanted}


@pytest.mark.parametrize(
    ("name", "outgoing", "said"),
    [
        ("both", ("a",), "it begins for clients when a is fenced"),
        ("multi-az-route53", ("a",), "a goes on serving those who are connected to it; who asks anew is sent to b"),
        ("multi-az-route53", (), "a Windows client"),
    ],
)
def test_what_clients_notice_is_said(name: str, outgoing: tuple[str, ...], said: str) -> None:
    config = load(CONFIGS / f"{name}.toml")
    assert forecast(config, config.services[0], intent(*outgoing), ()).notes[0].startswith(said)


def test_the_first_part_of_a_stage_has_what_the_whole_stage_took() -> None:
    config = load(CONFIGS / "guest-steps.toml")
    told = forecast(config, config.services[0], intent("a"), switched(12, Cause.OPERATOR, 2.0))
    last = {cost.name: cost.last_s for cost in told.outage}
    assert {name for name, took_s in last.items() if took_s == 2.0} == {"demote", "move"}
