"""Where the agent does what blocks: its event loop never does."""

from concurrent.futures import Executor, ThreadPoolExecutor


class Threads:
    """Threads are made as they are needed.

    store     one, so that writes keep the order in which they were decided
    lease     one of its own: no other write holds a renewal up
    sharing   three: what the others commit, what we tell them, and what they tell
    telling   one: the history, which may be late and holds up no write of a switch
    disk      one: what is kept beside a shared store
    acting    one a service that switches: nobody waits for another's
    reading   verifying and checking, some of which wait for long
    viewing   views, apart from those who wait for long
    """

    def __init__(self) -> None:
        self.store = ThreadPoolExecutor(1, "store")
        self.lease = ThreadPoolExecutor(1, "lease")
        self.sharing = ThreadPoolExecutor(3, "sharing")
        self.telling = ThreadPoolExecutor(1, "telling")
        self.disk = ThreadPoolExecutor(1, "disk")
        self.acting = ThreadPoolExecutor(64, "acting")
        self.reading = ThreadPoolExecutor(32, "reading")
        self.viewing = ThreadPoolExecutor(32, "viewing")

    def writing(self) -> tuple[Executor, ...]:
        """Those whose last work is worth waiting for."""
        return self.store, self.telling, self.disk

    def shutdown(self) -> None:
        """What has begun goes on to its end, unless the process ends before."""
        for threads in (self.acting, self.reading, self.viewing, self.sharing, self.lease, *self.writing()):
            threads.shutdown(wait=False, cancel_futures=True)
