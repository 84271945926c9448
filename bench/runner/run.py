"""A plan's cells through an executor into a store."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bench.executors import Event, Executor, Finished, Job, Lost, Progress, Retried, Started
from bench.executors.local import LocalExecutor
from bench.grid.cell import Cell
from bench.measure import allocator
from bench.measure.environment import anonymous
from bench.records.record import Record, Status, new_record, timestamp
from bench.records.store import Store
from bench.runner.cell_locks import CellLocks
from bench.runner.makespan import Makespan
from bench.runner.plan import Plan
from bench.runner.schedule import in_order
from bench.train.assignment import Assignment

TARGET, SETUP = "bench.train.worker:run", "bench.train.worker:warm_up"
OTHERS_SECONDS = 1.0  # between two looks at whether another run is through with a cell


@dataclass
class Outcome:
    """What became of a grid: one record a cell that was reached, by id, and whether it was cut short."""

    records: dict[str, Record] = field(default_factory=dict)
    interrupted: bool = False

    @property
    def failed(self) -> list[Record]:
        return [record for record in self.records.values() if record.failed]


class Display(Protocol):
    """Shows how a grid is getting on."""

    def started(self, cell: Cell) -> None: ...

    def progressed(self, cell: Cell, data: Mapping[str, float]) -> None: ...

    def retried(self, cell: Cell, reason: str) -> None: ...

    def ended(self, record: Record) -> None: ...


def local_executor(workers: int, logs: Path | None = None) -> LocalExecutor:
    """Warm worker processes on this machine, with the environment that cells are measured in."""
    return LocalExecutor(TARGET, workers, logs, env=worker_environment(), setup=SETUP)


def worker_environment() -> dict[str, str]:
    """What a worker's environment has beside this process's own."""
    # What a run needs was fetched by the driver; a worker that reached for the hub would be a fault.
    env = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    env |= waiting_threads()
    if "GLIBC_TUNABLES" not in os.environ:
        env["GLIBC_TUNABLES"] = allocator.tunables()
    return env


def waiting_threads() -> dict[str, str]:
    """The environment in which a process's threads wait for each other in a short loop; it must be set beforehand.

    GNU OpenMP's threads do so for long; where something else runs on the machine, that keeps the very thread that is
    waited for off its core. A short loop costs nothing and then sleeps.
    """
    return {} if "OMP_WAIT_POLICY" in os.environ else {"GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT", "10000")}


@dataclass
class Run:
    """One going through a plan's cells: those that are not finished. One that fails in whatever way leaves a record.

    A cell that another run on the same results folder is at is left to that run, and its record taken; should that
    run die, the cell is run here.

    timeout: seconds that one cell may take. guess: seconds that a cell will take, for the order of cells; asked again
    as the grid goes on. makespan: told what happens when. payload: what the executor's target is given for an
    assignment. stores: whether records are stored here, since the workers may not see the store; else they write them.
    """

    planned: Plan
    executor: Executor
    store: Store
    display: Display
    timeout: float | None = None
    guess: Callable[[Cell], float | None] = lambda cell: None
    makespan: Makespan = field(default_factory=lambda: Makespan(1))
    payload: Callable[[Assignment], Any] = lambda assignment: assignment
    stores: bool = False

    def __post_init__(self) -> None:
        self.cells = {cell.id: cell for cell in self.planned.pending}
        self.outcome = Outcome(dict(self.planned.finished))
        self.running: dict[str, str] = {}  # id -> when it started
        stamps = self.planned.stamps
        self.before = {key: stamps[key] if key in stamps else self.store.stamp(key) for key in self.cells}
        self.retries: defaultdict[str, list[str]] = defaultdict(list)  # id -> why earlier attempts were lost

    def run(self) -> Outcome:
        """Run what is pending.

        On KeyboardInterrupt the workers are ended, the cells that were running are recorded as interrupted,
        and what was reached is returned.

        Raises:
            StoreError: when a record cannot be written; the workers are ended, and what was written stays.
        """
        self.makespan.run_begins()
        with CellLocks(self.store.root) as self.locks:
            self.store.remove_stale()
            try:
                self._run_all()
            except KeyboardInterrupt:
                self.outcome.interrupted = True
                for key in list(self.running):
                    self._lose(key, "interrupted", "the run was interrupted", None, None)
        self.makespan.run_ends()
        return self.outcome

    def _run_all(self) -> None:
        """Run the cells, those last that another run was at, should it have left them."""
        left = list(self.cells.values())
        while left:
            elsewhere: list[Cell] = []
            with closing(self.executor.run(self._jobs(left, elsewhere))) as events:
                for event in events:
                    self._take_in(event)
            left = elsewhere
            self.makespan.waits()
            while left and not any(self.locks.take(cell.id) for cell in left):
                time.sleep(OTHERS_SECONDS)

    def _take_in(self, event: Event) -> None:
        match event:
            case Started(key, worker):
                self.running[key] = timestamp()
                self.makespan.cell_begins(key, worker)
                self.display.started(self.cells[key])
            case Progress(key, data):
                self.display.progressed(self.cells[key], data)
            case Finished(key, result):
                self._finish(key, Record(**result))
            case Retried(key, reason):
                self.running.pop(key, None)
                self.retries[key].append(reason)
                self.makespan.cell_is_lost(key)
                self.display.retried(self.cells[key], reason)
            case Lost(key=key, status=status, reason=reason, progress=last, log_tail=tail):
                self._lose(key, status, reason, tail, (last or {}).get("step"))

    def _jobs(self, of: list[Cell], elsewhere: list[Cell]) -> Iterator[Job]:
        """A job for each cell that is to be run here; those that another run is at are put into `elsewhere`."""
        for cell in in_order(of, self.planned.workers, self.guess):
            if not self.locks.take(cell.id):
                elsewhere.append(cell)
            elif (record := self._written(cell.id)) is not None and record.status != "interrupted":
                self._end(cell.id, record)  # another run has been quicker
            else:
                self.before[cell.id] = self.store.stamp(cell.id)
                yield Job(cell.id, self.payload(self.planned.assignments[cell.id]), self.timeout)

    def _written(self, key: str) -> Record | None:
        """The record that a cell got since the plan was made, whoever wrote it."""
        return self.store.sound(key) if self.store.stamp(key) != self.before[key] else None

    def _finish(self, key: str, record: Record) -> None:
        # Otherwise the worker has written it, and all of it.
        if self.stores or self.retries[key] or self.store.stamp(key) == self.before[key]:
            record.retries = self.retries[key]
            self.store.write(record)
        self._end(key, record)

    def _lose(self, key: str, status: Status, reason: str, detail: str | None, step: int | None) -> None:
        # The worker may have died after writing its record and before delivering it: then nothing is lost.
        record = self._written(key)
        if record is None:
            record = new_record(self.cells[key])
            record.status, record.reason = status, anonymous(reason)
            record.traceback = anonymous(detail) if detail else None
            record.started_at, record.last_step = self.running.get(key, timestamp()), step
            record.retries = self.retries[key]
            # Breaking a forced run off says nothing about the cell: a finished record stays.
            if status != "interrupted" or self.store.finished(key) is None:
                self.store.write(record)
        self._end(key, record)

    def _end(self, key: str, record: Record) -> None:
        self.running.pop(key, None)
        self.makespan.cell_ends(key, record)
        self.outcome.records[key] = record
        self.display.ended(record)
        self.locks.give_back(key)
