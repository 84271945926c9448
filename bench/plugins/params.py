"""Parameters of methods: from the text of a command line, and as text again."""

from __future__ import annotations

import difflib
import inspect
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from bench.errors import UsageError
from bench.plugins.method import Method
from bench.plugins.registered import Registry
from bench.plugins.specs import Spec


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
