"""The same questions to edge and to two other authoritative servers, all with the same zone.

    python -m tests.conformance.differential [--questions N] [--seed S]

Whatever differs in rcode, flags, question, sections (as sets) or OPT has to be explained by a line of `EXPLAINED`.
An explanation names the aspects that it covers and holds only where its condition does; nothing else may differ.
"""

import argparse
import random
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.conformance import servers
from tests.conformance.asker import MAX_BYTES, PATIENCE_S
from tests.conformance.servers import Server
from tests.conformance.wire import (
    AA,
    AD,
    ANY_CLASS,
    CD,
    CHAOS,
    DO,
    IN,
    RD,
    BrokenError,
    Message,
    R,
    Record,
    T,
    Z,
    name,
    opt,
    query,
)
from tests.conformance.wire import read as read_message
from tests.conformance.zone import (
    ALIAS,
    APEX,
    BIG,
    CHAIN,
    CHILD,
    CHILD_HOST,
    DUAL,
    EVIDENCE,
    EXPORTED,
    FILES,
    HALF_WAY,
    HOST,
    LENT,
    LONG,
    LOST,
    MEDIUM,
    NS1,
    ODD,
    POINTER,
    REVERSE,
    REVERSE6,
    REVERSE6_DUAL,
    REVERSE_FILES,
    SMB,
    TEXT,
    ZONES,
)

PEERS = ("NSD", "Knot")
PARENTS = (APEX, FILES, DUAL, HALF_WAY, EVIDENCE, CHILD, REVERSE, ALIAS)
ALIASES = (ALIAS, CHAIN, LOST, EXPORTED, LENT)
STATIC = (
    HOST,
    *ALIASES,
    SMB,
    TEXT,
    LONG,
    POINTER,
    ODD,
    CHILD,
    CHILD_HOST,
    REVERSE,
    REVERSE_FILES,
    REVERSE6,
    REVERSE6_DUAL,
)
KNOWN = (*(APEX, FILES, DUAL, HALF_WAY, EVIDENCE, MEDIUM, BIG, NS1, f"_edge.{DUAL}") * 2, *STATIC)
STRANGERS = (
    "www.other.example",
    "corp.example",
    "example",
    ".",
    "xfs.corp.example",
    f"{APEX}.org",
    "1.0.0.127.in-addr.arpa",
    "10.in-addr.arpa",
    "ip6.arpa",
)
USUAL_TYPES = (
    *(T.A, T.AAAA, T.NS, T.SOA, T.TXT) * 3,
    T.MX,
    T.SRV,
    T.CNAME,
    T.PTR,
    T.DS,
    T.DNSKEY,
    T.HTTPS,
    T.CAA,
    T.ANY,
)
SIZES = (0, 512, 600, 1232, 1232, 1472, 4096, 65535)

TRIES = 6  # edge cannot be told from a machine that is busy otherwise, but by patience


@dataclass(frozen=True, slots=True)
class Asked:
    owner: bytes
    qtype: int
    qclass: int
    flags: int
    edns: bytes
    version: int

    @property
    def packet(self) -> bytes:
        return query(self.owner, self.qtype, *([self.edns] if self.edns else []), flags=self.flags, qclass=self.qclass)


@dataclass(frozen=True, slots=True)
class Pair:
    asked: Asked
    ours: Message
    peer: str
    theirs: Message


@dataclass(frozen=True, slots=True)
class Explanation:
    reason: str
    aspects: frozenset[str]
    holds: Callable[[Pair], bool]


@dataclass(slots=True)
class Findings:
    questions: int = 0
    explained: Counter[tuple[str, str]] = field(default_factory=Counter)
    unexplained: list[str] = field(default_factory=list)


def _keys(records: tuple[Record, ...]) -> frozenset[object]:
    return frozenset(record.key for record in records)


def _opt(message: Message) -> object:
    """Version and DO; sizes are each server's own."""
    return [(found.ttl >> 16 & 0xFF, found.ttl & DO) for found in message.opts]


ASPECTS: dict[str, Callable[[Message], object]] = {
    "rcode": lambda message: message.rcode,
    "flags": lambda message: message.flags & ~0xF,
    "question": lambda message: message.question,
    "answer": lambda message: _keys(message.answer),
    "authority": lambda message: _keys(message.authority),
    "additional": lambda message: _keys(message.additional),
    "opt": _opt,
}

NAMESERVERS = {*((name(zone.name), T.NS) for zone in ZONES), (name(NS1), T.A), (name(NS1), T.AAAA)}


TARGETS = {(name(owner), rtype) for owner in (FILES, HOST) for rtype in (T.A, T.AAAA)}


def _extra(pair: Pair) -> set[tuple[bytes, int]]:
    """What stands behind their answer, where nothing stands behind ours."""
    theirs = (*pair.theirs.authority, *pair.theirs.additional)
    return {(found.owner.lower(), found.rtype) for found in theirs} if not pair.ours.authority else set()


def _nsd_adds_nameservers(pair: Pair) -> bool:
    extra = _extra(pair)
    return pair.peer == "NSD" and bool(pair.ours.answer) and bool(extra) and extra <= NAMESERVERS


def _targets_come_along(pair: Pair) -> bool:
    extra, usual = _extra(pair), NAMESERVERS if pair.peer == "NSD" else set()
    return T.SRV in {found.rtype for found in pair.ours.answer} and bool(extra & TARGETS) and extra <= TARGETS | usual


def _knot_stops_at_a_delegation(pair: Pair) -> bool:
    """An alias of a name in the zone below: both of them say the alias."""
    cut = {(found.owner.lower(), found.rtype) for found in pair.theirs.authority} == {(name(CHILD), T.NS)}
    return pair.peer == "Knot" and pair.asked.owner.lower() == name(LENT) and cut


def _another_rrset_for_any(pair: Pair) -> bool:
    owners = {found.owner for found in (*pair.ours.answer, *pair.theirs.answer)}
    return pair.asked.qtype == T.ANY and bool(pair.ours.answer) and owners == {pair.asked.owner}


EXPLAINED = (
    Explanation(
        "NSD repeats the apex NS and their addresses behind positive answers, as RFC 1034 6.2.1 does",
        frozenset({"authority", "additional"}),
        _nsd_adds_nameservers,
    ),
    Explanation(
        "the addresses of an SRV's targets come along, as RFC 2782 suggests; here they are to be asked for",
        frozenset({"authority", "additional"}),
        _targets_come_along,
    ),
    Explanation(
        "Knot refers to the zone below where an alias leads into it, although it has that too",
        frozenset({"answer", "authority", "additional"}),
        _knot_stops_at_a_delegation,
    ),
    Explanation(
        "ANY gets one RRset, and another one at each server (RFC 8482 4.1)",
        frozenset({"answer", "authority", "additional"}),
        _another_rrset_for_any,
    ),
    Explanation(
        "QCLASS=*: data of class IN without AA here, as RFC 1035 6.2 says; with AA from Knot, nothing from NSD",
        frozenset({"flags", "answer", "authority", "additional"}),
        lambda pair: pair.asked.qclass == ANY_CLASS and not pair.ours.flags & AA,
    ),
    Explanation(
        "NSD refuses without the question",
        frozenset({"question"}),
        lambda pair: pair.peer == "NSD" and pair.theirs.rcode == R.REFUSED and not pair.theirs.question,
    ),
    Explanation(
        "NSD copies Z, AD and CD and loses DO in BADVERS (RFC 4035 3.1.6 and RFC 3225 3 would have it as here)",
        frozenset({"flags", "opt"}),
        lambda pair: pair.peer == "NSD" and pair.theirs.rcode == R.BADVERS,
    ),
)


def differing(pair: Pair) -> set[str]:
    return {aspect for aspect, of in ASPECTS.items() if of(pair.ours) != of(pair.theirs)}


def examine(pair: Pair, findings: Findings) -> None:
    left = differing(pair)
    for explanation in EXPLAINED:
        if left & explanation.aspects and explanation.holds(pair):
            findings.explained[pair.peer, explanation.reason] += 1
            left -= explanation.aspects
    if left:
        findings.unexplained.append(_told(pair, left))


def _told(pair: Pair, aspects: set[str]) -> str:
    lines = [f"{aspect}: {ASPECTS[aspect](pair.ours)} / {ASPECTS[aspect](pair.theirs)}" for aspect in sorted(aspects)]
    return "\n    ".join([f"edge / {pair.peer} for {pair.asked.packet.hex()}", *lines])


# --- questions


def draw(chance: random.Random) -> Asked:
    version = 0 if chance.random() < 0.98 else chance.randrange(1, 256)
    return Asked(
        owner=_recased(_owner(chance), chance),
        qtype=_qtype(chance),
        qclass=IN if chance.random() < 0.97 else chance.choice((2, CHAOS, 4, 254, ANY_CLASS, 4711)),
        flags=sum(bit for bit in (RD, AD, CD, Z) if chance.random() < 0.3),
        edns=b"" if chance.random() < 0.3 else _edns(chance, version),
        version=version,
    )


def _owner(chance: random.Random) -> bytes:
    kind = chance.random()
    if kind < 0.5:
        return name(chance.choice(KNOWN))
    if kind < 0.6:
        return name(chance.choice(STRANGERS))
    labels = [chance.randbytes(chance.choice((1, 1, 2, 5, 63))) for _ in range(chance.choice((1, 1, 2, 3)))]
    front = b"".join(bytes([len(label)]) + label for label in labels)
    if kind < 0.7:
        front = name(chance.choice(("www", "a.b.c", "*", "_tcp", "deep", "below")))[:-1]
    return front + name(chance.choice(PARENTS))


def _recased(owner: bytes, chance: random.Random) -> bytes:
    """Letters only: lengths of labels are below them."""
    return bytes(
        byte ^ 0x20 if chr(byte).isalpha() and byte < 128 and chance.random() < 0.3 else byte for byte in owner
    )


def _qtype(chance: random.Random) -> int:
    return chance.choice(USUAL_TYPES) if chance.random() < 0.9 else chance.randrange(256, 65536)


def _edns(chance: random.Random, version: int) -> bytes:
    return opt(size=chance.choice(SIZES), flags=chance.choice((0, DO)), version=version)


# --- asking


class Asker:
    """A connected socket. Another one for each try: a late answer is not taken for that to the next question."""

    def __init__(self, server: Server) -> None:
        self.name = server.name
        self._address = server.host, server.port
        self._socket = self._connected()

    def ask(self, packet: bytes) -> Message:
        for _ in range(TRIES):
            self._socket.send(packet)
            with suppress(TimeoutError):
                return read_message(self._socket.recv(MAX_BYTES))
            self.close()
            self._socket = self._connected()
        raise BrokenError(f"{self.name} is silent for {TRIES * PATIENCE_S} s: {packet.hex()}")

    def close(self) -> None:
        self._socket.close()

    def _connected(self) -> socket.socket:
        asker = socket.socket(type=socket.SOCK_DGRAM)
        asker.settimeout(PATIENCE_S)
        asker.connect(self._address)
        return asker


def compare(count: int, seed: int) -> Findings:
    findings, chance = Findings(), random.Random(seed)
    with ExitStack() as stack:
        ours, *peers = _askers(stack)
        for _ in range(count):
            asked = draw(chance)
            told = ours.ask(asked.packet)
            for peer in peers:
                examine(Pair(asked, told, peer.name, peer.ask(asked.packet)), findings)
            findings.questions += 1
    return findings


def _askers(stack: ExitStack) -> Iterator[Asker]:
    home = Path(stack.enter_context(TemporaryDirectory()))
    starts = {"edge": servers.edge, **{peer: servers.PEERS[peer][0] for peer in PEERS}}
    for server, start in starts.items():
        (home / server).mkdir()
        yield stack.enter_context(closing(Asker(stack.enter_context(start(home / server)))))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.differential")
    parser.add_argument("--questions", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    findings = compare(chosen.questions, chosen.seed)
    for (peer, reason), count in sorted(findings.explained.items()):
        print(f"{count:8} {peer:5} {reason}")
    print("\n".join(findings.unexplained[:20]))
    print(f"{findings.questions} questions, {len(findings.unexplained)} unexplained differences")
    return int(bool(findings.unexplained))


if __name__ == "__main__":
    sys.exit(main())
