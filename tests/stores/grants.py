"""The independent checker of a log of grants. It knows nothing of the program: a line says who may act, and until when.

    {"at": 12.5, "who": "1/07", "term": 3, "until": 13.2}

From `at` on, `who` may act in `term`, until `until` or until a later line of the same `who` says otherwise. The clock
is one for all. What must never be: two who may act at one moment, or one term of two.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Line:
    at: float
    who: str
    term: int
    until: float


@dataclass(frozen=True, slots=True)
class Piece:
    """A time in which `who` may act."""

    begin: float
    end: float
    who: str
    term: int


@dataclass(frozen=True, slots=True)
class Verdict:
    grants: int  # acquisitions
    holders: int
    covered_s: float  # how long somebody might act
    doubles: tuple[tuple[Piece, Piece], ...]
    shared_terms: tuple[int, ...]

    @property
    def sound(self) -> bool:
        return not self.doubles and not self.shared_terms


def lines_in(path: Path) -> list[Line]:
    return [Line(**json.loads(line)) for line in path.read_text().splitlines()]


def judged(lines: Iterable[Line]) -> Verdict:
    said = sorted(lines, key=lambda line: (line.who, line.at))
    pieces = sorted((p for _, own in groupby(said, lambda line: line.who) for p in _pieces(list(own))), key=_begin)
    terms = {(line.term, line.who) for line in said}
    count = [term for term, _ in terms]
    return Verdict(
        grants=len(terms),
        holders=len({line.who for line in said}),
        covered_s=sum(piece.end - piece.begin for piece in pieces),
        doubles=tuple(_doubles(pieces)),
        shared_terms=tuple(sorted({term for term in count if count.count(term) > 1})),
    )


def _pieces(own: Sequence[Line]) -> Iterator[Piece]:
    """Of one `who`, whose lines are in order."""
    for line, following in pairwise(own):
        yield Piece(line.at, min(line.until, following.at), line.who, line.term)
    yield Piece(own[-1].at, own[-1].until, own[-1].who, own[-1].term)


def _doubles(pieces: Iterable[Piece]) -> Iterator[tuple[Piece, Piece]]:
    """In order of their beginnings, each against the one that lasted longest so far of anybody else."""
    lasting: dict[str, Piece] = {}
    for piece in pieces:
        if piece.end <= piece.begin:
            continue
        for other in lasting.values():
            if other.who != piece.who and other.end > piece.begin:
                yield other, piece
        before = lasting.get(piece.who)
        lasting[piece.who] = piece if before is None or piece.end > before.end else before


def _begin(piece: Piece) -> float:
    return piece.begin
