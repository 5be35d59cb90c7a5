"""The UDP ports of a worker in this process, on real sockets: the native one does what those in Python do."""

import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from edge.dns.counters import total
from edge.dns.desk import Desk
from edge.dns.guard import Policy
from edge.dns.udp import COUNT, NATIVE, NativePort, UdpPort, WildcardPort, udp_port
from edge.dns.wildcard import ask_where_sent
from tests.dns.desks import A_QUERY, SECRET, desk, dropped
from tests.dns.samples import packet
from tests.fuzz.mutate import mutated
from tests.fuzz.seeds import corpus

Pair = tuple[socket.socket, socket.socket]
LOCAL = Policy(("127.0.0.0/8", "::1/128"))
TOO_LONG = bytes(65536)  # for any datagram
FUZZED_BATCHES = 200

needs_native = pytest.mark.skipif(not NATIVE, reason="the native module was not built")
PORTS = pytest.mark.parametrize("kind", [UdpPort, WildcardPort, pytest.param(NativePort, marks=needs_native)])
WILDCARDS = pytest.mark.parametrize("kind", [WildcardPort, pytest.param(NativePort, marks=needs_native)])


def pair_on(host: str, stack: ExitStack) -> Pair:
    """Ours, and an asker that is connected to it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    ours, theirs = (stack.enter_context(socket.socket(family, socket.SOCK_DGRAM)) for _ in range(2))
    for end in (ours, theirs):
        end.bind((host, 0))
    ours.setblocking(False)
    theirs.settimeout(30)
    theirs.connect(ours.getsockname())
    return ours, theirs


@pytest.fixture(params=["127.0.0.1", "::1"])
def udp(request: pytest.FixtureRequest) -> Iterator[Pair]:
    with ExitStack() as stack:
        yield pair_on(request.param, stack)


@PORTS
def test_a_turn_ends_after_a_batch(udp: Pair, kind: type[UdpPort]) -> None:
    ours, theirs = udp
    port = kind(ours, desk(LOCAL))
    for _ in range(COUNT + 1):
        theirs.send(A_QUERY)
    assert [port.turn(), port.turn(), port.turn()] == [True, False, False]
    assert all(theirs.recv(512)[:2] == A_QUERY[:2] for _ in range(COUNT + 1))


@PORTS
def test_the_first_of_a_batch_is_timed(udp: Pair, kind: type[UdpPort]) -> None:
    ours, theirs = udp
    at = desk(LOCAL)
    for _ in range(3):
        theirs.send(A_QUERY)
    kind(ours, at).turn()
    assert sum(total([at.tally]).responses) == 1


@PORTS
def test_everybody_gets_his_own_answer_and_some_get_none(udp: Pair, kind: type[UdpPort]) -> None:
    ours, theirs = udp
    at = desk(LOCAL)
    at.answer = lambda data, source, **_: data.upper() + b"%d" % source[1] if data != b"-" else None  # type: ignore[method-assign]
    port = kind(ours, at)
    with socket.socket(ours.family, socket.SOCK_DGRAM) as other:
        other.connect(ours.getsockname())
        other.settimeout(30)
        for _ in range(2):
            for asker, word in ((theirs, b"-"), (theirs, b"theirs"), (other, b"a longer word of others")):
                asker.send(word)
            port.turn()
            assert theirs.recv(512) == b"THEIRS%d" % theirs.getsockname()[1]
            assert other.recv(512) == b"A LONGER WORD OF OTHERS%d" % other.getsockname()[1]


@PORTS
def test_an_answer_that_cannot_be_sent_is_counted_and_stops_no_other(udp: Pair, kind: type[UdpPort]) -> None:
    ours, theirs = udp
    at = desk(LOCAL)
    at.answer = lambda data, *_, **__: TOO_LONG if data == b"-" else data  # type: ignore[method-assign]
    for word in (b"-", b"one", b"-", b"-", b"two", b"-"):
        theirs.send(word)
    kind(ours, at).turn()
    assert (theirs.recv(512), theirs.recv(512)) == (b"one", b"two")
    assert dropped(at) == {"send": 4}


@PORTS
def test_who_may_not_ask_is_counted_and_gets_nothing(udp: Pair, kind: type[UdpPort]) -> None:
    ours, theirs = udp
    at = desk(Policy(()))
    theirs.send(A_QUERY)
    kind(ours, at).turn()
    assert dropped(at) == {"denied": 1}
    assert not any(total([at.tally]).queries.values())


@PORTS
def test_from_a_port_of_our_own_nobody_may_ask(udp: Pair, kind: type[UdpPort]) -> None:
    ours, theirs = udp
    at = desk(LOCAL, own=[theirs.getsockname()[:2]])
    theirs.send(A_QUERY)
    kind(ours, at).turn()
    assert dropped(at) == {"loop": 1}


@PORTS
def test_a_packet_of_any_length_is_survived(udp: Pair, kind: type[UdpPort]) -> None:
    ours, theirs = udp
    at = desk(LOCAL)
    for data in (b"", A_QUERY[:11], bytes(65000), A_QUERY + bytes(4 * 4160), A_QUERY):
        theirs.send(data)
    kind(ours, at).turn()
    assert [theirs.recv(512)[3] & 0xF for _ in range(3)] == [1, 0, 0]
    assert dropped(at) == {"short": 2}


@PORTS
def test_closing_answers_what_has_arrived(udp: Pair, kind: type[UdpPort]) -> None:
    ours, theirs = udp
    for _ in range(2 * COUNT):
        theirs.send(A_QUERY)
    kind(ours, desk(LOCAL)).close()
    assert ours.fileno() == -1
    assert len([theirs.recv(512) for _ in range(2 * COUNT)]) == 2 * COUNT


@WILDCARDS
def test_a_wildcard_answers_from_the_address_that_was_asked(kind: type[UdpPort]) -> None:
    """Ready answers and others."""
    with socket.socket(type=socket.SOCK_DGRAM) as ours, socket.socket(type=socket.SOCK_DGRAM) as asker:
        ours.bind(("0.0.0.0", 0))
        ours.setblocking(False)
        ask_where_sent(ours)
        asker.settimeout(30)
        for data in (A_QUERY, packet("files.fs.corp.example", 99)):
            asker.sendto(data, ("127.0.0.77", ours.getsockname()[1]))
            kind(ours, desk(LOCAL)).turn()
            assert asker.recvfrom(512)[1] == ("127.0.0.77", ours.getsockname()[1])


@WILDCARDS
def test_a_wildcard_answers_in_ipv6_too(kind: type[UdpPort]) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as ours, socket.socket(socket.AF_INET6, 2) as asker:
        ours.bind(("::", 0))
        ours.setblocking(False)
        ask_where_sent(ours)
        asker.settimeout(30)
        asker.connect(("::1", ours.getsockname()[1]))
        asker.send(A_QUERY)
        kind(ours, desk(LOCAL)).turn()
        assert asker.recv(512)[:2] == A_QUERY[:2]


@pytest.mark.parametrize(("native", "host", "kind"), [
    (True, "127.0.0.1", NativePort), (True, "0.0.0.0", NativePort),
    (False, "127.0.0.1", UdpPort), (False, "0.0.0.0", WildcardPort),
])  # fmt: skip
def test_the_native_port_is_used_where_it_was_built(
    monkeypatch: pytest.MonkeyPatch, *, native: bool, host: str, kind: type[UdpPort]
) -> None:
    if native and not NATIVE:
        pytest.skip("the native module was not built")
    monkeypatch.setattr("edge.dns.udp.NATIVE", native)
    with socket.socket(type=socket.SOCK_DGRAM) as ours:
        ours.bind((host, 0))
        assert type(udp_port(ours, desk(LOCAL))) is kind


@needs_native
@pytest.mark.parametrize("policy", [
    LOCAL,
    Policy(LOCAL.allow_query, cookie_secrets=(SECRET,), identity="one", version="1"),
    Policy(LOCAL.allow_query, cookie_secrets=(SECRET,), cookie_required=True, trusted=LOCAL.allow_query),
])  # fmt: skip
def test_both_answer_the_same_packets_with_the_same_bytes_and_counts(policy: Policy) -> None:
    chance, seeds = random.Random(20), corpus()
    with ExitStack() as stack:
        sides = [(*pair_on("127.0.0.1", stack), desk(policy)) for _ in range(2)]
        ports = [kind(ours, at) for kind, (ours, _, at) in zip((UdpPort, NativePort), sides, strict=True)]
        stop_clocks([at for *_, at in sides])
        for _ in range(FUZZED_BATCHES):
            packets = [mutated(seeds, chance) for _ in range(COUNT)]
            told = [answers(port, theirs, at, packets) for port, (_, theirs, at) in zip(ports, sides, strict=True)]
            assert told[0] == told[1]
        assert counted(sides[0][2]) == counted(sides[1][2])


def stop_clocks(desks: list[Desk]) -> None:
    """Cookies hold the time."""
    for at in desks:
        at._now_s, at._minute = desks[0]._now_s, desks[0]._minute
        at.look_at_clock = lambda: None  # type: ignore[method-assign]


def counted(at: Desk) -> tuple[object, ...]:
    all_of = total([at.tally])
    return all_of.queries, all_of.dropped, all_of.events


def answers(port: UdpPort, theirs: socket.socket, at: Desk, packets: list[bytes]) -> list[bytes]:
    """In any order: that is the network's. As many as the counters say that there are."""
    answered, seen = sums(at)
    for data in packets:
        theirs.send(data)
    while sum(sums(at)) < answered + seen + len(packets):
        port.turn()
    return sorted(theirs.recv(65535) for _ in range(sums(at)[0] - answered))


def sums(at: Desk) -> tuple[int, int]:
    """Answered, dropped."""
    all_of = total([at.tally])
    return sum(all_of.queries.values()), sum(all_of.dropped.values())
