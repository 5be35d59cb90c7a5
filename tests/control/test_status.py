"""Each test makes something happen in a world, and reads what status says of it."""

import json
import math
from typing import Any

import pytest

from edge.control import status
from edge.errors import Fault
from edge.failover import events as ev
from edge.failover import vetoes
from edge.failover.model import Assignment, Authority, Lease, Mode, Pointing, Stage
from tests.control.desk import ADDRESSES, FILES, MEDIA, WALL_S, Bench, Side, world
from tests.failover.world import Shown, World


def seen(one: World) -> dict[str, Any]:
    now = Bench(one).snapshot()
    return status.service(now, now.services[0])


def reasons(one: World) -> dict[str, Any]:
    now = Bench(one).snapshot()
    return status.why(now, now.services[0])


def test_a_quiet_service() -> None:
    said = seen(world())
    assert said["service"] == FILES
    assert (said["live_node"], said["epoch"], said["answer"]) == ("a", 7, list(ADDRESSES["a"]))
    assert (said["phase"], said["reason"]["slug"]) == ("steady", "steady")
    assert (said["mode"], said["authority"], said["path"]["state"]) == ("auto", "agent", "up")
    assert (said["override"], said["operation"], said["owed"], said["freeze_window"]) == (None, None, None, None)
    assert (said["vetoes"], said["hold_down_left_s"]) == ([], 0.0)
    assert said["flap_budget"] == {"used": 0, "limit_per_hour": 3}
    assert said["lease"] == {"held": True, "holder": "edge-1", "left_s": None}


def test_a_node_and_a_witness() -> None:
    node, other = seen(world())["nodes"]
    assert {key: node[key] for key in ("name", "live", "verdict", "health")} == {
        "name": "a", "live": True, "verdict": "active", "health": "active",
    }  # fmt: skip
    assert (node["evidence"], node["rtt_ms"], node["loss_share"]) == ("answered", 20.0, 0.0)
    assert 0 <= node["heard_age_s"] <= 1
    assert (other["live"], other["addresses"]) == (False, ["10.0.2.10"])
    (witness,) = seen(world())["witnesses"]
    assert (witness["name"], witness["health"], "verdict" in witness) == ("w", "active", False)


def test_what_the_counters_said_long_ago_is_not_said_now() -> None:
    one = world()
    one.now += one.state.policy.stale_s + 2
    node = seen(one)["nodes"][0]
    assert (node["health"], node["verdict"]) == ("unknown", "unknown")
    assert node["heard_age_s"] > 5


def test_an_agent_that_was_never_told_anything() -> None:
    said = seen(World(held=False))
    assert (said["live_node"], said["epoch"], said["answer"], said["phase"]) == (None, 0, [], "silent")
    assert said["assignment_age_s"] is None
    assert said["nodes"][0]["evidence"] == "not probed yet"
    assert said["nodes"][0]["heard_age_s"] is None


def test_a_dead_path_is_shown_as_such() -> None:
    one = world()
    one.path_up = False
    one.passes(10)
    said = seen(one)
    assert said["path"]["state"] == "down"
    assert (said["live_node"], said["reason"]["slug"]) == ("a", "path_down")
    assert {each["verdict"] for each in said["nodes"]} == {"unknown"}
    assert said["nodes"][0]["loss_share"] > 0.5


def test_a_switch_under_way() -> None:
    one = world()
    one.slow = (ev.RunStage,)
    one.says(ev.Promote("b", "kim", "maintenance"))
    one.now += 0.25
    operation = seen(one)["operation"]
    assert (operation["id"], operation["node"], operation["origin"]) == (f"{FILES}@8", "b", "a")
    assert (operation["phase"], operation["cause"], operation["who"]) == ("fencing", "operator", "kim")
    assert operation["took_ms"]["agree"] == pytest.approx(250)
    assert (operation["trouble"], operation["retry_in_s"], operation["debts"]) == (None, None, [])


def test_a_switch_that_waits_for_aws() -> None:
    one = world()
    one.stages[Stage.FENCE] = Fault.DENIED
    one.says(ev.Promote("b", "kim", "maintenance"))
    operation = seen(one)["operation"]
    assert operation["trouble"]["slug"] == "fence"
    assert 0 < operation["retry_in_s"] <= 0.5


def test_a_switch_that_owes_aws_something() -> None:
    one = world()
    one.stages = {Stage.PUBLISH: Fault.UNREACHABLE}
    one.says(ev.Promote("b", "kim", "maintenance"))
    said = seen(one)
    assert (said["live_node"], said["operation"]["debts"]) == ("b", ["publish"])


def test_an_hour_of_failures_uses_the_budget() -> None:
    one = world()
    one.sees["a"] = Shown.REFUSED
    one.passes(10)
    said = seen(one)
    assert (said["live_node"], said["flap_budget"]["used"]) == ("b", 1)
    assert 0 < said["hold_down_left_s"] <= 30
    one.now += 3601
    assert seen(one)["flap_budget"]["used"] == 0


def test_overrides_have_their_end() -> None:
    one = world()
    one.says(ev.Hold("kim", "backup runs", one.now + 60))
    assert seen(one)["override"] == {"kind": "hold", "who": "kim", "sentence": "backup runs", "left_s": 60.0}
    one.says(ev.Promote("b", "kim", "stays", pin=True))
    assert (seen(one)["override"]["kind"], seen(one)["override"]["left_s"]) == ("pin", None)


def test_views_that_disagree_or_can_not_be_read() -> None:
    desk = Bench(world())
    assert _views(desk)["agreement"] is True
    desk.sides = [Side("agent", Assignment("a", 7)), Side("route53", None)]
    assert _views(desk)["agreement"] is None
    desk.sides = [Side("agent", Assignment("a", 7)), Side("route53", Assignment("b", 6)), Side("ec2", None)]
    said = _views(desk)
    assert (said["agreement"], said["disagreement_s"]) == (False, 12.0)
    assert said["views"][1] == {
        "name": "route53", "node": "b", "epoch": 6, "said": "b, epoch 6", "agrees": False, "age_s": 2.0, "ttl_s": None,
        "warning": "",
    }  # fmt: skip


def test_a_drift() -> None:
    one = world()
    assert seen(one)["drift"] is None
    one.hears(ev.SidesRead(7, (Pointing("route53", "b", 7, "10.0.2.10, epoch 7"),)))
    one.passes(5)
    held = {"slug": "alert", "sentence": 'drift is "alert": nothing is changed'}
    sentence = "route53: 10.0.2.10, epoch 7"
    assert seen(one)["drift"] == {"sentence": sentence, "node": "b", "for_s": 5.0, "held": held}


def _views(desk: Bench) -> dict[str, Any]:
    desk._read = [(desk.first.now - 2, side) for side in desk.sides]
    now = desk.snapshot()
    return status.views(now.services[0])


def test_the_agent_itself() -> None:
    desk = Bench(world(FILES), world(MEDIA))
    desk.credentials_end_s = WALL_S + desk.first.now + 900
    desk.store_up, desk.store_age_s = False, 1.5
    said = status.agent(desk.snapshot(), desk.snapshot().services)
    assert [each["service"] for each in said["services"]] == [FILES, MEDIA]
    assert (said["credentials_left_s"], said["store_up"], said["dns_ready"]) == (900.0, False, True)
    assert said["store_age_s"] == 1.5
    assert (said["uptime_s"], said["answer_age_s"], said["config_reload_ok"]) == (4000.0, 0.25, True)


def test_every_answer_is_json_without_nan() -> None:
    for one in (World(held=False), world(), world(mode=Mode.MANUAL)):
        now = Bench(one).snapshot()
        answers = (status.agent(now, now.services), status.why(now, now.services[0]), status.views(now.services[0]))
        for answer in answers:
            assert json.loads(json.dumps(answer, allow_nan=False)) == answer


def test_one_dead_service_does_not_make_a_dead_path() -> None:
    dead, alive = world(FILES), world(MEDIA)
    dead.path_up = False
    dead.passes(10)
    alive.now = dead.now
    alive.passes(5)
    dead.passes(5)
    assert not status.path_up(Bench(dead).snapshot())
    assert status.path_up(Bench(dead, alive).snapshot())


# --- why ------------------------------------------------------------------------------------------------------------


def test_why_nothing_happens() -> None:
    said = reasons(world())
    assert said["reason"]["slug"] == "steady"
    assert [fact.split(" ")[0] for fact in said["facts"]] == ["a", "b", "witness", "path:"]
    assert said["vetoes"] == []
    assert said["would_switch_if"] == ["a misses 3 probes in a row while another endpoint answers"]


def test_why_a_dead_node_stays_live() -> None:
    one = world()
    one.says(ev.Hold("kim", "backup runs"))
    one.sees |= {"a": Shown.REFUSED, "b": Shown.STANDBY}
    one.passes(10)
    said = reasons(one)
    assert "a is down" in said["facts"][0]
    assert [veto["slug"] for veto in said["vetoes"]] == ["held"]
    assert said["would_switch_if"][0] == "b is seen to be active"
    assert said["would_switch_if"][1].startswith("a person says `edgectl release`")


def test_why_a_person_has_to_approve() -> None:
    assert reasons(world(mode=Mode.CONFIRM))["would_switch_if"][-1] == "a person says `edgectl approve`"


def test_why_while_a_switch_runs_and_before_the_first() -> None:
    one = world()
    one.slow = (ev.RunStage,)
    one.says(ev.Promote("b", "kim", "maintenance"))
    assert reasons(one)["would_switch_if"] == ["the switch under way has ended"]
    assert reasons(World(held=False))["would_switch_if"] == ["there is a first assignment: `edgectl promote` makes one"]


def standing() -> dict[str, World]:
    """A world for each veto that can stand by itself."""
    worlds = {name: world() for name in ("path_down", "held", "pinned", "frozen", "hold_down", "lease", "store")}
    worlds["path_down"].path_up = False
    worlds["path_down"].passes(10)
    worlds["held"].says(ev.Hold("kim", "backup runs"))
    worlds["pinned"].says(ev.Promote("b", "kim", "stays", pin=True))
    worlds["frozen"].hears(ev.FreezeSaid("nights"))
    worlds["hold_down"].says(ev.Promote("b", "kim", "maintenance"))
    worlds["lease"].hears(ev.LeaseSaid(Lease(held=False, until=0.0, holder="edge-2")))
    worlds["store"].hears(ev.StoreFailed("the disk is full"))
    worlds["conflict"] = world()
    worlds["conflict"].hears(ev.Conflicted(9, "the store has epoch 9"))
    worlds["manual"] = world(mode=Mode.MANUAL)
    worlds["flap_budget"] = world(switches_per_hour=0)
    worlds["split_brain"] = world(authority=Authority.CLUSTER)
    worlds["rejected"] = world(mode=Mode.CONFIRM)
    worlds["rejected"].sees["a"] = Shown.REFUSED
    worlds["rejected"].passes(10).says(ev.Reject("kim"))
    return worlds


@pytest.mark.parametrize("slug", standing())
def test_each_veto_says_what_ends_it(slug: str) -> None:
    said = reasons(standing()[slug])
    assert slug in [veto["slug"] for veto in said["vetoes"]]
    assert any(each.endswith(f"({slug})") for each in said["would_switch_if"])


def test_no_slug_is_without_its_end() -> None:
    by_phase = {
        "unknown",
        "quorum",
        "no_target",
        "fence",
        "aws",
        "silent",
    }  # these are said by _unmet, or stand in a phase
    assert set(vetoes.HOLDS) - by_phase <= set(status._ENDS)


# --- history --------------------------------------------------------------------------------------------------------


def test_a_line_of_a_switch_that_ended() -> None:
    one = world()
    one.says(ev.Promote("b", "kim", "maintenance"))
    (line,) = [each for each in Bench(one).lines if each.kind == "agreed"]
    said = status.line(line)
    assert (said["operation"], said["final"], said["who"]) == (f"{FILES}@8", True, "kim")
    assert set(said["took_ms"]) == {"decide", "fence", "move", "publish", "verify", "agree"}


def test_a_line_that_belongs_to_no_switch() -> None:
    one = world()
    one.says(ev.Hold("kim", "backup runs"))
    said = status.line(Bench(one).lines[-1])
    assert (said["operation"], said["took_ms"]) == (None, None)
    assert not math.isnan(said["wall_s"])
