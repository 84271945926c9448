"""Runs jobs in warm worker processes on this machine (Linux, macOS)."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from multiprocessing.connection import wait
from pathlib import Path

from bench.errors import BenchError
from bench.executors import Event, Finished, Job, LossStatus, Progress
from bench.executors.calls import outcome_of
from bench.executors.local.process import Worker, WorkerConfig

STARTS_IN_A_ROW = 3  # how many workers may fail to start before the run ends
TICK = 0.5  # seconds between two checks for dead workers; a process that a worker forked can hide its end


class LocalExecutor:
    """Calls ``target`` for each job in one of a few worker processes, which are reused for the next jobs.

    target: ``package.module:function``, imported once in each worker, called as ``target(payload, report)``.
    workers: how many processes run at a time, at most. With one, jobs run strictly in the order given.
    log_dir: where the output of workers goes, ``worker-N.log`` each, appended to; None discards it.
    env: added to the driver's environment before a worker's interpreter starts, so that thread counts take effect.
    setup: ``package.module:function``, called without arguments in each worker before the target is imported.

    A job that takes its worker down is lost and not tried again; a fresh worker goes on with the next one.
    """

    def __init__(
        self,
        target: str,
        workers: int = 1,
        log_dir: Path | None = None,
        env: Mapping[str, str] | None = None,
        setup: str | None = None,
    ) -> None:
        self._workers = workers
        self._config = WorkerConfig(target, setup, log_dir and log_dir.absolute(), dict(env or {}))

    def run(self, jobs: Iterable[Job]) -> Generator[Event, None, None]:
        """Run all jobs; see :class:`bench.executors.Executor`."""
        yield from _Run(self._config, self._workers, iter(jobs)).events()


class _Run:
    """One run. A worker has a job from its start to its end, and never waits for one."""

    def __init__(self, config: WorkerConfig, count: int, jobs: Iterator[Job]) -> None:
        self._config, self._count, self._jobs = config, count, jobs
        self._workers: dict[int, Worker] = {}
        self._failed_starts = 0  # in a row

    def events(self) -> Generator[Event, None, None]:
        try:
            for index in range(self._count):
                self._start(index, next(self._jobs, None))
            while self._workers:
                workers = list(self._workers.values())
                nearest = min(worker.deadline for worker in workers) - time.monotonic()
                wait([worker.link for worker in workers], timeout=max(0.0, min(TICK, nearest)))
                for worker in workers:
                    if worker.link.poll():  # first, so that a result that arrived in time counts
                        yield from self._on_message(worker)
                    elif worker.process.poll() is not None and not worker.link.poll():
                        # (the second poll is for what it sent between the first one and its end)
                        yield from self._on_exit(worker, *worker.exit_reason())
                    elif worker.deadline <= time.monotonic():
                        yield from self._on_exit(worker, "timeout", worker.time_out())
        finally:
            self._close()

    def _start(self, index: int, job: Job | None) -> None:
        if job is not None:
            self._workers[index] = Worker(index, self._config, job)

    def _on_message(self, worker: Worker) -> Generator[Event, None, None]:
        try:
            kind, *content = worker.link.recv()
        except (EOFError, OSError):
            yield from self._on_exit(worker, *worker.exit_reason())
            return
        match kind, content:
            case "ready", []:
                self._failed_starts = 0
                yield worker.start(worker.job)
            case "failed", [reason]:
                self._on_failed_start(worker, reason)
            case "progress", [data]:
                worker.progress = {**(worker.progress or {}), **data}
                yield Progress(worker.job.key, data)
            case "ended", [message, unfit]:
                match outcome_of(message):
                    case "done", result:
                        yield Finished(worker.job.key, result)
                    case _, status, reason, trace:
                        yield worker.lost(status, reason, trace)
                yield from self._proceed(worker, unfit)

    def _proceed(self, worker: Worker, unfit: bool) -> Generator[Event, None, None]:
        """After a job that left its worker alive: the next one, on this worker or on a fresh one."""
        job = next(self._jobs, None)
        if job is not None and not unfit and worker.process.poll() is None:
            yield worker.start(job)
        else:
            self._remove(worker)
            self._start(worker.index, job)

    def _on_exit(self, worker: Worker, status: LossStatus, reason: str) -> Generator[Event, None, None]:
        """A worker died by itself, or its time was up."""
        self._remove(worker)
        if worker.ready:
            yield worker.lost(status, reason)
            self._start(worker.index, next(self._jobs, None))
        else:
            self._on_failed_start(worker, reason)

    def _on_failed_start(self, worker: Worker, reason: str) -> None:
        """A worker did not become ready for its job: try again, but not forever."""
        self._remove(worker)
        self._failed_starts += 1
        if self._failed_starts == STARTS_IN_A_ROW:
            where = "" if self._config.log_dir is None else f" Its output is in {self._config.log(worker.index)}."
            raise BenchError(f"A worker process cannot start: {reason}.{where}")
        self._start(worker.index, worker.job)

    def _remove(self, worker: Worker) -> None:
        """End a worker, if that has not been done."""
        if self._workers.pop(worker.index, None) is not None:
            worker.end()

    def _close(self) -> None:
        """End all workers, whatever they are doing."""
        workers = list(self._workers.values())
        self._workers.clear()
        for worker in workers:  # all of them first, so that they end at the same time
            worker.terminate()
        for worker in workers:
            worker.end()
