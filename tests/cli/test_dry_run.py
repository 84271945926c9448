"""What `run --dry-run` shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tiny_grid
from commandline import Bench, run_options
from tiny_grid import TinyGrid

from bench.leaderboard import columns
from bench.records.record import new_record
from bench.records.store import Store
from bench.runner.options import Options
from bench.runner.plan import plan
from bench.runner.request import Request
from bench.sources.digest import tree_digest


def dry_run(bench: Bench, grid: TinyGrid, results: Path, *more: object, **changed: object) -> list[dict[str, Any]]:
    done = bench(*run_options(grid, results, **changed), "--dry-run", "--json", *more)
    assert done.code == 0, done.err
    rows: list[dict[str, Any]] = json.loads(done.out)
    return rows


def test_a_dry_run_shows_the_cells_and_writes_nothing(bench: Bench, grid: TinyGrid, tmp_path: Path) -> None:
    results = tmp_path / "results"
    rows = dry_run(bench, grid, results, methods="steady,chatty,steady[width=2]", seeds="2")
    shown = [(row["seed"], row["method"], row["method_params"], row["finished"]) for row in rows]
    names = [("steady", ""), ("chatty", ""), ("steady", "width=2")]
    assert shown == [(seed, *name, False) for seed in (0, 1) for name in names]
    assert len({row["cell"] for row in rows}) == 6
    assert set(rows[0]) <= {*columns.names(columns.CELLS), "finished", "estimated_seconds"}
    assert all(row["preset"] == "tiny-suite" and row["profile"] == "tiny-cpu" for row in rows)
    assert not results.exists()
    text = bench(*run_options(grid, results, seeds="2"), "--dry-run").out
    assert "4 cells, 0 finished. Profile tiny-cpu: " in text
    assert "Estimated time: unknown, until similar cells have been run." in text


def test_a_suite_is_the_default_and_options_replace_it(bench: Bench, grid: TinyGrid, tmp_path: Path) -> None:
    assert [(row["method"], row["seed"]) for row in dry_run(bench, grid, tmp_path)] == [("steady", 7), ("chatty", 7)]
    rows = dry_run(bench, grid, tmp_path, suite=None, model=grid.model, tasks="tiny", methods="steady")
    name = f"tiny-bert@{tree_digest(grid.model).partition(':')[2][:8]}"
    assert [(row["seed"], row["preset"], row["model"]) for row in rows] == [(s, "quick", name) for s in range(3)]


def test_one_method_written_in_two_ways_is_one_cell(bench: Bench, grid: TinyGrid, tmp_path: Path) -> None:
    methods = "steady,steady[width=1],steady[wide=false],steady[wide=true,width=2],steady[width=2,wide=true]"
    assert len(dry_run(bench, grid, tmp_path, methods=methods, tasks="tiny,tiny")) == 2


def test_more_workers_are_another_profile(bench: Bench, grid: TinyGrid, tmp_path: Path) -> None:
    alone, usual, shared = (dry_run(bench, grid, tmp_path, workers=workers) for workers in (None, 1, 2))
    assert [row["cell"] for row in alone] == [row["cell"] for row in usual]
    assert {row["profile"] for row in shared} == {"tiny-cpu-2w"}
    assert {row["cell"] for row in shared}.isdisjoint(row["cell"] for row in alone)


def test_changed_data_or_another_budget_is_another_cell(bench: Bench, tmp_path: Path) -> None:
    grid = tiny_grid.build(tmp_path)
    ids = [[row["cell"] for row in dry_run(bench, grid, tmp_path / "r")]]
    for path, old, new in (
        (grid.folder / "tiny.tsv", "train\t0", "train\t1"),
        (grid.suite, "test_examples = 12", "test_examples = 11"),
        (grid.profile, "threads = 1", 'threads = "all"'),
        (grid.model / "config.json", "{", "{ "),
    ):
        path.write_text(path.read_text().replace(old, new, 1))
        ids.append([row["cell"] for row in dry_run(bench, grid, tmp_path / "r")])
    assert len({cell for each in ids for cell in each}) == 10


def test_a_dry_run_knows_what_is_finished_and_how_long_the_rest_takes(
    bench: Bench, grid: TinyGrid, tmp_path: Path
) -> None:
    done = new_record(plan(Request.of(Options("steady", results=tmp_path, **grid.keywords))).cells[0])
    done.status, done.timeline = "ok", {"total": 100.0}
    Store(tmp_path).write(done)
    first, second = dry_run(bench, grid, tmp_path)
    assert (first["cell"], first["finished"], first["estimated_seconds"]) == (done.id, True, None)
    assert (second["finished"], second["estimated_seconds"]) == (False, 100.0)
    text = bench(*run_options(grid, tmp_path), "--dry-run").out
    assert "2 cells, 1 finished." in text
    assert "Estimated time: 2 min." in text
    assert [row["finished"] for row in dry_run(bench, grid, tmp_path, "--force")] == [False, False]
