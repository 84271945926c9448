"""CONTRIBUTING.md's list of modules: all are there, and imports run down it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BENCH = ROOT / "bench"


@cache
def listed() -> dict[str, int]:
    """The line of each module or package of bench/ in the list."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    found = re.search(r"## Where things are\n\n(.*?)\n\n", text, re.DOTALL)
    assert found
    lines = [re.split(r"\s{2,}", line.strip())[0].removeprefix("bench/") for line in found[1].splitlines()]
    named = [(name, at) for at, line in enumerate(lines) for name in line.split()]
    names = [name for name, _ in named]
    assert len(names) == len(set(names))
    return dict(named)


def unit(path: Path) -> str:
    """What of bench/ a file belongs to, as the list has it."""
    first, *rest = path.relative_to(BENCH).parts
    return f"{first}/" if rest else first


def imported(tree: ast.AST) -> Iterator[str]:
    """The modules of bench that are imported anywhere in a file but for type checkers."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom) and node.module == "bench":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bench."):
            yield str(node.module).split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("bench."))
        yield from imported(node)


def test_the_list_names_what_there_is() -> None:
    there = {unit(path) for path in BENCH.rglob("*.py")} - {"__init__.py"}
    assert listed().keys() == there


@pytest.mark.parametrize("path", sorted(BENCH.rglob("*.py")), ids=lambda path: path.relative_to(BENCH).as_posix())
def test_imports_run_down_the_list(path: Path) -> None:
    order = listed()
    if unit(path) == "__init__.py":  # bench.load and bench.run, on demand
        return
    for name in imported(ast.parse(path.read_text(encoding="utf-8"))):
        target = f"{name}/" if (BENCH / name).is_dir() else f"{name}.py"
        if target in order:  # the rest are names of bench/__init__.py
            assert order[target] >= order[unit(path)], f"{unit(path)} imports {target}, which stands above it"
