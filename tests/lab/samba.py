"""A real file server on each node, and a client that finds it by name as users' machines do.

smbd runs in the foreground from a scratch folder and keeps to its process group (`--no-process-group`), so
one SIGKILL to the group is what a crash is to its clients: every session gone at once, connections reset, the
port closed.

smbclient keeps a name's address for 660 s in its lock directory (smb.conf(5), "name cache timeout"), for all
runs of a machine. Each run here gets a fresh directory, so each asks its forwarder.
"""

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.lab.daemon import Daemon, accepts_tcp
from tests.lab.netns import Namespace

PORT = 445  # [MS-SMB2] 2.1: Direct TCP
SHARE = "share"
FOLDERS = ("private", "lock", "state", "cache", "pid", "ncalrpc", SHARE)
CLIENT_TIMEOUT_S = 20  # a Windows client gives up a negotiate in under 20 s


@dataclass(slots=True)
class Samba:
    space: Namespace
    address: str
    home: Path
    daemon: Daemon | None = None

    @property
    def share(self) -> Path:
        return self.home / SHARE

    def start(self) -> None:
        for folder in FOLDERS:
            (self.home / folder).mkdir(parents=True, exist_ok=True)
        config = self.home / "smb.conf"
        config.write_text(self._config())
        argv = ["smbd", "-F", "--no-process-group", "-s", str(config)]
        self.daemon = Daemon.start(self.space, argv, self.home / "smbd.log")
        self.daemon.wait_until(lambda: accepts_tcp(self.space, self.address, PORT))

    def kill(self) -> float:
        """SIGKILL to all of it. Returns the monotonic time just before."""
        assert self.daemon is not None, "not started"
        return self.daemon.kill()

    def _config(self) -> str:
        here = self.home
        return f"""
[global]
  interfaces = {self.address} 127.0.0.1
  smb ports = {PORT}
  disable netbios = yes
  load printers = no
  map to guest = Bad User
  private dir = {here}/private
  lock directory = {here}/lock
  state directory = {here}/state
  cache directory = {here}/cache
  pid directory = {here}/pid
  ncalrpc dir = {here}/ncalrpc
  log file = {here}/smbd.log
[{SHARE}]
  path = {here}/{SHARE}
  guest ok = yes
  read only = no
  force user = root
"""


def write_file(
    client: Namespace, host: str, file: Path, timeout_s: int = CLIENT_TIMEOUT_S
) -> subprocess.CompletedProcess[str]:
    """smbclient puts `file` into the share of `host`, a name that the client's own forwarder resolves."""
    with tempfile.TemporaryDirectory() as fresh:
        argv = ["smbclient", f"//{host}/{SHARE}", "--no-pass", f"--timeout={timeout_s}"]
        argv += [
            "--configfile=/dev/null",
            "--option=name resolve order=host",
            f"--option=lock directory={fresh}",
        ]
        argv += ["--command", f'put "{file}" "{file.name}"']
        return client.run(argv, timeout_s=timeout_s + 10.0)
