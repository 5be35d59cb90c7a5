"""One process: moto over HTTP, the DNS face, and the switchboard `/_edge/` that scripts both.

    GET    /_edge/state    lags, faults still to come, calls so far
    POST   /_edge/lag      {"route53_s": 0.5, "ec2_s": 2, "dynamodb_s": 1, "stop_s": 30, "ssm_s": 1, "run_s": 5, ...}
    POST   /_edge/impair   {"instances": ["i-..."]}
    POST   /_edge/vifs     {"id": "dxvif-...", "state": "down", "bgp": "down"}
    POST   /_edge/agents   {"i-...": ["Online", "Linux"]}
    POST   /_edge/outcomes {"document": "Take", "details": "Failed", "output": "busy", "times": 1}
    POST   /_edge/faults   {"api": "ec2:AssignPrivateIpAddresses", "kind": "timeout_after", "times": 1, "skip": 0,
                           "after": null, "spares_dry_runs": false}
    DELETE /_edge/faults
    DELETE /_edge/calls
    POST   /_edge/reset    an empty AWS account and an empty script

Everything else is AWS. The service stands in the signature's credential scope (Signature Version 4), so
one port serves all of them.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import struct
import sys
import threading
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from moto.cloudtrail.responses import CloudTrailResponse
from moto.core.base_backend import BackendDict
from moto.core.common_types import TYPE_RESPONSE
from moto.core.exceptions import ServiceException
from moto.core.request import Request
from moto.core.responses import ActionResult, BaseResponse
from moto.core.utils import get_service_model
from moto.directconnect.responses import DirectConnectResponse
from moto.dynamodb.responses import DynamoHandler
from moto.ec2.responses import EC2Response
from moto.iam.responses import IamResponse
from moto.route53.responses import Route53
from moto.sts.responses import TokenResponse

from . import cloudtrail, directconnect, dns_face, dynamodb, ec2, iam, route53, ssm
from .past import Past
from .script import SKEW_S, SPARED, ApiError, Fault, FaultKind, Outcome, Script, Vif, error_of

SCOPE = re.compile(r"Credential=[^/]+/\d{8}/([^/]+)/(\w+)/aws4_request")
OURS = " edge/"  # edge.switches.session says so of itself
CALLS = "EDGE_AWS_CALLS"  # a file that every emulator of a test run adds to
CODE = re.compile(r'<Code>([^<]+)</Code>|"__type": ?"(?:[^"#]+#)?([^"]+)"')  # XML, JSON
RACE_S = 1e-6

Answer = tuple[int, dict[str, str], bytes]


@dataclass(slots=True)
class Cloud:
    script: Script
    ledger: route53.Ledger
    commands: ssm.Commands
    pasts: dict[str, Past]  # by service
    services: dict[str, type[BaseResponse]]
    # moto keeps plain dictionaries that its threads race for, where AWS decides one call after the other: "conditional
    # writes [...] succeed only if the item attributes meet one or more expected conditions" (DynamoDB developer guide,
    # Working with items), so of two that expect the same version one does. Stock moto has no lock.
    lock: AbstractContextManager[Any]

    def handle(self, request: Request) -> Answer | FaultKind:
        """AWS's answer, or the fault that leaves the caller without one."""
        service = signed_for(request)
        if service not in self.services:
            return 501, {}, f"{service} is not emulated".encode()
        asked: Any = self.services[service]()
        asked.setup_class(request)
        api = f"{service}:{asked._get_action()}"
        spared = SPARED in request.headers.get("Authorization", "")
        dry = bool(asked.params.get("DryRun"))
        answer, result = self._serve(asked, service, None if spared else self.script.fault_for(api, dry=dry))
        self.script.record(api, asked.params, result)
        if result == "ok" and not dry:
            self._noted(request, asked)
        note(request, api, asked.params)
        return answer

    def _noted(self, request: Request, asked: Any) -> None:
        """For CloudTrail. Its record has the caller, who is known here by the key that signed."""
        name, scope = asked._get_action(), SCOPE.search(request.headers.get("Authorization", ""))
        if name.startswith(("Describe", "Get", "List", "Lookup")) or scope is None:
            return
        key = scope[0].partition("/")[0].removeprefix("Credential=")
        record = {
            "userIdentity": {"arn": f"arn:aws:iam::123456789012:user/{key}"},
            "userAgent": request.headers.get("User-Agent", ""),
            "sourceIPAddress": "127.0.0.1",
            "requestParameters": asked.params,
        }
        said = {
            "EventId": secrets.token_hex(16),
            "EventName": name,
            "EventTime": datetime.now(UTC),
            "Username": key,
            "CloudTrailEvent": json.dumps(record, default=str),
        }
        with self.script.lock:
            self.script.trail.append({"region": cloudtrail.region(scope[2], scope[1]), "said": said})

    def _serve(self, asked: Any, service: str, kind: FaultKind | None) -> tuple[Answer | FaultKind, str]:
        if kind is None:
            answer = self._perform(asked)
            return answer, result_of(answer)
        if error := error_of(kind, service):
            return refusal(asked, error, SKEW_S if kind is FaultKind.SKEWED else 0.0), error.code
        if kind is FaultKind.HELD:
            gate = self.script.gate
            self.script.record(f"{service}:{asked._get_action()}", asked.params, kind.value)
            gate.wait()
            answer = self._perform(asked)
            return answer, result_of(answer)
        if kind is FaultKind.STALE:
            asked.stale = True
            return self._perform(asked), kind.value
        if kind is FaultKind.TIMEOUT_AFTER:
            self._perform(asked)
        return kind, kind.value

    def _perform(self, asked: Any) -> Answer:
        with self.lock:
            return plain(asked.call_action())

    def set_lag(self, **lags_s: float) -> None:
        with self.lock:
            self.ledger.settle()
            self.commands.settle()
            for past in self.pasts.values():
                past.settle()
            for name, lag_s in lags_s.items():
                setattr(self.script, f"{name.removesuffix('_s')}_lag_s", lag_s)

    def reset(self) -> None:
        self.set_lag(route53_s=0, ec2_s=0, dynamodb_s=0, stop_s=0, ssm_s=0, delivery_s=0, run_s=0)
        with self.lock, self.script.lock:
            BackendDict.reset()
            self.ledger.changes.clear()
            for past in self.pasts.values():
                past.forget()
            self.commands.invocations.clear()
            self.script.clear()


def build(*, stock: bool) -> Cloud:
    """The emulator; `stock` leaves the mends off, to show what they are for."""
    script = Script()
    ledger, commands = route53.Ledger(script), ssm.Commands(script)
    pasts = {"ec2": Past(lambda: script.ec2_lag_s), "dynamodb": Past(lambda: script.dynamodb_lag_s)}
    services: dict[str, type[BaseResponse]] = {
        "route53": Route53 if stock else route53.mend(ledger),
        "ec2": EC2Response if stock else ec2.mend(pasts["ec2"], script),
        "dynamodb": DynamoHandler if stock else dynamodb.mend(pasts["dynamodb"]),
        "directconnect": DirectConnectResponse if stock else directconnect.mend(script),
        "ssm": ssm.StockSSM if stock else ssm.mend(commands),
        "cloudtrail": CloudTrailResponse if stock else cloudtrail.mend(script),
        "iam": IamResponse if stock else iam.mend(script),
        "sts": TokenResponse,
    }
    return Cloud(script, ledger, commands, pasts, services, nullcontext() if stock else threading.Lock())


def signed_for(request: Request) -> str:
    scope = SCOPE.search(request.headers.get("Authorization", ""))
    return scope[2] if scope else "an unsigned request"


def note(request: Request, api: str, parameters: dict[str, Any]) -> None:
    """What the program asks, whichever test it is in, for who compares it with its policy (tests.conftest)."""
    log, scope = os.environ.get(CALLS), SCOPE.search(request.headers.get("Authorization", ""))
    if log and scope and OURS in request.headers.get("User-Agent", ""):
        line = json.dumps({"api": api, "region": scope[1], "parameters": parameters}, default=str)
        with open(log, "a", encoding="utf-8") as file:  # noqa: PTH123 a line at a time, from several processes
            file.write(line + "\n")


def plain(response: TYPE_RESPONSE) -> Answer:
    status, headers, body = response
    return (
        status,
        {str(k): str(v) for k, v in headers.items()},
        body.encode() if isinstance(body, str) else body,
    )


class ScriptedError(ServiceException):
    """moto takes an exception's service from the module that defines it; this one belongs to all."""


def refusal(asked: Any, error: ApiError, skew_s: float) -> Answer:
    """`skew_s`: how far AWS's clock is ahead of the caller's."""
    wrapped = ActionResult(ScriptedError(error.code, error.message))
    _, headers, body = plain(asked.serialized(wrapped))
    headers["date"] = formatdate(time.time() + skew_s, usegmt=True)
    return error.status, headers, body


def result_of(answer: Answer) -> str:
    status, _, body = answer
    code = CODE.search(body.decode())
    return "ok" if status < 300 else (code[1] or code[2]) if code else str(status)


class Switchboard:
    """The methods are named after the request that they answer."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.script = cloud.script

    def get_state(self, _body: dict[str, Any]) -> dict[str, Any]:
        with self.cloud.lock, self.script.lock:
            self.cloud.commands.settle()
            return {
                "lag": {"route53_s": self.script.route53_lag_s, "ec2_s": self.script.ec2_lag_s},
                "faults": [
                    asdict(fault) | {"kind": fault.kind.value} for fault in self.script.faults if fault.times != 0
                ],
                "calls": [asdict(call) for call in self.script.calls],
                "ran": self.script.ran,
            }

    def post_lag(self, body: dict[str, Any]) -> None:
        self.cloud.set_lag(**body)

    def post_faults(self, body: dict[str, Any]) -> None:
        with self.script.lock:
            self.script.faults.append(Fault(**body | {"kind": FaultKind(body["kind"])}))

    def post_impair(self, body: dict[str, Any]) -> None:
        with self.script.lock:
            self.script.impaired.update(body["instances"])

    def post_vifs(self, body: dict[str, Any]) -> None:
        with self.script.lock:
            self.script.vifs[body["id"]] = Vif(**body)

    def post_agents(self, body: dict[str, Any]) -> None:
        with self.cloud.lock:
            self.cloud.commands.settle()
            self.script.agents.update({instance: (ping, platform) for instance, (ping, platform) in body.items()})

    def post_outcomes(self, body: dict[str, Any]) -> None:
        with self.cloud.lock:
            self.script.outcomes.append(Outcome(**body))

    def delete_faults(self, _body: dict[str, Any]) -> None:
        self.script.clear_faults()

    def delete_calls(self, _body: dict[str, Any]) -> None:
        with self.script.lock:
            self.script.calls.clear()

    def post_reset(self, _body: dict[str, Any]) -> None:
        self.cloud.reset()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # boto3 keeps its connections
    wbufsize = -1  # one segment an answer: two meet Nagle and delayed ACKs, 40 ms a call
    cloud: ClassVar[Cloud]

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.startswith("/_edge/"):
            return self._answer(*self._switchboard(body))
        url = f"http://{self.headers['Host']}{self.path}"
        answer = self.cloud.handle(Request.from_primitives(self.command, url, self.headers, body))
        return self._leave(answer) if isinstance(answer, FaultKind) else self._answer(*answer)

    do_GET = do_POST = do_DELETE = handle_any  # noqa: N815 - the names that http.server looks for

    def _switchboard(self, body: bytes) -> Answer:
        name = f"{self.command}_{self.path.removeprefix('/_edge/')}".lower()
        method = getattr(Switchboard(self.cloud), name, None)
        if method is None:
            return 404, {}, b"no such switch"
        content = method(json.loads(body or b"{}")) or {}
        return 200, {"Content-Type": "application/json"}, json.dumps(content, default=str).encode()

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _leave(self, kind: FaultKind) -> None:
        self.close_connection = True
        if kind is FaultKind.RESET:  # closing with unsent data to be dropped sends RST (socket(7), SO_LINGER)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            self.connection.recv(1)  # returns when the caller has given up

    def log_message(self, *_args: Any) -> None:
        """Say nothing: the calls are in the log that tests read."""


class Server(ThreadingHTTPServer):
    request_queue_size = 128  # the default of 5 makes bursts of a test wait a second for TCP's retry

    def shutdown_request(self, request: Any) -> None:
        self.close_request(request)  # without the FIN that would come before a RST

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def warm() -> None:
    """Have botocore read its models now, not within the first caller's time-out."""
    for service in ("route53", "ec2", "sts", "dynamodb", "ssm"):
        get_service_model(service)


def end_with_stdin() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def serve(host: str, http_port: int, dns_port: int, *, stock: bool, until_stdin_closes: bool) -> None:
    if until_stdin_closes:
        threading.Thread(target=end_with_stdin, daemon=True).start()
    if stock:
        sys.setswitchinterval(RACE_S)  # a race that stock moto can lose is lost soon
    cloud = build(stock=stock)
    warm()
    server = Server((host, http_port), type("CloudHandler", (Handler,), {"cloud": cloud}))
    ports = {"http": server.server_port, "dns": dns_face.listen(cloud.ledger, host, dns_port)}
    print(json.dumps(ports), flush=True)
    server.serve_forever()
