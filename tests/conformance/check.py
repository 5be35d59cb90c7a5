"""Every rule on every server: `python -m tests.conformance.check [HOST:PORT ...]`, by default on edge and its peers.

    PASS   the rule holds      FAIL   it does not      -   the server does not offer the optional feature

A server that is named must serve the zone of `tests/conformance/zone.py`.
"""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.conformance import servers, variants
from tests.conformance.rule import Outcome, Result, Rule, rules_of
from tests.conformance.rules import cookies, data, edns, header, limits, neighbours, odd, size, static, stream, ways
from tests.conformance.servers import PEERS, Server

MODULES = (header, data, static, neighbours, odd, edns, cookies, size, stream, ways, limits)
RULES = tuple(rule for module in MODULES for rule in rules_of(module))
AT_ONCE = 8  # most of the time goes into the rules about idle connections


def run(server: Server) -> dict[Rule, Result]:
    """What fails beside others is asked again alone: a rule's packets may have crossed another's flood."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = dict(zip(RULES, pool.map(lambda rule: rule.test(server), RULES), strict=True))
    failed = [rule for rule, result in results.items() if result.outcome is Outcome.FAIL]
    return results | {rule: rule.test(server) for rule in failed}


def table(results: Mapping[str, Mapping[Rule, Result]]) -> str:
    by_rule = [
        _row(rule.name, rule.source, [found[rule].outcome.value for found in results.values()]) for rule in RULES
    ]
    sums = [_row(outcome.name, "", [str(_count(found)[outcome]) for found in results.values()]) for outcome in Outcome]
    return "\n".join([_row("", "", results), *by_rule, *sums])


def failures(results: Mapping[Rule, Result]) -> list[str]:
    return [
        f"{rule.name} ({rule.source}): {result.evidence}"
        for rule, result in results.items()
        if result.outcome is Outcome.FAIL
    ]


def _count(results: Mapping[Rule, Result]) -> Counter[Outcome]:
    return Counter(result.outcome for result in results.values())


def _row(name: str, source: str, cells: Sequence[str] | Mapping[str, object]) -> str:
    return f"{name[:76]:76} {source[:28]:28} " + " ".join(f"{cell:>8}" for cell in cells)


def _all_here(stack: ExitStack) -> list[Server]:
    home = Path(stack.enter_context(TemporaryDirectory()))
    starts = {"edge": variants.edge, **{peer: start for peer, (start, _) in PEERS.items() if servers.installed(peer)}}
    for peer in starts:
        (home / peer).mkdir()
    return [stack.enter_context(start(home / peer)) for peer, start in starts.items()]


def _named(address: str) -> Server:
    host, _, port = address.rpartition(":")
    return Server(address, host.strip("[]"), int(port), ())


def check_all(addresses: Sequence[str]) -> dict[str, dict[Rule, Result]]:
    with ExitStack() as stack:
        asked = [_named(address) for address in addresses] or _all_here(stack)
        with ThreadPoolExecutor(len(asked)) as pool:
            return dict(zip((server.name for server in asked), pool.map(run, asked), strict=True))


def main(addresses: Sequence[str]) -> int:
    results = check_all(addresses)
    print(table(results))
    for server, found in results.items():
        print("\n".join([f"\n{server}:", *failures(found)]))
    return int(any(failures(found) for found in results.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
