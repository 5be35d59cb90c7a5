"""The control socket from the other side, with the standard library alone: it has to load fast."""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from edge.errors import ControlError, RefusedError

Json = dict[str, Any]

ANSWER_S = 10.0  # the agent answers from memory; one that takes longer hangs
WAIT_LIMIT_S = 7 * 86400.0  # poll(2) counts milliseconds in an int: 24 days
LOOK_S = 60.0  # `views` and `check` read AWS, each call with time-outs of its own


class MisunderstoodError(RefusedError):
    """The agent can make no sense of what was asked."""


class Client:
    """Every method raises ControlError with what to do, RefusedError with the agent's reason."""

    def __init__(self, path: str) -> None:
        self._path = path

    def get(self, question: str, timeout_s: float = ANSWER_S, **query: str | None) -> Json:
        asked = urlencode({key: value for key, value in query.items() if value is not None})
        return self._call("GET", f"{question}?{asked}", None, timeout_s)

    def post(self, word: str, timeout_s: float = ANSWER_S, **said: Any) -> Json:
        """A flag that is not set is not sent: an agent of an earlier version may not know it."""
        body = json.dumps({key: value for key, value in said.items() if value is not None and value is not False})
        return self._call("POST", word, body, timeout_s)

    def follow(self, operation: str, timeout_s: float) -> Iterator[Json]:
        """The lines of a switch until the one that ends it; TimeoutError when that takes longer."""
        deadline = time.monotonic() + timeout_s
        connection = _Connection(self._path, ANSWER_S)
        response = self._ask(connection, "GET", f"operations/{quote(operation, safe='@')}", None)
        while said := _next(connection, response, deadline):
            line = self._parsed(said)
            if "error" in line:
                raise ControlError(line["error"])
            yield line
            if line["final"]:
                return
        raise ControlError(f"the agent ended before the switch did: `edgectl status {operation}` once it is back")

    def _call(self, method: str, target: str, body: str | None, timeout_s: float) -> Json:
        response = self._ask(_Connection(self._path, timeout_s), method, target, body)
        with _advised(self._path):
            text = response.read()
        return self._parsed(text)

    def _ask(self, connection: "_Connection", method: str, target: str, body: str | None) -> http.client.HTTPResponse:
        with _advised(self._path):
            connection.request(method, f"/v1/{target}", body)
            response = connection.getresponse()
            if response.status != http.HTTPStatus.OK:
                raise self._failure(response.status, response.read())
        return response

    def _failure(self, code: int, text: bytes) -> RefusedError:
        sentence = self._parsed(text).get("error", f"the agent answered {code}")
        return MisunderstoodError(sentence) if code == http.HTTPStatus.BAD_REQUEST else RefusedError(sentence)

    def _parsed(self, text: bytes) -> Json:
        try:
            said = json.loads(text)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            raise ControlError(f"what listens on {self._path} answers nonsense: is it the agent? its log may say more")
        return said


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("edge", timeout=timeout_s)
        self._path = path
        self._timeout_s = timeout_s
        self._unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def connect(self) -> None:
        self.sock = self._unix
        self.give(self._timeout_s)
        self._unix.connect(self._path)

    def give(self, seconds: float) -> None:
        self._unix.settimeout(seconds)


def _next(connection: _Connection, response: http.client.HTTPResponse, deadline: float) -> bytes:
    """Empty when the agent has hung up."""
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    connection.give(min(left_s, WAIT_LIMIT_S))
    try:
        return response.readline()
    except (ConnectionError, http.client.HTTPException):
        return b""


@contextmanager
def _advised(path: str) -> Iterator[None]:
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        raise ControlError(_advice(path, error)) from error


def _advice(path: str, error: Exception) -> str:
    match error:
        case FileNotFoundError():
            return (
                f"there is no socket {path}: start edged, or say --socket (EDGE_SOCKET) where its socket is elsewhere"
            )
        case PermissionError():
            return f"you may not use {path}: {_group(path)}"
        case ConnectionRefusedError() if not Path(path).is_socket():
            return f"{path} is no socket: say --socket (EDGE_SOCKET) with the path of the agent's"
        case ConnectionRefusedError():
            return f"nobody listens on {path}: edged has died; start it, its log says why it ended"
        case TimeoutError():
            return f"the agent does not answer on {path} in time: its log may say why"
    return f"the agent can't be asked on {path}: {error}"


def _group(path: str) -> str:
    try:
        return f"it is for root and the members of group {Path(path).group()}"
    except (OSError, KeyError):
        return "its directory is closed to you"
