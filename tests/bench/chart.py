"""The bench as a picture: two panels of bars in plain SVG, 1.1."""

from collections.abc import Iterable, Mapping
from html import escape

BAR, GAP, LEFT, WIDTH, PANEL, TOP = 18, 6, 130, 300, 480, 40
OURS, THEIRS, INK = "#0b7285", "#adb5bd", "#212529"


def svg(panels: Mapping[str, Mapping[str, float]]) -> str:
    """`panels`: title to values by name, the same names in each; edge's are coloured."""
    rows = max(len(values) for values in panels.values())
    size = f'width="{PANEL * len(panels)}" height="{TOP + rows * (BAR + GAP) + GAP}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12" fill="{INK}">'
    drawn = [line for at, panel in enumerate(panels.items()) for line in _panel(at * PANEL, *panel)]
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *drawn, "</svg>", ""])


def _panel(left: int, title: str, values: Mapping[str, float]) -> Iterable[str]:
    yield f'<text x="{left + LEFT}" y="{TOP - 16}" font-weight="bold">{escape(title)}</text>'
    most = max(values.values())
    for at, (name, value) in enumerate(values.items()):
        yield from _bar(left, TOP + at * (BAR + GAP), name, value, value / most)


def _bar(left: int, top: int, name: str, value: float, share: float) -> Iterable[str]:
    colour, width, base = OURS if name.startswith("edge") else THEIRS, max(1, round(WIDTH * share * 0.85)), top + 13
    yield f'<text x="{left + LEFT - 8}" y="{base}" text-anchor="end">{escape(name)}</text>'
    yield f'<rect x="{left + LEFT}" y="{top}" width="{width}" height="{BAR}" fill="{colour}"/>'
    yield f'<text x="{left + LEFT + width + 4}" y="{base}">{value:,.0f}</text>'
