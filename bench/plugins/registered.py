"""The plugins that were found, by name, and why some cannot be used."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from bench.errors import PluginError, UsageError
from bench.plugins.method import Method, MethodFamily
from bench.plugins.requirements import fault_of
from bench.plugins.task import Task
from bench.suggestions import suggest

P = TypeVar("P", Method, Task)


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
        if fault := fault_of(plugin):
            raise PluginError(f"The {what} {name!r} cannot be used: {fault}")
        return Found(plugin, found.file, found.origin)

    def add(self, plugin: type[P] | type[MethodFamily], file: Path, origin: str) -> None:
        """Take a class in, or keep the reason why not."""
        name = getattr(plugin, "name", None) or plugin.__name__
        fault = fault_of(plugin)
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
