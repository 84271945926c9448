"""Cells cut short, for the documentation's commands: all is real but for a tiny model and few examples."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.executors import Event, Finished, Job, Started
from bench.grid.recipes import ResolvedRecipe
from bench.grid.suites import Budget
from bench.records.record import Record
from bench.train import cell as cells
from bench.train import worker
from bench.train.assignment import Assignment

FEW = {"train_examples": 12, "validation_examples": 8, "test_examples": 20}

_prepare, _resolve_recipe = cells.prepare, cells.resolve_recipe


class WarmWorker:
    """An executor with one worker process that stays from command to command, so that libraries are loaded once."""

    def __init__(self, model: Path) -> None:
        self._model = model
        self._process = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))

    def run(self, jobs: Iterable[Job]) -> Iterator[Event]:
        for job in jobs:
            yield Started(job.key, 0)
            yield Finished(job.key, self._process.submit(run, job.payload, self._model).result())

    def close(self) -> None:
        self._process.shutdown()


def run(assignment: Assignment, model: Path) -> Record:
    """`bench.train.worker.run_cell` on the tiny model and a few examples of the cell's own task, for three steps."""
    cells.prepare, cells.resolve_recipe = prepare, resolve_recipe  # type: ignore[assignment]
    cells.matmul_gflops = lambda device: 50.0  # the probe takes longer than the rest of such a cell
    cells.CellRun._collapsed = lambda self: None  # type: ignore[method-assign] # three steps come to nothing
    return worker.run_cell(replace(assignment, model=model), lambda data: None)[0]


def prepare(task: Any, data: Path, model: Path, budget: Budget) -> Any:
    return _prepare(task, data, model, budget.model_copy(update=FEW))


def resolve_recipe(*arguments: Any) -> ResolvedRecipe:
    resolved = _resolve_recipe(*arguments)
    short = resolved.recipe.model_copy(update={"epochs": 1.0, "min_steps": 0, "batch_size": 4})
    return replace(resolved, recipe=short)
