"""Jobs as executors hold them: drawn one at a time, and pickled for another process."""

from __future__ import annotations

import pickle
from collections.abc import Generator, Iterator
from dataclasses import dataclass

from bench.executors import Event, Job, Lost


@dataclass
class Task:
    """A job that was drawn and pickled, and how often it was taken up in vain."""

    job: Job
    payload: bytes
    failed_starts: int = 0
    losses: int = 0  # with machines


def draw(jobs: Iterator[Job]) -> Generator[Event, None, Task | None]:
    """The next job that can be sent to a process; None after the last. One that cannot be is told as lost."""
    for job in jobs:
        try:
            return Task(job, pickle.dumps(job.payload))
        except Exception as exc:  # noqa: BLE001 - pickling runs the payload's own code, which may raise anything
            reason = f"the payload cannot be pickled: {type(exc).__name__}: {exc}"
            yield Lost(job.key, "error", reason, None, 0.0, "")
    return None
