"""A task with an extra test, from its file to the tables: real cells of the tiny model."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_grid
from made import cell
from tiny_grid import TinyGrid

from bench import profiles
from bench.grid.suites import Budget
from bench.plugins import metrics
from bench.records.record import Record
from bench.train.assignment import Assignment
from bench.train.worker import run_cell

HARDER = [("the very bad road", 0), ("a street of good film", 1), ("not good", 0), ("not bad and not good", 1)]


def give_the_task_an_extra_test(grid: TinyGrid) -> None:
    file, data = grid.folder / "tiny_task.py", grid.folder / "tiny.tsv"
    text = file.read_text(encoding="utf-8")
    text = text.replace("    max_length = 16\n", '    max_length = 16\n    extra_tests = ("harder",)\n')
    text = text.replace("name in SPLITS}", 'name in (*SPLITS, "harder")}')
    assert text.count("harder") == 2
    file.write_text(text, encoding="utf-8")
    rows = "".join(f"harder\t{label}\t{words} {number}\n" for number in "12" for words, label in HARDER)
    data.write_text(data.read_text(encoding="utf-8") + rows, encoding="utf-8")


@pytest.fixture(scope="module")
def grids(tmp_path_factory: pytest.TempPathFactory) -> tuple[TinyGrid, TinyGrid]:
    """The tiny grid as it is, and with an extra test."""
    made = [tiny_grid.build(tmp_path_factory.mktemp(name)) for name in ("plain", "extra")]
    give_the_task_an_extra_test(made[1])
    return made[0], made[1]


@pytest.fixture(scope="module", autouse=True)
def _torch_as_it_was() -> Iterator[None]:
    import torch

    before = torch.are_deterministic_algorithms_enabled()
    yield
    torch.use_deterministic_algorithms(before)


@pytest.fixture(scope="module")
def ran(grids: tuple[TinyGrid, TinyGrid]) -> tuple[Record, Record]:
    """One cell of each grid, in this process."""
    return _run(grids[0]), _run(grids[1])


def _run(grid: TinyGrid, **budget: Any) -> Record:
    asked = cell(
        "steady",
        task="tiny",
        profile=profiles.load(str(grid.profile)),
        budget=Budget(choose="best", **budget),
        recipe={"epochs": 3},
    )
    files = tuple(grid.folder / name for name in ("tiny_task.py", "tiny_methods.py"))
    record = run_cell(Assignment(asked, grid.folder / "tiny.tsv", grid.model, files, 1, None), lambda data: None)
    assert record.status == "ok", record.traceback
    return record


def test_the_record_holds_the_extra_tests_answers_and_scores(ran: tuple[Record, Record]) -> None:
    extra = ran[1].extra_tests["harder"]
    assert extra.references == [label for _ in "12" for _, label in HARDER]
    assert len(extra.predictions) == 8
    assert extra.scores == metrics.score("accuracy", extra.predictions, extra.references, ("bad", "good"))
    assert extra.constant_score == 0.5
    assert ran[1].data is not None
    assert ran[1].data.examples == {"train": 24, "validation": 8, "test": 16, "harder": 8}
    assert ran[1].data.label_counts["harder"] == {"bad": 4, "good": 4}
    assert ran[1].timeline["extra tests"] > 0


def test_an_extra_test_changes_nothing_else(ran: tuple[Record, Record]) -> None:
    """Training, the choice of the epoch and the main test are the same to the bit."""
    plain, extra = ran
    assert plain.extra_tests == {}
    assert "extra tests" not in plain.timeline
    for what in (
        "losses",
        "validation_scores",
        "chosen_epoch",
        "predictions",
        "references",
        "scores",
        "constant_score",
    ):
        assert getattr(extra, what) == getattr(plain, what), what
    assert extra.speed is not None
    assert plain.speed is not None
    assert extra.speed.steps_counted == plain.speed.steps_counted


def test_the_budget_of_test_is_that_of_an_extra_test(grids: tuple[TinyGrid, TinyGrid]) -> None:
    record = _run(grids[1], test_examples=5)
    assert (len(record.predictions), len(record.extra_tests["harder"].predictions)) == (5, 5)


@pytest.mark.slow
def test_rows_and_verify_from_the_command_line(grids: tuple[TinyGrid, TinyGrid]) -> None:
    grid, results = grids[1], grids[1].folder / "results"
    done = grid.run(results, "steady,raises", "--seeds", "2", "--json")
    assert done.returncode == 1  # one of the methods raises
    rows = {(row["task"], row["method"]): row for row in json.loads(done.stdout)}
    assert set(rows) == {(task, method) for task in ("tiny", "tiny/harder") for method in ("steady", "raises")}
    records = tiny_grid.records(results)
    harder = [records[f"steady/{seed}"]["extra_tests"]["harder"]["scores"]["accuracy"] for seed in (0, 1)]
    assert rows["tiny/harder", "steady"]["score_mean"] == pytest.approx(sum(harder) / 2)
    assert rows["tiny/harder", "raises"]["status"] == "2 error"
    with (results / "cells.csv").open(newline="") as lines:
        cells = [row for row in csv.DictReader(lines) if row["task"] == "tiny/harder" and row["status"] == "ok"]
    assert [float(row["score"]) for row in cells] == harder

    one = records["steady/0"]
    done = grid.bench("verify", one["id"], "--results", str(results), "--json", *grid.plugins)
    assert json.loads(done.stdout)["same"] is True
    one["extra_tests"]["harder"]["predictions"][0] ^= 1
    path = Path(results, "records", f"{one['id']}.json")
    path.write_text(json.dumps(one), encoding="utf-8")
    done = grid.bench("verify", one["id"], "--results", str(results), "--json", *grid.plugins)
    assert json.loads(done.stdout)["differences"] == ["1 of 8 predictions on harder differ"]
