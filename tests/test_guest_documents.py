"""The documents that guests run: the Linux script for real, in a network namespace; both in the form that SSM takes.

What the scripts may be told is substituted as Systems Manager does it: `{{ name }}` by the parameter's value.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edge.agent import build
from edge.config import Config, GuestOs, load
from edge.switches.guest import _NEWER, Run
from edge.switches.session import Session, Settings
from tests.cloud.ssm import parameter_troubles
from tests.lab.netns import Namespace, new_run_id

ROOT = Path(__file__).parent.parent
DOCUMENTS = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "deploy" / "ssm").glob("*.json"))}
LINUX = DOCUMENTS["Edge-LinuxAddress"]
STATE = "/var/lib/edge-guest"
SERVICE, OWN, MOVING = "files.fs.corp.example", "10.0.1.10", "10.0.1.100"


def script(document: dict[str, Any], given: dict[str, str]) -> str:
    """As the agent in the guest writes it to a file. Refused where the document's rules refuse the values."""
    rules = document["parameters"]
    assert not list(parameter_troubles(rules, {name: [value] for name, value in given.items()}))
    values = {name: given.get(name, rule.get("default")) for name, rule in rules.items()}
    [step] = document["mainSteps"]
    text = "\n".join(step["inputs"]["runCommand"])
    return re.sub(r"\{\{ (\w+) \}\}", lambda match: values[match[1]], text)


@dataclass(frozen=True, slots=True)
class Guest:
    """A namespace with an interface that has the node's own address, and a directory for /var/lib/edge-guest."""

    namespace: Namespace
    home: Path

    def does(self, action: str, epoch: int = 1, **other: str) -> subprocess.CompletedProcess[str]:
        given = {"service": SERVICE, "epoch": str(epoch), "node": "a", "address": MOVING, "action": action}
        where = {} if "interfaceName" in other else {"nodeAddress": OWN}
        text = script(LINUX, {**given, **where, **other}).replace(STATE, str(self.home))
        return self.namespace.run(["sh", "-c", text])

    def carries(self, address: str = MOVING) -> list[str]:
        """The interfaces on which it is up, each with the prefix length."""
        shown = self.namespace.run(["ip", "-o", "-4", "addr", "show", "to", f"{address}/32"]).stdout
        return [f"{words[1]} {words[3]}" for words in map(str.split, shown.splitlines())]


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Guest]:
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    name = f"{new_run_id()}-guest"
    subprocess.run(["ip", "netns", "add", name], check=True)
    namespace = Namespace(name)
    try:
        namespace.ip("link set lo up")
        namespace.ip("link add ens5 type veth peer name far")
        namespace.ip(f"addr add {OWN}/24 dev ens5")
        namespace.ip("link set ens5 up")
        yield Guest(namespace, tmp_path / "edge-guest")
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


def said(done: subprocess.CompletedProcess[str]) -> tuple[int, str, str]:
    return done.returncode, done.stdout.strip(), done.stderr


def test_an_address_is_up_once_however_often_it_is_brought_up(guest: Guest) -> None:
    for _ in range(2):
        assert said(guest.does("up")) == (0, f"{MOVING} is up on ens5", "")
        assert guest.carries() == [f"ens5 {MOVING}/32"]


def test_an_address_is_down_however_often_it_is_brought_down(guest: Guest) -> None:
    guest.does("up")
    for _ in range(2):
        assert said(guest.does("down")) == (0, f"{MOVING} is down", "")
        assert guest.carries() == []
    assert guest.carries(OWN) == [f"ens5 {OWN}/24"]


def test_an_address_that_somebody_else_brought_up_is_up_and_goes_down(guest: Guest) -> None:
    guest.namespace.ip(f"addr add {MOVING}/24 dev ens5")
    assert guest.does("up").returncode == 0
    assert guest.carries() == [f"ens5 {MOVING}/24"]
    guest.namespace.ip(f"addr add {MOVING}/32 dev lo")
    assert guest.does("down").returncode == 0
    assert guest.carries() == []


def test_an_address_comes_up_where_it_is_told_to(guest: Guest) -> None:
    for _ in range(2):
        assert said(guest.does("up", interfaceName="lo")) == (0, f"{MOVING} is up on lo", "")
        assert guest.carries() == [f"lo {MOVING}/32"]


def test_a_neighbour_of_which_the_address_is_the_beginning_is_left_alone(guest: Guest) -> None:
    guest.namespace.ip("addr add 10.0.1.10/32 dev lo")
    guest.namespace.ip("addr add 10.0.1.1/32 dev lo")
    assert guest.does("down", address="10.0.1.1").returncode == 0
    assert guest.carries("10.0.1.10") == ["lo 10.0.1.10/32", f"ens5 {OWN}/24"]


@pytest.mark.parametrize("action", ["up", "down"])
def test_an_older_epoch_is_refused(guest: Guest, action: str) -> None:
    other = {"up": "down", "down": "up"}[action]
    guest.does(other, 14)
    before = guest.carries()
    code, output, _ = said(guest.does(action, 13))
    assert (code, output) == (3, "edge: epoch 14 is newer than 13")
    assert _NEWER.search(output)
    assert guest.carries() == before
    assert guest.does(action, 14).returncode == 0
    assert guest.does("up", 1, service="more.fs.corp.example").returncode == 0, "each service has its own epochs"


def test_commands_at_once_come_to_one_end(guest: Guest) -> None:
    given = {"service": SERVICE, "node": "a", "address": MOVING, "nodeAddress": OWN}
    texts = [
        script(LINUX, {**given, "epoch": str(epoch), "action": "up" if epoch % 2 else "down"}).replace(
            STATE, str(guest.home)
        )
        for epoch in range(1, 16)
    ]
    running = [guest.namespace.popen(["sh", "-c", text]) for text in texts]
    assert {each.wait(60) for each in running} <= {0, 3}
    assert guest.carries() == [f"ens5 {MOVING}/32"]
    assert (guest.home / SERVICE).read_text() == "15\n"


def test_an_interface_that_is_not_there_is_an_error_that_says_so(guest: Guest) -> None:
    code, output, _ = said(guest.does("up", nodeAddress="10.0.1.77"))
    assert (code, output) == (4, "edge: no interface has the address '10.0.1.77'; say interface_name")
    code, _, trouble = said(guest.does("up", interfaceName="ens9"))
    assert code != 0
    assert "ens9" in trouble


# --- what SSM takes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_of_the_form_that_ssm_takes(name: str) -> None:
    document = DOCUMENTS[name]
    assert document["schemaVersion"] == "2.2"
    [step] = document["mainSteps"]
    action = {"Edge-LinuxAddress": "aws:runShellScript", "Edge-WindowsAddress": "aws:runPowerShellScript"}[name]
    assert (step["action"], set(step["inputs"])) == (action, {"runCommand", "timeoutSeconds"})
    assert "precondition" not in step, "a step that is skipped counts as a success"
    used = set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(step)))
    assert used | {"node"} == set(document["parameters"])


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("value", ["'; reboot; '", "$(reboot)", "a b\nc", "`id`", "..", "/etc/x", '"', "{{ epoch }}"])
def test_no_parameter_lets_anything_into_the_script(name: str, value: str) -> None:
    rules = DOCUMENTS[name]["parameters"]
    given = {"service": "x", "epoch": "1", "node": "a", "address": "10.0.1.1", "action": "up"}
    for each in rules:
        assert list(parameter_troubles(rules, {parameter: [v] for parameter, v in {**given, each: value}.items()})), (
            each
        )


def runs(config: Config) -> list[Run]:
    session = Session(Settings("ap-northeast-1", 1.0, 1.0), lambda *_: None)
    made = build.switches(config.services[0], session, lambda _: (True, ""))
    return [step for step in made.steps if isinstance(step, Run) and step.name.startswith("address-")]


@pytest.mark.parametrize("system", GuestOs)
@pytest.mark.parametrize("interface", [None, "Ethernet 2", "lo"])
def test_what_the_agent_tells_a_document_is_what_it_takes(system: GuestOs, interface: str | None) -> None:
    config = load(ROOT / "config" / "guest-steps.toml")
    service = config.services[0]
    assert service.guest is not None
    guest = service.guest.model_copy(update={"os": system, "interface_name": interface})
    told = config.model_copy(update={"services": (service.model_copy(update={"guest": guest}),)})
    for step, action in zip(runs(told), ("down", "up"), strict=True):
        rules = DOCUMENTS[step._settings.document]["parameters"]
        given = {"service": service.name, "epoch": "1", "node": "a", **step._settings.given["a"]}
        assert given["action"] == action
        spaced = interface is not None and " " in interface and system is GuestOs.LINUX
        assert bool(list(parameter_troubles(rules, {name: [value] for name, value in given.items()}))) is spaced
