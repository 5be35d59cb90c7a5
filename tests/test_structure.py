"""How the package hangs together (docs/design.md, "Modules"), read from the source: imports in functions count too."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = ("probes", "stores", "switches", "dns", "control")
# What no part may know: who is above it.
ABOVE = ("agent", "cli")
# The core reads no clock, no random number, no file, no socket; it has no thread and no log.
CORE_MAY = {"dataclasses", "enum", "math", "collections.abc", "typing"}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


SOURCES = {name_of(path): path for path in sorted((ROOT / "edge").rglob("*.py"))}


def imported(module: str) -> set[str]:
    """The modules that a module imports: of `from package import name`, the submodule where `name` is one."""
    return set(_imported(ast.parse(SOURCES[module].read_text())))


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            whole = f"{node.module}."
            yield from (whole + alias.name if whole + alias.name in SOURCES else node.module for alias in node.names)


def ours(module: str) -> set[str]:
    return {name for name in imported(module) if name == "edge" or name.startswith("edge.")}


def reached(module: str, but: str | None = None) -> set[str]:
    """All of our modules that are imported with this one, `but` for one and what that imports."""
    seen: set[str] = set()
    todo = [module]
    while todo:
        todo += (found := ours(todo.pop()) - {but}) - seen
        seen |= found
    return seen


def within(module: str, *parts: str) -> bool:
    return any(module == f"edge.{part}" or module.startswith(f"edge.{part}.") for part in parts)


def test_every_import_of_ours_exists() -> None:
    assert {name for module in SOURCES for name in ours(module)} <= SOURCES.keys()


@pytest.mark.parametrize("module", [name for name in SOURCES if within(name, "failover")])
def test_the_core_is_pure(module: str) -> None:
    for name in {module} | reached(module):
        assert within(name, "failover", "errors")
        assert imported(name) - ours(name) <= CORE_MAY


@pytest.mark.parametrize("module", [name for name in SOURCES if within(name, *PARTS)])
def test_a_part_imports_no_other_part_and_nothing_above_it(module: str) -> None:
    own = module.split(".")[1]
    others = [part for part in (*PARTS, *ABOVE) if part != own]
    assert not [name for name in reached(module) if within(name, *others)]


@pytest.mark.parametrize("module", [name for name in SOURCES if within(name, "config", "errors")])
def test_configuration_and_errors_know_no_part(module: str) -> None:
    assert not [name for name in reached(module) if within(name, *PARTS, *ABOVE)]


def test_the_command_line_knows_the_control_client_alone() -> None:
    """But for `edgectl store`, which works where no agent runs, and is imported when it is asked for."""
    known = {name for module in SOURCES if within(module, "cli") for name in reached(module, but="edge.storing")}
    assert not [name for name in known if within(name, "agent", "probes", "stores", "switches", "dns")]


def test_nobody_imports_in_a_circle() -> None:
    try:
        TopologicalSorter({module: ours(module) for module in SOURCES}).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("module", [name for name, path in SOURCES.items() if path.name == "__init__.py"])
def test_a_package_hands_names_on_and_holds_no_program(module: str) -> None:
    for node in ast.parse(SOURCES[module].read_text()).body:
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        names = isinstance(node, ast.Assign) and isinstance(node.value, (ast.Constant, ast.List, ast.Tuple))
        assert docstring or names or isinstance(node, (ast.Import, ast.ImportFrom))


def test_no_module_is_a_drawer_for_odds_and_ends() -> None:
    assert not [name for name in SOURCES if name.rsplit(".", 1)[-1] in {"utils", "util", "helpers", "common", "misc"}]


def test_who_is_cancelled_ends() -> None:
    """`asyncio.wait_for` loses a cancellation that meets what it waits for (Python 3.11, bpo-37658): an agent that was
    told to end by SIGTERM in that moment lived on. `asyncio.timeout` does not.
    """
    users = [
        module
        for module, path in SOURCES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "asyncio.wait_for"
    ]
    assert users == []
