"""docs/performance.md: its tables stand between markers, and are written anew by the commands that measure."""

import platform
import subprocess
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.marks import replaced

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "performance.md"


def markdown(titles: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [titles, ["---"] * len(titles), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def put(name: str, text: str, page: Path = PAGE) -> None:
    page.write_text(replaced(page.read_text(), name, text))


def taken(method: str) -> str:
    """When, on what, how."""
    day = datetime.now(UTC).date().isoformat()
    return f"Measured {day} on {machine()}. {method}"


def machine() -> str:
    info = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(": ")[2] for line in info if line.startswith("model name")), platform.machine())
    cores = sum(line.startswith("processor") for line in info)
    return f"{cores} cores of {model}, Linux {platform.release()}, Python {platform.python_version()}"


def debian_version(package: str) -> str:
    """Empty where dpkg doesn't have it, or isn't there."""
    try:
        asked = ["dpkg-query", "-W", "-f", "${Version}", package]
        return subprocess.run(asked, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return ""
