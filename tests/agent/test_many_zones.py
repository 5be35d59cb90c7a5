"""The real agent with several zones, records beside the services, and reverse zones; all of it changed as it runs."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from edge.dns.ask import Told, ask
from tests.agent.site import ADDRESS, NAME, PATIENCE_S, SECONDARY, Site
from tests.agent.test_agent import sample

ARCHIVE = "archive.osaka.corp.example"
HOST = "host.fs.corp.example"
OSAKA = """
[[zone]]
name = "osaka.corp.example"
[zone.nameservers]
"ns1.fs.corp.example" = []
[[zone]]
name = "127.0.1.0/24"
[zone.nameservers]
"ns1.fs.corp.example" = []
  [[zone.record]]
  name = "127.0.1.100"
  type = "PTR"
  data = "virtual.fs.corp.example"
[[service]]
name = "archive.osaka.corp.example"
  [service.probe]
  kind = "smb"
  port = {port}
  interval = "100ms"
  timeout = "100ms"
  [[service.node]]
  name = "a"
  address = "127.0.1.10"
  ptr = "fs-a.corp.example"
  [[service.node]]
  name = "b"
  address = "127.0.1.11"
  ptr = "fs-b.corp.example"
"""
RECORD = """
[[zone.record]]
name = "{name}"
type = "{kind}"
data = "{data}"
"""


def record(name: str, kind: str, data: str) -> str:
    return RECORD.format(name=name, kind=kind, data=data)


def configure(site: Site, *records: str) -> None:
    """Three zones, and two services in two of them; the records stand in the first."""
    site.configure()
    one = site.file.read_text().replace("[zone]", "[[zone]]").replace("[aws]", f"{''.join(records)}[aws]")
    site.file.write_text(one + OSAKA.format(port=site.smb_port))


def reload(site: Site) -> None:
    assert site.agent is not None
    site.agent.send_signal(signal.SIGHUP)


def told(site: Site, kind: str, name: str) -> Told:
    return ask(site.dns, name, kind, PATIENCE_S)


@pytest.fixture
def many(site: Site) -> Site:
    configure(site, record(HOST, "A", "10.0.9.1"), record("share.fs.corp.example", "CNAME", NAME))
    site.start()
    site.until("the agent is content with a", lambda: site.ready_on("a"))
    site.until("the second service is answered", lambda: bool({*site.answer(name=ARCHIVE)} & {*ADDRESS.values()}))
    return site


def test_every_zone_is_answered(many: Site) -> None:
    assert many.answer() == many.answer(name="share.fs.corp.example") == (ADDRESS["a"],)
    assert many.answer(name=HOST) == ("10.0.9.1",)
    assert many.answer("NS", "osaka.corp.example") == ("ns1.fs.corp.example.",)
    assert many.answer("PTR", "10.1.0.127.in-addr.arpa") == many.answer("PTR", "10.1.0.127.IN-addr.arpa")
    assert many.answer("PTR", "10.1.0.127.in-addr.arpa") == ("fs-a.corp.example.",)
    assert many.answer("PTR", "11.1.0.127.in-addr.arpa") == ("fs-b.corp.example.",)
    assert many.answer("PTR", "100.1.0.127.in-addr.arpa") == ("virtual.fs.corp.example.",)
    assert told(many, "A", "nobody.osaka.corp.example").rcode == "NXDOMAIN"
    assert NAME in many.edgectl("status").stdout
    assert ARCHIVE in many.edgectl("status").stdout


def test_a_switch_moves_its_service_and_the_alias_and_nothing_else(many: Site) -> None:
    assert many.edgectl("promote", NAME, "b", "--reason", "maintenance", "--yes").returncode == 0
    assert many.answer() == many.answer(name="share.fs.corp.example") == (ADDRESS["b"],)
    assert many.answer(name=HOST) == ("10.0.9.1",)
    assert many.answer("PTR", "10.1.0.127.in-addr.arpa") == ("fs-a.corp.example.",)
    serials = [many.answer("SOA", zone)[0].split()[2] for zone in ("fs.corp.example", "osaka.corp.example")]
    assert serials == ["3", "2"]


@contextmanager
def asking(site: Site) -> Iterator[list[Told]]:
    """Somebody asks the service's name again and again; a question that is not answered fails the test."""
    heard, ended = list[Told](), threading.Event()

    def ask_on() -> None:
        while not ended.is_set():
            heard.append(told(site, "A", NAME))

    with ThreadPoolExecutor(1) as threads:
        asker = threads.submit(ask_on)
        try:
            yield heard
        finally:
            ended.set()
        asker.result()


def test_reloads_change_zones_and_records_and_no_question_is_lost(many: Site) -> None:
    with asking(many) as heard:
        for count in range(1, 6):
            configure(many, *(record(f"h{index}.fs.corp.example", "A", "10.0.9.1") for index in range(count)))
            reload(many)
            many.until("the record is there", lambda n=count: many.answer(name=f"h{n - 1}.fs.corp.example") != ())
        assert told(many, "A", HOST).rcode == "NXDOMAIN"
        many.configure()
        reload(many)
        many.until("the second zone is gone", lambda: many.answer("SOA", "osaka.corp.example") == ("silence",))
    assert {answer.values for answer in heard} == {(ADDRESS["a"],)}
    print(f"{len(heard)} questions during six reloads")


def test_a_record_that_does_not_fit_is_refused_and_nothing_changes(many: Site) -> None:
    configure(many, record("new.fs.corp.example", "A", "10.0.9.2"), record(NAME, "TXT", "mine"))
    reload(many)
    many.until("the file is refused", lambda: sample(many, "edge_config_reload_success") == 0)
    assert f"zone[0].record[1]: zone fs.corp.example: {NAME} is a service's" in (many.home / "edged.log").read_text()
    assert many.answer(name=HOST) == ("10.0.9.1",)
    assert told(many, "A", "new.fs.corp.example").rcode == "NXDOMAIN"


def test_another_port_needs_a_restart_and_the_key_says_so(many: Site) -> None:
    many.file.write_text(many.file.read_text().replace("[dns]", "[dns]\nworkers = 2"))
    reload(many)
    many.until("the file is refused", lambda: sample(many, "edge_config_reload_success") == 0)
    assert "dns.workers: it changed, which needs a restart" in (many.home / "edged.log").read_text()


def checked(site: Site) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "edge.agent.daemon", "--config", str(site.file), "--check"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)


def test_check_lists_the_zones_and_refuses_what_would_not_fit(site: Site) -> None:
    configure(site, record(HOST, "A", "10.0.9.1"))
    lines = checked(site).stdout.splitlines()
    assert "fs.corp.example: 1 service(s), 1 record(s) that stay" in lines
    assert "1.0.127.in-addr.arpa: 0 service(s), 3 record(s) that stay" in lines
    configure(site, *(record(f"h{index}.fs.corp.example", "TXT", "x" * 500) for index in range(400)))
    refused = checked(site)
    assert refused.returncode == 1
    assert "zone fs.corp.example: " in refused.stderr
    assert SECONDARY not in refused.stdout
    site.start()
    assert site.agent is not None
    assert site.agent.wait(PATIENCE_S) == 1
    site.agent = None
