"""What the line promises of a packet: not before its delay, in the order of due times, by the odds given."""

import random

import pytest

from tests.lab.line import ONPREM, VPC, Settings, Wire

NEVER_S = 1e9


def wire(settings: Settings) -> Wire:
    return Wire(settings, random.Random(7))


def test_a_packet_is_due_after_the_delay_and_not_before() -> None:
    line = wire(Settings(delay_s=0.010))
    line.admit(b"one", VPC, now_s=5.0)
    assert line.due(5.009) == []
    assert line.wait_s(5.004) == pytest.approx(0.006)
    assert line.due(5.010) == [(VPC, b"one")]
    assert line.wait_s(5.010) is None


def test_packets_of_equal_delay_keep_their_order() -> None:
    line = wire(Settings())
    for packet in (b"z", b"a", b"m"):
        line.admit(packet, ONPREM, now_s=1.0)
    assert line.due(NEVER_S) == [(ONPREM, b"z"), (ONPREM, b"a"), (ONPREM, b"m")]


def test_jitter_reorders_but_never_shortens_the_delay() -> None:
    line = wire(Settings(delay_s=1.0, jitter_s=0.5))
    sent = [bytes([number]) for number in range(50)]
    for packet in sent:
        line.admit(packet, VPC, now_s=0.0)
    assert line.due(0.999) == []
    came = [packet for _, packet in line.due(1.5)]
    assert came != sent
    assert sorted(came) == sent


def test_loss_is_drawn_for_each_direction_on_its_own() -> None:
    line = wire(Settings(loss_to_vpc=1.0, loss_to_onprem=0.25))
    for _ in range(1000):
        line.admit(b"x", VPC, now_s=0.0)
        line.admit(b"x", ONPREM, now_s=0.0)
    came = [to for to, _ in line.due(NEVER_S)]
    assert VPC not in came
    assert 650 < len(came) < 850


def test_a_cut_loses_what_is_on_its_way() -> None:
    line = wire(Settings())
    line.admit(b"under way", VPC, now_s=0.0)
    line.change(Settings(up=False))
    line.admit(b"too late", VPC, now_s=0.0)
    line.change(Settings())
    assert line.due(NEVER_S) == []
