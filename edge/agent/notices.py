"""What the leader commits is told to the other agents, and what they tell makes this one look at the store."""

import asyncio
import logging
from collections.abc import Callable
from ipaddress import ip_address

from edge.config import Config, Peer
from edge.dns.notify import notify
from edge.dns.server import Workers

APART_S = 0.1  # between two looks at the store that a NOTIFY, perhaps a forged one, asks for
log = logging.getLogger("edge")


class Notices:
    """On the event loop. `config`: the present one."""

    def __init__(self, config: Callable[[], Config]) -> None:
        self._config = config
        self._telling: dict[tuple[str, str], asyncio.Task[None]] = {}

    def tell(self, service: str) -> None:
        """The zone of this service has changed. What was under way of it is told anew: nobody stays with less."""
        config = self._config()
        if (zone := config.zone_of(service)) is None:
            return
        for peer in config.peers:
            self._tell(config, peer, config.zones[zone].name)

    def stop(self) -> None:
        for telling in self._telling.values():
            telling.cancel()

    def _tell(self, config: Config, peer: Peer, zone: str) -> None:
        if before := self._telling.get((peer.name, zone)):
            before.cancel()
        self._telling[peer.name, zone] = asyncio.get_running_loop().create_task(_told(config, peer, zone))


async def _told(config: Config, peer: Peer, zone: str) -> None:
    if not await notify(peer.dns, zone, source(config, peer)):
        log.warning("%s does not acknowledge that %s has changed: it finds out by itself", peer.name, zone)


def source(config: Config, peer: Peer) -> str | None:
    """By which the peer knows us: where we listen, if that is one address of its family."""
    far = ip_address(peer.dns.address)
    listen = (ip_address(each.address) for each in config.dns.listen)
    fit = (each for each in listen if (each.version, each.is_loopback) == (far.version, far.is_loopback))
    return next((str(each) for each in fit if not each.is_unspecified), None)


async def heed(workers: Workers, look: Callable[[], None]) -> None:
    """Until it is cancelled."""
    while True:
        await workers.notified()
        look()
        await asyncio.sleep(APART_S)
