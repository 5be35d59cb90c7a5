"""Zonemaster on the zone, delegated to the two agents below a root and a parent of its own: nothing graver than a
notice, but what a private zone can't have; and no notice that isn't known with its reason.
"""

import json
import shutil
from collections.abc import Iterator, Mapping

import pytest

from tests.lab.daemon import Daemon, accepts_tcp
from tests.lab.forwarders import AGENTS, FOLDER, Place
from tests.lab.two_agents import TwoAgents

pytestmark = pytest.mark.lab

ROOT_SERVERS = {"a.root": "10.10.3.1", "b.root": "10.10.3.2"}
GRAVE = ("CRITICAL", "ERROR", "WARNING")
PRIVATE = {"NAMESERVER_IP_PRIVATE_NETWORK": "the agents stand on-premises: RFC 1918 is where they belong"}
KNOWN = {
    "NEITHER_DNSKEY_NOR_DS": "the zone is not signed",
    "NOT_SIGNED": "the zone is not signed",
    "NO_IPV6_NS_CHILD": "this site has no IPv6; an agent takes any address",
    "NO_IPV6_NS_DEL": "this site has no IPv6",
    "RNAME_MAIL_DOMAIN_INVALID": "this site has no mail; `zone.contact` names a mailbox elsewhere",
    "REFRESH_MINIMUM_VALUE_LOWER": "nobody transfers the zone: nothing reads refresh",
    "RETRY_MINIMUM_VALUE_LOWER": "nobody transfers the zone: nothing reads retry",
    "SOA_DEFAULT_TTL_MAXIMUM_VALUE_LOWER": "a missing name is to be asked for again soon (`zone.negative_ttl`)",
    "Z09_MISSING_MAIL_TARGET": "no mail is sent to a file server",
}
NAMED = """
options {{
  directory "{home}";
  pid-file "{home}/named.pid";
  session-keyfile "{home}/session.key";
  listen-on {{ any; }};
  listen-on-v6 {{ none; }};
  recursion no;
}};
controls {{ }};
zone "." {{ type primary; file "root.zone"; }};
zone "corp.example" {{ type primary; file "corp.zone"; }};
zone "10.in-addr.arpa" {{ type primary; file "reverse.zone"; }};
"""


@pytest.fixture(scope="module")
def tree(able: None) -> Iterator[Place]:
    if shutil.which("zonemaster-cli") is None:
        pytest.skip("zonemaster-cli missing: apt-get install zonemaster-cli")
    with TwoAgents({}) as lab:
        place = lab.machine("root", *ROOT_SERVERS.values())
        place.home.mkdir()
        plant(place)
        yield place


def plant(place: Place) -> None:
    """The tree above the zone: a root, the parent with the shipped delegation, and the reverse zone of the site."""
    servers = {"ns1.corp.example": ROOT_SERVERS["a.root"], "ns2.corp.example": ROOT_SERVERS["b.root"]}
    root = zone("", ROOT_SERVERS) + "".join(
        f"corp.example. NS {name}.\n{name}. A {at}\n" for name, at in servers.items()
    )
    root += "".join(f"10.in-addr.arpa. NS {name}.\n" for name in servers)
    place.write("root.zone", root)
    place.write("corp.zone", zone("corp.example", servers) + (FOLDER / "bind-delegation.zone").read_text())
    pointers = {address: f"{name}.corp.example" for address, name in AGENTS.items()}
    pointers |= {address: name for name, address in servers.items()}
    place.write("reverse.zone", zone("10.in-addr.arpa", dict.fromkeys(servers)) + "".join(map(ptr, pointers.items())))
    place.write(
        "hints", "".join(f". 3600000 NS {name}.\n{name}. 3600000 A {at}\n" for name, at in ROOT_SERVERS.items())
    )
    argv = ["named", "-g", "-c", place.write("named.conf", NAMED.format(home=place.home))]
    Daemon.start(place.space, argv, place.home / "named.log").wait_until(
        lambda: accepts_tcp(place.space, place.address, 53)
    )


def zone(name: str, servers: Mapping[str, str | None]) -> str:
    first = next(iter(servers))
    head = f"$TTL 3600\n{name}. SOA {first}. hostmaster.{first}. 1 14400 3600 604800 300\n"
    names = "".join(f"{name}. NS {server}.\n" for server in servers)
    return head + names + "".join(f"{server}. A {address}\n" for server, address in servers.items() if address)


def ptr(pointer: tuple[str, str]) -> str:
    address, name = pointer
    return f"{'.'.join(reversed(address.split('.')))}.in-addr.arpa. PTR {name}.\n"


@pytest.fixture(scope="module")
def said(tree: Place) -> dict[str, str]:
    """Each message's tag with its level."""
    argv = ["zonemaster-cli", "--hints", str(tree.home / "hints"), "--no-ipv6", "--json", "--level", "INFO"]
    done = tree.space.run([*argv, "fs.corp.example"], timeout_s=120.0)
    assert done.returncode == 0, done.stderr
    return {each["tag"]: each["level"] for each in json.loads(done.stdout)}


def test_the_zone_was_found_by_its_delegation(said: dict[str, str]) -> None:
    assert {"ENOUGH_NS_DEL", "NAMES_MATCH", "ADDRESSES_MATCH", "ARE_AUTHORITATIVE"} <= set(said)


def test_nothing_graver_than_a_notice_but_what_a_private_zone_cannot_have(said: dict[str, str]) -> None:
    assert {tag for tag, level in said.items() if level in GRAVE} == set(PRIVATE)


def test_each_notice_is_known_with_its_reason(said: dict[str, str]) -> None:
    assert {tag for tag, level in said.items() if level == "NOTICE"} <= set(KNOWN)
