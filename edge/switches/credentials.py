"""The credentials, kept apart from the calls that they sign.

A credential helper (`credential_process`, for example of IAM Roles Anywhere) has no time-out of its own, and botocore
runs it inside whichever call finds the credentials about to end: a helper that hangs would hang a switch, and its call
would be sent whenever the helper comes back. So helpers run in a thread beside. A call is signed with the last
credentials that were obtained, and waits, for so long and no longer, only where there are none that last.
"""

import threading
import time
from collections.abc import Callable

from botocore.credentials import Credentials, ReadOnlyCredentials
from botocore.exceptions import NoCredentialsError
from botocore.session import Session

from edge.errors import CloudError, Fault

_API = "GetCredentials"


class Kept(Credentials):
    """What botocore signs with, and asks nobody for: the last credentials that were obtained, replaced as a whole."""

    def __init__(self) -> None:
        super().__init__("", "")
        self.last: ReadOnlyCredentials | None = None

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        if self.last is None:
            raise NoCredentialsError
        return self.last


class Keys:
    """botocore's chain of providers (environment, files, helpers), asked beside. Itself a provider, of what it got."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._chain = Session()
        self._kept = Kept()
        self._wall = wall
        self._mutex = threading.Lock()
        self._asking: threading.Thread | None = None
        self._trouble: Exception | None = None
        self.ends_s: float | None = None  # since 1970

    def load_credentials(self) -> Credentials:
        """What a botocore session asks of its component `credential_provider`."""
        return self._kept

    def obtain(self, wait_s: float) -> None:
        """See to it that there are credentials, renewed where they are about to end. Raises CloudError."""
        asking = self._ask()
        if self._kept.last is None or (self.ends_s is not None and self.ends_s <= self._wall()):
            asking.join(wait_s)
        if self._kept.last is None:
            said = self._trouble or f"the credential helper gave none within {wait_s:g} s"
            raise CloudError(_API, Fault.DENIED, f"no usable AWS credentials: {said}") from self._trouble

    def _ask(self) -> threading.Thread:
        """One thread asks at a time, and none holds up the end of the process."""
        with self._mutex:
            if self._asking is None or not self._asking.is_alive():
                self._asking = threading.Thread(target=self._asked, name="credentials", daemon=True)
                self._asking.start()
            return self._asking

    def _asked(self) -> None:
        try:
            found = self._chain.get_credentials() or self._kept  # which refuses where there are none
            self._kept.last = found.get_frozen_credentials()
            ends = getattr(found, "_expiry_time", None)
            self.ends_s = ends.timestamp() if ends else None
        except Exception as error:  # noqa: BLE001 a helper may do anything; who waits is told
            self._trouble = error
