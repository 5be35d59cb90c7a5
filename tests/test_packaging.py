"""The native module is optional: with a compiler the package has it, without one it is whole all the same."""

import os
import shutil
import subprocess
import sys
import sysconfig
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ("setup.py", "pyproject.toml", "README.md", "LICENSE", "edge/__init__.py", "edge/dns/_turn.c")

pytestmark = pytest.mark.skipif(find_spec("setuptools") is None, reason="setuptools is not installed")


def built(directory: Path, compiler: str) -> list[str]:
    """The native modules that come out of a copy, which keeps what is left behind out of the sources."""
    for name in SOURCES:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, directory / name)
    environment = {**os.environ, "CC": compiler}
    command = [sys.executable, "setup.py", "build_ext", "--inplace"]
    subprocess.run(command, cwd=directory, env=environment, capture_output=True, check=True)
    return [path.name for path in (directory / "edge/dns").iterdir() if path.suffix == ".so"]


def test_with_a_compiler_the_native_module_is_built(tmp_path: Path) -> None:
    if not shutil.which("cc") or not (Path(sysconfig.get_paths()["include"]) / "Python.h").exists():
        pytest.skip("no C compiler, or no Python headers")
    assert built(tmp_path, "cc") == ["_turn" + EXTENSION_SUFFIXES[0]]


def test_without_a_compiler_the_package_is_built_all_the_same(tmp_path: Path) -> None:
    assert built(tmp_path, shutil.which("false") or "false") == []
