"""What anybody may read over HTTP, and nothing that changes anything: /metrics, /healthz, /readyz, and a page; and
/stances, for other agents that have the key.

Healthy: the controller's loop runs. Ready: the name is answered with a committed assignment by every worker.
"""

from collections.abc import Iterable, Iterator
from html import escape

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from edge.control import status, tables
from edge.control.contract import Desk, Signed, Snapshot
from edge.control.metrics import Metrics
from edge.control.tables import Block
from edge.errors import ControlError, RefusedError

SHUTDOWN_S = 1.0
REFRESH_S = 5  # the page costs a millisecond


async def serve_http(desk: Desk, metrics: Metrics, host: str, port: int) -> web.AppRunner:
    """Until `cleanup()` of what is returned."""
    runner = web.AppRunner(_app(desk, metrics), access_log=None, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        await runner.cleanup()
        raise ControlError(f"http.listen: {host} port {port} can't be listened on: {error.strerror}") from error
    return runner


def _app(desk: Desk, metrics: Metrics) -> web.Application:
    async def scraped(_request: web.Request) -> web.Response:
        return web.Response(body=metrics.page(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def healthy(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def ready(_request: web.Request) -> web.Response:
        missing = unready(desk.snapshot())
        return web.Response(text=f"{missing or 'ready'}\n", status=503 if missing else 200)

    async def page(_request: web.Request) -> web.Response:
        return web.Response(text=_page(desk.snapshot()), content_type="text/html", headers=_HEADERS)

    async def stances(request: web.Request) -> web.Response:
        try:
            told = desk.stances(Signed(request.query.get("asked", ""), request.query.get("mac", "")))
        except RefusedError as error:
            return web.Response(text=f"{error}\n", status=403)
        return web.Response(text=told.text, content_type="application/json", headers={"Edge-MAC": told.mac})

    app = web.Application()
    routes = {"/metrics": scraped, "/healthz": healthy, "/readyz": ready, "/": page, "/stances": stances}
    app.add_routes([web.get(path, handler) for path, handler in routes.items()])
    return app


def unready(now: Snapshot) -> str | None:
    """Why this agent can't be relied on for an answer yet; None when it can."""
    for each in now.services:
        if each.state.assignment is None:
            return f"{each.state.policy.service} has no assignment: {each.state.reason.sentence}"
    return None if now.dns_ready else "a DNS worker does not serve the newest zone yet"


# --- the page -------------------------------------------------------------------------------------------------------

# Nothing is loaded, nothing runs, nobody frames it: whatever a name or a reason says stays text.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em; color: #222; background: #fff }
h1 { font-size: 1.3em } h2 { font-size: 1.1em; margin-top: 2em } p { margin: .2em 0 }
table { border-collapse: collapse; margin-top: .5em }
th, td { text-align: left; padding: .2em 1em .2em 0; border-bottom: 1px solid #ddd; vertical-align: top }
"""


def _page(now: Snapshot) -> str:
    answer = status.agent(now, now.services)
    blocks = [*tables.status(answer), *tables.views(answer)]
    title = escape(f"Edge: {now.agent}")
    sections = "".join(map(_block, blocks))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta http-equiv="refresh" content="{REFRESH_S}"><style>{_STYLE}</style></head>'
        f"<body><h1>{title}</h1>{sections}</body></html>\n"
    )


def _block(block: Block) -> str:
    lines = "".join(f"<p>{escape(line)}</p>" for line in block.lines)
    return f"<section><h2>{escape(block.title)}</h2>{lines}{_table(block)}</section>"


def _table(block: Block) -> str:
    if not block.headers:
        return ""
    return f"<table>{_row('th', block.headers)}{''.join(_row('td', row) for row in block.rows)}</table>"


def _row(tag: str, cells: Iterable[str]) -> str:
    return f"<tr>{''.join(_cells(tag, cells))}</tr>"


def _cells(tag: str, cells: Iterable[str]) -> Iterator[str]:
    return (f"<{tag}>{escape(cell)}</{tag}>" for cell in cells)
