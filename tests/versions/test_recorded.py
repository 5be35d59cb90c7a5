"""What earlier versions have written and told is understood, also with what later ones may add; and earlier ones would
understand what is written and told now. `recorded` is what two real agents of each version wrote and told.
"""

import hmac
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from edge.agent.stances import answer, answered, question
from edge.control import status, tables
from edge.control.contract import Forecast, Signed
from edge.errors import Fault
from edge.failover import events as ev
from edge.failover.lease import Record, Word, Write
from edge.failover.model import (
    Assignment,
    Cause,
    Intent,
    Lease,
    Listed,
    Opinion,
    Override,
    Pointing,
    Report,
    Sight,
    Stage,
)
from edge.failover.unanimity import COUNTED_S, PROMISE_S, Stance
from edge.history import Line
from edge.stores.contract import Item
from edge.stores.leases import Leases
from edge.stores.records import Clock, Records
from edge.stores.served import Served
from edge.stores.sqlite import SqliteStore, dump
from tests.control.desk import COSTS, STEPS, Bench, Side, world
from tests.failover.world import World
from tests.versions.record import KEY
from tests.versions.shapes import broken, grown

RECORDED = {path.stem: json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "recorded").iterdir())}
NAME = "files.fs.corp.example"
CLOCK = Clock("a boot", lambda: 1000.0, lambda: 1_700_000_000.0)
AGREED = Assignment("a", 4, 1)
LISTED = Listed(("one", "two"), (), 1)


def recorded(kind: str) -> Sequence[Any]:
    """Of all versions."""
    found = [(of, i, value) for of, all_of in RECORDED.items() for i, value in enumerate(all_of.get(kind, ()))]
    return [pytest.param(value, id=f"{of}-{i}") for of, i, value in found]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(tmp_path / "state")) as opened:
        yield opened


def kept(store: SqliteStore, row: Mapping[str, Any]) -> None:
    store.restore(Item(row["key"], row["version"], row["value"]))


# --- they are understood ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("later", [dict, grown], ids=["as it was", "with more"])
@pytest.mark.parametrize("row", recorded("row assignment"))
def test_an_assignment(store: SqliteStore, row: Any, later: Any) -> None:
    kept(store, later(row))
    value, found = row["value"], Records(store, CLOCK, "edge-1").load(NAME)
    assert found.assignment == Assignment(value["node"], value["epoch"])
    assert (found.unsettled is None) is value["settled"]
    assert len(found.automatic_at) == len(value["automatic"])
    assert len(found.drift_at) == len(value["answered"])


@pytest.mark.parametrize("later", [dict, grown], ids=["as it was", "with more"])
@pytest.mark.parametrize("row", recorded("row intent"))
def test_a_switch_and_its_journal(store: SqliteStore, row: Any, later: Any) -> None:
    kept(store, later(row))
    records, value = Records(store, CLOCK, "edge-1"), row["value"]
    found = records.load(NAME)
    assert found.newest == value["epoch"]
    if value["state"] != "open":
        assert found.opened is None
        return
    assert found.opened is not None
    assert (found.opened.node, found.opened.outgoing) == (value["node"], tuple(value["outgoing"]))
    assert found.begun is bool(value["steps"] or value["touched"])
    records.journal(NAME, value["epoch"], "publish", "done", "read back")
    records.commit(NAME, found.opened)
    records.close(NAME, value["epoch"], finished=True)
    assert records.load(NAME).assignment == Assignment(value["node"], value["epoch"])


@pytest.mark.parametrize("later", [dict, grown], ids=["as it was", "with more"])
@pytest.mark.parametrize("row", recorded("row override"))
def test_an_operators_word(store: SqliteStore, row: Any, later: Any) -> None:
    kept(store, later(row))
    said, found = row["value"]["said"], Records(store, CLOCK, "edge-1").load(NAME).override
    assert (found and (found.pinned, found.who)) == (said and (said["pinned"], said["who"]))


@pytest.mark.parametrize("later", [dict, grown], ids=["as it was", "with more"])
@pytest.mark.parametrize("row", recorded("row history"))
def test_a_line_of_the_history(store: SqliteStore, row: Any, later: Any) -> None:
    kept(store, later(row))
    [line] = Records(store, CLOCK, "edge-1").history([NAME], 10)
    assert (line.kind, line.sentence, line.took_s) == tuple(row["value"][key] for key in ("kind", "sentence", "took_s"))


@pytest.mark.parametrize("later", [dict, grown], ids=["as it was", "with more"])
@pytest.mark.parametrize("row", recorded("row lease"))
def test_the_lease(store: SqliteStore, row: Any, later: Any) -> None:
    kept(store, later(row))
    assert Leases(store).read() == (Record(**row["value"]), row["version"])


@pytest.mark.parametrize("later", [dict, grown], ids=["as it was", "with more"])
@pytest.mark.parametrize("row", recorded("row agent"))
def test_an_agents_word(store: SqliteStore, row: Any, later: Any) -> None:
    kept(store, later(row))
    [word], value = Leases(store).heard().values(), row["value"]
    assert (word.path_up, word.candidate) == (value["path_up"], value.get("candidate", True))
    assert word.moved == {service: Assignment(**live) for service, live in value.get("moved", {}).items()}
    assert word.reports.keys() == value.get("sees", {}).keys()
    for service, report in word.reports.items():
        seen = {node: [said.sight.value, said.sentence] for node, said in report.opinions.items()}
        assert seen == value["sees"][service]["nodes"]


@pytest.mark.parametrize("later", [dict, grown], ids=["as it was", "with more"])
@pytest.mark.parametrize("file", recorded("served.json"))
def test_what_an_agent_served_last(tmp_path: Path, file: Any, later: Any) -> None:
    (tmp_path / "served.json").write_text(json.dumps(later(file)))
    with closing(Served(tmp_path)) as served:
        told = {**file["services"], **file.get("moved", {})}
        assert served.live() == {service: Assignment(**live) for service, live in told.items()}


@pytest.mark.parametrize("said", recorded("stances"))
def test_how_another_agent_stands(said: Any) -> None:
    key, asked = bytes.fromhex(KEY), Signed(**said["asked"])
    told = answered(key, asked, "one", Signed(**said["told"]))
    assert {service: stands(stance) for service, stance in told.items()} == said["services"]
    more = json.dumps(grown(json.loads(said["told"]["text"])))
    assert answered(key, asked, "one", signed(key, more)) == told


def stands(stance: Stance) -> Any:
    """As JSON has it."""
    return json.loads(json.dumps(asdict(stance)))


def signed(key: bytes, text: str) -> Signed:
    return Signed(text, hmac.digest(key, text.encode(), "sha256").hex())


SHOWN = {
    "status": tables.status,
    "why": tables.why,
    "views": tables.views,
    "history": lambda answer: tables.history(answer["lines"]),
    "check": tables.findings,
    "promote --dry-run": tables.forecast,
}


@pytest.mark.parametrize("later", [dict, grown], ids=["as it was", "with more"])
@pytest.mark.parametrize(("asked", "told"), [(a, each) for a in SHOWN for each in recorded(f"answer {a}")])
def test_what_an_agent_tells_who_asks(asked: str, told: Any, later: Any) -> None:
    assert all(map(tables.plain, SHOWN[asked](later(told.values[0]))))


def test_a_cause_that_is_not_known_damps_as_a_failure_does(store: SqliteStore) -> None:
    [row, *_] = [each for all_of in RECORDED.values() for each in all_of["row assignment"]]
    kept(store, {**row, "value": {**row["value"], "cause": "eclipse"}})
    assert Records(store, CLOCK, "edge-1").load(NAME).unsettled is None
    kept(store, {"key": f"intent/{NAME}", "version": 1, "value": {**row["value"], **OPEN, "cause": "eclipse"}})
    found = Records(store, CLOCK, "edge-1").load(NAME).opened
    assert found is not None
    assert found.cause is Cause.FAILURE


OPEN = {"epoch": 100, "state": "open", "touched": False}


# --- they understand us -----------------------------------------------------------------------------------------------


def written(home: Path) -> Mapping[str, list[Any]]:
    """What is kept now of a switch, at each of its points, and of all else."""
    found: dict[str, list[Any]] = {}
    with closing(SqliteStore(home)) as store:
        for _ in acts(Records(store, CLOCK, "edge-1"), Leases(store)):
            for item in dump(store.path):
                found.setdefault(item.key.partition("/")[0], []).append(dict(item.value))
    return found


def acts(records: Records, leases: Leases) -> Iterator[None]:
    for epoch, (node, origin, cause) in enumerate((("a", None, Cause.BOOTSTRAP), ("b", "a", Cause.FAILURE)), start=1):
        intent = Intent(epoch, node, origin, cause, "edge", "a sentence", (origin,) if origin else ())
        records.write_intent(NAME, intent)
        yield
        records.journal(NAME, epoch, "publish", "begun", "")
        records.commit(NAME, intent)
        yield
        records.close(NAME, epoch, finished=True)
        yield
    for until in (None, 2000.0):
        records.save_override(NAME, Override(False, "kim", "router work", until))
        yield
    records.save_override(NAME, Override(True, "kim", "pinned", None))
    yield
    records.save_override(NAME, None, forgives=True)
    for took in (None, {"publish": 0.5}):
        records.tell(Line(NAME, 1.5, "stage", "a sentence", 1, "kim", took, took))
    records.tell(Line(NAME, 1.5, "reason", "a sentence", None, None, None))
    records.test()
    seen = {"a": Opinion(Sight.DOWN, "a is down")}
    for moved in ({}, {NAME: AGREED}):
        leases.say("edge-1", Word(0, True, True, {NAME: Report(0.0, True, seen, LISTED)}, moved))
        yield
    for version, released in enumerate((False, True)):
        leases.write(Write(0.0, Record(1, "edge-1", "one", 8.0, released), version))
        yield


@pytest.mark.parametrize("version", RECORDED)
@pytest.mark.parametrize("kind", ["assignment", "intent", "override", "history", "lease", "agent", "test"])
def test_a_row_of_today(version: str, kind: str, tmp_path: Path) -> None:
    before = [row["value"] for row in RECORDED[version][f"row {kind}"]]
    assert broken(before, written(tmp_path)[kind]) == []


@pytest.mark.parametrize("version", RECORDED)
def test_what_is_on_the_disk_today(version: str, tmp_path: Path) -> None:
    with closing(Served(tmp_path)) as served:
        served.keep(NAME, Assignment("a", 4))
        served.keep(NAME, AGREED)
        now = json.loads(served.path.read_text())
    assert broken(RECORDED[version]["served.json"], [now]) == []


@pytest.mark.parametrize("version", [version for version, found in RECORDED.items() if "stances" in found])
def test_a_stance_of_today(version: str) -> None:
    key = bytes.fromhex(KEY)
    told = {NAME: Stance(AGREED, "b", "why", LISTED), "another": Stance(AGREED, None, "why", LISTED)}
    before = RECORDED[version]["stances"]
    now = json.loads(answer(key, question(key, "two"), "one", told).text)
    assert broken([json.loads(each["told"]["text"]) for each in before], [now]) == []
    assert question(key, "two").text.startswith('{"agent": "two", "nonce": "')


@pytest.mark.parametrize("version", RECORDED)
def test_the_rules_that_hold_between_agents(version: str) -> None:
    """A sight that is new has no say with an earlier version, and a cause that is new makes it follow no more."""
    [rules] = RECORDED[version]["rules"]
    assert {each.value for each in Sight} == {*rules["sight"]}
    allowed = {Cause.UNANIMOUS.value}  # not before all agents are of a version that has it
    assert {each.value for each in Cause} - allowed <= {*rules["cause"]}
    if "promise_s" in rules:
        assert (rules["promise_s"], rules["counted_s"]) == (PROMISE_S, COUNTED_S)


def answers() -> Mapping[str, list[Any]]:
    """Of worlds in which everything is quiet, under way, owed or held."""
    desks = [Bench(each) for each in (world(), held(), switching(), several())]
    for desk in desks:
        sides = [Side("route53", Assignment("b", 7), 60, "a TTL of 60"), Side("peer/x", None)]
        desk._read = [(desk.first.now - 2, side) for side in sides]
    shots = [desk.snapshot() for desk in desks]
    line = Line(NAME, 1.5, "agreed", "a sentence", 7, "kim", {"publish": 0.5}, {"route53": 0.5})
    now = {
        "status": [status.agent(shot, shot.services) for shot in shots],
        "why": [status.why(shot, shot.services[0]) for shot in shots],
        "views": [{"services": [status.views(shot.services[0])]} for shot in shots],
        "history": [{"lines": [status.line(each) for each in (line, replace(line, epoch=None, who=None))]}],
        "promote --dry-run": [
            status.forecast(Forecast(NAME, "would promote b", "b", 8, STEPS, COSTS[:1], ("a note",))),
        ],
    }
    told: Mapping[str, list[Any]] = json.loads(json.dumps(now))
    return told


def held() -> World:
    one = world()
    one.says(ev.Hold("kim", "backup runs", one.now + 60))
    return one


def switching() -> World:
    one = world()
    one.stages[Stage.FENCE] = Fault.DENIED
    one.says(ev.Promote("b", "kim", "maintenance"))
    return one


def several() -> World:
    """Two agents, of which the other one leads, while AWS was changed by somebody else."""
    one = world(vantage="edge-1", peers=("edge-2",), quorum=1, listed=LISTED)
    seen = {"a": Opinion(Sight.DOWN, "a is down")}
    one.hears(ev.Reported("edge-2", Report(one.now, path_up=True, opinions=seen, listed=LISTED)))
    one.hears(ev.SidesRead(7, (Pointing("route53", "b", 7, "10.0.2.10, epoch 7"),)))
    one.passes(5)
    one.hears(ev.LeaseSaid(Lease(held=False, until=math.inf, holder="edge-2")))
    return one


@pytest.mark.parametrize("version", RECORDED)
@pytest.mark.parametrize("asked", ["status", "why", "views", "history", "promote --dry-run"])
def test_what_is_told_today(version: str, asked: str) -> None:
    assert broken(RECORDED[version][f"answer {asked}"], answers()[asked]) == []
