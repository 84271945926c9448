"""`python -m bench` as its users meet it: real processes, real training, on a model of two layers.

Every process costs seconds of imports, so a run serves several tests: the fixtures are the runs.
"""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import tiny_grid
from tiny_grid import TinyGrid, records

from bench.leaderboard.columns import CELLS, LEADERBOARD, names

pytestmark = pytest.mark.slow

FAILING = ("raises", "killer", "diverges")
METHODS = (*FAILING, "refuses", "chatty", "steady")


class Ran(NamedTuple):
    """A run that ended: what it printed, and the records as it left them."""

    process: subprocess.CompletedProcess[str]
    results: Path
    records: dict[str, dict[str, Any]]
    files: dict[str, bytes]
    board: str


def ran(process: subprocess.CompletedProcess[str], results: Path) -> Ran:
    files = {path.stem: path.read_bytes() for path in (results / "records").glob("*.json")}
    return Ran(process, results, records(results), files, (results / "leaderboard.csv").read_text())


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> TinyGrid:
    return tiny_grid.build(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def failing(grid: TinyGrid) -> Ran:
    """One seed of methods that fail in every way, and of two that work, the last of all among them."""
    results = grid.folder / "failing"
    return ran(grid.run(results, ",".join(METHODS), "--seeds", "1", "--json"), results)


@pytest.fixture(scope="module")
def cured(grid: TinyGrid, failing: Ran) -> Ran:
    """The same again with one seed more, the failures' causes removed."""
    return ran(grid.run(failing.results, ",".join(METHODS), "--seeds", "2", TINY_CURED="1"), failing.results)


# Cells that fail


def test_every_cell_ends_as_a_record_that_says_why(failing: Ran) -> None:
    assert {name: (each["status"], each["reason"]) for name, each in failing.records.items()} == {
        "raises": ("error", "ValueError: no such luck"),
        "killer": ("error", "the worker was killed by signal 9 (SIGKILL)"),
        "diverges": ("error", "TrainingError: the loss is nan at step 3 of 12"),
        "refuses": ("skipped", "it needs a model with wings"),
        "chatty": ("ok", None),
        "steady": ("ok", None),
    }
    assert failing.process.returncode == 1
    raised = failing.records["raises"]["traceback"]
    assert "in misbehave" in raised
    assert "and a second line" in raised
    assert str(failing.results.parent) not in raised
    assert "last words" in failing.records["killer"]["traceback"]
    assert failing.records["steady"]["traceback"] is None
    assert failing.records["diverges"]["losses"] == []


def test_standard_error_names_the_failures_and_standard_output_is_json_alone(failing: Ran) -> None:
    rows = json.loads(failing.process.stdout)  # although the plugin prints when it is imported
    assert all(tuple(row) == names(LEADERBOARD) for row in rows)
    found = {row["method"]: (row["n_seeds"], row["n_failed"], row["status"], row["score_mean"]) for row in rows}
    assert found["raises"] == (0, 1, "1 error", None)
    assert found["refuses"] == (0, 0, "1 skipped", None)
    assert found["steady"][:3] == (1, 0, "ok")
    failures = [line for line in failing.process.stderr.splitlines() if line.startswith("Failed: ")]
    assert [line.split()[1] for line in failures] == list(FAILING)
    assert "Failed: raises on tiny, seed 0: error: ValueError: no such luck" in failures
    assert "[6/6] steady on tiny, seed 0: accuracy" in failing.process.stderr
    assert "Traceback" not in failing.process.stderr
    log = (failing.results / "logs" / "worker-0.log").read_text()
    assert "a plugin that talks while it works" in log
    assert "a plugin that talks" not in failing.process.stdout


def test_the_tables_hold_the_failures_too(failing: Ran, cured: Ran) -> None:
    with (cured.results / "cells.csv").open(newline="") as lines:
        cells = list(csv.DictReader(lines))
    with (cured.results / "leaderboard.csv").open(newline="") as lines:
        board = list(csv.DictReader(lines))
    assert tuple(cells[0]) == names(CELLS)
    assert tuple(board[0]) == names(LEADERBOARD)
    assert {(row["method"], row["seed"]) for row in cells} == {(name, seed) for name in METHODS for seed in "01"}
    assert {row["method"]: row["status"] for row in board} == {
        **dict.fromkeys(METHODS, "ok"),
        "refuses": "2 skipped",
    }
    refused = next(row for row in board if row["method"] == "refuses")
    assert refused["score_mean"] == refused["peak_train_memory_mib"] == refused["trainable_params"] == ""
    assert next(row for row in board if row["method"] == "steady")["trainable_params"] == "0"


# What is not run again


def test_the_next_run_repeats_what_failed_and_nothing_else(failing: Ran, cured: Ran) -> None:
    assert "12 cells, 2 of them finished already." in cured.process.stderr
    assert (cured.process.returncode, "Failed: " in cured.process.stderr) == (0, False)  # a skipped cell is fine
    for name, record in failing.records.items():
        again = cured.records[f"{name}/0"]
        assert again["id"] == record["id"]
        same = cured.files[record["id"]] == failing.files[record["id"]]
        assert same == (name in ("chatty", "steady"))
        assert again["status"] == ("skipped" if name == "refuses" else "ok")


# Several workers


def test_two_workers_give_the_numbers_of_one_and_their_throughput_is_marked_as_shared(
    grid: TinyGrid, cured: Ran
) -> None:
    results = grid.folder / "two"
    done = ran(grid.run(results, "steady,chatty", "--seeds", "2", "--workers", "2", TINY_CURED="1"), results)
    assert done.process.returncode == 0
    assert len(done.records) == 4
    for key, found in done.records.items():
        for what in ("losses", "predictions", "scores", "data", "parameters"):
            assert found[what] == cured.records[key][what], what
        speed = found["speed"]
        assert (speed["workers"], speed["exclusive"], speed["steps_counted"]) == (2, False, 18 - 3)
        assert cured.records[key]["speed"]["exclusive"] is True
    assert all(row["train_examples_per_second"] == "" for row in csv.DictReader(done.board.splitlines()))
    alone = [row for row in csv.DictReader(cured.board.splitlines()) if row["status"] == "ok"]
    assert all(row["train_examples_per_second"] for row in alone)


# The numbers


def test_seeds_differ_and_methods_at_one_seed_start_alike(cured: Ran) -> None:
    first, second, twin = (cured.records[key] for key in ("steady/0", "steady/1", "chatty/0"))
    assert all(a != b for a, b in zip(first["losses"], second["losses"], strict=True))
    assert first["seeds"].keys() == second["seeds"].keys()
    assert all(first["seeds"][axis] != second["seeds"][axis] for axis in first["seeds"])
    assert twin["losses"] == first["losses"]  # the same head, the same batches: both train the head alone


def test_a_record_has_its_recipe_and_where_it_is_from(cured: Ran) -> None:
    record = cured.records["steady/0"]
    assert (record["recipe"]["epochs"], record["recipe"]["learning_rate"]) == (3, 1e-2)
    sources = {"epochs": "suite tiny-suite", "learning_rate": "method", "dropout": "default", "masks": "device"}
    assert record["recipe_sources"].items() >= sources.items()
