"""What the rounds come to: medians, and how many times as much as the rivals."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from statistics import median

from tests.bench.measure import Round

Results = Mapping[str, Sequence[Round]]
Medians = Mapping[str, float]
TITLES = (
    "",
    "queries/s",
    "x gdnsd",
    "x PowerDNS Lua",
    "x dnslib",
    "CPU µs a query (user + system)",
    "x gdnsd",
    "p50 µs",
    "p99 µs",
    "p99.9 µs",
    "lost",
    "MiB",
)


BATCHED = ("", "answers/s", "x gdnsd", "x PowerDNS Lua", "x dnslib")


def medians(rounds: Sequence[Round]) -> dict[str, float]:
    return {column.name: median(getattr(one, column.name) for one in rounds) for column in fields(Round)}


def cpu_us(found: Medians) -> float:
    return found["user_us"] + found["system_us"]


def gdnsd_for(name: str) -> str:
    """The one with as many threads."""
    return "gdnsd, 2 threads" if ", 2 " in name else "gdnsd"


def ratios(results: Results, speed: str = "queries_s") -> dict[str, dict[str, float]]:
    """By name, then by rival: of that speed, and for `gdnsd CPU` of the time for a query. Rivals that ran."""
    found = {name: medians(rounds) for name, rounds in results.items()}
    return {name: _ratios(found, name, speed) for name in found}


def _ratios(found: Mapping[str, Medians], name: str, speed: str) -> dict[str, float]:
    rivals = {"gdnsd": gdnsd_for(name), "PowerDNS Lua": "PowerDNS Lua", "dnslib": "dnslib"}
    there = {title: found[rival] for title, rival in rivals.items() if rival in found}
    speeds = {title: found[name][speed] / rival[speed] for title, rival in there.items()}
    cpu = {"gdnsd CPU": cpu_us(found[name]) / cpu_us(there["gdnsd"])} if "gdnsd" in there else {}
    return speeds | cpu


def lines(results: Results) -> list[tuple[str, ...]]:
    against = ratios(results)
    return [_line(name, medians(rounds), against[name]) for name, rounds in results.items()]


def _line(name: str, found: Medians, against: Mapping[str, float]) -> tuple[str, ...]:
    def times(rival: str) -> str:
        return f"{against[rival]:,.2f}" if rival in against else ""

    speeds = (f"{found['queries_s']:,.0f}", *map(times, ("gdnsd", "PowerDNS Lua", "dnslib")))
    cpu = (f"{cpu_us(found):.2f} ({found['user_us']:.2f} + {found['system_us']:.2f})", times("gdnsd CPU"))
    waits = (f"{found[key]:,.0f}" for key in ("p50_us", "p99_us", "p999_us", "lost"))
    return (name, *speeds, *cpu, *waits, f"{found['resident_mib']:.0f}")


def batched(results: Results) -> list[tuple[str, ...]]:
    """Asked in batches."""
    against = ratios(results, "batched_s")
    return [_batched(name, medians(rounds), against[name]) for name, rounds in results.items()]


def _batched(name: str, found: Medians, against: Mapping[str, float]) -> tuple[str, ...]:
    times = (f"{against[rival]:,.2f}" if rival in against else "" for rival in ("gdnsd", "PowerDNS Lua", "dnslib"))
    return (name, f"{found['batched_s']:,.0f}", *times)


def table(titles: Sequence[str], told: Sequence[Sequence[str]]) -> str:
    """For a terminal."""
    rows = [titles, *told]
    widths = [max(len(row[column]) for row in rows) for column in range(len(titles))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def as_json(results: Results, machine: str, versions: Mapping[str, str]) -> str:
    against = ratios(results)
    told = {
        name: {"median": medians(rounds), "ratio": against[name], "rounds": [asdict(one) for one in rounds]}
        for name, rounds in results.items()
    }
    return json.dumps({"machine": machine, "versions": versions, "results": told}, indent=1) + "\n"


def panels(results: Results) -> dict[str, dict[str, float]]:
    found = {name: medians(rounds) for name, rounds in results.items()}
    return {
        "queries/s, as fast as it goes": {name: each["queries_s"] for name, each in found.items()},
        "CPU µs a query": {name: cpu_us(each) for name, each in found.items()},
    }
