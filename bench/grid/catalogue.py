"""What there is to choose from, methods to suites, as `list` shows it."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import profiles
from bench.grid import models, suites
from bench.plugins import registry
from bench.plugins.method import Method, MethodFamily
from bench.plugins.metric import Metric
from bench.plugins.registry import Registry
from bench.plugins.specs import describe_params

KINDS = ("methods", "tasks", "metrics", "models", "profiles", "suites")
_BRIEF = {
    "methods": ("name", "summary", "params", "status"),
    "tasks": ("name", "kind", "metric", "summary", "status"),
    "metrics": ("name", "kinds", "summary", "status"),
}


def entries(kind: str, plugins: Sequence[Path] = ()) -> list[dict[str, Any]]:
    """Everything of one kind, sorted by name; broken plugins with their reason as `status`."""
    if kind == "methods":
        return _plugins(registry.methods(plugins))
    if kind == "tasks":
        return _plugins(registry.tasks(plugins))
    if kind == "metrics":
        return _plugins(registry.metrics(plugins))
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


def _plugins(found: Registry[Any]) -> list[dict[str, Any]]:
    usable = {**found.found, **{f"{name}:NAME": family for name, family in found.families.items()}}
    listed = [
        {"name": name, "summary": each.plugin.summary, **_details(each.plugin), "origin": each.origin,
         "status": "ok"}
        for name, each in usable.items()
    ]  # fmt: skip
    broken = [{"name": name, "summary": "", "status": f"broken: {each.reason}"} for name, each in found.broken.items()]
    return sorted([*listed, *broken], key=lambda entry: str(entry["name"]))


def _details(plugin: Any) -> dict[str, Any]:
    if issubclass(plugin, MethodFamily):
        return {"paper": plugin.paper, "members": list(plugin().members()), "refused": dict(plugin().refused())}
    if issubclass(plugin, Method):
        space = plugin.space and dataclasses.asdict(plugin.space)
        return {"paper": plugin.paper, "params": describe_params(plugin), "space": space}
    if issubclass(plugin, Metric):
        return {"kinds": list(plugin.kinds), "higher_is_better": plugin.higher_is_better, "binary": plugin.binary,
                "companions": list(plugin.companions)}  # fmt: skip
    kind = f"{plugin.kind} of pairs" if plugin.pair else plugin.kind
    return {"kind": kind, "metric": plugin.metric, "labels": list(plugin.labels), "source": plugin.source,
            "citation": plugin.citation}  # fmt: skip
