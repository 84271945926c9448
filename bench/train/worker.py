"""What an executor calls in a worker process: `warm_up` when it starts, then `run` for each cell."""

from __future__ import annotations

import traceback
from contextlib import suppress
from importlib import import_module
from typing import Any

from bench.errors import NotApplicable, StoreError, first_line
from bench.executors import Report, Retire
from bench.measure import environment
from bench.measure.memory import freeze_gc, return_freed_memory
from bench.records.record import Record, Status, timestamp
from bench.records.store import Store
from bench.train.assignment import Assignment
from bench.train.cell import CellRun
from bench.train.failures import is_out_of_memory, leaves_process_unfit
from bench.train.model import quiet_libraries
from bench.train.tracking import Tracking

# With what they import, these are nearly all that any cell loads.
PRELOADED = (
    "torch.utils.flop_counter",
    "transformers.modeling_utils",
    "peft",
    "datasets",
    "evaluate",
    "sklearn.metrics",
    "seqeval.metrics",
)
TRACEBACK_CHARS = 8000


def warm_up() -> None:
    """Load what every cell needs, so that no cell's time includes it: it takes seconds."""
    for name in PRELOADED:
        import_module(name)
    quiet_libraries()
    environment.snapshot()  # runs git, once in a process
    freeze_gc()


def run(assignment: Assignment, on_progress: Report) -> Any:
    """Run a cell, write its record, and return it.

    After a lack of memory and after an error of the device the worker asks to be replaced.
    """
    tracking = Tracking(assignment, on_progress)
    freeze_gc()  # what the last cell and trackers imported; none of its own objects are alive now
    return_freed_memory()
    record, unfit = run_cell(assignment, tracking.report)
    if assignment.results is not None:
        # Not by the driver: if the driver dies now, the finished cell is not lost. If writing fails here, the driver
        # tries again, and ends the run if it cannot either.
        with suppress(StoreError):
            Store(assignment.results).write(record)
    tracking.finish(record)  # after the record is written: a tracker that takes long risks nothing
    return Retire(record) if unfit else record


def run_cell(assignment: Assignment, on_progress: Report) -> tuple[Record, bool]:
    """Run a cell. Whatever happens, it ends as a record; beside it, whether this process is unfit for another cell."""
    cell = CellRun(assignment, on_progress)
    record = cell.record
    record.retries = assignment.retries
    unfit = False
    try:
        cell.run_steps()
        record.status = "ok"
    except NotApplicable as error:
        _end(record, "skipped", str(error))
    except Exception as error:  # noqa: BLE001 - every cell ends as a record
        status: Status = "oom" if is_out_of_memory(error) else "error"
        _end(record, status, first_line(error))
        unfit = leaves_process_unfit(error)
        record.traceback = environment.anonymous(traceback.format_exc()[-TRACEBACK_CHARS:])
    record.timeline = cell.timeline.seconds()
    record.finished_at = timestamp()
    return record, unfit


def _end(record: Record, status: Status, reason: str) -> None:
    record.status, record.reason = status, environment.anonymous(reason)
