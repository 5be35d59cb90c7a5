"""Sites for the agent's tests: one emulated AWS for all of them, a site of its own for each."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.agent.pair import Pair
from tests.agent.site import Site
from tests.cloud.emulator import Emulator


@pytest.fixture(scope="session")
def cloud() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


@pytest.fixture
def site(tmp_path: Path, cloud: Emulator) -> Iterator[Site]:
    """The agent of two healthy nodes, content with a, which AWS pointed to."""
    cloud.reset()
    made = Site(tmp_path, cloud)
    made.serve("a", "b", "secondary")
    yield made
    cloud.clear_faults()
    made.close()


@pytest.fixture
def running(site: Site) -> Site:
    site.start()
    site.until("the agent is content with a", lambda: site.ready_on("a"))
    return site


@pytest.fixture
def pair(tmp_path: Path, cloud: Emulator) -> Iterator[Pair]:
    """Both nodes serve; agent one leads and agent two follows."""
    cloud.reset()
    with closing(Pair(tmp_path, cloud)) as made:
        made.begin()
        yield made
        cloud.clear_faults()
