"""What there is to choose from, methods to suites, as `list` shows it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import profiles
from bench.grid import models, suites
from bench.plugins import registry
from bench.plugins.specs import describe_params

KINDS = ("methods", "tasks", "models", "profiles", "suites")
_BRIEF = {
    "methods": ("name", "summary", "params", "status"),
    "tasks": ("name", "kind", "metric", "summary", "status"),
}


def entries(kind: str, plugins: Sequence[Path] = ()) -> list[dict[str, Any]]:
    """Everything of one kind, sorted by name; broken plugins with their reason as `status`."""
    makers = {
        "methods": _methods,
        "tasks": _tasks,
        "models": _models,
        "profiles": _profiles,
        "suites": _suites,
    }
    return makers[kind](plugins)


def brief(kind: str, entry: dict[str, Any]) -> dict[str, str]:
    """The part of an entry that fits on a terminal."""
    keys = _BRIEF.get(kind, ("name", "summary"))
    shown = {key: entry.get(key, "") for key in keys}
    if "members" in entry:
        shown["params"] = "NAME: " + textwrap.shorten(", ".join(entry["members"]), 70, placeholder=" ...")
    return {key: str(value) if isinstance(value, str) else ", ".join(value) for key, value in shown.items()}


def _methods(plugins: Sequence[Path]) -> list[dict[str, Any]]:
    found = registry.methods(plugins)
    listed: list[dict[str, Any]] = [
        {"name": name, "summary": entry.summary, "paper": entry.plugin.paper,
         "params": describe_params(entry.plugin), "origin": entry.origin, "status": "ok"}
        for name, entry in found.found.items()
    ]  # fmt: skip
    listed += [
        {"name": f"{name}:NAME", "summary": entry.summary, "paper": entry.plugin.paper,
         "members": list(entry.plugin().members()), "refused": dict(entry.plugin().refused()), "origin": entry.origin,
         "status": "ok"}
        for name, entry in found.families.items()
    ]  # fmt: skip
    return _with_broken(found, listed)


def _tasks(plugins: Sequence[Path]) -> list[dict[str, Any]]:
    found = registry.tasks(plugins)
    return _with_broken(found, [
        {"name": name, "summary": entry.summary, "kind": _kind(entry.plugin), "metric": entry.plugin.metric,
         "labels": list(entry.plugin.labels), "source": entry.plugin.source, "citation": entry.plugin.citation,
         "origin": entry.origin, "status": "ok"}
        for name, entry in found.found.items()
    ])  # fmt: skip


def _kind(task: Any) -> str:
    return f"{task.kind} of pairs" if task.pair else str(task.kind)


def _with_broken(found: registry.Registry[Any], listed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    broken = [{"name": name, "summary": "", "status": f"broken: {each.reason}"} for name, each in found.broken.items()]
    return sorted([*listed, *broken], key=lambda entry: str(entry["name"]))


def _models(plugins: Sequence[Path]) -> list[dict[str, Any]]:
    return [model._asdict() for _, model in sorted(models.named().items())]


def _profiles(plugins: Sequence[Path]) -> list[dict[str, Any]]:
    return [profiles.load(name).model_dump(mode="json") for name in profiles.names()]


def _suites(plugins: Sequence[Path]) -> list[dict[str, Any]]:
    return [suites.load(name).model_dump(mode="json") for name in suites.names()]
