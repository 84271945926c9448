"""Errors that the user can fix: one clear sentence each, shown without a traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class BenchError(Exception):
    """Something the user can fix. The message says what is wrong and what to do."""


class UsageError(BenchError):
    """A wrong name, parameter or combination of options."""


class PluginError(BenchError):
    """A method or task that cannot be loaded or violates the plugin contract."""


class StoreError(BenchError):
    """A file or results folder that cannot be written, or a record that cannot be read."""


class SourceError(BenchError):
    """A model or data set that is unavailable: missing, damaged, unsafe or out of reach."""


class ProfileError(BenchError):
    """A hardware profile that does not exist, is malformed, or that this machine cannot honour."""


class NotApplicable(BenchError):
    """A method that does not work on this model or task; its cell is skipped with this reason."""


def first_error(error: ValidationError) -> tuple[str, str]:
    """Of a failed validation the first field that is wrong (dotted; empty: the whole), and what is wrong with it."""
    first = error.errors(include_url=False)[0]
    return ".".join(map(str, first["loc"])), first["msg"]


def first_line(error: BaseException) -> str:
    """`TypeName: message`, the message's first line; the bare type name where there is none."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
