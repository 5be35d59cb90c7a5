"""A leader that is stopped in the middle of its batch and wakes after a newer epoch: two real agents on one store.

    one: promote b, epoch 2 ─▶ batch on its way (AWS holds it) ─▶ SIGSTOP ........................... SIGCONT ─▶ ?
    two:                                              the lease runs out ─▶ finishes 2 ─▶ promote a, epoch 3
    Route 53:                                                                      the batch of epoch 2 arrives

The batch states the TXT that agent one read, of epoch 1. That is gone, so all of it is rejected.
"""

import os
import re
import signal
from collections.abc import Iterator

import pytest

from tests.agent.pair import Pair, leads
from tests.agent.site import ADDRESS, NAME, Site
from tests.cloud.emulator import Emulator
from tests.cloud.script import Call, FaultKind
from tests.switches.site import CHANGE, MUTATIONS

EPOCH = ("TXT", f"_edge.{NAME}")


@pytest.fixture(autouse=True)
def _wakes(pair: Pair) -> Iterator[None]:
    """Before the two are told to end."""
    yield
    pair.one.agent.send_signal(signal.SIGCONT)


def signalled(site: Site, number: signal.Signals) -> None:
    """The controller alone: its workers go on."""
    assert site.agent is not None
    os.kill(site.agent.pid, number)


def batches(aws: Emulator, *results: str) -> list[Call]:
    return [call for call in aws.calls(CHANGE) if call.result in results]


def created(call: Call) -> int:
    return int(re.findall(r"CREATE.*?epoch=(\d+)", str(call.parameters))[-1])


def test_a_batch_of_a_paused_leader_is_rejected_for_its_epochs_sake(pair: Pair) -> None:
    one, two, aws = pair.one, pair.two, pair.one.aws
    aws.forget_calls()
    aws.fault(CHANGE, FaultKind.HELD, times=1)
    assert one.edgectl("promote", "b", "--reason", "test", "--yes", "--no-wait").returncode in (0, 4)
    one.until("AWS holds the batch", lambda: bool(batches(aws, "held")))
    signalled(one, signal.SIGSTOP)
    two.until("two leads and has finished the switch", lambda: leads(two) and two.settled_on("b"))
    assert two.edgectl("promote", "a", "--reason", "test", "--yes").returncode == 0
    two.until("epoch 3 is everywhere", lambda: two.settled_on("a") and two.status()["epoch"] == 3)
    assert one.answer() == two.answer() == (ADDRESS["a"],), "the paused agent's workers answer on"
    assert (one.answer(*EPOCH), two.answer(*EPOCH)) == (('"epoch=1 node=a"',), ('"epoch=3 node=a"',))

    before = [call for call in aws.calls() if call.api in MUTATIONS]
    aws.clear_faults()
    one.until("the batch has arrived", lambda: bool(batches(aws, "InvalidChangeBatch")))
    assert [created(call) for call in batches(aws, "ok")] == [2, 3]
    [late] = batches(aws, "InvalidChangeBatch")
    assert (created(late), "epoch=1" in str(late.parameters)) == (2, True)
    assert one.in_vpc() == (ADDRESS["a"],)
    assert one.in_vpc(*EPOCH) == ('"epoch=3 node=a"',)

    signalled(one, signal.SIGCONT)
    one.until("one serves epoch 3", lambda: one.answer(*EPOCH) == ('"epoch=3 node=a"',))
    one.until("one follows", lambda: one.settled_on("a") and not leads(one))
    assert "the answer moves" not in (one.home / "edged.log").read_text(), "it was no outage"
    assert "the leader is edge-2" in one.edgectl("promote", "b", "--reason", "test", "--yes").stderr
    after = [call for call in aws.calls() if call.api in MUTATIONS]
    assert after[len(before) :] == [late], "the agent that woke changed something in AWS"
    assert one.holders() == {"a"}
    assert one.answer() == two.answer() == one.in_vpc() == (ADDRESS["a"],)
