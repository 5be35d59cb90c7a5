"""The invariant: the zone answers the newest epoch's node, and no batch of an older one ever changes it."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from edge.errors import CloudError, Fault
from edge.failover.model import Stage
from edge.switches import route53
from edge.switches.contract import NewerEpochError, Plan
from tests.switches.site import CHANGE, HOUR_S, NAME, Site, intent, signed_in

A, AAAA, TXT = (f"{NAME}.", "A"), (f"{NAME}.", "AAAA"), (f"_edge.{NAME}.", "TXT")
DUAL = {"a": ("10.0.1.10", "2001:db8::a"), "b": ("10.0.1.11",)}


def epoch(number: int, node: str = "b") -> tuple[int, list[str]]:
    return 0, [f'"epoch={number} node={node}"']


def apply(site: Site, plan: Plan) -> None:
    for call in plan.calls:
        site.session.call(call)


def changes(plan: Plan) -> list[tuple[str, str]]:
    [call] = plan.calls
    batch = call.parameters["ChangeBatch"]["Changes"]
    return [(change["Action"], change["ResourceRecordSet"]["Type"]) for change in batch]


# --- one switch -----------------------------------------------------------------------------------------------------


def test_the_first_batch_writes_the_address_and_the_epoch(site: Site) -> None:
    assert site.run(1, Stage.PUBLISH).fault is None
    assert site.records() == {A: (0, ["10.0.1.11"]), TXT: epoch(1)}
    assert site.resolved() == [(0, "10.0.1.11")]
    assert site.resolved(f"_edge.{NAME}", "TXT") == [(0, '"epoch=1 node=b"')]


def test_the_next_batch_replaces_both_at_once(site: Site) -> None:
    site.publish(1, "a")
    plan = site.zone().batch(intent(2))
    assert changes(plan) == [("DELETE", "TXT"), ("CREATE", "TXT"), ("UPSERT", "A")]
    apply(site, plan)
    assert site.records() == {A: (0, ["10.0.1.11"]), TXT: epoch(2)}


def test_where_the_zone_agrees_there_is_nothing_to_do(site: Site) -> None:
    site.publish(1)
    site.aws.forget_calls()
    assert site.zone().batch(intent(1)).calls == ()
    assert site.run(1, Stage.PUBLISH).fault is None
    assert not site.mutations()


def test_reading_writes_nothing(site: Site) -> None:
    zone = site.zone()
    zone.view()
    zone.batch(intent(1))
    list(site.runner().foresee(intent(1)))
    assert not site.mutations()


def test_a_node_with_two_addresses_is_answered_with_both_and_leaves_none_behind(site: Site) -> None:
    zone = site.zone(DUAL)
    apply(site, zone.batch(intent(1, "a")))
    assert site.records() == {A: (0, ["10.0.1.10"]), AAAA: (0, ["2001:db8::a"]), TXT: epoch(1, "a")}
    assert zone.view().node == "a"
    apply(site, zone.batch(intent(2, "b")))
    assert site.records() == {A: (0, ["10.0.1.11"]), TXT: epoch(2)}
    assert zone.view().node == "b"


def test_who_switched_may_have_any_name(site: Site) -> None:
    """Names come from other systems: one with a control character once made the whole batch malformed."""
    said = intent(1)
    odd = type(said)(1, "b", "a", said.cause, "änn\x01\x00" * 100, "because")
    apply(site, site.zone().batch(odd))
    assert site.records()[TXT] == epoch(1)


# --- old and concurrent epochs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("stale", [intent(4), intent(5, "a")], ids=["older", "same-for-another-node"])
def test_an_epoch_that_is_not_the_newest_is_told_so(site: Site, stale: Any) -> None:
    site.publish(5)
    before = site.records()
    with pytest.raises(NewerEpochError) as refused:
        site.zone().batch(stale)
    assert refused.value.found_epoch == 5
    ended = site.run(stale.epoch, Stage.PUBLISH, stale.node)
    assert (ended.fault, ended.found_epoch) == (Fault.CONFLICT, 5)
    assert site.records() == before


def paused(site: Site, plan: Plan) -> None:
    """Somebody publishes epoch 6 between this plan's reading and its sending."""
    site.publish(6)
    before = site.records()
    with pytest.raises(CloudError) as refused:
        apply(site, plan)
    assert refused.value.fault is Fault.CONFLICT
    assert site.records() == before


def test_a_paused_agents_batch_is_rejected_whole(site: Site) -> None:
    site.publish(4, "a")
    paused(site, site.zone().batch(intent(5, "a")))


def test_a_paused_agents_first_batch_is_rejected_whole(site: Site) -> None:
    paused(site, site.zone().batch(intent(5, "a")))


def test_a_paused_agent_that_only_mends_an_address_is_rejected_too(site: Site) -> None:
    """Such a batch once had no TXT in it, so that nothing stopped it from undoing a newer epoch."""
    site.publish(5, "a")
    site.change("UPSERT", "A", "10.0.1.99")
    paused(site, site.zone().batch(intent(5, "a")))


def test_of_agents_that_race_for_an_epoch_one_wins(site: Site) -> None:
    site.publish(1, "a")
    nodes = {f"n{number}": (f"10.0.1.{20 + number}",) for number in range(8)}
    together = Barrier(len(nodes))

    def race(node: str) -> Fault | None:
        plan = site.zone(nodes).batch(intent(2, node))
        together.wait()
        try:
            apply(site, plan)
        except CloudError as error:
            return error.fault
        return None

    with ThreadPoolExecutor(len(nodes)) as racers:
        faults = dict(zip(nodes, racers.map(race, nodes), strict=True))
    [winner] = [node for node, fault in faults.items() if fault is None]
    assert {fault for fault in faults.values() if fault} == {Fault.CONFLICT}
    assert site.records() == {A: (0, list(nodes[winner])), TXT: epoch(2, winner)}
    for loser in nodes.keys() - {winner}:
        with pytest.raises(NewerEpochError):
            site.zone(nodes).batch(intent(2, loser))


# --- what others left in the zone -----------------------------------------------------------------------------------


def test_an_address_without_an_epoch_is_taken_over(site: Site) -> None:
    site.change("CREATE", "A", "10.9.9.9", ttl_s=300)
    plan = site.zone().batch(intent(1))
    assert changes(plan) == [("CREATE", "TXT"), ("UPSERT", "A")]
    apply(site, plan)
    assert site.records() == {A: (0, ["10.0.1.11"]), TXT: epoch(1)}


def test_an_epoch_without_an_address_gets_one(site: Site) -> None:
    site.publish(1)
    site.change("DELETE", "A", "10.0.1.11")
    plan = site.zone().batch(intent(1))
    assert changes(plan) == [("DELETE", "TXT"), ("CREATE", "TXT"), ("UPSERT", "A")]
    apply(site, plan)
    assert site.records() == {A: (0, ["10.0.1.11"]), TXT: epoch(1)}


@pytest.mark.parametrize(
    ("kind", "values", "ttl_s"),
    [("A", ["10.0.1.11"], 60), ("A", ["10.0.1.11", "10.0.1.10"], 0), ("AAAA", ["2001:db8::b"], 0)],
    ids=["ttl", "one-more", "another-family"],
)
def test_what_differs_in_any_way_is_mended(site: Site, kind: str, values: list[str], ttl_s: int) -> None:
    site.publish(1)
    site.change("UPSERT", kind, *values, ttl_s=ttl_s)
    apply(site, site.zone().batch(intent(1)))
    assert site.records() == {A: (0, ["10.0.1.11"]), TXT: epoch(1)}


def test_a_ttl_on_the_epoch_does_not_hinder_the_next(site: Site) -> None:
    site.change("CREATE", "TXT", '"epoch=1 node=a"', name=f"_edge.{NAME}", ttl_s=300)
    apply(site, site.zone().batch(intent(2)))
    assert site.records()[TXT] == epoch(2)


@pytest.mark.parametrize("name", [NAME, f"{NAME}.", f"{NAME.upper()}."])
def test_a_name_is_ours_however_it_is_written(site: Site, name: str) -> None:
    """The emulated zone lists names in lower case, as AWS is seen to; its documentation does not promise it."""
    listed = {"Name": name, "Type": "A", "TTL": 0, "ResourceRecords": [{"Value": "10.0.1.11"}]}
    assert site.zone()._ours(listed)


def test_names_are_compared_without_case_and_addresses_as_numbers(site: Site) -> None:
    site.change("CREATE", "A", "10.0.1.10", name=f"{NAME.upper()}.")
    site.change("CREATE", "AAAA", "2001:DB8:0:0::A")
    assert site.zone(DUAL).view().node == "a"
    apply(site, site.zone(DUAL).batch(intent(1, "a")))
    assert site.zone(DUAL).view().node == "a"
    assert site.zone(DUAL).batch(intent(1, "a")).calls == ()


@pytest.mark.parametrize(
    "values",
    [['"v=spf1 -all"'], ['"epoch=3 node=a"', '"v=spf1 -all"'], ['"epoch=3 node=a"', '"epoch=4 node=b"']],
    ids=["foreign", "ours-and-foreign", "two-epochs"],
)
def test_a_txt_that_is_not_ours_alone_is_left_alone(site: Site, values: list[str]) -> None:
    site.change("CREATE", "TXT", *values, name=f"_edge.{NAME}")
    before = site.records()
    for read in (site.zone().view, lambda: site.zone().batch(intent(9))):
        with pytest.raises(CloudError, match="has a TXT that this agent did not write") as refused:
            read()
        assert refused.value.fault is Fault.IMPOSSIBLE
    assert site.run(9, Stage.PUBLISH).fault is Fault.IMPOSSIBLE
    assert site.records() == before


def test_a_txt_of_the_name_itself_is_none_of_our_business(site: Site) -> None:
    site.change("CREATE", "TXT", '"v=spf1 -all"')
    site.publish(1)
    assert site.records()[f"{NAME}.", "TXT"] == (0, ['"v=spf1 -all"'])


def test_a_cname_is_refused(site: Site) -> None:
    site.change("CREATE", "CNAME", "old.fs.corp.example.")
    with pytest.raises(CloudError, match="is a CNAME, an alias or has a routing policy") as refused:
        site.zone().batch(intent(1))
    assert refused.value.fault is Fault.IMPOSSIBLE


ALIAS = {"AliasTarget": {"HostedZoneId": "Z1", "DNSName": "lb.example.", "EvaluateTargetHealth": False}}
WEIGHTED = {"SetIdentifier": "one", "Weight": 1, "TTL": 0, "ResourceRecords": [{"Value": "10.0.1.10"}]}
FAILOVER = {"SetIdentifier": "one", "Failover": "PRIMARY", "TTL": 0, "ResourceRecords": [{"Value": "10.0.1.10"}]}


@pytest.mark.parametrize("record_set", [ALIAS, WEIGHTED, FAILOVER], ids=["alias", "weighted", "failover"])
def test_an_alias_or_a_routing_policy_is_refused(site: Site, record_set: dict[str, Any]) -> None:
    change = {"Action": "CREATE", "ResourceRecordSet": {"Name": NAME, "Type": "A", **record_set}}
    site.hands.route53.change_resource_record_sets(HostedZoneId=site.seeded.zone_id, ChangeBatch={"Changes": [change]})
    zone = site.zone()
    for read in (zone.view, lambda: zone.batch(intent(1))):
        with pytest.raises(CloudError, match="is a CNAME, an alias or has a routing policy") as refused:
            read()
        assert refused.value.fault is Fault.IMPOSSIBLE


def test_a_public_zone_is_refused_by_every_reading(site: Site) -> None:
    public = site.hands.route53.create_hosted_zone(Name="fs.corp.example", CallerReference="public")
    zone = site.zone(zone_id=public["HostedZone"]["Id"].removeprefix("/hostedzone/"))
    for read in (zone.view, lambda: zone.batch(intent(1))):
        with pytest.raises(CloudError, match="is a public zone") as refused:
            read()
        assert refused.value.fault is Fault.IMPOSSIBLE
    assert not site.mutations()


@pytest.mark.parametrize("name", ["files.other.example", "files.xfs.corp.example"])
def test_a_zone_that_can_not_hold_the_name_is_refused(site: Site, name: str) -> None:
    with pytest.raises(CloudError, match=f"is the zone fs.corp.example., which can't hold {name}"):
        site.zone(name=name).view()


def test_services_of_one_zone_leave_each_other_alone(site: Site) -> None:
    """Names before and after ours, more than a page of them, and one below ours."""
    others = [f"{letter}{number}.fs.corp.example" for letter in "az" for number in range(60)]
    made = [f"home.{NAME}", *others]
    batch = [
        {
            "Action": "CREATE",
            "ResourceRecordSet": {"Name": n, "Type": kind, "TTL": 0, "ResourceRecords": [{"Value": v}]},
        }
        for n in made
        for n, kind, v in ((n, "A", "10.0.1.10"), (f"_edge.{n}", "TXT", '"epoch=77 node=a"'))
    ]
    site.hands.route53.change_resource_record_sets(HostedZoneId=site.seeded.zone_id, ChangeBatch={"Changes": batch})
    before = site.records()
    site.publish(1)
    site.publish(2, "a")
    assert site.records() == {**before, A: (0, ["10.0.1.10"]), TXT: epoch(2, "a")}
    assert site.zone().view().epoch == 2
    assert site.zone(name="z9.fs.corp.example").view().epoch == 77


# --- views ----------------------------------------------------------------------------------------------------------


def test_an_empty_zone_points_nowhere(site: Site) -> None:
    view = site.zone().view()
    assert (view.node, view.epoch, view.strange) == (None, 0, False)
    assert view.evidence == "no address, epoch none"


@pytest.mark.parametrize("values", [["10.9.9.9"], ["10.0.1.10", "10.0.1.11"]])
def test_an_address_that_is_no_nodes_is_strange(site: Site, values: list[str]) -> None:
    site.change("CREATE", "A", *values)
    view = site.zone().view()
    assert (view.node, view.strange) == (None, True)


def test_where_all_nodes_have_one_address_the_epoch_tells_them_apart(site: Site) -> None:
    zone = site.zone({"a": ("10.0.1.100",), "b": ("10.0.1.100",)})
    site.change("CREATE", "A", "10.0.1.100")
    assert (zone.view().node, zone.view().strange) == (None, False)
    apply(site, zone.batch(intent(3)))
    assert (zone.view().node, zone.view().epoch) == ("b", 3)


def test_what_else_is_not_as_it_was_written_is_told(site: Site) -> None:
    site.publish(1)
    assert (site.zone().view().ttl_s, site.zone().view().flaw) == (0, "")
    site.change("UPSERT", "A", "10.0.1.11", ttl_s=300)
    assert (site.zone().view().ttl_s, site.zone().view().flaw) == (300, "TTL 300, and 0 is right")
    site.change("UPSERT", "A", "10.0.1.11")
    site.aws.client("route53").change_resource_record_sets(
        HostedZoneId=site.seeded.zone_id,
        ChangeBatch={"Changes": [{"Action": "DELETE", "ResourceRecordSet": site.zone()._sets()["TXT"]}]},
    )
    assert site.zone().view().flaw == "no epoch stands beside the addresses"


# --- every name server ----------------------------------------------------------------------------------------------


def verified(site: Site, number: int = 1) -> tuple[route53.Publish, route53.Verify]:
    publish = route53.Publish(site.zone())
    verify = route53.Verify(site.zone(), publish)
    assert site.runner(publish).run(intent(number), Stage.PUBLISH).fault is None
    return publish, verify


def test_a_change_is_pending_until_every_name_server_has_it(site: Site) -> None:
    site.aws.lag(route53_s=HOUR_S)
    _, verify = verified(site)
    plan = verify.plan(intent(1))
    assert (plan.calls, plan.pending) == ((), True)
    assert "PENDING" in plan.evidence
    assert site.resolved() != [(0, "10.0.1.11")]
    site.aws.lag(route53_s=0)
    plan = verify.plan(intent(1))
    assert (plan.calls, plan.pending) == ((), False)
    assert "INSYNC" in plan.evidence
    assert site.resolved() == [(0, "10.0.1.11")]


def test_a_change_whose_answer_was_lost_is_not_said_to_be_everywhere(site: Site) -> None:
    """Also not on the word of the change before it."""
    publish, _ = verified(site, 1)
    impatient = signed_in(site.aws, read_timeout_s=0.5)
    site.aws.fault(CHANGE, "timeout_after", times=1)
    slow = route53.Publish(site.zone(session=impatient))
    slow._accepted = publish._accepted
    assert site.runner(slow, session=impatient).run(intent(2), Stage.PUBLISH).fault is None
    assert site.sent(CHANGE) == 2
    plan = route53.Verify(site.zone(), slow).plan(intent(2))
    assert not plan.pending
    assert "can't be asked" in plan.evidence
    assert site.sent("route53:GetChange") == 0


def test_a_dry_run_for_the_next_epoch_does_not_disturb_the_waiting(site: Site) -> None:
    site.aws.lag(route53_s=HOUR_S)
    publish, verify = verified(site)
    publish.plan(intent(2, "a"))
    assert verify.plan(intent(1)).pending


def test_a_zone_that_was_changed_since_is_not_verified(site: Site) -> None:
    _, verify = verified(site)
    site.change("UPSERT", "A", "10.0.1.10")
    assert verify.plan(intent(1)).calls
