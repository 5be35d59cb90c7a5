"""A controller to be killed: starts the workers, says their process ids as JSON and waits."""

import asyncio
import json
import sys
from pathlib import Path

from edge.dns.guard import Policy
from edge.dns.server import Workers
from tests.dns.samples import ZONE


async def main(port: int, state_dir: Path) -> None:
    workers = Workers([("127.0.0.1", port)], 2, Policy(("127.0.0.0/8",)), state_dir)
    workers.start(ZONE)
    supervising = asyncio.create_task(workers.supervise())
    await workers.published()
    print(json.dumps([member.process.pid for member in workers._members]), flush=True)
    await supervising


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))
