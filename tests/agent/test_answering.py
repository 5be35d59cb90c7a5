"""Views over DNS, read from real forwarders before the emulated private zone."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.agent import answering
from edge.agent.answering import Answers
from edge.agent.reading import agrees, read
from edge.config import load
from edge.failover.model import Assignment
from tests.agent.forwarder import Server, forwarding
from tests.agent.site import ADDRESS, NAME
from tests.cloud.emulator import Emulator, Layout
from tests.ports import free_port

BY_NODE = {node: (address,) for node, address in ADDRESS.items()}
KEPT_S = 300
CONFIGS = Path(__file__).parents[2] / "config"


class PrivateZone:
    """The emulated private zone, in which a test is the agent."""

    def __init__(self, aws: Emulator) -> None:
        aws.reset()
        self.server = aws.dns_address
        self._route53 = aws.client("route53")
        self._id = aws.seed(Layout(node_a=ADDRESS["a"], node_b=ADDRESS["b"], subnets=("127.0.1.0/24",))).zone_id

    def points_to(self, node: str, epoch: int, ttl_s: int = 0) -> None:
        sets = [(NAME, "A", ADDRESS[node]), (f"_edge.{NAME}", "TXT", f'"epoch={epoch} node={node}"')]
        for name, kind, value in sets:
            self.change("UPSERT", name, kind, value, ttl_s)

    def change(self, action: str, name: str, kind: str, value: str, ttl_s: int = 0) -> None:
        rrset = {"Name": name, "Type": kind, "TTL": ttl_s, "ResourceRecords": [{"Value": value}]}
        batch = {"Changes": [{"Action": action, "ResourceRecordSet": rrset}]}
        self._route53.change_resource_record_sets(HostedZoneId=self._id, ChangeBatch=batch)


@pytest.fixture
def zone(cloud: Emulator) -> Iterator[PrivateZone]:
    yield PrivateZone(cloud)
    cloud.reset()


def side(server: Server, ttl_s: int = 0) -> Answers:
    return Answers("forwarder/one", server, NAME, BY_NODE, ttl_s, recursive=True)


@pytest.mark.parametrize("program", ["unbound", "dnsmasq"])
def test_a_forwarder_that_obeys_ttl_0_tells_the_new_node_at_once(
    program: str, zone: PrivateZone, tmp_path: Path
) -> None:
    zone.points_to("a", 7)
    with forwarding(program, zone.server, tmp_path) as server:
        one = side(server)
        assert (one.view().node, one.view().epoch, one.view().ttl_s, one.view().flaw) == ("a", 7, 0, "")
        zone.points_to("b", 8)
        assert agrees(read(one, lambda: 1.0), Assignment("b", 8)) is True


@pytest.mark.parametrize("program", ["unbound", "dnsmasq"])
def test_14_a_forwarder_that_keeps_an_answer_is_warned_of_and_is_seen_to_be_stale(
    program: str, zone: PrivateZone, tmp_path: Path
) -> None:
    zone.points_to("a", 7)
    with forwarding(program, zone.server, tmp_path, kept_s=KEPT_S) as server:
        one = side(server)
        one.view()
        zone.points_to("b", 8)
        said = one.view()
        assert (said.node, said.epoch) == ("a", {"unbound": 7, "dnsmasq": 8}[program])  # dnsmasq keeps no TXT
        assert said.ttl_s is not None
        assert 0 < said.ttl_s <= KEPT_S
        assert said.flaw.startswith("TTL ")
        assert side(server, ttl_s=KEPT_S).view().flaw == ""
        assert agrees(read(one, lambda: 1.0), Assignment("b", 8)) is False


def test_the_addresses_tell_the_node_and_the_text_the_epoch(zone: PrivateZone) -> None:
    one = side(zone.server)
    assert (one.view().node, one.view().evidence) == (None, "no address (NXDOMAIN), epoch none")
    zone.change("UPSERT", NAME, "A", ADDRESS["b"])
    said = one.view()
    assert (said.node, said.epoch, said.flaw) == ("b", 0, "it does not tell the epoch")
    zone.change("UPSERT", f"_edge.{NAME}", "TXT", '"epoch=7 node=a"')
    assert (one.view().node, one.view().epoch) == ("b", 7)
    zone.change("UPSERT", NAME, "A", "127.0.1.99")
    assert (one.view().node, one.view().evidence) == (None, "127.0.1.99, epoch 7")


def test_where_all_nodes_answer_alike_the_text_tells_the_node(zone: PrivateZone) -> None:
    alike = dict.fromkeys(BY_NODE, (ADDRESS["a"],))
    one = Answers("peer/two", zone.server, NAME, alike, 0)
    zone.points_to("a", 7)
    zone.change("UPSERT", f"_edge.{NAME}", "TXT", '"epoch=8 node=b"')
    assert (one.view().node, one.view().epoch) == ("b", 8)


def test_who_does_not_answer_is_no_disagreement() -> None:
    silent = read(side(("127.0.0.1", free_port())), lambda: 1.0)
    assert agrees(silent, Assignment("a", 7)) is None
    assert "does not answer" in silent.trouble


def test_whoever_is_configured_is_asked() -> None:
    config = load(CONFIGS / "multi-az-route53.toml")
    [service] = config.services
    asked = {each.name: (each.server, each.recursive) for each in answering.views(config, service)}
    assert asked == {
        "agent": (("10.10.0.53", 53), False),
        "peer/edge-2": (("10.10.0.54", 53), False),
        "forwarder/dc1": (("10.10.0.10", 53), True),
        "forwarder/dc2": (("10.10.0.11", 53), True),
        "resolver/10.0.1.2:53": (("10.0.1.2", 53), True),
    }
