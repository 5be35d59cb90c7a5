"""The preflight check: its levels, its rounds in a real agent, and that it changes nothing."""

import json
import logging
import re
import signal
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from edge.agent import checks, preflight
from edge.agent.checks import AGENT, Checks
from edge.agent.driver import Driver
from edge.agent.examiner import CHECKED_AT_A_TIME, Examiner
from edge.agent.reading import Read
from edge.agent.views import Views
from edge.config import Endpoint, Role, load
from edge.control.contract import Finding
from edge.errors import CloudError, Fault, StoreError
from edge.failover import events as ev
from edge.failover.model import Assignment, Listed, Report
from edge.stores.records import Clock, Records
from edge.stores.sqlite import SqliteStore
from edge.switches.contract import Step, View
from edge.switches.session import Session, Settings
from tests.agent.forwarder import forwarding
from tests.agent.site import BOTH, NAME, Site
from tests.agent.still import still_driver
from tests.cloud.emulator import REGION, Emulator, Layout
from tests.cloud.script import FaultKind
from tests.failover.world import POLICY, World
from tests.ports import free_port

CONFIGS = Path(__file__).parents[2] / "config"
OFTEN = 'check_interval = "2s"'


def told(found: Iterator[Finding]) -> list[tuple[str, str, str]]:
    return [(each.subject, each.level, each.sentence) for each in found]


def levels(found: Iterator[Finding]) -> list[str]:
    return [each.level for each in found]


# --- what each line says ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ahead_s", "level", "said"),
    [
        (None, "warn", "AWS has told no time yet"),
        (0.4, "ok", "as AWS's"),
        (-59.0, "ok", "59 s ahead of AWS's"),
        (61.0, "warn", "61 s behind AWS's"),
        (-241.0, "fail", "241 s ahead of AWS's"),
    ],
)
def test_a_clock_is_warned_of_before_aws_refuses_it(ahead_s: float | None, level: str, said: str) -> None:
    assert told(preflight.clock(ahead_s)) == [("clock", level, said)]


def test_a_store_that_can_not_be_written_fails() -> None:
    def broken() -> None:
        raise StoreError("the disk is gone")

    assert levels(preflight.store(broken)) == ["fail"]
    assert levels(preflight.store(lambda: None)) == ["ok"]


def test_a_full_disk_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert levels(preflight.disk(tmp_path)) == ["ok"]
    monkeypatch.setattr(preflight, "DISK_WARN_BYTES", 1 << 62)
    assert levels(preflight.disk(tmp_path)) == ["warn"]


def test_a_state_directory_that_is_gone_is_told(tmp_path: Path) -> None:
    [(subject, level, said)] = told(preflight.disk(tmp_path / "unmounted"))
    assert (subject, level) == ("disk", "fail")
    assert said.endswith("unmounted: No such file or directory")


def test_a_witness_is_told_that_it_is_one() -> None:
    assert told(preflight.role(Role.CANDIDATE)) == []
    [(subject, level, said)] = told(preflight.role(Role.WITNESS))
    assert (subject, level) == ("role", "ok")
    assert "never leads" in said


def test_who_has_to_agree_without_the_store_and_does_not_answer_is_told() -> None:
    unsigned = "it is not signed with our key (vantage.key_file)"
    ok, wrong = preflight.agreeing({"edge-2": None, "edge-3": unsigned})
    assert (ok.what, ok.level) == ("unanimous edge-2", "ok")
    assert (wrong.what, wrong.level) == ("unanimous edge-3", "fail")
    assert wrong.sentence == f"it does not say how it stands: {unsigned}"
    assert "vantage.key_file is the same" in wrong.advice


def test_vantages_that_are_missing_are_told_with_what_that_means() -> None:
    world = World(replace(POLICY, peers=("dc2", "vpc"), quorum=2)).started()
    assert [level for _, level, _ in told(preflight.vantages(world.state, world.now))] == ["fail", "fail"]
    world.hears(ev.Reported("dc2", Report(world.now, path_up=True, opinions={})))
    heard, missing = told(preflight.vantages(world.state, world.now))
    assert heard == ("vantage dc2", "ok", "it is heard")
    assert missing == ("vantage vpc", "warn", "it was not heard of yet; 2 of 3 are left, and 2 have to agree")
    world.hears(ev.Reported("dc2", Report(world.now, path_up=True, opinions={}, listed=Listed(quorum=2))))
    unlike, _ = told(preflight.vantages(world.state, world.now))
    assert unlike == ("vantage dc2", "warn", "its file has quorum 2, and ours 1")
    assert told(preflight.vantages(World().state, 0.0)) == []


LIVE = Assignment("b", 2)


@pytest.mark.parametrize(
    ("view", "level", "said"),
    [
        (View("b", 2, "read"), "ok", "read"),
        (View("a", 2, "read"), "warn", "read: not b, which is live"),
        (View("a", 3, "read"), "fail", "read: newer than ours (2)"),
        (View("b", 2, "read", flaw="TTL 300"), "warn", "read: TTL 300"),
    ],
)
def test_a_side_is_compared_with_what_is_live(view: View, level: str, said: str) -> None:
    assert told(preflight.sides(NAME, [Read("side", 0.0, view)], LIVE)) == [("side", level, said)]


def test_a_side_that_can_not_be_read_says_what_to_do() -> None:
    denied = Read("side", 0.0, None, "denied", Fault.DENIED)
    silent = Read("side", 0.0, None, "no answer")
    advice = [each.advice for each in preflight.sides(NAME, [denied, silent], LIVE)]
    assert ["iam-policy.json" in advice[0], "let this agent ask" in advice[1]] == [True, True]


class Odd(Step):
    name = "odd"

    def __init__(self, fault: Fault | None) -> None:
        self._fault = fault

    def plan(self, intent: object) -> object:  # type: ignore[override]
        raise AssertionError("a check plans nothing")

    def check(self) -> str | None:
        if self._fault:
            raise CloudError("DescribeOdd", self._fault, "so it is")
        return None

    def needs(self) -> tuple[()]:
        self.check()
        return ()


def test_every_fault_has_its_advice() -> None:
    session = Session(Settings(REGION, 1.0, 1.0), lambda *_: None)
    for fault in Fault:
        for found in (preflight.step(NAME, Odd(fault)), preflight.permissions(NAME, Odd(fault), session, None)):
            [finding] = found
            assert (finding.level, bool(finding.advice)) == ("fail", True)
    assert not told(preflight.step(NAME, Odd(None)))


def test_questions_that_come_too_late_are_not_asked() -> None:
    def slow() -> Iterator[Finding]:
        time.sleep(0.05)
        yield Finding("", "slow", "ok", "at last")

    [first, rest] = preflight.asked(NAME, [slow, slow, slow], 0.01)
    assert (first.subject, rest.level) == ("slow", "fail")
    assert rest.sentence.startswith("2 questions were not asked")


def test_a_question_that_breaks_is_a_finding_and_the_others_are_asked() -> None:
    def broken() -> Iterator[Finding]:
        yield Finding("", "first", "ok", "so far")
        raise KeyError("InstanceId")

    found = list(preflight.asked(NAME, [broken, lambda: preflight.clock(0.0)], 10.0))
    assert [(each.subject, each.level) for each in found] == [("first", "ok"), ("check", "fail"), ("clock", "ok")]
    assert "InstanceId" in found[1].sentence


async def test_a_service_that_a_reload_takes_out_while_it_waits_for_its_check_is_passed_over(tmp_path: Path) -> None:
    config, drivers, clock = load(CONFIGS / "demo.toml"), dict[str, Driver](), Clock("boot", time.monotonic, time.time)

    class Reloading(Records):
        def test(self) -> None:
            drivers.clear()

    records = Reloading(SqliteStore(tmp_path), clock)
    with ThreadPoolExecutor(1) as threads:
        names = [f"{i}.fs.corp.example" for i in range(2 * CHECKED_AT_A_TIME)]
        drivers.update((name, still_driver(config, name, records, threads)) for name in names)
        views = Views(threads, clock.monotonic, lambda _: None, lambda *_: None)
        present = (lambda: config), drivers
        around = {"records": records, "views": views, "clock": clock, "agreeing": dict, "threads": threads}
        examiner = Examiner(*present, session=None, **around)
        assert {each.service for each in await examiner.check()} == {""}


def test_a_forwarder_that_is_silent_or_finds_another_zone_is_told(cloud: Emulator, tmp_path: Path) -> None:
    """The emulated zone is told by name servers that are not ours: what is delegated elsewhere looks like that."""
    config = load(CONFIGS / "multi-az-route53.toml")
    cloud.reset()
    cloud.seed(Layout())
    with forwarding("unbound", cloud.dns_address, tmp_path) as elsewhere:
        for server in (("127.0.0.1", free_port()), elsewhere):
            one = config.forwarders[0].model_copy(update={"dns": Endpoint(*server)})
            [found] = preflight.delegations(config.model_copy(update={"forwarders": (one,)}))
            assert (found.level, found.subject) == ("fail", f"delegation of {config.zones[0].name} at {one.name}")
            assert "not ns1.fs.corp.example" in found.sentence or server is not elsewhere


# --- told once --------------------------------------------------------------------------------------------------------


def test_a_failing_check_is_told_once_and_once_when_it_passes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "edge")
    kept = Checks()
    for level in ("ok", "fail", "fail", "warn", "warn", "fail"):
        kept.heard(NAME, [Finding(NAME, "step assign", level, "so", "do")])
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "WARNING"]
    assert caplog.messages[0] == f"check of {NAME} step assign fails: so; do"
    kept.heard(AGENT, [Finding("", "disk", "ok", "room")])
    kept.keep([AGENT])
    assert [each.subject for each in kept.found()] == ["disk"]


def test_a_round_is_spread_over_the_interval_and_the_first_is_soon() -> None:
    assert checks.pause_s(5, 600.0, first=False) == 120.0
    assert checks.pause_s(5, 600.0, first=True) == 6.0


# --- in a real agent --------------------------------------------------------------------------------------------------


def metric(site: Site, subject: str, level: str, service: str = NAME) -> str | None:
    with urllib.request.urlopen(f"http://127.0.0.1:{site.http_port}/metrics", timeout=10) as page:
        text = page.read().decode()
    labels = f'level="{level}",service="{service}",subject="{subject}"'
    found = re.search(rf"^edge_check\{{{re.escape(labels)}\}} (\S+)$", text, re.MULTILINE)
    return found[1] if found else None


def logged(site: Site, what: str) -> int:
    return (site.home / "edged.log").read_text().count(what)


@pytest.fixture
def checking(site: Site) -> Site:
    site.configure(BOTH, more_aws=OFTEN)
    site.start()
    site.until("the agent is content with a", lambda: site.ready_on("a"))
    site.until("a round is done", lambda: metric(site, "switch to b", "ok") == "1.0")
    return site


def test_a_permission_that_is_denied_is_seen_before_it_is_needed(checking: Site) -> None:
    site = checking
    site.aws.fault("route53:GetChange", FaultKind.DENY)
    site.until("it is seen", lambda: metric(site, "step route53-insync", "fail") == "1.0")
    assert metric(site, "step route53-insync", "ok") == "0.0"
    before = len(site.aws.calls("route53:GetChange"))
    site.until("rounds go on", lambda: len(site.aws.calls("route53:GetChange")) > before + 2)
    assert logged(site, f"check of {NAME} step route53-insync fails") == 1
    site.aws.clear_faults()
    site.until("it passes again", lambda: metric(site, "step route53-insync", "ok") == "1.0")
    site.until("that is told", lambda: logged(site, f"check of {NAME} step route53-insync passes again") == 1)
    assert site.settled_on("a")


def test_credentials_that_have_ended_are_seen_before_they_are_needed(checking: Site) -> None:
    site = checking
    site.aws.fault("*", FaultKind.EXPIRED)
    site.until("it is seen", lambda: metric(site, "credentials", "fail", service="") == "1.0")
    site.until("the switch too", lambda: metric(site, "switch to b", "fail") == "1.0")
    checked = site.edgectl("--json", "check")
    assert checked.returncode == 1
    [credentials] = [each for each in json.loads(checked.stdout)["findings"] if each["subject"] == "credentials"]
    assert "renew the credentials" in credentials["advice"]
    assert site.answer() == ("127.0.1.10",)


def test_a_clock_that_is_off_is_seen(checking: Site) -> None:
    site = checking
    site.aws.fault("*", FaultKind.SKEWED)
    site.until("it is seen", lambda: metric(site, "clock", "fail", service="") == "1.0")
    assert logged(site, "check of clock fails: ") == 1


def test_a_forwarder_that_finds_the_agent_passes(checking: Site, tmp_path: Path) -> None:
    site = checking
    with forwarding("unbound", site.dns, tmp_path) as server:
        one = f'[[forwarder]]\nname = "dc1"\ndns = "{server[0]}:{server[1]}"'
        site.configure(BOTH, more_aws=f"{OFTEN}\n{one}")
        assert site.agent
        site.agent.send_signal(signal.SIGHUP)
        subject = "delegation of fs.corp.example at dc1"
        site.until("it passes", lambda: metric(site, subject, "ok", service="") == "1.0")
        site.until("its answer is current", lambda: metric(site, "forwarder/dc1", "ok") == "1.0")


def test_the_check_has_all_of_it_and_changes_nothing(checking: Site) -> None:
    site = checking
    site.aws.forget_calls()
    checked = site.edgectl("--json", "check")
    found = {(each["service"] != "", each["subject"]): each for each in json.loads(checked.stdout)["findings"]}
    assert {subject for ours, subject in found if not ours} == {"disk", "store", "credentials", "clock"}
    assert {subject for ours, subject in found if ours} == {
        "agent",
        "route53",
        "secondary_ip",
        "step assign",
        "step route53",
        "step route53-insync",
        "permission ec2:UnassignPrivateIpAddresses",
        "permission ec2:AssignPrivateIpAddresses",
        "permission route53:ChangeResourceRecordSets",
        "switch to a",
        "switch to b",
        "node a",
        "node b",
        "witnesses",
    }
    unproven = {subject for (_, subject), each in found.items() if each["level"] == "warn"}
    assert unproven == {"witnesses", *(subject for _, subject in found if subject.startswith("permission "))}
    assert checked.returncode == 0
    changing = ("Assign", "Unassign", "Change", "Create", "Delete", "Modify", "Stop", "Replace", "Associate")
    assert not [call for call in site.aws.calls() if call.api.partition(":")[2].startswith(changing)]


def test_an_aws_that_is_silent_does_not_keep_the_check_from_answering(checking: Site) -> None:
    site = checking
    site.aws.fault("*", FaultKind.BLACK_HOLE)
    checked = site.edgectl("--json", "check")
    assert checked.returncode == 1
    failed = {each["subject"] for each in json.loads(checked.stdout)["findings"] if each["level"] == "fail"}
    assert {"credentials", "route53", "step assign"} <= failed
    assert site.answer() == ("127.0.1.10",)
