"""What AWS may do to each step of each way and fence: the real machine, the real runner, the emulated AWS; and what
kill -9 does there to the real agent.

The invariants, in every cell and after every stage: the address is on one interface at most; nothing leads to the
target before the old node is fenced; the epoch in Route 53 only grows, and an agent of an older one can't write over
it. And a cell ends in agreement, or, while the fault lasts, in a hold that has a name; in agreement once it is over.

docs/faults.md is what `make faults` writes of it.
"""

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from edge.agent import build
from edge.config import Service, load
from edge.errors import Fault
from edge.failover import events as ev
from edge.failover.model import OnOutage, Phase, Stage
from edge.failover.vetoes import HOLDS
from edge.switches import contract
from edge.switches.runner import Pace, Runner
from edge.switches.session import Session
from tests.agent import plant as real
from tests.agent.site import NAME
from tests.cloud.emulator import Emulator
from tests.cloud.line import Line
from tests.cloud.script import FaultKind
from tests.failover.world import POLICY, World
from tests.marks import marked, replaced
from tests.switches.site import (
    ASSIGN,
    ASSOCIATE,
    CHANGE,
    CREATE_ROUTE,
    HOUR_S,
    MOVING,
    REPLACE_ROUTE,
    ROUTED,
    SEND,
    SET_GROUPS,
    STOP,
    TAG,
    UNASSIGN,
    Hands,
    Site,
    allowed,
    furnish,
    signed_in,
)

SHORT = Pace(act_s=0.05, move_s=0.05, verify_s=0.05)  # for a fault that lasts: a few tries a stage are enough
TRIES = 100  # of the machine, before a cell counts as stuck
HANG = "60s"  # an agent must still hang when it is killed
CONNECT_S, READ_S = 0.3, 0.5

CONFIG = """
[agent]
name = "edge-1"
[dns]
listen = ["192.0.2.53:53"]
[zone]
name = "fs.corp.example"
nameservers = {{"ns1.fs.corp.example" = ["192.0.2.53"]}}
[aws]
region = "ap-northeast-1"
[[service]]
name = "files.fs.corp.example"
probe = {{kind = "smb"}}
node = [
  {{name = "a", address = "10.0.1.10", instance = "{a.instance}", interface = "{a.interface}", subnet = "{a.subnet}"}},
  {{name = "b", address = "10.0.1.11", instance = "{b.instance}", interface = "{b.interface}", subnet = "{b.subnet}"}},
]
[service.switch]
route53 = {{zone_id = "{zone_id}"}}
{way}
{guest}
[service.fence]
{fence}
"""


@dataclass(frozen=True, slots=True)
class Way:
    """A way with its fence and what runs in the guests, as configured, and as the real agent's site has it."""

    kind: str
    fence: str
    real: Any
    guest: str = ""


ADDRESS = Way("secondary_ip", "unassign", real.addressed)
ROUTE = Way("route_table", "isolate", real.routed)
PUBLIC = Way("elastic_ip", "stop", real.public)
GUEST = Way("secondary_ip", "guest", real.guests, real.IN_GUESTS)
WAYS = (ADDRESS, ROUTE, PUBLIC, GUEST)


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a step meets the fault: `api`, when `skip` of its calls are made (dry runs don't count), is what the step
    calls; the journal has `begun` beginnings of it then. `read` is what it reads. A step that only reads calls nothing
    else, and meets its fault once the batch is accepted.
    """

    way: Way
    step: str
    api: str
    read: str
    skip: int = 0
    begun: int = 1

    @property
    def reads(self) -> bool:
        return self.api == self.read

    @property
    def when(self) -> dict[str, Any]:
        return {"skip": self.skip, "spares_dry_runs": True, "after": CHANGE if self.reads else None}


ENI, RTB, EIP, EC2 = (
    f"ec2:Describe{what}" for what in ("NetworkInterfaces", "RouteTables", "Addresses", "Instances")
)  # fmt: skip
LIST, IN_SYNC, RUNS = "route53:ListResourceRecordSets", "route53:GetChange", "ssm:ListCommandInvocations"
STEPS = {
    "unassign": Cut(ADDRESS, "unassign", UNASSIGN, ENI),
    "assign": Cut(ADDRESS, "assign", ASSIGN, ENI),
    "verify the secondary address": Cut(ADDRESS, "secondary-address", ENI, ENI),
    "publish": Cut(ADDRESS, "route53", CHANGE, LIST),
    "verify INSYNC": Cut(ADDRESS, "route53-insync", IN_SYNC, IN_SYNC),
    "isolate: tag": Cut(ROUTE, "isolate", TAG, ENI),
    "isolate: groups": Cut(ROUTE, "isolate", SET_GROUPS, ENI, begun=2),
    "rejoin": Cut(ROUTE, "rejoin", SET_GROUPS, ENI, skip=1),
    "verify the groups": Cut(ROUTE, "groups", ENI, ENI),
    "create a route": Cut(ROUTE, "route", CREATE_ROUTE, RTB),
    "replace a route": Cut(ROUTE, "route", REPLACE_ROUTE, RTB),
    "replace the second route": Cut(ROUTE, "route", REPLACE_ROUTE, RTB, skip=1, begun=2),
    "verify the routes": Cut(ROUTE, "routes", RTB, RTB),
    "stop": Cut(PUBLIC, "stop", STOP, EC2),
    "associate": Cut(PUBLIC, "associate", ASSOCIATE, EIP),
    "verify the public address": Cut(PUBLIC, "public-address", EIP, EIP),
    "guest: demote": Cut(GUEST, "demote", SEND, RUNS),
    "guest: address down": Cut(GUEST, "address-down", SEND, RUNS, skip=1),
    "guest: address up": Cut(GUEST, "address-up", SEND, RUNS, skip=2),
    "guest: promote": Cut(GUEST, "promote", SEND, RUNS, skip=3),
}
LASTING = {"denied": "deny", "throttled": "throttle", "expired": "expired", "skewed": "skewed", "reset": "reset"}
ONCE = {"timed out before": "black_hole", "timed out after": "timeout_after"}
KILLED = {"killed before": FaultKind.BLACK_HOLE, "killed after": FaultKind.TIMEOUT_AFTER}
IN_PROCESS = (*LASTING, *ONCE, "black hole", "stale describe")
FAULTS = (*IN_PROCESS, *KILLED)


@dataclass(slots=True)
class Matrix:
    """What became of each cell."""

    ends: dict[tuple[str, str], str] = field(default_factory=dict)

    def table(self) -> str:
        lines = [("step", *FAULTS), ("---",) * (len(FAULTS) + 1)]
        lines += [(name, *(self.ends.get((name, fault), "") for fault in FAULTS)) for name in STEPS]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def counts(self) -> str:
        held = sum(end.startswith("held") for end in self.ends.values())
        return f"{len(self.ends)} cells: {len(self.ends) - held} agreed, {held} held and then agreed"


@pytest.fixture(scope="module")
def matrix() -> Iterator[Matrix]:
    """Printed at the end, and written where EDGE_FAULTS says."""
    made = Matrix()
    yield made
    print(f"\n{made.table()}\n\n{made.counts()}")
    if os.environ.get("EDGE_FAULTS"):
        written(Path(os.environ["EDGE_FAULTS"]), made)


def written(path: Path, matrix: Matrix) -> None:
    path.write_text(replaced(path.read_text(), "matrix", f"{matrix.table()}\n\n{matrix.counts()}."))


class Plant(World):
    """The machine's world, whose stages are run by the real runner on the emulated AWS."""

    def __init__(self, site: Site, service: Service, tables: tuple[str, ...], eip: str) -> None:
        self.site, self.service, self.tables, self.eip = site, service, tables, eip
        self.pace = Pace()
        self.epoch_seen = 0
        self.at_verify: Any = lambda: None
        switches = build.switches(service, site.session, lambda _: (True, "it serves"))
        self.steps = switches.steps
        for step in self.steps:
            step.within_s = None  # the pace rules
        super().__init__(replace(POLICY, stages=build.stages(service), on_outage=OnOutage.HOLD))

    def _performed(self, effect: ev.Effect) -> ev.Event | None:
        if not isinstance(effect, ev.RunStage):
            return super()._performed(effect)
        if effect.stage is Stage.VERIFY:
            self.at_verify()
        clock = {"sleep": self.site.time.sleep, "now": self.site.time.now}
        runner = Runner(self.steps, self.site.session, self.site.journal, allowed, self.pace, **clock)
        ended = runner.run(effect.intent, effect.stage)
        self.check()
        return ended

    def check(self) -> None:
        """The invariants, by hands that the faults don't meet."""
        site, b = self.site, self.site.seeded.b.interface
        switch = self.service.switch
        assert not switch.secondary_ip or len(site.holders()) <= 1
        [(_, txt)] = [v for (_, kind), v in site.records().items() if kind == "TXT"] or [(0, ['"epoch=0'])]
        epoch = int(txt[0].split("=")[1].split()[0].strip('"'))
        assert epoch >= self.epoch_seen, "an older epoch was written over a newer one"
        self.epoch_seen = epoch
        turned = (switch.route_table and b in site.led(*self.tables)) or (
            switch.elastic_ip and site.bound(self.eip)[0] == b
        )
        assert not turned or self.fenced(), "moved before the fence"

    def fenced(self) -> bool:
        """By the outside's look: what is done in a guest, or with an address, the other invariants tell."""
        fence = self.service.fence
        if fence.quarantine:
            return self.site.groups("a") == set(fence.quarantine)
        return self.site.state("a") == "stopped"

    def agreed(self) -> bool:
        return self.state.phase is Phase.STEADY and self.state.owed is None

    def tries(self, *, until_held: bool) -> str | None:
        """Until it agrees, or holds; the hold's name."""
        for _ in range(TRIES):
            flight = self.state.flight
            if self.agreed():
                return None
            if until_held and flight and flight.waiting and flight.trouble:
                return self.state.reason.slug
            assert flight is not None
            self.passes(max(flight.retry_at - self.now, 0.0))
        raise AssertionError(f"stuck: {self.state.reason.sentence}")

    def ends(self) -> None:
        """Everything points to b, and an older agent can't change that."""
        site, b = self.site, self.site.seeded.b
        assert site.resolved() == [(0, b.address)]
        assert not self.service.switch.secondary_ip or site.holders() == [b.interface]
        assert not self.service.switch.route_table or site.led(*self.tables) == [b.interface] * len(self.tables)
        assert not self.service.switch.elastic_ip or site.bound(self.eip) == (b.interface, b.address)
        assert self.service.switch.secondary_ip or self.fenced()
        old = site.run(self.epoch_seen - 1, Stage.PUBLISH, "a")
        assert old.fault is Fault.CONFLICT
        assert site.resolved() == [(0, b.address)]


@dataclass(frozen=True, slots=True)
class Account:
    aws: Emulator
    session: Session
    hands: Hands
    line: Line
    over_line: Session


@pytest.fixture(scope="module")
def line(emulator: Emulator) -> Iterator[Line]:
    with Line(emulator.endpoint_url) as made:
        yield made


@pytest.fixture(scope="module")
def impatient(emulator: Emulator) -> Session:
    return signed_in(emulator, read_timeout_s=READ_S)


@pytest.fixture(scope="module")
def over_line(emulator: Emulator, line: Line) -> Session:
    return signed_in(emulator, connect_timeout_s=CONNECT_S, read_timeout_s=READ_S, url=line.url)


@pytest.fixture
def account(aws: Emulator, impatient: Session, hands: Hands, line: Line, over_line: Session) -> Iterator[Account]:
    yield Account(aws, impatient, hands, line, over_line)
    line.mend()


def planted(account: Account, way: Way, path: Path) -> Plant:
    """a is live at every side, at epoch 7; where nodes get isolated, b is, and has its groups in its tag."""
    site = furnish(account.aws, account.session, account.hands)
    site.publish(7, "a")
    tables, eip = site.tables(2), site.allocated()
    ways = {
        "secondary_ip": f'secondary_ip = {{address = "{MOVING}"}}',
        "route_table": f'route_table = {{destination = "{ROUTED}", tables = {list(tables)}, topology = "vpc_only"}}',
        "elastic_ip": f'elastic_ip = {{allocation_id = "{eip}", allow_public = true}}',
    }
    fence = f'kind = "{way.fence}"' + (f'\nquarantine = ["{isolated(site)}"]' if way is ROUTE else "")
    seeded = {"a": site.seeded.a, "b": site.seeded.b, "zone_id": site.seeded.zone_id}
    path.write_text(CONFIG.format(**seeded, way=ways[way.kind], fence=fence, guest=way.guest))
    if way is GUEST:
        real.documents(account.aws, *site.instances.values())
    plant = Plant(site, load(path).services[0], tables, eip)
    plant.started("a", 7)
    return plant


def isolated(site: Site) -> str:
    """The quarantine group, in which b is."""
    quarantine, b = site.group("q"), site.seeded.b.interface
    own = " ".join(site.groups("b"))
    site.hands.ec2.create_tags(Resources=[b], Tags=[{"Key": "edge-groups", "Value": own}])
    site.hands.ec2.modify_network_interface_attribute(NetworkInterfaceId=b, Groups=[quarantine])
    return quarantine


def strike(account: Account, plant: Plant, cut: Cut, fault: str) -> None:
    aws = account.aws
    if fault in LASTING:
        aws.fault(cut.api, LASTING[fault], **cut.when)
    elif fault in ONCE:
        aws.fault(cut.api, ONCE[fault], times=1, **cut.when)
    elif fault == "black hole":
        cut_at(account.line, plant, cut)
    elif cut.read.startswith("route53"):
        aws.lag(route53_s=HOUR_S)  # a list is current (AWS, *ListResourceRecordSets*): what lags is the change
    else:
        aws.fault(cut.read, "stale", times=2, skip=0 if cut.reads else 1, after=CHANGE if cut.reads else None)


def cut_at(line: Line, plant: Plant, cut: Cut) -> None:
    """Every packet to AWS and from there is lost, from the moment at which the step is about to call."""
    if cut.reads:
        plant.at_verify = line.cut
    begun: list[str] = []

    def at_line(step: str, state: str) -> None:
        begun.extend([step] if (step, state) == (cut.step, "begun") else [])
        if len(begun) == cut.begun:
            begun.append("and cut")
            line.cut()

    plant.site.journal.at_line = at_line


@pytest.mark.parametrize("fault", IN_PROCESS)
@pytest.mark.parametrize("name", STEPS)
def test_every_step_survives_every_fault(
    account: Account, matrix: Matrix, tmp_path: Path, name: str, fault: str
) -> None:
    aws, cut = account.aws, STEPS[name]
    if fault == "black hole":
        account = replace(account, session=account.over_line)
    plant = planted(account, cut.way, tmp_path / "edge.toml")
    if cut.api == CREATE_ROUTE:
        account.hands.ec2.delete_route(RouteTableId=plant.tables[0], DestinationCidrBlock=ROUTED)
    aws.forget_calls()
    before = len(plant.site.journal.lines)
    strike(account, plant, cut, fault)
    plant.pace = SHORT if fault in LASTING or fault == "black hole" else Pace()
    plant.says(ev.Promote("b", "kim", "test"))
    held = plant.tries(until_held=True)
    assert held is None or held in HOLDS
    assert account.line.broken.is_set() if fault == "black hole" else aws.calls(cut.api), "the fault met nobody"
    aws.clear_faults()
    aws.lag(route53_s=0)
    account.line.mend()
    plant.at_verify = lambda: None
    plant.site.journal.at_line = lambda *_: None
    plant.pace = Pace()
    assert plant.tries(until_held=False) is None
    plant.ends()
    assert len(plant.site.journal.lines) > before
    matrix.ends[name, fault] = f"held (`{held}`), agreed" if held else "agreed"


@pytest.mark.parametrize("fault", KILLED)
@pytest.mark.parametrize("name", STEPS)
def test_every_step_survives_kill_9(aws: Emulator, matrix: Matrix, tmp_path: Path, name: str, fault: str) -> None:
    """AWS holds the call, before its effect or after it; there the agent dies, and the next has the journal alone."""
    cut = STEPS[name]
    if cut.reads and fault == "killed after":
        pytest.skip("what only reads has no effect to die after")
    with ExitStack() as ends:
        plant = ends.enter_context(real.planted(tmp_path, aws))
        site = real.content(plant, cut.way.real(plant), read_timeout=HANG)
        first = site.kept("assignment")["epoch"]
        prepare(plant, cut)
        aws.fault(cut.api, KILLED[fault], **cut.when)
        site.crash("a")
        site.until("AWS holds the call", lambda: any(c.result == KILLED[fault].value for c in aws.calls(cut.api)))
        site.until("the epoch is committed", lambda: not cut.reads or site.kept("assignment")["epoch"] == first + 1)
        assert cut.reads or site.kept("intent")["steps"][cut.step]["state"] == "begun"
        site.kill()
        aws.clear_faults()
        site.configure(plant.switches)
        site.start()
        site.until("the agent is content with b", lambda: site.settled_on("b"))
        assert site.kept("assignment")["epoch"] == first + 1
        plant.agrees_on_b()
        assert_epochs_grow(aws)
    matrix.ends[name, fault] = "agreed"


def prepare(plant: real.Plant, cut: Cut) -> None:
    """What a switch to b finds where the step is needed."""
    ec2, b = plant.ec2(), plant.site.seeded.b.interface
    if cut.api == CREATE_ROUTE:
        ec2.delete_route(RouteTableId=plant.tables[0], DestinationCidrBlock=ROUTED)
    if cut.step == "rejoin":
        ec2.create_tags(Resources=[b], Tags=[{"Key": "edge-groups", "Value": " ".join(plant.groups("b"))}])
        ec2.modify_network_interface_attribute(NetworkInterfaceId=b, Groups=[plant.quarantine])
    plant.site.aws.forget_calls()


def assert_epochs_grow(aws: Emulator) -> None:
    """Of each epoch at most one batch took effect, and of none after a newer one."""
    took = [str(call.parameters) for call in aws.calls(CHANGE) if call.result in ("ok", "timeout_after")]
    epochs = [int(re.findall(rf"CREATE.*?_edge\.{NAME}.*?epoch=(\d+)", said)[-1]) for said in took]
    assert epochs == sorted(set(epochs))


# --- the matrix is of the code --------------------------------------------------------------------------------------


def steps_in_the_code(cls: type = contract.Step) -> set[type]:
    found = {each for each in cls.__subclasses__() if each.__module__.startswith("edge.")}
    return found.union(*map(steps_in_the_code, found))


def test_the_rows_are_the_steps_of_the_code(account: Account, tmp_path: Path) -> None:
    steps: list[contract.Step] = []
    for way in WAYS:
        account.aws.reset()
        steps += planted(account, way, tmp_path / "edge.toml").steps
    assert {cut.step for cut in STEPS.values()} == {step.name for step in steps}
    assert {type(step) for step in steps} == steps_in_the_code()


def test_the_table_in_the_docs_has_the_rows_and_columns_of_the_code() -> None:
    page = marked((Path(__file__).parents[2] / "docs" / "faults.md").read_text(), "matrix")
    lines = [line.strip()[1:-1] for line in page.splitlines() if "|" in line]
    head, _, *rows = [[word.strip() for word in line.split("|")] for line in lines]
    assert head == ["step", *FAULTS]
    assert [row[0] for row in rows] == list(STEPS)
    said = re.compile(rf"agreed|held \(`({'|'.join(HOLDS)})`\), agreed|")
    assert all(said.fullmatch(cell) for row in rows for cell in row[1:])
