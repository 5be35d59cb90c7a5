"""deploy/iam-policy.json allows what the switches do, and nothing else."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edge.failover.model import Stage
from edge.switches import elastic_ip, isolate
from edge.switches.permissions import proof
from edge.switches.survey import survey
from edge.switches.virtual_interface import line
from tests.cloud.script import Call
from tests.switches.site import CHANGE, Site, intent

POLICY = Path(__file__).parents[2] / "deploy" / "iam-policy.json"
DUAL = {"a": ("10.0.1.10", "2001:db8::a"), "b": ("10.0.1.11",)}


def statements() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(POLICY.read_text())["Statement"]
    return found


def listed(value: Any) -> set[str]:
    return {value} if isinstance(value, str) else set(value)


def everything(site: Site) -> Iterable[Call]:
    """All that the switches can do: there and back, by the address and by the name, with both families."""
    survey([site.address(), site.zone()])
    runner = site.runner()
    for epoch, node in enumerate("ba", 1):
        for stage in Stage:
            assert runner.run(intent(epoch, node), stage).fault is None
    for epoch, node in enumerate("ab", 3):
        for call in site.zone(DUAL).batch(intent(epoch, node)).calls:
            site.session.call(call)
    made = site.aws.calls()
    wide(site)
    checked(site)
    return [*made, *site.aws.calls()]


def checked(site: Site) -> None:
    for step in site.steps():
        step.check()
        assert all(proof(site.session, need, "arn:aws:iam::123456789012:role/edge").allowed for need in step.needs())
    site.aws.line("dxvif-ffhhk74f")
    line(site.session, "dxvif-ffhhk74f")


def wide(site: Site) -> None:
    """There and back by the routes and by the public address, with every fence, and the steps in the guests."""
    site.documents()
    tables = (*site.tables(1), *site.tables(1, lead=None))
    settings, elastic = site.quarantine(), site.elastic(site.allocated())
    lay, associate = site.lay(*tables), elastic_ip.Associate(elastic)
    fence, rejoin = isolate.Isolate(site.session, settings), isolate.Rejoin(site.session, settings)
    fence.check()
    survey([site.routes(*tables), elastic])
    for epoch, node in enumerate("bab", 11):
        for step in (fence, rejoin, lay, associate):
            assert site.run_step(step, epoch=epoch, node=node).fault is None
    site.takes().check()
    for step in (site.releases(), site.takes(), site.stops()):
        assert site.run_step(step, epoch=21).fault is None


def test_the_policy_allows_the_calls_that_are_made_and_no_others(site: Site) -> None:
    made = {call.api for call in everything(site)} - {"sts:GetCallerIdentity"}  # which needs no permission (AWS STS)
    assert made == {action for each in statements() for action in listed(each["Action"])}
    assert {each["Effect"] for each in statements()} == {"Allow"}


def test_the_policy_allows_the_records_that_are_written_and_no_others(site: Site) -> None:
    batches = [call.parameters["ChangeBatch"]["Changes"] for call in everything(site) if call.api == CHANGE]
    made = [(change["Action"], change["ResourceRecordSet"]) for batch in batches for change in batch]
    [allowed] = [each["Condition"] for each in statements() if "ChangeResourceRecordSets" in str(each["Action"])]
    [keys] = allowed.values()
    prefix = "route53:ChangeResourceRecordSets"
    assert listed(keys[f"{prefix}NormalizedRecordNames"]) == {rr["Name"].rstrip(".").lower() for _, rr in made}
    assert listed(keys[f"{prefix}RecordTypes"]) == {rr["Type"] for _, rr in made}
    assert listed(keys[f"{prefix}Actions"]) == {action for action, _ in made}
