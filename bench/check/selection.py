"""From names on the command line to the plugins to check."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from bench.errors import UsageError
from bench.plugins import registry
from bench.plugins.method import Method
from bench.plugins.registry import Registry
from bench.plugins.specs import build_method, parse
from bench.plugins.task import Task
from bench.suggestions import suggest


@dataclass(frozen=True)
class Plugin:
    """A method with its parameters, or a task, by name; or a file that cannot be imported.

    error: why it cannot be used at all.
    """

    spec: str
    type: Literal["method", "task", "file"]
    error: str | None = None


def select(names: Sequence[str], files: Sequence[Path]) -> tuple[list[Plugin], list[Path]]:
    """The plugins to check, each once, and all plugin files: those given, and those among the names.

    Args:
        names: methods with or without parameters, tasks, or Python files, which stand for all that they define;
            none at all stand for everything that is registered.
        files: of `--plugin`.

    Raises:
        UsageError: for a name that is neither a method nor a task, or parameters that a method does not take.
        PluginError: for a file that does not exist or defines no plugin.
    """
    every = list(dict.fromkeys([*files, *(Path(name) for name in names if name.endswith(".py"))]))
    methods, tasks = registry.methods(every), registry.tasks(every)
    found = [] if names else _registered(methods, tasks)
    for name in names:
        found += _registered(methods, tasks, Path(name)) if name.endswith(".py") else [_named(name, methods, tasks)]
    return list(dict.fromkeys(found)), every


def _registered(methods: Registry[Method], tasks: Registry[Task], path: Path | None = None) -> list[Plugin]:
    """All plugins, or those of a file. A file that cannot be imported is a broken method and a broken task."""
    found = {each.spec + (each.error or each.type): each for each in _of_registry(methods, path)}
    for each in _of_registry(tasks, path):
        key = each.spec + (each.error or each.type)
        found[key] = replace(each, type="file") if key in found else each
    return list(found.values())


def _of_registry(found: Registry[Any], path: Path | None) -> Iterator[Plugin]:
    file = path and path.expanduser().resolve()
    what: Literal["method", "task"] = "method" if found.kind is Method else "task"
    for name in found.names():
        if file in (None, found.found[name].file.resolve()):
            yield Plugin(name, what)
    for name, broken in sorted(found.broken.items()):
        if file in (None, broken.file):
            yield Plugin(name, what, broken.reason)


def _named(name: str, methods: Registry[Method], tasks: Registry[Task]) -> Plugin:
    spec = parse(name)
    if spec.name in methods.broken:
        return Plugin(name, "method", methods.broken[spec.name].reason)
    if spec.name in tasks.broken:
        return Plugin(name, "task", tasks.broken[spec.name].reason)
    if spec.name in tasks.found:
        if spec.params:
            raise UsageError(f"A task has no parameters: write {spec.name!r} for {name!r}.")
        return Plugin(spec.name, "task")
    if not {spec.name, spec.name.partition(":")[0]} & {*methods.found, *methods.families}:
        known = [*methods.names(), *tasks.names()]
        raise UsageError(f"There is no plugin {spec.name!r}{suggest(spec.name, known)}")
    build_method(methods, spec)
    return Plugin(name, "method")
