"""What there is to choose from, methods to suites, as `list` shows it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import profiles
from bench.grid import models, suites
from bench.plugins import registry
from bench.plugins.registry import Registry, summary_of
from bench.plugins.specs import describe_params

KINDS = ("methods", "tasks", "models", "profiles", "suites")
_BRIEF = {
    "methods": ("name", "summary", "params", "status"),
    "tasks": ("name", "kind", "metric", "summary", "status"),
}


def entries(kind: str, plugins: Sequence[Path] = ()) -> list[dict[str, Any]]:
    """Everything of one kind, sorted by name; broken plugins with their reason as `status`."""
    if kind == "methods":
        return _methods(registry.methods(plugins))
    if kind == "tasks":
        return _tasks(registry.tasks(plugins))
    if kind == "models":
        return [model._asdict() for _, model in sorted(models.named().items())]
    source: Any = profiles if kind == "profiles" else suites
    return [source.load(name).model_dump(mode="json") for name in source.names()]


def brief(kind: str, entry: dict[str, Any]) -> dict[str, str]:
    """The part of an entry that fits on a terminal."""
    shown = {key: entry.get(key, "") for key in _BRIEF.get(kind, ("name", "summary"))}
    if "members" in entry:
        shown["params"] = "NAME: " + textwrap.shorten(", ".join(entry["members"]), 70, placeholder=" ...")
    return {key: str(value) if isinstance(value, str) else ", ".join(value) for key, value in shown.items()}


def _methods(found: Registry[Any]) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = [
        {"name": name, "summary": summary_of(entry.plugin), "paper": entry.plugin.paper,
         "params": describe_params(entry.plugin), "origin": entry.origin, "status": "ok"}
        for name, entry in found.found.items()
    ]  # fmt: skip
    listed += [
        {"name": f"{name}:NAME", "summary": summary_of(entry.plugin), "paper": entry.plugin.paper,
         "members": list(entry.plugin().members()), "refused": dict(entry.plugin().refused()), "origin": entry.origin,
         "status": "ok"}
        for name, entry in found.families.items()
    ]  # fmt: skip
    return _with_broken(found, listed)


def _tasks(found: Registry[Any]) -> list[dict[str, Any]]:
    return _with_broken(found, [
        {"name": name, "summary": summary_of(task), "kind": f"{task.kind} of pairs" if task.pair else task.kind,
         "metric": task.metric, "labels": list(task.labels), "source": task.source, "citation": task.citation,
         "origin": entry.origin, "status": "ok"}
        for name, entry in found.found.items() for task in (entry.plugin,)
    ])  # fmt: skip


def _with_broken(found: Registry[Any], listed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    broken = [{"name": name, "summary": "", "status": f"broken: {each.reason}"} for name, each in found.broken.items()]
    return sorted([*listed, *broken], key=lambda entry: str(entry["name"]))
