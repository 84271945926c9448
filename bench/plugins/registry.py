"""Methods, tasks and metrics by name: of their folders, of installed packages' entry points, and of files given.

A plugin that cannot be imported, or lacks a part, is kept with the reason and does not affect the others. Finding
plugins imports their modules and nothing heavier: plugins import torch inside their functions.
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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Generic, TypeVar, get_args

from bench.errors import PluginError, UsageError, first_line
from bench.plugins import table_task
from bench.plugins.method import Method, MethodFamily, Params
from bench.plugins.metric import Metric, scores_task
from bench.plugins.search_space import space_error
from bench.plugins.task import Kind, Task
from bench.suggestions import suggest

T = TypeVar("T")
P = TypeVar("P", Method, Task, Metric)

# What a registry of one kind accepts, and the attributes and functions that each of these must define.
_BASES: dict[type, tuple[type[Any], ...]] = {Method: (Method, MethodFamily), Task: (Task,), Metric: (Metric,)}
_REQUIRED: dict[type, tuple[tuple[str, ...], tuple[str, ...]]] = {
    Method: (("name",), ("recipe", "apply")),
    MethodFamily: (("name",), ("members", "method")),
    Task: (("name", "kind", "source", "metric"), ("read",)),
    Metric: (("name",), ("compute",)),
}


def methods(plugins: Iterable[Path] = ()) -> Registry[Method]:
    """Every method: of methods/, of entry points `bench.methods`, and of the files given; see `Registry.discover`."""
    return Registry(Method).discover("methods", plugins)


def tasks(plugins: Iterable[Path] = ()) -> Registry[Task]:
    """Every task: of tasks/, of entry points `bench.tasks`, and of the files given."""
    return Registry(Task).discover("tasks", plugins)


def metrics(plugins: Iterable[Path] = ()) -> Registry[Metric]:
    """Every metric: of bench/metrics/, of entry points `bench.metrics`, and of the files given."""
    return Registry(Metric).discover("bench.metrics", plugins)


@cache
def built_in_metrics() -> Mapping[str, Found[Metric]]:
    """The metrics of this project, by name: what records, which know names alone, can be read with."""
    return metrics().built_in()


def metrics_of(task: type[Task] | Task, known: Registry[Metric]) -> list[Found[Metric]]:
    """A task's metric, and after it those of its companions that score the task too."""
    first = known.get(task.metric)
    count = 2 if first.plugin.binary else len(task.labels)  # which may be in data that are not read yet
    others = [each for each in map(known.get, first.plugin.companions) if scores_task(each.plugin, task.kind, count)]
    # Answers can be told from probabilities, and not the other way round.
    return [first, *(each for each in others if first.plugin.of_probabilities or not each.plugin.of_probabilities)]


def code_files(method: str, task: str, plugins: Sequence[Path] = ()) -> list[Path]:
    """The files of the plugins that a cell of this method and task depends on."""
    found = tasks(plugins).get(task)
    known = metrics(plugins)
    companions = known.get(found.plugin.metric).plugin.companions
    scored_by = [known.get(name).file for name in (found.plugin.metric, *companions)]
    return [methods(plugins).get(method).file, found.file, *dict.fromkeys(scored_by)]


@dataclass(frozen=True)
class Found(Generic[T]):
    """A usable plugin: its class, the file that defines it, and how it was found."""

    plugin: type[T]
    file: Path
    origin: str

    @property
    def is_built_in(self) -> bool:
        """Whether it is in this project's own folders."""
        root = Path(__file__).resolve().parents[2]
        return any(root / folder in self.file.resolve().parents for folder in ("methods", "tasks"))


@dataclass(frozen=True)
class Broken:
    """Why a plugin cannot be used, and its file; None: that of an entry point is unknown."""

    reason: str
    file: Path | None


@dataclass
class Registry(Generic[P]):
    """All plugins of one kind by name, families of them, and those that cannot be used."""

    kind: type[P]
    found: dict[str, Found[P]] = field(default_factory=dict)
    families: dict[str, Found[MethodFamily]] = field(default_factory=dict)
    broken: dict[str, Broken] = field(default_factory=dict)
    own: str = ""  # this project's package of them

    def names(self) -> list[str]:
        """The plugins that have a name of their own; members of families are not among them."""
        return sorted(self.found)

    def built_in(self) -> dict[str, Found[P]]:
        """Those of this project's own folder, which every installation has."""
        return {name: each for name, each in self.found.items() if each.plugin.__module__.startswith(f"{self.own}.")}

    def get(self, name: str) -> Found[P]:
        """The plugin of that name, or the member of a family that `FAMILY:MEMBER` names.

        Raises:
            PluginError: if it is broken.
            UsageError: if there is none, with the nearest name, or if its family refuses it, with the reason.
        """
        if name in self.found:
            return self.found[name]
        what = self.kind.__name__.lower()
        if name in self.broken:
            raise PluginError(f"The {what} {name!r} cannot be used: {self.broken[name].reason}")
        family, _, member = name.partition(":")
        if family in self.families:
            return self._member(self.families[family], family, member)
        members = [f"{name}:{each}" for name, found in self.families.items() for each in found.plugin().members()]
        known = [*self.found, *(f"{family}:NAME" for family in self.families)]
        raise UsageError(
            f"There is no {what} {name!r}{suggest(name, known, members)} A {what} of your own needs --plugin FILE."
        )

    def _member(self, found: Found[MethodFamily], family_name: str, member: str) -> Found[P]:
        family, name = found.plugin(), f"{family_name}:{member}"
        if reason := family.refused().get(member):
            raise UsageError(f"{name} is not offered: {reason}.")
        members = [f"{family_name}:{each}" for each in family.members()]
        if not member:
            raise UsageError(f"{family_name!r} is a family of methods; name one of them: {', '.join(members)}.")
        if name not in members:
            raise UsageError(f"There is no method {name!r}{suggest(name, members)}")
        plugin: Any = family.method(member)
        if error := _definition_error(plugin):
            raise PluginError(f"The method {name!r} cannot be used: {error}")
        return Found(plugin, found.file, found.origin)

    def discover(self, package: str, plugins: Iterable[Path]) -> Registry[P]:
        """Add what the package, the entry points `bench.PACKAGE` (its last name) and these files define.

        Raises:
            PluginError: for a file that does not exist or defines no plugin of any kind.
        """
        # A plugin that prints while it is imported must not spoil what a command prints for programs.
        with contextlib.redirect_stdout(sys.stderr):
            self.own, own = package, _own_package(package)
            for module in pkgutil.iter_modules(own.__path__):
                if not module.name.startswith("_"):  # a helper of plugins
                    self._add_module(f"{package}.{module.name}", module.name)
            for file in sorted(Path(own.__path__[0]).glob("*.toml")):
                self._add_table_task(file.resolve(), f"{package}/{file.name}")
            for point in importlib.metadata.entry_points(group=f"bench.{package.rpartition('.')[2]}"):
                self._add_entry_point(point)
            for path in plugins:
                self._add_file(path)
        return self

    def _add_module(self, module_name: str, name: str) -> None:
        with self._kept_if_broken(name):
            module = importlib.import_module(module_name)
            origin = module_name.replace(".", "/") + ("" if hasattr(module, "__path__") else ".py")
            if not self._add_classes(module, origin):
                raise PluginError(f"{origin} defines no {self.kind.__name__} class")

    def _add_entry_point(self, point: importlib.metadata.EntryPoint) -> None:
        with self._kept_if_broken(point.name):
            plugin: Any = point.load()
            if not (inspect.isclass(plugin) and issubclass(plugin, _BASES[self.kind])):
                raise PluginError(f"it names {plugin!r}, which is not a {self.kind.__name__} class")
            origin = f"entry point {point.name} of {point.dist.name if point.dist else 'a package'}"
            self._add(plugin, Path(inspect.getfile(plugin)), origin)

    def _add_file(self, path: Path) -> None:
        """A file may hold plugins of several kinds; having none of this one is no error here."""
        file, module = path.expanduser().resolve(), None
        if not file.is_file() or file.suffix not in (".py", ".toml"):
            raise PluginError(f"--plugin {path}: there is no Python or TOML file of that name.")
        if file.suffix == ".toml":
            self._add_table_task(file, str(path))
            return
        with self._kept_if_broken(path.stem, file):
            module = load_file(file)
            self._add_classes(module, str(path))
        if module and not any(_classes(module, base) for bases in _BASES.values() for base in bases):
            raise PluginError(f"--plugin {path}: the file defines no Method, Task or Metric.")

    def _add_table_task(self, file: Path, origin: str) -> None:
        if self.kind is Task:
            with self._kept_if_broken(file.stem, file):
                self._add(table_task.load(file), file, origin)

    @contextlib.contextmanager
    def _kept_if_broken(self, name: str, file: Path | None = None) -> Iterator[None]:
        try:
            yield
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin may fail in any way
            self.broken[name] = Broken(first_line(error).removeprefix("PluginError: "), file)

    def _add_classes(self, module: ModuleType, origin: str) -> int:
        classes: list[type[Any]] = [plugin for base in _BASES[self.kind] for plugin in _classes(module, base)]
        for plugin in classes:
            self._add(plugin, Path(str(module.__file__)), origin)
        return len(classes)

    def _add(self, plugin: type[Any], file: Path, origin: str) -> None:
        name = str(getattr(plugin, "name", None) or plugin.__name__)
        there = self.found.get(name) or self.families.get(name)
        if error := _definition_error(plugin):
            self.broken[name] = Broken(error, file)
        elif there and there.plugin is not plugin:
            taken = f"the name {name!r} is taken by {there.origin}; give it another name"
            self.broken[f"{name} ({origin})"] = Broken(taken, file)
        elif issubclass(plugin, MethodFamily):
            self.families[name] = Found(plugin, file, origin)
        else:
            self.found[name] = Found(plugin, file, origin)


def _own_package(name: str) -> ModuleType:
    """`methods`, `tasks` or `bench.metrics` of this project, also where the current folder has a package of that name.

    Python would import that one first, and plugins import their helpers by this name.
    """
    folder = Path(__file__).resolve().parents[2].joinpath(*name.split("."))
    found = sys.modules.get(name) or _import_file(name, folder / "__init__.py")
    if folder not in (Path(each).resolve() for each in getattr(found, "__path__", ())):
        raise PluginError(f"Another package {name!r} ({found.__file__}) was imported before bench's own.")
    return found


class _FromSource(SourceFileLoader):
    """Always compiles: what Python caches beside a file may be of a text that was saved in the same second, or cut
    short by a full disk, and a cell's identity is that of the text.
    """

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def load_file(path: Path) -> ModuleType:
    """Import a plugin file by its resolved path, once."""
    name = f"bench_plugin_{path.stem}_{zlib.crc32(str(path).encode()):08x}"
    return sys.modules.get(name) or _import_file(name, path)


def _import_file(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path, loader=_FromSource(name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _classes(module: ModuleType, base: type[T]) -> list[type[T]]:
    """The subclasses that the module itself defines; a leading underscore marks a base of others."""
    return [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, base)
        and value.__module__ == module.__name__
        and not value.__name__.startswith("_")
    ]


def _definition_error(plugin: type[Any]) -> str | None:
    """What a class lacks to be a plugin; None: nothing. Whether it works as it says is for `bench check`."""
    base = next(base for base in _REQUIRED if issubclass(plugin, base))
    texts, functions = _REQUIRED[base]
    name = plugin.__name__
    for text in texts:
        value = getattr(plugin, text, None)
        if not isinstance(value, str) or not value:
            return f"{name}.{text} must be a non-empty string, it is {value!r}"
    for function in functions:
        if getattr(plugin, function) is getattr(base, function):
            return f"{name} does not define {function}()"
    if base is Method:
        return _method_error(plugin)
    if base is Metric:
        kinds = getattr(plugin, "kinds", ())
        known = kinds and not isinstance(kinds, str) and set(kinds) <= set(get_args(Kind))
        return None if known else f"{name}.kinds {_one_of(kinds)}"
    return _task_error(plugin) if base is Task else None


def _method_error(plugin: type[Method]) -> str | None:
    name, params = plugin.__name__, plugin.Params
    if not (inspect.isclass(params) and issubclass(params, Params)):
        return f"{name}.Params must be a subclass of bench.plugins.Params"
    if required := [key for key, info in params.model_fields.items() if info.is_required()]:
        return f"{name}.Params has no default for {', '.join(required)}"
    error = space_error(plugin.space)
    return error and f"{name}.space {error}"


def _task_error(plugin: type[Task]) -> str | None:
    name = plugin.__name__
    if "/" in plugin.name:
        return f"{name}.name has a slash, which only the name of an extra test has"
    if plugin.kind not in get_args(Kind):
        return f"{name}.kind {_one_of(plugin.kind)}"
    if plugin.kind != "regression" and len(plugin.labels) < 2 and not plugin.labels_in_data:
        return f"{name}.labels must name at least two labels"
    return None


def _one_of(value: object) -> str:
    return f"must be one of {', '.join(get_args(Kind))}, it is {value!r}"
