"""One test for each sentence of the EC2 documentation that routes, Elastic IPs, isolation and stopping rely on."""

from __future__ import annotations

import time
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from .emulator import Emulator, Layout, Seeded, SeededNode

HOUR_S = 3600.0
OUTSIDE = "192.0.2.10/32"
VIP = "10.0.1.100"


class Account:
    def __init__(self, aws: Emulator) -> None:
        self.aws = aws
        self.seeded: Seeded = aws.seed(Layout(secondary=VIP))
        self.ec2 = aws.client("ec2")
        self.a, self.b = self.seeded.a, self.seeded.b

    # --- routes -----------------------------------------------------------------------------------------------------

    def table(self) -> str:
        return str(self.ec2.create_route_table(VpcId=self.seeded.vpc)["RouteTable"]["RouteTableId"])

    def route(self, table: str, to: SeededNode, destination: str = OUTSIDE, **more: Any) -> None:
        self.ec2.create_route(
            RouteTableId=table, DestinationCidrBlock=destination, NetworkInterfaceId=to.interface, **more
        )

    def replace(self, table: str, to: SeededNode, **more: Any) -> None:
        self.ec2.replace_route(
            RouteTableId=table, DestinationCidrBlock=OUTSIDE, NetworkInterfaceId=to.interface, **more
        )

    def routed(self, table: str) -> list[tuple[str | None, str]]:
        """(interface, state) of the routes to the destination."""
        [described] = self.ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"]
        found = [r for r in described["Routes"] if r.get("DestinationCidrBlock") == OUTSIDE]
        return [(r.get("NetworkInterfaceId"), r["State"]) for r in found]

    # --- security groups --------------------------------------------------------------------------------------------

    def group(self, name: str) -> str:
        made = self.ec2.create_security_group(GroupName=name, Description=name, VpcId=self.seeded.vpc)
        return str(made["GroupId"])

    def set_groups(self, *groups: str) -> None:
        self.ec2.modify_network_interface_attribute(NetworkInterfaceId=self.a.interface, Groups=list(groups))

    def groups(self) -> list[str]:
        [eni] = self.ec2.describe_network_interfaces(NetworkInterfaceIds=[self.a.interface])["NetworkInterfaces"]
        return [group["GroupId"] for group in eni["Groups"]]

    # --- instances --------------------------------------------------------------------------------------------------

    def stop(self, **more: Any) -> str:
        [stopping] = self.ec2.stop_instances(InstanceIds=[self.a.instance], **more)["StoppingInstances"]
        return str(stopping["CurrentState"]["Name"])

    def state(self) -> str:
        [reservation] = self.ec2.describe_instances(InstanceIds=[self.a.instance])["Reservations"]
        return str(reservation["Instances"][0]["State"]["Name"])

    def statuses(self, **more: Any) -> list[Any]:
        found: list[Any] = self.ec2.describe_instance_status(InstanceIds=[self.a.instance], **more)["InstanceStatuses"]
        return found

    def seen(self, *things: str) -> tuple[Any, ...]:
        """All that a switch could change."""
        *tables, eip = things
        routed = [self.routed(table) for table in tables]
        return self.groups(), self.tags(), self.state(), routed, self.bound(eip)

    def tag(self) -> None:
        self.ec2.create_tags(Resources=[self.a.interface], Tags=[{"Key": "edge-groups", "Value": "x"}])

    def let_through(self) -> None:
        self.ec2.modify_network_interface_attribute(
            NetworkInterfaceId=self.a.interface, SourceDestCheck={"Value": False}
        )

    def checked(self) -> bool:
        [eni] = self.ec2.describe_network_interfaces(NetworkInterfaceIds=[self.a.interface])["NetworkInterfaces"]
        return bool(eni["SourceDestCheck"])

    def allocated(self) -> int:
        return len(self.ec2.describe_addresses()["Addresses"])

    def tables(self) -> int:
        return len(self.ec2.describe_route_tables()["RouteTables"])

    def all_groups(self) -> int:
        return len(self.ec2.describe_security_groups()["SecurityGroups"])

    def start(self) -> None:
        self.ec2.start_instances(InstanceIds=[self.a.instance])

    def tags(self) -> list[Any]:
        [eni] = self.ec2.describe_network_interfaces(NetworkInterfaceIds=[self.a.interface])["NetworkInterfaces"]
        return list(eni["TagSet"])

    # --- Elastic IPs ------------------------------------------------------------------------------------------------

    def allocate(self) -> str:
        return str(self.ec2.allocate_address(Domain="vpc")["AllocationId"])

    def associate(self, eip: str, to: SeededNode, **more: Any) -> None:
        self.ec2.associate_address(AllocationId=eip, NetworkInterfaceId=to.interface, **more)

    def bound(self, eip: str) -> tuple[str | None, str | None]:
        [address] = self.ec2.describe_addresses(AllocationIds=[eip])["Addresses"]
        return address.get("NetworkInterfaceId") or None, address.get("PrivateIpAddress")


@pytest.fixture
def account(aws: Emulator) -> Account:
    return Account(aws)


def refused(act: Any, *args: Any, **more: Any) -> str:
    with pytest.raises(ClientError) as refusal:
        act(*args, **more)
    return str(refusal.value.response["Error"]["Code"])


def test_a_route_that_exists_can_not_be_created(account: Account) -> None:
    table = account.table()
    account.route(table, account.a)
    assert refused(account.route, table, account.b) == "RouteAlreadyExists"
    assert account.routed(table) == [(account.a.interface, "active")]


def test_a_route_that_is_missing_can_not_be_replaced(account: Account) -> None:
    assert refused(account.replace, account.table(), account.a) == "InvalidParameterValue"


def test_a_dry_run_has_no_effect(account: Account) -> None:
    empty, table, eip, group = account.table(), account.table(), account.allocate(), account.group("q")
    account.route(table, account.a)
    a, ec2 = account.a, account.ec2
    eni: dict[str, Any] = {"NetworkInterfaceId": a.interface}
    tag: dict[str, Any] = {"Resources": [a.interface], "Tags": [{"Key": "edge-groups", "Value": "x"}]}
    before = account.seen(empty, table, eip)
    assert refused(account.route, empty, a, DryRun=True) == "DryRunOperation"
    assert refused(account.replace, table, account.b, DryRun=True) == "DryRunOperation"
    assert refused(ec2.create_tags, **tag, DryRun=True) == "DryRunOperation"
    assert refused(ec2.modify_network_interface_attribute, **eni, Groups=[group], DryRun=True) == "DryRunOperation"
    assert refused(ec2.stop_instances, InstanceIds=[a.instance], DryRun=True) == "DryRunOperation"
    assert refused(account.associate, eip, a, DryRun=True) == "DryRunOperation"
    assert refused(ec2.describe_instances, DryRun=True) == "DryRunOperation"
    assert account.seen(empty, table, eip) == before


def test_a_dry_run_tells_a_missing_permission(aws: Emulator, account: Account) -> None:
    aws.fault("ec2:StopInstances", "deny")
    assert refused(account.stop, DryRun=True) == "UnauthorizedOperation"


def test_a_route_to_a_stopped_instance_is_a_blackhole(account: Account) -> None:
    table = account.table()
    account.route(table, account.a)
    account.stop()
    assert account.routed(table) == [(account.a.interface, "blackhole")]
    account.ec2.start_instances(InstanceIds=[account.a.instance])
    assert account.routed(table) == [(account.a.interface, "active")]


def test_a_single_address_within_the_vpc_can_not_be_routed(account: Account) -> None:
    assert refused(account.route, account.table(), account.a, "10.0.1.77/32") == "InvalidParameterValue"


def test_a_security_group_that_is_unknown_is_refused(account: Account) -> None:
    before = account.groups()
    assert refused(account.set_groups, "sg-0123456789abcdef0") == "InvalidGroup.NotFound"
    assert account.groups() == before


def test_an_interface_has_a_security_group(account: Account) -> None:
    assert refused(account.set_groups) == "InvalidParameterCombination"


def test_new_security_groups_replace_the_old_ones(account: Account) -> None:
    quarantine = account.group("quarantine")
    account.set_groups(quarantine)
    assert account.groups() == [quarantine]
    assert refused(account.set_groups, "sg-0123456789abcdef0") == "InvalidGroup.NotFound"


def test_an_instance_stops_after_a_while(aws: Emulator, account: Account) -> None:
    aws.lag(stop_s=HOUR_S)
    assert (account.stop(), account.state()) == ("stopping", "stopping")
    assert account.stop() == "stopping"
    aws.lag(stop_s=0)
    assert account.state() == "stopped"


def test_a_stopping_instance_has_no_status_unless_all_are_asked_for(aws: Emulator, account: Account) -> None:
    aws.lag(stop_s=HOUR_S)
    account.stop()
    assert account.statuses() == []
    [status] = account.statuses(IncludeAllInstances=True)
    assert status["InstanceState"]["Name"] == "stopping"


@pytest.mark.parametrize("more", [{}, {"IncludeAllInstances": True}], ids=["running", "all"])
def test_an_impaired_instance_is_told(aws: Emulator, account: Account, more: dict[str, Any]) -> None:
    aws.impair(account.a.instance)
    [status] = account.statuses(**more)
    assert status["InstanceStatus"]["Status"] == status["SystemStatus"]["Status"] == "impaired"
    assert status["InstanceState"]["Name"] == "running"


def test_checks_do_not_apply_to_an_impaired_instance_that_is_stopped(aws: Emulator, account: Account) -> None:
    aws.impair(account.a.instance)
    account.stop(Force=True)
    assert account.statuses() == []
    [status] = account.statuses(IncludeAllInstances=True)
    assert (status["InstanceState"]["Name"], status["InstanceStatus"]["Status"]) == ("stopped", "not-applicable")


def test_an_impaired_instance_is_stopped_by_force_only(aws: Emulator, account: Account) -> None:
    aws.impair(account.a.instance)
    account.stop()
    assert account.state() == "stopping"
    account.stop(Force=True)
    assert account.state() == "stopped"


def test_an_elastic_ip_moves_unless_it_is_told_not_to(account: Account) -> None:
    eip = account.allocate()
    account.associate(eip, account.a)
    assert refused(account.associate, eip, account.b, AllowReassociation=False) == "Resource.AlreadyAssociated"
    account.associate(eip, account.b)
    assert account.bound(eip) == (account.b.interface, account.b.address)


def test_an_elastic_ip_is_bound_to_the_private_address_that_is_asked_for(account: Account) -> None:
    eip = account.allocate()
    account.associate(eip, account.a, PrivateIpAddress=VIP)
    assert account.bound(eip) == (account.a.interface, VIP)


def test_an_elastic_ip_is_not_bound_to_an_address_of_another_interface(account: Account) -> None:
    eip = account.allocate()
    assert refused(account.associate, eip, account.b, PrivateIpAddress=VIP) == "InvalidParameterValue"


def test_an_elastic_ip_moves_with_its_secondary_address(account: Account) -> None:
    eip = account.allocate()
    account.associate(eip, account.a, PrivateIpAddress=VIP)
    account.ec2.assign_private_ip_addresses(
        NetworkInterfaceId=account.b.interface, PrivateIpAddresses=[VIP], AllowReassignment=True
    )
    assert account.bound(eip) == (account.b.interface, VIP)


def test_an_elastic_ip_leaves_with_its_secondary_address(account: Account) -> None:
    eip = account.allocate()
    account.associate(eip, account.a, PrivateIpAddress=VIP)
    account.ec2.unassign_private_ip_addresses(NetworkInterfaceId=account.a.interface, PrivateIpAddresses=[VIP])
    assert account.bound(eip)[0] is None


def test_an_address_has_one_elastic_ip(account: Account) -> None:
    first, second = account.allocate(), account.allocate()
    account.associate(first, account.a)
    account.associate(second, account.a)
    assert account.bound(first)[0] is None
    assert account.bound(second) == (account.a.interface, account.a.address)


def test_a_describe_may_not_show_the_last_change_yet(aws: Emulator, account: Account) -> None:
    """Each of the describe calls, by itself; what it does not show has happened all the same."""
    table, eip, before = account.table(), account.allocate(), account.groups()
    account.route(table, account.a)
    changes: list[tuple[Any, Any, str]] = [
        (lambda: account.replace(table, account.b), lambda: account.routed(table), "DescribeRouteTables"),
        (lambda: account.associate(eip, account.a), lambda: account.bound(eip), "DescribeAddresses"),
        (lambda: account.set_groups(account.group("q")), account.groups, "DescribeNetworkInterfaces"),
        (account.tag, account.tags, "DescribeNetworkInterfaces"),
        (account.let_through, account.checked, "DescribeNetworkInterfaces"),
        (account.allocate, account.allocated, "DescribeAddresses"),
        (account.table, account.tables, "DescribeRouteTables"),
        (lambda: account.group("r"), account.all_groups, "DescribeSecurityGroups"),
        (account.stop, account.state, "DescribeInstances"),
        (account.start, lambda: len(account.statuses()), "DescribeInstanceStatus"),
    ]
    for change, show, api in changes:
        old = show()
        change()
        aws.fault(f"ec2:{api}", "stale", times=1)
        assert show() == old, api
        assert show() != old, api
    assert account.groups() != before


def test_a_call_that_timed_out_may_have_taken_effect(aws: Emulator, account: Account) -> None:
    table, eip, quarantine = account.table(), account.allocate(), account.group("quarantine")
    impatient = aws.client("ec2", read_timeout_s=0.2)
    calls: list[tuple[str, Any, Any]] = [
        (
            "CreateRoute",
            lambda: impatient.create_route(
                RouteTableId=table, DestinationCidrBlock=OUTSIDE, NetworkInterfaceId=account.a.interface
            ),
            lambda: account.routed(table) == [(account.a.interface, "active")],
        ),
        (
            "AssociateAddress",
            lambda: impatient.associate_address(AllocationId=eip, NetworkInterfaceId=account.a.interface),
            lambda: account.bound(eip) == (account.a.interface, account.a.address),
        ),
        (
            "ModifyNetworkInterfaceAttribute",
            lambda: impatient.modify_network_interface_attribute(
                NetworkInterfaceId=account.a.interface, Groups=[quarantine]
            ),
            lambda: account.groups() == [quarantine],
        ),
        (
            "StopInstances",
            lambda: impatient.stop_instances(InstanceIds=[account.a.instance]),
            lambda: account.state() == "stopped" and account.routed(table)[0][1] == "blackhole",
        ),
    ]
    for api, call, happened in calls:
        aws.fault(f"ec2:{api}", "timeout_after", times=1)
        with pytest.raises(ReadTimeoutError):
            call()
        while not aws.calls(f"ec2:{api}"):
            time.sleep(0.01)  # on a slow machine the request may still be on its way
        assert happened(), api


def test_a_fault_lets_some_calls_pass_first(aws: Emulator, account: Account) -> None:
    aws.fault("ec2:StopInstances", "deny", times=1, skip=1)
    account.stop()
    assert refused(account.stop) == "UnauthorizedOperation"
