"""What askers report, and what is told of it: how long the answers took, how many were lost, how many were wrong."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median

LOST_S = 2.0  # who has no answer by then asks somebody else: a resolver's usual patience, and nobody here asks twice


@dataclass(frozen=True, slots=True)
class Asked:
    """`right` of those `asked` were answered in time and as they should; `wrong`: answered otherwise."""

    asked: int
    right: int
    wrong: int
    p50_us: float
    p99_us: float
    p999_us: float

    @property
    def lost(self) -> int:
        return self.asked - self.right - self.wrong

    @property
    def lost_share(self) -> float:
        return self.lost / self.asked

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Asked":
        return cls(**json.loads(text))


def asked(count: int, wrong: int, waits_ns: Iterable[int]) -> Asked:
    ordered = sorted(waits_ns)
    return Asked(count, len(ordered), wrong, *(quantile_us(ordered, share) for share in (0.5, 0.99, 0.999)))


def quantile_us(ordered_ns: Sequence[int], share: float) -> float:
    """Infinite where nothing was answered."""
    return ordered_ns[min(int(share * len(ordered_ns)), len(ordered_ns) - 1)] / 1e3 if ordered_ns else float("inf")


def merged(rounds: Sequence[Asked]) -> Asked:
    """Counts are added up, quantiles are the rounds' medians."""
    return Asked(
        sum(each.asked for each in rounds),
        sum(each.right for each in rounds),
        sum(each.wrong for each in rounds),
        median(each.p50_us for each in rounds),
        median(each.p99_us for each in rounds),
        median(each.p999_us for each in rounds),
    )


@dataclass(frozen=True, slots=True)
class Row:
    """One scene. `quiet` is None where there is nothing to compare with; `note`: what went on meanwhile."""

    scene: str
    quiet: Asked | None
    loaded: Asked
    note: str


TITLES = ("scene", "asked", "lost", "wrong", "p50 µs", "p99 µs", "p99.9 µs", "meanwhile")


def cells(row: Row) -> tuple[str, ...]:
    loaded = row.loaded
    times = (_against(row, each) for each in ("p50_us", "p99_us", "p999_us"))
    lost = f"{loaded.lost} ({loaded.lost_share:.3%})"
    return (row.scene, f"{loaded.asked:,}", lost, str(loaded.wrong), *times, row.note)


def _against(row: Row, quantile: str) -> str:
    """Quiet, loaded, and how many times as long."""
    loaded = getattr(row.loaded, quantile)
    if row.quiet is None:
        return f"{loaded:,.0f}"
    quiet = getattr(row.quiet, quantile)
    return f"{quiet:,.0f} → {loaded:,.0f} ({loaded / quiet:.2f} x)"


def as_dict(row: Row) -> dict[str, object]:
    ratios = {}
    if row.quiet:
        ratios = {key: getattr(row.loaded, key) / getattr(row.quiet, key) for key in ("p50_us", "p99_us", "p999_us")}
    return {**asdict(row), "lost": row.loaded.lost, "ratio": ratios}
