"""Of the agents that share a store, and of the lease that one of them holds."""

import itertools
import math
from collections.abc import Iterator
from ipaddress import ip_address

from edge.config.clashes.clash import Check, Clash, Loc
from edge.config.models import Config
from edge.config.values import Answer, Role, StoreKind
from edge.durations import duration_text
from edge.failover.lease import DRIFT, Timing
from edge.failover.model import OnOutage

RENEW_LEAST_S = 0.1  # each renewal is a write to the store, and the others read it four times as often
DURATION_MOST_S = 600.0  # for so long nobody switches where the leader has died


def _store_reachable(config: Config) -> Iterator[Clash]:
    store = config.store
    if store.kind is StoreKind.DYNAMODB and config.aws is None:
        yield Clash((("aws",), ("store", "kind")), 'missing: store.kind "dynamodb" needs [aws] with the region')
    if store.kind is StoreKind.SQLITE and "table" in store.model_fields_set:
        text = f'"{store.table}" is for kind "dynamodb", and this is "sqlite"'
        yield Clash((("store", "table"), ("store", "kind")), text)


def _lease_can_work(config: Config) -> Iterator[Clash]:
    """The margin is what is left of the lease just before a renewal is confirmed; a call to AWS must fit into it."""
    if config.store.kind is not StoreKind.DYNAMODB or config.aws is None:
        return
    lease, call_s = config.lease, config.aws.call_s
    timing = Timing(lease.duration_s, lease.renew_s)
    if timing.left_s(call_s) > call_s:
        return
    call = duration_text(call_s)
    least = duration_text((math.floor(10 * (lease.renew_s + 2 * call_s) / (1 - DRIFT)) + 1) / 10)
    text = (
        f"{duration_text(lease.duration_s)} x {1 - DRIFT:g} (two clocks may run apart) - renew"
        f" {duration_text(lease.renew_s)} - the renewal's own call {call} = {timing.left_s(call_s):.1f}s, and a call"
        f" to AWS may take {call} (2 x connect_timeout + read_timeout): it could outlive the lease; at least {least}"
    )
    keys: tuple[Loc, ...] = (("lease", "duration"), ("lease", "renew"), ("store", "kind"))
    yield Clash((*keys, ("aws", "connect_timeout"), ("aws", "read_timeout")), text)


def _lease_is_of_use(config: Config) -> Iterator[Clash]:
    if config.store.kind is not StoreKind.DYNAMODB:
        return
    lease, store = config.lease, ("store", "kind")
    if lease.renew_s < RENEW_LEAST_S:
        text = f"{duration_text(lease.renew_s)}: the store is written so often, and read four times as often"
        yield Clash((("lease", "renew"), store), f"{text}; at least {duration_text(RENEW_LEAST_S)}")
    if lease.duration_s > DURATION_MOST_S:
        text = f"{duration_text(lease.duration_s)}: for so long nobody switches where the leader has died"
        yield Clash((("lease", "duration"), store), f"{text}; at most {duration_text(DURATION_MOST_S)}")


def _vantages_share_a_store(config: Config) -> Iterator[Clash]:
    if config.store.kind is StoreKind.DYNAMODB:
        return
    if config.agent.role is Role.WITNESS:
        text = '"witness" never leads, and a store of kind "sqlite" is of one agent alone: nobody would lead'
        yield Clash((("agent", "role"), ("store", "kind")), text)
    elif config.vantage.model_fields_set:
        text = 'is for agents that share a store of kind "dynamodb", and this is "sqlite"'
        yield Clash((("vantage",), ("store", "kind")), text)


def _vantages_distinct(config: Config) -> Iterator[Clash]:
    vantage, listed = config.vantage, config.vantage.names
    for name in sorted({name for name in listed if listed.count(name) > 1}):
        word = "witnesses" if name in vantage.witnesses else "agents"
        yield Clash((("vantage", word), ("vantage",)), f'"{name}" is listed twice: an agent has one vote')
    for one, other in itertools.combinations(dict.fromkeys(listed), 2):
        if one.casefold() == other.casefold():
            text = f'"{other}" differs from "{one}" by case alone: an agent is listed as its agent.name has it, once'
            yield Clash((("vantage",),), text)


def _somebody_may_lead(config: Config) -> Iterator[Clash]:
    if config.vantage.model_fields_set and not config.vantage.agents:
        text = "missing: nobody could lead; name the agents that may, this one among them"
        yield Clash((("vantage", "agents"), ("vantage",)), text)


def _role_is_as_listed(config: Config) -> Iterator[Clash]:
    name, role, vantage = config.agent.name, config.agent.role, config.vantage
    keys: tuple[Loc, ...] = (("agent", "role"), ("agent", "name"), ("vantage",))
    if config.store.kind is not StoreKind.DYNAMODB:
        return
    if role is Role.WITNESS and name not in vantage.witnesses:
        yield Clash(keys, f'"witness" has to be listed as one: vantage.witnesses = ["{name}"], beside vantage.agents')
    elif role is Role.CANDIDATE and name in vantage.witnesses:
        yield Clash(keys, f'"candidate", and vantage.witnesses has "{name}": say "witness", or list it in agents')
    elif vantage.agents and name not in vantage.names:
        listed = ", ".join(vantage.names)
        text = f'"{name}" is not among the vantages ({listed}): list it in vantage.agents'
        yield Clash((("agent", "name"), ("vantage",)), text)


def _quorum_can_be_reached(config: Config) -> Iterator[Clash]:
    listed = len(config.vantage.names)
    if config.vantage.quorum and config.vantage.quorum > max(listed, 1):
        text = f"{config.vantage.quorum} of {listed} vantages can never agree; at most {max(listed, 1)}"
        yield Clash((("vantage", "quorum"), ("vantage",)), text)


def _unanimity_can_be_known(config: Config) -> Iterator[Clash]:
    """Each agent asks all the others, and can tell that it is they who answer."""
    vantage, key = config.vantage, ("vantage", "on_store_loss")
    if not vantage.unanimous:
        return
    if len(vantage.names) < 2:
        yield Clash((key, ("vantage",)), f'"unanimous" is for several agents, and {len(vantage.names)} is listed')
    if vantage.key_file is None:
        text = (
            'missing: with on_store_loss = "unanimous" the agents sign what they say; `openssl rand -hex 32` makes one'
        )
        yield Clash((("vantage", "key_file"), key), text)
    reached = {peer.name for peer in config.peers if peer.http}
    for name in vantage.names:
        if name not in {config.agent.name, *reached}:
            text = f'"unanimous" asks every agent, and no [[peer]] "{name}" has `http`, that agent\'s http.listen'
            yield Clash((key, ("peer",), ("vantage",)), text)
    for i, peer in enumerate(config.peers):
        if peer.http == config.http.listen:
            text = f'"{peer.http}" is our own http.listen: this agent would ask itself'
            yield Clash((("peer", i, "http"), ("http", "listen")), text)
    if reached and ip_address(config.http.listen.address).is_loopback and not _on_this_host(config):
        text = (
            f'"{config.http.listen}" is this host\'s own: with on_store_loss = "unanimous" the other agents ask there'
        )
        yield Clash((("http", "listen"), key, ("peer",)), text)


def _on_this_host(config: Config) -> bool:
    return all(ip_address(peer.http.address).is_loopback for peer in config.peers if peer.http)


def _unanimity_moves_the_answer_alone(config: Config) -> Iterator[Clash]:
    """AWS takes nothing then: no fence, and no address that moves."""
    for i, service in enumerate(config.services if config.vantage.unanimous else ()):
        for key, wrong in (
            (
                ("fence", "required"),
                "true, and no fence can be had then" if service.fence.required else "",
            ),
            (("on_aws_outage",), '"hold"' if service.on_aws_outage is OnOutage.HOLD else ""),
            (("answer",), '"secondary" is an address that AWS moves' if service.answer is Answer.SECONDARY else ""),
        ):
            if wrong:
                where = ("service", i, *key)
                what = f"service[{i}].{'.'.join(key)}"
                text = f'"unanimous" moves the answer while AWS is out of reach, and {what} forbids it: {wrong}'
                yield Clash((("vantage", "on_store_loss"), where), text)


CHECKS: tuple[Check, ...] = (
    _store_reachable,
    _lease_can_work,
    _lease_is_of_use,
    _vantages_share_a_store,
    _vantages_distinct,
    _somebody_may_lead,
    _role_is_as_listed,
    _quorum_can_be_reached,
    _unanimity_can_be_known,
    _unanimity_moves_the_answer_alone,
)
