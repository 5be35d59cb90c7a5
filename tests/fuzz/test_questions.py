"""The ready way is the careful way, for every question that could be asked: not damaged ones, but all well-formed ones.

Names of all zones in any case, types, classes and flags; no EDNS, or any size with any cookie and other options; over
both transports; by strangers, by those who are trusted, and by those who may not ask.
"""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.dns.desk import Source
from edge.dns.message import Transport
from edge.dns.site import Site
from tests.conformance.wire import CHAOS, DO, IN, Code, T, name, opt, option, query, read
from tests.conformance.zone import FILES, ZONES
from tests.fuzz.target import BARE, OPEN, SOURCES, UNLIMITED, Kind, Target

KINDS = (
    Kind(ZONES, OPEN),
    Kind(ZONES, UNLIMITED),
    Kind(ZONES, replace(OPEN, cookie_required=True)),
    Kind(ZONES, replace(OPEN, amplification=2.0, trusted=("2001:db8::/32",))),
    Kind(ZONES, BARE),
)
TARGETS = tuple(map(Target, KINDS))
CLIENT = b"8 bytes."


def _cookie(target: Target, source: Source) -> bytes:
    """One that is valid there."""
    wire = target._careful.answer(query(FILES, T.A, opt(option(Code.COOKIE, CLIENT))), source, Transport.TCP)
    return (*read(wire or b"").options(Code.COOKIE), b"")[0]


VALID = {source: _cookie(TARGETS[0], source) for source in SOURCES[:3]}  # and at the others: they share the secret
LETTERS = st.integers(0, 2**60)
OWNERS = tuple(b"".join(bytes([len(label)]) + label for label in owner) + b"\0" for owner in Site(ZONES, OPEN).names())
owners = st.sampled_from((*OWNERS, name("missing.fs.corp.example"), name("www.other.example"), b"\0"))
qtypes = st.sampled_from((*T, *(T.A, T.AAAA, T.NS, T.SOA, T.TXT, T.CNAME, T.PTR, T.SRV, T.DS) * 2))
sizes = st.sampled_from((0, 512, 1220, 1232, 1280, 1452, 1472, 4096, 65535)) | st.integers(0, 65535)
cookies = st.sampled_from((*VALID.values(), CLIENT, VALID[SOURCES[0]][:-1] + b"!", CLIENT + b"s" * 8, b"short"))
others = st.sampled_from(
    (option(Code.NSID), option(Code.KEEPALIVE), option(Code.PADDING, b"\0" * 20), option(20, b"x"))
)
options = st.lists(cookies.map(lambda data: option(Code.COOKIE, data)) | others, max_size=3).map(b"".join)
only_a_cookie = cookies.map(lambda data: option(Code.COOKIE, data))
opts = st.builds(
    lambda size, flags, options: opt(options, size=size, flags=flags),
    sizes,
    st.sampled_from((0, DO)),
    st.just(b"") | only_a_cookie | options,
)


def _cased(owner: bytes, bits: int) -> bytes:
    """Lengths of labels are below the letters."""
    return bytes(byte ^ 0x20 if bits >> at & 1 and bytes([byte]).isalpha() else byte for at, byte in enumerate(owner))


questions = st.builds(
    lambda owner, bits, qtype, additional, header: query(_cased(owner, bits), qtype, *additional, **header),
    owners,
    LETTERS,
    qtypes,
    st.just(()) | st.tuples(opts),
    st.fixed_dictionaries(
        {
            "flags": st.sampled_from((0, 0x0100, 0x0120, 0x0110)) | st.integers(0, 0x7FF),
            "qclass": st.sampled_from((IN, IN, IN, CHAOS, 255)),
        }
    ),
)


@given(st.sampled_from(TARGETS), questions, st.sampled_from(SOURCES[:3]), st.sampled_from(Transport))
@settings(max_examples=3_000, deadline=None)
def test_both_ways_answer_alike(target: Target, packet: bytes, source: Source, transport: Transport) -> None:
    target.packet(packet, source, transport)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("transport", Transport)
def test_both_ways_answer_every_usual_question_alike(kind: Kind, transport: Transport) -> None:
    """All names, types of data and the shapes that BIND, Unbound, dig and a stub send; many of them are ready."""
    target = Target(kind)
    shapes = ((), (opt(),), (opt(size=4096, flags=DO),), (opt(option(Code.COOKIE, VALID[SOURCES[0]])),))
    careful = 0
    for owner in OWNERS:
        for qtype in (T.A, T.AAAA, T.NS, T.SOA, T.TXT, T.CNAME, T.PTR, T.SRV, T.DS):
            for shape in shapes:
                target.packet(query(owner, qtype, *shape), SOURCES[0], transport)
                careful += target._ready.careful
    target.finish()
    assert careful < len(OWNERS) * 9 * len(shapes) * 5 / 6
