"""The corpus to start from: what real programs send, as `tests.fuzz.record` has heard it, and what none does."""

from functools import cache
from itertools import product
from pathlib import Path

from tests.conformance.wire import AD, CD, DO, HEADER, QR, RD, Code, T, name, opt, option, query, question
from tests.conformance.zone import (
    APEX,
    BIG,
    CHILD,
    EVIDENCE,
    FILES,
    HALF_WAY,
    LENT,
    LOST,
    MEDIUM,
    MISSING,
    ODD,
    REVERSE6,
)

RECORDED = Path(__file__).with_name("corpus.txt")
COOKIE = option(Code.COOKIE, b"\x24\x64\xc4\xab\xcf\x10\xc9\x57")
WHOLE_COOKIE = option(Code.COOKIE, bytes.fromhex("2464c4abcf10c957010000005cf79f111f8130c3eee29480"))
TSIG = b"\0" + bytes.fromhex("00fa00ff00000000001d") + b"\x08hmac-md5\x00" + b"\0" * 19


def _combined() -> list[bytes]:
    """Names and types that nobody asks for together."""
    names = (APEX, HALF_WAY, EVIDENCE, MEDIUM, LOST, LENT, ODD, CHILD, REVERSE6, MISSING, ".")
    types = (T.A, T.SOA, T.DS, T.ANY, T.UNKNOWN, T.AXFR)
    return [
        query(owner, qtype, opt(WHOLE_COOKIE, flags=DO), flags=RD | AD | CD) for owner, qtype in product(names, types)
    ]


def _rare() -> list[bytes]:
    everything = [option(code, b"\0\1\x18\0\x0a\0\1") for code in range(20)]
    return [
        query(FILES, T.A, opt(option(Code.NSID), option(Code.PADDING, b"\0" * 40), option(Code.KEEPALIVE))),
        query(FILES, T.A, opt(*everything)),
        query(FILES, T.A, opt(COOKIE, WHOLE_COOKIE)),
        query(FILES, T.A, opt(), opt()),
        query(FILES, T.A, opt(), TSIG),
        query(FILES, T.A, TSIG, opt(version=7)),
        query(FILES, T.A, opt(owner=name(FILES))),
        query(FILES, T.A, opt(size=0, flags=0xFFFF)),
        query(FILES.swapcase(), T.A, opt(size=65535)),
        query(FILES, T.A) + b"behind the end",
        query(FILES, T.A, flags=QR),
        query("id.server", T.TXT, opt(), qclass=3),
        query(FILES, T.A, qclass=255),
        query(BIG, T.A, qclass=254),
        query(APEX, T.SOA, opcode=15),
        query(b"\xc0\x0c"),
        query(b"\x41a\0"),
        query(b"".join([b"\x3f" + b"y" * 63] * 3) + b"\x2d" + b"z" * 45 + name(APEX)),
        query(b"\x01a" * 119 + name(APEX)),
        HEADER.pack(1, 0, 0, 0, 0, 1) + opt(COOKIE),
        HEADER.pack(1, 0, 0, 0, 0, 0),
        HEADER.pack(1, 0, 2, 0, 0, 0) + question(FILES, T.A) * 2,
        HEADER.pack(1, 0, 1, 1, 1, 1) + question(FILES, T.A) + opt() * 3,
        HEADER.pack(1, 0, 1, 65535, 65535, 65535) + question(FILES, T.A),
    ]


@cache
def recorded() -> tuple[bytes, ...]:
    return tuple(bytes.fromhex(line.partition("#")[0]) for line in RECORDED.read_text().splitlines())


def corpus() -> tuple[bytes, ...]:
    return (*recorded(), *_combined(), *_rare())
