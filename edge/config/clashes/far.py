"""Of what is asked or probed besides the nodes: witnesses, peers, forwarders, AWS."""

import itertools
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from edge.config.clashes.clash import Check, Clash, Loc, nodes, zone_names
from edge.config.models import Config, Endpoints, Forwarder, Peer
from edge.config.values import FenceKind


def _witnesses_apart(config: Config) -> Iterator[Clash]:
    for (w, witness), (at, node) in itertools.product(enumerate(config.path.witnesses), nodes(config)):
        key = ("path", "witness", w)
        if witness.name == node.name:
            yield Clash(((*key, "name"), (*at, "name")), f'"{witness.name}" is also the name of a node')
        if witness.tcp.address in node.addresses:
            text = f'"{witness.tcp}" is node "{node.name}": a witness that dies with a node proves nothing'
            yield Clash(((*key, "tcp"), (*at, "address")), text)


def _witnesses_distinct(config: Config) -> Iterator[Clash]:
    for (i, one), (j, other) in itertools.combinations(enumerate(config.path.witnesses), 2):
        if one.name == other.name:
            keys: tuple[Loc, ...] = (("path", "witness", j, "name"), ("path", "witness", i, "name"))
            yield Clash(keys, f'"{other.name}" is also the name of witness[{i}]')
        if one.tcp == other.tcp:
            keys = (("path", "witness", j, "tcp"), ("path", "witness", i, "tcp"))
            yield Clash(keys, f'"{other.tcp}" is also the tcp of witness[{i}]: one endpoint is one witness')


def _witnesses_are_far(config: Config) -> Iterator[Clash]:
    """Not this agent, which is always reached."""
    for i, witness in enumerate(config.path.witnesses):
        for key, own in ((("dns", "listen"), config.dns.listen), (("http", "listen"), (config.http.listen,))):
            if witness.tcp in own:
                text = f'"{witness.tcp}" is also our own {".".join(key)}: a witness lies behind the path that it proves'
                yield Clash((("path", "witness", i, "tcp"), key), text)


def _asked(config: Config) -> tuple[tuple[str, Sequence[Peer | Forwarder]], ...]:
    return ("peer", config.peers), ("forwarder", config.forwarders)


def _asked_distinct(config: Config) -> Iterator[Clash]:
    """Each is a view of its own, under its name."""
    for word, asked in _asked(config):
        for (i, one), (j, other) in itertools.combinations(enumerate(asked), 2):
            for key in ("name", "dns", "http"):
                if getattr(one, key, None) == getattr(other, key, None) is not None:
                    keys: tuple[Loc, ...] = ((word, j, key), (word, i, key))
                    yield Clash(keys, f'"{getattr(other, key)}" is also the {key} of {word}[{i}]')


def _asked_are_others(config: Config) -> Iterator[Clash]:
    for i, peer in enumerate(config.peers):
        if peer.name == config.agent.name:
            yield Clash((("peer", i, "name"), ("agent", "name")), f'"{peer.name}" is this agent itself')
    for word, asked in _asked(config):
        for i, each in enumerate(asked):
            if each.dns in config.dns.listen:
                text = f'"{each.dns}" is also in dns.listen: this agent would ask itself'
                yield Clash(((word, i, "dns"), ("dns", "listen")), text)


def _aws_known(config: Config) -> Iterator[Clash]:
    for i, service in enumerate(config.services):
        fenced = service.fence.kind is not FenceKind.NONE
        if (service.switch or fenced or service.guest) and config.aws is None:
            keys: tuple[Loc, ...] = (("aws",), *(("service", i, key) for key in ("switch", "fence", "guest")))
            needs = "switch" if service.switch else "fence" if fenced else "guest"
            yield Clash(keys, f"missing: service[{i}].{needs} needs [aws] with the region")


def _lines_are_asked_about(config: Config) -> Iterator[Clash]:
    if config.path.virtual_interfaces and config.aws is None:
        keys: tuple[Loc, ...] = (("aws",), ("path", "virtual_interface"))
        yield Clash(keys, "missing: to ask about path.virtual_interface needs [aws] with the region")


def _aws_found_without_us(config: Config) -> Iterator[Clash]:
    """A switch must not wait for an answer that depends on the switch."""
    for word, url in config.aws.endpoints if config.aws else Endpoints():
        host = (urlsplit(url).hostname or "") if url else ""
        if host and config.zone_of(host) is not None:
            text = f'"{host}" is a name of our own zone: AWS must be found while we do not answer'
            yield Clash((("aws", "endpoints", word), *zone_names(config)), text)


CHECKS: tuple[Check, ...] = (
    _witnesses_apart,
    _witnesses_distinct,
    _witnesses_are_far,
    _asked_distinct,
    _asked_are_others,
    _aws_known,
    _lines_are_asked_about,
    _aws_found_without_us,
)
