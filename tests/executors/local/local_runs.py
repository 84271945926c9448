"""Running jobs with the local executor, and what became of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import psutil

from bench.executors import Event, Finished, Job, Lost
from bench.executors.local import LocalExecutor

TARGET = "executor_targets:run"
Children = Callable[[], set[psutil.Process]]  # the fixture `children`


def job(key: str, *payload: Any, timeout: float | None = None) -> Job:
    return Job(key, payload, timeout)


def run(*jobs: Job, workers: int = 1, **options: Any) -> list[Event]:
    return list(LocalExecutor(TARGET, workers, **options).run(jobs))


def ends(events: Iterable[Event]) -> dict[str, Any]:
    """How each job ended: its result, or its Lost."""
    found: dict[str, Any] = {}
    for event in events:
        if isinstance(event, Finished | Lost):
            assert event.key not in found
            found[event.key] = event.result if isinstance(event, Finished) else event
    return found


def until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def gone(pid: int) -> bool:
    """Whether the process has ended; an orphan's zombie waits for init and counts as ended."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
