"""Askers and generators are processes of their own, which stand for other machines: one JSON plan in, one report out.

who is run       works by its plan, and prints its report
who is running   prints "ready", works until its standard input ends or its time is up, and prints its report
"""

import json
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


@dataclass
class Running:
    """`report` is there once it has ended."""

    process: "subprocess.Popen[str]"
    report: str = ""


def command(module: str, plan: dict[str, Any]) -> list[str]:
    return [sys.executable, "-m", module, json.dumps(plan)]


def start(module: str, plan: dict[str, Any]) -> "subprocess.Popen[str]":
    return subprocess.Popen(command(module, plan), cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def finish(process: "subprocess.Popen[str]") -> str:
    report, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
    return report


def run(module: str, plan: dict[str, Any]) -> str:
    return finish(start(module, plan))


@contextmanager
def running(module: str, plan: dict[str, Any]) -> Iterator[Running]:
    started = Running(start(module, plan))
    assert started.process.stdout is not None
    if started.process.stdout.readline() != "ready\n":
        raise RuntimeError(f"{module} did not start")
    try:
        yield started
    finally:
        started.report = finish(started.process)


def told_to_end() -> bool:
    return bool(select.select([sys.stdin], [], [], 0)[0])
