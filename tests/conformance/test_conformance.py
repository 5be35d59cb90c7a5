"""Edge owes every rule. What it does not offer yet stands in `NOT_YET`, with the reason, and nowhere else."""

import pytest

from tests.conformance.check import RULES, check_all, failures
from tests.conformance.rule import Outcome, Result, Rule
from tests.conformance.servers import PEERS

NOT_YET: dict[str, str] = {}


Results = dict[str, dict[Rule, Result]]


@pytest.fixture(scope="module")
def results() -> Results:
    """Edge and the peers that are installed, side by side: the rules about patience take their time."""
    return check_all(())


def test_there_are_rules_and_each_has_a_name_of_its_own() -> None:
    assert len(RULES) >= 400
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_edge_fails_no_rule(results: Results) -> None:
    assert failures(results["edge"]) == []


def test_edge_offers_everything_but_what_is_listed(results: Results) -> None:
    missing = {rule.name for rule, found in results["edge"].items() if found.outcome is Outcome.NOT_OFFERED}
    assert missing == set(NOT_YET)


@pytest.mark.parametrize("peer", PEERS)
def test_the_check_is_fair_to_a_peer_and_can_fail(peer: str, results: Results) -> None:
    if peer not in results:
        pytest.skip(f"{peer} is not installed")
    outcomes = [found.outcome for found in results[peer].values()]
    asked = len(outcomes) - outcomes.count(Outcome.NOT_OFFERED)
    assert asked > 300
    assert outcomes.count(Outcome.PASS) > 0.9 * asked
    assert Outcome.FAIL in outcomes
