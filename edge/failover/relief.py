"""When a leader hands the lease on to an agent that can do what it can't, though its own path is up.

Who leads decides by its own eyes too: it moves nothing to a node that it does not see, nor over a path that loses too
much. Another agent may see better. So each says for which services it would switch, if it only had the lease
(`could`), by all that it knows: verdict, an operator's words, hold-down and budget.

- A leader is `hindered` where its own view is all that stands against a switch, or keeps it from knowing of one.
- It hands the lease on when it was hindered for a whole duration of the lease, all of it while it led, and a candidate
  said after that, and not long ago, that it could. A leader that is dead is waited for as long.
- What is handed on is used: who could, switches. Then hold-down and budget damp both alike, and the next leader waits
  a duration before it hands it back, so two that each see half hand it on as often as they may switch.
- It claims nothing while the other one could: else it would take back what it has just given.
"""

from collections.abc import Iterable, Mapping

from edge.failover import vetoes
from edge.failover.lease import Peer
from edge.failover.model import State

OWN_VIEW = frozenset({"path_down", "path_lossy", "unknown", "no_target"})
"""The holds that another agent's eyes may not have."""

Since = Mapping[str, float]
"""Since when, by service."""


def hindered(states: Iterable[State], before: Since, now: float) -> Since:
    slow = [state.policy.service for state in states if state.reason.slug in OWN_VIEW]
    return {service: before.get(service, now) for service in slow}


def could(state: State, now: float) -> bool:
    """Whether only the lease, which another agent may hold, stands between this one and a switch."""
    veto = vetoes.first(state, now) if state.need and not state.lease.held else None
    return veto is not None and veto.slug == "lease"


def relieved(peers: Mapping[str, Peer], hindered_since: Since, now: float, duration_s: float) -> bool:
    """Whether a candidate could do what this agent is kept from."""
    return any(
        peer.word.candidate and service in peer.word.could and since + duration_s < peer.moved_at > now - duration_s
        for service, since in hindered_since.items()
        for peer in peers.values()
    )
