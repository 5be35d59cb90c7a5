"""The lease: who may open epochs and act. Only the holder's own monotonic clock says for how long.

A single agent holds it for ever. With several, the holder counts from before it sent its renewal, so that it always
gives up before a challenger, who waits a whole duration from its own last sight of a new version, may take over.
"""

import math

from edge.failover.model import Lease, Reason


def sole(holder: str) -> Lease:
    """The lease of an agent that shares its store with nobody."""
    return Lease(held=True, until=math.inf, holder=holder)


def outlives(lease: Lease, now: float, needed_s: float) -> bool:
    """Whether the lease is ours for longer than the `needed_s` seconds that a call may take."""
    return lease.held and now < lease.until - needed_s


def veto(lease: Lease, now: float, needed_s: float) -> Reason | None:
    if not lease.held:
        return Reason("lease", f"the leader is {lease.holder}, not this agent")
    if not outlives(lease, now, needed_s):
        left_s = max(lease.until - now, 0.0)
        return Reason("lease", f"our lease ends in {left_s:.1f} s, and a call may take {needed_s:.1f} s")
    return None
