"""Desks to try the parts of a worker with."""

from edge.dns.counters import Tally, total
from edge.dns.desk import Desk
from edge.dns.guard import Policy
from edge.dns.message import Qtype
from edge.dns.orders import Order
from tests.dns.samples import ZONE, packet

HOME = ("127.0.0.1", 5353)
LOCAL = Policy(("127.0.0.0/8",))
A_QUERY = packet("files.fs.corp.example", Qtype.A)
SOA_QUERY = packet("fs.corp.example", Qtype.SOA)


def desk(policy: Policy = LOCAL) -> Desk:
    return Desk(Tally.create(), Order(1, (ZONE,), policy))


def dropped(at: Desk) -> dict[str, int]:
    return {reason: count for reason, count in total([at.tally]).dropped.items() if count}
