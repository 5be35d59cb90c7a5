"""Whom `tests.fuzz.record` listens to: programs that ask, and programs that ask because they are asked.

`$home` is a directory of the program's own, with the zone in the file `zone`.
"""

import sys
from dataclasses import dataclass, field
from itertools import product

from tests.conformance.wire import T
from tests.conformance.zone import (
    APEX,
    BIG,
    CHAIN,
    CHILD_HOST,
    DUAL,
    EVIDENCE,
    FILES,
    HALF_WAY,
    MISSING,
    REVERSE_FILES,
    SMB,
    TEXT,
)

DESK = "127.0.0.1"  # who keeps what arrives
RELAY = "127.0.0.2"
RESOLVED = "127.0.0.53"  # where systemd-resolved listens, whatever else it is told
ASKED = (
    (FILES, T.A), (FILES, T.AAAA), (DUAL, T.AAAA), (CHAIN, T.A), (MISSING, T.A), (BIG, T.A), (TEXT, T.TXT),
    (SMB, T.SRV), (APEX, T.SOA), (APEX, T.NS), (FILES, T.HTTPS), (FILES, T.DS), (APEX, T.DNSKEY), (EVIDENCE, T.TXT),
    (HALF_WAY, T.MX), (CHILD_HOST, T.A), (REVERSE_FILES, T.PTR), (FILES, T.ANY), (FILES, T.CAA),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stub:
    """A program that asks by itself, the arguments of its runs, and its standard input."""

    program: str
    package: str
    runs: tuple[str, ...]
    given: str = ""


@dataclass(frozen=True, slots=True)
class Relay:
    """A program that passes on what it is asked at `at`, or asks because of its configuration, the file `conf`."""

    program: str
    package: str
    label: str
    arguments: str
    conf: str = field(default="", repr=False)
    at: str = RELAY


# --- those who ask by themselves

DIG_OPTIONS = (
    "+tcp", "+noedns", "+nocookie", "+nsid", "+subnet=192.0.2.0/24", "+subnet=2001:db8::/56", "+subnet=0", "+expire",
    "+tcp +keepalive", "+padding=128", "+dnssec", "+cdflag", "+noadflag", "+norecurse", "+aaflag", "+zflag",
    "+tcflag +ignore", "+bufsize=512", "+bufsize=4096", "+edns=1", "+edns=1 +noednsnegotiation", "+ednsflags=0x4000",
    "+ednsopt=65001:616263", "+ednsopt=chain:00", "+header-only", "+opcode=NOTIFY", "+opcode=STATUS", "+opcode=UPDATE",
    "+raflag", "+nssearch", "+dnssec +nsid +padding=200 +subnet=10.0.0.0/8", "+cookie=0102030405060708", "-c CH",
)  # fmt: skip
DIG_RUNS = (
    "-x 10.0.1.10", "-x fd00::2:10", "version.bind CH TXT", f"{APEX} AXFR", f"{APEX} IXFR=40",
    f"+notcp {APEX} IXFR=40", ". NS", f"+trace {FILES} A",
)  # fmt: skip
KDIG_OPTIONS = (
    "", "+edns", "+nsid", "+cookie", "+padding", "+padding=64", "+alignment", "+subnet=192.0.2.0/24", "+tcp",
    "+tcp +keepopen", "+dnssec", "+cdflag", "+adflag", "+bufsize=4096", "+edns=3", "+zflag", "+tcflag",
    "+ednsopt=10:0102030405060708", "+noedns +norecurse", "+fastopen +tcp",
)  # fmt: skip
DNSPYTHON = """
import sys, dns.edns, dns.flags, dns.message, dns.query, dns.resolver, dns.update
server, owner, qtype = sys.argv[1:4]
found = dns.resolver.Resolver(configure=False)
found.nameservers = [server]
for flags, options in ((0, []), (dns.flags.DO, []), (0, [dns.edns.GenericOption(3, b"")])):
    found.use_edns(0, flags, 1232, options)
    found.resolve(owner, qtype, raise_on_no_answer=False, search=False)
plain = dns.message.make_query(owner, qtype)
signed = dns.message.make_query(owner, qtype, want_dnssec=True, payload=4096, pad=468)
subnet = dns.message.make_query(owner, qtype, use_edns=0, options=[dns.edns.ECSOption("192.0.2.0", 24)])
for message in (plain, signed, subnet):
    dns.query.udp(message, server, timeout=2)
    dns.query.tcp(message, server, timeout=2)
update = dns.update.UpdateMessage("fs.corp.example")
update.replace("files", 60, "A", "192.0.2.1")
dns.query.udp(update, server, timeout=2)
"""
STUBS = (
    Stub(
        "dig",
        "bind9-dnsutils",
        (
            *(f"@{DESK} {owner} {qtype.name}" for owner, qtype in ASKED),
            *(f"@{DESK} {option} {FILES} A" for option in DIG_OPTIONS),
            *(f"@{DESK} {run}" for run in DIG_RUNS),
        ),
    ),
    Stub("kdig", "knot-dnsutils", tuple(f"@{DESK} {option} {FILES} A" for option in KDIG_OPTIONS)),
    Stub("delv", "bind9-dnsutils", tuple(f"@{DESK} {option} {FILES} A" for option in ("", "+tcp", "+cdflag"))),
    Stub("host", "bind9-host", (FILES, f"-a {FILES}", f"-t ANY {FILES}", f"-C {APEX}", "10.0.1.10", f"-T {BIG}")),
    Stub("nslookup", "bind9-dnsutils", (FILES, f"-type=SOA {APEX}", f"-debug -type=TXT {TEXT}", f"-vc {FILES}")),
    Stub(
        "nsupdate",
        "bind9-dnsutils",
        ("", "-v"),
        f"server {DESK}\nzone {APEX}\nupdate add x 60 A 10.0.0.1\nsend\n",
    ),
    Stub("drill", "ldnsutils", (FILES, f"-D {FILES}", f"-t {BIG}", f"-b 4096 {BIG}", "-x 10.0.1.10", f"-o rd {FILES}")),
    Stub("unbound-host", "unbound-host", (FILES, f"-t SRV {SMB}", f"-v {MISSING}", "10.0.1.10")),
    Stub(
        "getent",
        "libc-bin",
        tuple(map(" ".join, product(("hosts", "ahosts", "ahostsv4"), (FILES, DUAL, CHAIN, MISSING, "files")))),
    ),
    Stub(
        "dnsperf",
        "dnsperf",
        tuple(f"-s {DESK} -l 1 -Q 20 -n 1 -d /dev/stdin {option}" for option in ("", "-e", "-e -D", "-m tcp")),
        f"{FILES} A\n{BIG} A\n",
    ),
    Stub(
        sys.executable,
        "dnspython",
        tuple(f"-c $dnspython {DESK} {owner} {qtype.name}" for owner, qtype in ASKED[:9]),
    ),
    Stub("node", "nodejs", tuple(f"-e $node {DESK} {owner}" for owner in (FILES, MISSING, BIG))),
)
NODE = """
const dns = require("dns"), [server, owner] = process.argv.slice(1), found = new dns.Resolver();
found.setServers([server]);
for (const qtype of ["A", "AAAA", "TXT", "SRV", "SOA", "ANY", "CAA"]) found.resolve(owner, qtype, () => 0);
"""
PROGRAMS = {"$dnspython": DNSPYTHON, "$node": NODE}


# --- those who pass on

TOP = ("corp.example", "0.10.in-addr.arpa")


def _unbound(label: str, more: str) -> Relay:
    conf = f"""
server:
  interface: {RELAY}
  access-control: 127.0.0.0/8 allow
  do-not-query-localhost: no
  username: ""
  chroot: ""
  directory: "$home"
  pidfile: ""
  use-syslog: no
  local-zone: "10.in-addr.arpa" nodefault
  domain-insecure: "example"
{more}
remote-control:
  control-enable: no
"""
    return Relay("unbound", "unbound", label, "-d -c $home/conf", conf)


def _named(label: str, options: str, zones: str = "") -> Relay:
    conf = f"""
options {{ directory "$home"; listen-on {{ {RELAY}; }}; listen-on-v6 {{ none; }}; pid-file none;
  session-keyfile "$home/key"; managed-keys-directory "$home"; allow-query {{ any; }}; empty-zones-enable no;
  {options} }};
controls {{ }};
{zones}
"""
    return Relay("named", "bind9", label, "-g -n 1 -c $home/conf", conf)


def _to_desk(template: str) -> str:
    return "\n".join(template.format(zone=zone, desk=DESK) for zone in TOP)


def _dnsmasq(label: str, options: str = "") -> Relay:
    arguments = f"-k -C /dev/null -u root -x $home/pid -R -h -a {RELAY} -z -S {DESK} {options}"
    return Relay("dnsmasq", "dnsmasq-base", label, arguments)


def _recursor(label: str, options: str) -> Relay:
    arguments = (
        "--daemon=no --config-dir=$home --socket-dir=$home --setuid= --setgid= --chroot= --disable-syslog "
        f"--local-address={RELAY} --allow-from=127.0.0.0/8 {options}"
    )
    return Relay("pdns_recursor", "pdns-recursor", label, arguments)


def _kresd(label: str, rule: str) -> Relay:
    conf = f"net.listen('{RELAY}', 53)\ntrust_anchors.remove('.')\ncache.size = 10*MB\n{rule}\n"
    return Relay("kresd", "knot-resolver", label, "-n -c $home/conf $home", conf)


def _knot(label: str, zone: str) -> Relay:
    conf = f"""
server:
  listen: {RELAY}@53
  rundir: $home
database:
  storage: $home
remote:
  - id: desk
    address: {DESK}
zone:
  - domain: {APEX}
    {zone}
"""
    return Relay("knotd", "knot", label, "-c $home/conf", conf)


def _nsd(label: str, zone: str) -> Relay:
    conf = f"""
server:
  ip-address: {RELAY}
  username: ""
  zonesdir: $home
  pidfile: $home/pid
  database: ""
  xfrdfile: $home/xfrd
  zonelistfile: $home/list
  xfrdir: $home
remote-control:
  control-enable: no
zone:
  name: {APEX}
  {zone}
"""
    return Relay("nsd", "nsd", label, "-d -c $home/conf", conf)


ALL_TO_DESK = f'forward-zone:\n  name: "."\n  forward-addr: {DESK}\n'
ONLY_DESK = f"recursion yes; forward only; forwarders {{ {DESK}; }};"
ROOT_KEY = ".,20326,8,2,E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D"
RECURSE = f"--forward-zones-recurse=.={DESK}"
RELAYS = (
    _unbound("stub-zone", _to_desk('stub-zone:\n  name: "{zone}"\n  stub-addr: {desk}')),
    _unbound("forward-zone", ALL_TO_DESK),
    _unbound("0x20", f"  use-caps-for-id: yes\n  qname-minimisation-strict: yes\n{ALL_TO_DESK}"),
    _unbound("over TCP", f"  tcp-upstream: yes\n{ALL_TO_DESK}"),
    _named("forward", f"{ONLY_DESK} dnssec-validation no;"),
    _named("forward, validating", f"{ONLY_DESK} dnssec-validation auto;"),
    _named("512 bytes, NSID", f"{ONLY_DESK} dnssec-validation no; edns-udp-size 512; request-nsid yes;"),
    _named(
        "static-stub",
        "recursion yes; dnssec-validation no;",
        _to_desk('zone "{zone}" {{ type static-stub; server-addresses {{ {desk}; }}; }};'),
    ),
    _named("secondary", "", f'zone "{APEX}" {{ type secondary; file "copy"; primaries {{ {DESK}; }}; }};'),
    _named(
        "primary",
        "check-names primary ignore; notify explicit;",
        f'zone "{APEX}" {{ type primary; file "zone"; also-notify {{ {DESK}; }}; }};',
    ),
    _dnsmasq("server"),
    _dnsmasq("subnet and MAC", "--add-subnet=24,56 --add-mac --add-cpe-id=here"),
    _dnsmasq("validating", f"--dnssec --dnssec-no-timecheck --trust-anchor={ROOT_KEY}"),
    _recursor("forward-zones", "--forward-zones=" + ",".join(f"{zone}={DESK}" for zone in TOP)),
    _recursor("forward-zones-recurse", f"--dnssec=off {RECURSE}"),
    _recursor(
        "validating, subnet", f"--dnssec=validate --edns-subnet-allow-list={DESK} --forward-zones-recurse=.={DESK}"
    ),
    _kresd("STUB", f"policy.add(policy.all(policy.STUB('{DESK}')))"),
    _kresd("FORWARD", f"policy.add(policy.all(policy.FORWARD('{DESK}')))"),
    Relay("systemd-resolved", "systemd-resolved", "default", "", at=RESOLVED),
    _knot("secondary", "master: desk"),
    _knot("primary", "file: $home/zone\n    notify: desk"),
    _nsd("secondary", f"zonefile: $home/copy\n  request-xfr: {DESK} NOKEY"),
    _nsd("primary", f"zonefile: $home/zone\n  notify: {DESK} NOKEY\n  provide-xfr: {DESK} NOKEY"),
)
