"""Direct Connect's virtual interfaces, for people: AWS's word of them is minutes late, and decides nothing.

An interface is asked for by its id, which is the only call that doesn't list the whole account's (Direct Connect API,
*DescribeVirtualInterfaces*).
"""

from dataclasses import dataclass

from edge.errors import CloudError, Fault
from edge.switches.session import Session


@dataclass(frozen=True, slots=True)
class Line:
    """`state`: available, down and others; `bgp`: up, down or unknown, of each peer."""

    state: str
    bgp: tuple[str, ...]

    def carries(self) -> bool:
        return self.state == "available" and set(self.bgp) == {"up"}

    def __str__(self) -> str:
        return f"{self.state}, BGP {' and '.join(self.bgp) or 'without a peer'}"


def line(session: Session, interface: str) -> Line:
    """Blocks. Raises CloudError."""
    answer = session.read("directconnect", "describe_virtual_interfaces", virtualInterfaceId=interface)
    if not answer["virtualInterfaces"]:
        raise CloudError("DescribeVirtualInterfaces", Fault.IMPOSSIBLE, f"there is no {interface}")
    found = answer["virtualInterfaces"][0]
    return Line(str(found["virtualInterfaceState"]), tuple(str(peer["bgpStatus"]) for peer in found["bgpPeers"]))
