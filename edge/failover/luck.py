"""Luck: how well random loss on the path explains that a node which lives looks dead.

Four ways to be deceived, and the bound on each:

- `steady`: loss goes on as the others saw it in their whole window. The run comes by chance once in a million.
- `sudden`: loss began at some moment of the window, at whatever rate, and strikes everybody. Held against "the node is
  dead, and each of the others loses as it did before", it has to explain what was seen fifty times worse. Where the
  others lost nothing, only the length of the run can tell, and `fall` probes have to do: 1 in 64 at worst for three.
- `alike`: that which `sudden` can't see, as the few scheduled probes of the others happen to be answered. While the
  node fails, all endpoints are probed beside their schedule, the node too (a closer look). The same two are held
  against each other by what these probes show: a dead node answers none, one behind a path that loses answers some.
- `shared`: for failures here and there. Loss that strikes everybody alike draws the lost probes by lot; that so many of
  them are the node's comes by chance once in a million, whatever the rate.
"""

import math
from collections.abc import Collection

from edge.failover import health
from edge.failover.model import Glimpses, Track

RARE = 1e-6  # at a probe a second, once in 11 days of steady loss
WORSE = 1 / 50  # for a likelihood; three losses beside three answers have 1 in 64


def explains(node: Track, vouching: Collection[Track], heard: Collection[Track]) -> bool:
    """Whether loss explains the node's run. `vouching`: who answers again; `heard`: who is not wholly silent."""
    return steady(vouching) ** node.run > RARE or sudden(node.run, heard) > WORSE


def steady(others: Collection[Track]) -> float:
    """That a probe is lost, as these endpoints saw it: half a loss more than was seen, as few probes prove little."""
    asked = sum(other.samples for other in others)
    lost = sum(health.lost(other) for other in others)
    return (lost + 0.5) / (asked + 1)


def sudden(run: int, others: Collection[Track]) -> float:
    """How much better than the node's death loss that began within the window explains what was seen, at its best."""
    if not any(map(health.lost, others)):
        return 0.0
    counts = (run << doubling for doubling in range(health.WINDOW.bit_length()))
    return max(_begun(run, others, count) for count in counts if count < health.WINDOW or count == run)


def _begun(run: int, others: Collection[Track], count: int) -> float:
    """Loss that began `count` probes ago, at the rate that fits best, against what each endpoint lost before."""
    newer = [(health.lost(other, count), min(count, other.samples)) for other in others]
    lost, asked = map(sum, zip(*newer, strict=True))
    if lost == 0:
        return 0.0
    before = [_likelihood(*ours, _rate(other, *ours)) for other, ours in zip(others, newer, strict=True)]
    return _times(_at_best(run + lost, run + asked), sum(before))


def alike(node: Glimpses, others: Collection[tuple[Track, Glimpses]]) -> float:
    """How much better loss that is everybody's explains a closer look than a node that is worse than the others."""
    asked = node.samples + sum(glimpses.samples for _, glimpses in others)
    lost = health.lost(node) + sum(health.lost(glimpses) for _, glimpses in others)
    before = [_likelihood(health.lost(seen), seen.samples, _rate(other)) for other, seen in others]
    return _times(_at_best(lost, asked), _at_best(health.lost(node), node.samples) + sum(before))


def _times(one: float, other: float) -> float:
    """How much likelier, by the logarithms; no more than 1, which says enough and never overflows."""
    return math.exp(min(one - other, 0.0))


def _rate(other: Track, lost: int = 0, asked: int = 0) -> float:
    """At which it lost before its last `asked` probes of those in the window, of which it lost so many."""
    return (health.lost(other) - lost + 0.5) / (other.samples - asked + 1)


def _at_best(lost: int, asked: int) -> float:
    return _likelihood(lost, asked, lost / asked) if 0 < lost < asked else 0.0


def _likelihood(lost: int, asked: int, rate: float) -> float:
    """Its logarithm."""
    return lost * math.log(rate) + (asked - lost) * math.log1p(-rate)


def shared(node: Track, others: Collection[Track]) -> float:
    """The chance that a lot gives the node so many of all the losses since the oldest that its window has."""
    since = health.oldest_loss(node)
    ours, theirs = health.lost(node, since), sum(health.lost(other, since) for other in others)
    asked = sum(min(since, other.samples) for other in others)
    drawn = math.comb(since, ours) * math.comb(asked, theirs)
    return drawn / math.comb(since + asked, ours + theirs)
