"""dynalite, a second implementation of DynamoDB, as a process that ends with who started it (see the Makefile)."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOME = ROOT / ".node"
NODE_AT_LEAST = 20
SERVE = """
const server = require('dynalite')({createTableMs: 20})
server.listen(0, '127.0.0.1', () => console.log(JSON.stringify(server.address())))
process.stdin.on('end', () => process.exit()).resume()
"""


def why_not() -> str | None:
    """Why it can't be had on this machine; None where it can."""
    if shutil.which("node") is None:
        return "there is no Node.js"
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.removeprefix("v").partition(".")[0]) < NODE_AT_LEAST:
        return f"dynalite needs Node.js {NODE_AT_LEAST}, and this is {version}"
    return None if (HOME / "node_modules" / "dynalite").exists() else "dynalite is not installed: make test does it"


@contextmanager
def dynalite() -> Iterator[str]:
    """Its URL."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    running = subprocess.Popen(["node", "-e", SERVE], cwd=HOME, text=True, **pipes)
    try:
        assert running.stdout is not None
        yield f"http://127.0.0.1:{json.loads(running.stdout.readline())['port']}"
    finally:
        running.kill()
        running.communicate()
