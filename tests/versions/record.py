"""What a version writes into the store, onto its disk and tells those who ask: recorded by running two agents of it.

`python -m tests.versions COMMIT --record FILE`. One value of each shape is kept.
"""

import json
import subprocess
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from edge.agent.stances import question
from edge.control.client import Client
from edge.control.contract import Signed
from edge.errors import EdgeError
from edge.stores.contract import Item
from tests.agent.site import ADDRESS, Program, Site
from tests.cloud.emulator import Emulator
from tests.versions.beside import Beside
from tests.versions.shapes import fields

KEY = "00112233445566778899aabbccddeeff"
KINDS = ("schema", "assignment", "intent", "override", "history", "lease", "agent", "test")
WORDS = ("state", "settled", "released", "cause")
ASKED = ("status", "why", "views", "history", "check", "version")
FOREMOST = {"node": "b", "reason": "a test", "dry_run": True}
_RULES = """
import json
from edge.failover.model import Cause, Sight
rules = {"cause": [each.value for each in Cause], "sight": [each.value for each in Sight]}
try:
    from edge.failover.unanimity import PROMISE_S, COUNTED_S
    rules |= {"promise_s": PROMISE_S, "counted_s": COUNTED_S}
except ImportError:
    pass
print(json.dumps(rules))
"""


class Recorder:
    """`found`: by kind, a value of each shape and state; of an answer, those that have a field more than all before."""

    def __init__(self, both: Beside) -> None:
        self.both = both
        self.found: dict[str, list[Any]] = {}
        self._known: dict[str, list[frozenset[tuple[str, str]]]] = {}
        self._rows: set[object] = set()

    def keep(self, kind: str, value: Any) -> None:
        shape, known = fields(value), self._known.setdefault(kind, [])
        if not shape <= frozenset().union(*known):
            known.append(shape)
            self.found.setdefault(kind, []).append(value)

    def keep_row(self, kind: str, item: Item) -> None:
        shape = (kind, fields(item.value), *(item.value.get(word) for word in WORDS))
        if shape not in self._rows:
            self._rows.add(shape)
            row = {"key": item.key, "version": item.version, "value": item.value}
            self.found.setdefault(f"row {kind}", []).append(row)

    def look(self) -> None:
        for kind in KINDS:
            for item in self.both.store.scan(f"{kind}/", 1000):
                self.keep_row(kind, item)
        for site in self.both.sites.values():
            self.keep("served.json", json.loads((site.home / "state" / "served.json").read_text()))

    def ask(self, site: Site) -> None:
        client = Client(str(site.home / "edge.sock"))
        for asked in ASKED:
            with suppress(EdgeError):
                self.keep(f"answer {asked}", client.get(asked, 60.0))
        with suppress(EdgeError):
            self.keep("answer promote --dry-run", client.post("promote", 60.0, **FOREMOST))

    def stances(self, site: Site, of: str) -> None:
        asked = question(bytes.fromhex(KEY), of)
        url = f"http://127.0.0.1:{site.http_port}/stances?{urlencode({'asked': asked.text, 'mac': asked.mac})}"
        with urllib.request.urlopen(url, timeout=5.0) as response:
            told = Signed(response.read().decode(), response.headers["Edge-MAC"])
        parts = {"asked": {"text": asked.text, "mac": asked.mac}, "told": {"text": told.text, "mac": told.mac}}
        self.keep("stances", {**parts, "services": json.loads(told.text)["services"]})


def record(program: Program, home: Path, aws: Emulator) -> str:
    """As JSON, a value a line."""
    both = Beside(home, aws, {"one": program, "two": program}, program)
    try:
        both.begin()
        made = Recorder(both)
        _story(both, made)
        if both.alone:
            _without_store(both, made)
    finally:
        aws.clear_faults()
        both.close()
    rules = subprocess.run([program.python, "-c", _RULES], cwd=program.root, capture_output=True, check=True).stdout
    made.keep("rules", json.loads(rules))
    return _lines(made.found).replace(str(home), "/var/lib")


def _lines(found: dict[str, list[Any]]) -> str:
    kinds = {kind: ",\n".join(json.dumps(value, ensure_ascii=False) for value in found[kind]) for kind in sorted(found)}
    return "{\n" + ",\n".join(f'"{kind}": [\n{values}\n]' for kind, values in kinds.items()) + "\n}\n"


def _story(both: Beside, made: Recorder) -> None:
    one, two = both["one"], both["two"]
    both.settled("a")
    for site in (one, two):
        made.ask(site)
    made.look()
    for words in (["hold", "--reason", "t"], ["hold", "--reason", "t", "--for", "2h"], ["release"]):
        assert one.edgectl(*words).returncode == 0
        made.look()
        made.ask(one)
    assert one.edgectl("promote", "b", "--reason", "t", "--yes", "--pin").returncode == 0
    both.settled("b")
    made.look()
    made.ask(one)
    assert one.edgectl("release").returncode == 0
    both.crash("b")
    while one.answer() != (ADDRESS["a"],):
        made.look()
        made.ask(one)
    for site in both.sites.values():
        site.serve("b")
    both.settled("a")
    made.look()
    one.aws.fault("ec2:AssignPrivateIpAddresses", "black_hole")
    one.edgectl("promote", "b", "--reason", "t", "--yes", "--no-wait")
    one.until("it waits for AWS", lambda: bool(one.aws.calls("ec2:AssignPrivateIpAddresses")))
    made.look()
    made.ask(one)
    one.aws.clear_faults()
    both.settled("b")
    made.look()
    one.terminate()
    made.look()
    made.ask(two)
    one.start()
    both.settled("b")


def _without_store(both: Beside, made: Recorder) -> None:
    made.stances(both["one"], "two")
    both.aws_is_gone()
    both.crash("b")
    while both["one"].answer() != (ADDRESS["a"],) or both["two"].answer() != (ADDRESS["a"],):
        made.stances(both["one"], "two")
        time.sleep(0.1)
    time.sleep(0.5)
    served = json.loads((both["one"].home / "state" / "served.json").read_text())
    made.keep("served.json", served)
    made.stances(both["one"], "two")
    made.keep("answer status", Client(str(both["one"].home / "edge.sock")).get("status"))
    both.aws_is_back()
    one = both["one"]
    one.until("the store has it", lambda: made.look() or one.status().get("round") == 0)
