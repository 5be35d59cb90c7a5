"""Virtual interfaces, as the Direct Connect API reference tells them."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from .emulator import Emulator
from .script import BgpStatus, VifState

VIF = "dxvif-ffhhk74f"


def told(aws: Emulator, **asked: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = aws.client("directconnect").describe_virtual_interfaces(**asked)["virtualInterfaces"]
    return found


@pytest.mark.parametrize("state", get_args(VifState))
def test_a_virtual_interface_has_a_state(aws: Emulator, state: VifState) -> None:
    aws.line(VIF, state, "down")
    [vif] = told(aws, virtualInterfaceId=VIF)
    assert (vif["virtualInterfaceId"], vif["virtualInterfaceState"]) == (VIF, state)


@pytest.mark.parametrize("status", get_args(BgpStatus))
def test_its_bgp_peer_has_a_status(aws: Emulator, status: BgpStatus) -> None:
    aws.line(VIF, "available", status)
    [vif] = told(aws, virtualInterfaceId=VIF)
    assert [peer["bgpStatus"] for peer in vif["bgpPeers"]] == [status]


def test_only_the_interface_that_is_asked_for_is_told(aws: Emulator) -> None:
    aws.line(VIF)
    aws.line("dxvif-other")
    assert [vif["virtualInterfaceId"] for vif in told(aws, virtualInterfaceId=VIF)] == [VIF]
    assert len(told(aws)) == 2
    assert told(aws, virtualInterfaceId="dxvif-nobody") == []


def test_what_is_told_changes(aws: Emulator) -> None:
    aws.line(VIF)
    aws.line(VIF, "down", "down")
    assert [vif["virtualInterfaceState"] for vif in told(aws)] == ["down"]
    aws.reset()
    assert told(aws) == []
