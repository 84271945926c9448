"""Data that cells share, and that one cell leaves nothing to the next."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest
import tiny_grid
from made import cell
from tiny_grid import TinyGrid

from bench import profiles
from bench.grid.suites import Budget
from bench.measure import memory
from bench.plugins import registry
from bench.records.record import Record
from bench.train import data as train_data
from bench.train import worker
from bench.train.assignment import Assignment
from bench.train.data import prepare, read
from bench.train.model import load_model


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> TinyGrid:
    return tiny_grid.build(tmp_path_factory.mktemp("grid"))


@pytest.fixture(autouse=True)
def _nothing_prepared() -> None:
    prepare.cache_clear()


def task_of(grid: TinyGrid) -> Any:
    return registry.tasks([grid.folder / "tiny_task.py"]).get("tiny").plugin


def run_cell(grid: TinyGrid, method: str = "steady", **changes: Any) -> Record:
    asked = cell(
        method,
        params=changes.pop("params", {}),
        task="tiny",
        profile=profiles.load(str(grid.profile)),
        budget=changes.pop("budget", Budget(choose="best")),
        recipe={"epochs": 2, "min_steps": 0},
        **changes,
    )
    files = tuple(grid.folder / name for name in ("tiny_task.py", "tiny_methods.py"))
    record = worker.run_cell(Assignment(asked, grid.folder / "tiny.tsv", grid.model, files, 1, None), lambda data: None)
    assert record.status == "ok", record.traceback
    return record


def test_data_is_prepared_once_for_a_task_a_model_and_a_budget(grid: TinyGrid) -> None:
    task, data = task_of(grid), grid.folder / "tiny.tsv"
    first = prepare(task, data, grid.model, Budget(test_examples=4))
    assert prepare(task, data, grid.model, Budget(test_examples=4)) is first
    assert (len(first.splits["train"]), len(first.splits["test"])) == (24, 4)
    assert first.description.examples == {"train": 24, "validation": 8, "test": 4}
    other = prepare(task, data, grid.model, Budget(test_examples=5))
    assert (len(other.splits["test"]), other.description.digest != first.description.digest) == (5, True)
    assert first.context == other.context


def test_what_is_scored_on_validation_is_the_same_training_and_never_sees_test(grid: TinyGrid) -> None:
    """The score is that which a cell scored on test found on validation; of test there is nothing in the record."""
    usual = run_cell(grid, budget=Budget(validation_examples=6))
    trial = run_cell(grid, budget=Budget(validation_examples=6, score_on="validation"))
    assert trial.losses == usual.losses
    assert trial.score == usual.validation_scores[0] is not None
    assert trial.validation_scores == []
    splits = read(task_of(grid)(), grid.folder / "tiny.tsv")
    assert trial.references == [example.label for example in splits["validation"][:6]]
    assert trial.data is not None
    assert trial.data.examples == {"train": 24, "validation": 0, "test": 6}


@pytest.mark.slow
def test_a_cell_after_others_is_as_the_first_of_its_process(grid: TinyGrid, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights in the file's pages and shared data: what `full` writes into must not be what the next one reads."""
    fresh = run_cell(grid)
    files = {path: path.read_bytes() for path in grid.model.iterdir()}
    made = run_cell(grid, "full")
    assert made.parameters is not None
    assert made.parameters.trainable > 10_000
    monkeypatch.setattr(train_data, "encode", None)  # not tokenised again
    again = run_cell(grid)
    for what in ("losses", "predictions", "references", "scores", "data", "validation_scores", "parameters"):
        assert getattr(again, what) == getattr(fresh, what), what
    assert {path: path.read_bytes() for path in grid.model.iterdir()} == files


def test_what_a_full_training_writes_stays_in_its_own_copy(grid: TinyGrid) -> None:
    import torch

    one, other = (load_model(grid.model, "classification", 2) for _ in range(2))
    before = {name: parameter.detach().clone() for name, parameter in other.base_model.named_parameters()}
    with torch.no_grad():
        for parameter in one.parameters():
            parameter.add_(1)
    third = load_model(grid.model, "classification", 2)
    for model in (other, third):
        assert all(torch.equal(p, before[name]) for name, p in model.base_model.named_parameters())


def test_nothing_of_a_cell_outlives_the_next_ones_start(grid: TinyGrid) -> None:
    """Settling between cells must not take a model out of the reach of the garbage collector for ever."""
    from torch import nn

    try:
        memory.freeze_gc()
        gc.unfreeze()
        before = sum(issubclass(type(each), nn.Module) for each in gc.get_objects())
        memory.freeze_gc()
        for method, params in (("pasta", {}), ("lora", {}), ("full", {}), ("steady", {})):
            run_cell(grid, method, params=params)
        memory.freeze_gc()
        gc.unfreeze()
        assert sum(issubclass(type(each), nn.Module) for each in gc.get_objects()) == before
    finally:
        gc.unfreeze()


def test_labels_and_numbers_of_a_split_are_arrays(grid: TinyGrid) -> None:
    made = prepare(task_of(grid), grid.folder / "tiny.tsv", grid.model, Budget()).splits["train"]
    assert made.references == [at % 2 for at in range(24)]
    assert isinstance(made.labels, np.ndarray)
    assert made.inputs["input_ids"][0].dtype == np.int32
