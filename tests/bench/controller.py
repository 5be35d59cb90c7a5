"""A controller whose life can be made hard: `python -m tests.bench.controller PLAN`. Words come in, one a line.

    calm    it supervises its workers, and nothing else
    worst   all at once: it creates AWS clients, calls an AWS that never answers, probes, and swaps the answer table

Each word is answered by one line of JSON: how often it did what since the word before.
"""

import asyncio
import json
import os
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random

from edge.dns import server, worker
from edge.dns.cage import PARTS
from edge.dns.orders import ORDER_MAX_BYTES, Legacy, Order
from edge.dns.server import Workers
from edge.dns.worker import Worker
from edge.dns.zone import ServiceRecord, Zone
from edge.errors import CloudError
from edge.failover.model import Observation
from edge.probes.loop import Prober, Target
from edge.probes.tcp import probe
from edge.switches.session import WARM, Session, Settings
from tests.conformance.servers import HOST, POLICY
from tests.conformance.zone import FILES, FILES_ADDRESSES, ZONE

ENDPOINTS, PROBES_PER_S, SWAPS_PER_S, CALLERS = 100, 1_000, 100, 8
AWS_TIMEOUT_S = 1.0
CREATE_EVERY_S = 1.0  # all clients anew
MOVED_TO = "10.0.2.10"
SMALL = replace(ZONE, services=(ServiceRecord(FILES, 0, FILES_ADDRESSES, "a", 1), *ZONE.services[1:2]))


@dataclass(frozen=True, slots=True)
class Plan:
    """`node`: the port of a listener that stands for the nodes; `black_hole`: of one that never accepts. `threads`:
    the workers are threads of this process.
    """

    port: int
    workers: int
    home: str
    node: int
    black_hole: int
    threads: bool


def failed_over(epoch: int) -> Zone:
    """A zone that no worker has seen before."""
    files = replace(SMALL.services[0], addresses=((FILES_ADDRESSES[0], MOVED_TO)[epoch % 2],), epoch=epoch)
    return replace(SMALL, serial=epoch, services=(files, *SMALL.services[1:]))


class Controller:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._did = Counter[str]()
        self._epoch = 1
        self._over = threading.Event()
        endpoint = f"http://{HOST}:{plan.black_hole}"
        endpoints = dict.fromkeys(("ec2", "route53", "sts"), endpoint)
        self._settings = Settings("ap-northeast-1", AWS_TIMEOUT_S, AWS_TIMEOUT_S, endpoints)
        self._session = Session(self._settings, lambda *_: None)
        self.workers = Workers([(HOST, plan.port)], plan.workers, POLICY, Path(plan.home))

    async def worst(self) -> None:
        """Until it is cancelled."""
        self._over.clear()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(Prober(self._targets(), self._saw, self._saw, Random(1)).run())
                group.create_task(self._swap())
                for act in (self._create, *[self._call] * CALLERS):
                    group.create_task(asyncio.to_thread(self._repeat, act))
        finally:
            self._over.set()

    def count(self) -> dict[str, int]:
        done, self._did = self._did, Counter()
        return dict(done)

    def _targets(self) -> list[Target]:
        every_s = ENDPOINTS / PROBES_PER_S
        return [Target(str(number), HOST, self._plan.node, probe, every_s, 1.0, 0.1) for number in range(ENDPOINTS)]

    def _saw(self, _: Observation) -> None:
        self._did["probes"] += 1

    async def _swap(self) -> None:
        while True:
            self._did["swaps"] += 1
            self._epoch += 1
            self.workers.publish(failed_over(self._epoch))
            await asyncio.sleep(1 / SWAPS_PER_S)

    def _repeat(self, act: Callable[[], None]) -> None:
        while not self._over.is_set():
            act()

    def _create(self) -> None:
        Session(self._settings, lambda *_: None).warm()
        self._did["clients"] += len(WARM)
        self._over.wait(CREATE_EVERY_S)

    def _call(self) -> None:
        with suppress(CloudError):
            self._session.read("ec2", "describe_instances")
        self._did["calls in vain"] += 1


class Thread:
    """A worker as a thread, as far as the controller's side can tell. It ends with the process."""

    def __init__(self, legacy: Legacy) -> None:
        self.returncode = 0
        own = asdict(legacy)
        for key in ("channel", "counters", "roll"):
            own[key] = os.dup(own[key])
        for key in ("udp", "tcp"):
            own[key] = tuple(map(os.dup, own[key]))
        thread = threading.Thread(target=self._run, args=(Legacy(**own),), daemon=True)
        thread.start()
        self.pid = thread.native_id

    def kill(self) -> None: ...

    def wait(self, timeout: float | None = None) -> None: ...

    def _run(self, legacy: Legacy) -> None:
        channel = socket.socket(fileno=legacy.channel)
        Worker(legacy, channel, Order.from_lines(channel.recv(ORDER_MAX_BYTES))).run()


async def main(plan: Plan) -> None:
    if plan.threads:
        server._run = Thread  # type: ignore[assignment]
        worker.enter = lambda: (False,) * len(PARTS)  # or the controller would be confined as well
    controller = Controller(plan)
    controller.workers.start(SMALL)
    life = asyncio.create_task(controller.workers.supervise())
    await controller.workers.published()
    print("ready", flush=True)
    busy: asyncio.Task[None] | None = None
    while word := (await asyncio.to_thread(sys.stdin.readline)).strip():
        if busy:
            busy.cancel()
            await asyncio.wait([busy])
        busy = asyncio.create_task(controller.worst()) if word == "worst" else None
        print(json.dumps(controller.count()), flush=True)
    life.cancel()
    await controller.workers.stop()


if __name__ == "__main__":
    asyncio.run(main(Plan(**json.loads(sys.argv[1]))))
