"""What anybody may read, over real HTTP on loopback."""

import re
from collections.abc import AsyncIterator

import aiohttp
import pytest

from edge.control.metrics import Metrics
from edge.control.pages import serve_http
from edge.dns.counters import BUCKETS_S
from edge.errors import ControlError
from edge.failover import events as ev
from edge.failover.model import Assignment
from tests.control.desk import FILES, MEDIA, Bench, Side, world
from tests.failover.world import World

LOOPBACK = "127.0.0.1"


@pytest.fixture
def desk() -> Bench:
    return Bench(world(FILES))


@pytest.fixture
async def http(desk: Bench) -> AsyncIterator[aiohttp.ClientSession]:
    runner = await serve_http(desk, Metrics(desk.snapshot, BUCKETS_S), LOOPBACK, 0)
    host, port = runner.addresses[0][:2]
    async with aiohttp.ClientSession(f"http://{host}:{port}") as session:
        yield session
    await runner.cleanup()


async def text(http: aiohttp.ClientSession, path: str, code: int = 200) -> str:
    async with http.get(path) as response:
        assert response.status == code
        return await response.text()


async def test_metrics(http: aiohttp.ClientSession) -> None:
    async with http.get("/metrics") as response:
        assert response.headers["Content-Type"].startswith("text/plain; version=")
        assert f'edge_active_node{{node="a",service="{FILES}"}} 1.0' in await response.text()


async def test_healthy_whatever_the_world_is_like(desk: Bench, http: aiohttp.ClientSession) -> None:
    desk.store_up = desk.dns_ready = False
    assert await text(http, "/healthz") == "ok\n"


async def test_ready_when_every_worker_answers_every_service(desk: Bench, http: aiohttp.ClientSession) -> None:
    assert await text(http, "/readyz") == "ready\n"
    desk.dns_ready = False
    assert "a DNS worker does not serve the newest zone" in await text(http, "/readyz", 503)
    desk.dns_ready = True
    desk.worlds[MEDIA] = World(held=False)
    assert "has no assignment: no assignment is known" in await text(http, "/readyz", 503)


async def test_the_page(desk: Bench, http: aiohttp.ClientSession) -> None:
    desk.sides = [Side("route53", Assignment("b", 6))]
    await desk.look()
    said = await text(http, "/")
    assert f"{FILES}: a is live at epoch 7 (10.0.1.10)" in said
    assert "<td>route53</td><td>NO</td><td>b</td><td>6</td>" in said
    assert '<meta http-equiv="refresh"' in said


async def test_nothing_that_was_said_becomes_markup(desk: Bench, http: aiohttp.ClientSession) -> None:
    desk.first.says(ev.Hold("kim", "<script>alert(1)</script>"))
    desk.sides = [Side("<script>", Assignment("a", 7))]
    await desk.look()
    said = await text(http, "/")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in said
    assert "<td>&lt;script&gt;</td>" in said
    assert "<script" not in said


async def test_the_page_is_well_formed_and_alone(http: aiohttp.ClientSession) -> None:
    said = await text(http, "/")
    for tag in ("html", "head", "body", "section", "table", "tr", "td", "th", "p", "h2"):
        assert len(re.findall(f"<{tag}[ >]", said)) == said.count(f"</{tag}>") > 0
    assert not re.search(r"src=|href=|url\(", said)


async def test_a_browser_is_told_to_run_nothing(http: aiohttp.ClientSession) -> None:
    async with http.get("/") as response:
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")


@pytest.mark.parametrize("path", ["/", "/metrics", "/readyz"])
async def test_nothing_can_be_changed(http: aiohttp.ClientSession, path: str) -> None:
    async with http.post(path, json={"node": "b"}) as response:
        assert response.status == 405


async def test_no_word_is_heard_here(http: aiohttp.ClientSession) -> None:
    async with http.post("/v1/promote", json={"node": "b", "reason": "x"}) as response:
        assert response.status == 404


async def test_a_port_that_is_taken(desk: Bench, http: aiohttp.ClientSession) -> None:
    taken = await _port(http)
    with pytest.raises(ControlError, match=f"http.listen: {LOOPBACK} port {taken} can't be listened on"):
        await serve_http(desk, Metrics(desk.snapshot, BUCKETS_S), LOOPBACK, taken)


async def _port(http: aiohttp.ClientSession) -> int:
    async with http.get("/healthz") as response:
        return int(response.url.port or 0)
