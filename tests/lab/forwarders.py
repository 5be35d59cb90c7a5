"""The forwarders that stand between clients and the agent: Unbound with a stub zone, BIND with a delegation.

They carry what the documentation tells operators to write, so a test through them proves the documentation
too. The two differ where sites differ: Unbound is told the agent's address (a stub zone), BIND serves the
parent zone and finds the agent by the NS and glue in it (RFC 1034 section 4.2.1), as it would behind a
company's own domain. Both validate; the parent is absent from the public tree, so both are told to expect no
signatures below it. No namespace has a route to the outside, so root servers are never reached.
"""

from pathlib import Path

from tests.lab.daemon import Daemon
from tests.lab.netns import Namespace

ZONE, PARENT = "fs.corp.example.", "corp.example."
# IANA's root-anchors.xml, KSK-2017. BIND has it built in; Unbound is given it, as every packaged Unbound is.
ROOT_ANCHOR = ". DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D"


def start_unbound(space: Namespace, address: str, agents: list[str], clients: str, home: Path) -> Daemon:
    home.mkdir()
    config = home / "unbound.conf"
    config.write_text(_unbound(address, agents, clients))
    return Daemon.start(space, ["unbound", "-d", "-p", "-c", str(config)], home / "unbound.log")


def start_bind(space: Namespace, address: str, agents: list[str], clients: str, home: Path) -> Daemon:
    home.mkdir()
    config = home / "named.conf"
    (home / "corp.example.zone").write_text(_parent_zone(address, agents))
    config.write_text(_bind(address, clients, home))
    return Daemon.start(space, ["named", "-g", "-c", str(config)], home / "named.log")


def _unbound(address: str, agents: list[str], clients: str) -> str:
    stubs = "\n".join(f"  stub-addr: {agent}" for agent in agents)
    return f"""
server:
  interface: {address}
  access-control: {clients} allow
  do-ip6: no
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  trust-anchor: "{ROOT_ANCHOR}"
  domain-insecure: "{ZONE}"
  infra-host-ttl: 5   # the default of 900 s would shun an agent for that long after an outage
remote-control:
  control-enable: no
stub-zone:
  name: "{ZONE}"
{stubs}
"""


def _bind(address: str, clients: str, home: Path) -> str:
    return f"""
options {{
  directory "{home}";
  pid-file "{home}/named.pid";
  session-keyfile "{home}/session.key";
  listen-on {{ {address}; }};
  listen-on-v6 {{ none; }};
  recursion yes;
  allow-query {{ {clients}; }};
  dnssec-validation auto;
  validate-except {{ "{PARENT}"; }};
}};
controls {{ }};
zone "{PARENT}" {{ type primary; file "{home}/corp.example.zone"; }};
"""


def _parent_zone(address: str, agents: list[str]) -> str:
    """The parent with the delegation: one NS an agent, and glue, because their names lie below the cut."""
    names = {f"ns{number}.{ZONE}": agent for number, agent in enumerate(agents, 1)}
    delegation = "".join(f"{ZONE} IN NS {name}\n" for name in names)
    glue = "".join(f"{name} IN A {agent}\n" for name, agent in names.items())
    return f"""$TTL 3600
@ IN SOA ns.{PARENT} hostmaster.{PARENT} 1 3600 600 604800 300
@ IN NS ns.{PARENT}
ns IN A {address}
{delegation}{glue}"""
