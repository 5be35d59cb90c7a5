"""The leader ends at the moment in which the live node's smbd is killed: when is each agent's answer right?"""

import re
import time
from dataclasses import dataclass
from enum import Enum

from tests.lab.netns import ROOT
from tests.lab.shared import ADDRESS_OF, DETECTION_S, LEASE_S, NAME, NODE_OF, Member, Shared

OLD, NEW = "a", "b"
_UNIT = (ROOT / "deploy" / "edge.service").read_text()
RESTART_S = float(re.findall(r"^RestartSec=(\d+)s$", _UNIT, re.MULTILINE)[0])
SLACK_S = 0.5  # for all that is not waiting


class Ending(Enum):
    """KILLED: kill -9 of the agent, which is started again as deploy/edge.service has it; its DNS workers answer all
    the time. LOST: its machine, and it comes back when the other one has moved. STOPPED: as `systemctl stop` does it.
    """

    KILLED = "killed"
    LOST = "lost"
    STOPPED = "stopped"

    @property
    def limit_s(self) -> float:
        """For both agents' right answers, or the one's that is left."""
        return DETECTION_S + SLACK_S + (0.0 if self is Ending.STOPPED else LEASE_S)


@dataclass(frozen=True, slots=True)
class Round:
    """Seconds from the node's death to the right answer: of the agent that followed, and of the one that led; where
    that one was gone, from its start. `stale_s`: how long it then told the dead node, from its disk, before it had
    read the store. `given_back`: the lease was free, or taken already, when the leader had ended.
    """

    other_s: float
    leader_s: float
    stale_s: float
    given_back: bool
    epochs: int
    told: tuple[list[str], list[str]]

    def both_s(self, ending: Ending) -> float:
        return max(self.other_s, self.leader_s) if ending is Ending.KILLED else self.other_s


def run(shared: Shared, ending: Ending, rest_s: float = 0.0) -> Round:
    leader, follower = shared.begin(rest_s)
    before = shared.epoch()
    since_s = shared.lab.samba[NODE_OF[OLD]].kill()
    given_back = _end(shared, ending, leader)
    if ending is Ending.KILLED:
        time.sleep(max(since_s + RESTART_S - time.monotonic(), 0.0))
        leader.start()
    other_s = _right(shared, follower, since_s)
    back_s = since_s
    if ending is not Ending.KILLED:
        back_s = time.monotonic()
        leader.start()
    leader_s = _right(shared, leader, back_s)
    shared.until("they agree", lambda: shared.agreed_on(NEW))
    told = (leader.told(since_s), follower.told(since_s))
    stale_s = leader_s - (leader.changed_s(ADDRESS_OF[OLD], back_s) or leader_s)
    return Round(other_s, leader_s, stale_s, given_back, shared.epoch() - before, told)


def _end(shared: Shared, ending: Ending, leader: Member) -> bool:
    {Ending.KILLED: leader.kill, Ending.LOST: leader.lose, Ending.STOPPED: leader.stop}[ending]()
    lease = shared.kept("lease/leader")
    return bool(lease["released"]) or lease["holder"] != leader.name


def _right(shared: Shared, member: Member, since_s: float) -> float:
    answer = ADDRESS_OF[NEW]
    shared.until(f"{member.name} tells {NAME} at {answer}", lambda: member.changed_s(answer, since_s) is not None)
    took_s = member.changed_s(answer, since_s)
    assert took_s is not None
    return took_s
