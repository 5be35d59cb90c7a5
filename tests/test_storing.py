"""The invariant: whatever happens during a move, nothing is lost, and no two stores are left that agents would use."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from edge import storing
from edge.config import StoreKind, load
from edge.errors import EdgeError, RefusedError, StoreConflictError, StoreError, StoreSchemaError
from edge.failover.lease import Word
from edge.failover.model import Assignment, Cause, Intent, Override
from edge.history import Line
from edge.stores import table
from edge.stores.contract import Item
from edge.stores.dynamodb import DynamoStore
from edge.stores.leases import Leases
from edge.stores.records import Clock, Records
from edge.stores.served import Served
from edge.stores.sqlite import SqliteStore, dump
from tests.agent.site import EDGECTL
from tests.cloud.emulator import Emulator
from tests.stores.conftest import asking

SQLITE, DYNAMODB = StoreKind.SQLITE, StoreKind.DYNAMODB
FILES = "files.fs.corp.example"
CONFIG = """
[agent]
name = "edge-1"
state_dir = "{home}/state"
[dns]
listen = ["127.0.0.1:5301"]
[zone]
name = "fs.corp.example"
[zone.nameservers]
"ns1.fs.corp.example" = ["127.0.0.1"]
[aws]
region = "ap-northeast-1"
connect_timeout = "10s"
read_timeout = "60s"
[aws.endpoints]
dynamodb = "{url}"
[store]
kind = "dynamodb"
table = "{table}"
[lease]
duration = "10m"
renew = "200ms"
[[service]]
name = "files.fs.corp.example"
  [service.probe]
  kind = "smb"
  [[service.node]]
  name = "a"
  address = "10.0.1.10"
  [[service.node]]
  name = "b"
  address = "10.0.2.10"
"""


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


class Home:
    """An agent's file and state directory, and the table that the file names."""

    def __init__(self, path: Path, aws: Emulator) -> None:
        self.aws, self.state, self.file = aws, path / "state", path / "edge.toml"
        self.calls, self.table = asking(aws.endpoint_url), f"edge-{uuid4().hex}"
        self.file.write_text(CONFIG.format(home=path, url=aws.endpoint_url, table=self.table))

    def lived(self) -> list[Item]:
        """What an agent with SQLite leaves behind after some switches."""
        with closing(SqliteStore(self.state)) as store:
            records = Records(store, Clock("boot-1", lambda: 1000.0, lambda: 1_700_000_000.0))
            for epoch, node in enumerate("abab", 1):
                intent = Intent(epoch, node, "a", Cause.OPERATOR, "ann", "Wartung über Nacht")
                records.write_intent(FILES, intent)
                records.journal(FILES, epoch, "route53", "begun", "as read")
                records.commit(FILES, intent)
                records.close(FILES, epoch, finished=True)
                records.tell(Line(FILES, 1_700_000_000 + epoch, "agreed", "both sides", epoch, "ann", {"detect": 0.25}))
            records.save_override(FILES, Override(pinned=True, who="ann", sentence="until Monday"))
            records.test()
        return self.known(dump(self.state / "edge.sqlite"))

    def known(self, items: Sequence[Item]) -> list[Item]:
        own = ("test", "schema", "lease", "agent")
        return sorted((item for item in items if item.key.partition("/")[0] not in own), key=lambda item: item.key)

    def in_table(self) -> list[Item]:
        return self.known(table.items(self.calls, self.table))

    def edgectl(self, *words: str) -> "subprocess.CompletedProcess[str]":
        command = [EDGECTL, "store", *words, "--config", str(self.file)]
        return subprocess.run(command, env=self.aws.env() | {"PATH": ""}, text=True, capture_output=True, check=False)

    def move(self, source: StoreKind, target: StoreKind) -> str:
        return storing.move(self.file, source, target, None)


@pytest.fixture
def home(tmp_path: Path, aws: Emulator, monkeypatch: pytest.MonkeyPatch) -> Home:
    for name, value in aws.env().items():
        monkeypatch.setenv(name, value)
    return Home(tmp_path, aws)


def test_the_table_is_made_once_from_the_command_line(home: Home) -> None:
    made, again = home.edgectl("init"), home.edgectl("init")
    assert (made.returncode, made.stdout) == (0, f"the table {home.table} is made, and can be used\n")
    assert (again.returncode, again.stdout) == (0, f"the table {home.table} was there, and can be used\n")
    assert DynamoStore(home.calls, home.table).read("k/a") is None


def test_the_template_is_printed_and_nothing_made(home: Home) -> None:
    said = home.edgectl("init", "--cloudformation")
    assert json.loads(said.stdout)["Resources"]["Store"]["Properties"]["TableName"] == home.table
    with pytest.raises(StoreSchemaError, match="there is no table"):
        DynamoStore(home.calls, home.table).read("k/a")


def test_a_move_there_and_back_loses_nothing(home: Home) -> None:
    before = home.lived()
    storing.init(home.file)
    said = home.edgectl("move", "--from", "sqlite", "--to", "dynamodb")
    assert said.returncode == 0, said.stderr
    assert f"{len(before)} items are in the table {home.table}, read back and alike" in said.stdout
    assert home.in_table() == before
    back = home.edgectl("move", "--from", "dynamodb", "--to", "sqlite")
    assert back.returncode == 0, back.stderr
    assert home.known(dump(home.state / "edge.sqlite")) == before


def test_what_was_moved_from_is_put_aside(home: Home) -> None:
    before = home.lived()
    storing.init(home.file)
    home.move(SQLITE, DYNAMODB)
    assert not (home.state / "edge.sqlite").exists()
    assert home.known(dump(home.state / "edge.sqlite.moved")) == before
    home.move(DYNAMODB, SQLITE)
    with pytest.raises(StoreSchemaError, match=r'has \{"schema": 1, "moved": "to SQLite"\}'):
        DynamoStore(home.calls, home.table).read("k/a")


def test_the_agent_finds_its_state_in_the_new_store_and_answers_without_it(home: Home) -> None:
    home.lived()
    storing.init(home.file)
    home.move(SQLITE, DYNAMODB)
    found = Records(DynamoStore(home.calls, home.table), Clock("boot-1", lambda: 1000.0, lambda: 0.0), "edge-1")
    assert found.load(FILES).assignment == Assignment("b", 4)
    assert found.load(FILES).override == Override(pinned=True, who="ann", sentence="until Monday")
    assert len(found.history([FILES], 100)) == 4
    with closing(Served(home.state)) as served:
        assert served.live() == {FILES: Assignment("b", 4)}


def test_a_target_that_has_something_is_refused_and_nothing_moves(home: Home) -> None:
    before = home.lived()
    storing.init(home.file)
    DynamoStore(home.calls, home.table).compare_and_set("assignment/other.fs.corp.example", {"epoch": 1}, 0)
    refused = home.edgectl("move", "--from", "sqlite", "--to", "dynamodb")
    assert refused.returncode == 1
    assert f"the table {home.table} is not empty: it has assignment/other.fs.corp.example" in refused.stderr
    assert home.known(dump(home.state / "edge.sqlite")) == before
    assert len(home.in_table()) == 1


def test_a_move_that_broke_off_is_finished_by_the_next(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    before = home.lived()
    storing.init(home.file)
    put = DynamoStore.restore
    left = [3]

    def breaks(self: DynamoStore, item: Item) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise StoreError("the line is cut")
        put(self, item)

    with monkeypatch.context() as broken:
        broken.setattr(DynamoStore, "restore", breaks)
        with pytest.raises(StoreError, match="the line is cut"):
            home.move(SQLITE, DYNAMODB)
    assert len(home.in_table()) == 3
    assert home.known(dump(home.state / "edge.sqlite")) == before, "the source is still there"
    home.move(SQLITE, DYNAMODB)
    assert home.in_table() == before


def test_what_is_read_back_otherwise_than_it_was_written_is_told(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    before = home.lived()
    storing.init(home.file)
    monkeypatch.setattr(DynamoStore, "restore", lambda *_: None)
    with pytest.raises(StoreError, match=r"does not have .* as it was written: the source stays as it is"):
        home.move(SQLITE, DYNAMODB)
    assert home.known(dump(home.state / "edge.sqlite")) == before


def test_a_damaged_assignment_is_told_by_its_key_and_nothing_moves(home: Home) -> None:
    home.lived()
    home.edgectl("init")
    with closing(SqliteStore(home.state)) as store:
        item = store.read(f"assignment/{FILES}")
        assert item
        store.compare_and_set(item.key, {"node": "a"}, item.version)
    with pytest.raises(StoreSchemaError, match=f"assignment/{FILES} can't be understood"):
        home.move(StoreKind.SQLITE, StoreKind.DYNAMODB)
    assert (home.in_table(), (home.state / "edge.sqlite").exists()) == ([], True)


def test_a_running_agents_file_is_refused(home: Home) -> None:
    home.lived()
    storing.init(home.file)
    with closing(SqliteStore(home.state)), pytest.raises(StoreError, match="another agent works in"):
        home.move(SQLITE, DYNAMODB)
    assert home.in_table() == []


def test_a_table_on_which_an_agent_speaks_is_refused(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    storing.init(home.file)
    leases = Leases(DynamoStore(home.calls, home.table))
    leases.say("edge-2", Word(0, path_up=True))
    config = load(home.file)

    def speaks(_for_s: float) -> None:
        leases.say("edge-2", Word(0, path_up=True))

    with pytest.raises(RefusedError, match=r"an agent works with the table edge-.* \(edge-2\): stop all of them first"):
        storing._Table(config, None, speaks)
    storing._Table(config, None, lambda _for_s: None)  # its word is from an agent that is gone


@pytest.mark.parametrize(("source", "target"), [(SQLITE, SQLITE), (DYNAMODB, DYNAMODB)])
def test_a_move_has_two_ends(home: Home, source: StoreKind, target: StoreKind) -> None:
    with pytest.raises(RefusedError, match="name two kinds"):
        home.move(source, target)


def test_a_file_that_is_not_there_is_not_made(home: Home) -> None:
    storing.init(home.file)
    with pytest.raises(RefusedError, match=r"there is no .*edge.sqlite to move from"):
        home.move(SQLITE, DYNAMODB)
    assert not home.state.exists()


def test_a_table_that_is_not_there_is_told_with_what_to_do(home: Home) -> None:
    home.lived()
    refused = home.edgectl("move", "--from", "sqlite", "--to", "dynamodb")
    assert refused.returncode == 1
    assert "`edgectl store init` makes it" in refused.stderr


def test_without_aws_there_is_no_table(home: Home) -> None:
    text = home.file.read_text()
    without = text[: text.index("[aws]")] + text[text.index("[[service]]") :]
    home.file.write_text(without)
    with pytest.raises(EdgeError, match=r"aws: missing: a shared table needs \[aws\]"):
        storing.init(home.file)


def test_an_item_is_restored_where_there_is_none(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path)) as store:
        store.restore(Item("k/a", 7, {"n": 1}))
        assert store.read("k/a") == Item("k/a", 7, {"n": 1})
        with pytest.raises(StoreConflictError):
            store.restore(Item("k/a", 9, {"n": 2}))
