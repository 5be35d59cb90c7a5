"""The demo: a fail-over on this machine's loopback, with real processes and real questions.

The agent from config/demo.toml, two file-server stand-ins that answer the agent's SMB probe, and an emulated AWS:
Route 53's API, and a DNS face that answers what a client inside the VPC would be told. The live stand-in is killed
with SIGKILL; what is measured is the time until the agent *and* the private zone answer the other node's address.
"""

import argparse
import contextlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edge.dns.ask import NotAnsweredError, ask
from tests.cloud.emulator import Emulator, Layout

ROOT = Path(__file__).parents[2]
STATE = ROOT / ".demo"
EDGECTL = str(Path(sys.executable).with_name("edgectl"))
NAME = "files.fs.corp.example"
NODES = {"a": "127.0.1.10", "b": "127.0.2.10"}
SMB_PORT = 4450
AGENT = ("127.0.0.1", 5300)
PLACEHOLDER = "Z0EDGEDEMO0000000000"
PATIENCE_S = 30.0
ASK_S = 0.5
BEAT_S = 0.002


@dataclass(frozen=True, slots=True)
class Side:
    """Somebody who answers the name: the agent for clients on-premises, the private zone for those in the VPC."""

    who: str
    server: tuple[str, int]

    def told(self) -> str:
        """The address and the epoch that a client is told now, or that it is not answered."""
        try:
            address = ask(self.server, NAME, "A", ASK_S).values
            epoch = ask(self.server, f"_edge.{NAME}", "TXT", ASK_S).values
        except NotAnsweredError:
            return "no answer"
        return f"{', '.join(address) or 'no address'}  {', '.join(epoch).strip(chr(34)) or 'no epoch'}"


def main() -> None:
    parser = argparse.ArgumentParser("demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave everything running at the end, until ^C")
    keep = parser.parse_args().keep
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job begins with it ignored
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.ExitStack() as stack:
        aws = stack.enter_context(Emulator())
        stand_ins = {node: stack.enter_context(_stand_in(address)) for node, address in NODES.items()}
        stack.enter_context(_agent(aws))
        sides = (Side("on-premises (the agent)", AGENT), Side("in the VPC (private zone)", aws.dns_address))
        took_s = _fail_over(stand_ins["a"], sides)
        _edgectl("history", "--limit", "8")
        if keep:
            _linger(aws)
    print(f"demo: agreed after {took_s * 1000:.0f} ms")


def _fail_over(live: subprocess.Popen[str], sides: tuple[Side, ...]) -> float:
    """Kills the live node's server. Returns the seconds until every side answers the other node."""
    _until("both sides answer node a", lambda: all(NODES["a"] in side.told() for side in sides))
    for side in sides:
        print(f"  before        {side.who:26} {side.told()}")
    _until("the agent has judged both nodes", _settled)
    live.kill()
    died_s = time.monotonic()
    print(f"  {0:6.0f} ms     the live node's file server is killed (SIGKILL)")
    last = {side: side.told() for side in sides}
    while not all(NODES["b"] in told and "node=b" in told for told in last.values()):
        _watch(last, died_s)
        _patient("both sides answer node b", died_s)
    took_s = time.monotonic() - died_s
    _until("the agent has read every side back", _agreed)
    return took_s


def _agreed() -> bool:
    """Of both epochs: the first assignment, and the one after it."""
    said = _edgectl("--json", "history", show=False)
    return [line["kind"] for line in json.loads(said)["lines"]].count("agreed") > 1 if said else False


def _watch(last: dict[Side, str], died_s: float) -> None:
    """Ask every side once more, and tell each change."""
    for side, told in last.items():
        now = side.told()
        if now != told:
            print(f"  {(time.monotonic() - died_s) * 1000:6.0f} ms     {side.who:26} {now}")
        last[side] = now
    time.sleep(BEAT_S)


def _settled() -> bool:
    said = _edgectl("--json", "status", show=False)
    status = json.loads(said)["services"][0] if said else {}
    up = bool(status) and all(node["verdict"] != "unknown" for node in status["nodes"])
    return up and status["phase"] == "steady"


def _until(what: str, holds: Callable[[], bool]) -> None:
    began_s = time.monotonic()
    while not holds():
        _patient(what, began_s)
        time.sleep(BEAT_S)


def _patient(what: str, began_s: float) -> None:
    if time.monotonic() - began_s > PATIENCE_S:
        sys.exit(f"demo: waited {PATIENCE_S:.0f} s in vain until {what}; the agent's log is {STATE / 'edged.log'}")


@contextlib.contextmanager
def _stand_in(address: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.demo.stand_in", address, str(SMB_PORT)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as process:
        if process.stdout is None or not process.stdout.readline():
            sys.exit(f"demo: nothing can listen on {address} port {SMB_PORT}")
        yield process
        process.kill()


@contextlib.contextmanager
def _agent(aws: Emulator) -> Iterator[None]:
    """The real agent, with config/demo.toml, to which only the emulated zone's id is added."""
    layout = Layout(node_a=NODES["a"], node_b=NODES["b"], subnets=("127.0.1.0/24", "127.0.2.0/24"), record=NODES["a"])
    shutil.rmtree(STATE, ignore_errors=True)
    STATE.mkdir()
    config = (ROOT / "config" / "demo.toml").read_text()
    (STATE / "demo.toml").write_text(config.replace(PLACEHOLDER, aws.seed(layout).zone_id))
    command = [sys.executable, "-m", "edge.agent.daemon", "--config", ".demo/demo.toml"]
    with (
        (STATE / "edged.log").open("w") as log,
        subprocess.Popen(command, cwd=ROOT, env=aws.env(), stderr=log) as agent,
    ):
        try:
            _until("the agent listens", lambda: _listens(agent))
            yield
        finally:
            agent.terminate()


def _listens(agent: subprocess.Popen[bytes]) -> bool:
    """Whether the agent's control socket is there; ends the demo if the agent has ended."""
    if agent.poll() is not None:
        sys.exit(f"demo: the agent ended at once:\n{(STATE / 'edged.log').read_text()}")
    return (STATE / "edge.sock").exists()


def _edgectl(*words: str, show: bool = True) -> str:
    command = [EDGECTL, "--socket", ".demo/edge.sock", *words]
    said = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
    if show:
        print(said.stdout or said.stderr)
    return said.stdout


def _linger(aws: Emulator) -> None:
    host, port = aws.dns_address
    print(f"""Everything runs on until ^C. Try, from another terminal:
  dig @127.0.0.1 -p {AGENT[1]} {NAME}
  dig @127.0.0.1 -p {AGENT[1]} _edge.{NAME} TXT
  dig @{host} -p {port} {NAME}          # what a client in the VPC is told
  .venv/bin/edgectl --socket .demo/edge.sock status
  .venv/bin/edgectl --socket .demo/edge.sock promote a --reason "fail back" --force
  http://127.0.0.1:9353/                # status page; /metrics, /readyz""")
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(1)


if __name__ == "__main__":
    main()
