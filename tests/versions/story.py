"""Two agents are upgraded one after the other, and back, while everything happens that may happen meanwhile."""

import signal
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

from tests.agent.site import ADDRESS, PRESENT, Program, Site, workers
from tests.cloud.emulator import Emulator
from tests.dns.steady import Steady
from tests.dns.test_server import A_QUERY, asking, lives
from tests.versions.beside import Beside

OTHER = {"a": "b", "b": "a"}
QUESTIONS = (("status",), ("--json", "status"), ("why",), ("views",), ("history",), ("check",), ("version",))
EACH_PER_S = 1000


class Story:
    """Begins with two agents of the older version, of which `one` leads."""

    def __init__(self, home: Path, aws: Emulator, older: Program) -> None:
        self.both = Beside(home, aws, {"one": older, "two": older}, older)
        self.aws, self.older = aws, older
        self._began = monotonic()

    def tell(self, what: str) -> None:
        runs = {name: "older" if site.program is self.older else "newer" for name, site in self.both.sites.items()}
        print(f"{monotonic() - self._began:6.1f} s  one is {runs['one']}, two is {runs['two']}: {what}", flush=True)

    def run(self) -> None:
        self.both.begin()
        self.both.settled("a")
        self.tell("both serve a")
        for name, program in (("two", PRESENT), ("one", PRESENT), ("two", self.older), ("one", self.older)):
            self.replaced(name, program)
            if len({site.program for site in self.both.sites.values()}) == 2:
                self.side_by_side()
                self.side_by_side()

    def replaced(self, name: str, program: Program) -> None:
        """As `systemctl restart` after an installation, while each agent is asked without pause."""
        with ExitStack() as asked:
            sites = self.both.sites.values()
            steady = [asked.enter_context(Steady(site.dns[1], _told(site), per_s=EACH_PER_S)) for site in sites]
            site = self.both[name]
            old = workers(site.agent)
            site.program = program
            assert site.agent is not None
            site.agent.send_signal(signal.SIGUSR1)
            assert site.agent.wait(60.0) == 0
            site.start()
            live = self.live
            site.until("the successor answers alone", lambda: site.ready_on(live) and not any(map(lives, old)))
        self.both.settled(live)
        lost = [each.verdict() for each in steady]
        assert lost == [(0, 0, 0)] * 2, lost
        self.tell(f"{name} was replaced; {sum(each.asked for each in steady)} asked, none lost, refused or wrong")

    @property
    def live(self) -> str:
        return str(self.both.leader.status()["live_node"])

    def side_by_side(self) -> None:
        """Ends with the other agent as the leader."""
        self.asked()
        self.node_dies()
        self.words()
        self.killed_within_a_switch()
        if self.both.alone:
            self.without_the_store()

    def asked(self) -> None:
        """Every question of either version's edgectl to either agent."""
        for site in self.both.sites.values():
            for program in (self.older, PRESENT):
                for words in QUESTIONS:
                    said = site.edgectl(*words, of=program)
                    assert said.returncode == 0, (words, said.stdout, said.stderr)
        self.tell("either edgectl asked either agent")

    def node_dies(self) -> None:
        leader, live = self.both.leader, self.live
        self.both.crash(live)
        for site in self.both.sites.values():
            site.until("both moved", lambda site=site: site.answer() == (ADDRESS[OTHER[live]],))
        leader.until("it is settled", lambda: leader.settled_on(OTHER[live]))
        self._revived(live)
        self.both.settled(OTHER[live])
        self.tell(f"{live} died, both tell {OTHER[live]}")

    def words(self) -> None:
        """By the other version's edgectl."""
        leader, follower, live = self.both.leader, self.both.follower, self.live
        by = follower.program
        assert "the leader is" in follower.edgectl("release", of=leader.program).stderr
        assert leader.edgectl("hold", "--reason", "router work", "--for", "1h", of=by).returncode == 0
        follower.until("it holds too", lambda: "router work" in follower.edgectl("why").stdout)
        assert leader.edgectl("release", of=by).returncode == 0
        follower.until("it holds no more", lambda: "router work" not in follower.edgectl("why").stdout)
        assert leader.edgectl("promote", OTHER[live], "--dry-run", of=by).returncode == 0
        said = leader.edgectl("promote", OTHER[live], "--reason", "a test", "--yes", of=by)
        assert said.returncode == 0, said
        self.both.settled(OTHER[live])
        self.tell("the leader took a hold, a release and a promotion")

    def killed_within_a_switch(self) -> None:
        leader, follower, target = self.both.leader, self.both.follower, OTHER[self.live]
        self.aws.forget_calls()
        self.aws.fault("ec2:AssignPrivateIpAddresses", "black_hole")
        leader.edgectl("promote", target, "--reason", "a test", "--yes", "--no-wait")
        leader.until("it waits for AWS", lambda: bool(self.aws.calls("ec2:AssignPrivateIpAddresses")))
        leader.kill()
        self.aws.clear_faults()
        follower.until("it has finished it", lambda: follower.settled_on(target))
        leader.start()
        self.both.settled(target)
        assert self.both.leader is follower
        self.tell("the leader was killed within a switch, and the other one finished it")

    def without_the_store(self) -> None:
        live = self.live
        self.both.aws_is_gone()
        self.both.crash(live)
        for site in self.both.sites.values():
            site.until("both moved", lambda site=site: site.answer() == (ADDRESS[OTHER[live]],))
        leads = self.both.sites["one"]
        self.both.aws_is_back()
        leads.until("the store has it", lambda: leads.status().get("round") == 0 and leads.settled_on(OTHER[live]))
        self._revived(live)
        self.both.settled(OTHER[live])
        self.tell(f"without the store both agreed on {OTHER[live]}, and the store has it")

    def _revived(self, node: str) -> None:
        for site in self.both.sites.values():
            site.serve(node)

    def close(self) -> None:
        self.aws.clear_faults()
        self.both.close()


def _told(site: Site) -> bytes:
    with asking(site.dns[1], A_QUERY) as asker:
        return asker.recv(4096)[2:]
