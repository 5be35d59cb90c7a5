"""The times by which a story's agents live: those of the files that are shipped, and of leases shorter and longer."""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from edge.agent import build
from edge.config import load
from edge.failover.lease import Timing
from edge.failover.model import Policy

TIMING = Timing(15.0, 3.0)
CONFIG = Path(__file__).parents[2] / "config"


@dataclass(frozen=True, slots=True)
class Profile:
    """`interval_s` and `timeout_s` of a probe, `call_s` of a call to AWS and to the store; `file`: what else the policy
    is to have of a shipped one.
    """

    interval_s: float = 1.0
    timeout_s: float = 0.5
    timing: Timing = TIMING
    call_s: float = 4.0
    file: Policy | None = None

    @property
    def over_s(self) -> float:
        """After so long a lease that nobody renews has ended, and so has what was begun under it."""
        return self.timing.duration_s + self.call_s

    def of(self, policy: Policy) -> Policy:
        policy = replace(policy, lease_margin_s=self.call_s, report_s=self.timing.duration_s)
        if self.file is None:
            return policy
        names = ("thresholds", "stale_s", "hold_down_s", "switches_per_hour", "loss_limit")
        return replace(policy, **{name: getattr(self.file, name) for name in names})


USUAL = Profile()
LEASES = ((TIMING, 5.0), (Timing(8.0, 1.5), 2.0), (Timing(30.0, 5.0), 5.0))
"""And the longest call beside each: what `edged --check` takes."""


@cache
def shipped() -> tuple[Profile, ...]:
    """Each with each lease."""
    return tuple(_of(path, timing, call_s) for path in sorted(CONFIG.glob("*.toml")) for timing, call_s in LEASES)


def _of(path: Path, timing: Timing, call_s: float) -> Profile:
    assert timing.left_s(call_s) > call_s
    config = load(path)
    service = config.services[0]
    return Profile(service.probe.interval_s, service.probe.timeout_s, timing, call_s, build.policy(config, service))
