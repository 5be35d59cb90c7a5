"""What counts as an old answer, and as recovered."""

from tests.lab.asker import Asked
from tests.lab.measures import Switch, recovered

A, B = "10.0.1.10", "10.0.2.10"


def switch(*asked: Asked) -> Switch:
    return Switch(10.0, A, B, {"one": list(asked)})


def test_the_last_old_answer_dates_the_forwarder() -> None:
    told = switch(Asked(9.0, 9.1, A), Asked(10.5, 10.6, A), Asked(11.0, 11.1, B), Asked(12.0, 12.1, A))
    assert told.old_for_s("one") == 2.0
    assert told.wrong("one") == []


def test_an_old_answer_to_a_question_from_before_the_switch_is_right() -> None:
    assert switch(Asked(9.9, 10.4, A), Asked(10.5, 10.6, B)).old_for_s("one") is None


def test_a_question_that_joins_one_from_before_the_switch_proves_nothing() -> None:
    assert switch(Asked(9.9, 10.4, A), Asked(10.2, 10.4, A), Asked(10.5, 10.6, B)).old_for_s("one") is None


def test_neither_address_is_wrong() -> None:
    lost = Asked(10.1, 20.1, "silence")
    assert switch(Asked(9.0, 9.1, A), lost).wrong("one") == [lost]


def test_recovery_is_the_first_good_answer_after_the_agents_are_back() -> None:
    heard = {
        "early": [Asked(8.0, 8.1, A), Asked(9.9, 10.2, A), Asked(11.0, 11.1, A)],
        "late": [Asked(10.5, 10.6, "SERVFAIL"), Asked(11.0, 11.5, A)],
        "never": [Asked(8.0, 8.1, A), Asked(10.5, 20.5, "silence")],
    }
    found = recovered(heard, A, 10.0)
    assert {name: took and round(took, 3) for name, took in found.items()} == {"early": 0.2, "late": 1.5, "never": None}
