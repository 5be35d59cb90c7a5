"""A real server on a real socket, asked by a client that is not ours."""

import asyncio
import json
import os
import pwd
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from edge.control.api import BODY_LIMIT_BYTES, _user, serve_control
from edge.control.contract import Finding
from edge.errors import ControlError
from edge.failover import events as ev
from edge.failover.model import Assignment, Mode
from tests.control.conftest import Served
from tests.control.desk import FILES, MEDIA, Bench, Side, world
from tests.failover.world import Shown, World

ME = f"{pwd.getpwuid(os.getuid()).pw_name} (uid {os.getuid()}, pid {os.getpid()})"


@pytest.fixture
async def http(served: Served) -> AsyncIterator[aiohttp.ClientSession]:
    async with session(served.path) as found:
        yield found


def session(path: Path) -> aiohttp.ClientSession:
    return aiohttp.ClientSession("http://edge", connector=aiohttp.UnixConnector(str(path)))


@asynccontextmanager
async def serving(path: Path, *worlds: World) -> AsyncIterator[aiohttp.ClientSession]:
    runner = await serve_control(Bench(*worlds), path)
    try:
        async with session(path) as http:
            yield http
    finally:
        await runner.cleanup()


async def get(http: aiohttp.ClientSession, question: str, code: int = 200, **query: str) -> Any:
    async with http.get(f"/v1/{question}", params=query) as response:
        assert (response.status, response.content_type) == (code, "application/json")
        return await response.json()


async def post(http: aiohttp.ClientSession, word: str, code: int = 200, **said: Any) -> Any:
    async with http.post(f"/v1/{word}", json=said) as response:
        assert (response.status, response.content_type) == (code, "application/json")
        return await response.json()


# --- questions --------------------------------------------------------------------------------------------------------


async def test_status(http: aiohttp.ClientSession) -> None:
    said = await get(http, "status")
    assert (said["agent"], said["services"][0]["live_node"]) == ("edge-1", "a")


@pytest.mark.parametrize("name", ["files", "files.fs", FILES, f"{FILES}.", "FILES"])
async def test_a_service_goes_by_its_first_labels(http: aiohttp.ClientSession, name: str) -> None:
    assert (await get(http, "why", service=name))["service"] == FILES


@pytest.mark.parametrize("name", ["file", "fs", "x", ""])
async def test_a_service_that_there_is_not(http: aiohttp.ClientSession, name: str) -> None:
    assert (await get(http, "status", 404, service=name))["error"] == f"there is no service {name}; there is {FILES}"


async def test_views_are_read_anew_and_status_shows_the_last_reading(
    served: Served, http: aiohttp.ClientSession
) -> None:
    served.desk.sides = [Side("route53", Assignment("b", 6))]
    assert (await get(http, "status"))["services"][0]["views"] == []
    (said,) = (await get(http, "views"))["services"]
    assert (said["views"][0]["name"], said["agreement"]) == ("route53", False)
    assert len((await get(http, "status"))["services"][0]["views"]) == 1


async def test_history_ends_with_the_newest(served: Served, http: aiohttp.ClientSession) -> None:
    await post(http, "hold", reason="backup runs")
    await post(http, "release")
    lines = (await get(http, "history"))["lines"]
    assert [line["kind"] for line in lines if line["kind"] != "reason"] == ["hold", "release"]
    (last,) = (await get(http, "history", limit="1", service="files"))["lines"]
    assert last == lines[-1]


@pytest.mark.parametrize("limit", ["0", "1001", "x", "-1", "1e3", "²", "9" * 5000])
async def test_a_limit_that_makes_no_sense(http: aiohttp.ClientSession, limit: str) -> None:
    assert (await get(http, "history", 400, limit=limit))["error"].startswith("limit: expected a number from 1 to 1000")


async def test_check(served: Served, http: aiohttp.ClientSession) -> None:
    served.desk.findings = [Finding("", "disk", "warn", "3 MiB free", "make room")]
    (finding,) = (await get(http, "check"))["findings"]
    said = {"subject": "disk", "level": "warn", "sentence": "3 MiB free", "advice": "make room"}
    assert finding == {"service": "", **said}


async def test_version(http: aiohttp.ClientSession) -> None:
    assert (await get(http, "version"))["agent"] == "edge-1"


async def test_a_question_that_there_is_not(http: aiohttp.ClientSession) -> None:
    assert "error" in await get(http, "nonsense", 404)
    assert "error" in await get(http, "promote", 405)


async def test_the_world_is_down(served: Served, http: aiohttp.ClientSession) -> None:
    served.desk.store_up = False
    assert await get(http, "history", 503) == {"error": "the disk is gone"}


# --- words ------------------------------------------------------------------------------------------------------------


async def test_promote_with_everything(served: Served, http: aiohttp.ClientSession) -> None:
    said = await post(http, "promote", node="b", reason="patch day", ticket="OPS-7", pin=True, expect_epoch=7)
    assert said == {"service": FILES, "sentence": "promoting b at epoch 8", "operation": f"{FILES}@8"}
    state = served.desk.first.state
    assert state.assignment == Assignment("b", 8)
    assert state.override
    assert (state.override.pinned, state.override.sentence, state.override.who) == (True, "patch day (OPS-7)", ME)


async def test_promote_is_refused_with_the_reason(served: Served, http: aiohttp.ClientSession) -> None:
    assert "a is live already" in (await post(http, "promote", 409, node="a", reason="x"))["error"]
    assert "has no node c" in (await post(http, "promote", 409, node="c", reason="x"))["error"]
    assert "not 6" in (await post(http, "promote", 409, node="b", reason="x", expect_epoch=6))["error"]
    assert served.desk.first.state.assignment == Assignment("a", 7)


async def test_a_dry_run_changes_nothing_and_is_refused_as_the_word_would_be(
    served: Served, http: aiohttp.ClientSession
) -> None:
    before = served.desk.first.state
    told = await post(http, "promote", node="b", reason="x", dry_run=True)
    assert (told["dry_run"], told["service"], told["node"], told["epoch"]) == (True, FILES, "b", 8)
    assert told["steps"][0]["calls"][0]["operation"] == "AssignPrivateIpAddresses"
    assert [cost["worst_s"] for cost in told["outage"]] == [9.0, None]
    assert "a is live already" in (await post(http, "promote", 409, node="a", reason="x", dry_run=True))["error"]
    assert served.desk.first.state == before


async def test_force_is_what_makes_a_dead_node_live(served: Served, http: aiohttp.ClientSession) -> None:
    served.desk.first.sees["b"] = Shown.REFUSED
    served.desk.first.passes(10)
    assert "b is down" in (await post(http, "promote", 409, node="b", reason="x"))["error"]
    assert (await post(http, "promote", node="b", reason="x", force=True))["operation"] == f"{FILES}@8"


async def test_a_word_that_lacks_something(http: aiohttp.ClientSession) -> None:
    assert (await post(http, "promote", 400, node="b"))["error"].startswith("reason: ")
    assert (await post(http, "promote", 400, reason="x"))["error"].startswith("node: ")
    assert (await post(http, "hold", 400))["error"].startswith("reason: ")
    assert (await post(http, "release", 400, reason="x"))["error"].startswith("reason: unknown key")


async def test_a_hold_ends_by_the_agents_own_clock(served: Served, http: aiohttp.ClientSession) -> None:
    await post(http, "hold", reason="backup runs", for_s=60)
    said = served.desk.first.state.override
    assert said
    assert (said.until, said.who) == (served.desk.first.now + 60, ME)
    assert (await post(http, "release"))["replies"][0]["service"] == FILES
    assert served.desk.first.state.override is None


async def test_a_proposal_is_approved_or_rejected(path: Path) -> None:
    one = world(mode=Mode.CONFIRM)
    one.sees["a"] = Shown.REFUSED
    one.passes(10)
    async with serving(path, one) as http:
        assert "not proposed again" in (await post(http, "reject"))["sentence"]
        assert (await post(http, "reject", 409))["error"].startswith("no switch is proposed")
        await post(http, "release")
        assert (await post(http, "approve", service="files"))["operation"] == f"{FILES}@8"
    assert one.live == "b"


async def test_with_two_services_one_has_to_be_named_where_one_is_meant(path: Path) -> None:
    files, media = world(FILES), world(MEDIA)
    async with serving(path, files, media) as http:
        both = f"{FILES}, {MEDIA}"
        assert (await post(http, "promote", 400, node="b", reason="x"))["error"] == f"service: say which one: {both}"
        assert (await get(http, "why", 400))["error"] == f"service: say which one: {both}"
        assert (await post(http, "promote", node="b", reason="x", service="media"))["operation"] == f"{MEDIA}@8"
        assert [each["service"] for each in (await get(http, "status"))["services"]] == [FILES, MEDIA]
        assert len((await post(http, "hold", reason="all"))["replies"]) == 2
        assert len((await post(http, "release", service=FILES))["replies"]) == 1
    assert (files.live, media.live) == ("a", "b")
    assert (files.state.override, media.state.override is None) == (None, False)


async def test_a_body_of_any_size_is_not_read(http: aiohttp.ClientSession) -> None:
    said = await post(http, "hold", 413, reason="x" * (BODY_LIMIT_BYTES + 1))
    assert "error" in said


# --- following a switch -----------------------------------------------------------------------------------------------


async def next_line(response: aiohttp.ClientResponse) -> Any:
    return json.loads(await asyncio.wait_for(response.content.readline(), 30))


async def test_a_switch_is_followed_as_it_happens(served: Served, http: aiohttp.ClientSession) -> None:
    desk = served.desk
    desk.first.slow = (ev.RunStage,)
    operation = (await post(http, "promote", node="b", reason="patch day"))["operation"]
    async with http.get(f"/v1/operations/{operation}") as response:
        assert response.content_type == "application/x-ndjson"
        assert (await next_line(response))["kind"] == "opened"
        desk.first.slow = ()
        desk.first.settles()
        desk.hears_news()
        rest = [json.loads(line) async for line in response.content]
    assert [line["kind"] for line in rest[-2:]] == ["stage", "agreed"]
    assert [line["final"] for line in rest] == [False] * (len(rest) - 1) + [True]


async def test_a_switch_that_is_over_is_told_from_its_beginning(http: aiohttp.ClientSession) -> None:
    await post(http, "promote", node="b", reason="patch day")
    async with http.get("/v1/operations/files@8") as response:
        kinds = [json.loads(line)["kind"] async for line in response.content]
    assert (kinds[0], kinds[-1]) == ("opened", "agreed")


@pytest.mark.parametrize(("name", "code"), [("files@99", 404), ("x@7", 404), ("files", 400), ("@x", 400), ("a@²", 400)])
async def test_a_switch_that_there_is_not(http: aiohttp.ClientSession, name: str, code: int) -> None:
    assert "error" in await get(http, f"operations/{name}", code)


async def test_a_follower_who_goes_away_leaves_nothing_behind(served: Served, http: aiohttp.ClientSession) -> None:
    served.desk.first.slow = (ev.RunStage,)
    await post(http, "promote", node="b", reason="patch day")
    async with http.get("/v1/operations/@8") as response:
        await next_line(response)
        assert served.desk.followers == 1
    async with asyncio.timeout(30):
        while served.desk.followers:  # noqa: ASYNC110 - nothing tells when the last has gone
            await asyncio.sleep(0.01)


async def test_a_fault_while_following_is_told(served: Served, http: aiohttp.ClientSession) -> None:
    served.desk.first.slow = (ev.RunStage,)
    await post(http, "promote", node="b", reason="patch day")
    async with http.get("/v1/operations/@8") as response:
        await next_line(response)
        served.desk.store_up = False
        served.desk.hears_news()
        assert await next_line(response) == {"error": "the disk is gone"}


async def test_no_request_waits_for_another(served: Served, http: aiohttp.ClientSession) -> None:
    """One that looks at AWS, one that follows a switch, and one that never sends its body."""
    desk, looked = served.desk, asyncio.Event()
    desk.look = looked.wait  # type: ignore[assignment, method-assign]
    desk.first.slow = (ev.RunStage,)
    await post(http, "promote", node="b", reason="patch day")
    looking = asyncio.create_task(get(http, "views"))
    _, half = await asyncio.open_unix_connection(str(served.path))
    half.write(b"POST /v1/hold HTTP/1.1\r\nHost: edge\r\nContent-Length: 99\r\n\r\n{")
    async with http.get("/v1/operations/@8") as response:
        await next_line(response)
        assert (await get(http, "status"))["services"][0]["operation"]["id"] == f"{FILES}@8"
        assert not looking.done()
    looked.set()
    await looking
    half.close()


async def test_the_end_does_not_wait_for_followers(desk: Bench, path: Path) -> None:
    runner = await serve_control(desk, path)
    desk.first.slow = (ev.RunStage,)
    async with session(path) as http:
        await post(http, "promote", node="b", reason="patch day")
        async with http.get("/v1/operations/@8") as response:
            await next_line(response)
            async with asyncio.timeout(30):  # aiohttp's own time is 60 s
                await runner.cleanup()
    assert not list(path.parent.iterdir())


# --- the socket -------------------------------------------------------------------------------------------------------


async def test_only_the_owner_and_the_group_may_speak(served: Served) -> None:
    mode = served.path.stat().st_mode
    assert (stat.S_ISSOCK(mode), stat.S_IMODE(mode)) == (True, 0o660)


async def test_a_dead_agents_socket_is_replaced(desk: Bench, path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    runner = await serve_control(desk, path)
    async with session(path) as http:
        assert (await get(http, "version"))["agent"] == "edge-1"
    await runner.cleanup()


async def test_a_live_agents_socket_is_not(served: Served, http: aiohttp.ClientSession) -> None:
    with pytest.raises(ControlError, match="another agent listens"):
        await serve_control(Bench(world(MEDIA)), served.path)
    assert (await get(http, "status"))["services"][0]["service"] == FILES


async def test_a_live_agent_too_busy_to_accept_is_not_either(desk: Bench, path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as live, socket.socket(socket.AF_UNIX) as first:
        live.bind(str(path))
        live.listen(0)
        first.connect(str(path))
        with pytest.raises(ControlError, match="another agent listens"):
            await serve_control(desk, path)


async def test_a_file_in_the_way_is_left_alone(desk: Bench, path: Path) -> None:
    path.touch()  # noqa: ASYNC240 - nobody waits
    with pytest.raises(ControlError, match="is no socket: remove it"):
        await serve_control(desk, path)
    assert list(path.parent.iterdir()) == [path]


async def test_a_folder_that_there_is_not(desk: Bench, path: Path) -> None:
    with pytest.raises(ControlError, match="can't be opened: No such file"):
        await serve_control(desk, path.parent / "none" / "edge.sock")


def test_a_user_whom_nobody_knows() -> None:
    assert _user(os.getuid()) == ME.partition(" ")[0]
    assert _user(2**32 - 7) == "nobody known"
