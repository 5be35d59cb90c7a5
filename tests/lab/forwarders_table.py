"""Measures every forwarder by default and as shipped, and writes the tables of docs/forwarders.md.

    python -m tests.lab.forwarders_table [--flips 6] [--rounds 5] [--patience 60] [--only dnsmasq] [--dry]

Three laboratories at once: forwarders and agents' hosts by default, all of it as shipped, and as shipped with Knot DNS
in the agents' place. They are measured at the same time, and before each outage the forwarders start anew. `--flips`:
switches for each way of asking. `--rounds`: how often each outage of one is repeated. `--patience`: seconds after which
a forwarder that has not recovered is given up; Unbound's default needs twelve minutes. `--dry` writes nothing.
"""

import argparse
import asyncio
import itertools
import platform
import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from math import ceil
from pathlib import Path
from typing import TypeVar

from tests.lab import ending, measures
from tests.lab.asker import Asked, Asker
from tests.lab.authorities import NODES, Agent, Authority, Knot, Nsd
from tests.lab.forwarders import FORWARDERS, Files, Forwarder, default, package_version, shipped
from tests.lab.measures import BUSY_S, SPARSE_S, Askers, Heard, Outage, Switch
from tests.lab.netns import ROOT
from tests.lab.two_agents import TwoAgents
from tests.marks import replaced

DOC = ROOT / "docs" / "forwarders.md"
AFTER_S = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 5.5)  # when the one question after a switch is asked
REST_S = 6.0  # longer than any of them keeps an answer
BUSY_BEFORE_S, BUSY_AFTER_S = 2.0, 7.0
OUT_S, BACK_S = 20.0, 5.0
SHORT_S, LONG_S = 10.0, 180.0
ENDS = 20
PACES = {"asked every 3 s": SPARSE_S, "20/s": BUSY_S}
OUTAGES = {Outage.SILENT: "it falls silent", Outage.CLOSED: "it is killed", Outage.STOPPED: "it is stopped"}


@dataclass(frozen=True, slots=True)
class Stand:
    """What one laboratory has in it."""

    configuration: Callable[[Forwarder], Files]
    authority: type[Authority] = Agent
    set_up: bool = True

    def lab(self, names: Sequence[str]) -> TwoAgents:
        """Each forwarder once for each pace: a busy one would keep the other's memory of its servers fresh."""
        cells = {
            f"{name}/{pace}": (FORWARDERS[name], self.configuration(FORWARDERS[name]))
            for pace in PACES
            for name in names
        }
        return TwoAgents(cells, self.authority, set_up=self.set_up)


STANDS = {"default": Stand(default, set_up=False), "shipped": Stand(shipped), "Knot": Stand(shipped, Knot)}
OURS = ("default", "shipped")


@dataclass(frozen=True, slots=True)
class Table:
    """`columns` by heading, their cells by `of`: a forwarder's name, or a server's."""

    title: str
    of: str = "forwarder"
    columns: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return list(next(iter(self.columns.values())))

    def lines(self) -> list[str]:
        head = [self.of, *self.columns]
        rows = [_row([_title(name), *(cells[name] for cells in self.columns.values())]) for name in self.names]
        return [f"### {self.title}", "", _row(head), _row(["---"] * len(head)), *rows, ""]


def _title(name: str) -> str:
    return FORWARDERS[name].title if name in FORWARDERS else name


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


@dataclass(frozen=True, slots=True)
class Measured:
    """One laboratory with a client of each of its forwarders."""

    lab: TwoAgents
    askers: dict[str, Asker]

    def of(self, pace: str) -> Askers:
        """By forwarder."""
        return {key.partition("/")[0]: asker for key, asker in self.keyed(pace).items()}

    def keyed(self, pace: str) -> Askers:
        return {key: asker for key, asker in self.askers.items() if key.endswith(f"/{pace}")}

    @property
    def names(self) -> list[str]:
        return list(dict.fromkeys(key.partition("/")[0] for key in self.askers))


Rigs = Mapping[str, Measured]  # by stand
T = TypeVar("T")


# --- measuring ----------------------------------------------------------------------------------------------------


async def campaign(labs: Mapping[str, TwoAgents], flips: int, rounds: int, patience_s: float) -> list[Table]:
    await asyncio.gather(*(lab.settle() for lab in labs.values()))
    rigs = {stand: Measured(lab, await lab.askers()) for stand, lab in labs.items()}
    ours = {stand: rigs[stand] for stand in OURS}
    return [
        say(await after_a_switch(ours, flips)),
        *[say(await while_one_is_gone(rigs, outage, rounds)) for outage in Outage],
        say(await after_both_were_gone(ours, patience_s)),
    ]


async def in_all(rigs: Rigs, measure: Callable[[Measured], Awaitable[T]]) -> dict[str, T]:
    """At the same time in all of them: they share what else the machine is busy with."""
    return dict(zip(rigs, await asyncio.gather(*map(measure, rigs.values())), strict=True))


async def after_a_switch(rigs: Rigs, flips: int) -> Table:
    told = await in_all(rigs, told_ttl)
    rare = await in_all(rigs, lambda rig: rare_switches(rig, flips))
    busy = await in_all(rigs, lambda rig: busy_switches(rig, flips))
    table = Table("The old node after a switch: for how long, at most")
    table.columns.update({f"TTL told: {stand}": told[stand] for stand in rigs})
    for pace, switches in (("asked once", rare), ("20/s", busy)):
        for stand, rig in rigs.items():
            table.columns[f"{pace}: {stand}"] = {name: old_cell(switches[stand], name) for name in rig.names}
    return table


async def told_ttl(rig: Measured) -> dict[str, str]:
    """Nothing that was kept is left: an answer from memory tells what is left of its time."""
    await asyncio.sleep(REST_S)
    return {name: f"{await asker.told_ttl_s()}" for name, asker in rig.of("20/s").items()}


async def rare_switches(rig: Measured, flips: int) -> list[Switch]:
    return [await rare_switch(rig, after_s) for after_s in itertools.islice(itertools.cycle(AFTER_S), flips)]


async def rare_switch(rig: Measured, after_s: float) -> Switch:
    await asyncio.sleep(REST_S)
    return await measures.sparse_switch(rig.lab, rig.of("20/s"), 0.0, after_s)


async def busy_switches(rig: Measured, flips: int) -> list[Switch]:
    return [await measures.busy_switch(rig.lab, rig.of("20/s"), BUSY_BEFORE_S, BUSY_AFTER_S) for _ in range(flips)]


async def while_one_is_gone(rigs: Rigs, outage: Outage, rounds: int) -> Table:
    heard = [await in_all(rigs, lambda rig: one_gone(rig, outage)) for _ in range(rounds)]
    table = Table(f"One of two gone, then the other, because {OUTAGES[outage]}: the longest question")
    for pace, stand in itertools.product(PACES, rigs):
        cells = {name: worst_cell([each[stand][f"{name}/{pace}"] for each in heard]) for name in rigs[stand].names}
        table.columns[f"{pace}: {stand}"] = cells
    return table


async def one_gone(rig: Measured, outage: Outage) -> Heard:
    await rig.lab.restart_forwarders()
    clients = {
        every_s: {f"{name}/{pace}": asker for name, asker in rig.of(pace).items()} for pace, every_s in PACES.items()
    }
    return await measures.one_gone(rig.lab, clients, outage, out_s=OUT_S, back_s=BACK_S)


async def after_both_were_gone(rigs: Rigs, patience_s: float) -> Table:
    table = Table("Both agents gone and back: until the first right answer")
    for outage, out_s in ((Outage.SILENT, SHORT_S), (Outage.CLOSED, SHORT_S), (Outage.SILENT, LONG_S)):
        took = await in_all(rigs, lambda rig: both_gone(rig, outage, out_s, patience_s))  # noqa: B023 awaited here
        table.columns.update({f"{outage.value} {out_s:.0f} s: {stand}": cells for stand, cells in took.items()})
    return table


async def both_gone(rig: Measured, outage: Outage, out_s: float, patience_s: float) -> dict[str, str]:
    await rig.lab.restart_forwarders()
    took = await measures.both_gone(rig.lab, rig.of("20/s"), outage, out_s, patience_s)
    return {name: f"> {patience_s:.0f} s" if took_s is None else f"{took_s:.1f} s" for name, took_s in took.items()}


def at_the_end(ends: int) -> Table:
    """No forwarder: each authority's own end, as the one who asks it sees it."""
    table = Table("The end itself: for how long questions are neither answered nor refused, ms", "authority")
    for outage in (Outage.CLOSED, Outage.STOPPED):
        table.columns[OUTAGES[outage]] = {}
    for authority in (Agent, Knot, Nsd):
        with TwoAgents({}, authority) as lab:
            for outage in (Outage.CLOSED, Outage.STOPPED):
                lost_s = [one_end(lab, lab.agents[0], outage) for _ in range(ends)]
                table.columns[OUTAGES[outage]][authority.title] = ms_cell(lost_s)
    return table


def one_end(lab: TwoAgents, agent: Authority, outage: Outage) -> float:
    asyncio.run(lab.answered_by_both())
    lost_s = ending.lost_s(lab, agent.address, partial(outage.begin, agent))
    outage.end(agent)
    return lost_s


def ms_cell(times_s: Sequence[float]) -> str:
    return f"{1000 * max(times_s):.0f} ({1000 * statistics.median(times_s):.0f})"


def old_cell(switches: Sequence[Switch], name: str) -> str:
    wrong = sum(len(switch.wrong(name)) for switch in switches)
    late = [found for switch in switches if (found := switch.old_for_s(name)) is not None]
    told = f"**{ceil(100 * max(late)) / 100} s**, {len(late)} of {len(switches)}" if late else "0"
    return f"{told}; {wrong} unanswered" if wrong else told


def worst_cell(rounds: Sequence[Sequence[Asked]]) -> str:
    """The longest of all, and the median of the rounds' longest."""
    good = [[each.took_s for each in heard if each.answer in NODES.values()] for heard in rounds]
    longest = [max(took_s) for took_s in good if took_s]
    asked, answered = (sum(map(len, each)) for each in (rounds, good))
    worst = f"{max(longest):.2f} s ({statistics.median(longest):.2f})" if longest else "none answered"
    lost = f"; **{100 * (asked - answered) / asked:.0f} % unanswered**" if answered < asked else ""
    return worst + lost


def say(table: Table) -> Table:
    print("\n".join(table.lines()), flush=True)
    return table


# --- writing ------------------------------------------------------------------------------------------------------


def report(tables: Sequence[Table], flips: int, rounds: int) -> str:
    names = tables[0].names
    versions = {FORWARDERS[name].package: FORWARDERS[name].version() for name in names}
    versions |= {package: package_version(package) for package in ("knot", "nsd")}
    repeated = f"{flips} switches for each way of asking, {rounds} rounds of each outage of one"
    measured = f"Measured on {system()}, network namespaces without delay, {repeated}:"
    told = "; ".join(f"{package} {version}" for package, version in versions.items())
    return "\n".join([f"{measured} {told}.", "", *(line for table in tables for line in table.lines())])


def system() -> str:
    release = platform.freedesktop_os_release()
    return f"{release['NAME'].partition(' ')[0]} {release['VERSION_ID']}"


def put(text: str, doc: Path = DOC) -> None:
    doc.write_text(replaced(doc.read_text(), "measured", text.rstrip()))


def main() -> None:
    parser = argparse.ArgumentParser("forwarders_table")
    parser.add_argument("--flips", type=int, default=len(AFTER_S))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--patience", type=float, default=60.0)
    parser.add_argument("--only", choices=FORWARDERS, action="append")
    parser.add_argument("--dry", action="store_true")
    said = parser.parse_args()
    names = [name for name in said.only or FORWARDERS if there(name, print)]
    with ExitStack() as ends:
        labs = {name: ends.enter_context(stand.lab(names)) for name, stand in STANDS.items()}
        tables = asyncio.run(campaign(labs, said.flips, said.rounds, said.patience))
    tables.append(say(at_the_end(ENDS)))
    text = report(tables, said.flips, said.rounds)
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
