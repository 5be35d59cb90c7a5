"""How this agent asks the others how they stand, and answers them: `GET /stances` at their http.listen."""

import logging
from collections.abc import Callable
from http import HTTPStatus

import aiohttp

from edge.agent.stances import Stances, UnsignedError, answer, answered, asker, key_of, question
from edge.config import Config, Peer
from edge.control.contract import Signed

ASK_S = 1.0  # for an answer: shorter than the promise in it
log = logging.getLogger("edge")


class Peers:
    """The other agents, by the present `config`. On the event loop."""

    def __init__(self, config: Callable[[], Config]) -> None:
        self._config = config
        self._known: tuple[Config, bytes] | None = None
        self._session: aiohttp.ClientSession | None = None
        self._troubles: dict[str, str] = {}

    def names(self) -> tuple[str, ...]:
        """Those that have to agree, without this agent; none where that is not wanted."""
        config = self._config()
        listed = config.vantage.names if config.vantage.unanimous else ()
        return tuple(name for name in listed if name != config.agent.name)

    async def ask(self, name: str) -> Stances | None:
        """None where it does not answer, or not so that it can be believed."""
        peer = next(peer for peer in self._config().peers if peer.name == name)
        try:
            said = await self._ask(peer)
        except (UnsignedError, aiohttp.ClientError, TimeoutError) as error:
            self._troubled(name, str(error) or type(error).__name__)
            return None
        self._troubled(name, None)
        return said

    async def _ask(self, peer: Peer) -> Stances:
        key, asked = self._key(), question(self._key(), self._config().agent.name)
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ASK_S))
        url, query = f"http://{peer.http}/stances", {"asked": asked.text, "mac": asked.mac}
        async with self._session.get(url, params=query) as response:
            text = await response.text(errors="replace")
            if response.status != HTTPStatus.OK:
                raise UnsignedError(text.strip())
            return answered(key, asked, peer.name, Signed(text, response.headers.get("Edge-MAC", "")))

    def troubles(self) -> dict[str, str | None]:
        """Of each that has to agree: why it did not answer when it was asked last, None where it did."""
        return {name: self._troubles.get(name) for name in self.names()}

    def answer(self, asked: Signed, stances: Callable[[], Stances]) -> Signed:
        """Raises UnsignedError where no agent of ours has asked."""
        key = self._key()
        if asker(key, asked) not in self.names():
            raise UnsignedError("on_store_loss is hold here, or who asks is not among the vantages")
        return answer(key, asked, self._config().agent.name, stances())

    async def stop(self) -> None:
        if self._session:
            await self._session.close()

    def _key(self) -> bytes:
        config = self._config()
        if self._known is None or self._known[0] is not config:
            self._known = config, key_of(config)
        return self._known[1]

    def _troubled(self, name: str, trouble: str | None) -> None:
        """Logged once."""
        before = self._troubles.pop(name, None)
        if trouble:
            self._troubles[name] = trouble
        if trouble and trouble != before:
            log.warning("%s does not say how it stands: %s", name, trouble)
