"""What an executor is: jobs go in, events come out.

An executor knows nothing of cells or methods. It calls one function, the *target*, in worker processes, as
``target(payload, report)``, and says what became of each job. Every job that it takes ends in exactly one
:class:`Finished` or :class:`Lost`, whatever happened to the process that ran it. Between two :class:`Started`
of one job there is a :class:`Retried`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Report = Callable[[dict[str, Any]], None]  # how a target reports progress; each call is sent to the driver
Target = Callable[[Any, Report], Any]  # returns the job's result, or a Retire that holds it
LossStatus = Literal["error", "oom", "timeout"]


@dataclass(frozen=True)
class Job:
    """One call of the target.

    payload: pickled when the job starts, and again for each retry. timeout: seconds from the start; None: no limit.
    """

    key: str
    payload: Any
    timeout: float | None = None


@dataclass(frozen=True)
class Retire:
    """Returned by a target: deliver the result as usual, then replace this worker's process by a fresh one.

    For a job that ended well but left the process unfit for the next one, as running out of memory does.
    """

    result: Any


@dataclass(frozen=True)
class Started:
    """The job was handed to this worker, which is up and idle."""

    key: str
    worker: int


@dataclass(frozen=True)
class Progress:
    """What the target reported; an executor may merge several reports into one."""

    key: str
    data: dict[str, Any]


@dataclass(frozen=True)
class Finished:
    """The target returned."""

    key: str
    result: Any


@dataclass(frozen=True)
class Lost:
    """The target did not return: it raised, timed out, or took its process down.

    reason: one line. progress: what the target reported, the newest values. seconds: from the job's start.
    log_tail: the traceback if there is one, else the end of what the worker printed during this job.
    """

    key: str
    status: LossStatus
    reason: str
    progress: dict[str, Any] | None
    seconds: float
    log_tail: str


@dataclass(frozen=True)
class Retried:
    """The job was lost with its machine, through no fault of its own, and will start again. reason: one line."""

    key: str
    reason: str


Event = Started | Progress | Finished | Lost | Retried


class Executor(Protocol):
    """Runs jobs somewhere."""

    def run(self, jobs: Iterable[Job]) -> Generator[Event, None, None]:
        """Run all jobs, and yield what happens as it happens.

        Jobs are drawn one at a time, when a worker is free, after the previous event was consumed. Closing the
        generator, or an exception in it, ends all workers before it returns. An exception in the loop that consumes
        it does not reach the generator: consume it under ``contextlib.closing``.

        Raises:
            BenchError: if workers cannot start.
        """
        ...
