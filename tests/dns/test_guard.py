import pytest

from edge.dns.guard import Deny, Guard, Policy, Verdict

PREFIXES = ("10.0.0.0/8", "fd00::/8", "192.0.2.7/32")


@pytest.mark.parametrize(
    ("host", "verdict"),
    [
        ("10.255.0.1", Verdict.PASS),
        ("fd12::1", Verdict.PASS),
        ("192.0.2.7", Verdict.PASS),
        ("192.0.2.8", Verdict.DENIED),
        ("11.0.0.1", Verdict.DENIED),
        ("2001:db8::1", Verdict.DENIED),
        ("fe80::1%eth0", Verdict.DENIED),
    ],
)
def test_prefixes(host: str, verdict: Verdict) -> None:
    guard = Guard(Policy(PREFIXES))
    assert [guard.judge(host, 5353), guard.judge(host, 53)] == [verdict, verdict]


def test_who_is_denied_can_be_told_so() -> None:
    guard = Guard(Policy(PREFIXES, Deny.REFUSE))
    assert guard.judge("11.0.0.1", 5353) is Verdict.REFUSE
    assert guard.judge("10.0.0.1", 5353) is Verdict.PASS


@pytest.mark.parametrize("host", ["10.0.0.1", "11.0.0.1"])
def test_nobody_asks_from_port_0(host: str) -> None:
    assert Guard(Policy(PREFIXES)).judge(host, 0) is Verdict.PORT_ZERO


def test_what_is_no_prefix_is_an_error() -> None:
    with pytest.raises(ValueError, match="host bits"):
        Guard(Policy(("10.0.0.1/8",)))
