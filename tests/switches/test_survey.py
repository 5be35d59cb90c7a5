"""What a fresh agent is told of AWS: a node where it points to one, and a fault where only a person can tell."""

import pytest

from edge.errors import Fault
from edge.failover.events import Surveyed
from edge.failover.model import Stage
from edge.switches.contract import View
from edge.switches.survey import survey
from tests.switches.site import Site


def surveyed(site: Site) -> Surveyed:
    return survey([site.address(), site.zone()])


def test_without_a_switch_nothing_is_known() -> None:
    assert survey([]) == Surveyed(None, 0, "AWS was read: no switch is configured")


def test_a_side_that_we_get_wrong_is_trouble_and_no_end(caplog: pytest.LogCaptureFixture) -> None:
    class Wrong:
        name = "route53"

        def view(self) -> View:
            raise IndexError("a mistake of ours")

    assert survey([Wrong()]) == Surveyed(
        None, 0, "a fault in this program: IndexError('a mistake of ours')", Fault.IMPOSSIBLE
    )
    assert caplog.messages == ["a fault in this program, in reading AWS"]


def test_the_one_side_that_points_somewhere_decides(site: Site) -> None:
    found = surveyed(site)
    assert (found.node, found.epoch, found.fault) == ("a", 0, None)
    assert "10.0.1.100 is on a" in found.sentence


def test_sides_that_agree_are_believed_with_their_epoch(site: Site) -> None:
    site.publish(7, "a")
    assert (surveyed(site).node, surveyed(site).epoch) == ("a", 7)


def test_sides_that_disagree_are_for_a_person(site: Site) -> None:
    site.publish(7, "b")
    found = surveyed(site)
    assert (found.node, found.epoch, found.fault) == (None, 7, Fault.CONFLICT)
    assert "promote a node" in found.sentence


def test_an_address_of_somebody_else_is_for_a_person(site: Site) -> None:
    """The name of a server that was there before us is not taken over by a first start."""
    site.change("CREATE", "A", "10.9.9.9")
    found = surveyed(site)
    assert (found.node, found.fault) == (None, Fault.CONFLICT)
    assert "10.9.9.9" in found.sentence


def test_where_nothing_points_anywhere_there_is_no_node_and_no_fault(site: Site) -> None:
    site.run(1, Stage.FENCE)
    assert (surveyed(site).node, surveyed(site).fault) == (None, None)


@pytest.mark.parametrize(("kind", "fault"), [("deny", Fault.DENIED), ("reset", Fault.UNREACHABLE)])
@pytest.mark.parametrize("api", ["ec2:*", "route53:ListResourceRecordSets", "route53:GetHostedZone"])
def test_a_side_that_can_not_be_read_leaves_all_open(site: Site, api: str, kind: str, fault: Fault) -> None:
    site.aws.fault(api, kind)
    found = surveyed(site)
    assert (found.node, found.fault) == (None, fault)


def test_a_survey_changes_nothing(site: Site) -> None:
    surveyed(site)
    assert not site.mutations()
