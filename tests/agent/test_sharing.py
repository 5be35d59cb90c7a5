"""Two real agents on one store: one leads, the other serves what it commits, and takes over when it should."""

import asyncio
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import pytest

from edge.agent.driver import Driver
from edge.agent.live import Live
from edge.agent.sharing import Sharing
from edge.agent.wake import Awake
from edge.config import load
from edge.dns.ask import NotAnsweredError, ask
from edge.dns.server import Workers
from edge.failover.events import Promote
from edge.failover.lease import Keeper, Record, Timing, Write, sole
from edge.failover.model import Assignment, Cause, Intent
from edge.history import Line
from edge.stores.leases import Leases
from edge.stores.records import Clock, Records
from edge.stores.served import Served
from edge.stores.sqlite import SqliteStore
from tests.agent.pair import LEASE_S, Pair, holder, leads
from tests.agent.site import ADDRESS, NAME
from tests.agent.still import still_driver
from tests.agent.test_agent import sample

CONFIGS = Path(__file__).parents[2] / "config"
HOURS = Timing(duration_s=40_000.0, renew_s=20_000.0)
PATIENCE_S = 20.0


def test_what_the_leader_commits_the_follower_serves(pair: Pair) -> None:
    assert pair.one.edgectl("promote", "b", "--reason", "test", "--yes").returncode == 0
    pair.two.until("two serves b", lambda: pair.two.answer() == (ADDRESS["b"],))
    assert pair.two.answer("TXT", f"_edge.{NAME}") == ('"epoch=2 node=b"',)
    assert (sample(pair.one, "edge_lease_held"), sample(pair.two, "edge_lease_held")) == (1, 0)
    assert "another agent switched" in (pair.two.home / "edged.log").read_text()


def test_a_follower_takes_no_word_and_names_the_leader(pair: Pair) -> None:
    for words in (["promote", "b", "--reason", "test", "--yes"], ["hold", "--reason", "test"], ["release"]):
        refused = pair.two.edgectl(*words)
        assert refused.returncode == 1
        assert "the leader is edge-1, not this agent" in refused.stderr
    assert pair.store.read(f"override/{NAME}") is None


def test_the_check_tries_the_shared_store(pair: Pair) -> None:
    for site in (pair.one, pair.two):
        [found] = [line for line in site.edgectl("check").stdout.splitlines() if " store " in line]
        assert found.startswith("ok ")
        assert "it was written and read back" in found


def test_a_word_outlives_the_leader_that_took_it(pair: Pair) -> None:
    assert pair.one.edgectl("hold", "--reason", "router work").returncode == 0
    pair.one.terminate()
    pair.two.until("two leads", lambda: leads(pair.two))
    pair.two.until("two holds", lambda: "router work" in pair.two.edgectl("why").stdout)


def test_a_leader_that_stops_is_followed_at_once(pair: Pair) -> None:
    before = pair.store.read("lease/leader")
    assert pair.one.terminate() == 0
    after = pair.store.read("lease/leader")
    assert before is not None
    assert after is not None
    assert after.value["released"] or after.value["holder"] == "edge-2"
    pair.two.until("two leads", lambda: leads(pair.two))
    taken = pair.store.read("lease/leader")
    assert taken is not None
    assert (taken.value["term"], taken.value["holder"]) == (before.value["term"] + 1, "edge-2")


def test_leader_and_live_node_die_at_one_moment(pair: Pair) -> None:
    """Not before the lease has run out, and then at once. The dead leader's workers follow when it is back."""
    pair.one.kill()
    killed = time.monotonic()
    pair.one.crash("a")
    pair.two.until("two serves b", lambda: pair.two.answer() == (ADDRESS["b"],))
    assert time.monotonic() - killed > LEASE_S / 2, "nobody may lead before the lease has run out"
    pair.two.until("two is content with b", lambda: pair.two.settled_on("b"))
    assert pair.one.in_vpc() == (ADDRESS["b"],)
    pair.one.start()
    pair.one.until("one serves b", lambda: pair.one.answer() == (ADDRESS["b"],))
    assert holder(pair.one) in {"edge-2", "nobody", None}


def test_a_switch_that_the_leader_left_half_way_is_finished_by_the_next_one(pair: Pair) -> None:
    aws = pair.one.aws
    aws.fault("ec2:AssignPrivateIpAddresses", "black_hole")
    pair.one.edgectl("promote", "b", "--reason", "test", "--yes", "--no-wait")
    pair.one.until("it waits for AWS", lambda: bool(aws.calls("ec2:AssignPrivateIpAddresses")))
    pair.one.kill()
    aws.clear_faults()
    pair.two.until("two has finished it", lambda: pair.two.settled_on("b"))
    assert pair.two.status()["epoch"] == 2
    assert pair.one.holders() == {"b"}


def test_a_store_that_is_gone_ends_the_lease_and_no_answer(pair: Pair) -> None:
    pair.one.aws.fault("dynamodb:*", "reset")
    for site in (pair.one, pair.two):
        site.until("nobody leads", lambda site=site: holder(site) in {"nobody", "edge-1"} and not leads(site))
        assert site.answer() == (ADDRESS["a"],)
        assert sample(site, "edge_store_up") == 0
    pair.one.crash("a")
    time.sleep(2.0)
    assert pair.one.answer() == pair.two.answer() == (ADDRESS["a"],), "without the store nobody opens an epoch"
    pair.one.aws.clear_faults()
    for site in (pair.one, pair.two):
        site.until("b is served", lambda site=site: site.answer() == (ADDRESS["b"],))
        assert sample(site, "edge_store_up") == 1


def test_both_answer_at_once_when_store_and_aws_are_gone(pair: Pair) -> None:
    assert pair.one.edgectl("promote", "b", "--reason", "test", "--yes").returncode == 0
    pair.two.until("two serves b", lambda: pair.two.answer() == (ADDRESS["b"],))
    pair.one.terminate()
    pair.two.terminate()
    pair.one.aws.fault("*", "black_hole")
    pair.one.aws.forget_calls()
    for site in (pair.one, pair.two):
        with pytest.raises(NotAnsweredError):
            ask(site.dns, NAME, "A", 0.2)
        site.start()
        site.until("it answers", lambda site=site: site.answer() == (ADDRESS["b"],))
    assert not [call for call in pair.one.aws.calls() if call.result == "ok"]


def test_the_leader_started_again_leads_on_in_the_next_term(pair: Pair) -> None:
    before = pair.store.read("lease/leader")
    pair.one.kill()
    pair.one.start()
    pair.one.until("one leads", lambda: leads(pair.one))
    after = pair.store.read("lease/leader")
    assert before is not None
    assert after is not None
    assert (after.value["holder"], after.value["term"]) == ("edge-1", before.value["term"] + 1)


HOME = "home.fs.corp.example"
SECOND = f"""
[[service]]
name = "{HOME}"
hold_down = "1s"
  [service.probe]
  kind = "smb"
  port = {{port}}
  interval = "100ms"
  timeout = "100ms"
  [[service.node]]
  name = "a"
  address = "{ADDRESS["a"]}"
  [[service.node]]
  name = "b"
  address = "{ADDRESS["b"]}"
"""


def test_a_service_that_a_reload_brings_is_led_and_followed(pair: Pair) -> None:
    for site in (pair.two, pair.one):
        site.file.write_text(site.file.read_text() + SECOND.replace("{port}", str(site.smb_port)))
        assert site.agent is not None
        site.agent.send_signal(signal.SIGHUP)
    for site in (pair.one, pair.two):
        site.until("it is served", lambda site=site: site.answer(name=HOME) in {(a,) for a in ADDRESS.values()})
    kept = pair.store.read(f"assignment/{HOME}")
    assert kept is not None
    live = ADDRESS[kept.value["node"]]  # whichever was seen to serve first
    assert pair.one.answer(name=HOME) == pair.two.answer(name=HOME) == (live,)
    pair.one.terminate()
    pair.one.crash("a")
    pair.two.until("both moved", lambda: {pair.two.answer(), pair.two.answer(name=HOME)} == {(ADDRESS["b"],)})


async def test_a_service_that_a_reload_takes_out_and_another_brings_back_is_read_at_the_next_look(
    tmp_path: Path,
) -> None:
    """Looks are hours apart here, so what is read was asked for by the reload."""
    config, clock = load(CONFIGS / "demo.toml"), Clock("boot", time.monotonic, time.time)
    store = SqliteStore(tmp_path)
    records, leases, keeper = Records(store, clock, "edge-2"), Leases(store), Keeper("edge-2", "two", HOURS)
    leases.write(Write(0.0, Record(1, "edge-1", "one", HOURS.duration_s), 0))
    intent = Intent(1, "a", None, Cause.BOOTSTRAP, "edge", "a test")
    records.write_intent(NAME, intent)
    records.commit(NAME, intent)
    with ThreadPoolExecutor(1) as own, ThreadPoolExecutor(1) as threads:
        drivers = {NAME: still_driver(config, NAME, records, threads)}
        each = {"lease_thread": own, "store_thread": threads, "reading_threads": threads}
        sharing = Sharing(keeper, leases, records, drivers, clock.monotonic, **each)
        running = asyncio.create_task(sharing.run())
        await followed(drivers[NAME])
        del drivers[NAME]
        sharing.look_again()
        drivers[NAME] = still_driver(config, NAME, records, threads)
        sharing.look_again()
        await followed(drivers[NAME])
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_service_that_is_taken_out_is_no_trouble_of_the_store_any_more(tmp_path: Path) -> None:
    config, clock = load(CONFIGS / "demo.toml"), Clock("boot", time.monotonic, time.time)
    store = SqliteStore(tmp_path)
    records, leases, keeper = Records(store, clock, "edge-2"), Leases(store), Keeper("edge-2", "two", HOURS)
    records.write_intent(NAME, Intent(1, "z", None, Cause.BOOTSTRAP, "edge", "a test"))
    with ThreadPoolExecutor(1) as own, ThreadPoolExecutor(1) as threads:
        drivers = {NAME: still_driver(config, NAME, records, threads)}
        each = {"lease_thread": own, "store_thread": threads, "reading_threads": threads}
        sharing = Sharing(keeper, leases, records, drivers, clock.monotonic, **each)
        running = asyncio.create_task(sharing.run())
        async with asyncio.timeout(PATIENCE_S):
            while sharing.trouble != "it has node z, which this agent's file lacks":  # noqa: ASYNC110 it sets no event
                await asyncio.sleep(0.01)
        del drivers[NAME]
        assert sharing.trouble is None
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_line_of_history_that_hangs_holds_up_no_commit(tmp_path: Path) -> None:
    config, clock, over = load(CONFIGS / "demo.toml"), Clock("boot", time.monotonic, time.time), threading.Event()

    class Hanging(Records):
        def tell(self, line: Line) -> None:
            over.wait(2 * PATIENCE_S)

    records = Hanging(SqliteStore(tmp_path), clock)
    with ThreadPoolExecutor(1) as threads, ThreadPoolExecutor(1) as telling:
        driver = still_driver(config, NAME, records, threads, telling)
        driver.start(records.load(NAME), sole("edge-1"), ())
        await driver.say(Promote("a", "kim", "a test", force=True))
        try:
            await followed(driver)
        finally:
            over.set()
            await driver.stop()


async def test_an_agents_word_waits_for_no_verifying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Leases, "say", lambda *_, **__: said.append(True))
    said, over = list[bool](), threading.Event()
    config = load(CONFIGS / "two-agents.toml")
    kept, clock, nobody = Served(tmp_path), Clock("boot", time.monotonic, time.time), cast("Workers", None)
    live = Live(Awake(config, CONFIGS / "two-agents.toml", clock, kept, {}, nobody))
    assert live._sharing is not None
    busy = live._around().reading_threads  # in which the stage verify runs
    taken = [busy.submit(over.wait, 2 * PATIENCE_S) for _ in range(100)]
    try:
        async with asyncio.timeout(PATIENCE_S):
            await live._sharing._vantages._post()
        assert said
        assert not any(each.done() for each in taken)
    finally:
        over.set()
        kept.close()


async def followed(driver: Driver) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while driver.live() != Assignment("a", 1):  # noqa: ASYNC110 what is waited for sets no event
            await asyncio.sleep(0.01)
