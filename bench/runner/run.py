"""A plan's cells through an executor into records."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass

from bench.executors import Event, Finished, Job, Lost, Progress, Retried, Started
from bench.grid.cell import Cell
from bench.measure.environment import anonymous
from bench.records.record import Record, Status, new_record, timestamp
from bench.records.store import Store
from bench.runner.backend import Backend
from bench.runner.cell_locks import CellLocks
from bench.runner.plan import Plan
from bench.runner.progress import GridDisplay

OTHER_RUN_SECONDS = 1.0  # between two looks at whether another run has finished a cell


@dataclass
class RunResult:
    """What became of a grid. records: one for each cell that was reached, by id."""

    records: dict[str, Record]
    interrupted: bool = False

    @property
    def failed(self) -> list[Record]:
        return [record for record in self.records.values() if record.failed]


@dataclass
class Run:
    """One run over a plan's cells that are not finished. Each of them ends as a record, however it fails.

    Its worker writes the record. The driver does where the worker died, or could not write to the driver's folder. A
    cell that another run on the same results folder works on is left to that run, and its record taken; if that run
    dies, the cell is run here.

    timeout: seconds that one cell may take. guess: seconds that a cell will take, for the order of cells.
    """

    planned: Plan
    backend: Backend
    store: Store
    display: GridDisplay
    timeout: float | None = None
    guess: Callable[[Cell], float | None] = lambda cell: None

    def __post_init__(self) -> None:
        self.cells = {cell.id: cell for cell in self.planned.pending}
        self.result = RunResult(dict(self.planned.finished))
        self.running: dict[str, str] = {}  # id -> when it started
        self.fingerprints = dict(self.planned.fingerprints)  # of records as they were before their cells started

    def run(self) -> RunResult:
        """Run what is pending. On KeyboardInterrupt the cells that were running are recorded as interrupted.

        Raises:
            BenchError: if no worker can start, or a record cannot be written; the workers are ended.
        """
        with CellLocks(self.store.root) as self.locks:
            self.store.remove_stale()
            try:
                self._run_all()
            except KeyboardInterrupt:
                self.result.interrupted = True
                for key in list(self.running):
                    self._lose(key, "interrupted", "the run was interrupted", None, None)
        return self.result

    def _run_all(self) -> None:
        """Run the cells; last those that another run worked on and has left."""
        left = list(self.cells.values())
        while left:
            elsewhere: list[Cell] = []
            with closing(self.backend.executor.run(self._jobs(left, elsewhere))) as events:
                for event in events:
                    self._on_event(event)
            left = elsewhere
            while left and not any(self.locks.acquire(cell.id) for cell in left):
                time.sleep(OTHER_RUN_SECONDS)

    def _jobs(self, cells: list[Cell], elsewhere: list[Cell]) -> Iterator[Job]:
        """A job for each cell that is to be run here; those that another run works on are put into `elsewhere`."""
        for cell in in_order(cells, self.backend.workers, self.guess):
            if not self.locks.acquire(cell.id):
                elsewhere.append(cell)
            elif (record := self._new_record(cell.id)) is not None and record.status != "interrupted":
                self._end(cell.id, record)  # another run was faster
            else:
                self.fingerprints[cell.id] = self.store.fingerprint(cell.id)
                yield Job(cell.id, self.backend.payload(self.planned.assignments[cell.id]), self.timeout)

    def _on_event(self, event: Event) -> None:
        match event:
            case Started(key):
                self.running[key] = timestamp()
                self.display.started(self.cells[key])
            case Progress(key, data):
                self.display.progressed(self.cells[key], data)
            case Finished(key, record):
                if not self._is_written(key):  # the worker could not write it, or sees another folder
                    self.store.write(record)
                self._end(key, record)
            case Retried(key, reason):
                self.running.pop(key, None)
                self.planned.assignments[key].retries.append(reason)
                self.display.retried(self.cells[key], reason)
            case Lost(key=key, status=status, reason=reason, progress=last, log_tail=tail):
                self._lose(key, status, reason, tail, (last or {}).get("step"))

    def _lose(self, key: str, status: Status, reason: str, trace: str | None, step: int | None) -> None:
        record = self._new_record(key)  # the worker may have died after writing it
        if record is None:
            record = new_record(self.cells[key])
            record.status, record.reason = status, anonymous(reason)
            record.traceback = anonymous(trace) if trace else None
            record.started_at, record.last_step = self.running.get(key, timestamp()), step
            record.retries = self.planned.assignments[key].retries
            # Interrupting a forced run says nothing about the cell: a finished record stays.
            if status != "interrupted" or self.store.finished(key) is None:
                self.store.write(record)
        self._end(key, record)

    def _end(self, key: str, record: Record) -> None:
        self.running.pop(key, None)
        self.result.records[key] = record
        self.display.ended(record)
        self.locks.release(key)

    def _is_written(self, key: str) -> bool:
        """Whether a record was written since the plan was made, or since the cell started here."""
        return self.store.fingerprint(key) != self.fingerprints.get(key)

    def _new_record(self, key: str) -> Record | None:
        return self.store.sound(key) if self._is_written(key) else None


def in_order(cells: Iterable[Cell], workers: int, guess: Callable[[Cell], float | None]) -> Iterator[Cell]:
    """The cells seed by seed, so that an interrupted grid has compared all methods on some seeds.

    With one worker the cells of a seed keep their order. With several the longest start first, so that the last worker
    to finish has only a short cell left (at most 4/3 of the best total time, Graham 1969); cells of unknown length
    come before the others. A seed is sorted when its turn comes, by what was learned from the seeds before it.

    guess: seconds that a cell will take; None: unknown.
    """

    def length(cell: Cell) -> float:
        seconds = guess(cell)
        return math.inf if seconds is None else seconds

    by_seed: dict[int, list[Cell]] = {}
    for cell in cells:
        by_seed.setdefault(cell.seed, []).append(cell)
    for same_seed in by_seed.values():
        yield from same_seed if workers == 1 else sorted(same_seed, key=length, reverse=True)
