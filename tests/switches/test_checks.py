"""What `edgectl check` reads beforehand: whether a switch would find what it needs, and be allowed to change it."""

from collections.abc import Callable

import pytest

from edge.errors import CloudError, Fault
from edge.switches import elastic_ip, interfaces, isolate, route53, secondary_ip, stop, virtual_interface
from edge.switches.contract import Need, Step
from edge.switches.permissions import proof
from tests.cloud.emulator import Emulator
from tests.switches.site import CHANGE, MOVING, NAME, NODES, STOP, Site

IDENTITY = "arn:aws:iam::123456789012:role/edge"
VIF = "dxvif-ffhhk74f"


def refused(step: Step) -> str:
    with pytest.raises(CloudError) as failed:
        step.check()
    assert failed.value.fault is Fault.IMPOSSIBLE
    return str(failed.value)


# --- the secondary address --------------------------------------------------------------------------------------------


def test_an_address_that_can_move_is_told_with_the_room_there_is(site: Site) -> None:
    said = secondary_ip.Assign(site.address()).check()
    assert said.startswith(f"{MOVING} is in 10.0.1.0/24 ({site.seeded.a.subnet}); ")
    assert f"{site.seeded.a.interface} of a has 2 of the " in said
    assert f"{site.seeded.b.interface} of b has 1 of the " in said


@pytest.mark.parametrize(
    ("moving", "said"),
    [("10.0.2.100", "is not in the subnet's range 10.0.1.0/24"), ("10.0.1.3", "reserved"), ("10.0.1.255", "reserved")],
)
def test_an_address_that_the_subnet_can_not_have_is_refused(site: Site, moving: str, said: str) -> None:
    assert said in refused(secondary_ip.Assign(site.address(moving)))


def test_the_edges_of_a_subnet() -> None:
    ok = [address for address in ("10.0.1.4", "10.0.1.254") if interfaces.outside(address, "10.0.1.0/24") is None]
    assert ok == ["10.0.1.4", "10.0.1.254"]
    assert interfaces.outside("10.0.1.0", "10.0.1.0/24") is not None


def test_interfaces_of_two_subnets_are_refused(site: Site) -> None:
    other = site.hands.ec2.create_subnet(VpcId=site.seeded.vpc, CidrBlock="10.0.2.0/24")["Subnet"]["SubnetId"]
    eni = site.hands.ec2.create_network_interface(SubnetId=other)["NetworkInterface"]["NetworkInterfaceId"]
    moved = secondary_ip.Settings(MOVING, {"a": site.seeded.a.interface, "b": eni})
    assert "an address moves within one subnet" in refused(
        secondary_ip.Assign(secondary_ip.Address(site.session, moved))
    )


def test_an_interface_without_an_instance_is_refused(site: Site) -> None:
    made = site.hands.ec2.create_network_interface(SubnetId=site.seeded.a.subnet)["NetworkInterface"]
    loose = secondary_ip.Settings(MOVING, {"a": site.seeded.a.interface, "b": made["NetworkInterfaceId"]})
    assert "is attached to no instance" in refused(secondary_ip.Assign(secondary_ip.Address(site.session, loose)))


def test_an_interface_that_is_full_is_refused_unless_it_has_the_address(site: Site) -> None:
    limit = int(secondary_ip.Assign(site.address()).check().partition("of a has 2 of the ")[2].split()[0])
    for node, eni in site.interfaces.items():
        held = range(20, 20 + limit - (2 if node == "a" else 1))
        more = [f"10.0.1.{own + (100 if node == 'b' else 0)}" for own in held]
        site.hands.ec2.assign_private_ip_addresses(NetworkInterfaceId=eni, PrivateIpAddresses=more)
    said = refused(secondary_ip.Assign(site.address()))
    assert f"of b has {limit} of the {limit} addresses" in said
    assert f"none is left for {MOVING}" in said


# --- the other ways and fences ----------------------------------------------------------------------------------------


def test_every_step_that_has_something_to_check_says_what_it_found(site: Site) -> None:
    zone, (table,) = site.zone(), site.tables(1)
    publish = route53.Publish(zone)
    quarantine = site.quarantine()
    said = [
        each.check() or ""
        for each in (
            publish,
            route53.Verify(zone, publish),
            site.lay(table),
            isolate.Isolate(site.session, quarantine),
            site.stops(),
        )
    ]
    assert said[0] == f"{site.seeded.zone_id} is private, and associated with {site.seeded.vpc}"
    assert said[1:3] == ["GetChange is allowed", "the source/destination check is off at a and b"]
    assert said[3] == f"{quarantine.quarantine[0]} is there"
    assert said[4].count("is running") == 2
    assert elastic_ip.Associate(site.elastic(site.allocated())).check() is None
    assert not site.mutations()


def test_a_zone_of_another_vpc_is_refused_and_asked_again(site: Site) -> None:
    settings = route53.Settings(site.seeded.zone_id, NAME, NODES, "vpc-0123456789abcdef0")
    zone = route53.Zone(site.session, settings)
    assert "is not associated with vpc-0123456789abcdef0, but with" in refused(route53.Publish(zone))
    with pytest.raises(CloudError, match="not associated"):
        zone.view()
    ours = route53.Zone(site.session, route53.Settings(site.seeded.zone_id, NAME, NODES, site.seeded.vpc))
    assert ours.view().node is None
    site.aws.fault("route53:GetHostedZone", "deny")
    with pytest.raises(CloudError, match="denied"):
        route53.Publish(ours).check()


def test_following_a_change_that_is_denied_is_said(site: Site) -> None:
    site.aws.fault("route53:GetChange", "deny")
    with pytest.raises(CloudError) as denied:
        route53.Verify(site.zone(), route53.Publish(site.zone())).check()
    assert denied.value.fault is Fault.DENIED


def test_a_source_destination_check_that_is_on_is_said(site: Site) -> None:
    lay = site.lay(*site.tables(1))
    eni = site.seeded.b.interface
    site.hands.ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, SourceDestCheck={"Value": True})
    assert f"{eni} of b drops what is routed to it" in refused(lay)


def test_an_instance_that_is_not_there_is_said(site: Site) -> None:
    gone = stop.Settings({"a": site.seeded.a.instance, "b": "i-0123456789abcdef0"})
    assert "i-0123456789abcdef0" in refused(stop.Stop(site.session, gone))


# --- permissions ------------------------------------------------------------------------------------------------------


def steps(site: Site) -> dict[str, Step]:
    made: tuple[Step, ...] = (
        *site.steps(),
        site.lay(*site.tables(2)),
        elastic_ip.Associate(site.elastic(site.allocated())),
        isolate.Isolate(site.session, site.quarantine()),
        site.stops(),
    )
    return {step.name: step for step in made}


def needs(site: Site) -> dict[str, Need]:
    return {need.action: need for step in steps(site).values() for need in step.needs()}


def test_what_has_a_dry_run_is_proven_by_it_and_nothing_changes(site: Site) -> None:
    dry = {action: proof(site.session, need, None) for action, need in needs(site).items()}
    assert {action for action, found in dry.items() if found.allowed} == {
        "ec2:ReplaceRoute",
        "ec2:CreateRoute",
        "ec2:AssociateAddress",
        "ec2:CreateTags",
        "ec2:ModifyNetworkInterfaceAttribute",
        "ec2:StopInstances",
    }
    unproven = {action for action, found in dry.items() if found.allowed is None}
    assert unproven == {"ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses", CHANGE}
    assert not site.mutations()


def test_every_resource_that_a_switch_may_need_is_tried(site: Site) -> None:
    found = needs(site)
    assert len(found["ec2:ReplaceRoute"].trials) == len(found["ec2:CreateRoute"].trials) == 2
    swapped = [call.parameters["NetworkInterfaceId"] for call in found["ec2:ModifyNetworkInterfaceAttribute"].trials]
    assert sorted(swapped) == sorted(2 * list(site.interfaces.values())), "into quarantine, and out of it"
    assert set(found["ec2:StopInstances"].resources) == {
        f"instance/{site.seeded.a.instance}",
        f"instance/{site.seeded.b.instance}",
    }


def test_what_has_none_is_asked_of_iam_where_that_is_configured(site: Site) -> None:
    found = needs(site)
    for action in ("ec2:AssignPrivateIpAddresses", CHANGE):
        assert proof(site.session, found[action], IDENTITY).allowed is True
    [asked] = [
        call for call in site.aws.calls("iam:SimulatePrincipalPolicy") if CHANGE in call.parameters["ActionNames"]
    ]
    assert asked.parameters["PolicySourceArn"] == IDENTITY
    assert asked.parameters["ResourceArns"] == [f"arn:aws:route53:::hostedzone/{site.seeded.zone_id}"]
    [names] = [e for e in asked.parameters["ContextEntries"] if e["ContextKeyName"].endswith("NormalizedRecordNames")]
    assert names["ContextKeyValues"] == [NAME, f"_edge.{NAME}"]
    site.aws.fault("ec2:Assign*", "deny")
    denied = proof(site.session, found["ec2:AssignPrivateIpAddresses"], IDENTITY)
    assert denied.allowed is False
    assert f"arn:aws:ec2:ap-northeast-1:123456789012:network-interface/{site.seeded.a.interface}" in denied.said


@pytest.mark.parametrize("kind", ["deny", "throttle", "reset"])
def test_a_proof_that_fails_is_a_denial_only_where_aws_says_so(site: Site, kind: str) -> None:
    need = needs(site)[STOP]
    site.aws.fault(STOP, kind)
    assert proof(site.session, need, None).allowed is (False if kind == "deny" else None)


def test_where_iam_may_not_be_asked_nothing_is_proven(site: Site) -> None:
    need = needs(site)[CHANGE]
    site.aws.fault("iam:*", "deny")
    unproven = proof(site.session, need, IDENTITY)
    assert (unproven.allowed, "denied" in unproven.said) == (None, True)


def test_a_simulation_without_a_word_of_each_resource_is_read_too(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    need, call = needs(site)[CHANGE], site.session.call
    told = {"EvaluationResults": [{"EvalActionName": CHANGE, "EvalResourceName": "*", "EvalDecision": "explicitDeny"}]}
    monkeypatch.setattr(site.session, "call", lambda asked: told if asked.service == "iam" else call(asked))
    assert proof(site.session, need, IDENTITY).said.endswith("on *")


# --- the line ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "bgp", "carries"), [("available", "up", True), ("available", "down", False), ("down", "up", False)]
)
def test_a_virtual_interface_is_told_as_it_is(aws: Emulator, site: Site, state: str, bgp: str, carries: bool) -> None:
    aws.line(VIF, state, bgp)  # type: ignore[arg-type]
    line = virtual_interface.line(site.session, VIF)
    assert (str(line), line.carries()) == (f"{state}, BGP {bgp}", carries)


def test_a_virtual_interface_that_is_not_there_is_said(site: Site) -> None:
    with pytest.raises(CloudError, match="there is no dxvif-00000000"):
        virtual_interface.line(site.session, "dxvif-00000000")


# --- what is not ours -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "foreign",
    [
        lambda site: site.change("CREATE", "CNAME", "elsewhere.example", name=f"_edge.{NAME}"),
        lambda site: site.change("CREATE", "CNAME", "elsewhere.example"),
    ],
    ids=["epoch", "name"],
)
def test_a_cname_in_the_place_of_either_record_is_refused(site: Site, foreign: Callable[[Site], None]) -> None:
    foreign(site)
    with pytest.raises(CloudError, match="CNAME") as failed:
        site.zone().view()
    assert failed.value.fault is Fault.IMPOSSIBLE
