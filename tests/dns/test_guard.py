import pytest

from edge.dns.guard import REFLECTING_PORTS, Deny, Guard, Policy, Verdict

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


def test_the_trusted_are_told_apart_and_must_be_allowed_too() -> None:
    guard = Guard(Policy(PREFIXES, trusted=("10.0.0.53/32", "2001:db8::/32")))
    hosts = ("10.0.0.53", "10.0.0.54", "2001:db8::1")
    assert [guard.judge(host, 5353) for host in hosts] == [Verdict.TRUSTED, Verdict.PASS, Verdict.DENIED]


def test_nobody_talks_with_himself_or_with_an_echo() -> None:
    guard = Guard(Policy(PREFIXES), own=[("10.0.0.1", 53)])
    assert guard.judge("10.0.0.1", 53) is Verdict.LOOP
    assert [guard.judge("10.0.0.1", 54), guard.judge("10.0.0.2", 53)] == [Verdict.PASS] * 2
    assert {guard.judge("10.0.0.2", port) for port in REFLECTING_PORTS} == {Verdict.LOOP}


def test_what_is_no_prefix_is_an_error() -> None:
    with pytest.raises(ValueError, match="host bits"):
        Guard(Policy(("10.0.0.1/8",)))
