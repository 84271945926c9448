"""Cells cut short, for the documentation's commands: all is real but for a tiny model and few examples."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import cell as cells
from bench.executors import Report
from bench.method import Recipe
from bench.suites import Budget

MODEL = "SHORT_CELLS_MODEL"  # environment: the folder of the model that every cell trains
FEW = {"train_examples": 12, "validation_examples": 8, "test_examples": 20}

_prepare, _recipe = cells.prepare, cells._recipe


def ready() -> None:
    """The executor's setup."""


def run(assignment: cells.Assignment, report: Report) -> Any:
    """`bench.cell.run` on the tiny model and a few examples of the cell's own task, three steps of training."""
    cells.prepare, cells._recipe = prepare, recipe  # type: ignore[assignment]
    cells.matmul_gflops = lambda device: 50.0  # the probe takes longer than the rest of such a cell
    return cells.run(replace(assignment, model=Path(os.environ[MODEL])), report)


def prepare(task: Any, data: Path, model: Path, budget: Budget) -> Any:
    return _prepare(task, data, model, budget.model_copy(update=FEW))


def recipe(*arguments: Any) -> Recipe:
    return _recipe(*arguments).model_copy(update={"epochs": 1.0, "min_steps": 0, "batch_size": 4})
