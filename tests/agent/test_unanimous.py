"""Real agents whose store is gone: what all of them agree on moves, and anything less does not."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.agent.eyes import Eyes
from tests.agent.pair import LEASE_S, leads
from tests.agent.site import ADDRESS, BOTH, NAME, Site
from tests.agent.test_agent import sample
from tests.cloud.emulator import Emulator
from tests.cloud.line import Line

UNFENCED = f"{BOTH}  required = false\n"
WITHOUT_STORE = 'on_store_loss = "unanimous"\nkey_file = "{home}/key"\n'
ASKED = """
[[peer]]
name = "{name}"
dns = "{dns[0]}:{dns[1]}"
http = "127.0.0.1:{http}"
"""


class Apart(Eyes):
    """Each agent has a line of its own to AWS, where the store is too."""

    def __init__(
        self,
        home: Path,
        aws: Emulator,
        agents: tuple[str, ...],
        witnesses: tuple[str, ...] = (),
        quorum: int | None = None,
    ) -> None:
        self.lines: dict[str, Line] = {}
        (home / "key").write_text("00112233445566778899aabbccddeeff")
        more = WITHOUT_STORE.replace("{home}", str(home))
        super().__init__(home, aws, agents, witnesses, quorum, switches=UNFENCED, more=more)
        self._ends = ExitStack()
        for name, site in self.sites.items():
            line = self.lines[name] = self._ends.enter_context(Line(aws.endpoint_url))
            site.aws_env = {**aws.env(), "AWS_ENDPOINT_URL": line.url}
            others = [(other, each) for other, each in self.sites.items() if other != name]
            peers = [ASKED.format(name=other, dns=each.dns, http=each.http_port) for other, each in others]
            site.file.write_text(site.file.read_text() + "".join(peers))

    def aws_is_gone(self, *but: str) -> None:
        for name, line in self.lines.items():
            if name not in but:
                line.cut()

    def aws_is_back(self, *names: str) -> None:
        for name in names or tuple(self.lines):
            self.lines[name].mend()

    def crash(self, node: str) -> None:
        for site in self.sites.values():
            site.crash(node)

    def answers(self) -> set[tuple[str, ...]]:
        return {site.answer() for site in self.sites.values()}

    def close(self) -> None:
        self._ends.close()
        super().close()


Make = Callable[..., Apart]


@pytest.fixture
def make(tmp_path: Path, cloud: Emulator) -> Iterator[Make]:
    made: list[Apart] = []

    def _make(*agents: str, **more: tuple[str, ...]) -> Apart:
        cloud.reset()
        made.append(Apart(tmp_path, cloud, agents, **more))
        made[0].start()
        return made[0]

    yield _make
    cloud.clear_faults()
    for each in made:
        for line in each.lines.values():
            line.mend()
        each.close()


def why(site: Site) -> str:
    return str(site.status().get("without_store"))


def log(site: Site) -> str:
    return (site.home / "edged.log").read_text()


def holds(eyes: Apart, *, why_not: str, at: str) -> None:
    """It says so, and says it still when all the others could long have moved."""
    eyes[at].until("it says why", lambda: why_not in why(eyes[at]))
    time.sleep(3.0)
    assert eyes.answers() <= {(ADDRESS["a"],), ("silence",)}
    assert why_not in why(eyes[at])


def test_all_of_them_agree_and_both_move_and_the_store_hears_of_it(make: Make) -> None:
    eyes = make("dc1", "dc2", witnesses=("vpc",))
    one = eyes["dc1"]
    eyes.aws_is_gone()
    eyes.crash("a")
    one.until("all moved", lambda: eyes.answers() == {(ADDRESS["b"],)})
    for site in eyes.sites.values():
        site.until("it shows", lambda site=site: site.status().get("round") == 1)
        assert site.answer("TXT", f"_edge.{NAME}") == ('"epoch=1 node=b round=1"',)
        assert (sample(site, "edge_epoch"), sample(site, "edge_round"), sample(site, "edge_store_up")) == (1, 1, 0)
    assert "b is live at epoch 1 round 1, which the store has not yet" in one.edgectl("status").stdout
    assert "dc1, dc2, vpc agree, and see neither store nor AWS: a is down" in log(one)
    assert one.in_vpc() == (ADDRESS["a"],)
    eyes["dc2"].kill()
    eyes["dc2"].start()
    eyes["dc2"].until("its disk has it", lambda: eyes["dc2"].status().get("round") == 1)
    eyes.aws_is_back()
    for site in eyes.sites.values():
        site.until(
            "the store has it", lambda site=site: (site.status().get("epoch"), site.answer()) == (2, (ADDRESS["b"],))
        )
        assert sample(site, "edge_round") == 0
    leader = next(site for name, site in eyes.sites.items() if name != "vpc" and leads(site))
    leader.until("AWS has it too", lambda: leader.settled_on("b") and leader.in_vpc() == (ADDRESS["b"],))
    leader.until("the history has both", lambda: {"unanimous", "committed"} <= kinds(leader))
    told = leader.edgectl("history").stdout
    assert "b is live at epoch 2: all agents agreed on it while the store was out of reach, at epoch 1 round 1" in told
    assert one.holders() == {"b"}


def kinds(site: Site) -> set[str]:
    return {line["kind"] for line in json.loads(site.edgectl("--json", "history").stdout)["lines"]}


def test_anybody_who_does_not_agree_keeps_all_where_they_are(make: Make) -> None:
    """One still reaches AWS; then one sees the node serve; then one is dead. When it is back, nothing is left."""
    eyes = make("dc1", "dc2", witnesses=("vpc",))
    one = eyes["dc1"]
    one.until("it leads", lambda: leads(one))
    eyes.aws_is_gone("vpc")
    eyes.crash("a")
    holds(eyes, why_not="vpc would not move it: the store answered", at="dc1")
    eyes["dc2"].serve("a")
    eyes["dc2"].until("it is back for dc2", lambda: why(eyes["dc2"]).endswith("a is not seen to fail"))
    eyes.lines["vpc"].cut()
    holds(eyes, why_not="dc2 would not move it: a is not seen to fail", at="dc1")
    eyes["vpc"].kill()
    eyes["dc2"].crash("a")
    holds(eyes, why_not="it does not hear vpc", at="dc1")
    eyes["vpc"].start()
    one.until("all moved", lambda: eyes.answers() == {(ADDRESS["b"],)})


def test_an_agent_with_another_key_is_told_of_before_it_is_needed_and_nothing_moves(
    tmp_path: Path, cloud: Emulator
) -> None:
    cloud.reset()
    eyes = Apart(tmp_path, cloud, ("dc1", "dc2"))
    one, two = eyes["dc1"], eyes["dc2"]
    try:
        (tmp_path / "other").write_text("ff" * 16)
        two.file.write_text(two.file.read_text().replace(f"{tmp_path}/key", f"{tmp_path}/other"))
        eyes.start()
        checked = one.edgectl("check").stdout
        assert "unanimous dc2" in checked
        assert "it is not signed with our key (vantage.key_file)" in checked
        eyes.aws_is_gone()
        eyes.crash("a")
        holds(eyes, why_not="it does not hear dc2 (it is not signed with our key (vantage.key_file))", at="dc1")
    finally:
        eyes.close()


def test_an_operators_hold_stands_without_the_store_too(make: Make) -> None:
    eyes = make("dc1", "dc2")
    eyes["dc1"].until("it leads", lambda: leads(eyes["dc1"]))
    assert eyes["dc1"].edgectl("hold", "--reason", "router work").returncode == 0
    eyes["dc2"].until("both know", lambda: "router work" in eyes["dc2"].edgectl("why").stdout)
    eyes.aws_is_gone()
    eyes.crash("a")
    holds(eyes, why_not="automatic switches held", at="dc1")


def test_only_the_store_is_gone_and_nobody_moves(make: Make) -> None:
    eyes = make("dc1", "dc2")
    eyes["dc1"].aws.fault("dynamodb:*", "black_hole")
    eyes.crash("a")
    holds(eyes, why_not="would not move it: AWS answered", at="dc1")


def test_the_store_is_back_before_they_agree_and_the_leader_switches_as_ever(make: Make) -> None:
    eyes = make("dc1", "dc2")
    eyes.aws_is_gone()
    time.sleep(LEASE_S / 2)
    eyes.crash("a")
    eyes.aws_is_back()
    one = eyes["dc1"]
    one.until("b is committed", lambda: (one.status().get("epoch"), one.answer()) == (2, (ADDRESS["b"],)))
    assert "unanimous" not in kinds(one)
