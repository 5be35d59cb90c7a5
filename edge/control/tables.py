"""The agent's answers as blocks of sentences and rows: for a terminal, a pipe and the status page alike.

edgectl is new once it is installed, the agent once it is restarted: a key that agents of earlier versions don't tell is
read with what its absence means, by `get`.
"""

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
NONE = "-"


@dataclass(frozen=True, slots=True)
class Block:
    """A heading, sentences, and a table if there are headers."""

    title: str
    lines: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


def plain(block: Block) -> str:
    """Aligned text, without blanks at the ends of lines."""
    table = [block.headers, *block.rows] if block.headers else []
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    rows = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    return "\n".join([*([block.title] if block.title else []), *block.lines, *rows])


# --- status ---------------------------------------------------------------------------------------------------------


def status(answer: Json) -> list[Block]:
    services = [block for each in answer["services"] for block in (_service(each), *_vantages(each))]
    return [*services, _agent(answer)]


def _vantages(seen: Json) -> Iterator[Block]:
    """Where several agents' observations count."""
    if not seen.get("vantages"):
        return
    title = f"{seen['quorum']} of {len(seen['vantages'])} vantages have to agree"
    nodes = [node["name"] for node in seen["nodes"]]
    lines = tuple(f"vantage {each['name']}: {differs}" for each in seen["vantages"] if (differs := each.get("differs")))
    yield Block(title, lines, ("VANTAGE", "HEARD", *nodes), tuple(_vantage(each, nodes) for each in seen["vantages"]))


def _vantage(vantage: Json, nodes: list[str]) -> tuple[str, ...]:
    if why := vantage["abstains"]:
        return (vantage["name"], ago(vantage["age_s"]), f"abstains: {why}", *([""] * (len(nodes) - 1)))
    return (vantage["name"], ago(vantage["age_s"]), *(vantage["sees"][node] for node in nodes))


def _service(seen: Json) -> Block:
    endpoints = (*map(_node, seen["nodes"]), *map(_witness, seen["witnesses"]))
    headers = ("ENDPOINT", "LIVE", "VERDICT", "HEALTH", "RTT", "LOSS", "HEARD", "EVIDENCE")
    return Block(headline(seen), tuple(_notes(seen)), headers, endpoints)


def headline(seen: Json) -> str:
    if seen["live_node"] is None:
        return f"{seen['service']}: no node is live"
    answer = ", ".join(seen["answer"])
    moved = f" round {seen['round']}, which the store has not yet" if seen.get("round") else ""
    return f"{seen['service']}: {seen['live_node']} is live at epoch {seen['epoch']}{moved} ({answer})"


def _notes(seen: Json) -> Iterator[str]:
    """What an operator has to know now; nothing of what is as usual."""
    reason, override = seen["reason"], seen["override"]
    yield f"{reason['slug']}: {reason['sentence']}"
    if looks := [f"{look['name']} lost {look['lost']} of {look['asked']}" for look in seen.get("closer_look", ())]:
        yield f"a closer look at every endpoint: {', '.join(looks)}"
    yield from map(_switch, filter(None, (seen["operation"], seen["owed"])))
    if override:
        left = "" if override["left_s"] is None else f", {span(override['left_s'])} left"
        yield f"{override['kind']} by {override['who']}: {override['sentence']}{left}"
    yield from (f"bars a switch: {each['sentence']}" for each in seen["vetoes"] if each != reason)
    if said := seen.get("without_store"):
        yield f"without the store: {said}"
    if drift := seen["drift"]:
        held = f"; {drift['held']['sentence']}" if drift["held"] else ""
        yield f"drift for {span(drift['for_s'])}: AWS was changed by somebody else: {drift['sentence']}{held}"
    yield from _disagreements(seen)


def _switch(operation: Json) -> str:
    took = ", ".join(f"{stage} {ms:.0f} ms" for stage, ms in operation["took_ms"].items())
    retry = "" if operation["retry_in_s"] is None else f", next try in {span(operation['retry_in_s'])}"
    trouble = f"; {operation['trouble']['sentence']}{retry}" if operation["trouble"] else ""
    debts = f"; AWS is owed: {', '.join(operation['debts'])}" if operation["debts"] else ""
    return f"switch {operation['id']} to {operation['node']}: {operation['phase']} ({took}){trouble}{debts}"


def _disagreements(seen: Json) -> Iterator[str]:
    for view in seen["views"]:
        if view["agrees"] is not True:
            how = "can't be read" if view["agrees"] is None else f"disagrees, for {span(seen['disagreement_s'])}"
            yield f"view {view['name']} {how}: {view['said']}"
        if view["warning"]:
            yield f"view {view['name']}: {view['warning']}"


def _node(node: Json) -> tuple[str, ...]:
    return (node["name"], "live" if node["live"] else "", node["verdict"], *_probed(node))


def _witness(witness: Json) -> tuple[str, ...]:
    return (witness["name"], "", "witness", *_probed(witness))


def _probed(endpoint: Json) -> tuple[str, ...]:
    rtt = NONE if endpoint["rtt_ms"] is None else f"{endpoint['rtt_ms']:.1f} ms"
    return (
        endpoint["health"],
        rtt,
        f"{endpoint['loss_share']:.0%}",
        ago(endpoint["heard_age_s"]),
        endpoint["evidence"],
    )


def _agent(answer: Json) -> Block:
    left_s = answer["credentials_left_s"]
    parts = (
        f"up {span(answer['uptime_s'])}",
        f"answers confirmed {ago(answer['answer_age_s'])}",
        "the DNS workers have the newest zone" if answer["dns_ready"] else "A DNS WORKER HAS NOT THE NEWEST ZONE",
        "store up" if answer["store_up"] else "STORE DOWN: NO SWITCH CAN BE RECORDED",
        *_leading(answer),
        *([] if answer["config_reload_ok"] else ["THE LAST RELOAD WAS REFUSED"]),
        *([] if left_s is None else [f"AWS credentials end in {span(left_s)}"]),
    )
    return Block(f"agent {answer['agent']}: {', '.join(parts)}")


def _leading(answer: Json) -> Iterator[str]:
    """Of several agents. A single one leads for ever, and nobody asks."""
    if answer.get("role") == "witness":
        yield "A WITNESS: IT NEVER LEADS"
    lease = answer["services"][0]["lease"] if answer["services"] else {"held": True, "left_s": None}
    if lease["held"] and lease["left_s"] is None:
        return
    yield "leads" if lease["held"] else f"{lease['holder']} leads"
    if (age_s := answer.get("store_age_s")) is not None:
        yield f"the shared store read {ago(age_s)}"


# --- the other answers ----------------------------------------------------------------------------------------------


def why(answer: Json) -> list[Block]:
    facts = tuple(f"  {fact}" for fact in answer["facts"])
    bars = tuple(f"  {veto['slug']}: {veto['sentence']}" for veto in answer["vetoes"]) or ("  nothing",)
    ifs = tuple(f"  {each}" for each in answer["would_switch_if"]) or ("  nothing is missing",)
    return [
        Block(f"{answer['service']}: {answer['reason']['sentence']}"),
        Block("because", facts),
        Block("bars an automatic switch", bars),
        Block("an automatic switch opens when", ifs),
    ]


def views(answer: Json) -> list[Block]:
    headers = ("VIEW", "AGREES", "NODE", "EPOCH", "TTL", "READ", "SAID")
    return [Block(headline(each), (), headers, tuple(map(_view, each["views"]))) for each in answer["services"]]


def _view(view: Json) -> tuple[str, ...]:
    agrees = {True: "yes", False: "NO", None: "not read"}[view["agrees"]]
    ttl = NONE if view["ttl_s"] is None else f"{view['ttl_s']} s"
    said = f"{view['said']}; {view['warning']}" if view["warning"] else view["said"]
    return (view["name"], agrees, view["node"] or NONE, str(view["epoch"] or NONE), ttl, ago(view["age_s"]), said)


def history(lines: list[Json]) -> list[Block]:
    headers = ("TIME", "SERVICE", "KIND", "EPOCH", "WHO", "SENTENCE")
    return [Block("", (), headers, tuple(map(_line, lines)))]


def _line(line: Json) -> tuple[str, ...]:
    at = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(line["wall_s"]))
    epoch = (line["operation"] or NONE).rpartition("@")[2]
    return (at, line["service"], line["kind"], epoch, line["who"] or NONE, line["sentence"])


def findings(answer: Json) -> list[Block]:
    return [Block("", (), ("LEVEL", "SUBJECT", "FOUND", "ADVICE"), tuple(map(_finding, answer["findings"])))]


def _finding(finding: Json) -> tuple[str, ...]:
    subject = f"{finding['service']} {finding['subject']}".strip()
    return (finding["level"], subject, finding["sentence"], finding["advice"] or NONE)


def forecast(answer: Json) -> list[Block]:
    """What a promotion would do, in order, and how long it would be noticed."""
    rows = tuple(row for step in answer["steps"] for row in _foreseen(step))
    headers = ("STAGE", "STEP", "READS NOW", "CALL", "PARAMETERS")
    costs = tuple(map(_cost, answer["outage"]))
    return [
        Block(f"{answer['service']}: {answer['sentence']}", (), headers, rows),
        Block(_outage(answer["outage"]), tuple(answer["notes"]), ("PART", "LAST", "AT WORST", "BECAUSE"), costs),
    ]


def _foreseen(step: Json) -> Iterator[tuple[str, ...]]:
    reads = f"FAILS: {step['reads']}" if step["trouble"] else step["reads"]
    calls = [(f"{call['service']}:{call['operation']}", _compact(call["parameters"])) for call in step["calls"]]
    for i, call in enumerate(calls or [("nothing" if not step["trouble"] else NONE, NONE)]):
        yield (*((step["stage"], step["step"], reads) if i == 0 else ("", "", "")), *call)


def _compact(parameters: Json) -> str:
    return json.dumps(parameters, separators=(",", ":"), ensure_ascii=False)


def _outage(costs: list[Json]) -> str:
    worst, last = (_sum(cost[key] for cost in costs) for key in ("worst_s", "last_s"))
    return f"the outage that clients see: {worst} at worst, {last} by the last switch"


def _sum(seconds: Iterable[float | None]) -> str:
    """Of the parts that are known."""
    known = [each for each in seconds if each is not None]
    return span(sum(known)) if known else "not known"


def _cost(cost: Json) -> tuple[str, ...]:
    last, worst = (NONE if cost[key] is None else span(cost[key]) for key in ("last_s", "worst_s"))
    return (cost["name"], last, worst, cost["arithmetic"])


def progress(line: Json, began_s: float) -> str:
    """One line of a switch, with the milliseconds since its first."""
    return f"{(line['wall_s'] - began_s) * 1000:9.0f} ms  {line['kind']:<10} {line['sentence']}"


# --- spans of time --------------------------------------------------------------------------------------------------

_UNITS: Mapping[str, float] = {"d": 86400.0, "h": 3600.0, "min": 60.0}


def span(seconds: float) -> str:
    """To two or three digits, which is what people want of an age."""
    for unit, size in _UNITS.items():
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def ago(seconds: float | None) -> str:
    return "never" if seconds is None else f"{span(seconds)} ago"
