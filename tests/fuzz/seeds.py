"""What real programs ask, as a corpus to start from: the shapes of dig, kdig, dnspython, BIND, Unbound and Windows.

Built and not recorded, so that each shape says what it is.
"""

from tests.conformance.wire import AD, CD, DO, HEADER, QR, RD, Code, T, name, opt, option, query, question
from tests.conformance.zone import APEX, BIG, DUAL, EVIDENCE, FILES, HALF_WAY, MEDIUM, MISSING, NS1

COOKIE = option(Code.COOKIE, b"\x24\x64\xc4\xab\xcf\x10\xc9\x57")
WHOLE_COOKIE = option(Code.COOKIE, bytes.fromhex("2464c4abcf10c957010000005cf79f111f8130c3eee29480"))
NAMES = (APEX, FILES, DUAL, HALF_WAY, EVIDENCE, MEDIUM, BIG, NS1, MISSING, "www.other.example", ".")
TYPES = (T.A, T.AAAA, T.NS, T.SOA, T.TXT, T.MX, T.DS, T.DNSKEY, T.HTTPS, T.SRV, T.CNAME, T.ANY, T.UNKNOWN, T.AXFR)


def _programs(owner: str, qtype: int) -> list[bytes]:
    return [
        query(owner, qtype),
        query(owner, qtype, flags=RD),  # dnspython, Windows
        query(owner, qtype, opt(COOKIE), flags=RD | AD),  # dig
        query(owner, qtype, opt(), flags=RD),  # kdig +edns
        query(owner, qtype, opt(COOKIE, flags=DO), flags=CD),  # BIND as a resolver
        query(owner, qtype, opt(WHOLE_COOKIE, flags=DO)),
        query(owner, qtype, opt(flags=DO), flags=CD),  # Unbound
        query(owner.swapcase(), qtype, opt(flags=DO)),  # Knot Resolver
        query(owner, qtype, opt(size=1472)),  # systemd-resolved
        query(owner, qtype, opt(size=4096, flags=DO)),  # resolvers from before 2020
    ]


def _rare() -> list[bytes]:
    everything = [option(code, b"\0\1\x18\0\x0a\0\1") for code in range(20)]
    return [
        query(FILES, T.A, opt(option(Code.NSID), option(Code.PADDING, b"\0" * 40), option(Code.KEEPALIVE))),
        query(FILES, T.A, opt(*everything)),
        query(FILES, T.A, opt(version=1)),
        query(FILES, T.A, opt(), opt()),
        query(FILES, T.A, flags=QR),
        query("version.bind", T.TXT, qclass=3),
        query(FILES, T.A, qclass=255),
        query(APEX, T.SOA, opcode=4),
        query(APEX, T.SOA, opcode=5),
        query(b"\xc0\x0c"),
        query(b"".join([b"\x3f" + b"y" * 63] * 3) + b"\x2d" + b"z" * 45 + name(APEX)),
        HEADER.pack(1, 0, 0, 0, 0, 1) + opt(COOKIE),
        HEADER.pack(1, 0, 2, 0, 0, 0) + question(FILES, T.A) * 2,
    ]


def corpus() -> tuple[bytes, ...]:
    return (*(packet for owner in NAMES for qtype in TYPES for packet in _programs(owner, qtype)), *_rare())
