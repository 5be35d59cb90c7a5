"""Direct Connect's virtual interfaces, which moto doesn't have: each is as a test says.

They are scripted, not created: what an agent may see of a line is a state and whether BGP is up.
"""

from __future__ import annotations

from typing import Any, ClassVar

from moto.core.responses import ActionResult
from moto.directconnect.responses import DirectConnectResponse

from .script import Script, Vif


class MendedDirectConnect(DirectConnectResponse):
    script: ClassVar[Script]

    def __init__(self) -> None:
        super().__init__()
        self.automated_parameter_parsing = True

    # "Displays all virtual interfaces for an AWS account. [...] If you specify a connection ID, only the virtual
    # interfaces associated with the connection are returned. If you specify a virtual interface ID, then only a single
    # virtual interface is returned." (API_DescribeVirtualInterfaces)
    def describe_virtual_interfaces(self) -> ActionResult:
        asked = {name: self._get_param(name) for name in ("virtualInterfaceId", "connectionId")}
        with self.script.lock:
            known = [self._described(vif) for vif in self.script.vifs.values()]
        found = [vif for vif in known if all(vif[name] == wanted for name, wanted in asked.items() if wanted)]
        return ActionResult({"virtualInterfaces": found})

    # "virtualInterfaceState", "bgpPeers": "bgpStatus: The status of the BGP peer. up: The BGP peer is established. This
    # state doesn't indicate the state of the routing function." (API_VirtualInterface, API_BGPPeer)
    def _described(self, vif: Vif) -> dict[str, Any]:
        peer = {"asn": 65000, "addressFamily": "ipv4", "bgpPeerState": "available", "bgpStatus": vif.bgp}
        return {
            "virtualInterfaceId": vif.id,
            "connectionId": vif.connection,
            "virtualInterfaceState": vif.state,
            "virtualInterfaceType": "private",
            "vlan": 101,
            "asn": 65000,
            "region": self.region,
            "bgpPeers": [peer],
        }


def mend(script: Script) -> type[DirectConnectResponse]:
    return type("MendedDirectConnect", (MendedDirectConnect,), {"script": script})
