"""Two agents on one store, each of a version of its own."""

import re
import subprocess
import time
from pathlib import Path

from tests.agent.eyes import heard
from tests.agent.pair import leads
from tests.agent.site import ADDRESS, Program, Site
from tests.agent.test_unanimous import Apart
from tests.cloud.emulator import Emulator

# What an older version's file can't say, from the newest on. Features come with new keys, and those are for when all
# agents are of the new version.
NEWER = (
    "$^",
    r"(?m)^(on_store_loss|key_file) = .*\n|^http = .*\n",
    r"(?m)^\[vantage\]\n(.+\n)*",
)


class Beside(Apart):
    """`programs`: of each agent, by name; the first one leads. Their files are alike, and of the oldest."""

    def __init__(self, home: Path, aws: Emulator, programs: dict[str, Program], oldest: Program) -> None:
        super().__init__(home, aws, tuple(programs), quorum=1)
        for name, program in programs.items():
            self[name].program = program
        self.lacks = next(lacks for lacks in range(len(NEWER)) if self._suits(oldest, NEWER[lacks]))

    def _suits(self, oldest: Program, newer: str) -> bool:
        for site in self.sites.values():
            site.file.write_text(re.sub(newer, "", site.file.read_text()))
        check = [oldest.python, "-m", "edge.agent.daemon", "--check", "--config"]
        files = [str(site.file) for site in self.sites.values()]
        return not any(
            subprocess.run([*check, file], check=False, cwd=oldest.root, capture_output=True).returncode
            for file in files
        )

    @property
    def alone(self) -> bool:
        """Whether they may move without the store."""
        return self.lacks == 0

    def begin(self) -> None:
        for site in self.sites.values():
            site.start()
            site.until("it serves a", lambda site=site: site.settled_on("a"))
        if self.lacks < 2:
            for site in self.sites.values():
                site.until("it hears all", lambda site=site: heard(site) == set(self.sites))

    @property
    def leader(self) -> Site:
        while not (leading := [site for site in self.sites.values() if leads(site)]):
            time.sleep(0.05)
        return leading[0]

    @property
    def follower(self) -> Site:
        leader = self.leader
        return next(site for site in self.sites.values() if site is not leader)

    def settled(self, node: str) -> None:
        for site in self.sites.values():
            site.until(f"{node} is served", lambda site=site: site.answer() == (ADDRESS[node],))
            site.until(f"{node} is settled", lambda site=site: site.ready_on(node))

    def close(self) -> None:
        for line in self.lines.values():
            line.mend()
        super().close()
