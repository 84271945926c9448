"""The part of a plugin's source code that a cell's identity depends on: without locations, comments and docstrings.

`sources` finds the files of a plugin, `meaning` reduces each of them to that part.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from bench.plugins import table_task

TEXTS = ("summary", "paper", "citation")  # of a plugin's class, for people
SPACE = "space"  # of a method: what `tune` may try. What it did try is in each cell's recipe.


def sources(file: Path) -> list[Path]:
    """A plugin's file, and what it imports, in turn: modules of its own package, and helpers (`_*.py`) beside it."""
    if file.suffix == ".toml":
        return [file]
    is_package = file.name == "__init__.py"
    candidates = sorted((file.parents[1] if is_package else file.parent).glob("_[!_]*.py"))
    candidates += sorted(file.parent.rglob("*.py")) if is_package else []
    used = [file]
    for source in used:  # grows during the loop
        named = _imported(source)
        used += [other for other in candidates if other.stem in named and other not in used]
    return used


def meaning(file: Path) -> str:
    """A module's code without comments, layout, docstrings, TEXTS, SPACE, and where a name is imported from.

    Of a task's TOML file: what it declares.
    """
    return table_task.meaning(file) if file.suffix == ".toml" else _meaning_of_code(file)


@cache
def _meaning_of_code(file: Path) -> str:
    return ast.unparse(_Meaning().visit(ast.parse(file.read_text(encoding="utf-8"))))


@cache
def _imported(file: Path) -> frozenset[str]:
    """Each part of the names that a module imports: `from methods._peft import inject` has three."""
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names += [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
    return frozenset(part for name in names for part in name.split("."))


class _Meaning(ast.NodeTransformer):
    """Removes what no number depends on, see `meaning`; `ast` has dropped comments and layout already."""

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> ast.AST | None:
        # A name stands where it is used; one that is imported under another name would not.
        renamed = [ast.alias(alias.name.rpartition(".")[2], alias.asname) for alias in node.names if alias.asname]
        return ast.Import(renamed) if renamed else None

    visit_ImportFrom = visit_Import  # noqa: N815

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = node.body if ast.get_docstring(node) is None else node.body[1:]
        if isinstance(node, ast.ClassDef):
            node.body = [each for each in node.body if not _changes_nothing(each)]
        return super().generic_visit(node)


def _changes_nothing(node: ast.stmt) -> bool:
    match node:
        case ast.Assign(targets=[ast.Name(id=name)]) if name == SPACE:
            return True
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str())):
            return name in TEXTS
    return False
