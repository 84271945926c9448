"""From names on the command line to the plugins that they mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench.errors import UsageError
from bench.plugins import registry
from bench.plugins.specs import build_method, parse
from bench.suggestions import suggest

if TYPE_CHECKING:
    from bench.plugins.method import Method
    from bench.plugins.task import Task

Type = Literal["method", "task", "file"]


@dataclass(frozen=True)
class Plugin:
    """A method with its parameters, or a task, by name; a file, where it cannot be imported.

    fault: why it cannot be used at all.
    """

    spec: str
    type: Type
    fault: str | None = None


def wanted(names: Sequence[str], files: Sequence[Path]) -> tuple[list[Plugin], list[Path]]:
    """The plugins that are meant, and all plugin files: those given, and those among the names.

    Args:
        names: methods with or without parameters, tasks, or Python files, which mean all that they define;
            none at all means everything that is registered.
        files: of `--plugin`.

    Raises:
        UsageError: for a name that is neither a method nor a task, or parameters that a method does not take.
        PluginError: for a file that is not there or defines no plugin.
    """
    named = [Path(name) for name in names if name.endswith(".py")]
    every = [*files, *(path for path in named if path not in files)]
    methods, tasks = registry.methods(every), registry.tasks(every)
    if not names:
        return _merged([*_all(methods, "method"), *_all(tasks, "task")]), every
    found: list[Plugin] = []
    for name in names:
        if name.endswith(".py"):
            found += [*_of_file(Path(name), methods, "method"), *_of_file(Path(name), tasks, "task")]
        else:
            found.append(_named(name, methods, tasks))
    return _merged(found), every


def _merged(found: Sequence[Plugin]) -> list[Plugin]:
    """Each plugin once; a file that cannot be imported is neither a method nor a task, and is looked for as both."""
    faults = [(each.spec, each.fault) for each in dict.fromkeys(found) if each.fault is not None]
    files = {fault for fault in faults if faults.count(fault) > 1}
    named = (Plugin(each.spec, "file", each.fault) if (each.spec, each.fault) in files else each for each in found)
    return list(dict.fromkeys(named))


def _all(found: registry.Registry[Any], what: Type) -> list[Plugin]:
    good = [Plugin(name, what) for name in found.names()]
    return [*good, *(Plugin(name, what, broken.reason) for name, broken in sorted(found.broken.items()))]


def _of_file(path: Path, found: registry.Registry[Any], what: Type) -> list[Plugin]:
    file = path.expanduser().resolve()
    good = [name for name in found.names() if found.found[name].file.resolve() == file]
    broken = [(name, each.reason) for name, each in found.broken.items() if each.file == file]
    return [*(Plugin(name, what) for name in good), *(Plugin(name, what, reason) for name, reason in broken)]


def _named(name: str, methods: registry.Registry[Method], tasks: registry.Registry[Task]) -> Plugin:
    spec = parse(name)
    if spec.name in methods.broken:
        return Plugin(name, "method", methods.broken[spec.name].reason)
    if spec.name in tasks.broken:
        return Plugin(name, "task", tasks.broken[spec.name].reason)
    if spec.name in tasks.found:
        if spec.params:
            raise UsageError(f"A task has no parameters: write {spec.name!r} for {name!r}.")
        return Plugin(spec.name, "task")
    try:
        build_method(methods, spec)
    except UsageError as error:
        if spec.name in methods.found or ":" in spec.name:
            raise
        known = [*methods.names(), *tasks.names()]
        raise UsageError(f"There is no plugin {spec.name!r}{suggest(spec.name, known)}") from error
    return Plugin(name, "method")
