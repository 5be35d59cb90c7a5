"""Views over DNS: what a server answers for a service to whoever asks it, this agent's own workers among them.

The addresses tell the node and the TXT beside them the epoch. They are two answers, and a server that caches may have
them of two moments: then it agrees with nothing.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from edge.agent import answers
from edge.config import Config, Service
from edge.dns.ask import Told, ask
from edge.switches.contract import View

ANSWER_S = 1.0  # our own workers answer in microseconds, a forwarder asks on for some milliseconds
_EPOCH = re.compile(r'"?epoch=(\d+) node=([^" ]+)(?: round=\d+)?"?')


@dataclass(frozen=True, slots=True)
class Answers:
    """`addresses`: what each node's name answer is. `ttl_s`: what the zone says. `recursive`: the server is asked to
    ask on.
    """

    name: str
    server: tuple[str, int]
    service: str
    addresses: Mapping[str, tuple[str, ...]]
    ttl_s: int
    recursive: bool = False

    def view(self) -> View:
        told = [self._ask(self.service, kind) for kind in self._kinds()]
        epoch, claimed = self._epoch()
        values = {str(ip_address(value)) for each in told for value in each.values}
        nodes = [node for node, own in self.addresses.items() if values and values == set(own)]
        node = claimed if claimed in nodes else nodes[0] if len(nodes) == 1 else None
        ttl_s = max((each.ttl_s for each in told if each.ttl_s is not None), default=None)
        said = ", ".join(sorted(values)) or f"no address ({told[0].rcode})"
        return View(node, epoch, f"{said}, epoch {epoch or 'none'}", ttl_s=ttl_s, flaw=self._flaw(epoch, ttl_s))

    def _kinds(self) -> Sequence[str]:
        own = self.addresses[next(iter(self.addresses))]
        return sorted({"AAAA" if ":" in address else "A" for address in own})

    def _epoch(self) -> tuple[int, str | None]:
        values = self._ask(f"_edge.{self.service}", "TXT").values
        found = _EPOCH.fullmatch(values[0]) if len(values) == 1 else None
        return (int(found[1]), found[2]) if found else (0, None)

    def _ask(self, name: str, kind: str) -> Told:
        return ask(self.server, name, kind, ANSWER_S, recursive=self.recursive)

    def _flaw(self, epoch: int, ttl_s: int | None) -> str:
        if ttl_s is not None and ttl_s > self.ttl_s:
            return f"TTL {ttl_s}, and the zone says {self.ttl_s}: the old node may be told for so much longer"
        return "" if epoch else "it does not tell the epoch"


def views(config: Config, service: Service) -> Iterator[Answers]:
    """This agent first; then whoever else is configured to be asked."""
    told, ttl_s = answers.answers(service), service.ttl_s
    listen = config.dns.listen[0]
    yield Answers("agent", (answers.asked(listen.address), listen.port), service.name, told, ttl_s)
    for peer in config.peers:
        yield Answers(f"peer/{peer.name}", peer.dns, service.name, told, ttl_s)
    for forwarder in config.forwarders:
        yield Answers(f"forwarder/{forwarder.name}", forwarder.dns, service.name, told, ttl_s, recursive=True)
    for resolver in service.switch.route53.resolver if service.switch.route53 else ():
        yield Answers(f"resolver/{resolver}", resolver, service.name, told, 0, recursive=True)
