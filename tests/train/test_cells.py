"""Cells in this process, start to record: what a record holds, how a cell ends, and that it leaves nothing behind."""

from __future__ import annotations

import gc
import math
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_grid
import torch
from made import cell
from safetensors.torch import load_file, save_file
from scoring import score
from tiny import HIDDEN, LAYERS
from tiny_grid import TinyGrid
from torch import nn

from bench import profiles
from bench.executors import Retire
from bench.grid.suites import Budget
from bench.leaderboard.load import notes_of
from bench.measure.memory import freeze_gc
from bench.plugins import registry
from bench.records.record import Memory, Record
from bench.records.store import Store
from bench.train import data as train_data
from bench.train import worker
from bench.train.assignment import Assignment
from bench.train.cell import NO_POOLER
from bench.train.data import prepare, read

pytestmark = pytest.mark.usefixtures("frozen_gc")

HARDER = [("the very bad road", 0), ("a street of good film", 1), ("not good", 0), ("not bad and not good", 1)]
NUMBERS = ("losses", "validation_scores", "chosen_step", "predictions", "references", "scores", "constant_score")


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> TinyGrid:
    return tiny_grid.build(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def extra_grid(tmp_path_factory: pytest.TempPathFactory) -> TinyGrid:
    """The tiny grid, its task with an extra test."""
    grid = tiny_grid.build(tmp_path_factory.mktemp("extra"))
    file, data = grid.folder / "tiny_task.py", grid.folder / "tiny.tsv"
    text = file.read_text(encoding="utf-8")
    text = text.replace("    max_length = 16\n", '    max_length = 16\n    extra_tests = ("harder",)\n')
    text = text.replace("name in SPLITS}", 'name in (*SPLITS, "harder")}')
    assert text.count("harder") == 2
    file.write_text(text, encoding="utf-8")
    rows = "".join(f"harder\t{label}\t{words} {number}\n" for number in "12" for words, label in HARDER)
    data.write_text(data.read_text(encoding="utf-8") + rows, encoding="utf-8")
    return grid


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    prepare.cache_clear()
    before = torch.are_deterministic_algorithms_enabled()
    yield
    torch.use_deterministic_algorithms(before)


def assignment(
    grid: TinyGrid, method: str = "steady", results: Path | None = None, budget: Budget | None = None, **changes: Any
) -> Assignment:
    asked = cell(
        method,
        task="tiny",
        profile=profiles.load(str(grid.profile)),
        budget=budget or Budget(choose="best"),
        **{"recipe": {"epochs": 3, "min_steps": 0}, "params": {}, **changes},
    )
    files = tuple(grid.folder / name for name in ("tiny_task.py", "tiny_methods.py"))
    return Assignment(asked, grid.folder / "tiny.tsv", grid.model, files, 1, results, results is not None)


def run_cell(grid: TinyGrid, method: str = "steady", **changes: Any) -> Record:
    record, _ = worker.run_cell(assignment(grid, method, **changes), lambda data: None)
    assert record.status == "ok", record.traceback
    return record


def task_of(grid: TinyGrid) -> Any:
    return registry.tasks([grid.folder / "tiny_task.py"]).get("tiny").plugin


# What a record holds


def test_a_cell_is_trained_with_the_pooling_that_it_names(grid: TinyGrid) -> None:
    plain, pooled = (run_cell(grid, pooling=how) for how in ("model", "mean"))
    assert (plain.cell.pooling, pooled.cell.pooling) == ("model", "mean")
    assert plain.id != pooled.id
    assert plain.losses != pooled.losses
    assert plain.parameters is not None
    assert pooled.parameters is not None
    assert plain.parameters.base - pooled.parameters.base == 32 * 32 + 32  # the pooler, which nothing reads


def test_without_a_pooler_a_cell_says_what_is_in_its_place(grid: TinyGrid, tmp_path: Path) -> None:
    """It depends on the seed alone: not on torch's global generator, from which transformers draws it."""
    model = Path(shutil.copytree(grid.model, tmp_path / "model"))
    tensors = load_file(model / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if "pooler." not in name}
    save_file(kept, model / "model.safetensors", {"format": "pt"})
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        asked = replace(assignment(grid, budget=Budget(train_examples=8)), model=model)
        record, _ = worker.run_cell(asked, lambda data: None)
        assert record.status == "ok", record.traceback
        found.append(record)
    assert found[0].losses == found[1].losses
    assert found[0].notes == [NO_POOLER]
    assert found[0].parameters is not None
    assert found[0].parameters.head == 32 * 32 + 32 + 2 * 32 + 2
    assert notes_of(found) == [f"{NO_POOLER} (2 cells)"]


def test_a_record_is_complete_and_true(grid: TinyGrid, tmp_path: Path) -> None:
    reports: list[dict[str, Any]] = []
    asked = assignment(grid, results=tmp_path, budget=Budget(choose="best", test_examples=12))
    returned = worker.run(asked, reports.append)
    record = Store(tmp_path).read(asked.cell.id)
    assert record == returned
    assert record is not None
    assert record.references == [at % 2 for at in range(12)]
    right = sum(a == b for a, b in zip(record.predictions, record.references, strict=True))
    assert (record.scores["accuracy"], record.constant_score) == (right / 12, 0.5)
    assert len(record.validation_scores) == 3
    assert record.validation_steps == [6, 12, 18]
    assert record.validation_score == max(filter(None, record.validation_scores))
    best = record.validation_scores.index(record.validation_score)
    assert record.chosen_step == record.validation_steps[best]
    assert record.data is not None
    assert record.data.examples == {"train": 24, "validation": 8, "test": 12}
    assert record.data.label_counts["train"] == {"bad": 12, "good": 12}
    assert record.parameters is not None
    assert (record.parameters.head, record.parameters.trainable, record.parameters.method) == (2 * 32 + 2, 0, 0)
    assert record.speed is not None
    assert record.speed.steps_counted + record.speed.steps_dropped == record.last_step == len(record.losses) == 18
    assert (record.speed.workers, record.speed.exclusive) == (1, True)
    assert (record.speed.machine_gflops or 0) > 0
    assert record.memory is not None
    assert record.memory.kind == "cpu-tensors"
    assert (record.memory.train_peak_mib or 0) > (record.memory.train_growth_mib or 0) > 0
    assert (record.memory.eval_peak_mib or 0) > (record.memory.eval_growth_mib or 0) > 0
    assert (record.memory.process_peak_mib or 0) > (record.memory.train_peak_mib or 0)
    assert 1e4 < (record.inference_flops or 0) < 1e8
    adapter = tmp_path / (record.adapter or "")
    sizes = {file.name: file.stat().st_size for file in adapter.iterdir()}
    assert sizes.keys() == {"adapter.json", "adapter.safetensors", "cell.json", "README.md"}
    assert record.adapter_bytes == sizes["adapter.json"] + sizes["adapter.safetensors"] > 4 * record.parameters.head
    phases = {name: seconds for name, seconds in record.timeline.items() if name != "total"}
    assert math.isclose(sum(phases.values()), record.timeline["total"], rel_tol=1e-9)
    assert {"set up", "read data", "load model", "batching", "train", "validate", "test", "save"} <= phases.keys()
    assert record.environment["versions"]["torch"]
    assert reports[0]["steps"] == 18


def test_a_training_that_came_to_nothing_says_so(grid: TinyGrid) -> None:
    """One that hardly moves answers with one class; one that explodes ends where it began, or above."""
    settings = {"epochs": 20, "min_steps": 0}
    for split in ("test", "validation"):
        budget = Budget(score_on=split)  # type: ignore[arg-type]
        assert run_cell(grid, "full", budget=budget, recipe={**settings, "learning_rate": 1e-3}).collapsed is None
        still = run_cell(grid, budget=budget, recipe={**settings, "learning_rate": 1e-9})
        assert still.collapsed == "the validation score is no better than a constant answer's"
    wild = run_cell(grid, budget=Budget(validation_examples=0), recipe={**settings, "learning_rate": 100})
    assert wild.collapsed == "the training loss ended no lower than a constant answer's"


def test_what_is_scored_on_validation_is_the_same_training_and_never_sees_test(grid: TinyGrid) -> None:
    """The score is that which a cell scored on test found on validation; the record holds nothing of test."""
    usual = run_cell(grid, budget=Budget(validation_examples=6))
    trial = run_cell(grid, budget=Budget(validation_examples=6, score_on="validation"))
    assert trial.losses == usual.losses
    assert trial.score == usual.validation_scores[0] is not None
    assert trial.validation_scores == []
    splits = read(task_of(grid)(), grid.folder / "tiny.tsv")
    assert trial.references == [example.label for example in splits["validation"][:6]]
    assert trial.data is not None
    assert trial.data.examples == {"train": 24, "validation": 0, "test": 6}


def test_an_extra_test_is_scored_apart_and_changes_nothing_else(grid: TinyGrid, extra_grid: TinyGrid) -> None:
    plain, record = run_cell(grid), run_cell(extra_grid)
    extra = record.extra_tests["harder"]
    assert extra.references == [label for _ in "12" for _, label in HARDER]
    assert len(extra.predictions) == 8
    assert extra.scores == score("accuracy", extra.predictions, extra.references, ("bad", "good"))
    assert extra.constant_score == 0.5
    assert record.data is not None
    assert record.data.examples == {"train": 24, "validation": 8, "test": 16, "harder": 8}
    assert record.data.label_counts["harder"] == {"bad": 4, "good": 4}
    assert record.timeline["extra tests"] > 0
    assert plain.extra_tests == {}
    for what in NUMBERS:
        assert getattr(record, what) == getattr(plain, what), what


def test_the_budget_of_test_is_that_of_an_extra_test(extra_grid: TinyGrid) -> None:
    record = run_cell(extra_grid, budget=Budget(test_examples=5))
    assert (len(record.predictions), len(record.extra_tests["harder"].predictions)) == (5, 5)


# How a cell ends


@pytest.mark.parametrize(
    ("method", "status", "reason"),
    [
        ("raises", "error", "ValueError: no such luck"),
        ("greedy", "oom", "MemoryError"),
        ("diverges", "error", "TrainingError: the loss is nan at step 3 of 18"),
        ("refuses", "skipped", "it needs a model with wings"),
    ],
)
def test_a_cell_that_fails_ends_as_a_record(
    grid: TinyGrid, tmp_path: Path, method: str, status: str, reason: str
) -> None:
    asked = assignment(grid, method, tmp_path)
    result = worker.run(asked, lambda data: None)
    assert isinstance(result, Retire) == (status == "oom")  # a process that ran out of memory is replaced
    record = result.result if isinstance(result, Retire) else result
    assert record == Store(tmp_path).read(asked.cell.id)
    assert (record.status, record.reason) == (status, reason)
    assert (record.traceback is None) == (status == "skipped")
    assert str(grid.folder.parents[1]) not in (record.traceback or "")
    assert record.scores == {}
    assert record.metric == "accuracy"


# What a cell leaves to the next


def memory_of(grid: TinyGrid, method: str, **changes: Any) -> Memory:
    memory = run_cell(grid, method, **changes).memory
    assert memory is not None
    return memory


def test_memory_is_the_same_first_and_last_in_a_process(grid: TinyGrid) -> None:
    first, *_, last = [memory_of(grid, name) for name in ("pasta", "full", "head", "lora", "prompt_tuning", "pasta")]
    for figure in ("train_peak_mib", "train_growth_mib", "eval_peak_mib", "eval_growth_mib"):
        assert getattr(last, figure) == pytest.approx(getattr(first, figure), rel=0.01), figure


def test_memory_of_two_methods_differs_by_what_they_store(grid: TinyGrid) -> None:
    """The model by what a method adds; the peak of a training also by the best point, gradients and two states."""
    small, large = ({"r": 2, "alpha": 4}, {"r": 16, "alpha": 4})
    trainings = {name: memory_of(grid, name) for name in ("pasta", "lora")}
    model = {name: (m.train_peak_mib or 0) - (m.train_growth_mib or 0) for name, m in trainings.items()}
    counts = {name: run_cell(grid, name).parameters for name in trainings}
    more = counts["lora"].method - counts["pasta"].method  # type: ignore[union-attr]
    assert (model["lora"] - model["pasta"]) * 2**20 == pytest.approx(4 * more, abs=64)  # PASTA keeps token ids
    less, most = (memory_of(grid, "lora", params=params) for params in (small, large))
    bytes_a_rank = 4 * 2 * 2 * LAYERS  # of one number in each of two matrices on query and on value in each layer
    stored = (16 - 2) * bytes_a_rank * HIDDEN
    grown = ((most.train_peak_mib or 0) - (less.train_peak_mib or 0)) * 2**20
    activations = (16 - 2) * bytes_a_rank * 4 * 16  # of four examples of at most 16 tokens, for each product
    assert 5 * stored <= grown <= 5 * stored + 2 * activations


def test_a_cell_after_others_is_as_the_first_of_its_process(grid: TinyGrid, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights in the file's pages and shared data: what `full` writes must not be what the next cell reads."""
    fresh = run_cell(grid)
    files = {path: path.read_bytes() for path in grid.model.iterdir()}
    full = run_cell(grid, "full")
    assert full.parameters is not None
    assert full.parameters.trainable > 10_000
    monkeypatch.setattr(train_data, "encode", None)  # not tokenised again
    again = run_cell(grid)
    for what in (*NUMBERS, "data", "parameters"):
        assert getattr(again, what) == getattr(fresh, what), what
    assert {path: path.read_bytes() for path in grid.model.iterdir()} == files


def test_nothing_of_a_cell_outlives_the_next_ones_start(grid: TinyGrid) -> None:
    """Freezing between cells must not take a model out of the garbage collector's reach for ever."""

    def modules() -> int:
        freeze_gc()
        gc.unfreeze()
        return sum(issubclass(type(each), nn.Module) for each in gc.get_objects())

    gc.unfreeze()
    before = modules()
    freeze_gc()
    for method in ("pasta", "full"):
        run_cell(grid, method)
    assert modules() == before
    freeze_gc()
