"""Another commit of this repository, ready to run: its files, and an interpreter that finds them and what we have
installed.
"""

import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.agent.site import ROOT, Program

_EDGECTL = "#!{python} -I\nfrom edge.cli import main\nmain(prog_name='edgectl')\n"


@contextmanager
def checkout(commit: str, home: Path) -> Iterator[Program]:
    """DNS workers run isolated (-I), so the environment is no way to tell them where the older files are."""
    root = home / "older"
    _git("worktree", "add", "--detach", "--quiet", str(root), commit)
    try:
        yield _ready(root, home / "venv")
    finally:
        _git("worktree", "remove", "--force", str(root))


def _git(*words: str) -> None:
    subprocess.run(["git", *words], cwd=ROOT, check=True)


def _ready(root: Path, venv: Path) -> Program:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    within = Path(sysconfig.get_path("purelib", vars={"base": str(venv)}))
    within.joinpath("older.pth").write_text(f"{root}\n{sysconfig.get_path('purelib')}\n")
    python = venv / "bin" / "python"
    subprocess.run([python, "setup.py", "-q", "build_ext", "--inplace"], cwd=root, check=True)
    edgectl = venv / "bin" / "edgectl"
    edgectl.write_text(_EDGECTL.format(python=python))
    edgectl.chmod(0o755)
    return Program(root, str(python), str(edgectl))
