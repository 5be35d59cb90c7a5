"""Nothing outlives its deadline: each call that the policy allows, against an AWS that takes all the time it can.

A call's budget is Settings.call_s; the table has the worst of each kind of trouble. What is asserted leaves a slow
machine seconds of room: without a deadline of the whole, an answer that trickles would never end.
"""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from botocore import xform_name
from botocore.session import get_session

from edge.errors import CloudError, Fault
from edge.switches.connection import Lookup, connected
from edge.switches.contract import Call
from edge.switches.session import Session, Settings
from tests.cloud.emulator import REGION, Emulator
from tests.switches.test_session import Environment, hanging, helper, keys  # noqa: F401 a fixture among them

POLICY = Path(__file__).parents[2] / "deploy" / "iam-policy.json"
CONNECT_S, READ_S = 1.0, 2.0
ROOM_S = 8.0
BEAT_S = 0.02
ADDRESSES = 6


def actions() -> list[str]:
    found = (each["Action"] for each in json.loads(POLICY.read_text())["Statement"])
    return ["sts:GetCallerIdentity", *(a for each in found for a in ([each] if isinstance(each, str) else each))]


def least(shape: Any) -> Any:
    """The shortest value that botocore takes for a parameter."""
    match shape.type_name:
        case "structure":
            return {name: least(shape.members[name]) for name in shape.required_members}
        case "list":
            return [least(shape.member)]
        case "map":
            return {"key": least(shape.value)}
        case "string":
            return shape.enum[0] if shape.enum else "x" * max(shape.metadata.get("min", 1), 1)
        case "boolean":
            return True
    return 1


def call_of(action: str) -> Call:
    service, _, api = action.partition(":")
    shape = get_session().get_service_model(service).operation_model(api).input_shape
    return Call(service, xform_name(api), least(shape))


@contextmanager
def dropping() -> Iterator[str]:
    """Every SYN is dropped, at whichever loopback address: the backlog is full."""
    with ExitStack() as stack:
        deaf = stack.enter_context(socket.create_server(("", 0), backlog=0))
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", deaf.getsockname()[1]))
        yield f"http://127.0.0.1:{deaf.getsockname()[1]}"


@contextmanager
def silent() -> Iterator[str]:
    """The kernel takes the connection and the request, and that is all."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def trickling() -> Iterator[str]:
    """An answer of a header a thousand bytes long, a byte at a time."""
    answer, ended = b"HTTP/1.1 200 OK\r\nX-Patience: " + b"x" * 100_000, threading.Event()

    def trickle(peer: socket.socket) -> None:
        with peer, suppress(OSError):
            for byte in answer:
                peer.send(bytes([byte]))
                if ended.wait(BEAT_S):
                    return

    def serve(server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=trickle, args=(server.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        ended.set()
        server.shutdown(socket.SHUT_RDWR)


def session(url: str) -> Session:
    endpoints = dict.fromkeys({action.partition(":")[0] for action in actions()}, url)
    made = Session(Settings(REGION, CONNECT_S, READ_S, endpoints), lambda *_: None)
    for service in endpoints:
        made._client(service)  # what building it takes is not the call's
    return made


def timed(asked: Session, action: str) -> tuple[float, Fault]:
    call = call_of(action)
    begun = time.monotonic()
    with pytest.raises(CloudError) as failed:
        asked.call(call)
    return time.monotonic() - begun, failed.value.fault


def worst(name: str, asked: Session) -> float:
    """Of all calls; printed beside the budget."""
    with ThreadPoolExecutor(4) as threads:
        took = dict(zip(actions(), threads.map(lambda action: timed(asked, action), actions()), strict=True))
    action = max(took, key=lambda each: took[each][0])
    row = f"{took[action][0]:7.2f} s  {asked.settings.call_s:6.2f} s  {len(took):5}  {action}"
    print(f"\n{name:<28}{row}", end="")
    assert {fault for _, fault in took.values()} <= {Fault.UNREACHABLE, Fault.DENIED}
    return took[action][0]


@pytest.fixture
def signed(aws: Emulator, clean_environment: Environment) -> None:
    clean_environment(aws.env())


@pytest.mark.usefixtures("signed")
@pytest.mark.parametrize("trouble", [dropping, silent, trickling])
def test_no_call_outlives_its_budget(trouble: Callable[[], Any]) -> None:
    with trouble() as url:
        asked = session(url)
        assert worst(trouble.__name__, asked) < asked.settings.call_s + ROOM_S


@pytest.mark.usefixtures("signed")
def test_a_name_with_dead_addresses_only_takes_no_longer_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with dropping() as url:
        asked = session(url.replace("127.0.0.1", "dead.example"))
        monkeypatch.setattr(socket, "getaddrinfo", several)
        assert worst(f"{ADDRESSES} dead addresses", asked) < asked.settings.call_s + ROOM_S


def several(_host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
    addresses = [(f"127.0.0.{n}", port) for n in range(1, ADDRESSES + 1)]
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]


@pytest.mark.usefixtures("signed")
def test_a_name_server_that_is_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    asked = session("http://nowhere.example:1")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: ended.wait() and [])
    try:
        assert worst("a silent name server", asked) < asked.settings.call_s + ROOM_S
    finally:
        ended.set()


def test_a_helper_that_hangs_and_an_aws_that_does(
    clean_environment: Environment,
    tmp_path: Path,
    hanging: str,  # noqa: F811
) -> None:
    """The credentials have ended, their helper hangs, and AWS takes the call signed with the old ones in silence."""
    given = [tmp_path / "1", tmp_path / "2"]
    for each in given:
        each.write_text(keys(ends_s=300))  # near their end: botocore renews them each time
    give = "; ".join(f"[ -e {each} ] && cat {each} && rm {each} && exit" for each in given)
    clean_environment(helper(tmp_path, f"{give}; {hanging}"))
    with silent() as url:
        asked = session(url)
        while any(each.exists() for each in given):
            with suppress(CloudError):
                asked.credentials_end()
        assert asked._keys is not None
        asked._keys._wall = lambda: time.time() + 600
        assert worst("a hung helper, then silence", asked) < asked.settings.call_s + ROOM_S


# --- how that is done -----------------------------------------------------------------------------------------------


def info(port: int, *addresses: str) -> list[tuple[Any, ...]]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]


def test_a_dead_address_does_not_keep_the_next_one_from_answering() -> None:
    with dropping() as dead, silent() as alive:
        dead_port, alive_port = (int(url.rpartition(":")[2]) for url in (dead, alive))
        found = [*info(dead_port, "127.0.0.1", "127.0.0.2"), *info(alive_port, "127.0.0.1")]
        with connected(found, 60.0) as sock:
            assert sock.getpeername()[1] == alive_port
            assert (sock.gettimeout() or 0) > 0, "TLS has what is left"


def test_an_address_that_refuses_is_left_at_once_and_said_if_all_do() -> None:
    with silent() as alive, socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        refusing = info(reserved.getsockname()[1], "127.0.0.1")
        with connected([*refusing, *info(int(alive.rpartition(":")[2]), "127.0.0.1")], 60.0):
            pass
        with pytest.raises(ConnectionRefusedError):
            connected(refusing, 60.0)
    with pytest.raises(OSError, match="no address"):
        connected([], 60.0)


def test_a_lookup_that_is_late_serves_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, asked = threading.Event(), []

    def late(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        asked.append(host)
        go_on.wait()
        return info(port, "127.0.0.9")

    monkeypatch.setattr(socket, "getaddrinfo", late)
    lookup = Lookup()
    for _ in range(2):
        with pytest.raises(TimeoutError):
            lookup.find("aws.example", 443, 0.05)
    go_on.set()
    assert lookup.find("aws.example", 443, 60.0) == info(443, "127.0.0.9")
    assert asked == ["aws.example"], "one at a time"


@pytest.mark.parametrize("silence", [True, False])
def test_where_a_host_was_is_remembered(monkeypatch: pytest.MonkeyPatch, silence: bool) -> None:
    lookup, ended = Lookup(), threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda _host, port, **_: info(port, "127.0.0.9"))
    first = lookup.find("aws.example", 443, 60.0)

    def no_more(*_: Any, **__: Any) -> None:
        if silence:
            ended.wait()
        raise socket.gaierror("no such host")

    monkeypatch.setattr(socket, "getaddrinfo", no_more)
    assert lookup.find("aws.example", 443, 0.1) == first
    ended.set()
    with pytest.raises(socket.gaierror):
        lookup.find("another.example", 443, 60.0)


def test_calls_say_whose_they_are(aws: Emulator, clean_environment: Environment) -> None:
    clean_environment(aws.env())
    asked = session(aws.endpoint_url)
    sent: list[Mapping[str, Any]] = []
    asked._client("sts").meta.events.register("before-send", lambda request, **_: sent.append(request.headers))
    asked.read("sts", "get_caller_identity")
    assert b" edge/" in sent[0]["User-Agent"]
