"""Real agents that tell each other what they see: what they agree on moves, and what they don't holds."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.agent.eyes import Eyes, heard
from tests.agent.pair import LEASE_S, leads
from tests.agent.site import ADDRESS
from tests.agent.test_agent import sample
from tests.cloud.emulator import Emulator

Make = Callable[..., Eyes]


@pytest.fixture
def make(tmp_path: Path, cloud: Emulator) -> Iterator[Make]:
    made: list[Eyes] = []

    def _make(*agents: str, **more: object) -> Eyes:
        cloud.reset()
        made.append(Eyes(tmp_path, cloud, agents, **more))
        return made[0].start()

    yield _make
    cloud.clear_faults()
    for each in made:
        each.close()


def reason(eyes: Eyes, name: str) -> str:
    found = eyes[name].status().get("reason", {})
    return f"{found.get('slug')}: {found.get('sentence')}"


def test_one_of_two_sees_it_alive_and_it_holds_until_both_see_it_dead(make: Make) -> None:
    eyes = make("dc1", "dc2")
    one, two = eyes["dc1"], eyes["dc2"]
    one.crash("a")
    disagree = "quorum: the vantages disagree on a: dc1 sees it down, dc2 sees it active"
    one.until("it holds", lambda: reason(eyes, "dc1") == disagree)
    shown = one.edgectl("status").stdout
    assert "2 of 2 vantages have to agree" in shown
    assert [line.split()[0] for line in shown.splitlines() if line.endswith("active  active")] == ["dc2"]
    assert "the vantages disagree on a" in one.edgectl("why").stdout
    assert sample(one, "edge_hold", reason="quorum") == 1
    assert sample(one, "edge_vantage_node", vantage="dc2", node="a", state="active") == 1
    assert sample(one, "edge_vantage_counts", vantage="dc2") == sample(one, "edge_vantage_counts", vantage="dc1") == 1
    assert one.answer() == (ADDRESS["a"],)
    two.crash("a")
    one.until("both moved", lambda: {one.answer(), two.answer()} == {(ADDRESS["b"],)})
    assert "so say dc1 and dc2" in one.edgectl("history").stdout


def test_two_of_three_move_without_the_one_whose_path_is_down(make: Make) -> None:
    eyes = make("dc1", "dc2", witnesses=("vpc",))
    one = eyes["dc1"]
    eyes.goes_dark("dc2")
    one.until("dc2 abstains", lambda: heard(one) == {"dc1", "vpc"})
    assert "dc2" in one.edgectl("status").stdout
    assert "abstains: its own path is down" in one.edgectl("status").stdout
    for name in ("dc1", "vpc"):
        eyes[name].crash("a")
    one.until("it moved", lambda: one.answer() == (ADDRESS["b"],))
    assert "so say dc1 and vpc" in one.edgectl("history").stdout


def test_a_witness_never_leads_also_when_it_is_alone(make: Make) -> None:
    eyes = make("dc1", witnesses=("vpc",), quorum=1)
    witness = eyes["vpc"]
    for said in (witness.edgectl("status").stdout, witness.edgectl("check").stdout):
        assert "witness" in said.lower()
        assert "never leads" in said.lower()
    assert "switch to" not in witness.edgectl("check").stdout
    assert (sample(witness, "edge_witness"), sample(eyes["dc1"], "edge_witness")) == (1, 0)
    assert eyes["dc1"].terminate() == 0
    ended = time.monotonic()
    while time.monotonic() < ended + LEASE_S + 3.0:
        assert not leads(witness)
        time.sleep(0.1)
    assert witness.answer() == (ADDRESS["a"],)
    refused = witness.edgectl("promote", "b", "--reason", "test", "--yes")
    assert "no agent is known to lead" in refused.stderr
    eyes["dc1"].start()
    eyes["dc1"].until("it leads again", lambda: leads(eyes["dc1"]))


@pytest.mark.parametrize("quorum", [None, 1])
def test_the_other_of_two_is_killed_with_the_node(make: Make, quorum: int | None) -> None:
    """With the default, a majority of two, it holds, and says so; where one is enough, it waits for no dead word."""
    eyes = make("dc1", "dc2", quorum=quorum)
    one = eyes["dc1"]
    eyes["dc2"].kill()
    one.crash("a")
    if quorum:
        one.until("it moved", lambda: one.answer() == (ADDRESS["b"],))
        assert "so says dc1" in one.edgectl("history").stdout
    else:
        few = "quorum: too few vantages can tell of a, 2 of 2 have to agree: dc1 sees it down, dc2 can't tell"
        one.until("it holds", lambda: reason(eyes, "dc1").startswith(few))
        assert one.answer() == (ADDRESS["a"],)
        assert sample(one, "edge_vantage_counts", vantage="dc2") == 0
        [line] = [line for line in one.edgectl("check").stdout.splitlines() if "vantage dc2" in line]
        assert line.startswith("fail")
        assert "1 of 2 are left, and 2 have to agree" in line
