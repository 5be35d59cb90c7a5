from collections.abc import Callable

from edge.dns.answer import Table

COUNT: int

class Port:
    """Of a UDP socket that outlives it."""

    def __new__(cls, fd: int, counters: memoryview) -> Port: ...
    def turn(
        self,
        table: Table,
        hosts: dict[bytes, int],
        ports: bytes,
        answer: Callable[[bytes, tuple[str, int]], bytes | None],
    ) -> tuple[int, int, bool]:
        """How many packets were taken, how many replies could not be sent, and whether there is more to do."""
