"""`python -m bench` as its users meet it: real processes, real training, on a model of two layers.

Every process costs seconds of imports, so a run serves several tests: the fixtures are the runs.
"""

from __future__ import annotations

import copy
import csv
import json
import math
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
import tiny_grid
from tiny_grid import TinyGrid, records

from bench.leaderboard.columns import CELLS, LEADERBOARD, names

pytestmark = pytest.mark.slow

FAILING = ("raises", "killer", "greedy", "diverges")
METHODS = (*FAILING, "refuses", "chatty", "steady")


class Ran(NamedTuple):
    """A run that ended: what it printed, and the records as it left them."""

    process: subprocess.CompletedProcess[str]
    results: Path
    records: dict[str, dict[str, Any]]
    files: dict[str, bytes]
    board: str
    timeline: str


def ran(process: subprocess.CompletedProcess[str], results: Path) -> Ran:
    files = {path.stem: path.read_bytes() for path in (results / "records").glob("*.json")}
    board, timeline = (results / name for name in ("leaderboard.csv", "timeline.csv"))
    texts = [file.read_text() if file.exists() else "" for file in (board, timeline)]
    return Ran(process, results, records(results), files, *texts)


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


@pytest.fixture(scope="module")
def forced(grid: TinyGrid, cured: Ran) -> Ran:
    """One of the finished cells again, in a process that runs nothing else."""
    results = shutil.copytree(cured.results, grid.folder / "forced")
    return ran(grid.run(results, "steady", "--seeds", "0,", "--force"), results)


# Cells that fail


def test_every_cell_ends_as_a_record_that_says_why(failing: Ran) -> None:
    assert {name: (each["status"], each["reason"]) for name, each in failing.records.items()} == {
        "raises": ("error", "ValueError: no such luck"),
        "killer": ("error", "the worker was killed by signal 9 (SIGKILL)"),
        "greedy": ("oom", "MemoryError"),
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
    assert found["greedy"] == (0, 1, "1 oom", None)
    assert found["refuses"] == (0, 0, "1 skipped", None)
    assert found["steady"][:3] == (1, 0, "ok")
    failures = [line for line in failing.process.stderr.splitlines() if line.startswith("Failed: ")]
    assert [line.split()[1] for line in failures] == list(FAILING)
    assert "Failed: raises on tiny, seed 0: error: ValueError: no such luck" in failures
    assert "[7/7] steady on tiny, seed 0: accuracy" in failing.process.stderr
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
    assert "14 cells, 2 of them finished already." in cured.process.stderr
    assert (cured.process.returncode, "Failed: " in cured.process.stderr) == (0, False)  # a skipped cell is fine
    for name, record in failing.records.items():
        again = cured.records[f"{name}/0"]
        assert again["id"] == record["id"]
        same = cured.files[record["id"]] == failing.files[record["id"]]
        assert same == (name in ("chatty", "steady"))
        assert again["status"] == ("skipped" if name == "refuses" else "ok")


def test_force_runs_a_finished_cell_again(cured: Ran, forced: Ran) -> None:
    before, after = cured.records["steady/0"], forced.records["steady/0"]
    assert "finished already" not in forced.process.stderr
    assert after["id"] == before["id"]
    assert after["started_at"] > before["finished_at"]
    changed = {key for key in cured.files if cured.files[key] != forced.files[key]}
    assert changed == {before["id"]}


def test_a_finished_grid_starts_no_worker(grid: TinyGrid, cured: Ran) -> None:
    log = cured.results / "logs" / "worker-0.log"
    before = log.stat().st_mtime_ns
    again = ran(grid.run(cured.results, "steady,chatty", "--seeds", "2"), cured.results)
    assert again.process.returncode == 0
    assert "4 cells, 4 of them finished already." in again.process.stderr
    assert "steady" in again.process.stdout
    assert "accuracy" in again.process.stdout
    assert again.files == cured.files
    assert log.stat().st_mtime_ns == before


# Where the time went


def test_the_run_says_where_its_time_went_and_the_parts_are_all_of_it(failing: Ran) -> None:
    parts = {row["part"]: float(row["worker_seconds"]) for row in csv.DictReader(failing.timeline.splitlines())}
    assert {"training", "evaluation", "loading", "failed cells", "outside cells"} <= set(parts)
    cells = [cell["timeline"] for cell in failing.records.values() if cell["status"] == "ok"]
    assert parts["training"] == pytest.approx(sum(each["train"] + each["batching"] for each in cells), abs=0.01)
    assert sum(parts.values()) < 500
    assert "Took " in failing.process.stderr


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
    assert "with 2 workers" in done.process.stderr


# The numbers


def test_a_cell_gives_the_same_numbers_bit_for_bit_whatever_ran_before_it(cured: Ran, forced: Ran) -> None:
    before, after = cured.records["steady/0"], forced.records["steady/0"]
    assert len(before["losses"]) == 18
    assert len(set(before["losses"])) > 9
    for what in ("losses", "predictions", "scores", "seeds", "data", "parameters"):
        assert after[what] == before[what], what


def test_seeds_differ_and_methods_at_one_seed_start_alike(cured: Ran) -> None:
    first, second, twin = (cured.records[key] for key in ("steady/0", "steady/1", "chatty/0"))
    assert all(a != b for a, b in zip(first["losses"], second["losses"], strict=True))
    assert first["seeds"].keys() == second["seeds"].keys()
    assert all(first["seeds"][axis] != second["seeds"][axis] for axis in first["seeds"])
    assert twin["losses"] == first["losses"]  # the same head, the same batches: both train the head alone


def test_what_the_suite_says_is_done(cured: Ran) -> None:
    record = cured.records["steady/0"]
    assert record["cell"]["preset"] == "tiny-suite"
    assert record["cell"]["task_revision"].startswith("tree-sha256:")
    assert len(record["references"]) == 12
    assert record["recipe"]["epochs"] == 3  # the method's own would be 2
    assert record["recipe"]["learning_rate"] == 1e-2  # the method's own
    sources = {"epochs": "suite tiny-suite", "learning_rate": "method", "dropout": "default", "masks": "device"}
    assert record["recipe_sources"].items() >= sources.items()
    scores = record["validation_scores"]
    assert len(scores) == 3
    assert record["chosen_epoch"] == scores.index(max(scores)) + 1


# verify


def test_verify_finds_an_honest_cell_the_same(grid: TinyGrid, cured: Ran) -> None:
    cell = cured.records["steady/1"]["id"]
    done = grid.bench("verify", cell[:10], "--results", str(cured.results), "--json", *grid.plugins)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"cell": cell, "same": True, "differences": [], "surroundings": []}
    assert {path.stem: path.read_bytes() for path in (cured.results / "records").iterdir()} == cured.files


def test_verify_names_the_step_of_a_changed_record(grid: TinyGrid, cured: Ran) -> None:
    record = copy.deepcopy(cured.records["steady/1"])
    record["losses"][4] = math.nextafter(record["losses"][4], 9)
    record["predictions"][2] ^= 1
    record["environment"]["versions"]["torch"] = "0.1"
    changed = grid.folder / "changed"
    (changed / "records").mkdir(parents=True)
    (changed / "records" / f"{record['id']}.json").write_text(json.dumps(record), encoding="utf-8")
    done = grid.bench("verify", record["id"], "--results", str(changed), *grid.plugins)
    assert done.returncode == 1
    assert "not the same: the loss differs from step 5 on; 1 of 12 predictions differ." in done.stdout
    assert "versions.torch is 0.1 in the record and " in done.stdout


# Drivers that are cut short


def cut_short(grid: TinyGrid, results: Path, number: signal.Signals) -> Ran:
    """Send the driver a signal in the middle of its second cell; what it and that cell's worker then leave."""
    mark = results.with_suffix(".mark")
    mark.unlink(missing_ok=True)
    command = ["run", *grid.options(results), "--methods", "steady,slow,chatty", "--seeds", "1"]
    with tiny_grid.ending(grid.start(*command, TINY_MARK=str(mark))) as driver:
        assert until(lambda: mark.exists() and mark.read_text(), 300)
        worker = int(mark.read_text())
        driver.send_signal(number)
        out, err = driver.communicate(timeout=120)
    if not until(lambda: gone(worker), 20):
        psutil.Process(worker).kill()
        pytest.fail("the worker has outlived its driver")
    return ran(subprocess.CompletedProcess(command, driver.returncode, out, err), results)


class Chain(NamedTuple):
    """Runs of one grid: two that were cut short in the middle of the slow cell, and one that was not."""

    interrupted: Ran
    killed: Ran
    finished: Ran


@pytest.fixture(scope="module")
def chain(grid: TinyGrid) -> Chain:
    results = grid.folder / "chain"
    interrupted, killed = (cut_short(grid, results, number) for number in (signal.SIGINT, signal.SIGKILL))
    last = grid.run(results, "steady,slow,chatty", "--seeds", "1", TINY_CURED="1")
    return Chain(interrupted, killed, ran(last, results))


def until(condition: Any, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return bool(condition())


def gone(pid: int) -> bool:
    """Whether the process has ended; an orphan's zombie waits for init and counts as ended."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_an_interrupted_driver_records_what_ran_and_keeps_what_is_done(chain: Chain) -> None:
    check_interrupted(chain.interrupted)


def test_a_scheduler_interrupts_as_a_user_does(grid: TinyGrid) -> None:
    check_interrupted(cut_short(grid, grid.folder / "terminated", signal.SIGTERM))


def check_interrupted(run: Ran) -> None:
    assert run.process.returncode == 130
    assert "Interrupted. The same command continues where this one stopped." in run.process.stderr
    assert "Traceback" not in run.process.stderr
    assert {name: each["status"] for name, each in run.records.items()} == {"steady": "ok", "slow": "interrupted"}
    assert run.records["slow"]["reason"] == "the run was interrupted"
    assert run.process.stderr.count("slow on tiny, seed 0: interrupted") == 1
    assert "Failed: " not in run.process.stderr
    assert run.board.count("1 interrupted") == 1


def test_a_killed_driver_leaves_what_is_done(chain: Chain) -> None:
    assert chain.killed.process.returncode == -signal.SIGKILL
    assert chain.killed.files == chain.interrupted.files


def test_the_next_run_goes_on_where_each_was_cut_short(chain: Chain) -> None:
    for run in (chain.killed, chain.finished):
        assert "3 cells, 1 of them finished already." in run.process.stderr
    assert chain.finished.process.returncode == 0
    assert {name: each["status"] for name, each in chain.finished.records.items()} == dict.fromkeys(
        ("steady", "slow", "chatty"), "ok"
    )
    done = chain.interrupted.records["steady"]["id"]
    assert chain.finished.files[done] == chain.interrupted.files[done]
