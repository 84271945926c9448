"""The part of a plugin's source code that its numbers depend on: without locations, comments and local names.

`sources` finds the files of a plugin, `meaning` reduces each of them to that part.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

TEXTS = ("summary", "paper", "citation")  # of a plugin's class, for people


def sources(file: Path) -> list[Path]:
    """A plugin's file, and what it imports, in turn: modules of its own package, and helpers (`_*.py`) beside it."""
    is_package = file.name == "__init__.py"
    candidates = sorted((file.parents[1] if is_package else file.parent).glob("_[!_]*.py"))
    candidates += sorted(file.parent.rglob("*.py")) if is_package else []
    used = [file]
    for source in used:  # grows during the loop
        named = _imported(source)
        used += [other for other in candidates if other.stem in named and other not in used]
    return used


@cache
def meaning(file: Path) -> str:
    """A module's code without what no number depends on; see `_Meaning`."""
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
    """Removes from a module what no number depends on.

    That is comments, layout, docstrings and a class's TEXTS; where a name is imported from, so that modules can move;
    the names of functions' local variables; and the annotations in functions. What stays: parameters' names, by which
    callers pass them, the annotations of classes, which pydantic reads, and those of functions with decorators, which
    may read them.
    """

    # ruff: noqa: N815 - ast names the methods
    def __init__(self) -> None:
        self.in_function = False
        self.numbered = 0  # local variables that have a number in place of their name

    def visit_Module(self, node: ast.Module) -> ast.AST:
        node.body = _without_docstring(node)
        return self.generic_visit(node)

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> ast.AST | None:
        # A name stands where it is used; one that is imported under another name would not.
        renamed = [ast.alias(alias.name.rpartition(".")[2], alias.asname) for alias in node.names if alias.asname]
        return ast.Import(renamed) if renamed else None

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if ast.unparse(node.test) == "TYPE_CHECKING" and not node.orelse else self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        outer, self.in_function = self.in_function, False
        node.body = [each for each in _without_docstring(node) if not _is_text(each)]
        self.generic_visit(node)
        self.in_function = outer
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        outer, self.in_function = self.in_function, True
        node.body = _without_docstring(node)
        if not node.decorator_list:
            node.returns = None
            for argument in [each for each in ast.walk(node.args) if isinstance(each, ast.arg)]:
                argument.annotation = None
        kept = _names_with_meaning(node)
        self.generic_visit(node)
        own = [each for statement in node.body for each in _own_scope(statement)]
        kept.update(name for each in own if isinstance(each, ast.Nonlocal) for name in each.names)
        self._number(node.body, _stored(own) - kept)
        self.in_function = outer
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if not self.in_function:
            return self.generic_visit(node)
        return node.value and self.visit(ast.copy_location(ast.Assign([node.target], node.value), node))

    def _comprehension(self, node: Any) -> Any:
        kept = _names_with_meaning(node)
        self.generic_visit(node)
        first = node.generators[0]
        evaluated_outside, first.iter = first.iter, ast.Constant(None)
        self._number([node], _stored(each for part in node.generators for each in ast.walk(part.target)) - kept)
        first.iter = evaluated_outside
        return node

    visit_ImportFrom = visit_Import
    visit_AsyncFunctionDef = visit_FunctionDef
    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def _number(self, body: Sequence[ast.AST], names: set[str]) -> None:
        """Put numbers in the place of a scope's own names; those of the scopes within have theirs already."""
        numbers: dict[str, str] = {}
        for node in [each for part in body for each in ast.walk(part)]:
            if isinstance(node, ast.Nonlocal):
                node.names = [numbers.get(name, name) for name in node.names]
            elif (name := _variable(node)) in names:
                number = numbers.setdefault(str(name), f"${self.numbered + len(numbers)}")
                setattr(node, "id" if isinstance(node, ast.Name) else "name", number)
        self.numbered += len(numbers)


def _without_docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.stmt]:
    return node.body if ast.get_docstring(node) is None else node.body[1:]


def _is_text(node: ast.stmt) -> bool:
    match node:
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str())):
            return name in TEXTS
    return False


def _variable(node: ast.AST) -> str | None:
    return node.id if isinstance(node, ast.Name) else node.name if isinstance(node, ast.ExceptHandler) else None


def _own_scope(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a scope itself, not those of functions and classes in it."""
    yield node
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
        for child in ast.iter_child_nodes(node):
            yield from _own_scope(child)


def _stored(nodes: Iterable[ast.AST]) -> set[str]:
    """Variables that are assigned and have no number yet."""
    names = {_variable(node) for node in nodes if not isinstance(node, ast.Name) or isinstance(node.ctx, ast.Store)}
    return {name for name in names if name and not name.startswith("$")}


def _names_with_meaning(scope: ast.AST) -> set[str]:
    """Names that somewhere in a scope are more than a local variable's.

    These are parameters, imports, functions, classes and their attributes, captures of patterns, and globals.
    """
    names: set[str] = set()
    for node in ast.walk(scope):
        if isinstance(node, ast.ClassDef):
            names |= _stored(ast.walk(node))
        if isinstance(node, ast.arg | ast.alias | ast.stmt | ast.pattern) and not isinstance(node, ast.Nonlocal):
            for _, value in ast.iter_fields(node):
                found = value if isinstance(value, list) else [value]
                names.update(name.partition(".")[0] for name in found if isinstance(name, str))
    return names
