"""Measures every forwarder by default and as shipped, and writes the tables of docs/forwarders.md.

    python -m tests.lab.forwarders_table [--flips 6] [--patience 60] [--only dnsmasq] [--dry]

All of them stand in one laboratory and are measured by the same switches and outages; before each kind of outage they
start anew. `--flips`: switches for each way of asking. `--patience`: seconds after which a forwarder that has not
recovered is given up; Unbound's default needs twelve minutes. `--dry` prints and writes nothing.
"""

import argparse
import asyncio
import itertools
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

from tests.lab import measures
from tests.lab.asker import Asked, Asker
from tests.lab.forwarders import FORWARDERS, default, shipped
from tests.lab.measures import BUSY_S, SPARSE_S, Outage, Switch
from tests.lab.netns import ROOT
from tests.lab.two_agents import NODES, TwoAgents

DOC = ROOT / "docs" / "forwarders.md"
BEGIN, END = "<!-- measured -->", "<!-- /measured -->"
CONFIGURATIONS = {"default": default, "shipped": shipped}
AFTER_S = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 5.5)  # when the one question after a switch is asked
REST_S = 6.0  # longer than any of them keeps an answer
BUSY_BEFORE_S, BUSY_AFTER_S = 2.0, 7.0
OUT_S, BACK_S = 20.0, 5.0
SHORT_S, LONG_S = 10.0, 180.0
PACES = {"asked every 3 s": SPARSE_S, "20/s": BUSY_S}

Column = dict[str, str]  # by "forwarder/configuration": the cell


@dataclass(frozen=True, slots=True)
class Table:
    title: str
    columns: dict[str, Column] = field(default_factory=dict)

    def lines(self, names: Sequence[str]) -> list[str]:
        """Default and shipped side by side in each column."""
        head = ["forwarder", *(f"{column}: {each}" for column in self.columns for each in CONFIGURATIONS)]
        return [f"### {self.title}", "", _row(head), _row(["---"] * len(head)), *map(self._line, names), ""]

    def _line(self, name: str) -> str:
        keys = [f"{name}/{each}" for each in CONFIGURATIONS]
        return _row([FORWARDERS[name].title, *(cells[key] for cells in self.columns.values() for key in keys)])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


# --- measuring ----------------------------------------------------------------------------------------------------


async def campaign(lab: TwoAgents, flips: int, patience_s: float) -> list[Table]:
    await lab.settle()
    askers = await lab.askers()
    return [
        await after_a_switch(lab, askers, flips),
        await while_one_is_gone(lab, askers),
        await after_both_were_gone(lab, askers, patience_s),
    ]


async def after_a_switch(lab: TwoAgents, askers: dict[str, Asker], flips: int) -> Table:
    table = Table("The old node after a switch: for how long, at most")
    table.columns["TTL told"] = {name: f"{await asker.told_ttl_s()}" for name, asker in askers.items()}
    rare = [
        await one_rare_switch(lab, askers, after_s) for after_s in itertools.islice(itertools.cycle(AFTER_S), flips)
    ]
    table.columns["asked once"] = {name: old_cell(rare, name) for name in askers}
    busy = [await measures.busy_switch(lab, askers, BUSY_BEFORE_S, BUSY_AFTER_S) for _ in range(flips)]
    table.columns["20/s"] = {name: old_cell(busy, name) for name in askers}
    return say(table)


async def one_rare_switch(lab: TwoAgents, askers: dict[str, Asker], after_s: float) -> Switch:
    await asyncio.sleep(REST_S)
    return await measures.sparse_switch(lab, askers, 0.0, after_s)


async def while_one_is_gone(lab: TwoAgents, askers: dict[str, Asker]) -> Table:
    table = Table("One of two agents gone, then the other: the longest question")
    for outage, (pace, every_s) in itertools.product(Outage, PACES.items()):
        await lab.restart_forwarders()
        heard = await measures.one_gone(lab, askers, outage, every_s=every_s, out_s=OUT_S, back_s=BACK_S)
        table.columns[f"{outage.value}, {pace}"] = {name: worst_cell(heard[name]) for name in askers}
    return say(table)


async def after_both_were_gone(lab: TwoAgents, askers: dict[str, Asker], patience_s: float) -> Table:
    table = Table("Both agents gone and back: until the first right answer")
    for outage, out_s in ((Outage.SILENT, SHORT_S), (Outage.CLOSED, SHORT_S), (Outage.SILENT, LONG_S)):
        await lab.restart_forwarders()
        took = await measures.both_gone(lab, askers, outage, out_s, patience_s)
        cells = {
            name: f"> {patience_s:.0f} s" if took_s is None else f"{took_s:.1f} s" for name, took_s in took.items()
        }
        table.columns[f"{outage.value} {out_s:.0f} s"] = cells
    return say(table)


def old_cell(switches: Sequence[Switch], name: str) -> str:
    wrong = sum(len(switch.wrong(name)) for switch in switches)
    late = [found for switch in switches if (found := switch.old_for_s(name)) is not None]
    told = f"**{ceil(100 * max(late)) / 100} s**, {len(late)} of {len(switches)}" if late else "0"
    return f"{told}; {wrong} unanswered" if wrong else told


def worst_cell(heard: Sequence[Asked]) -> str:
    good = [each.took_s for each in heard if each.answer in NODES.values()]
    lost = len(heard) - len(good)
    worst = f"{max(good):.2f} s" if good else "none answered"
    return f"{worst}; **{100 * lost / len(heard):.0f} % unanswered**" if lost else worst


def say(table: Table) -> Table:
    print("\n".join(table.lines(names_of(table))), flush=True)
    return table


def names_of(table: Table) -> list[str]:
    known = next(iter(table.columns.values()))
    return list(dict.fromkeys(key.partition("/")[0] for key in known))


# --- writing ------------------------------------------------------------------------------------------------------


def report(tables: Sequence[Table], flips: int) -> str:
    names = names_of(tables[0])
    versions = {FORWARDERS[name].package: FORWARDERS[name].version() for name in names}
    measured = f"Measured on {system()}, network namespaces without delay, {flips} switches for each way of asking:"
    told = "; ".join(f"{package} {version}" for package, version in versions.items())
    return "\n".join([f"{measured} {told}.", "", *(line for table in tables for line in table.lines(names))])


def system() -> str:
    release = platform.freedesktop_os_release()
    return f"{release['NAME'].partition(' ')[0]} {release['VERSION_ID']}"


def put(text: str, doc: Path = DOC) -> None:
    before, _, rest = doc.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    doc.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")


def main() -> None:
    parser = argparse.ArgumentParser("forwarders_table")
    parser.add_argument("--flips", type=int, default=len(AFTER_S))
    parser.add_argument("--patience", type=float, default=60.0)
    parser.add_argument("--only", choices=FORWARDERS, action="append")
    parser.add_argument("--dry", action="store_true")
    said = parser.parse_args()
    names = [name for name in said.only or FORWARDERS if there(name, print)]
    cells = {
        f"{name}/{each}": (FORWARDERS[name], CONFIGURATIONS[each](FORWARDERS[name]))
        for name in names
        for each in CONFIGURATIONS
    }
    with TwoAgents(cells) as lab:
        text = report(asyncio.run(campaign(lab, said.flips, said.patience)), said.flips)
    print(text)
    if not said.dry:
        put(text)


def there(name: str, tell: Callable[[str], None]) -> bool:
    reason = FORWARDERS[name].missing()
    if reason:
        tell(f"{name} is left out: {reason}")
    return not reason


if __name__ == "__main__":
    main()
