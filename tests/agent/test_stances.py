"""What agents say to each other: only who has the key is believed, and only about what was just asked."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from edge.agent import stances
from edge.agent.peers import Peers
from edge.agent.stances import UnsignedError, key_of
from edge.config import Config, load
from edge.control.contract import Signed
from edge.control.metrics import Metrics
from edge.control.pages import serve_http
from edge.dns.counters import BUCKETS_S
from edge.errors import ConfigError, RefusedError
from edge.failover.model import Assignment, Listed
from edge.failover.unanimity import Stance
from tests.control.desk import Bench, world

KEY, OTHER = bytes(16), bytes(range(16))
SAID = {
    "files": Stance(Assignment("a", 7, 1), "b", "a is down", Listed(("dc1", "dc2"), ("vpc",), 2)),
    "home": Stance(None, None, "no assignment is known", Listed()),
}
CONFIGS = Path(__file__).parents[2] / "config"


def test_an_answer_arrives_as_it_was_said() -> None:
    asked = stances.question(KEY, "dc1")
    assert stances.asker(KEY, asked) == "dc1"
    assert stances.answered(KEY, asked, "dc2", stances.answer(KEY, asked, "dc2", SAID)) == SAID


def test_nobody_else_is_believed() -> None:
    asked = stances.question(KEY, "dc1")
    told = stances.answer(KEY, asked, "dc2", SAID)
    for wrong in (stances.answer(OTHER, asked, "dc2", SAID), replace(told, text=told.text.replace('"a"', '"b"'))):
        with pytest.raises(UnsignedError, match="not signed with our key"):
            stances.answered(KEY, asked, "dc2", wrong)
    with pytest.raises(UnsignedError, match="not signed with our key"):
        stances.asker(KEY, Signed("{}", "ä"))
    with pytest.raises(UnsignedError, match="dc2's answer to another question"):
        stances.answered(KEY, asked, "vpc", told)
    with pytest.raises(UnsignedError, match="no question"):
        stances.asker(KEY, told)


def test_an_answer_is_to_one_question_only() -> None:
    told = stances.answer(KEY, stances.question(KEY, "dc1"), "dc2", SAID)
    with pytest.raises(UnsignedError, match="another question"):
        stances.answered(KEY, stances.question(KEY, "dc1"), "dc2", told)


def test_what_an_agent_of_another_version_says_otherwise_is_not_believed() -> None:
    asked = stances.question(KEY, "dc1")
    told = stances.answer(KEY, asked, "dc2", SAID)
    for old, new in (('"epoch": 7', '"age": 7'), ('"services": {', '"service": {'), ('"round": 1', '"round": "x"')):
        text = told.text.replace(old, new)
        with pytest.raises(UnsignedError, match="can't be understood"):
            stances.answered(KEY, asked, "dc2", stances._signed(KEY, text))


@pytest.mark.parametrize("text", ["", "0" * 31, "0" * 33, "x" * 32, None])
def test_a_key_that_is_none_is_refused(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "key").write_text(text)
    config = unanimous(tmp_path)
    with pytest.raises(ConfigError, match=r"^vantage\.key_file: "):
        key_of(config)


def test_a_key_is_of_any_length_from_32_digits_on(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("0f" * 32 + "\n")
    assert key_of(unanimous(tmp_path)) == b"\x0f" * 32
    assert key_of(load(CONFIGS / "two-agents.toml")) == b""


def unanimous(home: Path, http: str = "127.0.0.1:9") -> Config:
    """As a file of dc1 says it, but for what it is checked for."""
    config = load(CONFIGS / "two-agents.toml")
    words = {"on_store_loss": "unanimous", "key_file": home / "key"}
    vantage = config.vantage.model_copy(
        update={**words, "on_store_loss": type(config.vantage.on_store_loss)("unanimous")}
    )
    host, _, port = http.rpartition(":")
    peer = config.peers[0].model_copy(update={"http": type(config.peers[0].dns)(host, int(port))})
    return config.model_copy(update={"vantage": vantage, "peers": (peer,)})


class Telling(Bench):
    """The other agent's desk."""

    def __init__(self, config: Config) -> None:
        super().__init__(world())
        own = config.model_copy(update={"agent": config.agent.model_copy(update={"name": "edge-2"})})
        self.peers = Peers(lambda: own)
        self.asked = 0

    def stances(self, asked: Signed) -> Signed:
        try:
            return self.peers.answer(asked, self._told)
        except UnsignedError as error:
            raise RefusedError(str(error)) from error

    def _told(self) -> Mapping[str, Stance]:
        self.asked += 1
        return SAID


async def test_agents_ask_each_other_over_http(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("00" * 16)
    desk = Telling(unanimous(tmp_path))
    runner = await serve_http(desk, Metrics(desk.snapshot, BUCKETS_S), "127.0.0.1", 0)
    host, port = runner.addresses[0][:2]
    ours = Peers(lambda: unanimous(tmp_path, f"{host}:{port}"))
    assert ours.names() == ("edge-2",)
    assert await ours.ask("edge-2") == SAID
    async with aiohttp.ClientSession() as anybody, anybody.get(f"http://{host}:{port}/stances") as response:
        assert response.status == 403
        assert "not signed with our key" in await response.text()
    assert desk.asked == 1
    (tmp_path / "key").write_text("01" * 16)
    stranger = Peers(lambda: unanimous(tmp_path, f"{host}:{port}"))
    assert await stranger.ask("edge-2") is None
    assert "not signed with our key" in str(stranger.troubles()["edge-2"])
    assert ours.troubles() == {"edge-2": None}
    await runner.cleanup()
    assert await ours.ask("edge-2") is None
    for each in (ours, stranger):
        await each.stop()
