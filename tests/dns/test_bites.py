from collections.abc import Generator

from edge.dns.bites import BITE_FREED, at_once, emptying


def made(bites: int) -> Generator[None, None, str]:
    for _ in range(bites):
        yield
    return "made"


def test_what_is_made_is_returned_however_many_bites_it_takes() -> None:
    assert [at_once(made(bites)) for bites in (0, 1, 5)] == ["made"] * 3


def test_a_table_is_emptied_a_few_at_a_time() -> None:
    table = dict.fromkeys(range(2 * BITE_FREED + 1))
    left = [len(table) for _ in emptying(table)]
    assert left == [2 * BITE_FREED + 1, BITE_FREED + 1, 1]
    assert table == {}
    assert list(emptying(table)) == []
