"""The hammer for some seconds; and that its checker finds what it looks for. `make hammer` takes a minute."""

import pytest

from tests.stores.dynalite import why_not
from tests.stores.grants import Line, Piece, judged
from tests.stores.hammer import hammer

needs_dynalite = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
TRIES = 8


@needs_dynalite
def test_many_fight_for_it_and_never_two_have_it() -> None:
    verdict = hammer(8.0)
    assert verdict.sound, verdict
    assert verdict.grants >= 3
    assert verdict.holders >= 2


@needs_dynalite
def test_a_holder_that_counts_on_too_much_is_found_out() -> None:
    assert any(hammer(6.0, seed, careless=True).doubles for seed in range(TRIES))


def lines(*said: tuple[float, str, int, float]) -> list[Line]:
    return [Line(*each) for each in said]


def test_one_after_the_other_is_sound() -> None:
    verdict = judged(lines((0, "a", 1, 5), (4, "a", 1, 9), (9, "b", 2, 14), (10, "b", 2, 10), (11, "a", 3, 16)))
    assert verdict.sound
    assert (verdict.grants, verdict.holders, verdict.covered_s) == (3, 2, 9 + 1 + 5)


def test_two_at_one_moment_are_a_double_grant() -> None:
    verdict = judged(lines((0, "a", 1, 5), (4.9, "b", 2, 9)))
    assert verdict.doubles == ((Piece(0, 5, "a", 1), Piece(4.9, 9, "b", 2)),)


def test_a_long_one_is_held_against_all_that_begin_in_it() -> None:
    verdict = judged(lines((0, "a", 1, 50), (4, "b", 2, 9), (20, "c", 3, 25)))
    assert [(one.who, other.who) for one, other in verdict.doubles] == [("a", "b"), ("a", "c")]


def test_who_said_that_it_acts_no_more_is_believed_and_not_before() -> None:
    assert judged(lines((0, "a", 1, 50), (3, "a", 1, 3), (4, "b", 2, 9))).sound
    assert not judged(lines((0, "a", 1, 50), (5, "a", 1, 5), (4, "b", 2, 9))).sound


def test_a_lease_that_ran_out_before_it_was_renewed_leaves_a_gap() -> None:
    assert judged(lines((0, "a", 1, 5), (6, "b", 2, 7), (8, "a", 3, 9))).sound


def test_one_term_of_two_is_unsound_whenever_it_was() -> None:
    verdict = judged(lines((0, "a", 1, 5), (100, "b", 1, 105)))
    assert verdict.shared_terms == (1,)
    assert not verdict.sound
