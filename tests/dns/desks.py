"""Desks to try the parts of a worker with."""

from collections.abc import Iterable

from edge.dns.counters import Tally, total
from edge.dns.desk import Desk
from edge.dns.guard import Policy
from edge.dns.message import Qtype
from edge.dns.orders import Order
from tests.dns.samples import ZONE, packet

HOME = ("127.0.0.1", 5353)
LOCAL = Policy(("127.0.0.0/8",))
SECRET = "e5e973e5a6b2a43f48e7dc849e37bfcf"  # RFC 9018 appendix A
A_QUERY = packet("files.fs.corp.example", Qtype.A)
SOA_QUERY = packet("fs.corp.example", Qtype.SOA)


def desk(policy: Policy = LOCAL, own: Iterable[tuple[str, int]] = ()) -> Desk:
    return Desk(Tally.create(), Order(1, (ZONE,), policy), own)


def dropped(at: Desk) -> dict[str, int]:
    return {reason: count for reason, count in total([at.tally]).dropped.items() if count}
