"""The preflight check's rounds: part by part, as AWS is not asked for everything at once; told when it changes."""

import logging
from collections.abc import Mapping, Sequence

from edge.control.contract import Finding

AGENT = ""
"""The part that is no service's."""

FIRST_ROUND = 20  # times as fast as the others: within half a minute of ten
log = logging.getLogger("edge")


class Checks:
    """The last findings of each part: the agent's own, and each service's."""

    def __init__(self) -> None:
        self._found: Mapping[str, Sequence[Finding]] = {}

    def heard(self, part: str, found: Sequence[Finding]) -> None:
        """A failing check is told once, and once more when it passes."""
        failed = {each.subject for each in self._found.get(part, ()) if each.level == "fail"}
        for each in found:
            if each.level == "fail" and each.subject not in failed:
                log.warning("check of %s fails: %s; %s", each.what, each.sentence, each.advice)
            elif each.level != "fail" and each.subject in failed:
                log.info("check of %s passes again: %s", each.what, each.sentence)
        self._found = {**self._found, part: found}

    def keep(self, parts: Sequence[str]) -> None:
        """Forget services that are gone."""
        self._found = {part: found for part, found in self._found.items() if part in parts}

    def found(self) -> tuple[Finding, ...]:
        return tuple(each for found in self._found.values() for each in found)


def pause_s(parts: int, interval_s: float, *, first: bool) -> float:
    """Between two parts. A round is spread over the interval; who has just started the agent is told sooner."""
    return interval_s / parts / (FIRST_ROUND if first else 1)
