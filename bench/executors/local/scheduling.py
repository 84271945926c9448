"""Which worker runs which job, and what becomes of both."""

from __future__ import annotations

import pickle
import signal
import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from multiprocessing.connection import wait

from bench.executors import Event, Finished, Job, Lost, Progress
from bench.executors.local.process import START_LIMIT, Plan, Worker
from bench.executors.tasks import Task, draw

STARTS_PER_JOB = 2
"""How many workers may die while starting before the job that they were to run is lost."""

STARTS_IN_A_ROW = 3
"""How many workers in a row may die while starting before no more are started."""

TICK = 0.5
"""Seconds between two looks for dead workers. The end of the socket tells sooner, unless a process that the
worker forked still holds it open."""


class Run:
    """One run. A worker has a job from its first moment to its last, and never waits for one."""

    def __init__(self, plan: Plan, numbers: range, jobs: Iterator[Job]) -> None:
        self._plan = plan
        self._numbers = numbers
        self._jobs = jobs
        self._workers: dict[int, Worker] = {}
        self._failed_starts = 0  # in a row
        self._last_failure = ""

    def events(self) -> Generator[Event, None, None]:
        try:
            for index in self._numbers:
                yield from self._hire(index)
            while self._workers:
                workers = list(self._workers.values())
                nearest = min(worker.deadline for worker in workers) - time.monotonic()
                wait([worker.link for worker in workers], timeout=max(0.0, min(TICK, nearest)))
                for worker in workers:
                    if worker.link.poll():  # first, so that a result that made it in time counts
                        yield from self._listen(worker)
                    elif worker.process.poll() is not None and not worker.link.poll():
                        # (the second look is for what it sent between the first one and its end)
                        yield from self._bury(worker)
                    elif worker.deadline <= time.monotonic():
                        yield from self._time_out(worker)
            while (task := (yield from draw(self._jobs))) is not None:  # left over when no worker can be started
                yield _never_started(task, self._last_failure)
        finally:
            self._close()

    def _hire(self, index: int) -> Generator[Event, None, None]:
        """Start a worker for the next job, if there is one."""
        if self._failed_starts < STARTS_IN_A_ROW and (task := (yield from draw(self._jobs))) is not None:
            self._workers[index] = Worker(index, self._plan, task)

    def _listen(self, worker: Worker) -> Generator[Event, None, None]:
        """Take one message from a worker."""
        try:
            message = worker.link.recv_bytes()
        except (EOFError, OSError):
            yield from self._bury(worker)
            return
        try:
            kind, *content = pickle.loads(message)
        except Exception as exc:  # noqa: BLE001 - unpickling runs whatever code the target's data brings along
            self._remove(worker)
            yield worker.lost("error", f"what the job sent cannot be unpickled: {type(exc).__name__}: {exc}")
            yield from self._hire(worker.index)
            return
        match kind, content:
            case "ready", []:
                self._failed_starts = 0
                yield worker.begin()
            case "unfit", [reason, trace]:
                yield from self._fail_start(worker, f"the worker could not start: {reason}", trace)
            case "progress", [data]:
                worker.progress = data
                yield Progress(worker.task.job.key, data)
            case "done", [result, leaves]:
                yield Finished(worker.task.job.key, result)
                yield from self._proceed(worker, leaves)
            case "lost", [status, reason, trace, leaves]:
                yield worker.lost(status, reason, trace)
                yield from self._proceed(worker, leaves)

    def _proceed(self, worker: Worker, leaves: bool) -> Generator[Event, None, None]:
        """After a job that left its worker alive: the next one, on this worker or on a fresh one."""
        if leaves:
            self._remove(worker)
            yield from self._hire(worker.index)
        elif (task := (yield from draw(self._jobs))) is None:
            self._remove(worker)
        elif worker.process.poll() is None:
            worker.task = task
            yield worker.begin()
        else:  # it died after its last job: no fault of this one
            self._remove(worker)
            self._workers[worker.index] = Worker(worker.index, self._plan, task)

    def _bury(self, worker: Worker) -> Generator[Event, None, None]:
        """A worker has died by itself."""
        code = worker.await_end()
        oom = code == -signal.SIGKILL and worker.oom_killer_struck()
        reason = "the worker ran out of memory: the kernel's OOM killer ended it" if oom else _describe(code)
        self._remove(worker)
        if worker.ready:
            yield worker.lost("oom" if oom else "error", reason)
            yield from self._hire(worker.index)
        else:
            yield from self._fail_start(worker, f"while starting, {reason}", worker.log_tail())

    def _time_out(self, worker: Worker) -> Generator[Event, None, None]:
        worker.look_for_children()
        worker.process.terminate()
        self._remove(worker)
        if worker.ready:
            yield worker.lost("timeout", f"the job ran longer than its limit of {worker.task.job.timeout:g} s")
            yield from self._hire(worker.index)
        else:
            reason = f"the worker was not ready after {START_LIMIT:g} s"
            yield from self._fail_start(worker, reason, worker.log_tail())

    def _fail_start(self, worker: Worker, reason: str, log_tail: str) -> Generator[Event, None, None]:
        """A worker did not get as far as its job: try again, but not for ever."""
        self._remove(worker)
        task = worker.task
        task.failed_starts += 1
        self._failed_starts += 1
        self._last_failure = reason
        if task.failed_starts < STARTS_PER_JOB and self._failed_starts < STARTS_IN_A_ROW:
            self._workers[worker.index] = Worker(worker.index, self._plan, task)
        else:
            yield _never_started(task, reason, log_tail)
            yield from self._hire(worker.index)

    def _remove(self, worker: Worker) -> None:
        """End a worker, if that has not been done. One that is idle ends by itself, politely asked."""
        if self._workers.pop(worker.index, None) is not None:
            worker.look_for_children()
            worker.ask_to_end()
            worker.await_end()
            worker.kill()

    def _close(self) -> None:
        """End all workers, whatever they are doing."""
        workers = list(self._workers.values())
        self._workers.clear()
        try:
            for worker in workers:  # all of them first, so that they end at the same time
                worker.look_for_children()
                worker.process.terminate()
            for worker in workers:
                worker.await_end()
        finally:  # even if a second Ctrl-C cuts the waiting short
            for worker in workers:
                worker.kill()


def _describe(code: int | None) -> str:
    if code is None:
        return "the worker closed its connection"
    if code >= 0:
        return f"the worker exited with code {code}"
    name = ""
    with suppress(ValueError):  # most real-time signals have no name
        name = f" ({signal.Signals(-code).name})"
    return f"the worker was killed by signal {-code}{name}"


def _never_started(task: Task, reason: str, log_tail: str = "") -> Lost:
    return Lost(task.job.key, "error", reason, None, 0.0, log_tail)
