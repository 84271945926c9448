"""The little language of `--methods`: names with parameters, such as `pasta,lora[r=4,targets=query+value]`."""

import re
from typing import NamedTuple

from bench.errors import UsageError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]*")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
EXAMPLE = "pasta,lora[r=4]"


class Spec(NamedTuple):
    """One plugin asked for: its name and its parameters, still as text."""

    name: str
    params: dict[str, str]


def split_list(text: str) -> list[str]:
    """Split at the commas that stand outside brackets; blank entries are dropped.

    >>> split_list("pasta, lora[r=4,alpha=8]")
    ['pasta', 'lora[r=4,alpha=8]']
    """
    entries, depth, start = [], 0, 0
    for at, char in enumerate(text):
        depth += (char == "[") - (char == "]")
        if depth not in (0, 1):
            raise UsageError(f"The brackets in {text!r} do not match; write for example {EXAMPLE!r}.")
        if char == "," and depth == 0:
            entries.append(text[start:at])
            start = at + 1
    if depth:
        raise UsageError(f"A bracket in {text!r} is never closed; write for example {EXAMPLE!r}.")
    entries.append(text[start:])
    return [entry.strip() for entry in entries if entry.strip()]


def parse(entry: str) -> Spec:
    """Parse one entry, `name` or `name[key=value,...]`.

    Raises:
        UsageError: naming the entry and what is wrong with it.
    """
    if not entry.isprintable():
        raise UsageError(f"{entry!r} holds a character that cannot be printed; write for example {EXAMPLE!r}.")
    name, bracket, rest = entry.strip().partition("[")
    if not _NAME.fullmatch(name):
        raise UsageError(f"{entry!r} does not start with a name; write for example {EXAMPLE!r}.")
    if not bracket:
        return Spec(name, {})
    if not rest.endswith("]") or "]" in rest[:-1]:
        raise UsageError(f"{entry!r} goes on after its closing bracket; write for example {EXAMPLE!r}.")
    params: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in rest[:-1].split(","))):
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or not _KEY.fullmatch(key) or not value:
            raise UsageError(f"{pair!r} in {entry!r} is not of the form key=value.")
        if key in params:
            raise UsageError(f"{key!r} is given twice in {entry!r}.")
        params[key] = value
    return Spec(name, params)


def parse_all(text: str) -> list[Spec]:
    """Parse a comma-separated list of entries; an entry repeated to the letter counts once."""
    entries = dict.fromkeys(split_list(text))
    if not entries:
        raise UsageError(f"No name was given; write for example {EXAMPLE!r}.")
    return [parse(entry) for entry in entries]
