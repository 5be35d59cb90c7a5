"""How well loss explains a node that looks dead: the bounds at their edges, and what moves them."""

from edge.failover import health, luck
from edge.failover.model import Track

CLEAN = Track(history=(1 << health.WINDOW) - 1, samples=health.WINDOW)


def lost(*ago: int, samples: int = health.WINDOW) -> Track:
    """A track that lost the probes of so many probes ago, 1 the last."""
    return Track(history=((1 << samples) - 1) ^ sum(1 << each - 1 for each in ago), samples=samples)


def dead(run: int) -> Track:
    return Track(history=CLEAN.history << run & CLEAN.history, samples=health.WINDOW, run=run)


def test_three_losses_beside_a_clean_endpoint_are_no_luck() -> None:
    assert luck.steady([CLEAN]) ** 3 < luck.RARE
    assert not luck.explains(dead(3), [CLEAN], [CLEAN])


def test_a_loss_during_the_run_makes_it_doubtful_whoever_had_it() -> None:
    """The witness that lost one no longer vouches, and is heard all the same."""
    unlucky = lost(2)
    assert luck.explains(dead(4), [CLEAN], [CLEAN, unlucky])
    assert not luck.explains(dead(8), [CLEAN], [CLEAN, unlucky])


def test_a_loss_long_ago_makes_a_run_no_luck() -> None:
    assert luck.sudden(4, [lost(60)]) < 1e-3


def test_who_always_lost_much_says_nothing_new() -> None:
    """A witness that answers every other probe: less is needed than beside one that has just begun to lose."""
    lossy, begins = lost(*range(2, 65, 2)), lost(2, 4)
    assert luck.sudden(4, [CLEAN, lossy]) < 1 / 50 < luck.sudden(4, [CLEAN, begins])


def test_loss_that_began_lately_is_not_hidden_by_what_was_before() -> None:
    """Four of the last twelve: over the whole window one in fourteen, and the run would do."""
    begins = lost(5, 7, 9, 12)
    assert luck.steady([begins]) ** 6 < luck.RARE
    assert luck.explains(dead(6), [begins], [begins])


def test_losses_here_and_there_are_shared_by_lot() -> None:
    """Three of the last six, and none of the other's six: 20 of 220 ways."""
    assert luck.shared(lost(1, 3, 6), [CLEAN]) == 20 / 220
    assert luck.shared(lost(*range(1, 40, 2)), [CLEAN, CLEAN]) < luck.RARE


def test_an_agent_that_has_just_started_knows_little() -> None:
    few = lost(2, samples=5)
    assert luck.explains(dead(3), [few], [few])
    assert health.lost(few, health.WINDOW) == 1
    assert (health.oldest_loss(few), health.oldest_loss(CLEAN)) == (2, 0)
