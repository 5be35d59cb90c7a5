"""The same over TCP, a new connection for each question: `python -m tests.load.tcp_asker PLAN`.

A wait lasts from before the connection until the last byte of the answer.
"""

import asyncio
import json
import sys
from contextlib import suppress
from time import perf_counter_ns

from tests.load.asker import Plan
from tests.load.figures import LOST_S, Asked, asked


class Asker:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        query = bytes.fromhex(plan.query)
        self._query = len(query).to_bytes(2) + query
        self._right = frozenset(query[:2] + bytes.fromhex(answer) for answer in plan.right)
        self._waits_ns: list[int] = []
        self._wrong = 0

    async def run(self) -> Asked:
        count = int(self._plan.per_second * self._plan.seconds)
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        async with asyncio.TaskGroup() as asking:
            for number in range(count):
                await asyncio.sleep(begun_s + number / self._plan.per_second - loop.time())
                asking.create_task(self._ask())
        return asked(count, self._wrong, self._waits_ns)

    async def _ask(self) -> None:
        begun_ns = perf_counter_ns()
        with suppress(OSError, EOFError, TimeoutError):
            async with asyncio.timeout(LOST_S):
                answer = await self._answer()
            if answer in self._right:
                self._waits_ns.append(perf_counter_ns() - begun_ns)
            else:
                self._wrong += 1

    async def _answer(self) -> bytes:
        where, source = (self._plan.host, self._plan.port), (self._plan.source, 0)
        reader, writer = await asyncio.open_connection(*where, local_addr=source)
        try:
            writer.write(self._query)
            return await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
        finally:
            writer.close()


if __name__ == "__main__":
    print(asyncio.run(Asker(Plan(**json.loads(sys.argv[1]))).run()).to_json())
