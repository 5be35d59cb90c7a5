import json
import subprocess
import sys
from dataclasses import replace

import pytest

from edge import __version__
from edge.dns.guard import Deny, Policy, TcpLimits
from edge.dns.orders import OTHER_VERSION, Legacy, Order
from edge.dns.rates import Rates
from tests.dns.samples import DUAL, FILES, HOST, ZONE


def test_an_order_survives_the_journey() -> None:
    policy = Policy(
        ("10.0.0.0/8", "fd00::/8"),
        Deny.REFUSE,
        ("10.0.0.53/32",),
        amplification=4.5,
        cookie_secrets=("00" * 16, "11" * 16),
        cookie_required=True,
        identity="edge-a",
        version="1.2",
        rates=Rates(per_s=5.0, log_only=True, unprepared_per_s=7.5),
        tcp=TcpLimits(connections=7, idle_s=1.5),
    )
    order = Order(9, (ZONE, replace(ZONE, name="other.example", records=(HOST,))), policy)
    assert Order.from_lines(order.to_lines()) == order


def test_what_stands_in_the_next_order_too_is_not_read_again() -> None:
    zones = [replace(ZONE, serial=serial, services=(replace(FILES, epoch=serial), DUAL)) for serial in (1, 2)]
    first, second = (Order.from_lines(Order(zone.serial, (zone,), Policy(())).to_lines()) for zone in zones)
    assert (first.zones[0].serial, second.zones[0].serial) == (1, 2)
    assert second.policy is first.policy
    assert second.zones[0].services[0] != first.zones[0].services[0]
    assert second.zones[0].services[1] is first.zones[0].services[1]
    assert second.zones[0].nameservers is first.zones[0].nameservers


def test_a_legacy_survives_the_journey_and_names_every_descriptor() -> None:
    legacy = Legacy(channel=3, counters=4, roll=5, generation=77, udp=(6, 7), tcp=(8, 9), shared=(7,))
    assert Legacy.from_json(legacy.to_json()) == legacy
    assert legacy.descriptors() == (3, 4, 5, 6, 7, 8, 9)


@pytest.mark.parametrize(("theirs", "told"), [({"version": "0.0.9"}, "0.0.9"), ({}, "unknown")])
def test_a_worker_of_another_version_than_the_agent_that_runs_says_so_in_one_line(
    theirs: dict[str, str], told: str
) -> None:
    """The program was replaced beneath a running agent, and then a worker died: who is restarted is the new one."""
    legacy = json.dumps({**theirs, "channel": 3, "a_field_that_is_gone": 4})
    command = [sys.executable, "-I", "-m", "edge.dns.worker", legacy]
    ended = subprocess.run(command, env={}, cwd="/", capture_output=True, text=True, check=False)
    (line,) = ended.stderr.splitlines()
    assert f"the agent runs version {told}, installed is {__version__}: restart the agent" in line
    assert ended.returncode == OTHER_VERSION
