"""The share of the differential test that every run does; `python -m tests.conformance.differential` asks 100,000."""

import random

import pytest

from tests.conformance import servers
from tests.conformance.differential import EXPLAINED, PEERS, compare, draw

QUESTIONS = 5_000


@pytest.mark.skipif(not all(map(servers.installed, PEERS)), reason="NSD or Knot is not installed")
def test_every_difference_is_explained() -> None:
    findings = compare(QUESTIONS, seed=20)
    assert findings.unexplained == []
    assert findings.questions == QUESTIONS
    assert {reason for _, reason in findings.explained} == {explanation.reason for explanation in EXPLAINED}


def test_a_seed_gives_the_same_questions() -> None:
    first, second = ([draw(chance) for _ in range(100)] for chance in (random.Random(3), random.Random(3)))
    assert first == second
