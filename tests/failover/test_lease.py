import math

import pytest

from edge.failover import lease
from edge.failover.model import Lease

OURS = Lease(held=True, until=100.0, holder="edge-1")


def test_a_single_agent_holds_it_for_ever() -> None:
    sole = lease.sole("edge-1")
    assert lease.outlives(sole, 1e12, 1e6)
    assert lease.veto(sole, 1e12, 1e6) is None


@pytest.mark.parametrize(("now", "outlives"), [(0.0, True), (95.9, True), (96.0, False), (99.0, False), (101.0, False)])
def test_it_must_outlive_the_call(now: float, outlives: bool) -> None:
    assert lease.outlives(OURS, now, needed_s=4.0) is outlives
    assert (lease.veto(OURS, now, needed_s=4.0) is None) is outlives


def test_another_holder_is_named() -> None:
    reason = lease.veto(Lease(held=False, until=math.inf, holder="edge-2"), 0.0, 0.0)
    assert reason
    assert reason.slug == "lease"
    assert "edge-2" in reason.sentence


def test_what_is_left_of_it_is_never_negative() -> None:
    reason = lease.veto(OURS, 150.0, 4.0)
    assert reason
    assert reason.sentence == "our lease ends in 0.0 s, and a call may take 4.0 s"
