"""What AWS may do to each step of each way and fence: the real machine, the real runner, the emulated AWS.

The invariants, in every cell and after every stage: the address is on one interface at most; nothing leads to the
target before the old node is fenced; the epoch in Route 53 only grows, and an agent of an older one can't write over
it. And a cell ends in agreement, or, while the fault lasts, in a hold that has a name; in agreement once it is over.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from edge.agent import build
from edge.config import Service, load
from edge.errors import Fault
from edge.failover import events as ev
from edge.failover.model import OnOutage, Phase, Stage
from edge.failover.vetoes import HOLDS
from edge.switches.runner import Pace, Runner
from edge.switches.session import Session
from tests.cloud.emulator import Emulator
from tests.failover.world import POLICY, World
from tests.switches.site import (
    ASSIGN,
    ASSOCIATE,
    CHANGE,
    CREATE_ROUTE,
    HOUR_S,
    MOVING,
    REPLACE_ROUTE,
    ROUTED,
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
[service.fence]
{fence}
"""


@dataclass(frozen=True, slots=True)
class Step:
    """`way` and `fence` as configured; `api`: what the step calls, after `skip` that are not its own; `read`: what it
    reads.
    """

    way: str
    fence: str
    api: str
    read: str
    skip: int = 0


ADDRESS, ROUTE, PUBLIC = "secondary_ip", "route_table", "elastic_ip"
ENI, RTB, EIP, EC2 = (
    f"ec2:Describe{what}" for what in ("NetworkInterfaces", "RouteTables", "Addresses", "Instances")
)  # fmt: skip
# Of two calls that follow each other, each is tried dry first.
STEPS = {
    "unassign": Step(ADDRESS, "unassign", UNASSIGN, ENI),
    "assign": Step(ADDRESS, "unassign", ASSIGN, ENI),
    "publish": Step(ADDRESS, "unassign", CHANGE, "route53:ListResourceRecordSets"),
    "verify": Step(ADDRESS, "unassign", "route53:GetChange", "route53:GetChange"),
    "isolate-tag": Step(ROUTE, "isolate", TAG, ENI, skip=1),
    "isolate": Step(ROUTE, "isolate", SET_GROUPS, ENI, skip=1),
    "rejoin": Step(ROUTE, "isolate", SET_GROUPS, ENI, skip=2),
    "create-route": Step(ROUTE, "isolate", CREATE_ROUTE, RTB, skip=1),
    "replace-route": Step(ROUTE, "isolate", REPLACE_ROUTE, RTB, skip=1),
    "stop": Step(PUBLIC, "stop", STOP, EC2),
    "associate": Step(PUBLIC, "stop", ASSOCIATE, EIP),
}
FAULTS = ("denied", "throttled", "timed out before", "timed out after", "black hole", "stale describe")
COUNTS: Counter[tuple[str, str, str]] = Counter()


@pytest.fixture(scope="module", autouse=True)
def matrix() -> Iterator[None]:
    """Prints what became of the cells."""
    yield
    for name in STEPS:
        row = {fault: [end for each, at, end in COUNTS if (each, at) == (name, fault)] for fault in FAULTS}
        print(f"\n{name:14}" + " | ".join(f"{fault}: {', '.join(ends) or '-'}" for fault, ends in row.items()), end="")
    print(f"\n{sum(COUNTS.values())} cells: {dict(Counter(end for _, _, end in COUNTS.elements()))}")


class Plant(World):
    """The machine's world, whose stages are run by the real runner on the emulated AWS."""

    def __init__(self, site: Site, service: Service, tables: tuple[str, ...], eip: str) -> None:
        self.site, self.service, self.tables, self.eip = site, service, tables, eip
        self.pace = Pace()
        self.epoch_seen = 0
        switches = build.switches(service, site.session, lambda _: (True, "it serves"))
        self.steps = switches.steps
        for step in self.steps:
            step.within_s = None  # the pace rules
        super().__init__(replace(POLICY, stages=build.stages(service), on_outage=OnOutage.HOLD))

    def _performed(self, effect: ev.Effect) -> ev.Event | None:
        if not isinstance(effect, ev.RunStage):
            return super()._performed(effect)
        clock = {"sleep": self.site.time.sleep, "now": self.site.time.now}
        runner = Runner(self.steps, self.site.session, self.site.journal, allowed, self.pace, **clock)
        ended = runner.run(effect.intent, effect.stage)
        self.check()
        return ended

    def check(self) -> None:
        """The invariants, by hands that the faults don't meet."""
        site, b = self.site, self.site.seeded.b.interface
        assert len(site.holders()) <= 1
        [(_, txt)] = [v for (_, kind), v in site.records().items() if kind == "TXT"] or [(0, ['"epoch=0'])]
        epoch = int(txt[0].split("=")[1].split()[0].strip('"'))
        assert epoch >= self.epoch_seen, "an older epoch was written over a newer one"
        self.epoch_seen = epoch
        turned = b in (*site.led(*self.tables), site.bound(self.eip)[0])
        assert not turned or self.fenced() or self.service.switch.secondary_ip, "moved before the fence"

    def fenced(self) -> bool:
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
        assert self.service.fence.kind.value == "unassign" or self.fenced()
        old = site.run(self.epoch_seen - 1, Stage.PUBLISH, "a")
        assert old.fault is Fault.CONFLICT
        assert site.resolved() == [(0, b.address)]


Account = tuple[Emulator, Session, Hands]


@pytest.fixture(scope="module")
def impatient(emulator: Emulator) -> Session:
    return signed_in(emulator, read_timeout_s=0.5)


@pytest.fixture
def account(aws: Emulator, impatient: Session, hands: Hands) -> Account:
    return aws, impatient, hands


def planted(aws: Emulator, session: Session, hands: Hands, step: Step, path: Path) -> Plant:
    """a is live at every side; where nodes get isolated, b was once and has its groups in its tag."""
    site = furnish(aws, session, hands)
    tables, eip = site.tables(2, lead=None), site.allocated()
    ways = {
        ADDRESS: f'secondary_ip = {{address = "{MOVING}"}}',
        ROUTE: f'route_table = {{destination = "{ROUTED}", tables = {list(tables)}, topology = "vpc_only"}}',
        PUBLIC: f'elastic_ip = {{allocation_id = "{eip}", allow_public = true}}',
    }
    fence = f'kind = "{step.fence}"' + (f'\nquarantine = ["{site.group("q")}"]' if step.fence == "isolate" else "")
    seeded = {"a": site.seeded.a, "b": site.seeded.b, "zone_id": site.seeded.zone_id}
    path.write_text(CONFIG.format(**seeded, way=ways[step.way], fence=fence))
    plant = Plant(site, load(path).services[0], tables, eip)
    plant.started("a", 7)
    for node in "aba" if step.fence == "isolate" else "a":
        plant.says(ev.Promote(node, "kim", "to begin with", force=True))
        assert plant.tries(until_held=False) is None
    if step.api == CREATE_ROUTE:
        hands.ec2.delete_route(RouteTableId=tables[0], DestinationCidrBlock=ROUTED)
    aws.forget_calls()
    return plant


def strike(aws: Emulator, step: Step, fault: str) -> None:
    match fault:
        case "denied":
            aws.fault(step.api, "deny", skip=step.skip)
        case "throttled":
            aws.fault(step.api, "throttle", skip=step.skip)
        case "timed out before":
            aws.fault(step.api, "black_hole", times=1, skip=step.skip)
        case "timed out after":
            aws.fault(step.api, "timeout_after", times=1, skip=step.skip)
        case "black hole":
            aws.fault(step.api, "black_hole", skip=step.skip)
            aws.fault(step.read, "black_hole", skip=3)  # once the step itself has met it
        case "stale describe" if step.read.startswith("route53"):
            aws.lag(route53_s=HOUR_S)  # a list is current (AWS, *ListResourceRecordSets*): what lags is the change
        case "stale describe":
            aws.fault(step.read, "stale", times=2, skip=1)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", STEPS)
def test_every_step_survives_every_fault(account: Account, tmp_path: Path, name: str, fault: str) -> None:
    aws, step = account[0], STEPS[name]
    plant = planted(*account, step, tmp_path / "edge.toml")
    before = len(plant.site.journal.lines)
    strike(aws, step, fault)
    plant.pace = SHORT if fault in ("denied", "throttled", "black hole") else Pace()
    plant.says(ev.Promote("b", "kim", "test"))
    held = plant.tries(until_held=True)
    assert held is None or held in HOLDS
    assert aws.calls(step.api), "the fault met nobody"
    aws.clear_faults()
    aws.lag(route53_s=0)
    plant.pace = Pace()
    assert plant.tries(until_held=False) is None
    plant.ends()
    assert len(plant.site.journal.lines) > before
    COUNTS[name, fault, f"held ({held}), then agreed" if held else "agreed"] += 1
