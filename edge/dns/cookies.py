"""DNS cookies (RFC 7873) that other servers with the same secret accept too (RFC 9018). Pure.

    option    client cookie (8 bytes) | server cookie (16): version 1, reserved (3), timestamp (4), hash (8)
    hash      SipHash-2-4 with the secret over client cookie | version, reserved, timestamp | client's address

A rollover without a refused cookie takes three orders (RFC 9018 section 5): (old, new), (new, old), (new). The first
secret signs, all of them verify.
"""

import struct
from dataclasses import dataclass
from functools import lru_cache
from hmac import compare_digest
from ipaddress import ip_address

from edge.dns.message import OPTION, Option

SECRET_BYTES = 16  # RFC 9018 section 4.4: SipHash's key
CLIENT_BYTES = 8
SERVER_BYTES = 16
MAX_AGE_S, MAX_AHEAD_S, RENEW_AGE_S = 3600, 300, 1800  # RFC 9018 section 4.3
MINUTE_S = 60
REMEMBERED = 8192  # stamps, about 3 MB: a forwarder sends the same cookie again and again; a hash takes 20 us

_HEAD = struct.Struct("!B3sI")  # version, reserved, timestamp
_VERSION = 1
_WORD = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a cookie is answered with: the rdata of an OPT that holds nothing else, behind its length.

    `valid`: the asker has shown that answers reach the address that it asks from.
    """

    rdata: bytes
    valid: bool


class Jar:
    """ValueError for a secret that isn't 16 bytes of hexadecimal digits."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        self._secrets = tuple(map(_secret, secrets))
        self._remembered = lru_cache(REMEMBERED)(self._stamp)

    def stamp(self, host: str, cookie: bytes, minute: int) -> Stamp:
        """`cookie`: 8 bytes or 16 to 40. `minute`: of Unix time; within one, the same cookie is answered alike."""
        return self._remembered(host, cookie, minute)

    def _stamp(self, host: str, cookie: bytes, minute: int) -> Stamp:
        address, now_s = ip_address(host.partition("%")[0]).packed, minute * MINUTE_S
        signer = self._signer(address, cookie, now_s)
        if signer == 0 and _age_s(cookie, now_s) < RENEW_AGE_S:
            return _stamp(cookie, valid=True)
        client = cookie[:CLIENT_BYTES]
        fresh = _sign(self._secrets[0], address, client, _HEAD.pack(_VERSION, bytes(3), now_s % 2**32))
        return _stamp(client + fresh, valid=signer is not None)

    def _signer(self, address: bytes, cookie: bytes, now_s: int) -> int | None:
        """Which of the secrets made this cookie."""
        client, server = cookie[:CLIENT_BYTES], cookie[CLIENT_BYTES:]
        if len(server) != SERVER_BYTES or server[0] != _VERSION:
            return None
        if not -MAX_AHEAD_S <= _age_s(cookie, now_s) <= MAX_AGE_S:
            return None
        made = (_sign(secret, address, client, server[: _HEAD.size]) for secret in self._secrets)
        return next((index for index, whole in enumerate(made) if compare_digest(whole, server)), None)


def _secret(text: str) -> bytes:
    secret = bytes.fromhex(text)
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"a cookie secret has {SECRET_BYTES} bytes as hexadecimal digits, not {len(secret)}")
    return secret


def _stamp(cookie: bytes, *, valid: bool) -> Stamp:
    option = OPTION.pack(Option.COOKIE, len(cookie)) + cookie
    return Stamp(len(option).to_bytes(2) + option, valid)


def _age_s(cookie: bytes, now_s: int) -> int:
    """Below zero: from the future. The timestamp wraps around (RFC 1982)."""
    made_s: int = _HEAD.unpack_from(cookie, CLIENT_BYTES)[2]
    return (now_s - made_s + 2**31) % 2**32 - 2**31


def _sign(secret: bytes, address: bytes, client: bytes, head: bytes) -> bytes:
    return head + siphash(secret, client + head + address)


def siphash(key: bytes, data: bytes) -> bytes:
    """SipHash-2-4 (https://www.aumasson.jp/siphash/siphash.pdf), little-endian as in its reference."""
    k0, k1 = struct.unpack("<QQ", key)
    v = (k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573)
    padded = data.ljust(len(data) // 8 * 8 + 7, b"\0") + bytes([len(data) & 0xFF])
    for (word,) in struct.iter_unpack("<Q", padded):
        v = (v[0], v[1], v[2], v[3] ^ word)
        v = _round(*_round(*v))
        v = (v[0] ^ word, v[1], v[2], v[3])
    v = _round(*_round(*_round(*_round(v[0], v[1], v[2] ^ 0xFF, v[3]))))
    return struct.pack("<Q", v[0] ^ v[1] ^ v[2] ^ v[3])


def _round(v0: int, v1: int, v2: int, v3: int) -> tuple[int, int, int, int]:
    v0, v2 = (v0 + v1) & _WORD, (v2 + v3) & _WORD
    v1, v3 = _turn(v1, 13) ^ v0, _turn(v3, 16) ^ v2
    v2, v0 = (v2 + v1) & _WORD, (_turn(v0, 32) + v3) & _WORD
    return v0, _turn(v1, 17) ^ v2, _turn(v2, 32), _turn(v3, 21) ^ v0


def _turn(word: int, bits: int) -> int:
    return (word << bits | word >> (64 - bits)) & _WORD
