"""What an executor is: jobs go in, events come out.

An executor knows nothing of cells or methods. It calls one function, the *target*, in worker processes, as
``target(payload, report)``, and says what became of each job. Every job taken ends in exactly one
:class:`Finished` or :class:`Lost`, whatever happened to the process that ran it. Between two :class:`Started`
of one job stands a :class:`Retried`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Report = Callable[[dict[str, Any]], None]
"""How a target tells of its progress. Cheap enough for every step: most calls only keep the newest data."""

Target = Callable[[Any, Report], Any]
"""What a worker runs. What it returns is the job's result, or :class:`Retire` with the result in it."""

LossStatus = Literal["error", "oom", "timeout"]


@dataclass(frozen=True)
class Job:
    """One call of the target."""

    key: str
    payload: Any
    """Anything that can be pickled."""
    timeout: float | None = None
    """Seconds from the job's start on its worker; None is no limit."""


@dataclass(frozen=True)
class Retire:
    """Returned by a target: deliver ``result`` as usual, then put a fresh process in this worker's place.

    For a job that ended well but left the process unfit for the next one, as running out of memory does.
    """

    result: Any


@dataclass(frozen=True)
class Started:
    """The job has been handed to worker number ``worker``, which is up and idle."""

    key: str
    worker: int


@dataclass(frozen=True)
class Progress:
    """What the target reported. Some reports are left out where they come fast; the newest one never is."""

    key: str
    data: dict[str, Any]


@dataclass(frozen=True)
class Finished:
    """The target returned."""

    key: str
    result: Any


@dataclass(frozen=True)
class Lost:
    """The target did not return: it raised, ran out of time, took its process down, or never got to run."""

    key: str
    status: LossStatus
    reason: str
    """One line for a table or a terminal."""
    progress: dict[str, Any] | None
    """The last progress that arrived."""
    seconds: float
    """From the job's start on its worker; 0 where it never started."""
    log_tail: str
    """The traceback where there is one, else the end of what the worker printed during this job."""


@dataclass(frozen=True)
class Retried:
    """The machine that ran the job was lost, which is no fault of the job: it will be started again elsewhere."""

    key: str
    reason: str
    """One line, that follows on the job's name."""


Event = Started | Progress | Finished | Lost | Retried


class Executor(Protocol):
    """Runs jobs somewhere."""

    def run(self, jobs: Iterable[Job]) -> Generator[Event, None, None]:
        """Run all jobs, and yield what happens as it happens.

        Jobs are drawn one at a time, each when a worker is free for it, after the previous event was
        consumed. Closing the generator, or an exception in it, ends all workers before it returns. An
        exception in the loop that consumes it does not reach the generator: consume it under
        ``contextlib.closing``.
        """
        ...
