"""How well loss explains a node that looks dead: the bounds at their edges, and what moves them."""

from edge.failover import health, luck
from edge.failover.model import Glimpses, Track

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


def looked(answered: int, lost: int) -> Glimpses:
    return Glimpses(((1 << answered) - 1) << lost, answered + lost)


def test_a_dead_node_beside_others_that_answer_is_no_loss_of_everybodys() -> None:
    assert luck.alike(looked(0, 4), [(CLEAN, looked(4, 0))]) < luck.WORSE
    assert luck.alike(looked(0, 15), [(CLEAN, looked(20, 0)), (CLEAN, looked(19, 1))]) < luck.WORSE


def test_who_loses_no_more_than_the_others_is_as_they_are() -> None:
    assert luck.alike(looked(12, 8), [(CLEAN, looked(14, 6))]) == 1.0
    assert luck.alike(looked(20, 0), [(CLEAN, looked(20, 0))]) > luck.WORSE
    assert luck.alike(looked(18, 2), [(CLEAN, looked(20, 0))]) > luck.WORSE


def test_who_always_lost_much_makes_no_loss_everybodys() -> None:
    lossy, begins = lost(*range(2, 65, 2)), CLEAN
    assert luck.alike(looked(2, 18), [(lossy, looked(10, 10))]) < luck.WORSE
    assert luck.alike(looked(2, 18), [(begins, looked(10, 10))]) > luck.WORSE


def test_however_many_endpoints_lose_however_much_there_is_a_number() -> None:
    """A likelihood that was taken to the power overflowed: six endpoints that had been clean lost all of a minute."""
    assert luck.alike(looked(0, 64), [(CLEAN, looked(0, 64))] * 20) == 1.0
    assert luck.sudden(32, [lost(*range(2, 33))] * 20) == 1.0
