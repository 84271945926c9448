"""Finds methods and tasks: in their folders, among installed packages' entry points, and in files given.

Looking for a plugin imports its module and nothing heavier: plugins keep torch inside their functions.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import pkgutil
import sys
import zlib
from collections.abc import Iterable, Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, TypeVar

from bench.errors import PluginError
from bench.plugins.method import Method, MethodFamily
from bench.plugins.registered import P, Registry
from bench.plugins.task import Task

T = TypeVar("T")

# What a registry of one kind takes in.
_BASES: dict[type, tuple[Any, ...]] = {Method: (Method, MethodFamily), Task: (Task,)}


def methods(plugins: Iterable[Path] = ()) -> Registry[Method]:
    """Every method: of methods/, of entry points `bench.methods`, and of the files given."""
    return _discover(Method, "methods", plugins)


def tasks(plugins: Iterable[Path] = ()) -> Registry[Task]:
    """Every task: of tasks/, of entry points `bench.tasks`, and of the files given."""
    return _discover(Task, "tasks", plugins)


def _discover(kind: type[P], package: str, plugins: Iterable[Path]) -> Registry[P]:
    # A plugin that prints while it is imported must not spoil what a command prints for programs.
    with contextlib.redirect_stdout(sys.stderr):
        return _found(kind, package, plugins)


def _found(kind: type[P], package: str, plugins: Iterable[Path]) -> Registry[P]:
    registry = Registry(kind)
    for name in _module_names(package):
        _add_module(registry, f"{package}.{name}", name)
    for point in importlib.metadata.entry_points(group=f"bench.{package}"):
        origin = f"entry point {point.name} of {point.dist.name if point.dist else 'a package'}"
        try:
            plugin = point.load()
            if not _is_plugin(plugin, kind):
                raise PluginError(f"it names {plugin!r}, which is not a {kind.__name__} class")
            registry.add(plugin, Path(inspect.getfile(plugin)), origin)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - it may fail in any way; the rest goes on
            registry.broken[point.name] = _reason(error)
    for path in plugins:
        _add_file(registry, path)
    return registry


def _module_names(package: str) -> Iterator[str]:
    """Modules of a plugin folder. Those with a leading underscore are helpers, not plugins."""
    module = importlib.import_module(package)
    folder = module.__path__
    # Python looks into the current folder first, and plugins import their helpers by this name.
    if Path(__file__).resolve().parents[2] / package not in (Path(each).resolve() for each in folder):
        raise PluginError(
            f"A folder or package named {package!r} ({', '.join(folder)}) hides bench's own; run from another folder."
        )
    return (module.name for module in pkgutil.iter_modules(folder) if not module.name.startswith("_"))


def _add_module(registry: Registry[P], module_name: str, name: str) -> None:
    origin = module_name.replace(".", "/")
    try:
        module = importlib.import_module(module_name)
        if not hasattr(module, "__path__"):
            origin += ".py"
        if not _add_classes(registry, module, origin):
            registry.broken[name] = f"{origin} defines no {registry.kind.__name__} class"
    except (Exception, SystemExit) as error:  # noqa: BLE001 - see _found
        registry.broken[name] = _reason(error)


def _add_file(registry: Registry[P], path: Path) -> None:
    """A file may hold methods, tasks or both; having none of this kind is no fault here."""
    try:
        module = load_file(path)
        _add_classes(registry, module, str(path))
        if not any(_classes(module, kind) for bases in _BASES.values() for kind in bases):
            raise PluginError(f"--plugin {path}: the file defines neither a Method nor a Task.")
    except PluginError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - see _found
        registry.broken[path.stem] = _reason(error)


class _FromSource(SourceFileLoader):
    """Always compiles: a full disk truncates what Python caches beside a file, and the next run would read that."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def load_file(path: Path) -> ModuleType:
    """Import a plugin file by its path, once; the user chose to run it by naming it.

    Raises:
        PluginError: if there is no such file.
    """
    path = path.expanduser().resolve()
    if not path.is_file() or path.suffix != ".py":
        raise PluginError(f"--plugin {path}: there is no Python file of that name.")
    name = f"bench_plugin_{path.stem}_{zlib.crc32(str(path).encode()):08x}"
    if name in sys.modules:
        return sys.modules[name]
    loader = _FromSource(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    if spec is None:
        raise PluginError(f"--plugin {path}: Python cannot import it.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _add_classes(registry: Registry[P], module: ModuleType, origin: str) -> int:
    classes = [plugin for base in _BASES[registry.kind] for plugin in _classes(module, base)]
    for plugin in classes:
        registry.add(plugin, Path(str(module.__file__)), origin)
    return len(classes)


def _classes(module: ModuleType, kind: type[T]) -> list[type[T]]:
    """The classes of a kind that the module itself defines; a leading underscore marks a base of others."""
    return [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, kind)
        and value.__module__ == module.__name__
        and not value.__name__.startswith("_")
    ]


def _is_plugin(value: Any, kind: type) -> bool:
    return inspect.isclass(value) and issubclass(value, _BASES[kind])


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".strip().splitlines()[0]
