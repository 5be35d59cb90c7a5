"""What the cells of the forwarders' table say, and where the table goes."""

from pathlib import Path

from tests.lab.asker import Asked
from tests.lab.forwarders_table import Table, old_cell, put, worst_cell
from tests.lab.measures import Switch

A, B = "10.0.1.10", "10.0.2.10"


def test_a_cell_says_the_longest_and_how_often() -> None:
    good = Switch(10.0, A, B, {"one": [Asked(9.0, 9.1, A), Asked(10.1, 10.2, B)]})
    stale = Switch(10.0, A, B, {"one": [Asked(9.0, 9.1, A), Asked(12.5, 12.6, A)]})
    less = Switch(10.0, A, B, {"one": [Asked(10.004, 10.1, A)]})
    lost = Switch(10.0, A, B, {"one": [Asked(10.1, 20.1, "silence")]})
    assert old_cell([good], "one") == "0"
    assert old_cell([less, good, stale], "one") == "**2.5 s**, 2 of 3"
    assert old_cell([less, good], "one") == "**0.01 s**, 1 of 2", "rounded up: none is 0"
    assert old_cell([good, lost], "one") == "0; 1 unanswered"


def test_a_cell_has_the_longest_of_all_rounds_and_the_usual_one() -> None:
    rounds = [[Asked(0.0, took_s, A), Asked(1.0, 1.1, B)] for took_s in (0.2, 1.5, 0.3)]
    assert worst_cell(rounds) == "1.50 s (0.30)"


def test_a_question_without_an_address_is_no_long_question() -> None:
    lost = [Asked(0.0, 0.5, A), Asked(1.0, 11.0, "SERVFAIL")]
    assert worst_cell([lost, lost]) == "0.50 s (0.50); **50 % unanswered**"
    assert worst_cell([[Asked(1.0, 11.0, "silence")]]) == "none answered; **100 % unanswered**"


def test_a_server_stands_in_a_table_by_its_own_name() -> None:
    assert Table("Title", "authority", {"killed": {"NSD": "8 (5)"}}).lines()[2:5] == [
        "| authority | killed |",
        "| --- | --- |",
        "| NSD | 8 (5) |",
    ]


def test_a_table_has_a_row_for_each_forwarder() -> None:
    table = Table("Title", columns={"TTL told: default": {"dnsmasq": "1"}, "TTL told: shipped": {"dnsmasq": "0"}})
    assert table.lines()[2:5] == [
        "| forwarder | TTL told: default | TTL told: shipped |",
        "| --- | --- | --- |",
        "| dnsmasq | 1 | 0 |",
    ]


def test_only_what_was_measured_is_replaced(tmp_path: Path) -> None:
    doc = tmp_path / "forwarders.md"
    doc.write_text("before\n<!-- measured -->\nold\n<!-- /measured -->\nafter\n")
    put("new\n", doc)
    assert doc.read_text() == "before\n<!-- measured -->\n\nnew\n\n<!-- /measured -->\nafter\n"
