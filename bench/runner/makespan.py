"""Where the time of a grid went, of all its workers, from the command to the tables."""

from __future__ import annotations

import time
from collections.abc import Iterable

from bench.forecast.seconds import duration
from bench.leaderboard.files import csv_of
from bench.records.record import Record

# A cell's phases by what they are for. A phase that is not here is part of the rest.
PHASES = {
    "train": "training",
    "batching": "training",
    "validate": "evaluation",
    "test": "evaluation",
    "extra tests": "evaluation",
    "set up": "loading",
    "read data": "loading",
    "load model": "loading",
    "machine speed": "measuring",
    "free memory": "measuring",
    "count FLOPs": "measuring",
    "score": "measuring",
    "save": "saving",
}
PARTS = (
    "training", "evaluation", "loading", "measuring", "saving", "rest of cells",
    "failed cells", "handing over", "starting workers", "idle workers", "planning", "tables",
)  # fmt: skip


class Makespan:
    """Takes down what each worker does when; the parts add up to the makespan times the workers.

    planning and tables are the driver's, with no worker at work: before the run and after it. handing over: from a
    cell's end to its record with the driver, and to the next cell. starting workers: from the run's begin, or the
    loss of a cell, to the next cell of a worker. idle workers: those for whom no cell was left.

    Args:
        began: of the command, in time.monotonic's seconds; None: now.
    """

    def __init__(self, workers: int, began: float | None = None) -> None:
        self.workers = workers
        self._began = time.monotonic() if began is None else began
        self._seconds = dict.fromkeys(PARTS, 0.0)
        self._free: dict[int, tuple[float, str]] = {}  # since when a worker has no cell, and what that time is
        self._cells: dict[str, tuple[int, float]] = {}
        self._run_began = self._began
        self._ran: float | None = None
        self._ended: float | None = None

    def run_begins(self) -> None:
        now = self._run_began = time.monotonic()
        self._seconds["planning"] += self.workers * (now - self._began)
        self._free = dict.fromkeys(range(self.workers), (now, "starting workers"))

    def cell_begins(self, key: str, worker: int) -> None:
        now = time.monotonic()
        while worker >= self.workers:  # machines that joined later: their workers are counted as if they had been there
            self._free[self.workers] = self._run_began, "starting workers"
            self._seconds["planning"] += self._run_began - self._began
            self.workers += 1
        since, what = self._free.pop(worker)
        self._seconds[what] += now - since
        self._cells[key] = worker, now

    def cell_ends(self, key: str, record: Record) -> None:
        """Whatever became of it. Nothing is done for a cell that never began."""
        if key not in self._cells:
            return
        now = time.monotonic()
        worker, since = self._cells.pop(key)
        lasted, total = now - since, record.timeline.get("total")
        if total is None or record.failed:
            self._seconds["failed cells"] += lasted
        else:
            for phase, seconds in record.timeline.items():
                if phase != "total":
                    self._seconds[PHASES.get(phase, "rest of cells")] += seconds
            self._seconds["handing over"] += lasted - total
        # Without a timeline the worker did not live to write one, and a new one takes its place.
        self._free[worker] = now, "starting workers" if total is None else "handing over"

    def waits(self) -> None:
        """No worker has a cell, and none may begin one: another run is at those that are left."""
        self._free = {worker: (since, "idle workers") for worker, (since, _) in self._free.items()}

    def cell_is_lost(self, key: str) -> None:
        """It was lost with its machine, and will begin again."""
        now = time.monotonic()
        worker, since = self._cells.pop(key)
        self._seconds["failed cells"] += now - since
        self._free[worker] = now, "starting workers"

    def run_ends(self) -> None:
        self._ran = time.monotonic()
        for since, _ in self._free.values():
            self._seconds["idle workers"] += self._ran - since
        self._free.clear()

    def end(self) -> None:
        self._ended = time.monotonic()
        self._seconds["tables"] += self.workers * (self._ended - (self._ran or self._began))

    @property
    def seconds(self) -> float:
        """From the command to the end."""
        return (self._ended or time.monotonic()) - self._began

    def rows(self) -> list[dict[str, float | str]]:
        """A row a part, those that took no time left out."""
        whole = sum(self._seconds.values()) or 1.0
        return [
            {"part": part, "worker_seconds": round(seconds, 3), "percent": round(100 * seconds / whole, 2)}
            for part, seconds in self._seconds.items()
            if seconds
        ]

    def text(self) -> str:
        """For people, in a line or two."""
        shown = ", ".join(f"{row['part']} {row['percent']:.1f} %" for row in self.rows())
        workers = "1 worker" if self.workers == 1 else f"{self.workers} workers"
        return f"{duration(self.seconds)} with {workers}: {shown or 'nothing to do'}."


def csv(rows: Iterable[dict[str, float | str]]) -> str:
    """The rows as a CSV file's text."""
    return csv_of(rows, ("part", "worker_seconds", "percent"))
