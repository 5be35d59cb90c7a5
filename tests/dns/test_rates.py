from dataclasses import replace
from ipaddress import IPv6Address

import pytest

from edge.dns import rates
from edge.dns.rates import Limiter, Pace, Rates

FIVE = Rates(per_s=5.0, burst_s=2.0)
A, B = b"files A", b"NXDOMAIN fs.corp.example"


def paces(limiter: Limiter, count: int, host: str = "10.0.0.1", told: bytes = A, now_s: float = 0.0) -> list[Pace]:
    return [limiter.pace(host, told, now_s) for _ in range(count)]


def passed(limiter: Limiter, host: str = "10.0.0.1", told: bytes = A, now_s: float = 0.0) -> int:
    return paces(limiter, 50, host, told, now_s).count(Pace.PASS)


def test_a_full_bucket_lasts_for_its_burst_and_fills_again_at_the_rate() -> None:
    limiter = Limiter(FIVE)
    assert [passed(limiter, now_s=now_s) for now_s in (0.0, 0.0, 0.4, 1.0, 1000.0)] == [10, 0, 2, 3, 10]


def test_a_clock_that_goes_back_gives_and_takes_nothing() -> None:
    limiter = Limiter(FIVE)
    assert [passed(limiter, now_s=now_s) for now_s in (100.0, 50.0, 50.2)] == [10, 0, 1]


def test_every_second_one_over_the_rate_slips() -> None:
    assert paces(Limiter(FIVE), 14)[10:] == [Pace.DROP, Pace.SLIP, Pace.DROP, Pace.SLIP]


@pytest.mark.parametrize(("slip", "kinds"), [(0, {Pace.DROP}), (1, {Pace.SLIP})])
def test_slip_can_be_never_or_always(slip: int, kinds: set[Pace]) -> None:
    assert set(paces(Limiter(Rates(per_s=5.0, slip=slip)), 100)[25:]) == kinds


@pytest.mark.parametrize(
    ("other", "shared"),
    [("10.0.0.255", True), ("10.0.1.1", False), ("fd00::1", False)],
)
def test_neighbours_share_a_bucket(other: str, shared: bool) -> None:
    limiter = Limiter(FIVE)
    passed(limiter)
    assert passed(limiter, other) == (0 if shared else 10)


def test_ipv6_neighbours_share_a_bucket() -> None:
    limiter = Limiter(FIVE)
    assert [passed(limiter, host) for host in ("fd00::1", "fd00:0:0:ff::2", "fd00:0:0:100::1")] == [10, 0, 10]
    assert [passed(limiter, host) for host in ("fe80::1%eth0", "fe80::2%eth1")] == [10, 0]


def test_ipv4_and_ipv6_share_nothing_even_where_their_bits_are_the_same() -> None:
    limiter = Limiter(FIVE)
    assert [passed(limiter, host) for host in ("10.0.0.1", str(IPv6Address(0x0A0000 << 128 - 56)))] == [10, 10]


def test_one_thing_told_does_not_use_up_another() -> None:
    limiter = Limiter(FIVE)
    assert [passed(limiter, told=A), passed(limiter, told=B), passed(limiter, told=A)] == [10, 10, 0]


def test_less_than_one_a_burst_still_passes_one() -> None:
    limiter = Limiter(Rates(per_s=0.1, burst_s=1.0))
    assert [passed(limiter, now_s=now_s) for now_s in (0.0, 9.0, 10.1)] == [1, 0, 1]


def afforded(limiter: Limiter, host: str = "10.0.0.1", now_s: float = 0.0) -> int:
    return [limiter.affords(host, now_s) for _ in range(50)].count(True)


def test_a_network_has_a_budget_for_what_is_not_prepared() -> None:
    limiter = Limiter(Rates(unprepared_per_s=100.0))
    assert [afforded(limiter, now_s=now_s) for now_s in (0.0, 0.02, 1000.0)] == [10, 2, 10]
    assert [afforded(limiter, host, 1000.0) for host in ("10.0.0.255", "10.0.1.1", "fd00::1", "fd00:0:0:ff::2")] == [
        0,
        10,
        10,
        0,
    ]


def test_the_budget_and_the_rate_are_apart() -> None:
    limiter = Limiter(Rates(per_s=5.0, unprepared_per_s=20.0, burst_s=2.0))
    assert (afforded(limiter), passed(limiter), afforded(limiter)) == (2, 10, 0)


def test_the_budget_is_on_unless_it_is_zero() -> None:
    limiter = Limiter(Rates())
    assert [limiter.affords("10.0.0.1", 0.0) for _ in range(101)] == [True] * 100 + [False]
    assert afforded(Limiter(Rates(unprepared_per_s=0.0))) == 50


@pytest.mark.parametrize(("prefix", "shared"), [(0, True), (8, True), (32, False)])
def test_a_network_is_as_wide_as_its_prefix(prefix: int, shared: bool) -> None:
    limiter = Limiter(replace(FIVE, ipv4_prefix=prefix))
    passed(limiter)
    assert passed(limiter, "10.255.0.1") == (0 if shared else 10)


def test_memory_is_bounded_and_the_longest_unused_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "MAX_BUCKETS", 3)
    limiter = Limiter(FIVE)
    for told in (b"1", b"2", b"3"):
        passed(limiter, told=told)
    assert passed(limiter, told=b"1") == 0
    passed(limiter, told=b"4")
    assert len(limiter._answers._buckets) == 3
    assert [passed(limiter, told=told) for told in (b"1", b"4", b"2")] == [0, 0, 10]
