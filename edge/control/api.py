"""The control socket: HTTP with JSON over a Unix socket, whose file permissions say who may speak.

    GET  /v1/status why views history check version    ?service= &limit=
    POST /v1/promote hold release approve reject       a JSON object; a key that is not known is refused
    GET  /v1/operations/SERVICE@EPOCH                  one JSON object a line, until the switch is over

A service may be named by its first labels, and left out where there is one only; for hold and release, none means all.
Errors are {"error": sentence}: 400 the request is wrong, 404 no such thing, 409 refused, 503 the world is down.
Whoever speaks is recorded as the kernel knows them (SO_PEERCRED, unix(7)), whatever they say.
"""

import asyncio
import json
import pwd
import socket
import stat
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from aiohttp import web

from edge import __version__
from edge.control import body, status
from edge.control.contract import Desk, ServiceSnapshot, Snapshot
from edge.control.status import Json
from edge.errors import ControlError, EdgeError, RefusedError, WorldError
from edge.failover import events as ev
from edge.history import Line

BODY_LIMIT_BYTES = 16 << 10  # the longest word that makes sense is a paragraph of reason
SHUTDOWN_S = 1.0  # for requests under way: SIGTERM has to end the agent within 5 s
HISTORY_LIMIT = 1000


async def serve_control(desk: Desk, path: Path) -> web.AppRunner:
    """Until `cleanup()` of what is returned. A socket that a dead agent left is replaced, a live one's is not."""
    runner = web.AppRunner(_app(desk, path), access_log=None, shutdown_timeout=SHUTDOWN_S, handler_cancellation=True)
    await runner.setup()
    try:
        await web.SockSite(runner, _bound(path)).start()
    except OSError as error:
        raise ControlError(f"the control socket {path} can't be opened: {error.strerror}") from error
    return runner


def _bound(path: Path) -> socket.socket:
    """Nobody can connect before `listen`, so nobody does before the permissions are set."""
    _clear(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(str(path))
    path.chmod(0o660)
    return sock


def _clear(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ControlError(f"{path} is in the way of the control socket and is no socket: remove it")
    if _answers(path):
        raise ControlError(f"another agent listens on {path}: end it first, or configure another control.socket")
    path.unlink()


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)  # a full backlog is EAGAIN (unix(7)): somebody is there
        try:
            sock.connect(str(path))
        except ConnectionRefusedError:
            return False
        except BlockingIOError:
            return True
    return True


def _app(desk: Desk, path: Path) -> web.Application:
    app = web.Application(middlewares=[_errors_as_json], client_max_size=BODY_LIMIT_BYTES)
    app.add_routes(_routes(_Api(desk)))

    async def removed(_app: web.Application) -> None:
        path.unlink(missing_ok=True)  # noqa: ASYNC240 - once, at the end

    app.on_cleanup.append(removed)
    return app


@web.middleware
async def _errors_as_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _error(error.status, error.text or error.reason)
    except RefusedError as error:
        return _error(409, str(error))
    except WorldError as error:
        return _error(503, str(error))


def _error(code: int, sentence: str) -> web.Response:
    return web.json_response({"error": sentence}, status=code)


_PROMOTE: Mapping[str, body.Reader] = {
    "service": body.maybe_text,
    "node": body.text,
    "reason": body.text,
    "ticket": body.maybe_text,
    "pin": body.flag,
    "force": body.flag,
    "expect_epoch": body.maybe_epoch,
    "dry_run": body.flag,
}


class _Api:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    # --- questions --------------------------------------------------------------------------------------------------

    async def status(self, request: web.Request) -> Json:
        now = self._desk.snapshot()
        return status.agent(now, _some(now, request.query.get("service")))

    async def why(self, request: web.Request) -> Json:
        now = self._desk.snapshot()
        return status.why(now, _one(now, request.query.get("service")))

    async def views(self, request: web.Request) -> Json:
        _some(self._desk.snapshot(), request.query.get("service"))
        await self._desk.look()
        now = self._desk.snapshot()
        return {"services": [status.views(each) for each in _some(now, request.query.get("service"))]}

    async def history(self, request: web.Request) -> Json:
        named = request.query.get("service")
        service = _name(_one(self._desk.snapshot(), named)) if named else None
        lines = await self._desk.history(service, _limit(request.query.get("limit", "20")))
        return {"lines": [status.line(each) for each in lines]}

    async def check(self, _request: web.Request) -> Json:
        return {"findings": [asdict(each) for each in await self._desk.check()]}

    async def version(self, _request: web.Request) -> Json:
        return {"agent": self._desk.snapshot().agent, "version": __version__}

    # --- words ------------------------------------------------------------------------------------------------------

    async def promote(self, request: web.Request) -> Json:
        said = await _read(request, **_PROMOTE)
        sentence = f"{said['reason']} ({said['ticket']})" if said["ticket"] else said["reason"]
        who = await _who(request)
        word = ev.Promote(said["node"], who, sentence, said["force"], said["pin"], said["expect_epoch"])
        service = self._named(said["service"])
        if said["dry_run"]:
            return status.forecast(await self._desk.foresee(service, word))
        return await self._say(service, word)

    async def hold(self, request: web.Request) -> Json:
        said = await _read(request, service=body.maybe_text, reason=body.text, for_s=body.maybe_seconds)
        until = None if said["for_s"] is None else self._desk.monotonic() + said["for_s"]
        return await self._say_all(said["service"], ev.Hold(await _who(request), said["reason"], until))

    async def release(self, request: web.Request) -> Json:
        said = await _read(request, service=body.maybe_text)
        return await self._say_all(said["service"], ev.Release(await _who(request)))

    async def approve(self, request: web.Request) -> Json:
        said = await _read(request, service=body.maybe_text)
        return await self._say(self._named(said["service"]), ev.Approve(await _who(request)))

    async def reject(self, request: web.Request) -> Json:
        said = await _read(request, service=body.maybe_text)
        return await self._say(self._named(said["service"]), ev.Reject(await _who(request)))

    def _named(self, name: str | None) -> str:
        return _name(_one(self._desk.snapshot(), name))

    async def _say(self, service: str, word: ev.Event) -> Json:
        """A word that has come in is said to its end, also when the speaker has hung up meanwhile."""
        reply = await asyncio.shield(asyncio.ensure_future(self._desk.say(service, word)))
        if not reply.accepted:
            raise RefusedError(reply.sentence)
        opened = None if reply.epoch is None else status.operation_id(service, reply.epoch)
        return {"service": service, "sentence": reply.sentence, "operation": opened}

    async def _say_all(self, name: str | None, word: ev.Event) -> Json:
        services = [_name(each) for each in _some(self._desk.snapshot(), name)]
        return {"replies": [await self._say(each, word) for each in services]}

    # --- following a switch -----------------------------------------------------------------------------------------

    async def operation(self, request: web.Request) -> web.StreamResponse:
        name, _, epoch = request.match_info["id"].rpartition("@")
        if not (epoch.isascii() and epoch.isdecimal() and len(epoch) < 16):
            raise web.HTTPBadRequest(text=f"expected SERVICE@EPOCH, found {request.match_info['id']}")
        lines = self._desk.follow(self._named(name or None), int(epoch))
        try:
            first = await anext(lines)
        except (RefusedError, StopAsyncIteration):
            raise web.HTTPNotFound(text=f"no switch {request.match_info['id']} is known") from None
        return await _streamed(request, first, lines)


async def _streamed(request: web.Request, first: Line, rest: AsyncIterator[Line]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    await _write(response, status.line(first))
    try:
        async for told in rest:
            await _write(response, status.line(told))
    except EdgeError as error:
        await _write(response, {"error": str(error)})
    return response


async def _write(response: web.StreamResponse, value: Json) -> None:
    await response.write(json.dumps(value).encode() + b"\n")


def _routes(api: _Api) -> Sequence[web.RouteDef]:
    questions = (api.status, api.why, api.views, api.history, api.check, api.version)
    words = (api.promote, api.hold, api.release, api.approve, api.reject)
    return [
        *(web.get(f"/v1/{each.__name__}", _as_json(each)) for each in questions),
        *(web.post(f"/v1/{each.__name__}", _as_json(each)) for each in words),
        web.get("/v1/operations/{id}", api.operation),
    ]


def _as_json(answer: Callable[[web.Request], Awaitable[Json]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(request: web.Request) -> web.Response:
        return web.json_response(await answer(request))

    return handler


# --- who and what ---------------------------------------------------------------------------------------------------


async def _who(request: web.Request) -> str:
    sock = request.get_extra_info("socket")
    pid, uid, _gid = struct.unpack("iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return f"{await asyncio.to_thread(_user, uid)} (uid {uid}, pid {pid})"  # a directory service may be slow


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return "nobody known"


def _name(seen: ServiceSnapshot) -> str:
    return seen.state.policy.service


def _some(now: Snapshot, name: str | None) -> tuple[ServiceSnapshot, ...]:
    return now.services if name is None else (_one(now, name),)


def _one(now: Snapshot, name: str | None) -> ServiceSnapshot:
    known = ", ".join(map(_name, now.services))
    found = [each for each in now.services if name is None or _means(name, _name(each))]
    if not found:
        raise web.HTTPNotFound(text=f"there is no service {name}; there is {known}")
    if len(found) > 1:
        raise web.HTTPBadRequest(text=f"service: say which one: {known}")
    return found[0]


def _means(said: str, service: str) -> bool:
    """Names have no case (RFC 1035 2.3.3)."""
    return f"{service}.".startswith(f"{said.lower().removesuffix('.')}.")


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 5 and 1 <= int(text) <= HISTORY_LIMIT):
        raise web.HTTPBadRequest(text=f"limit: expected a number from 1 to {HISTORY_LIMIT}, found {text}")
    return int(text)


async def _read(request: web.Request, **readers: body.Reader) -> Json:
    raw = await request.read()
    try:
        return body.read(raw, **readers)
    except ValueError as error:
        raise web.HTTPBadRequest(text=str(error)) from None
