"""The agent's small parts: what the DNS side and the machine are told, views, the log, the service manager."""

import json
import logging
import socket
from pathlib import Path

import pytest

from edge import __version__
from edge.agent import answers, build, reading
from edge.agent.logs import JsonFormatter
from edge.agent.systemd import notify
from edge.config import Config, FenceKind, Topology, load
from edge.errors import ConfigError, StoreError
from edge.failover.model import Assignment, Stage
from edge.history import Line
from edge.switches import guest
from edge.switches.contract import Verify, View
from edge.switches.session import Session, Settings

CONFIGS = Path(__file__).parents[2] / "config"


@pytest.fixture
def both() -> Config:
    """The example with a secondary address, a fence and Route 53."""
    return load(CONFIGS / "both.toml")


def test_the_stages_are_those_that_have_steps(both: Config) -> None:
    assert build.stages(both.services[0]) == frozenset(Stage)
    only_dns = load(CONFIGS / "multi-az-route53.toml").services[0]
    assert build.stages(only_dns) == {Stage.PUBLISH, Stage.VERIFY}
    routed = load(CONFIGS / "transit-gateway-route.toml").services[0]
    assert build.stages(routed) == {Stage.FENCE, Stage.MOVE, Stage.VERIFY}
    isolated = routed.model_copy(update={"switch": only_dns.switch})
    assert build.stages(isolated) == frozenset(Stage), "a target may have to be let out of quarantine"


STEPS = {
    "both": ["unassign", "assign", "secondary-address", "route53", "route53-insync"],
    "transit-gateway-route": ["isolate", "rejoin", "groups", "route", "routes"],
    "public-elastic-ip": ["stop", "associate", "public-address"],
    "guest-steps": ["demote", "address-down", "assign", "secondary-address", "address-up", "promote"],
}


@pytest.mark.parametrize("name", STEPS)
def test_every_way_and_fence_has_its_steps_and_sides(name: str) -> None:
    service = load(CONFIGS / f"{name}.toml").services[0]
    session = Session(Settings("ap-northeast-1", 1.0, 1.0), lambda *_: None)
    switches = build.switches(service, session, lambda _: (True, ""))
    assert [step.name for step in switches.steps] == STEPS[name]
    assert {side.name for side in switches.sides} == {kind for kind, there in service.switch if there}
    assert {step.stage for step in switches.steps} == build.stages(service)
    fences = {(step.within_s, step.required) for step in switches.steps if step.stage is Stage.FENCE}
    assert fences == {(service.fence.deadline_s, True)}


def test_where_another_fence_stands_beside_it_a_demotion_may_fail() -> None:
    service = load(CONFIGS / "guest-steps.toml").services[0]
    hard = service.model_copy(update={"fence": service.fence.model_copy(update={"kind": FenceKind.UNASSIGN})})
    session = Session(Settings("ap-northeast-1", 1.0, 1.0), lambda *_: None)
    made = build.switches(hard, session, lambda _: (True, "")).steps
    assert service.guest is not None
    demotion = [(step.name, step.within_s, step.required) for step in made if step.stage is Stage.FENCE]
    soft = [(name, service.guest.deadline_s, False) for name in ("demote", "address-down")]
    assert demotion == [*soft, ("unassign", hard.fence.deadline_s, True)]
    alone = service.model_copy(update={"fence": service.fence.model_copy(update={"kind": FenceKind.NONE})})
    assert Stage.FENCE in build.stages(alone)


def test_a_document_is_told_the_address_that_moves_or_the_nodes_own() -> None:
    service = load(CONFIGS / "guest-steps.toml").services[0]
    session = Session(Settings("ap-northeast-1", 1.0, 1.0), lambda *_: None)
    still = service.switch.model_copy(update={"secondary_ip": None})
    assert service.guest is not None
    documents = service.guest.model_copy(update={"os": None})
    for switch, addresses in ((service.switch, {"10.0.1.100"}), (still, {"10.0.1.10", "10.0.1.11"})):
        told = service.model_copy(update={"switch": switch, "guest": documents})
        runs = [
            step for step in build.switches(told, session, lambda _: (True, "")).steps if isinstance(step, guest.Run)
        ]
        assert [step._settings.document for step in runs] == ["Files-Release", "Files-Take"]
        assert {given["address"] for step in runs for given in step._settings.given.values()} == addresses


def test_the_client_for_guests_is_warm_where_there_are_any(both: Config) -> None:
    for config, warm in ((both, False), (load(CONFIGS / "guest-steps.toml"), True)):
        settings = build.aws(config)
        assert settings is not None
        assert ("ssm" in settings.warm) is warm


def test_only_over_a_transit_gateway_is_the_route_probed() -> None:
    service = load(CONFIGS / "transit-gateway-route.toml").services[0]
    route = service.switch.route_table
    assert route is not None
    inside = service.switch.model_copy(update={"route_table": route.model_copy(update={"topology": Topology.VPC_ONLY})})
    session = Session(Settings("ap-northeast-1", 1.0, 1.0), lambda *_: None)
    for switch, probed in ((service.switch, "172.31.255.10"), (inside, None)):
        made = build.switches(service.model_copy(update={"switch": switch}), session, lambda _: (True, ""))
        assert [step._address for step in made.steps if isinstance(step, Verify) and step.name == "routes"] == [probed]


def test_the_answer_is_the_moving_address_where_that_is_wanted() -> None:
    service = load(CONFIGS / "one-subnet-secondary.toml").services[0]
    moving = service.switch.secondary_ip
    assert moving is not None
    assert set(answers.answers(service).values()) == {(moving.address,)}


def test_who_may_ask_has_the_forwarders_the_secrets_and_the_agents_own_name(both: Config, tmp_path: Path) -> None:
    secret = tmp_path / "cookie.key"
    secret.write_text("445536bcd2513298075a5d379663c962\n")
    limit = both.dns.rate_limit.model_copy(update={"unprepared_per_s": 7})
    dns = both.dns.model_copy(update={"cookie_secrets": (secret,), "version": True, "rate_limit": limit})
    policy = answers.dns_policy(both.model_copy(update={"dns": dns}))
    assert policy.cookie_secrets == ("445536bcd2513298075a5d379663c962",)
    assert (policy.identity, policy.version) == (both.agent.name, f"edge {__version__}")
    assert (policy.rates.per_s, policy.rates.unprepared_per_s) == (0, 7)
    assert set(policy.trusted) == {str(prefix) for prefix in both.dns.trusted_forwarders}
    secret.write_text("password")
    with pytest.raises(ConfigError, match=r"dns.cookie_secrets\[0\].*32 hex digits"):
        answers.dns_policy(both.model_copy(update={"dns": dns}))
    secret.unlink()
    with pytest.raises(ConfigError, match=r"dns.cookie_secrets\[0\].*can't be read"):
        answers.dns_policy(both.model_copy(update={"dns": dns}))


class Points:
    """A side that says what it was made with."""

    name = "side"

    def __init__(self, node: str | None, epoch: int, *, readable: bool = True) -> None:
        self._view = View(node, epoch, "read")
        self._readable = readable

    def view(self) -> View:
        if not self._readable:
            raise StoreError("can't be read")
        return self._view


@pytest.mark.parametrize(
    ("side", "agrees"),
    [
        (Points("b", 2), True),
        (Points("b", 0), True),
        (Points("b", 1), False),
        (Points("a", 2), False),
        (Points(None, 2), False),
        (Points("b", 2, readable=False), None),
    ],
)
def test_a_view_agrees_by_node_and_epoch_and_is_unknown_where_it_can_not_be_read(
    side: Points, agrees: bool | None
) -> None:
    assert reading.agrees(reading.read(side, lambda: 1.0), Assignment("b", 2)) is agrees


def test_notify_reaches_the_service_manager_and_is_silent_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notify("READY=1")
        assert manager.recv(64) == b"READY=1"


def test_a_line_of_the_log_is_json_with_what_was_told() -> None:
    record = logging.LogRecord("edge", logging.INFO, "", 0, "%s moved", ("files",), None)
    record.line = Line("files", 0.0, "committed", "files moved", 3, "edge", None)
    said = json.loads(JsonFormatter().format(record))
    assert (said["message"], said["kind"], said["epoch"], said["who"]) == ("files moved", "committed", 3, "edge")


def test_a_view_that_we_get_wrong_is_one_that_could_not_be_read(caplog: pytest.LogCaptureFixture) -> None:
    class Wrong:
        name = "elastic_ip"

        def view(self) -> View:
            raise IndexError("a mistake of ours")

    found = reading.read(Wrong(), lambda: 1.0)
    assert (found.view, found.trouble) == (None, "a fault in this program: IndexError('a mistake of ours')")
    assert reading.agrees(found, Assignment("b", 2)) is None
    assert caplog.messages == ["a fault in this program, in reading elastic_ip"]
