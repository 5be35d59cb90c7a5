import pytest

from edge.dns.cookies import MINUTE_S, Jar, Stamp, siphash

SECRET = "e5e973e5a6b2a43f48e7dc849e37bfcf"
CLIENT = bytes.fromhex("2464c4abcf10c957")
HOST = "198.51.100.100"
MADE_S = 1559731985 // MINUTE_S * MINUTE_S


def jar(*secrets: str) -> Jar:
    return Jar(secrets or (SECRET,))


def stamp(at: Jar, cookie: bytes, now_s: int = MADE_S, host: str = HOST) -> Stamp:
    return at.stamp(host, cookie, now_s // MINUTE_S)


def cookie_of(answered: Stamp) -> bytes:
    """The option is alone in its OPT: length of all, code, length."""
    assert answered.rdata[:6] == bytes.fromhex("001c000a0018")
    return answered.rdata[6:]


def test_siphash_gives_its_authors_vectors() -> None:
    """From the paper's appendix (15 bytes) and the reference implementation (0, 7 and 8 bytes)."""
    key = bytes(range(16))
    assert siphash(key, bytes(range(15))) == (0xA129CA6149BE45E5).to_bytes(8, "little")
    assert siphash(key, b"").hex() == "310e0edd47db6f72"
    assert siphash(key, bytes(range(7))).hex() == "37d1018bf50002ab"
    assert siphash(key, bytes(range(8))).hex() == "6224939a79f5f593"


@pytest.mark.parametrize(
    ("secret", "host", "cookie"),
    [
        (SECRET, HOST, "2464c4abcf10c957010000005cf79f111f8130c3eee29480"),
        (SECRET, HOST, "2464c4abcf10c957010000005cf7a871d4a564a1442aca77"),
        (SECRET, "203.0.113.203", "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5"),
        (SECRET, "203.0.113.203", "fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e"),
        (
            "dd3bdf9344b678b185a6f5cb60fca715",
            "2001:db8:220:1:59de:d0f4:8769:82b8",
            "22681ab97d52c298010000005cf7c57926556bd0934c72f8",
        ),
        (
            "445536bcd2513298075a5d379663c962",
            "2001:db8:220:1:59de:d0f4:8769:82b8",
            "22681ab97d52c298010000005cf7c609a6bb79d16625507a",
        ),
    ],
)
def test_the_cookies_of_rfc_9018_appendix_a_are_ours(secret: str, host: str, cookie: str) -> None:
    """Valid, and young enough to be sent back as it is. Reserved bytes that a client has set are hashed as well."""
    whole = bytes.fromhex(cookie)
    made_s = int.from_bytes(whole[12:16])
    assert stamp(jar(secret), whole, made_s, host) == Stamp(bytes.fromhex("001c000a0018") + whole, valid=True)


def test_a_client_cookie_alone_gets_a_server_cookie_that_is_valid_from_then_on() -> None:
    first = stamp(jar(), CLIENT)
    assert not first.valid
    assert cookie_of(first)[:16] == CLIENT + b"\1\0\0\0" + MADE_S.to_bytes(4)
    assert stamp(jar(), cookie_of(first)) == Stamp(first.rdata, valid=True)


@pytest.mark.parametrize(
    ("age_s", "valid", "kept"),
    [
        (-360, False, False),
        (-300, True, True),
        (0, True, True),
        (1740, True, True),
        (1800, True, False),
        (3600, True, False),
        (3660, False, False),
    ],
)
@pytest.mark.parametrize("made_s", [MADE_S, (2**32 - 60) // 60 * 60])
def test_a_cookie_is_renewed_after_half_an_hour_and_dies_after_one(
    made_s: int, age_s: int, valid: bool, kept: bool
) -> None:
    old = cookie_of(stamp(jar(), CLIENT, made_s))
    answered = stamp(jar(), old, made_s + age_s)
    assert (answered.valid, cookie_of(answered) == old) == (valid, kept)
    assert stamp(jar(), cookie_of(answered), made_s + age_s).valid


@pytest.mark.parametrize("position", [0, 7, 8, 12, 16, 23])
def test_a_changed_byte_makes_it_invalid(position: int) -> None:
    forged = bytearray(cookie_of(stamp(jar(), CLIENT)))
    forged[position] ^= 1
    assert not stamp(jar(), bytes(forged)).valid


@pytest.mark.parametrize("size", [16, 23, 25, 40])
def test_a_server_cookie_of_another_make_is_replaced(size: int) -> None:
    answered = stamp(jar(), CLIENT.ljust(size, b"\1"))
    assert not answered.valid
    assert len(cookie_of(answered)) == 24


def test_a_cookie_belongs_to_its_address() -> None:
    cookie = cookie_of(stamp(jar(), CLIENT))
    assert not stamp(jar(), cookie, host="198.51.100.101").valid
    scoped = cookie_of(stamp(jar(), CLIENT, host="fe80::1%eth0"))
    assert stamp(jar(), scoped, host="fe80::1").valid


def test_a_rollover_refuses_nobody() -> None:
    old, new = SECRET, "445536bcd2513298075a5d379663c962"
    cookie = cookie_of(stamp(jar(old), CLIENT))
    staged, turned, done = jar(old, new), jar(new, old), jar(new)
    assert stamp(staged, cookie) == stamp(jar(old), cookie)
    assert stamp(turned, cookie).valid
    renewed = cookie_of(stamp(turned, cookie))
    assert stamp(done, renewed).valid
    assert stamp(staged, renewed).valid
    assert not stamp(done, cookie).valid


@pytest.mark.parametrize("text", ["", "00" * 15, "not hexadecimal"])
def test_what_is_no_secret_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="hexadecimal"):
        Jar((text,))
