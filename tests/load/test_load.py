"""The loads in their shortest form: figures are there and hang together, and no answer is wrong, whatever goes on.

How fast is not asked, for the machine may be slow. How many answers are lost is, at a pace that a slow one holds too.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict

import pytest

from tests.bench import worst
from tests.cloud.emulator import Emulator
from tests.conformance.servers import HOST
from tests.conformance.zone import FILES, FILES_ADDRESSES
from tests.load import black_hole, flooded, loris, questions, slow, survival, target
from tests.load.asker import Plan, over_tcp, over_udp
from tests.load.figures import Asked, Row, as_dict, asked, cells, merged
from tests.load.process import running

PACE = 1_000
LOST_SHARE = 0.001
PATIENCE_S = 60.0
QUERY, RIGHT = questions.a_query(FILES), questions.a_answer(FILES, FILES_ADDRESSES[0])


def told(row: Row) -> None:
    assert row.loaded.wrong == 0
    assert 0 < row.loaded.p50_us <= row.loaded.p99_us <= row.loaded.p999_us
    if row.quiet:
        assert row.quiet.wrong == 0
        assert row.quiet.right > 0


@pytest.mark.parametrize("rows", [worst.rows, flooded.rows, slow.rows])
def test_the_shortest_form(rows: Callable[[int, float], Iterator[Row]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "SETTLE_S", 0)
    for row in rows(1, 1):
        told(row)


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


def test_a_black_hole_loses_no_answer_and_no_probe() -> None:
    rounds = black_hole.measured(1, 1)
    assert list(rounds) == list(black_hole.STATES)
    for [taken] in rounds.values():
        assert (taken.answers.wrong, taken.answers.right > 0, taken.probes > 0) == (0, True, True)
        assert taken.answers.lost_share < LOST_SHARE


@pytest.mark.parametrize("name", survival.SCENES)
def test_no_answer_is_wrong_and_next_to_none_lost(aws: Emulator, name: str) -> None:
    row = survival.survived(aws, name, survival.SCENES[name], 10, PACE)
    told(row)
    assert row.loaded.lost_share < LOST_SHARE, row
    assert int(row.note.split()[0]) > 0


def liar(port: socket.socket, answers: list[bytes]) -> None:
    """Answers as many questions as it has answers, each behind the question's id."""
    for answer in answers:
        question, source = port.recvfrom(512)
        port.sendto(question[:2] + answer, source)


def test_the_asker_tells_the_right_from_the_wrong_and_the_lost() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as port:
        port.bind((HOST, 0))
        lying = threading.Thread(target=liar, args=(port, [RIGHT, RIGHT[:-1], RIGHT + b"\0", RIGHT]))
        lying.start()
        found = over_udp(Plan(HOST, port.getsockname()[1], HOST, 100, 0.05, QUERY.hex(), (RIGHT.hex(),)))
        lying.join()
    assert (found.asked, found.right, found.wrong, found.lost) == (5, 2, 2, 1)


def test_the_asker_over_tcp_does_so_too() -> None:
    with socket.create_server((HOST, 0)) as listener:
        plan = Plan(HOST, listener.getsockname()[1], HOST, 100, 0.03, QUERY.hex(), (RIGHT.hex(),))
        answering = threading.Thread(target=answer_streams, args=(listener, [RIGHT, RIGHT[:-1]]))
        answering.start()
        found = over_tcp(plan)
        answering.join()
    assert (found.asked, found.right, found.wrong, found.lost) == (3, 1, 1, 1)


def answer_streams(listener: socket.socket, answers: list[bytes]) -> None:
    for answer in answers:
        stream, _ = listener.accept()
        with closing(stream), stream.makefile("rb") as asked:
            question = asked.read(int.from_bytes(asked.read(2)))
            whole = question[:2] + answer
            stream.sendall(len(whole).to_bytes(2) + whole)


def test_a_flood_is_mostly_well_formed_and_the_same_each_time() -> None:
    named = {"random_names": True, "malformed_share": 0.01}
    packets = list(questions.flood(10_000, FILES, **named))
    assert packets == list(questions.flood(10_000, FILES, **named))
    whole = [packet for packet in packets if packet.endswith(questions.OPT)]
    assert 9_800 < len(whole) < 9_980
    assert len({packet[2:] for packet in whole}) == len(whole)


def test_a_loris_never_says_a_whole_query_and_comes_again() -> None:
    with socket.create_server((HOST, 0)) as listener:
        listener.settimeout(PATIENCE_S)
        plan = loris.Plan(HOST, listener.getsockname()[1], 2, 2, 60)
        with running("tests.load.loris", asdict(plan)) as trickling:
            streams = [listener.accept() for _ in range(2)]
            assert {source[0] for _, source in streams} == {"127.66.0.1", "127.66.0.2"}
            assert streams[0][0].recv(10) == b"\xff"
            for stream, _ in streams:
                stream.close()
            listener.accept()[0].close()
    assert '"opened"' in trickling.report


def test_counts_are_added_up_and_quantiles_are_medians() -> None:
    rounds = [Asked(10, 9, 1, 1, 2, 3), Asked(10, 7, 1, 5, 6, 7), Asked(10, 10, 0, 100, 200, 300)]
    whole = merged(rounds)
    assert whole == Asked(30, 26, 2, 5, 6, 7)
    assert whole.lost == 2


def test_a_row_tells_how_many_times_as_long_it_took() -> None:
    row = Row("scene", Asked(1, 1, 0, 10, 20, 30), Asked(1000, 999, 0, 15, 40, 90), "flood")
    assert cells(row)[2] == "1 (0.100%)"
    assert cells(row)[5] == "20 → 40 (2.00 x)"
    assert as_dict(row)["ratio"] == {"p50_us": 1.5, "p99_us": 2.0, "p999_us": 3.0}


def test_where_nothing_was_answered_there_is_no_time() -> None:
    assert asked(3, 0, []).p50_us == float("inf")
