"""What a request may say, and how it is told what would be right."""

import json
from typing import Any

import pytest

from edge.control import body

READERS: dict[str, body.Reader] = {
    "node": body.text,
    "service": body.maybe_text,
    "pin": body.flag,
    "expect_epoch": body.maybe_epoch,
    "for_s": body.maybe_seconds,
}


def read(**said: Any) -> dict[str, Any]:
    return body.read(json.dumps(said).encode(), **READERS)


def test_what_is_absent_is_read_as_null() -> None:
    assert read(node="b") == {"node": "b", "service": None, "pin": False, "expect_epoch": None, "for_s": None}


def test_all_of_it() -> None:
    said = {"node": "b", "service": "files", "pin": True, "expect_epoch": 0, "for_s": 7200}
    assert read(**said) == said


@pytest.mark.parametrize("node", [None, "", "  ", 3, ["b"], "two\nlines", "\x1b[2J", "x" * 501])
def test_text_is_one_printable_line(node: object) -> None:
    with pytest.raises(ValueError, match=r"^node: expected one line of text"):
        read(node=node)


@pytest.mark.parametrize("pin", ["yes", 1, 0, []])
def test_a_flag_is_true_or_false(pin: object) -> None:
    with pytest.raises(ValueError, match=r"^pin: expected true or false"):
        read(node="b", pin=pin)


@pytest.mark.parametrize("epoch", [-1, 1.0, "7", True])
def test_an_epoch_is_a_whole_number(epoch: object) -> None:
    with pytest.raises(ValueError, match=r"^expect_epoch: expected an epoch"):
        read(node="b", expect_epoch=epoch)


@pytest.mark.parametrize("seconds", [0, -1, "2h", True, float("nan"), float("inf"), 10**400])
def test_a_hold_has_an_end_that_somebody_may_live_to_see(seconds: object) -> None:
    with pytest.raises(ValueError, match=r"^for_s: expected seconds"):
        read(node="b", for_s=seconds)


def test_a_misspelt_key_is_no_promotion_without_it() -> None:
    with pytest.raises(ValueError, match=r"^pinn: unknown key; known here: node, service, pin"):
        read(node="b", pinn=True)


@pytest.mark.parametrize("raw", [b"", b"null", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"node": ' + b"9" * 5000 + b"}"])
def test_what_is_no_object(raw: bytes) -> None:
    with pytest.raises(ValueError, match="JSON object"):
        body.read(raw, **READERS)
