"""A rule: what it asks of a server, as a function, and the RFC that says so. Its name is its sentence."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from types import ModuleType

from tests.conformance.asker import NotOfferedError
from tests.conformance.servers import Server
from tests.conformance.wire import BrokenError

Check = Callable[[Server], object]


class Outcome(Enum):
    PASS = "pass"
    FAIL = "FAIL"
    NOT_OFFERED = "-"


@dataclass(frozen=True, slots=True)
class Result:
    outcome: Outcome
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    source: str
    check: Check

    def test(self, server: Server) -> Result:
        try:
            self.check(server)
        except NotOfferedError as feature:
            return Result(Outcome.NOT_OFFERED, str(feature))
        except (BrokenError, OSError) as error:
            return Result(Outcome.FAIL, str(error) or repr(error))
        return Result(Outcome.PASS)


def rule(source: str) -> Callable[[Check], Rule]:
    """`source`: the RFC and section."""
    return lambda check: Rule(check.__name__.replace("_", " "), source, check)


def rules_of(module: ModuleType) -> Iterator[Rule]:
    for found in vars(module).values():
        if isinstance(found, Rule):
            yield found
        elif isinstance(found, tuple):
            yield from (member for member in found if isinstance(member, Rule))
