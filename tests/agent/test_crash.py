"""kill -9 where nothing has begun, where it reads, and at random. The emulated AWS holds the agent still; then it dies.

Every step that changes something is killed in tests/switches/test_faults.py.
After the restart the assignment, both AWS sides and the answer agree on the same node and epoch, no older epoch lies
over a newer one, the address has one holder, and no batch was accepted twice for one epoch.
"""

import re
from dataclasses import dataclass

import pytest

from tests.agent.site import ADDRESS, NAME, SECONDARY, Site
from tests.cloud.script import FaultKind

HANG = "60s"  # the agent must still hang when it is killed


@dataclass(frozen=True, slots=True)
class Point:
    """Where the agent is held: at a call that AWS takes and does not answer.

    `journal`: what the store's intent must show then, by step.
    """

    call: str
    journal: dict[str, str]


POINTS = {
    "intent": Point("ec2:DescribeNetworkInterfaces", {}),
    "publish-read": Point("route53:ListResourceRecordSets", {"unassign": "done", "assign": "done"}),
}


def journal(site: Site) -> dict[str, str]:
    return {name: step["state"] for name, step in site.kept("intent").get("steps", {}).items()}


@pytest.mark.parametrize("point", POINTS.values(), ids=POINTS.keys())
def test_killed_at_a_step(site: Site, point: Point) -> None:
    site.configure(read_timeout=HANG)
    site.start()
    site.until("the agent is content with a", lambda: site.ready_on("a"))
    first = site.kept("assignment")["epoch"]
    site.aws.forget_calls()
    site.aws.fault(point.call, FaultKind.BLACK_HOLE)
    site.crash("a")
    site.until("the next intent is open", lambda: site.kept("intent")["epoch"] > first)
    site.until(f"the journal is at {point.journal}", lambda: journal(site) == point.journal)
    site.until("AWS holds the call", lambda: bool(site.aws.calls(point.call)))
    assert site.kept("assignment")["epoch"] == first
    site.kill()
    assert site.answer() != ("silence",), "the workers answer on without their controller"

    site.aws.clear_faults()
    site.configure()
    site.start()
    site.until("the agent is content with b", lambda: site.settled_on("b"))
    begun = bool(point.journal)
    assert_agreement(site, first + 1 if begun else first + 2)


def assert_agreement(site: Site, epoch: int) -> None:
    """A switch that had begun is finished at its own epoch; one that had not is abandoned, and the next one decides."""
    assert site.kept("assignment")["epoch"] == epoch
    assert site.answer() == site.in_vpc() == (ADDRESS["b"],)
    assert site.answer("TXT", f"_edge.{NAME}") == site.in_vpc("TXT", f"_edge.{NAME}") == (f'"epoch={epoch} node=b"',)
    assert site.holders() == {"b"}
    site.until("the store has its end", lambda: site.kept("intent")["state"] == "finished")
    assert site.kept("assignment")["settled"]
    assert_not_twice(site)


def assert_not_twice(site: Site) -> None:
    """Of each epoch at most one batch was accepted, and the address left the old node once."""
    changes = [call for call in site.aws.calls("route53:ChangeResourceRecordSets") if took_effect(call)]
    epochs = [re.findall(r"CREATE.*?epoch=(\d+)|epoch=(\d+)", str(call.parameters)) for call in changes]
    assert len(changes) == len({str(found[-1]) for found in epochs}), "a batch was accepted twice for one epoch"
    assert sum(took_effect(call) for call in site.aws.calls("ec2:UnassignPrivateIpAddresses")) <= 1


def took_effect(call: object) -> bool:
    return getattr(call, "result") in ("ok", "timeout_after")  # noqa: B009


def test_an_epoch_abandoned_at_a_restart_does_not_stop_the_next_switch(site: Site) -> None:
    """Killed with nothing but the intent written; the live node came back; two restarts later it dies for good."""
    point = POINTS["intent"]
    site.configure(read_timeout=HANG)
    site.start()
    site.until("the agent is content with a", lambda: site.ready_on("a"))
    site.aws.fault(point.call, FaultKind.BLACK_HOLE)
    site.crash("a")
    site.until("the next intent is open", lambda: site.kept("intent")["epoch"] == 2)
    site.kill()
    site.aws.clear_faults()
    site.configure()
    site.serve("a")
    for _ in range(2):
        site.start()
        site.until("the agent is content with a", lambda: site.ready_on("a"))
        site.terminate()
    site.start()
    site.until("the agent is content with a", lambda: site.ready_on("a"))
    site.crash("a")
    site.until("the agent is content with b", lambda: site.settled_on("b"))
    assert site.kept("assignment")["epoch"] == 3


def test_killed_at_random_moments(running: Site) -> None:
    """Killed again and again while it switches to and fro, it always ends in agreement."""
    site = running
    for live, other in (("a", "b"), ("b", "a"), ("a", "b")):
        site.crash(live)
        before = site.kept("assignment")["epoch"]
        site.until("the next epoch is open", lambda before=before: site.kept("intent")["epoch"] > before)
        site.kill()
        site.start()
        site.until(f"the agent is content with {other}", lambda other=other: site.settled_on(other))
        assert site.answer() == site.in_vpc() == (ADDRESS[other],)
        assert site.holders() == {other}
        site.serve(live)
        site.until("both are up", lambda other=other: site.ready_on(other))


def test_secondary_address_is_where_the_answer_is(running: Site) -> None:
    assert running.holders() == {"a"}
    assert SECONDARY not in running.answer(), "answer = node: the name tells the node's own address"
