"""One call of a target in a worker process: how it ended, and the processes that it left behind."""

from __future__ import annotations

import operator
import pickle
import traceback
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any

import psutil

from bench.executors import Report, Retire, Target


def call(target: Target, payload: bytes, report: Report) -> tuple[bytes, bool]:
    """Call the target; how it ended, for `outcome_of`, and whether this process has to be replaced.

    It has to when memory ran out, and when the job left processes behind: those would take time and memory from the
    next jobs, so they are ended.
    """
    step = "the payload cannot be unpickled: "
    before = {child.pid for child in _children()}
    try:
        argument = pickle.loads(payload)
        step = ""
        result = target(argument, report)
        step = "the result cannot be pickled: "
        unfit = end_children(but=before) or isinstance(result, Retire)
        return pickle.dumps(("done", result.result if isinstance(result, Retire) else result)), unfit
    except BaseException as exc:  # noqa: BLE001 - even sys.exit() in a target is the job's end, not the worker's
        # Frees what the target held in its local variables: reporting a lack of memory takes memory as well.
        traceback.clear_frames(exc.__traceback__)
        status = "oom" if isinstance(exc, MemoryError) else "error"
        unfit = end_children(but=before) or status == "oom"
        return pickle.dumps(("lost", status, step + one_line(exc), text_of(exc))), unfit


def outcome_of(message: bytes) -> tuple[Any, ...]:
    """Of a call: ("done", result) or ("lost", status, reason, traceback)."""
    try:
        found: tuple[Any, ...] = pickle.loads(message)
        return found
    except Exception as exc:  # noqa: BLE001 - unpickling runs whatever code the result brings along
        return "lost", "error", f"the result cannot be unpickled: {one_line(exc)}", text_of(exc)


def _children() -> list[psutil.Process]:
    """The processes that this one started and that still run."""
    with suppress(psutil.Error, MemoryError):
        return [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    return []


def end_children(but: set[int] | frozenset[int] = frozenset()) -> bool:
    """End what this process started and their descendants, except the children given; whether any was running."""
    ending = [child for child in _children() if child.pid not in but]
    for child in ending:
        with suppress(psutil.Error, MemoryError):
            for each in (*child.children(recursive=True), child):
                each.kill()
    return bool(ending)


def find(name: str) -> Callable[..., Any]:
    """The function that ``package.module:function`` names."""
    module, _, attribute = name.partition(":")
    found: Callable[..., Any] = operator.attrgetter(attribute)(import_module(module))
    return found


def one_line(exc: BaseException) -> str:
    """``TypeName: message``, or the bare type name where there is no message."""
    # TracebackException survives an exception whose __str__ raises.
    message = " ".join(str(traceback.TracebackException.from_exception(exc)).split())
    return f"{type(exc).__name__}: {message}" if message else type(exc).__name__


def text_of(exc: BaseException) -> str:
    return "".join(traceback.format_exception(exc))
