"""What the laboratories have in common: what was built is ended, the last first."""

import contextlib
from types import TracebackType


class Built:
    """Whoever is entered fills `_ends`."""

    _ends: contextlib.ExitStack

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.close()
