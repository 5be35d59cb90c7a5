"""Agreement, measured by the real agent: who is told the new node when, by forwarders that obey TTL 0 and by one that
does not.
"""

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.agent.forwarder import forwarding
from tests.agent.site import NAME, ROUTE53, Site
from tests.agent.test_agent import sample
from tests.agent.test_drift import by_hand

KEPT_S = 20  # far longer than the history's line waits
OBEYING = {"agent", "route53", "forwarder/unbound", "resolver/{0}:{1}"}


@pytest.fixture
def asked(site: Site, tmp_path: Path) -> Iterator[Site]:
    """An agent that is told by a reload of two forwarders before itself, one of which keeps answers, and of the private
    zone's resolver.
    """
    by_hand(site, "a")
    site.configure(ROUTE53)
    site.start()
    site.until("the agent is content with a", lambda: site.ready_on("a"))
    with ExitStack() as stack:
        forwarders = ""
        for program, kept_s in (("unbound", 0), ("dnsmasq", KEPT_S)):
            host, port = stack.enter_context(forwarding(program, site.dns, tmp_path, kept_s))
            forwarders += f'[[forwarder]]\nname = "{program}"\ndns = "{host}:{port}"\n'
        host, port = site.aws.dns_address
        site.configure(f'{ROUTE53}  resolver = ["{host}:{port}"]\n')
        site.file.write_text(site.file.read_text().replace("[aws]", f"{forwarders}[aws]"))
        assert site.agent is not None
        site.agent.send_signal(signal.SIGHUP)
        site.until("all are asked and agree", lambda: [each["agrees"] for each in views(site)] == [True] * 5)
        yield site


def views(site: Site) -> list[dict[str, Any]]:
    return list(site.status().get("views", ()))


def kept_s(site: Site) -> int:
    return next(each["ttl_s"] or 0 for each in views(site) if each["name"] == "forwarder/dnsmasq")


def lines(site: Site, kind: str) -> list[dict[str, Any]]:
    found = json.loads(site.edgectl("--json", "history").stdout)
    return [line for line in found["lines"] if line["kind"] == kind]


def test_the_history_says_which_view_took_how_long(asked: Site) -> None:
    asked.until("the old answer stays for long", lambda: kept_s(asked) > KEPT_S - 5)
    promoted = asked.edgectl("promote", "b", "--reason", "maintenance", "--yes")
    assert promoted.returncode == 0, promoted.stderr
    obeying = {name.format(*asked.aws.dns_address) for name in OBEYING}
    [agreed] = [line for line in lines(asked, "agreed") if line["operation"] == f"{NAME}@2"]
    assert set(agreed["views_ms"]) <= obeying
    assert min(agreed["views_ms"].values()) >= 0.0
    missing = agreed["sentence"].partition("not seen to agree yet: ")[2]
    assert "forwarder/dnsmasq" in missing
    assert missing in promoted.stdout
    asked.until("the last one agrees", lambda: bool(lines(asked, "views")))
    [late] = lines(asked, "views")
    assert "forwarder/dnsmasq was the slowest" in late["sentence"]
    assert set(late["views_ms"]) == {*obeying, "forwarder/dnsmasq"}
    assert late["views_ms"]["forwarder/dnsmasq"] > 2000
    for view in (*obeying, "forwarder/dnsmasq"):
        assert sample(asked, "edge_view_disagreement_window_seconds_count", view=view) == 1
    asked.until("nobody disagrees", lambda: sample(asked, "edge_disagreement_seconds") == 0)


def test_a_forwarder_that_keeps_an_answer_is_warned_of_beforehand(asked: Site) -> None:
    table = asked.edgectl("views").stdout
    assert "forwarder/dnsmasq" in table
    assert "the old node may be told for so much longer" in table
    assert "view forwarder/dnsmasq: TTL " in asked.edgectl("status").stdout
    [warned] = [each for each in views(asked) if each["warning"]]
    assert (warned["name"], warned["agrees"], 0 < warned["ttl_s"] <= KEPT_S) == ("forwarder/dnsmasq", True, True)
