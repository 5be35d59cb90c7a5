"""Records into bytes: read back by the strict reader that the protocol check uses, and by nothing of ours."""

from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.dns.encoder import POINTER_MAX, encoded
from edge.dns.message import HEADER_BYTES, Name, Qtype, Question
from edge.dns.zone import Rdata, Rrset
from tests.conformance.wire import HEADER, Message, read
from tests.dns.samples import labels, question


def asked(name: Name) -> Question:
    return Question(question(name, Qtype.A), name, Qtype.A, 1)


def wire(name: Name, rrsets: Iterable[Rrset]) -> bytes:
    counts, records = encoded(asked(name), [tuple(rrsets), (), ()])
    return HEADER.pack(1, 0x8400, 1, *counts) + asked(name).wire + records


def alias(name: Name, target: Name) -> Rrset:
    return Rrset(name, Qtype.CNAME, 60, (Rdata((target,), b""),))


def text(rest: bytes, name: Name = (b"t",)) -> Rrset:
    return Rrset(name, Qtype.TXT, 60, (Rdata((), rest),))


def expected(rrsets: Iterable[Rrset]) -> list[tuple[bytes, int, int, int, bytes]]:
    def written(name: Name) -> bytes:
        return question(name, 0)[:-4]

    return [
        (written(rrset.name), rrset.qtype, rrset.rclass, rrset.ttl_s, b"".join(map(written, rdata.names)) + rdata.rest)
        for rrset in rrsets
        for rdata in rrset.rdata
    ]


def found(message: Message) -> list[tuple[bytes, int, int, int, bytes]]:
    return [record.key for record in message.answer]


names = st.lists(st.sampled_from([b"a", b"bb", b"c.c", b"\0", b"\xff\xc0"]), max_size=6).map(tuple)
rrsets = st.one_of(
    st.builds(alias, names, names),
    st.builds(
        Rrset,
        names,
        st.just(Qtype.SOA),
        st.integers(0, 2**32 - 1),
        st.tuples(st.builds(Rdata, st.tuples(names, names), st.binary(min_size=20, max_size=20))),
        st.sampled_from([1, 3]),
    ),
    st.builds(
        Rrset,
        names,
        st.just(Qtype.A),
        st.just(0),
        st.lists(st.builds(Rdata, st.just(()), st.binary(min_size=4, max_size=4)), max_size=4).map(tuple),
        st.just(1),
    ),
)


@given(names, st.lists(rrsets, max_size=6))
@settings(max_examples=300, deadline=None)
def test_what_is_written_is_what_is_read(name: Name, written: list[Rrset]) -> None:
    assert found(read(wire(name, written))) == expected(written)


@given(names, st.lists(rrsets, max_size=3))
@settings(deadline=None)
def test_a_name_is_spelled_once_and_then_pointed_to(name: Name, written: list[Rrset]) -> None:
    """Each record more of the same owner takes two bytes for it, or the root's one."""
    once = [alias(name, name)]
    assert len(wire(name, [*written, *once])) - len(wire(name, written)) == (2 + 10 + 2 if name else 1 + 10 + 1)


def test_names_that_share_an_end_share_it() -> None:
    """As in the example of RFC 1035 section 4.1.4: all of a name, its end, and the root, which is no longer spelled."""
    owner, *others = (labels(name) for name in ("f.isi.arpa", "foo.f.isi.arpa", "arpa", ""))
    fixed = b"\0\x10\0\1\0\0\0\x3c\0\0"
    written = wire(owner, [text(b"", other) for other in others])[HEADER_BYTES + 16 :]
    assert written == b"\3foo\xc0\x0c" + fixed + b"\xc0\x12" + fixed + b"\0" + fixed


def test_nothing_points_further_than_14_bits() -> None:
    owner, near, far = (b"x",), (b"near", b"example"), (b"far", b"near", b"example")
    written = [text(bytes(POINTER_MAX - 100)), alias(owner, near), text(bytes(200)), alias(owner, far), alias(far, far)]
    message = wire(owner, written)
    assert found(read(message)) == expected(written)
    assert [message.count(b"\4near"), message.count(b"\3far")] == [1, 3]
