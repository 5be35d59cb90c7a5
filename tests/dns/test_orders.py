from edge.dns.guard import Deny, Policy
from edge.dns.orders import Legacy, Order
from tests.dns.samples import ZONE


def test_an_order_survives_the_journey() -> None:
    order = Order(9, ZONE, Policy(("10.0.0.0/8", "fd00::/8"), Deny.REFUSE))
    assert Order.from_json(order.to_json()) == order


def test_a_legacy_survives_the_journey_and_names_every_descriptor() -> None:
    legacy = Legacy(channel=3, counters=4, roll=5, generation=77, udp=(6, 7), tcp=(8, 9))
    assert Legacy.from_json(legacy.to_json()) == legacy
    assert legacy.descriptors() == (3, 4, 5, 6, 7, 8, 9)
