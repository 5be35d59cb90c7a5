"""Edge as its operators may have configured it: one server for each, with rules that no peer can be asked for."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from edge.dns.guard import Deny, Policy
from edge.dns.rates import Rates
from tests.conformance import servers
from tests.conformance.servers import HOST, POLICY, Server

FRIEND = "127.0.0.9"  # who may do more than others, where somebody may
FEW = Rates(per_s=0.001, burst_s=5_000)  # five tokens, and none comes back while a rule runs


@dataclass(frozen=True, slots=True)
class Variant:
    """Bound to `hosts`; asked at `asked`, or else at the first of them."""

    policy: Policy = POLICY
    hosts: tuple[str, ...] = (HOST,)
    asked: str = ""


EVERYBODY = replace(POLICY, allow_query=("0.0.0.0/0", "::/0"))
VARIANTS = {
    "IPv6": Variant(EVERYBODY, ("::1",)),
    "all addresses": Variant(hosts=("0.0.0.0",), asked="127.0.0.2"),
    "all IPv6 addresses": Variant(EVERYBODY, ("::",), "::1"),
    "rate limit": Variant(replace(POLICY, rates=FEW, trusted=(f"{FRIEND}/32",))),
    "rate counted": Variant(replace(POLICY, rates=replace(FEW, log_only=True))),
    "rate without slip": Variant(replace(POLICY, rates=replace(FEW, slip=0))),
    "cookies required": Variant(replace(POLICY, cookie_required=True)),
    "silent about itself": Variant(replace(POLICY, identity="", version="", cookie_secrets=())),
    "refusing": Variant(replace(POLICY, allow_query=(f"{FRIEND}/32",), deny=Deny.REFUSE)),
    "dropping": Variant(replace(POLICY, allow_query=(f"{FRIEND}/32",))),
    "amplifying little": Variant(replace(POLICY, amplification=4.0, trusted=(f"{FRIEND}/32",))),
}


@contextmanager
def edge(home: Path) -> Iterator[Server]:
    with ExitStack() as stack:
        plain = stack.enter_context(servers.edge(home))
        yield replace(plain, variants={name: _started(stack, home / name, each) for name, each in VARIANTS.items()})


def _started(stack: ExitStack, home: Path, each: Variant) -> Server:
    home.mkdir()
    server = stack.enter_context(servers.edge(home, 1, each.policy, each.hosts))
    return replace(server, host=each.asked or server.host)
