"""How large an answer may be, and what is said of one that had no room."""

from tests.conformance.asker import ask, ask_tcp, expect, require
from tests.conformance.rule import Rule, rule
from tests.conformance.servers import Server
from tests.conformance.wire import AA, DO, QR, TC, Message, R, T, opt, query, question
from tests.conformance.zone import BIG, BIG_ADDRESSES, FILES, MEDIUM, MEDIUM_ADDRESSES

FRAME_BYTES = 1472  # what an Ethernet frame leaves to UDP over IPv4


def _truncated(message: Message, limit: int) -> None:
    require(message.flags & TC, "TC is clear")
    require(len(message.wire) <= limit, f"{len(message.wire)} bytes")


@rule("RFC 1035 4.2.1")
def without_edns_512_bytes_are_the_limit(server: Server) -> None:
    _truncated(ask(server, query(MEDIUM)), 512)


@rule("RFC 1035 4.2.1")
def without_edns_a_big_answer_is_truncated_too(server: Server) -> None:
    _truncated(ask(server, query(BIG)), 512)


@rule("RFC 6891 6.2.3")
def a_size_of_512_is_the_limit(server: Server) -> None:
    _truncated(ask(server, query(MEDIUM, T.A, opt(size=512))), 512)


def _small_size(size: int) -> Rule:
    return Rule(
        f"a size of {size} means 512",
        "RFC 6891 6.2.3",
        lambda server: _truncated(ask(server, query(MEDIUM, T.A, opt(size=size))), 512),
    )


SMALL = tuple(_small_size(size) for size in (0, 1, 100, 511))


@rule("RFC 6891 6.2.3")
def a_small_size_does_not_cut_a_small_answer(server: Server) -> None:
    message = ask(server, query(FILES, T.A, opt(size=0)))
    require(not message.flags & TC and message.answer, "truncated")


@rule("RFC 6891 6.2.5")
def a_size_of_1232_gets_the_answer_whole(server: Server) -> None:
    message = ask(server, query(MEDIUM, T.A, opt(size=1232)))
    expect((message.flags & TC, len(message.answer)), (0, len(MEDIUM_ADDRESSES)))


@rule("RFC 6891 6.2.5")
def the_clients_size_is_the_limit(server: Server) -> None:
    for size in range(512, 760, 8):
        message = ask(server, query(MEDIUM, T.A, opt(size=size)))
        require(len(message.wire) <= size, f"{len(message.wire)} bytes for {size}")


@rule("RFC 2181 9")
def an_answer_without_tc_is_whole(server: Server) -> None:
    for size in range(512, 760, 8):
        message = ask(server, query(MEDIUM, T.A, opt(size=size)))
        require(message.flags & TC or len(message.answer) == len(MEDIUM_ADDRESSES), f"part of it for {size}")


@rule("RFC 6891 6.2.5")
def a_size_that_fits_to_the_byte_is_enough(server: Server) -> None:
    exact = len(ask(server, query(MEDIUM, T.A, opt(size=1232))).wire)
    whole, cut = (ask(server, query(MEDIUM, T.A, opt(size=size))) for size in (exact, exact - 1))
    require(not whole.flags & TC, f"truncated at its own {exact} bytes")
    require(cut.flags & TC or len(cut.wire) < exact, "not truncated one byte below")


@rule("RFC 9715 3.1")
def no_answer_needs_fragments(server: Server) -> None:
    for size in (1472, 4096, 65535):
        message = ask(server, query(BIG, T.A, opt(size=size)))
        _truncated(message, FRAME_BYTES)


@rule("RFC 2181 9")
def a_truncated_answer_can_be_read(server: Server) -> None:
    for packet in (query(BIG), query(BIG, T.A, opt(size=600)), query(BIG, T.A, opt(size=4096))):
        expect(ask(server, packet).rcode, R.NOERROR, "rcode")


@rule("RFC 1035 4.1.2")
def a_truncated_answer_echoes_the_question(server: Server) -> None:
    mixed = BIG.title()
    expect(ask(server, query(mixed)).question, question(mixed, T.A))


@rule("RFC 1035 4.1.1")
def a_truncated_answer_is_authoritative(server: Server) -> None:
    require(ask(server, query(BIG)).flags & AA, "AA is clear")


@rule("RFC 6891 7")
def a_truncated_answer_keeps_its_opt(server: Server) -> None:
    expect(len(ask(server, query(BIG, T.A, opt(size=512))).opts), 1, "OPT records")


@rule("RFC 3225 3")
def a_truncated_answer_keeps_do(server: Server) -> None:
    (found,) = ask(server, query(BIG, T.A, opt(size=512, flags=DO))).opts
    require(found.ttl & DO, "DO is clear")


@rule("RFC 2308 2.2")
def a_truncated_answer_is_not_mistaken_for_nodata(server: Server) -> None:
    """An SOA and no answer would say that the type does not exist."""
    message = ask(server, query(BIG))
    require(T.SOA not in {record.rtype for record in message.authority}, "an SOA in a truncated answer")


@rule("RFC 7766 5")
def over_tcp_a_big_answer_comes_whole(server: Server) -> None:
    message = ask_tcp(server, query(BIG))
    expect((message.flags & TC, len(message.answer)), (0, len(BIG_ADDRESSES)))


@rule("RFC 6891 6.2.5")
def over_tcp_the_clients_size_means_nothing(server: Server) -> None:
    message = ask_tcp(server, query(BIG, T.A, opt(size=512)))
    expect((message.flags & TC, len(message.answer)), (0, len(BIG_ADDRESSES)))


@rule("RFC 5358 3")
def a_refusal_is_not_larger_than_its_question_and_an_opt(server: Server) -> None:
    packet = query("www.other.example", T.A, opt())
    require(len(ask(server, packet).wire) <= len(packet) + 64, "amplified")


@rule("RFC 9018 1")
def an_address_is_no_amplification(server: Server) -> None:
    """Without DNSSEC the small answers of such a zone stay within some times their question."""
    packet = query(FILES)
    message = ask(server, packet)
    require(message.flags & QR and len(message.wire) <= 5 * len(packet), f"{len(message.wire)} bytes")
