"""The bench itself, in its shortest form: figures are there and hang together; how good they are is not asked."""

import shutil

import pytest

from tests.bench.__main__ import medians, one_round, table
from tests.bench.contestants import CONTESTANTS
from tests.bench.measure import Round

needs_dnsperf = pytest.mark.skipif(not shutil.which("dnsperf"), reason="dnsperf is not installed")


@needs_dnsperf
@pytest.mark.parametrize("name", ["edge", "edge, in Python", "NSD"])
def test_a_round_measures_a_server_and_its_children(name: str) -> None:
    if not shutil.which(CONTESTANTS[name][0]):
        pytest.skip(f"{name} is not installed")
    found = one_round(name, seconds=1)
    assert found.queries_s > 0
    assert found.user_us + found.system_us > 0
    assert 0 < found.p50_us <= found.p99_us <= found.p999_us
    assert found.resident_mib > 1


def test_medians_are_told_not_means() -> None:
    rounds = [Round(speed, 1, 1, 1, 1, 1, 0, 1) for speed in (1, 2, 300)]
    assert medians(rounds)["queries_s"] == 2
    assert "2.0" in table({"edge": rounds})
