"""Finds methods and tasks: in their folders, among installed packages' entry points, and in files given.

Looking for a plugin imports its module and nothing heavier: plugins keep torch inside their functions.
A plugin that cannot be imported, or does not say what it must, is kept with its reason and stands in
nobody's way.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import importlib.metadata
import importlib.util
import inspect
import pkgutil
import sys
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from bench.errors import PluginError, UsageError
from bench.method import Method, Params
from bench.specs import Spec
from bench.task import Kind, Task

P = TypeVar("P", Method, Task)
T = TypeVar("T")


@dataclass(frozen=True)
class Found(Generic[P]):
    """A usable plugin: its class, the file that defines it, and how it was found."""

    plugin: type[P]
    file: Path
    origin: str


@dataclass
class Registry(Generic[P]):
    """All plugins of one kind by name, and the reasons of those that cannot be used."""

    kind: type[P]
    found: dict[str, Found[P]] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)

    def names(self) -> list[str]:
        return sorted(self.found)

    def get(self, name: str) -> Found[P]:
        """The plugin of that name.

        Raises:
            PluginError: if it is there and broken.
            UsageError: if there is none, with the nearest name.
        """
        if name in self.found:
            return self.found[name]
        what = self.kind.__name__.lower()
        if name in self.broken:
            raise PluginError(f"The {what} {name!r} cannot be used: {self.broken[name]}")
        raise UsageError(f"There is no {what} {name!r}{suggest(name, self.found)}")

    def add(self, plugin: type[P], file: Path, origin: str) -> None:
        """Take a class in, or keep the reason why not."""
        name = getattr(plugin, "name", None) or plugin.__name__
        fault = _fault(plugin)
        if not fault and name in self.found and self.found[name].plugin is not plugin:
            fault = f"the name {name!r} is taken by {self.found[name].origin}; give it another name"
            name = f"{name} ({origin})"
        if fault:
            self.broken[str(name)] = fault
        else:
            self.found[name] = Found(plugin, file, origin)


def suggest(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about a wrong name: the nearest right one and all that there are."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    did_you_mean = f"; did you mean {near[0]!r}?" if near else "."
    return f"{did_you_mean} There are: {', '.join(known) or 'none'}."


def methods(plugins: Iterable[Path] = ()) -> Registry[Method]:
    """Every method: of methods/, of entry points `bench.methods`, and of the files given."""
    return _discover(Method, "methods", plugins)


def tasks(plugins: Iterable[Path] = ()) -> Registry[Task]:
    """Every task: of tasks/, of entry points `bench.tasks`, and of the files given."""
    return _discover(Task, "tasks", plugins)


def build_method(registry: Registry[Method], spec: Spec) -> Method:
    """The method that a spec asks for, its parameters validated.

    Raises:
        UsageError: for a wrong name, an unknown parameter or a value of the wrong type.
    """
    plugin = registry.get(spec.name).plugin
    try:
        params = plugin.Params.model_validate_strings(spec.params)
    except ValidationError as error:
        raise UsageError(f"{spec.name}: {_params_fault(plugin, error)}") from None
    return plugin(params)


def describe_params(plugin: type[Method]) -> dict[str, str]:
    """Each parameter of a method with its type and default, as text."""
    return {
        name: f"{inspect.formatannotation(info.annotation).replace(' | None', '')} = {_value_text(info.default)}"
        for name, info in plugin.Params.model_fields.items()
    }


def changed_params(params: BaseModel) -> str:
    """The parameters that differ from their defaults, as `key=value,...`: how a variant is labelled."""
    defaults = {name: info.default for name, info in type(params).model_fields.items()}
    changed = {name: value for name, value in params if value != defaults[name]}
    return ",".join(f"{name}={_value_text(value)}" for name, value in changed.items())


def params_text(params: BaseModel) -> str:
    """All parameters as `key=value,...`; one that is None or empty cannot be written, and is left out."""
    return ",".join(f"{name}={text}" for name, value in params if value is not None and (text := _value_text(value)))


def _value_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "+".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _params_fault(plugin: type[Method], error: ValidationError) -> str:
    allowed = describe_params(plugin)
    listed = ", ".join(f"{name}: {text}" for name, text in allowed.items()) or "none"
    first = error.errors()[0]
    name = ".".join(map(str, first["loc"])) or "parameters"
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, allowed, n=1)
        hint = f", did you mean {near[0]!r}?" if near else "."
        return f"there is no parameter {name!r}{hint} Allowed: {listed}."
    message = first["msg"][:1].lower() + first["msg"][1:]
    return f"{name}={first.get('input')!r} is not allowed: {message}. Allowed: {listed}."


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
            if not (inspect.isclass(plugin) and issubclass(plugin, kind)):
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
    if Path(__file__).resolve().parents[1] / package not in (Path(each).resolve() for each in folder):
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
        if not any(_classes(module, kind) for kind in (Method, Task)):
            raise PluginError(f"--plugin {path}: the file defines neither a Method nor a Task.")
    except PluginError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - see _found
        registry.broken[path.stem] = _reason(error)


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
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"--plugin {path}: Python cannot import it.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _add_classes(registry: Registry[P], module: ModuleType, origin: str) -> int:
    classes = _classes(module, registry.kind)
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


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".strip().splitlines()[0]


_TEXT_FIELDS: dict[type, tuple[str, ...]] = {
    Method: ("name", "summary", "paper"),
    Task: ("name", "summary", "kind", "source", "metric"),
}
_FUNCTIONS: dict[type, tuple[str, ...]] = {Method: ("recipe", "apply"), Task: ("read",)}


def _fault(plugin: type[Method] | type[Task]) -> str | None:
    """What a class lacks of the plugin contract, as one clause; None: nothing."""
    base: type = Method if issubclass(plugin, Method) else Task
    for name in _TEXT_FIELDS[base]:
        value = getattr(plugin, name, None)
        if not isinstance(value, str) or not value:
            return f"{plugin.__name__}.{name} must be a non-empty string, it is {value!r}"
    for name in _FUNCTIONS[base]:
        if getattr(plugin, name) is getattr(base, name):
            return f"{plugin.__name__} does not define {name}()"
    if issubclass(plugin, Method):
        params: object = plugin.Params  # whatever a third party put there
        if not (inspect.isclass(params) and issubclass(params, Params)):
            return f"{plugin.__name__}.Params must be a subclass of bench.method.Params"
        required = [name for name, info in plugin.Params.model_fields.items() if info.is_required()]
        if required:
            return f"{plugin.__name__}.Params has no default for {', '.join(required)}"
        return None
    return _task_fault(plugin)


def _task_fault(plugin: type[Task]) -> str | None:
    from bench import metrics

    if plugin.kind not in get_args(Kind):
        return f"{plugin.__name__}.kind must be one of {', '.join(get_args(Kind))}, it is {plugin.kind!r}"
    if plugin.metric not in metrics.METRICS:
        return f"{plugin.__name__}.metric must be one of {', '.join(metrics.METRICS)}, it is {plugin.metric!r}"
    if plugin.kind != "regression" and len(plugin.labels) < 2:
        return f"{plugin.__name__}.labels must name at least two labels"
    return None
