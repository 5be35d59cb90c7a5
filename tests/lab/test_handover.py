"""The leader ends in the moment in which the live node's smbd is killed: both agents come to tell the other node."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from functools import partial

import pytest

from tests.lab import handover
from tests.lab.handover import NEW, OLD, Ending, Round
from tests.lab.partitions_page import handovers
from tests.lab.shared import ADDRESS_OF, LEASE_S, Labs
from tests.lab.watch import SILENCE

Rounds = Mapping[Ending, Future[Round]]


@pytest.fixture(scope="module")
def rounds(able: None) -> Iterator[Rounds]:
    with Labs(len(Ending)) as labs:
        yield dict(zip(Ending, labs.run(partial(handover.run, ending=ending) for ending in Ending), strict=True))


@pytest.mark.lab
@pytest.mark.parametrize("ending", Ending)
def test_both_come_to_tell_the_node_that_serves(rounds: Rounds, ending: Ending) -> None:
    found = rounds[ending].result()
    print(f"\n{ending.value}: {found.both_s(ending):.2f} s, bound {ending.limit_s:.2f} s")
    one, other = found.told
    assert other == [ADDRESS_OF[NEW]]
    assert [each for each in one if each != SILENCE][-1] == ADDRESS_OF[NEW]
    assert set(one) <= {SILENCE, *ADDRESS_OF.values()}
    assert one.count(ADDRESS_OF[OLD]) <= 1, "from its disk, once"
    assert found.epochs == 1


@pytest.mark.lab
def test_nobody_leads_before_the_lease_of_a_lost_leader_has_run_out(rounds: Rounds) -> None:
    assert rounds[Ending.LOST].result().other_s > LEASE_S / 2


@pytest.mark.lab
def test_a_leader_that_stops_gives_the_lease_back_and_nobody_waits_for_its_end(rounds: Rounds) -> None:
    stopped, lost = (rounds[ending].result() for ending in (Ending.STOPPED, Ending.LOST))
    assert (stopped.given_back, lost.given_back) == (True, False)
    assert stopped.other_s < lost.other_s / 2


def test_the_bound_holds_for_both_agents_where_both_are_there() -> None:
    found = Round(1.0, 3.0, 0.5, given_back=False, epochs=1, told=([], []))
    assert [found.both_s(ending) for ending in Ending] == [3.0, 1.0, 1.0]
    killed, lost, _ = handovers({ending: [found] for ending in Ending}).splitlines()[2:]
    assert "| 3.0, both agents |" in killed
    assert lost.endswith("| 1.0, the other agent | 7.85 | 3.0 | 0.5 |")
