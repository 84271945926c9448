"""Plugins that violate one requirement each, with what has to be found."""

from typing import Any, NamedTuple


class Broken(NamedTuple):
    """A plugin, the check that has to find its fault, a part of the error, and the checks that must fail with it."""

    check: str
    plugin: Any
    error: str
    also: tuple[str, ...]


def breaks_a_requirement(every: list[Broken], check: str, error: str, *also: str) -> Any:
    """A decorator that adds a plugin's class to the list."""

    def note(plugin: Any) -> Any:
        plugin.name = plugin.__name__
        every.append(Broken(check, plugin, error, also))
        return plugin

    return note
