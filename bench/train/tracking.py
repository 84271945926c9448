"""Cells logged live by experiment trackers: accelerate's own, one run a cell.

A tracker works between two steps while the cell waits for it, so that it takes nothing from a measured step. It never
ends a cell: what it fails at, or takes more than PATIENCE for, costs a warning and the rest of its run. Importing this
module loads no library.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

from filelock import FileLock

from bench.errors import BenchError, UsageError, first_line
from bench.executors import Report
from bench.grid.cell import Cell
from bench.measure.memory import process_peak_mib
from bench.records.record import Record
from bench.suggestions import suggest
from bench.train.assignment import Assignment

TRACKERS = ("tensorboard", "wandb", "mlflow", "trackio")  # each is the name of its package, too
FOLDER = "tracking"  # in the results folder
PROJECT = "pasta-bench"  # where a tracker has projects and groups of runs in them
PATIENCE = 30.0  # seconds
CURVES = ("losses", "timed")  # of a report, for trackers alone: every loss and `bench.measure.time.Step` so far

_silent: set[str] = set()  # trackers that did not answer in this process


def wanted(names: Iterable[str]) -> tuple[str, ...]:
    """The trackers of these names, each once; a UsageError for one that does not exist or is not installed."""
    found = tuple(dict.fromkeys(names))
    for name in found:
        if name not in TRACKERS:
            raise UsageError(f"There is no tracker {name!r}{suggest(name, TRACKERS)}")
        package = find_spec(name)
        if package is None or package.origin is None:  # a mere folder of that name, as wandb makes, has no origin
            raise UsageError(f"--track {name} needs {name}, which is not installed: pip install {name}.")
    return found


class Tracking:
    """A cell's runs, one a tracker. It takes the cell's reports and passes them on to the driver."""

    def __init__(self, assignment: Assignment, report: Report) -> None:
        self._report, self._step = report, 0
        self._runs = [_Run(name, assignment, report) for name in assignment.track if name not in _silent]

    def report(self, data: Any) -> None:
        """Pass a report on, and log what it has of losses, throughput, memory and validation scores."""
        self._report({name: value for name, value in data.items() if name not in CURVES})
        if not self._runs:
            return
        losses, timed = (data.get(name, ())[self._step :] for name in CURVES)
        points: dict[int, dict[str, Any]] = {at: {"loss": loss} for at, loss in enumerate(losses, self._step + 1)}
        self._step += len(losses)
        now = points.setdefault(self._step, {})
        if seconds := sum(step.seconds for step in timed):
            now["examples_per_second"] = sum(step.examples for step in timed) / seconds
            now["process_peak_mib"] = process_peak_mib()
        now["validation"] = data.get("validation")
        self._log(points)

    def finish(self, record: Record) -> None:
        """Log the record's scalar fields, and end the runs."""
        left_out: Any = {"cell": True, "environment": True, "traceback": True, "data": {"label_counts"}}
        fields = _scalars(record.model_dump(mode="json", exclude=left_out), "record")
        texts = {name: value for name, value in fields.items() if isinstance(value, str)}
        self._log({record.last_step or 0: {name: fields[name] for name in fields.keys() - texts.keys()}})
        for run in self._runs:
            run.describe(texts)
            run.end()

    def _log(self, points: Mapping[int, Mapping[str, Any]]) -> None:
        known = {step: {k: v for k, v in values.items() if v is not None} for step, values in points.items()}
        known = {step: values for step, values in known.items() if values}
        for run in self._runs:
            for step, values in known.items():
                run.log(values, step)


class _Run:
    """A tracker's run of one cell, in a thread that is left behind if the tracker does not answer.

    All calls are made in that thread: MLflow's active run is that of a thread.
    """

    def __init__(self, name: str, assignment: Assignment, report: Report) -> None:
        self._name, self._report = name, report
        self._tracker: Any = None
        self._alive = True
        self._calls: SimpleQueue[tuple[Callable[[], None], Future[None]] | None] = SimpleQueue()
        Thread(target=self._work, name=f"tracker {name}", daemon=True).start()
        self._do(lambda: self._begin(assignment))

    def log(self, values: dict[str, Any], step: int) -> None:
        self._do(lambda: self._tracker.log(values, step=step))

    def describe(self, texts: dict[str, str]) -> None:
        """Add texts to what describes the run."""
        # TensorBoard's would be another run.
        how = "log" if self._name == "tensorboard" else "store_init_configuration"
        self._do(lambda: getattr(self._tracker, how)(texts))

    def end(self) -> None:
        self._do(self._finish)
        self._stop()

    def _begin(self, assignment: Assignment) -> None:
        from accelerate import PartialState

        PartialState(cpu=True)  # accelerate's trackers cannot log a message without it
        cell, results = assignment.cell, assignment.results
        made = _tracker(self._name, cell, None if results is None else results / FOLDER)
        if results is None:
            made.start()
        else:
            with FileLock(results / FOLDER / ".lock", timeout=PATIENCE):  # two workers would create one group twice
                made.start()
        self._tracker = made
        identity = _scalars(cell.model_dump(mode="json"), "")
        made.store_init_configuration({"label": cell.label, "id": cell.id, **identity})

    def _finish(self) -> None:
        self._tracker.finish()
        if self._name == "wandb":
            import wandb

            wandb.teardown()  # its process would make the executor replace this worker

    def _do(self, call: Callable[[], None]) -> None:
        """Have the thread make a call, and wait for it; nothing once one has failed."""
        if not self._alive:
            return
        done: Future[None] = Future()
        self._calls.put((call, done))
        try:
            error = done.exception(PATIENCE)
        except TimeoutError:
            _silent.add(self._name)
            self._fail(f"no answer within {PATIENCE:g} s; this worker's other cells go without it, too")
        else:
            if error is not None:
                self._fail(first_line(error))

    def _fail(self, reason: str) -> None:
        self._stop()
        self._report({"warning": f"not logged by {self._name} from here on: {reason}"})

    def _stop(self) -> None:
        self._alive = False
        self._calls.put(None)

    def _work(self) -> None:
        while (job := self._calls.get()) is not None:
            call, done = job
            try:
                call()
            except BaseException as error:  # noqa: BLE001 - no tracker ends a cell, whatever it raises
                if self._tracker is not None:
                    with suppress(BaseException):
                        self._finish()
                done.set_exception(error)
            else:
                done.set_result(None)


def _tracker(name: str, cell: Cell, folder: Path | None) -> Any:
    """Accelerate's tracker for a cell's run, not yet started. folder: for what lies in files."""
    from accelerate import tracking

    grid = _file_name(f"{cell.preset}-{cell.model}-{cell.profile.name}")
    run = f"{_file_name(cell.label)[:80]}-seed{cell.seed}-{cell.id}"
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    match name:
        case "tensorboard":
            if folder is None:
                raise BenchError("it needs a results folder that all machines of the cluster share.")
            shutil.rmtree(folder / grid / run, ignore_errors=True)  # its curves would mix with an earlier attempt's
            return tracking.TensorBoardTracker(run, logging_dir=folder / grid)
        case "wandb":
            project = os.environ.get("WANDB_PROJECT", PROJECT)
            return tracking.WandBTracker(project, name=run, group=grid, dir=folder)
        case "mlflow":
            return tracking.MLflowTracker(grid, run_name=run)
        case _:
            return tracking.TrackioTracker(PROJECT, name=run, group=grid)


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.,=\[\]-]+", "-", text)


def _scalars(fields: Mapping[str, Any], group: str) -> dict[str, Any]:
    """The numbers and texts among fields and the fields of their parts, as group/part/name."""
    found: dict[str, Any] = {}
    for name, value in fields.items():
        plain = re.sub(r"[^\w. -]", "_", name)  # MLflow takes no other characters
        key = f"{group}/{plain}" if group else plain
        if isinstance(value, Mapping):
            found |= _scalars(value, key)
        elif isinstance(value, str | int | float):
            found[key] = value
    return found
