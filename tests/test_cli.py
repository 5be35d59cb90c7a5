"""The real edgectl, as a process of its own, against a real control socket: what it prints and how it ends."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edge.control.api import serve_control
from edge.control.contract import Finding, ForeseenStep
from edge.failover import events as ev
from edge.failover.model import Assignment, Mode
from tests.control.desk import FILES, MEDIA, Bench, Side, world
from tests.failover.world import Shown

EDGECTL = str(Path(sys.executable).with_name("edgectl"))
PATIENT_S = 60  # for a process on a machine that has much else to do


@dataclass
class Ended:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Shell:
    """Where edgectl is typed."""

    desk: Bench
    path: Path

    @property
    def env(self) -> dict[str, str]:
        return {**os.environ, "EDGE_SOCKET": str(self.path), "TERM": "xterm", "COLUMNS": "200"}

    async def start(self, *words: str) -> Process:
        return await asyncio.create_subprocess_exec(
            EDGECTL, *words, stdin=subprocess.DEVNULL, stdout=PIPE, stderr=PIPE, env=self.env
        )

    async def __call__(self, *words: str) -> Ended:
        process = await self.start(*words)
        out, err = await asyncio.wait_for(process.communicate(), PATIENT_S)
        return Ended(process.returncode or 0, out.decode(), err.decode())

    async def typed(self, *words: str, answer: bytes = b"") -> Ended:
        """On a terminal. The answer is typed when a question was asked."""
        ours, theirs = os.openpty()
        process = await asyncio.create_subprocess_exec(
            EDGECTL, *words, stdin=theirs, stdout=theirs, stderr=theirs, env=self.env, start_new_session=True
        )
        os.close(theirs)
        shown = await asyncio.wait_for(asyncio.to_thread(_shown, ours, answer), PATIENT_S)
        os.close(ours)
        return Ended(await process.wait(), shown, "")


def _shown(ours: int, answer: bytes) -> str:
    shown = b""
    while True:
        try:
            shown += os.read(ours, 4096)
        except OSError:  # the other end is closed: EIO, pty(7)
            return shown.decode()
        if answer and b"[y/N]" in shown:
            os.write(ours, answer)
            answer = b""


@pytest.fixture
async def edgectl(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shell]:
    """One service; `a` is live at epoch 7."""
    shell = Shell(Bench(world(FILES)), tmp_path_factory.mktemp("s") / "edge.sock")
    runner = await serve_control(shell.desk, shell.path)
    yield shell
    await runner.cleanup()


def add(shell: Shell, service: str, **policy: Any) -> None:
    shell.desk.worlds[service] = world(service, **policy)
    shell.desk._listed[service] = 0


# --- questions --------------------------------------------------------------------------------------------------------


async def test_status_on_a_pipe_is_aligned_text(edgectl: Shell) -> None:
    said = await edgectl("status")
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[0] == f"{FILES}: a is live at epoch 7 (10.0.1.10)"
    column = lines[2].index("VERDICT")
    assert [line[column:].split()[0] for line in lines[3:6]] == ["active", "active", "witness"]
    assert "\x1b" not in said.out


async def test_status_on_a_terminal_is_a_table(edgectl: Shell) -> None:
    said = await edgectl.typed("status")
    assert said.code == 0
    assert "ENDPOINT" in said.out
    assert "\x1b[32mactive" in said.out


async def test_status_as_json(edgectl: Shell) -> None:
    for words in (("--json", "status", "files"), ("status", "files", "--json")):
        said = await edgectl(*words)
        assert said.json["services"][0]["live_node"] == "a"


async def test_a_socket_that_is_named(edgectl: Shell) -> None:
    path, edgectl.path = edgectl.path, Path("/nowhere/edge.sock")
    assert (await edgectl("status")).code == 3
    assert (await edgectl("--socket", str(path), "status")).code == 0
    edgectl.path = path


async def test_a_service_that_there_is_not(edgectl: Shell) -> None:
    said = await edgectl("status", "x")
    assert (said.code, said.out) == (1, "")
    assert said.err == f"edgectl: there is no service x; there is {FILES}\n"


async def test_watch_shows_it_again_until_interrupted(edgectl: Shell) -> None:
    process = await edgectl.start("status", "--watch")
    assert process.stdout
    for _ in range(2):
        await asyncio.wait_for(process.stdout.readuntil(b"agent edge-1:"), PATIENT_S)
    process.send_signal(signal.SIGINT)
    await asyncio.wait_for(process.communicate(), PATIENT_S)
    assert process.returncode == 0


async def test_watch_outlives_the_agent(edgectl: Shell) -> None:
    process = await edgectl.start("status", "--watch")
    assert process.stdout
    assert process.stderr
    await asyncio.wait_for(process.stdout.readuntil(b"agent edge-1:"), PATIENT_S)
    edgectl.path.rename(gone := edgectl.path.with_suffix(".gone"))
    await asyncio.wait_for(process.stderr.readuntil(b"there is no socket"), PATIENT_S)
    gone.rename(edgectl.path)
    await asyncio.wait_for(process.stdout.readuntil(b"agent edge-1:"), PATIENT_S)
    process.send_signal(signal.SIGINT)
    await asyncio.wait_for(process.communicate(), PATIENT_S)


async def test_an_answer_that_cannot_be_written_is_one_sentence(edgectl: Shell) -> None:
    with open("/dev/full", "w") as full:  # noqa: ASYNC230, PTH123 - no disk behind it
        process = await asyncio.create_subprocess_exec(EDGECTL, "status", stdout=full, stderr=PIPE, env=edgectl.env)
        _, err = await asyncio.wait_for(process.communicate(), PATIENT_S)
    assert (process.returncode, err.decode()) == (
        1,
        "edgectl: the answer can't be written: No space left on device\n",
    )


async def test_why(edgectl: Shell) -> None:
    said = await edgectl("why", "files")
    assert "an automatic switch opens when\n  a misses 3 probes" in said.out
    assert (await edgectl("--json", "why")).json["vetoes"] == []


async def test_views_are_read_anew(edgectl: Shell) -> None:
    edgectl.desk.sides = [Side("agent", Assignment("a", 7)), Side("route53", Assignment("b", 6))]
    said = await edgectl("views")
    assert re.search(r"^route53 +NO +b +6 ", said.out, re.MULTILINE)


async def test_history(edgectl: Shell) -> None:
    await edgectl("hold", "--reason", "backup runs")
    said = await edgectl("history", "files", "--limit", "30")
    assert re.search(rf"^2023-\S+ \S+ \S+ +{FILES} +hold +- +\S+ \(uid \d+, pid \d+\) ", said.out, re.MULTILINE)
    assert len((await edgectl("--json", "history", "--limit", "1")).json["lines"]) == 1


async def test_check_fails_when_something_fails(edgectl: Shell) -> None:
    edgectl.desk.findings = [
        Finding("", "store", "ok", "it was written"),
        Finding("", "disk", "warn", "3 MiB free", "make room"),
    ]
    said = await edgectl("check")
    assert said.code == 0
    assert said.out.splitlines()[2].split()[-2:] == ["make", "room"]
    edgectl.desk.findings.append(Finding("", "credentials", "fail", "denied", "attach the policy"))
    assert (await edgectl("check")).code == 1


async def test_version_with_and_without_an_agent(edgectl: Shell) -> None:
    assert re.fullmatch(r"edgectl (\S+), agent \1\n", (await edgectl("version")).out)
    edgectl.path = Path("/nowhere/edge.sock")
    said = await edgectl("--json", "version")
    assert (said.code, said.json["agent"]) == (0, None)


# --- words ------------------------------------------------------------------------------------------------------------


async def test_promote_shows_each_stage_when_it_happens(edgectl: Shell) -> None:
    one = edgectl.desk.first
    one.slow = (ev.RunStage,)
    process = await edgectl.start("promote", "b", "--reason", "patch day", "--yes")
    assert process.stdout
    lines = [(await asyncio.wait_for(process.stdout.readline(), PATIENT_S)).decode() for _ in range(2)]
    assert lines[0] == "promoting b at epoch 8\n"
    assert lines[1].startswith("        0 ms  opened     epoch 8: b is to be live (operator): patch day")
    one.now += 0.25
    one.slow = ()
    one.settles()
    edgectl.desk.hears_news()
    out, err = await asyncio.wait_for(process.communicate(), PATIENT_S)
    assert (process.returncode, err) == (0, b"")
    rest = out.decode().splitlines()
    assert rest[0] == "      250 ms  stage      fence: ok"
    assert rest[-1].startswith("      250 ms  agreed     every side agrees on b at epoch 8")


async def test_promote_with_everything(edgectl: Shell) -> None:
    add(edgectl, MEDIA)
    words = (
        "--reason",
        "patch day",
        "--ticket",
        "OPS-7",
        "--pin",
        "--force",
        "--expect-epoch",
        "7",
        "--no-wait",
        "--yes",
    )
    said = await edgectl("--json", "promote", "media", "b", *words)
    assert said.json["operation"] == f"{MEDIA}@8"
    pin = edgectl.desk.worlds[MEDIA].state.override
    assert pin
    assert (pin.pinned, pin.sentence) == (True, "patch day (OPS-7)")
    assert edgectl.desk.first.live == "a"


async def test_a_dry_run_asks_nothing_and_needs_no_reason(edgectl: Shell) -> None:
    said = await edgectl("promote", "b", "--dry-run")
    assert (said.code, said.err) == (0, "")
    assert "ec2:AssignPrivateIpAddresses" in said.out
    assert "the outage that clients see" in said.out
    assert (await edgectl("--json", "promote", "b", "--dry-run")).json["epoch"] == 8
    assert edgectl.desk.first.live == "a"
    refused = await edgectl("promote", "b", "--dry-run", "--expect-epoch", "6")
    assert (refused.code, "not 6" in refused.err) == (1, True)
    edgectl.desk.steps = (ForeseenStep("fence", "stop", "denied", trouble=True),)
    assert (await edgectl("promote", "b", "--dry-run")).code == 1


async def test_promote_in_json_is_one_object_a_line(edgectl: Shell) -> None:
    said = await edgectl("--json", "promote", "b", "--reason", "x", "--yes")
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert (lines[0]["operation"], lines[-1]["kind"], lines[-1]["final"]) == (f"{FILES}@8", "agreed", True)
    assert lines[-1]["took_ms"]["agree"] == 0


async def test_promote_is_refused(edgectl: Shell) -> None:
    said = await edgectl("promote", "a", "--reason", "x", "--yes")
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("edgectl: a is live already, at epoch 7")


async def test_promote_that_is_abandoned(edgectl: Shell) -> None:
    edgectl.desk.first.store = ev.StoreFailed
    said = await edgectl("promote", "b", "--reason", "x", "--yes")
    assert said.code == 1
    assert "abandoned  epoch 8" in said.out
    assert edgectl.desk.first.live == "a"


async def test_promote_that_takes_longer_than_one_waits(edgectl: Shell) -> None:
    edgectl.desk.first.slow = (ev.RunStage,)
    said = await edgectl("promote", "b", "--reason", "x", "--yes", "--timeout", "300ms")
    assert said.code == 4
    assert f"`edgectl status {FILES}@8 --watch`" in said.err


async def test_an_interrupted_wait_says_that_the_switch_goes_on(edgectl: Shell) -> None:
    edgectl.desk.first.slow = (ev.RunStage,)
    process = await edgectl.start("promote", "b", "--reason", "x", "--yes")
    assert process.stdout
    await asyncio.wait_for(process.stdout.readuntil(b"opened"), PATIENT_S)
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(process.communicate(), PATIENT_S)
    assert (process.returncode, b"goes on" in err) == (4, True)


async def test_promote_without_a_terminal_wants_yes(edgectl: Shell) -> None:
    said = await edgectl("promote", "b", "--reason", "x")
    assert said.code == 2
    assert "promote asks on a terminal; without one, say --yes" in said.err
    assert edgectl.desk.first.live == "a"


async def test_promote_asks_on_a_terminal(edgectl: Shell) -> None:
    said = await edgectl.typed("promote", "b", "--reason", "x", answer=b"n\n")
    assert (said.code, edgectl.desk.first.live) == (1, "a")
    assert f"{FILES}: a is live at epoch 7 (10.0.1.10)" in said.out
    assert "  b: b is active (answered)" in said.out
    assert "b will get the name, and what AWS moves with it; what clients have open on a is cut." in said.out
    said = await edgectl.typed("promote", "b", "--reason", "x", answer=b"y\n")
    assert (said.code, edgectl.desk.first.live) == (0, "b")


async def test_nobody_is_asked_for_what_would_be_refused(edgectl: Shell) -> None:
    said = await edgectl.typed("promote", "c", "--reason", "x", answer=b"n\n")
    assert (said.code, "Go on?" in said.out) == (1, False)
    assert f"{FILES} has no node c: it has a, b" in said.out
    said = await edgectl.typed("promote", "b", "--reason", "x", "--expect-epoch", "6", answer=b"n\n")
    assert (said.code, "Go on?" in said.out) == (1, False)
    assert "the epoch is 7, not 6" in said.out


async def test_a_yes_is_for_the_epoch_that_was_shown(edgectl: Shell) -> None:
    typing = asyncio.create_task(edgectl.typed("promote", "b", "--reason", "x", answer=b"y\n"))
    edgectl.desk.say, say = _after_another_switch(edgectl), edgectl.desk.say  # type: ignore[method-assign]
    said = await typing
    edgectl.desk.say = say  # type: ignore[method-assign]
    assert (said.code, edgectl.desk.first.live) == (1, "a")
    assert "the epoch is 9, not 7: something was switched since you looked" in said.out


def _after_another_switch(shell: Shell) -> Any:
    """Somebody else switches there and back between the question and the word."""
    say = shell.desk.say

    async def late(service: str, word: ev.Event) -> ev.Reply:
        shell.desk.first.says(ev.Promote("b", "lee", "there"))
        shell.desk.first.says(ev.Promote("a", "lee", "and back"))
        return await say(service, word)

    return late


async def test_with_two_services_one_has_to_be_named(edgectl: Shell) -> None:
    add(edgectl, MEDIA)
    said = await edgectl("promote", "b", "--reason", "x", "--yes")
    assert (said.code, said.err) == (2, f"edgectl: service: say which one: {FILES}, {MEDIA}\n")
    said = await edgectl.typed("promote", "b", "--reason", "x")
    assert said.code == 2
    assert f"say which service: {FILES}, {MEDIA}" in said.out


async def test_hold_and_release(edgectl: Shell) -> None:
    said = await edgectl("hold", "--reason", "backup runs", "--for", "2h")
    assert said.code == 0
    assert said.out.startswith(f"{FILES}\n")
    held = edgectl.desk.first.state.override
    assert held
    assert held.until == edgectl.desk.first.now + 7200
    assert (await edgectl("release", "files")).code == 0
    assert edgectl.desk.first.state.override is None


async def test_a_hold_of_no_time_is_no_hold(edgectl: Shell) -> None:
    said = await edgectl("hold", "--reason", "x", "--for", "0s")
    assert (said.code, "Invalid value for '--for': 0s: expected more than none" in said.err) == (2, True)


async def test_approve_and_reject(edgectl: Shell) -> None:
    add(edgectl, MEDIA, mode=Mode.CONFIRM)
    one = edgectl.desk.worlds[MEDIA]
    one.sees["a"] = Shown.REFUSED
    one.passes(10)
    assert (await edgectl("reject", "media")).code == 0
    assert (await edgectl("reject", "media")).code == 1
    await edgectl("release", "media")
    said = await edgectl("approve", "media")
    assert (said.code, one.live) == (0, "b")
    assert "agreed" in said.out


# --- one switch -------------------------------------------------------------------------------------------------------


async def test_the_status_of_a_switch(edgectl: Shell) -> None:
    edgectl.desk.first.slow = (ev.RunStage,)
    await edgectl("promote", "b", "--reason", "x", "--yes", "--no-wait")
    said = await edgectl("status", "files@8")
    assert (said.code, len(said.out.splitlines())) == (0, 1)
    edgectl.desk.first.slow = ()
    edgectl.desk.first.settles()
    edgectl.desk.hears_news()
    ended = (await edgectl("status", "@8")).out
    assert re.findall(r"ms  (\w+)", ended) == ["opened", "stage", "stage", "stage", "committed", "stage", "agreed"]
    assert (await edgectl("status", "files@8", "--watch")).out == ended


async def test_the_status_of_a_switch_that_failed_or_never_was(edgectl: Shell) -> None:
    edgectl.desk.first.store = ev.StoreFailed
    await edgectl("promote", "b", "--reason", "x", "--yes", "--no-wait")
    assert (await edgectl("status", "files@8")).code == 1
    said = await edgectl("status", "files@99")
    assert (said.code, said.err) == (1, "edgectl: no switch files@99 is known\n")


async def test_one_epoch_of_two_services_is_two_switches(edgectl: Shell) -> None:
    add(edgectl, MEDIA)
    for service in ("files", "media"):
        await edgectl("promote", service, "b", "--reason", "x", "--yes")
    said = await edgectl("status", "@8")
    assert (said.code, f"say which service: {FILES}, {MEDIA}" in said.err) == (2, True)
    assert (await edgectl("status", "media@8")).code == 0


# --- usage, and no agent ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ("nonsense",),
        ("promote", "b"),
        ("promote", "x", "y", "z", "--reason", "x"),
        ("hold",),
        ("promote",),
        ("hold", "--reason", "x", "--for", "2 hours"),
        ("hold", "--reason", " "),
    ],
)
async def test_usage(edgectl: Shell, words: tuple[str, ...]) -> None:  # fmt: skip
    said = await edgectl(*words)
    assert (said.code, said.out) == (2, "")
    assert said.err


async def test_a_duration_that_is_none_is_told_what_would_be_right(edgectl: Shell) -> None:
    assert 'such as "500ms", "2s", "5m" or "2h"' in (await edgectl("hold", "--reason", "x", "--for", "2")).err


@pytest.mark.parametrize("words", [("status",), ("hold", "--reason", "x"), ("promote", "b", "--reason", "x", "--yes")])
async def test_no_agent(edgectl: Shell, words: tuple[str, ...]) -> None:
    edgectl.path = edgectl.path.parent / "other.sock"
    said = await edgectl(*words)
    assert (said.code, said.out) == (3, "")
    assert said.err.startswith(f"edgectl: there is no socket {edgectl.path}: start edged")


def test_help_names_every_command_and_the_exit_statuses() -> None:
    said = subprocess.run([EDGECTL, "--help"], capture_output=True, text=True, check=True).stdout
    for word in (
        "status",
        "why",
        "views",
        "history",
        "promote",
        "hold",
        "release",
        "approve",
        "reject",
        "check",
        "version",
    ):
        assert re.search(rf"^  {word} ", said, re.MULTILINE)
    assert "_EDGECTL_COMPLETE=bash_source edgectl" in said


def test_completion() -> None:
    env = {**os.environ, "_EDGECTL_COMPLETE": "bash_complete", "COMP_WORDS": "edgectl pro", "COMP_CWORD": "1"}
    assert subprocess.run([EDGECTL], env=env, capture_output=True, text=True, check=True).stdout == "plain,promote\n"


# --- start-up ---------------------------------------------------------------------------------------------------------


async def test_it_loads_nothing_heavy(edgectl: Shell) -> None:
    """What is loaded is counted, not timed: a slow machine changes nothing about it."""
    code = (
        "import sys\nfrom edge.cli import main\n"
        "try: main(['status'])\n"
        "finally: print(*{name.partition('.')[0] for name in sys.modules}, sep='\\n')"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=PIPE, env=edgectl.env)
    out, _ = await asyncio.wait_for(process.communicate(), PATIENT_S)
    loaded = set(out.decode().split())
    assert {"edge", "click", "http"} <= loaded
    assert not loaded & {
        "boto3",
        "botocore",
        "aiohttp",
        "pydantic",
        "prometheus_client",
        "dnslib",
        "tenacity",
        "rich",
        "asyncio",
    }
