"""Every combination of cuts between two agents, their store and the nodes, with the live node alive and dying: each
comes to what the rules say, and heals in agreement. docs/partitions.md says the same.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import replace
from functools import partial

import pytest

from tests.lab import partitions
from tests.lab.partitions import CELLS, NEW, Cell, End, Found, Nodes, by_the_rules
from tests.lab.partitions_page import DOC, row, words
from tests.lab.shared import ADDRESS_OF, LEASE_S, Labs
from tests.marks import marked

LABS = 4
Cells = Mapping[Cell, Future[Found]]


@pytest.fixture(scope="module")
def cells(able: None) -> Iterator[Cells]:
    with Labs(LABS) as labs:
        jobs = [partial(partitions.run, cell=cell) for cell in CELLS]
        yield dict(zip(CELLS, labs.run(jobs), strict=True))


@pytest.mark.lab
@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_every_partition_ends_as_the_rules_say_and_heals(cells: Cells, cell: Cell) -> None:
    found = cells[cell].result()
    assert found.end == by_the_rules(cell)
    assert found.leaders <= 1, "two leaders at one moment"
    assert found.epochs == cell.dies, "as many epochs as nodes died, after the healing"
    assert all(told in ([], [ADDRESS_OF[NEW]]) for told in found.told), "told anything but the node that serves"
    if cell.store:
        assert found.led_s is not None
        assert found.led_s > LEASE_S / 2, "nobody may lead before the lease has run out"


def test_the_page_has_a_row_for_each_cell_with_what_the_rules_say() -> None:
    told = [line for line in marked(DOC.read_text(), "partitions").splitlines() if line.startswith("| ")][2:]
    assert len(told) == len(CELLS)
    for line, cell in zip(told, CELLS, strict=True):
        assert line.startswith(f"| {' | '.join(words(cell))} |")


def test_a_row_has_the_usual_and_the_worst_and_none_where_the_rules_were_broken() -> None:
    cell = Cell(store=False, nodes=Nodes.OTHER, agents=False, dies=True)
    end = by_the_rules(cell)
    said = f"| the leader from the other node | dies | the other | {NEW} | {NEW} | `quorum` |"
    assert row(cell, [found(end, 0.5), found(end, 1.0), found(end, 2.0)]) == f"{said}  |  |  | 1.0 (2.0) |"
    with pytest.raises(ValueError, match="no_target"):
        row(cell, [found(replace(end, hold="no_target"), 0.5)])


def found(end: End, healed_s: float) -> Found:
    return Found(end, leaders=1, led_s=None, moved_s=None, follows_s=None, healed_s=healed_s, epochs=1, told=([], []))
