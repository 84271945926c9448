"""What of a plugin's source code its numbers depend on: not its place, its comments or its local variables' names.

`sources` finds the files of a plugin, `meaning` reduces each to that.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, cast

TEXTS = ("summary", "paper", "citation")  # of a plugin's class, for people


def sources(file: Path) -> list[Path]:
    """A plugin's file, and what it imports, in turn: modules of its own package, and helpers (`_*.py`) beside it."""
    is_package = file.name == "__init__.py"
    candidates = sorted((file.parents[1] if is_package else file.parent).glob("_[!_]*.py"))
    candidates += sorted(file.parent.rglob("*.py")) if is_package else []
    used = [file]
    for source in used:  # grows while it is gone through
        named = _imported(source)
        used += [other for other in candidates if other.stem in named and other not in used]
    return used


@cache
def meaning(file: Path) -> str:
    """A module's code without what no number depends on; see `_Meaning`."""
    return ast.unparse(_Meaning().visit(_parsed(file)))


@cache
def _imported(file: Path) -> frozenset[str]:
    """Each part of the names that a module imports: `from methods._peft import inject` has three."""
    names: list[str] = []
    for node in ast.walk(_parsed(file)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names += [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
    return frozenset(part for name in names for part in name.split("."))


def _parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


class _Meaning(ast.NodeTransformer):
    """Takes from a module what no number depends on.

    That is comments, layout, docstrings and a class's TEXTS; where a name is imported from, so that modules can move;
    the names of functions' local variables; and the annotations in functions. What stays: parameters' names, by which
    callers pass them, the annotations of classes, which pydantic reads, and those of functions with decorators, which
    may.
    """

    # ruff: noqa: N815 - ast names the methods
    def __init__(self) -> None:
        self.names: dict[str, str] = {}  # what stands for each local variable in sight
        self.depth = 0  # of scopes in scopes
        self.in_function = False

    def visit_Module(self, node: ast.Module) -> ast.AST:
        node.body = _without_docstring(node.body)
        return self.generic_visit(node)

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> ast.AST | None:
        # A name stands where it is used; one that is used by another name would not.
        renamed = [ast.alias(alias.name.rpartition(".")[2], alias.asname) for alias in node.names if alias.asname]
        return ast.Import(renamed) if renamed else None

    visit_ImportFrom = visit_Import

    def visit_If(self, node: ast.If) -> ast.AST | None:
        if ast.unparse(node.test) == "TYPE_CHECKING" and not node.orelse:
            return None
        return self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.body = [each for each in _without_docstring(node.body) if not _is_text(each)]
        local, others = _bound(node.body)
        with self._scope((), {*local, *others}, in_function=False):  # attributes are no local variables
            return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        parameters = _parameters(node.args)
        if not node.decorator_list:
            node.returns = None
            for each in parameters:
                each.annotation = None
        node.decorator_list = [self.visit(each) for each in node.decorator_list]
        self.visit(node.args)  # defaults are worked out outside
        node.body = _without_docstring(node.body)
        local, others = _bound(node.body, parameters)
        with self._scope(local, others, in_function=True):
            body = [self.visit(each) for each in node.body]
        node.body = [each for each in body if each is not None]
        return node

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        self.visit(node.args)
        with self._scope(*_bound([node.body], _parameters(node.args)), in_function=True):
            node.body = self.visit(node.body)
        return node

    def _comprehension(self, node: Any) -> ast.AST:
        first = node.generators[0]
        outermost = self.visit(first.iter)  # worked out outside
        first.iter = ast.Constant(None)
        local, _ = _bound([each.target for each in node.generators])
        with self._scope(local, (), in_function=True):
            self.generic_visit(node)
        first.iter = outermost
        return cast(ast.AST, node)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if not self.in_function:
            return self.generic_visit(node)
        if node.value is None:
            return None
        return self.generic_visit(ast.copy_location(ast.Assign([node.target], node.value), node))

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self.names.get(node.id, node.id)
        return node

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        node.name = node.name and self.names.get(node.name, node.name)
        return self.generic_visit(node)

    def visit_Nonlocal(self, node: ast.Nonlocal) -> ast.AST:
        node.names = [self.names.get(name, name) for name in node.names]
        return node

    @contextmanager
    def _scope(self, local: Iterable[str], others: Iterable[str], in_function: bool) -> Iterator[None]:
        """Within: local variables go by their number, and the other names that the scope binds by their own."""
        before = self.names, self.depth, self.in_function
        numbered = {name: f"${self.depth}.{index}" for index, name in enumerate(dict.fromkeys(local))}
        self.names = {**self.names, **numbered, **{name: name for name in others}}
        self.depth += 1
        self.in_function = in_function
        yield
        self.names, self.depth, self.in_function = before


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    match body:
        case [ast.Expr(value=ast.Constant(value=str())), *rest]:
            return rest
    return body


def _is_text(node: ast.stmt) -> bool:
    match node:
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str())):
            return name in TEXTS
    return False


def _parameters(arguments: ast.arguments) -> list[ast.arg]:
    given = [*arguments.posonlyargs, *arguments.args, arguments.vararg, *arguments.kwonlyargs, arguments.kwarg]
    return [each for each in given if each is not None]


def _bound(body: Iterable[ast.AST], parameters: Iterable[ast.arg] = ()) -> tuple[list[str], set[str]]:
    """What a scope binds: its variables in order, and what keeps its name: parameters, imports, functions, globals."""
    local: list[str] = []
    others = {each.arg for each in parameters}
    outer: set[str] = set()
    for node in _own(body):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.ExceptHandler(name=str(name)):
                local.append(name)
            case ast.Nonlocal(names=names):
                outer.update(names)
            case ast.Global(names=names):
                others.update(names)
            case ast.alias(name=name, asname=asname):
                others.add(asname or name.partition(".")[0])
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                others.add(name)
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
                others.add(name)
    return [name for name in local if name not in others | outer], others


def _own(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """The nodes of a scope itself, not those of functions, classes and comprehensions in it."""
    for node in nodes:
        yield node
        if isinstance(node, ast.comprehension):
            yield from _own([node.iter, *node.ifs])
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            yield from _own(ast.iter_child_nodes(node))
