"""Methods as the command line writes them, `pasta,lora[r=4,targets=query+value]`: from text, and back to text."""

from __future__ import annotations

import difflib
import inspect
import re
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from bench.errors import UsageError
from bench.plugins.method import Method
from bench.plugins.registry import Registry

EXAMPLE = "pasta,lora[r=4]"
_ENTRY = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.:-]*)(?:\[([^\[\]]*)\])?")
_PAIR = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.+)")


class Spec(NamedTuple):
    """A plugin by name with its parameters, still as text."""

    name: str
    params: dict[str, str]


def split_list(text: str) -> list[str]:
    """Split at the commas that stand outside brackets; blank entries are dropped.

    >>> split_list("pasta, lora[r=4,alpha=8]")
    ['pasta', 'lora[r=4,alpha=8]']
    """
    return [entry.strip() for entry in re.split(r",(?![^\[\]]*\])", text) if entry.strip()]


def parse(entry: str) -> Spec:
    """Parse one entry, `name` or `name[key=value,...]`.

    Raises:
        UsageError: naming the entry and what is wrong with it.
    """
    found = _ENTRY.fullmatch(entry.strip())
    if not found or not entry.isprintable():
        raise UsageError(f"{entry!r} is not of the form name or name[key=value,...]; write for example {EXAMPLE!r}.")
    params: dict[str, str] = {}
    for pair in split_list(found[2] or ""):
        parts = _PAIR.fullmatch(pair)
        if not parts:
            raise UsageError(f"{pair!r} in {entry!r} is not of the form key=value.")
        if parts[1] in params:
            raise UsageError(f"{parts[1]!r} is given twice in {entry!r}.")
        params[parts[1]] = parts[2]
    return Spec(found[1], params)


def parse_all(text: str) -> list[Spec]:
    """Parse a comma-separated list of entries; an entry repeated to the letter counts once."""
    entries = dict.fromkeys(split_list(text))
    if not entries:
        raise UsageError(f"No name was given; write for example {EXAMPLE!r}.")
    return [parse(entry) for entry in entries]


def build_method(registry: Registry[Method], spec: Spec) -> Method:
    """The method that a spec asks for, its parameters validated.

    Raises:
        UsageError: for a wrong name, an unknown parameter or a value of the wrong type.
    """
    plugin = registry.get(spec.name).plugin
    try:
        params = plugin.Params.model_validate_strings(spec.params)
    except ValidationError as error:
        raise UsageError(f"{spec.name}: {_params_error(plugin, error)}") from None
    return plugin(params)


def method_label(method: str, variant: str) -> str:
    """A method with the parameters that differ from its defaults, as the command line takes it."""
    return f"{method}[{variant}]" if variant else method


def changed_params(params: BaseModel) -> str:
    """The parameters that differ from their defaults, as `key=value,...`: the name of a variant."""
    defaults = {name: info.default for name, info in type(params).model_fields.items()}
    return ",".join(f"{name}={_value_text(value)}" for name, value in params if value != defaults[name])


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


def _value_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "+".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _params_error(plugin: type[Method], error: ValidationError) -> str:
    allowed = describe_params(plugin)
    listed = "Allowed: " + (", ".join(f"{name}: {text}" for name, text in allowed.items()) or "none") + "."
    first = error.errors()[0]
    if not first["loc"]:  # a check of all parameters together
        return f"{first['msg'].removeprefix('Value error, ')} {listed}"
    name = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, allowed, n=1)
        hint = f", did you mean {near[0]!r}?" if near else "."
        return f"there is no parameter {name!r}{hint} {listed}"
    message = first["msg"][:1].lower() + first["msg"][1:]
    if len(first["loc"]) > 1:  # of a union or a list, whose first message names one type or item alone
        message = f"it should be {allowed[name].partition(' = ')[0]}"
    return f"{name}={first.get('input')!r} is not allowed: {message}. {listed}"
