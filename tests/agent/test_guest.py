"""Steps in the guests with the real agent: the emulated agents run deploy/ssm's document and an operator's two.

What they run takes effect here: the listener at the secondary address is up while a guest carries it.
"""

import json
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.agent.site import ADDRESS, NAME, ROOT, ROUTE53, SECONDARY, Site
from tests.cloud.emulator import Emulator
from tests.switches.site import RELEASE, SEND, TAKE, document

HOUR_S = 3600.0
HANG = "60s"  # the agent must still hang when it is killed
ADDRESSES = "Edge-LinuxAddress"
GUEST = f"""{ROUTE53}
  [service.switch.secondary_ip]
  address = "{{secondary}}"
  [service.guest]
  os = "linux"
  on_demote = "{RELEASE}"
  on_promote = "{TAKE}"
  [service.fence]
  kind = "guest"
"""


@dataclass(slots=True)
class Guests:
    site: Site
    seen: int = 0

    def ran(self) -> list[tuple[str, str, str]]:
        """(node, document or action, epoch) of all that was run; the address goes up and down with it."""
        nodes = {self.site.seeded.a.instance: "a", self.site.seeded.b.instance: "b"}
        ran = [(nodes[instance], given.get("action", name), given) for instance, name, given in self.site.aws.ran()]
        for _, action, given in ran[self.seen :]:
            if action in ("up", "down"):
                assert given["address"] == SECONDARY
                self.carried(action == "up")
        self.seen = len(ran)
        return [(node, action, given["epoch"]) for node, action, given in ran]

    def carried(self, up: bool) -> None:
        if up and "secondary" not in self.site.servers:
            self.site.serve("secondary")
        if not up and "secondary" in self.site.servers:
            self.site.crash("secondary")

    def until(self, what: str, holds: Callable[[], bool]) -> None:
        self.site.until(what, lambda: bool(self.ran() or True) and holds())


@pytest.fixture
def guests(tmp_path: Path, cloud: Emulator) -> Iterator[Guests]:
    cloud.reset()
    site = Site(tmp_path, cloud, GUEST)
    ssm = cloud.client("ssm")
    for name in (RELEASE, TAKE):
        ssm.create_document(Name=name, Content=document(), DocumentType="Command")
    shipped = (ROOT / "deploy" / "ssm" / f"{ADDRESSES}.json").read_text()
    ssm.create_document(Name=ADDRESSES, Content=shipped, DocumentType="Command")
    cloud.agent(site.seeded.a.instance, site.seeded.b.instance)
    cloud.forget_calls()
    site.serve("a", "b", "secondary")
    yield Guests(site)
    cloud.clear_faults()
    site.close()


def content(guests: Guests, **settings: str) -> str:
    """The epoch at which a is live."""
    site = guests.site
    site.configure(GUEST, **settings)
    site.start()
    guests.until("the agent is content with a", lambda: site.ready_on("a"))
    return str(site.kept("assignment")["epoch"])


def switched(epoch: str) -> list[tuple[str, str, str]]:
    """All that runs in a switch from a to b."""
    return [(node, what, epoch) for node, what in (("a", RELEASE), ("a", "down"), ("b", "up"), ("b", TAKE))]


def test_the_old_node_lets_go_and_the_new_one_takes_over(guests: Guests) -> None:
    site, first = guests.site, content(guests)
    before = len(guests.ran())
    site.aws.outcome(RELEASE, output="the share is released")
    site.crash("a")
    guests.until("the agent is content with b", lambda: site.settled_on("b"))
    assert guests.ran()[before:] == switched(str(int(first) + 1))
    assert site.holders() == {"b"}
    assert site.answer() == site.in_vpc() == (ADDRESS["b"],)
    told = site.edgectl("history").stdout
    assert "Success: the share is released" in " ".join(told.split())


def test_a_guest_that_does_not_let_go_holds_the_switch(guests: Guests) -> None:
    site = guests.site
    content(guests)
    before = len(guests.ran())
    site.aws.outcome(RELEASE, "Failed", "a file is open")
    site.crash("a")
    guests.until("it holds", lambda: site.status().get("reason", {}).get("slug") == "fence")
    assert "Failed: a file is open" in site.status()["reason"]["sentence"]
    assert site.holders() == {"a"}
    site.aws.outcome(RELEASE)
    guests.until("the agent is content with b", lambda: site.settled_on("b"))
    *released, down, up, taken = (what for _, what, _ in guests.ran()[before:])
    assert (set(released), down, up, taken) == ({RELEASE}, "down", "up", TAKE)
    assert len(released) > 1


@pytest.mark.parametrize("kind", ["black_hole", "timeout_after"])
@pytest.mark.parametrize("which", range(4))
def test_killed_at_a_document(guests: Guests, which: int, kind: str) -> None:
    """Whether the command had been sent or not, its successor finds out: each document runs once."""
    site, first = guests.site, content(guests, read_timeout=HANG)
    before = len(guests.ran())
    site.aws.forget_calls()
    site.aws.fault(SEND, kind, skip=which)
    site.crash("a")
    guests.until("AWS holds the call", lambda: any(each.result == kind for each in site.aws.calls(SEND)))
    site.kill()
    site.aws.clear_faults()
    site.configure(GUEST)
    site.start()
    guests.until("the agent is content with b", lambda: site.settled_on("b"))
    assert guests.ran()[before:] == switched(str(int(first) + 1))


def test_killed_while_a_document_runs(guests: Guests) -> None:
    site, first = guests.site, content(guests)
    before = len(guests.ran())
    site.aws.lag(run_s=HOUR_S)
    site.crash("a")
    guests.until("the document runs", lambda: len(guests.ran()) > before)
    site.kill()
    site.start()
    guests.until("its successor waits for it", lambda: site.status().get("phase") == "fencing")
    site.aws.lag(run_s=0)
    guests.until("the agent is content with b", lambda: site.settled_on("b"))
    assert guests.ran()[before:] == switched(str(int(first) + 1))


def test_a_guest_that_knows_a_newer_epoch_ends_the_switch(guests: Guests) -> None:
    site = guests.site
    content(guests)
    site.aws.outcome(RELEASE, "Failed", "edge: epoch 99 is newer than 2", times=1)
    assert site.edgectl("promote", "b", "--reason", "test", "--yes").returncode != 0
    guests.until("it says so", lambda: "epoch 99 is newer" in site.edgectl("why").stdout)
    assert site.holders() == {"a"}
    assert site.edgectl("promote", "b", "--reason", "it is right", "--yes", "--no-wait").returncode == 0
    guests.until("the agent is content with b", lambda: site.settled_on("b"))
    assert site.kept("assignment")["epoch"] == 100


def test_the_check_says_where_no_agent_is(guests: Guests) -> None:
    site = guests.site
    content(guests)
    found = {each["subject"]: each for each in checked(site)}
    assert found["step demote"]["level"] == "ok"
    assert "SSM agents of a and b are online" in found["step demote"]["sentence"]
    site.aws.agent(site.seeded.b.instance, ping="ConnectionLost")
    found = {each["subject"]: each for each in checked(site)}
    assert {found[f"step {name}"]["level"] for name in ("demote", "address-down", "address-up", "promote")} == {"fail"}
    assert f"{site.seeded.b.instance} of b is not online: ConnectionLost" in found["step promote"]["sentence"]
    assert not site.aws.calls(SEND)[len(guests.ran()) :]


def test_other_documents_are_taken_over_on_reload(guests: Guests) -> None:
    site = guests.site
    content(guests)
    site.configure(GUEST.replace(f'on_promote = "{TAKE}"', 'on_promote = "Files-Other"'))
    assert site.agent is not None
    site.agent.send_signal(signal.SIGHUP)
    guests.until("the check asks for it", lambda: "InvalidDocument" in site.edgectl("check").stdout)


def checked(site: Site) -> list[dict[str, str]]:
    findings: list[dict[str, str]] = json.loads(site.edgectl("--json", "check").stdout)["findings"]
    return [each for each in findings if each["service"] == NAME]
