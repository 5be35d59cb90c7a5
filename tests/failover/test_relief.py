"""Whom a leader hands the lease to, that can't do itself what another agent can."""

from dataclasses import replace

import pytest

from edge.failover import events as ev
from edge.failover import relief
from edge.failover.lease import Peer, Word
from edge.failover.model import Lease, Mode
from tests.failover.world import POLICY, Shown, World

SERVICE, DURATION_S = POLICY.service, 10.0
FOLLOWING = ev.LeaseSaid(Lease(held=False, until=float("inf"), holder="edge-2"))


def watching(**sees: Shown) -> World:
    world = World(POLICY).started()
    world.hears(FOLLOWING)
    world.sees |= sees
    return world.passes(12.0)


def peer(moved_at: float, *services: str, candidate: bool = True) -> dict[str, Peer]:
    word = Word(5, path_up=True, candidate=candidate, could=frozenset(services))
    return {"edge-2": Peer(word, moved_at)}


# --- who is hindered ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sees", "hold"),
    [
        ({"a": Shown.SILENT, "b": Shown.SILENT}, "no_target"),
        ({"a": Shown.SILENT, "b": Shown.STANDBY}, "no_target"),
        ({"a": Shown.TROUBLE}, "unknown"),
        ({"a": Shown.SILENT, "b": Shown.SILENT, "w": Shown.SILENT}, "path_down"),
    ],
)
def test_who_can_not_see_what_a_switch_needs_is_hindered_from_when_it_began(sees: dict[str, Shown], hold: str) -> None:
    state = watching(**sees).state
    assert state.reason.slug == hold
    since = relief.hindered([state], {}, 50.0)
    assert since == {SERVICE: 50.0}
    assert relief.hindered([state], since, 60.0) == since
    assert relief.hindered([World(POLICY).started().state], since, 60.0) == {}


def test_what_people_or_our_own_damping_hold_hinders_nobody() -> None:
    world = World(POLICY).started()
    world.says(ev.Hold("ann", "test"))
    world.sees["a"] = Shown.SILENT
    world.passes(12.0)
    assert world.state.reason.slug == "held"
    assert relief.hindered([world.state], {}, 50.0) == {}


# --- who could ------------------------------------------------------------------------------------------------------


def test_an_agent_could_where_the_lease_alone_is_missing() -> None:
    world = watching(a=Shown.SILENT)
    assert world.state.reason.slug == "lease"
    assert relief.could(world.state, world.now)


def test_who_sees_the_live_node_serve_could_do_nothing_better() -> None:
    world = watching()
    assert not relief.could(world.state, world.now)


def test_who_leads_does_not_say_that_it_could() -> None:
    """Its own lease may be too short for a call just now, which is a veto of the same name."""
    world = watching(a=Shown.SILENT)
    short = replace(world.state, lease=Lease(held=True, until=world.now - 1.0, holder="edge-1"))
    assert not relief.could(short, world.now)


@pytest.mark.parametrize("sees", [{"b": Shown.SILENT}, {"b": Shown.STANDBY}, {"b": Shown.SILENT, "w": Shown.SILENT}])
def test_who_sees_no_target_either_could_not(sees: dict[str, Shown]) -> None:
    world = watching(a=Shown.SILENT, **sees)
    assert not relief.could(world.state, world.now)


def test_whoever_else_is_held_could_not() -> None:
    world = watching(a=Shown.SILENT)
    for changed in (
        replace(world.state, policy=replace(POLICY, mode=Mode.MANUAL)),
        replace(world.state, committed_at=world.now - POLICY.hold_down_s + 1.0),
        replace(world.state, automatic_at=(world.now,) * POLICY.switches_per_hour),
        replace(world.state, window="the night"),
        replace(world.state, store_trouble=None, need=None),
    ):
        assert not relief.could(changed, world.now)


# --- when it is handed on -------------------------------------------------------------------------------------------


def test_it_is_handed_on_after_a_whole_duration_to_who_said_since_that_it_could() -> None:
    since = {SERVICE: 100.0}
    assert not relief.relieved(peer(110.0, SERVICE), since, 110.0, DURATION_S), "it may be over in a moment"
    assert relief.relieved(peer(110.1, SERVICE), since, 110.2, DURATION_S)
    assert relief.relieved(peer(110.1, SERVICE), since, 120.0, DURATION_S)
    assert not relief.relieved(peer(110.1, SERVICE), since, 120.2, DURATION_S), "it was not heard of since"


def test_it_is_not_handed_to_who_could_not_or_never_leads() -> None:
    since = {SERVICE: 100.0}
    for word in (peer(111.0), peer(111.0, "another.corp.example"), peer(111.0, SERVICE, candidate=False), {}):
        assert not relief.relieved(word, since, 111.0, DURATION_S)
    assert not relief.relieved(peer(111.0, SERVICE), {}, 111.0, DURATION_S), "nothing hinders us"
