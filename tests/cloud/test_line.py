"""A path that is cut: connections that are there lose what is sent, and new ones never come about."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError

from .emulator import Emulator
from .line import Line


@pytest.fixture
def line(aws: Emulator) -> Iterator[Line]:
    with Line(aws.endpoint_url) as made:
        yield made


def impatient(aws: Emulator, line: Line) -> Any:
    once = Config(retries={"total_max_attempts": 1}, connect_timeout=0.5, read_timeout=1.0)
    env = aws.env()
    return aws.session.client(
        "sts",
        region_name=env["AWS_DEFAULT_REGION"],
        endpoint_url=line.url,
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        config=once,
    )


def test_a_connection_over_a_cut_line_never_comes_about(aws: Emulator, line: Line) -> None:
    line.cut()
    with pytest.raises(ConnectTimeoutError):
        impatient(aws, line).get_caller_identity()
    assert aws.calls() == []


def test_what_is_sent_after_the_cut_is_lost(aws: Emulator, line: Line) -> None:
    client = impatient(aws, line)
    client.get_caller_identity()
    aws.forget_calls()
    line.cut()
    with pytest.raises(ReadTimeoutError):
        client.get_caller_identity()
    with pytest.raises(ConnectTimeoutError):
        client.get_caller_identity()
    assert aws.calls() == []


def test_a_mended_line_is_as_before(aws: Emulator, line: Line) -> None:
    client = impatient(aws, line)
    for _ in range(3):
        line.cut()
        with pytest.raises((ConnectTimeoutError, ReadTimeoutError)):
            client.get_caller_identity()
        line.mend()
        assert client.get_caller_identity()["Account"]
    assert len(aws.calls()) == 3
