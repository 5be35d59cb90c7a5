"""What the whole run has to know: every call that the program made to any emulated AWS.

Agents are processes and so are the emulators and the test runners; what they share is a file that the environment
names. Whoever starts the whole run (`make test`) names it, and gives it to the tests that judge it afterwards.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True, slots=True)
class Asked:
    """A call as AWS sees it: `ec2:StopInstances`, the Region that it was signed for, what it says."""

    api: str
    region: str
    parameters: dict[str, Any]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--calls", type=Path, help="what a whole run before this one has left in $EDGE_AWS_CALLS")


@pytest.fixture
def all_calls(request: pytest.FixtureRequest) -> tuple[Asked, ...]:
    log: Path | None = request.config.getoption("calls")
    if log is None:
        pytest.skip("judged after a whole run, by `make test`")
    return tuple(Asked(**json.loads(line)) for line in log.read_text(encoding="utf-8").splitlines())
