"""What people read. The answers are the real ones, of worlds in which something happened."""

import math
import re

import pytest

from edge.control import status, tables
from edge.control.contract import Forecast, ForeseenStep
from edge.control.tables import Block, plain
from edge.errors import Fault
from edge.failover import events as ev
from edge.failover.model import Assignment, Lease, Listed, Mode, Opinion, Pointing, Report, Sight, Stage
from tests.control.desk import CALL, COSTS, FILES, STEPS, WALL_S, Bench, Side, world
from tests.failover.world import Shown, World


def shown(desk: Bench) -> str:
    answer = status.agent(desk.snapshot(), desk.snapshot().services)
    return "\n\n".join(map(plain, tables.status(answer)))


def test_columns_are_aligned_and_lines_have_no_tail() -> None:
    block = Block("title", ("a sentence",), ("NAME", "X"), (("a", "1"), ("longer", "")))
    assert plain(block) == "title\na sentence\nNAME    X\na       1\nlonger"


def test_a_quiet_service() -> None:
    title, reason, header, *rows = shown(Bench(world())).splitlines()
    assert title == f"{FILES}: a is live at epoch 7 (10.0.1.10)"
    assert reason.startswith("steady: a is live at epoch 7")
    assert header.split() == ["ENDPOINT", "LIVE", "VERDICT", "HEALTH", "RTT", "LOSS", "HEARD", "EVIDENCE"]
    assert rows[0].split()[:6] == ["a", "live", "active", "active", "20.0", "ms"]
    assert rows[2].split()[:3] == ["w", "witness", "active"]
    assert rows[4].startswith("agent edge-1: up 66.7 min, answers confirmed 0.2 s ago, ")


def test_of_several_vantages_what_each_sees_and_who_abstains() -> None:
    one = world(vantage="dc1", peers=("dc2", "dc3", "vpc"), quorum=3)
    seen = {"a": Opinion(Sight.DOWN, "a is down"), "b": Opinion(Sight.ACTIVE, "b is active")}
    one.hears(ev.Reported("dc2", Report(one.now, path_up=True, opinions=seen)))
    one.hears(ev.Reported("dc3", Report(one.now, path_up=False, opinions=seen)))
    one.passes(2.0)
    lines = shown(Bench(one)).splitlines()
    at = lines.index("3 of 4 vantages have to agree")
    assert [" ".join(line.split()) for line in lines[at + 1 : at + 6]] == [
        "VANTAGE HEARD a b",
        "dc1 0.0 s ago active active",
        "dc2 2.0 s ago down active",
        "dc3 2.0 s ago abstains: its own path is down",
        "vpc never abstains: it was not heard of yet",
    ]
    listed = Listed(("dc1", "dc2"), ("vpc",), 2)
    one.hears(ev.Reported("dc2", Report(one.now, path_up=True, opinions=seen, listed=listed)))
    said = (
        "vantage dc2: its file has agents dc1, dc2, and ours none; witnesses vpc, and ours none; quorum 2, and ours 1"
    )
    assert said in shown(Bench(one)).splitlines()
    assert "vantages have to agree" not in shown(Bench(world()))
    assert (
        "as 3 of 4 vantages see it"
        in status.why(Bench(one).snapshot(), Bench(one).snapshot().services[0])["would_switch_if"][0]
    )


def test_our_own_dead_path_is_an_abstention_too() -> None:
    one = world(vantage="dc1", peers=("dc2",), quorum=2)
    one.path_up = False
    one.passes(10.0)
    assert "dc1      0.0 s ago  abstains: its own path is down" in shown(Bench(one))


def test_a_witness_says_so() -> None:
    desk = Bench(world())
    desk.witness = True
    assert "A WITNESS: IT NEVER LEADS" in shown(desk)


def test_what_a_closer_look_has_shown_so_far() -> None:
    one = world()
    assert "closer look" not in shown(Bench(one))
    one.sees["a"] = Shown.SILENT
    one.passes(2.4)
    said = next(line for line in shown(Bench(one)).splitlines() if line.startswith("a closer look"))
    assert re.fullmatch(r"a closer look at every endpoint: a lost (\d+) of \1, b lost 0 of \d+, w lost 0 of \d+", said)


def test_before_anything_is_known() -> None:
    said = shown(Bench(World(held=False)))
    assert f"{FILES}: no node is live" in said
    assert "never" in said


def test_what_an_operator_has_to_know() -> None:
    one = world()
    one.stages = {Stage.PUBLISH: Fault.UNREACHABLE}
    one.says(ev.Promote("b", "kim", "patch day", pin=True))
    one.sees["a"] = Shown.REFUSED
    one.passes(10)
    desk = Bench(one)
    desk.store_up = desk.dns_ready = desk.reload_ok = False
    desk.credentials_end_s = WALL_S + one.now + 900
    said = shown(desk)
    assert f"switch {FILES}@8 to b: verifying (decide 0 ms, " in said
    assert "; AWS is owed: publish" in said
    assert "next try in " in said
    assert "pin by kim: patch day" in said
    assert "bars a switch: promoted for good by kim: patch day" in said
    assert "A DNS WORKER HAS NOT THE NEWEST ZONE" in said
    assert "STORE DOWN: NO SWITCH CAN BE RECORDED, THE LAST RELOAD WAS REFUSED" in said
    assert "AWS credentials end in 15.0 min" in said


@pytest.mark.parametrize(
    ("lease", "said"),
    [
        (Lease(held=True, until=9e9, holder="edge-1"), "store up, leads, the shared store read 1.5 s ago"),
        (Lease(held=False, until=math.inf, holder="edge-2"), "edge-2 leads, the shared store read 1.5 s ago"),
        (Lease(held=False, until=math.inf, holder="nobody"), "nobody leads, the shared store read 1.5 s ago"),
    ],
)
def test_of_several_agents_who_leads(lease: Lease, said: str) -> None:
    one = world()
    one.hears(ev.LeaseSaid(lease))
    desk = Bench(one)
    desk.store_age_s = 1.5
    assert said in shown(desk)
    assert "leads" not in shown(Bench(world()))


def test_a_hold_with_an_end() -> None:
    one = world()
    one.says(ev.Hold("kim", "backup runs", one.now + 7200))
    assert "hold by kim: backup runs, 2.0 h left" in shown(Bench(one))


async def test_views_that_disagree() -> None:
    desk = Bench(world())
    desk.sides = [Side("agent", Assignment("a", 7)), Side("route53", Assignment("b", 6)), Side("ec2", None)]
    await desk.look()
    said = shown(desk)
    assert "view route53 disagrees, for 12.0 s: b, epoch 6" in said
    assert "view ec2 can't be read: ListResourceRecordSets: denied" in said
    assert "view agent" not in said
    (block,) = tables.views({"services": [status.views(desk.snapshot().services[0])]})
    assert [row[:4] for row in block.rows] == [
        ("agent", "yes", "a", "7"), ("route53", "NO", "b", "6"), ("ec2", "not read", "-", "-"),
    ]  # fmt: skip


async def test_a_view_that_agrees_and_is_warned_of() -> None:
    desk = Bench(world())
    desk.sides = [Side("agent", Assignment("a", 7), 0), Side("forwarder/dc1", Assignment("a", 7), 300, "TTL 300")]
    await desk.look()
    assert "view forwarder/dc1: TTL 300" in shown(desk)
    (block,) = tables.views({"services": [status.views(desk.snapshot().services[0])]})
    assert [(row[4], row[6]) for row in block.rows] == [("0 s", "a, epoch 7"), ("300 s", "a, epoch 7; TTL 300")]


def test_a_drift_is_told_with_the_reason_why_nothing_is_done() -> None:
    one = world()
    one.hears(ev.SidesRead(7, (Pointing("route53", "b", 7, "10.0.2.10, epoch 7"),)))
    one.passes(6)
    said = shown(Bench(one))
    assert 'drift for 6.0 s: AWS was changed by somebody else: route53: 10.0.2.10, epoch 7; drift is "alert"' in said


def test_why() -> None:
    now = Bench(world(mode=Mode.MANUAL)).snapshot()
    said = "\n".join(map(plain, tables.why(status.why(now, now.services[0]))))
    assert said.startswith(
        f"{FILES}: a is live at epoch 7: a is active (answered)\nbecause\n  a is active (answered)\n"
    )
    assert "bars an automatic switch\n  manual: mode is manual: only a person switches\n" in said
    assert "an automatic switch opens when\n  a misses 3 probes in a row" in said


def test_why_when_nothing_bars_or_misses() -> None:
    answer = {"service": FILES, "reason": {"sentence": "x"}, "facts": [], "vetoes": [], "would_switch_if": []}
    said = [plain(block) for block in tables.why(answer)]
    assert said[2:] == ["bars an automatic switch\n  nothing", "an automatic switch opens when\n  nothing is missing"]


def test_history() -> None:
    one = world()
    one.says(ev.Promote("b", "kim", "patch day"))
    lines = [status.line(line) for line in Bench(one).lines]
    (block,) = tables.history(lines)
    opened = next(row for row in block.rows if row[2] == "opened")
    assert opened[1:5] == (FILES, "opened", "8", "kim")
    assert opened[0].startswith("2023-11-1")
    assert next(row for row in block.rows if row[2] == "reason")[3:5] == ("-", "-")


def test_a_dry_run() -> None:
    told = Forecast(FILES, "would promote b", "b", 8, STEPS, COSTS, ("a note",))
    steps, outage = tables.forecast(status.forecast(told))
    assert steps.title == f"{FILES}: would promote b"
    parameters = '{"PrivateIpAddresses":["10.0.1.100"]}'
    assert steps.rows == (
        ("move", "assign", "10.0.1.100 is on a", "ec2:AssignPrivateIpAddresses", parameters),
        ("verify", "route53-insync", "read back", "nothing", "-"),
    )
    assert outage.title == "the outage that clients see: 9.0 s at worst, 0.5 s by the last switch"
    assert outage.lines == ("a note",)
    assert outage.rows == (("fence", "0.5 s", "9.0 s", "so"), ("approve", "-", "-", "a person"))


def test_a_dry_run_that_would_stumble() -> None:
    failed = (
        ForeseenStep("fence", "stop", "denied", trouble=True),
        ForeseenStep("move", "assign", "read", (CALL, CALL)),
    )
    steps, outage = tables.forecast(status.forecast(Forecast(FILES, "would", "b", 8, failed, (), ())))
    assert steps.rows[0] == ("fence", "stop", "FAILS: denied", "-", "-")
    assert [row[:3] for row in steps.rows[1:]] == [("move", "assign", "read"), ("", "", "")]
    assert "not known at worst" in outage.title


def test_progress_counts_from_the_first_line() -> None:
    line = {"wall_s": WALL_S + 1.5, "kind": "stage", "sentence": "fence: nothing to do"}
    assert tables.progress(line, WALL_S) == "     1500 ms  stage      fence: nothing to do"


def test_spans() -> None:
    seconds = (0.04, 119.9, 120.0, 7200.0, 172800.0)
    assert [tables.span(s) for s in seconds] == ["0.0 s", "119.9 s", "2.0 min", "2.0 h", "2.0 d"]
    assert (tables.ago(None), tables.ago(3.0)) == ("never", "3.0 s ago")


def test_findings() -> None:
    disk = {"service": "", "level": "warn", "subject": "disk", "sentence": "3 MiB free", "advice": ""}
    node = {"service": FILES, "level": "ok", "subject": "node a", "sentence": "a is active", "advice": ""}
    (block,) = tables.findings({"findings": [disk, node]})
    assert block.rows == (("warn", "disk", "3 MiB free", "-"), ("ok", f"{FILES} node a", "a is active", "-"))
