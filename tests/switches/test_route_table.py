"""The invariant: all tables lead to the target in the end, and a route that is not ours is as it was."""

import pytest

from edge.errors import CloudError, Fault
from edge.failover.model import Stage
from edge.switches.contract import Verify
from edge.switches.survey import survey
from tests.switches.site import CREATE_ROUTE, REPLACE_ROUTE, ROUTED, Site, intent


def test_every_table_is_turned_to_the_target(site: Site) -> None:
    tables = site.tables(3)
    ended = site.run_step(site.lay(*tables))
    assert ended.fault is None
    assert ended.sentence == f"{ROUTED}: {tables[0]} leads to b, {tables[1]} leads to b, {tables[2]} leads to b"
    assert site.led(*tables) == [site.seeded.b.interface] * 3
    assert site.mutations() == [REPLACE_ROUTE] * 3


def test_a_route_that_is_missing_is_created(site: Site) -> None:
    tables = site.tables(2, lead=None)
    site.route(tables[1], NetworkInterfaceId=site.seeded.a.interface)
    site.aws.forget_calls()
    assert site.run_step(site.lay(*tables)).fault is None
    assert site.led(*tables) == [site.seeded.b.interface] * 2
    assert site.mutations() == [CREATE_ROUTE, REPLACE_ROUTE]


def test_what_is_right_is_not_sent_again(site: Site) -> None:
    tables = site.tables(2)
    assert site.run_step(site.lay(*tables), node="a").fault is None
    assert not site.mutations()


def test_half_of_the_tables_is_finished_and_the_rest_left_alone(site: Site) -> None:
    tables = site.tables(2)
    site.aws.fault(REPLACE_ROUTE, "reset", times=1, skip=3)  # two dry ones and the first table pass
    assert site.run_step(site.lay(*tables)).fault is None
    results = [call.result for call in site.aws.calls(REPLACE_ROUTE) if not call.parameters.get("DryRun")]
    assert results == ["ok", "reset", "ok"]
    assert site.led(*tables) == [site.seeded.b.interface] * 2


def test_what_aws_refuses_of_one_table_is_refused_before_another_has_changed(site: Site) -> None:
    """IAM allows the first table and not the second: a dry run tells."""
    tables = site.tables(2)
    site.aws.fault(REPLACE_ROUTE, "deny", times=1, skip=1)
    assert site.run_step(site.lay(*tables)).fault is Fault.DENIED
    assert site.led(*tables) == [site.seeded.a.interface] * 2
    assert not site.mutations()


def test_a_switch_that_is_stuck_half_way_is_undone_by_the_next_epoch(site: Site) -> None:
    tables = site.tables(2)
    site.aws.fault(REPLACE_ROUTE, "deny", skip=3)
    assert site.run_step(site.lay(*tables)).fault is Fault.DENIED
    assert site.led(*tables) == [site.seeded.b.interface, site.seeded.a.interface]
    site.aws.clear_faults()
    assert site.run_step(site.lay(*tables), epoch=2, node="a").fault is None
    assert site.led(*tables) == [site.seeded.a.interface] * 2


def test_a_route_of_somebody_else_is_not_overwritten(site: Site) -> None:
    tables = site.tables(1)
    gateway = site.hands.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    other = site.tables(1, lead=None)
    site.route(*other, GatewayId=gateway)
    site.aws.forget_calls()
    ended = site.run_step(site.lay(*tables, *other))
    assert ended.fault is Fault.IMPOSSIBLE
    assert f"{ROUTED} is somebody else's: {other[0]} leads to {gateway}" in ended.sentence
    assert not site.mutations()
    assert site.routes(*other).view().strange


def test_a_strangers_interface_is_somebody_elses_too(site: Site) -> None:
    tables = site.tables(1, lead=None)
    eni = site.hands.ec2.create_network_interface(SubnetId=site.seeded.a.subnet)["NetworkInterface"]
    site.route(*tables, NetworkInterfaceId=eni["NetworkInterfaceId"])
    assert site.run_step(site.lay(*tables)).fault is Fault.IMPOSSIBLE
    assert site.led(*tables) == [eni["NetworkInterfaceId"]]


def test_an_address_in_the_vpcs_own_range_can_not_be_routed(site: Site) -> None:
    tables = site.tables(1)
    with pytest.raises(CloudError, match=r"10.0.9.9/32 is in the VPC's own range 10.0.0.0/16") as refused:
        site.routes(*tables, destination="10.0.9.9/32").view()
    assert refused.value.fault is Fault.IMPOSSIBLE


@pytest.mark.parametrize("node", ["a", "b"])
def test_a_source_destination_check_is_told_before_a_switch(site: Site, node: str) -> None:
    tables = site.tables(1)
    check(site, node)
    found = survey([site.routes(*tables)])
    assert found.fault is Fault.IMPOSSIBLE
    assert f"of {node} drops what is routed to it: switch its source/destination check off" in found.sentence


def test_a_target_that_drops_what_is_routed_to_it_is_no_target(site: Site) -> None:
    tables = site.tables(1)
    check(site, "b")
    ended = site.run_step(site.lay(*tables))
    assert ended.fault is Fault.IMPOSSIBLE
    assert "source/destination check" in ended.sentence
    assert not site.mutations()


def check(site: Site, node: str) -> None:
    eni = site.interfaces[node]
    site.hands.ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, SourceDestCheck={"Value": True})
    site.aws.forget_calls()


def test_the_check_of_a_node_that_is_left_hinders_nobody(site: Site) -> None:
    tables = site.tables(1)
    check(site, "a")
    assert site.run_step(site.lay(*tables)).fault is None


def test_a_target_whose_interface_is_gone_is_no_target(site: Site) -> None:
    tables = site.tables(1)
    site.hands.ec2.terminate_instances(InstanceIds=[site.seeded.b.instance])
    site.hands.ec2.delete_network_interface(NetworkInterfaceId=site.seeded.b.interface)
    ended = site.run_step(site.lay(*tables))
    assert ended.fault is Fault.IMPOSSIBLE
    assert f"{site.seeded.b.interface} of b is gone" in ended.sentence


def test_the_view_is_the_node_to_which_all_tables_lead(site: Site) -> None:
    tables = site.tables(2)
    view = site.routes(*tables).view()
    assert (view.node, view.strange) == ("a", False)
    assert view.evidence == f"{ROUTED}: {tables[0]} leads to a, {tables[1]} leads to a"
    assert not site.mutations()


def test_tables_that_disagree_are_strange(site: Site) -> None:
    tables = site.tables(1) + site.tables(1, lead="b") + site.tables(1, lead=None)
    for pair in (tables[:2], tables[::2]):
        view = site.routes(*pair).view()
        assert (view.node, view.strange) == (None, True), view.evidence
    nowhere = site.routes(tables[2]).view()
    assert (nowhere.node, nowhere.strange) == (None, False)


def test_a_stopped_target_is_a_blackhole_and_not_done(site: Site) -> None:
    tables = site.tables(1)
    site.hands.ec2.stop_instances(InstanceIds=[site.seeded.a.instance])
    assert site.routes(*tables).view().evidence == f"{ROUTED}: {tables[0]} leads to a (blackhole)"
    ended = site.run_step(site.lay(*tables), node="a")
    assert ended.fault is Fault.UNREACHABLE
    assert "does not agree yet" in ended.sentence
    assert "blackhole" in ended.sentence
    assert site.run_step(site.lay(*tables)).fault is None, "away from it is another matter"


def test_a_deleted_table_hinders_nobody(site: Site) -> None:
    tables = site.tables(2)
    site.hands.ec2.delete_route_table(RouteTableId=tables[1])
    ended = site.run_step(site.lay(*tables))
    assert ended.fault is None
    assert ended.sentence == f"{ROUTED}: {tables[0]} leads to b, no {tables[1]}"


def test_tables_that_were_never_there_are_told(site: Site) -> None:
    site.tables(0)
    with pytest.raises(CloudError, match="there is no rtb-0123456789abcdef0") as refused:
        site.routes("rtb-0123456789abcdef0").view()
    assert refused.value.fault is Fault.IMPOSSIBLE


def test_who_creates_first_is_read_and_not_refused(site: Site) -> None:
    """Between our reading and our call another agent made the route."""
    tables = site.tables(1, lead=None)
    hand = iter([lambda: site.route(*tables, NetworkInterfaceId=site.seeded.a.interface)])
    site.journal.at_line = lambda *_: next(hand, lambda: None)()
    assert site.run_step(site.lay(*tables)).fault is None
    assert [call.result for call in site.aws.calls(CREATE_ROUTE)] == ["ok", "RouteAlreadyExists"]
    assert site.led(*tables) == [site.seeded.b.interface]


def test_verifying_probes_through_the_route_where_that_is_possible(site: Site) -> None:
    tables = site.tables(1, lead="b")
    lay, probed = site.lay(*tables), []

    def reached(address: str) -> tuple[bool, str]:
        probed.append(address)
        return True, "it serves"

    for address, asked in ((None, []), ("172.31.255.10", ["172.31.255.10"])):
        ended = site.runner(Verify("routes", lay, address, reached)).run(intent(1), Stage.VERIFY)
        assert (ended.fault, probed) == (None, asked)
