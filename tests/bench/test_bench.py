"""The bench itself, in its shortest form: figures are there and hang together; how good they are is not asked."""

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.bench import chart, page
from tests.bench.__main__ import one_round
from tests.bench.contestants import CONTESTANTS
from tests.bench.measure import Round
from tests.bench.told import TITLES, as_json, batched, lines, medians, panels, ratios, table

needs_dnsperf = pytest.mark.skipif(not shutil.which("dnsperf"), reason="dnsperf is not installed")


@needs_dnsperf
@pytest.mark.parametrize("name", ["edge", "edge, in Python", "NSD"])
def test_a_round_measures_a_server_and_its_children(name: str) -> None:
    if not shutil.which(CONTESTANTS[name].program):
        pytest.skip(f"{name} is not installed")
    measured = one_round(name, seconds=1)
    assert measured.queries_s > 0
    assert measured.batched_s > 0
    assert measured.user_us + measured.system_us > 0
    assert 0 < measured.p50_us <= measured.p99_us <= measured.p999_us
    assert measured.resident_mib > 1


def found(queries_s: float, cpu_us: float = 2) -> Round:
    return Round(queries_s, 2 * queries_s, cpu_us - 1, 1, 1, 1, 1, 0, 1)


def test_medians_are_told_not_means() -> None:
    rounds = [found(speed) for speed in (1, 2, 300)]
    assert medians(rounds)["queries_s"] == 2
    assert lines({"edge": rounds})[0][:3] == ("edge", "2", "")


def test_ratios_are_to_the_rival_with_as_many_threads() -> None:
    results = {
        "edge": [found(80, 4)],
        "edge, 2 workers": [found(150)],
        "gdnsd": [found(100, 5)],
        "gdnsd, 2 threads": [found(200)],
        "PowerDNS Lua": [found(4)],
    }
    assert ratios(results)["edge"] == {"gdnsd": 0.8, "PowerDNS Lua": 20, "gdnsd CPU": 0.8}
    assert ratios(results)["edge, 2 workers"]["gdnsd"] == 0.75
    assert "0.80" in table(TITLES, lines(results))
    assert batched(results)[0] == ("edge", "160", "0.80", "20.00", "")
    assert json.loads(as_json(results, "machine", {}))["results"]["edge"]["ratio"]["gdnsd"] == 0.8


def test_the_picture_is_drawn_to_scale() -> None:
    drawn = ET.fromstring(chart.svg(panels({"edge": [found(100)], "a & b": [found(50)]})))
    _, *bars = drawn.iter("{http://www.w3.org/2000/svg}rect")
    widths = [int(bar.get("width", "")) for bar in bars]
    assert widths[0] == pytest.approx(2 * widths[1], abs=1)
    assert widths[2] == widths[3]
    assert max(widths) < chart.WIDTH


def test_a_table_goes_between_its_markers_again_and_again(tmp_path: Path) -> None:
    written = tmp_path / "page.md"
    written.write_text("before\n<!-- bench -->\nold\n<!-- /bench -->\nafter\n")
    for text in ("first", page.markdown(("a", "b"), [("1", "2")])):
        page.put("bench", text, written)
    assert written.read_text() == (
        "before\n<!-- bench -->\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n\n<!-- /bench -->\nafter\n"
    )
    with pytest.raises(ValueError, match="no place for load"):
        page.put("load", "", written)


@pytest.mark.parametrize("name", ["bench", "batches", "worst", "load"])
def test_the_documentation_has_a_place_for_each_table(name: str, tmp_path: Path) -> None:
    copy = tmp_path / "page.md"
    copy.write_text(page.PAGE.read_text())
    page.put(name, "", copy)
