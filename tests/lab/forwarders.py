"""The forwarders that stand between clients and the agents, each by its default and by what `deploy/forwarders` ships.

`SHIPPED` reads the operator's own files, so a test through them proves the files. `DEFAULT` says the least that makes
the forwarder ask the agents: their addresses, and, where it validates, that the zone has no signatures. Around either
stands what only a laboratory needs: an address to listen on, a folder, no control port. Debian's own settings are kept
where a package has some that matter (Knot Resolver's prefetching).

The zone's parent, corp.example, is absent from the public tree, and no namespace has a route to the outside: root
servers are never reached.
"""

import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab.daemon import Daemon
from tests.lab.netns import ROOT, Namespace

ZONE, PARENT = "fs.corp.example.", "corp.example."
FOLDER = ROOT / "deploy" / "forwarders"
AGENTS = {"10.10.0.53": "ns1.fs", "10.10.0.54": "ns2.fs"}  # as the shipped files have them
CLIENTS = "10.0.0.0/8"
# IANA's root-anchors.xml, KSK-2017. BIND has it built in; Unbound is given it, as every packaged Unbound is.
ROOT_ANCHOR = ". DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D"
# Not installed, for its package takes /etc/resolv.conf over: `make debian` unpacks it.
UNPACKED = ROOT / ".debian" / "lib" / "systemd" / "systemd-resolved"

Argv = Sequence[str]
Files = Mapping[str, str]  # by name: its text


@dataclass(frozen=True, slots=True)
class Place:
    """Where a forwarder runs: `home` is its own folder."""

    space: Namespace
    address: str
    home: Path

    def write(self, name: str, text: str) -> str:
        path = self.home / name
        path.write_text(text)
        return str(path)


@dataclass(frozen=True, slots=True)
class Forwarder:
    """`shipped`: files of `deploy/forwarders`. `default`: the same files, with the least that works."""

    name: str
    title: str
    program: str
    package: str
    shipped: tuple[str, ...]
    default: Files
    lay: Callable[[Place, Files], Argv]

    def missing(self) -> str | None:
        where = str(UNPACKED) if self.package == "systemd-resolved" else shutil.which(self.program)
        if where and Path(where).exists():
            return None
        return f"{self.program} missing: `make debian` as root gets it (Debian package {self.package})"

    def version(self) -> str:
        """Upstream's, as Debian writes it."""
        if self.package != "systemd-resolved":
            return package_version(self.package)
        return _said([str(UNPACKED), "--version"]).split()[1]

    def start(self, place: Place, files: Files) -> Daemon:
        place.home.mkdir(exist_ok=True)
        return Daemon.start(place.space, self.lay(place, files), place.home / f"{self.program}.log")


def package_version(package: str) -> str:
    """Without Debian's epoch."""
    said = _said(["dpkg-query", "-W", "-f", "${Version}", package])
    return said.partition(":")[2] or said


def _said(argv: Argv) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def shipped(forwarder: Forwarder, agents: Sequence[str] = tuple(AGENTS)) -> Files:
    """The operator's files. A site with fewer agents has no line for the absent ones."""
    gone = [word for address, name in AGENTS.items() if address not in agents for word in (address, name)]
    return {name: _without((FOLDER / name).read_text(), gone) for name in forwarder.shipped}


def default(forwarder: Forwarder) -> Files:
    return forwarder.default


def _without(text: str, words: Sequence[str]) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if not any(word in line for word in words))


# --- one function a program: lays its files, and says how it is called --------------------------------------------


def _unbound(place: Place, files: Files) -> Argv:
    (own,) = files.values()
    base = f"""
server:
  interface: {place.address}
  access-control: {CLIENTS} allow
  do-ip6: no
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  trust-anchor: "{ROOT_ANCHOR}"
remote-control:
  control-enable: no
include: "{place.write("edge.conf", own)}"
"""
    return ["unbound", "-d", "-p", "-c", place.write("unbound.conf", base)]


def _bind(place: Place, files: Files) -> Argv:
    """A file has one block of options: the shipped one gets the laboratory's lines."""
    own = next(text for name, text in files.items() if name.endswith(".conf"))
    base = f"""options {{
  directory "{place.home}";
  pid-file "{place.home}/named.pid";
  session-keyfile "{place.home}/session.key";
  listen-on {{ {place.address}; }};
  listen-on-v6 {{ none; }};
  recursion yes;
  allow-query {{ {CLIENTS}; }};
  allow-recursion {{ {CLIENTS}; }};
  dnssec-validation auto;
"""
    return ["named", "-g", "-c", place.write("named.conf", own.replace("options {", base, 1) + "controls { };\n")]


def _bind_with_parent(place: Place, files: Files) -> Argv:
    """The parent with the delegation: NS and glue, because the agents' names lie below the cut (RFC 1034 4.2.1)."""
    parent = f"""$TTL 3600
@ IN SOA ns.{PARENT} hostmaster.{PARENT} 1 3600 600 604800 300
@ IN NS ns.{PARENT}
ns IN A {place.address}
"""
    place.write("corp.example.zone", parent + files["bind-delegation.zone"])
    return _bind(place, files)


def _dnsmasq(place: Place, files: Files) -> Argv:
    own = place.write("edge.conf", files["dnsmasq.conf"])
    listen = [f"--listen-address={place.address}", "--bind-interfaces", "--no-resolv", "--no-hosts"]
    return ["dnsmasq", "--keep-in-foreground", f"--conf-file={own}", "--user=root", "--pid-file=", *listen]


def _pdns_recursor(place: Place, files: Files) -> Argv:
    (place.home / "recursor.d").mkdir(exist_ok=True)
    place.write("recursor.d/edge.conf", files["pdns-recursor.conf"])
    base = f"""
include-dir={place.home}/recursor.d
lua-config-file={place.write("recursor.lua", files["pdns-recursor.lua"])}
local-address={place.address}
allow-from={CLIENTS}
socket-dir={place.home}
security-poll-suffix=
quiet=yes
"""
    place.write("recursor.conf", base)
    return ["pdns_recursor", f"--config-dir={place.home}", "--daemon=no", "--write-pid=no", "--disable-syslog"]


def _knot_resolver(place: Place, files: Files) -> Argv:
    base = f"""
net.listen('{place.address}', 53, {{ kind = 'dns' }})
modules = {{ 'hints > iterate', 'stats', 'predict' }}
cache.size = 100 * MB
"""
    config = place.write("kresd.conf", base + files["knot-resolver.conf"])
    return ["kresd", "--noninteractive", f"--config={config}", str(place.home)]


def _resolved(place: Place, files: Files) -> Argv:
    """Its places in /run are covered by a file system of its own, which ends with its namespace of mounts. Started by
    root it looks for a user that only its package makes, so it starts as nobody with the rights of its unit.
    """
    own = place.write("edge.conf", files["systemd-resolved.conf"])
    listen = place.write("listen.conf", f"[Resolve]\nDNSStubListenerExtra={place.address}\n")
    rights = "+net_bind_service,+net_raw,+setpcap"
    run = f"""set -e
mount -t tmpfs run /run
mkdir -p /run/systemd/resolve /run/systemd/resolved.conf.d
cp {own} {listen} /run/systemd/resolved.conf.d
chown -R nobody:nogroup /run/systemd
exec setpriv --reuid=nobody --regid=nogroup --clear-groups --inh-caps={rights} --ambient-caps={rights} {UNPACKED}
"""
    return ["sh", place.write("run.sh", run)]


# --- the forwarders -----------------------------------------------------------------------------------------------

_STUBS = "".join(f"  stub-addr: {agent}\n" for agent in AGENTS)
_FORWARDS = "".join(f"  forward-addr: {agent}\n" for agent in AGENTS)
_LIST = " ".join(f"{agent};" for agent in AGENTS)
_UNSIGNED = f'server:\n  domain-insecure: "{ZONE}"\n'
_EXCEPT = 'options {{ validate-except {{ "{}"; }}; }};\n'

FORWARDERS = {
    each.name: each
    for each in (
        Forwarder(
            "bind-delegation",
            "BIND, delegation",
            "named",
            "bind9",
            ("bind-delegation.conf", "bind-delegation.zone"),
            {
                "bind-delegation.conf": _EXCEPT.format(PARENT)
                + f'zone "{PARENT}" {{ type primary; file "corp.example.zone"; }};\n',
                "bind-delegation.zone": "$ORIGIN corp.example.\n"
                + "".join(f"fs 300 NS {name}\n{name} 300 A {agent}\n" for agent, name in AGENTS.items()),
            },
            _bind_with_parent,
        ),
        Forwarder(
            "bind-static-stub",
            "BIND, static-stub",
            "named",
            "bind9",
            ("bind-static-stub.conf",),
            {
                "bind-static-stub.conf": _EXCEPT.format(ZONE)
                + f'zone "{ZONE}" {{ type static-stub; server-addresses {{ {_LIST} }}; }};\n'
            },
            _bind,
        ),
        Forwarder(
            "bind-forward",
            "BIND, forward",
            "named",
            "bind9",
            ("bind-forward.conf",),
            {
                "bind-forward.conf": _EXCEPT.format(ZONE)
                + f'zone "{ZONE}" {{ type forward; forwarders {{ {_LIST} }}; }};\n'
            },
            _bind,
        ),
        Forwarder(
            "unbound-stub",
            "Unbound, stub zone",
            "unbound",
            "unbound",
            ("unbound.conf",),
            {"unbound.conf": f'{_UNSIGNED}stub-zone:\n  name: "{ZONE}"\n{_STUBS}'},
            _unbound,
        ),
        Forwarder(
            "unbound-forward",
            "Unbound, forward zone",
            "unbound",
            "unbound",
            ("unbound-forward.conf",),
            {"unbound-forward.conf": f'{_UNSIGNED}forward-zone:\n  name: "{ZONE}"\n{_FORWARDS}'},
            _unbound,
        ),
        Forwarder(
            "dnsmasq",
            "dnsmasq",
            "dnsmasq",
            "dnsmasq-base",
            ("dnsmasq.conf",),
            {"dnsmasq.conf": "".join(f"server=/fs.corp.example/{agent}\n" for agent in AGENTS)},
            _dnsmasq,
        ),
        Forwarder(
            "pdns-recursor",
            "PowerDNS Recursor",
            "pdns_recursor",
            "pdns-recursor",
            ("pdns-recursor.conf", "pdns-recursor.lua"),
            {"pdns-recursor.conf": f"forward-zones=fs.corp.example={';'.join(AGENTS)}\n", "pdns-recursor.lua": ""},
            _pdns_recursor,
        ),
        Forwarder(
            "knot-resolver",
            "Knot Resolver",
            "kresd",
            "knot-resolver",
            ("knot-resolver.conf",),
            {
                "knot-resolver.conf": f"policy.add(policy.suffix(policy.STUB({{{str(list(AGENTS))[1:-1]}}}), "
                f"policy.todnames({{'{ZONE}'}})))\n"
            },
            _knot_resolver,
        ),
        Forwarder(
            "systemd-resolved",
            "systemd-resolved",
            "systemd-resolved",
            "systemd-resolved",
            ("systemd-resolved.conf",),
            {"systemd-resolved.conf": f"[Resolve]\nDNS={' '.join(AGENTS)}\nDomains=~fs.corp.example\n"},
            _resolved,
        ),
    )
}
