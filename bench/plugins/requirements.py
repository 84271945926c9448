"""What a class must say of itself to be a plugin. Whether it keeps its word is for `bench check`."""

from __future__ import annotations

import inspect
from typing import get_args

from bench.plugins import search_space
from bench.plugins.method import Method, MethodFamily, Params
from bench.plugins.task import Kind, Task

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


def fault_of(plugin: type[Method] | type[MethodFamily] | type[Task]) -> str | None:
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
            return f"{plugin.__name__}.Params must be a subclass of bench.plugins.method.Params"
        required = [name for name, info in plugin.Params.model_fields.items() if info.is_required()]
        if required:
            return f"{plugin.__name__}.Params has no default for {', '.join(required)}"
        if (fault := search_space.fault(plugin.space)) is not None:
            return f"{plugin.__name__}.space {fault}"
    return _task_fault(plugin) if issubclass(plugin, Task) else None


def _task_fault(plugin: type[Task]) -> str | None:
    from bench.plugins import metrics

    if plugin.kind not in get_args(Kind):
        return f"{plugin.__name__}.kind must be one of {', '.join(get_args(Kind))}, it is {plugin.kind!r}"
    if plugin.metric not in metrics.METRICS:
        return f"{plugin.__name__}.metric must be one of {', '.join(metrics.METRICS)}, it is {plugin.metric!r}"
    if plugin.kind != "regression" and len(plugin.labels) < 2:
        return f"{plugin.__name__}.labels must name at least two labels"
    return None
