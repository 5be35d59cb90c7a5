"""Each way in which a call can fail, as the rest of the agent hears of it: one attempt, one class, in bounded time."""

import json
import os
import signal
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest

from edge.errors import CloudError, Fault
from edge.switches.contract import Call
from edge.switches.session import Session, Settings
from tests.cloud.emulator import REGION, Emulator
from tests.cloud.line import Line
from tests.switches.site import ASSIGN, MOVING, NAME, Site, signed_in

DESCRIBE = "ec2:DescribeNetworkInterfaces"
FAR_S = 25.0  # botocore's defaults would take 60 s and more; what we set is far below
Environment = Callable[[dict[str, str]], None]


def assign(site: Site) -> Call:
    wanted = {"NetworkInterfaceId": site.seeded.b.interface, "PrivateIpAddresses": [MOVING], "AllowReassignment": True}
    return Call("ec2", "assign_private_ip_addresses", wanted)


def publish(site: Site) -> Call:
    record_set = {"Name": NAME, "Type": "A", "TTL": 0, "ResourceRecords": [{"Value": "10.0.1.11"}]}
    batch = {"Changes": [{"Action": "UPSERT", "ResourceRecordSet": record_set}]}
    wanted = {"HostedZoneId": site.seeded.zone_id, "ChangeBatch": batch}
    return Call("route53", "change_resource_record_sets", wanted)


def failure(session: Session, call: Call) -> CloudError:
    with pytest.raises(CloudError) as failed:
        session.call(call)
    return failed.value


def asked(session: Session) -> CloudError:
    return failure(session, Call("ec2", "describe_network_interfaces", {}))


@pytest.mark.parametrize("call", [assign, publish])
@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("throttle", Fault.THROTTLED),
        ("prior_request", Fault.THROTTLED),
        ("deny", Fault.DENIED),
        ("expired", Fault.EXPIRED),
        ("skewed", Fault.SKEWED),
        ("reset", Fault.UNREACHABLE),
    ],
)
def test_a_failed_call_is_sent_once_and_has_its_class(
    site: Site, kind: str, fault: Fault, call: Callable[[Site], Call]
) -> None:
    site.aws.fault("*", kind)
    assert failure(site.session, call(site)).fault is fault
    assert len(site.aws.calls()) == 1


@pytest.mark.parametrize("kind", ["black_hole", "timeout_after"])
def test_an_unanswered_call_ends_by_its_time_out_and_is_sent_once(site: Site, kind: str) -> None:
    impatient = signed_in(site.aws, read_timeout_s=0.5)
    site.aws.fault(ASSIGN, kind)
    begun = time.monotonic()
    assert failure(impatient, assign(site)).fault is Fault.UNREACHABLE
    assert time.monotonic() - begun < FAR_S
    while not site.aws.calls(ASSIGN):
        time.sleep(0.01)  # on a slow machine the request may still be on its way
    assert [call.result for call in site.aws.calls(ASSIGN)] == [kind]
    assert site.holders() == [site.seeded.b.interface if kind == "timeout_after" else site.seeded.a.interface]


def test_an_endpoint_that_refuses_is_unreachable(site: Site) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        assert asked(signed_in(site.aws, url=url)).fault is Fault.UNREACHABLE


def test_an_endpoint_that_drops_packets_is_given_up(site: Site) -> None:
    with Line(site.aws.endpoint_url) as line:
        line.cut()
        session = signed_in(site.aws, url=line.url, connect_timeout_s=0.3)
        begun = time.monotonic()
        failed = asked(session)
    assert failed.fault is Fault.UNREACHABLE
    assert "ConnectTimeoutError" in str(failed)
    assert time.monotonic() - begun < FAR_S


def test_the_longest_call_is_the_wait_for_credentials_and_both_time_outs() -> None:
    assert Settings(REGION, 0.5, 2.0).call_s == 3.0


# --- answers that the emulated AWS doesn't give ---------------------------------------------------------------------


class Oracle(BaseHTTPRequestHandler):
    answer: ClassVar[tuple[int, str]]

    def do_POST(self) -> None:
        status, body = self.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: Any) -> None:
        """Tests read no log."""


@pytest.fixture(scope="module")
def oracle(emulator: Emulator) -> Iterator[tuple[Session, type[Oracle]]]:
    """What it is to answer, and a session that asks it."""
    chosen = type("Chosen", (Oracle,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), chosen) as server:
        serving = Thread(target=server.serve_forever)
        serving.start()
        yield signed_in(emulator, url=f"http://127.0.0.1:{server.server_port}"), chosen
        server.shutdown()
        serving.join()


def error(status: int, code: str, message: str = "") -> tuple[int, str]:
    said = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return status, f"<Response><Errors>{said}</Errors><RequestID>1</RequestID></Response>"


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (error(403, "SignatureDoesNotMatch", "the request signature we calculated does not match"), Fault.DENIED),
        (error(403, "SignatureDoesNotMatch", "Signature expired: 1 is now earlier than 2"), Fault.SKEWED),
        (error(403, "SignatureDoesNotMatch", "Signature not yet current: 2 is still later than 1"), Fault.SKEWED),
        (error(400, "RequestInTheFuture"), Fault.SKEWED),
        (error(400, "InvalidClientTokenId"), Fault.DENIED),
        (error(401, "AuthFailure"), Fault.DENIED),
        (error(403, "Blocked"), Fault.DENIED),
        (error(400, "RequestTimeout"), Fault.UNREACHABLE),
        (error(400, "RequestThrottledException"), Fault.THROTTLED),
        (error(400, "ThrottledException"), Fault.THROTTLED),
        (error(400, "InvalidParameterValue"), Fault.CONFLICT),
        (error(400, "InvalidNetworkInterfaceID.NotFound"), Fault.IMPOSSIBLE),
        (error(500, "InternalError"), Fault.UNREACHABLE),
        (error(503, "NeverHeardOf"), Fault.UNREACHABLE),
        (error(400, "NeverHeardOf"), Fault.IMPOSSIBLE),
        ((502, "<html>Bad gateway</html>"), Fault.UNREACHABLE),
        ((200, "<html>Please log in to the"), Fault.UNREACHABLE),
        ((403, ""), Fault.UNREACHABLE),
    ],
)
def test_every_answer_has_its_class(
    oracle: tuple[Session, type[Oracle]], answer: tuple[int, str], fault: Fault
) -> None:
    session, chosen = oracle
    chosen.answer = answer
    failed = asked(session)
    assert failed.fault is fault
    assert failed.api == "DescribeNetworkInterfaces"


# --- our own mistakes, and who is told ------------------------------------------------------------------------------


def test_a_request_that_makes_no_sense_is_not_sent(site: Site) -> None:
    failed = failure(site.session, Call("ec2", "assign_private_ip_addresses", {"Nonsense": 1}))
    assert failed.fault is Fault.IMPOSSIBLE
    assert "Nonsense" in str(failed)
    assert failure(site.session, Call("ec2", "no_such_call", {})).api == "NoSuchCall"
    assert not site.aws.calls()


def test_each_call_is_heard_of(site: Site, clean_environment: Environment) -> None:
    heard: list[tuple[str, float, Fault | None]] = []
    clean_environment(site.aws.env())
    endpoints = {"ec2": site.aws.endpoint_url}
    session = Session(Settings(REGION, 10.0, 60.0, endpoints), lambda *call: heard.append(call))
    session.read("ec2", "describe_network_interfaces")
    site.aws.fault("ec2:*", "throttle")
    asked(session)
    assert [(api, fault) for api, _, fault in heard] == [
        ("DescribeNetworkInterfaces", None),
        ("DescribeNetworkInterfaces", Fault.THROTTLED),
    ]
    assert all(seconds > 0 for _, seconds, _ in heard)


# --- credentials ----------------------------------------------------------------------------------------------------


def unsigned(aws: Emulator, wait_s: float = 10.0) -> Session:
    endpoints = dict.fromkeys(("route53", "ec2", "sts"), aws.endpoint_url)
    return Session(Settings(REGION, wait_s, 60.0, endpoints), lambda *_: None)


def helper(folder: Path, script: str) -> dict[str, str]:
    """An environment whose credentials come from a program."""
    program, config = folder / "helper", folder / "config"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    config.write_text(f"[default]\ncredential_process = {program}\n")
    return {"AWS_CONFIG_FILE": str(config)}


def keys(ends_s: float) -> str:
    ends = (datetime.now(UTC) + timedelta(seconds=ends_s)).replace(microsecond=0)
    said = {"AccessKeyId": "KEY", "SecretAccessKey": "secret", "SessionToken": "token"}
    return json.dumps({"Version": 1, **said, "Expiration": ends.isoformat()})


@pytest.fixture
def hanging(tmp_path: Path) -> Iterator[str]:
    """A shell command that hangs until the test is over."""
    pids = tmp_path / "pids"
    yield f"echo $$ >> {pids}; exec sleep 600"
    for pid in pids.read_text().split():
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)


@pytest.mark.parametrize(
    "variables",
    [{}, {"AWS_PROFILE": "nobody"}, {"AWS_ACCESS_KEY_ID": "half"}],
    ids=["none", "no-such-profile", "half"],
)
def test_without_credentials_every_method_says_so(
    aws: Emulator, clean_environment: Environment, variables: dict[str, str]
) -> None:
    clean_environment(variables)
    session = unsigned(aws)
    session.warm()  # an agent without credentials answers all the same
    for method in (session.credentials_end, lambda: session.read("sts", "get_caller_identity")):
        with pytest.raises(CloudError) as failed:
            method()
        assert failed.value.fault in (Fault.DENIED, Fault.IMPOSSIBLE)
    assert not aws.calls()


def test_a_helper_that_fails_is_named(aws: Emulator, clean_environment: Environment, tmp_path: Path) -> None:
    clean_environment(helper(tmp_path, "echo the certificate has ended >&2; exit 1"))
    failed = asked(unsigned(aws))
    assert failed.fault is Fault.DENIED
    assert "the certificate has ended" in str(failed)


def test_a_helper_that_hangs_holds_up_a_call_no_longer_than_a_connection(
    aws: Emulator, clean_environment: Environment, tmp_path: Path, hanging: str
) -> None:
    clean_environment(helper(tmp_path, hanging))
    session = unsigned(aws, wait_s=0.5)
    begun = time.monotonic()
    for _ in range(2):
        assert asked(session).fault is Fault.DENIED
    assert time.monotonic() - begun < FAR_S
    assert len((tmp_path / "pids").read_text().split()) == 1  # one at a time, however many calls wait
    assert not aws.calls()


def test_a_helper_that_hangs_renewing_leaves_the_last_credentials_in_use(
    aws: Emulator, clean_environment: Environment, tmp_path: Path, hanging: str
) -> None:
    (tmp_path / "1").write_text(keys(ends_s=300))  # near their end: botocore renews within the last 15 minutes
    (tmp_path / "2").write_text(keys(ends_s=300))
    give = "; ".join(f"[ -e {file} ] && cat {file} && rm {file} && exit" for file in (tmp_path / "1", tmp_path / "2"))
    clean_environment(helper(tmp_path, f"{give}; {hanging}"))
    session = unsigned(aws)
    for _ in range(3):
        session.read("sts", "get_caller_identity")
    assert len(aws.calls()) == 3
    assert (tmp_path / "pids").exists()


def test_the_end_of_the_credentials_is_known(aws: Emulator, clean_environment: Environment, tmp_path: Path) -> None:
    said = keys(ends_s=7200)
    clean_environment(helper(tmp_path, f"echo '{said}'"))
    assert unsigned(aws).credentials_end() == datetime.fromisoformat(json.loads(said)["Expiration"]).timestamp()


def test_credentials_without_an_end_have_none(aws: Emulator, clean_environment: Environment) -> None:
    clean_environment(aws.env())
    assert unsigned(aws).credentials_end() is None


# --- dry runs -------------------------------------------------------------------------------------------------------


def test_a_dry_run_that_would_succeed_is_no_error_and_has_no_effect(site: Site) -> None:
    heard: list[tuple[str, Fault | None]] = []
    site.session._heard, before = lambda api, _s, fault: heard.append((api, fault)), site.session._heard
    stop = Call("ec2", "stop_instances", {"InstanceIds": [site.seeded.a.instance]})
    site.session.rehearse(stop)
    site.session._heard = before
    assert site.state("a") == "running"
    assert heard == [("StopInstances", None)], "no failure for the metrics"


def test_a_dry_run_that_is_denied_is_denied(site: Site) -> None:
    site.aws.fault("ec2:StopInstances", "deny")
    with pytest.raises(CloudError) as denied:
        site.session.rehearse(Call("ec2", "stop_instances", {"InstanceIds": [site.seeded.a.instance]}))
    assert denied.value.fault is Fault.DENIED


def test_a_call_without_a_dry_run_is_not_sent(site: Site) -> None:
    for call in (assign(site), publish(site)):
        site.session.rehearse(call)
    assert not site.mutations()
