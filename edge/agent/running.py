"""The agent's life as a process: from its first part to the signal that ends it."""

import asyncio
import logging
import signal
import threading
from contextlib import AsyncExitStack

from edge.agent.live import Live
from edge.agent.systemd import notify
from edge.agent.wake import Awake
from edge.control.api import serve_control
from edge.control.pages import serve_http
from edge.errors import ControlError

log = logging.getLogger("edge")


async def live(awake: Awake, leaving: threading.Event) -> int:
    """Runs the agent until SIGTERM, SIGINT or SIGUSR1, or not at all if `leaving` is set by now. Returns the exit
    status.

    A control socket or metrics port that can't be opened is told, and done without.
    """
    agent, http, ended = Live(awake), awake.config.http.listen, asyncio.Event()
    _on_signals(agent, ended)
    if leaving.is_set():
        ended.set()
    async with AsyncExitStack() as ends:
        ends.push_async_callback(agent.stop)
        await agent.begin()
        for serving in (
            serve_control(agent, awake.config.control.socket),
            serve_http(agent, agent.metrics, http.address, http.port),
        ):
            try:
                ends.push_async_callback((await serving).cleanup)
            except ControlError as error:  # the name is answered, and that comes first
                log.error("the agent goes on without it: %s", error)  # noqa: TRY400 what matters is the reason
        running = asyncio.create_task(agent.run())
        running.add_done_callback(lambda _: ended.set())
        await ended.wait()
        notify("STOPPING=1")
        agent.crashed = running.done()
        if agent.crashed:
            log.critical("the agent ends by a fault in this program", exc_info=running.exception())
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return 1 if agent.crashed else 0


def _on_signals(agent: Live, ended: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    reloads: set[asyncio.Task[None]] = set()

    def ended_reload(task: asyncio.Task[None]) -> None:
        reloads.discard(task)
        fault = None if task.cancelled() else task.exception()
        if fault:
            agent.failed(fault)

    def reload() -> None:
        task = loop.create_task(agent.reload())
        reloads.add(task)
        task.add_done_callback(ended_reload)

    def hand_over() -> None:
        agent.handing_over = True
        ended.set()

    loop.add_signal_handler(signal.SIGUSR1, hand_over)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    loop.add_signal_handler(signal.SIGHUP, reload)
