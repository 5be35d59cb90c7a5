"""Edge owes every rule. What it does not offer yet stands in `NOT_YET`, with the reason, and nowhere else."""

from pathlib import Path

import pytest

from tests.conformance import servers
from tests.conformance.check import RULES, failures, run
from tests.conformance.rule import Outcome, Result, Rule
from tests.conformance.servers import PEERS

NOT_YET: dict[str, str] = {}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[Rule, Result]:
    with servers.edge(tmp_path_factory.mktemp("edge")) as edge:
        return run(edge)


def test_there_are_rules_and_each_has_a_name_of_its_own() -> None:
    assert len(RULES) >= 150
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_edge_fails_no_rule(results: dict[Rule, Result]) -> None:
    assert failures(results) == []


def test_edge_offers_everything_but_what_is_listed(results: dict[Rule, Result]) -> None:
    assert {rule.name for rule, found in results.items() if found.outcome is Outcome.NOT_OFFERED} == set(NOT_YET)


@pytest.mark.parametrize("peer", PEERS)
def test_a_rule_that_edge_keeps_is_kept_by_some_peer(peer: str, tmp_path: Path) -> None:
    """The check is fair, and can fail: each peer keeps nine rules of ten, and fails at least one."""
    if not servers.installed(peer):
        pytest.skip(f"{peer} is not installed")
    start, _ = PEERS[peer]
    with start(tmp_path) as server:
        found = [result.outcome for result in run(server).values()]
    assert found.count(Outcome.PASS) > 0.9 * len(RULES)
    assert Outcome.FAIL in found
