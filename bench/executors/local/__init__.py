"""Runs jobs in warm worker processes on this machine (Linux, macOS)."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path

from bench.errors import UsageError
from bench.executors import Event, Job
from bench.executors.local.process import Plan
from bench.executors.local.scheduling import Run

PROGRESS_INTERVAL = 0.1
"""Seconds between two reports of a job's progress, at the least."""


class LocalExecutor:
    """Calls ``target`` for each job in one of a few worker processes, which are kept for the next job.

    target: ``package.module:function``, imported once in each worker, called as ``target(payload, report)``.
    workers: how many processes run at a time. There are never more than there are jobs; with one, jobs run
        strictly in the order given.
    log_dir: where what workers print goes, ``worker-N.log`` each, appended to; None throws it away.
    env: added to the driver's environment before a worker's interpreter starts, so that thread counts and
        PYTHONHASHSEED take effect.
    setup: ``package.module:function``, called without arguments in each worker before the target is imported.
    first: the number of the first worker; the others follow on it.
    progress_interval: seconds between two reports of a job's progress, at the least.

    A job that takes its worker down is lost and not tried again; a fresh worker goes on with the next one.
    """

    def __init__(
        self,
        target: str,
        workers: int = 1,
        log_dir: Path | None = None,
        env: Mapping[str, str] | None = None,
        setup: str | None = None,
        *,
        first: int = 0,
        progress_interval: float = PROGRESS_INTERVAL,
    ) -> None:
        if workers < 1:
            raise UsageError(f"the number of workers must be at least 1, not {workers}")
        if os.name != "posix":
            raise UsageError("local workers need Linux or macOS; on Windows, use the Linux subsystem (WSL)")
        self._workers = range(first, first + workers)
        self._plan = Plan(target, setup, log_dir and log_dir.absolute(), dict(env or {}), progress_interval)

    def run(self, jobs: Iterable[Job]) -> Generator[Event, None, None]:
        """Run all jobs; see :class:`bench.executors.Executor`."""
        yield from Run(self._plan, self._workers, iter(jobs)).events()
