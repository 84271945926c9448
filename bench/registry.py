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
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType, NoneType, UnionType
from typing import Annotated, Any, Generic, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from bench import space
from bench.errors import PluginError, UsageError
from bench.method import Method, MethodFamily, Params
from bench.specs import Spec
from bench.task import Kind, Task

P = TypeVar("P", Method, Task)
T = TypeVar("T")

# What a registry of one kind takes in.
_BASES: dict[type, tuple[Any, ...]] = {Method: (Method, MethodFamily), Task: (Task,)}


@dataclass(frozen=True)
class Found(Generic[P]):
    """A usable plugin: its class, the file that defines it, and how it was found."""

    plugin: type[P]
    file: Path
    origin: str


@dataclass(frozen=True)
class FoundFamily:
    """A usable family of methods, the file that defines it, and how it was found."""

    family: MethodFamily
    file: Path
    origin: str


@dataclass
class Registry(Generic[P]):
    """All plugins of one kind by name, families of them, and the reasons of those that cannot be used."""

    kind: type[P]
    found: dict[str, Found[P]] = field(default_factory=dict)
    families: dict[str, FoundFamily] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)

    def names(self) -> list[str]:
        """The plugins that have a name of their own; members of families are not among them."""
        return sorted(self.found)

    def get(self, name: str) -> Found[P]:
        """The plugin of that name, or the member of a family that `FAMILY:MEMBER` names.

        Raises:
            PluginError: if it is there and broken.
            UsageError: if there is none, with the nearest name, or if its family refuses it, with the reason.
        """
        if name in self.found:
            return self.found[name]
        what = self.kind.__name__.lower()
        if name in self.broken:
            raise PluginError(f"The {what} {name!r} cannot be used: {self.broken[name]}")
        family, _, member = name.partition(":")
        if family in self.families:
            return self._member(self.families[family], member)
        members = [f"{name}:{each}" for name, entry in self.families.items() for each in entry.family.members()]
        known = [*self.found, *(f"{family}:NAME" for family in self.families)]
        raise UsageError(f"There is no {what} {name!r}{suggest(name, known, members)}")

    def _member(self, found: FoundFamily, member: str) -> Found[P]:
        family, what = found.family, self.kind.__name__.lower()
        name = f"{family.name}:{member}"
        if reason := family.refused().get(member):
            raise UsageError(f"{name} is not offered: {reason}.")
        members = [f"{family.name}:{each}" for each in family.members()]
        if not member:
            raise UsageError(f"{family.name!r} is a family of {what}s; name one of them: {', '.join(members)}.")
        if name not in members:
            raise UsageError(f"There is no {what} {name!r}{suggest(name, members)}")
        plugin: Any = family.method(member)
        if fault := _fault(plugin):
            raise PluginError(f"The {what} {name!r} cannot be used: {fault}")
        return Found(plugin, found.file, found.origin)

    def add(self, plugin: type[P] | type[MethodFamily], file: Path, origin: str) -> None:
        """Take a class in, or keep the reason why not."""
        name = getattr(plugin, "name", None) or plugin.__name__
        fault = _fault(plugin)
        if not fault and (taken := self._taken_by(name, plugin)):
            fault = f"the name {name!r} is taken by {taken}; give it another name"
            name = f"{name} ({origin})"
        if fault:
            self.broken[str(name)] = fault
        elif issubclass(plugin, MethodFamily):
            self.families[name] = FoundFamily(plugin(), file, origin)
        else:
            self.found[name] = Found(plugin, file, origin)

    def _taken_by(self, name: str, plugin: type[P] | type[MethodFamily]) -> str | None:
        """Where another plugin of that name came from."""
        if name in self.found and self.found[name].plugin is not plugin:
            return self.found[name].origin
        if name in self.families and type(self.families[name].family) is not plugin:
            return self.families[name].origin
        return None


def suggest(name: str, known: Iterable[str], more: Iterable[str] = ()) -> str:
    """The end of a sentence about a wrong name: the nearest right one, and all that are known.

    more: names that may be the nearest too, but are too many to list.
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, [*known, *more], n=1, cutoff=0.5)
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
        name: f"{_type_text(info.annotation)} = {_value_text(info.default)}"
        for name, info in plugin.Params.model_fields.items()
    }


def _type_text(annotation: Any) -> str:
    """A parameter's type as the command line sees it: `int`, `'a' | 'b'`, `str+str+...`."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_text(args[0])
    if origin in (Union, UnionType):
        return " | ".join(_type_text(each) for each in args if each is not NoneType)
    if origin is Literal:
        return " | ".join(map(repr, args))
    if origin is tuple and args[1:] == (...,):
        return "{0}+{0}+...".format(_type_text(args[0]))
    return inspect.formatannotation(annotation)


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
    if not first["loc"]:  # a check of all parameters together
        return f"{first['msg'].removeprefix('Value error, ')} Allowed: {listed}."
    name = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, allowed, n=1)
        hint = f", did you mean {near[0]!r}?" if near else "."
        return f"there is no parameter {name!r}{hint} Allowed: {listed}."
    message = first["msg"][:1].lower() + first["msg"][1:]
    if len(first["loc"]) > 1:  # of several types, or of items, of which this is the first complaint alone
        message = f"it should be {allowed[name].partition(' = ')[0]}"
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


_TEXT_FIELDS: dict[type, tuple[str, ...]] = {
    Method: ("name", "summary", "paper"),
    MethodFamily: ("name", "summary", "paper"),
    Task: ("name", "summary", "kind", "source", "metric"),
}
_FUNCTIONS: dict[type, tuple[str, ...]] = {
    Method: ("recipe", "apply"),
    MethodFamily: ("members", "method"),
    Task: ("read",),
}


def _fault(plugin: type[Method] | type[MethodFamily] | type[Task]) -> str | None:
    """What a class lacks of the plugin contract, as one clause; None: nothing."""
    base: type = next(base for base in _FUNCTIONS if issubclass(plugin, base))
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
        if (fault := space.fault(plugin.space)) is not None:
            return f"{plugin.__name__}.space {fault}"
    return _task_fault(plugin) if issubclass(plugin, Task) else None


def _task_fault(plugin: type[Task]) -> str | None:
    from bench import metrics

    if plugin.kind not in get_args(Kind):
        return f"{plugin.__name__}.kind must be one of {', '.join(get_args(Kind))}, it is {plugin.kind!r}"
    if plugin.metric not in metrics.METRICS:
        return f"{plugin.__name__}.metric must be one of {', '.join(metrics.METRICS)}, it is {plugin.metric!r}"
    if plugin.kind != "regression" and len(plugin.labels) < 2:
        return f"{plugin.__name__}.labels must name at least two labels"
    return None
