"""What the whole run has to know: every call that the program made to any emulated AWS, told to the last test.

Agents are processes and so are the emulators; what they share is a file that its environment variable names.
"""

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cloud.server import CALLS

LAST = "all_calls"
_RUN = pytest.StashKey["Run"]()


@dataclass(frozen=True, slots=True)
class Asked:
    """A call as AWS sees it: `ec2:StopInstances`, the Region that it was signed for, what it says."""

    api: str
    region: str
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class AllCalls:
    """`whole`: every test of the project ran before."""

    calls: tuple[Asked, ...]
    whole: bool


@dataclass(slots=True)
class Run:
    log: Path
    whole: bool = False


def pytest_configure(config: pytest.Config) -> None:
    if CALLS not in os.environ:
        descriptor, name = tempfile.mkstemp(prefix="edge-calls-")
        os.close(descriptor)
        os.environ[CALLS] = name
        config.stash[_RUN] = Run(Path(name))


def pytest_unconfigure(config: pytest.Config) -> None:
    if run := config.stash.get(_RUN, None):
        run.log.unlink(missing_ok=True)
        os.environ.pop(CALLS, None)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Who looks at all calls comes after all who make some."""
    items.sort(key=lambda item: LAST in getattr(item, "fixturenames", ()))
    run = config.stash.get(_RUN, None)
    if run and not config.getoption("keyword") and not config.getoption("markexpr"):
        run.whole = {item.path for item in items} >= set(Path(__file__).parent.rglob("test_*.py"))


def pytest_deselected(items: list[pytest.Item]) -> None:
    if items and (run := items[0].config.stash.get(_RUN, None)):
        run.whole = False


@pytest.fixture
def all_calls(request: pytest.FixtureRequest) -> AllCalls:
    run = request.config.stash.get(_RUN, Run(Path(os.environ[CALLS])))
    lines = run.log.read_text(encoding="utf-8").splitlines()
    return AllCalls(tuple(Asked(**json.loads(line)) for line in lines), run.whole)
