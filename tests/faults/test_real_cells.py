"""Faults within real cells: a model of two layers that trains, in workers that have all the libraries."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

import keeping
import pytest
import tiny_grid
from tiny_grid import TinyGrid

from bench.records.record import Record
from bench.records.store import Store

pytestmark = pytest.mark.slow

METHODS = "steady,overflows,forks,follows,limited,killed,stuck,deletes,chatty"


class Ran(NamedTuple):
    grid: TinyGrid
    results: Path
    process: subprocess.CompletedProcess[str]
    refused: subprocess.CompletedProcess[str]
    records: dict[str, Record]
    finished: dict[str, bytes]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """One run of them all, the model's files gone from the last but one on; and one that misses them at once."""
    grid = tiny_grid.build(tmp_path_factory.mktemp("tiny"))
    faulty = Path(__file__).with_name("faulty_methods.py").read_text(encoding="utf-8")
    with (grid.folder / "tiny_methods.py").open("a", encoding="utf-8") as file:
        file.write(faulty.replace("from __future__ import annotations\n", ""))
    results, children = grid.folder / "results", grid.folder / "children"
    environment = {"TINY_MARK": str(children), "TINY_MODEL": str(grid.model)}
    process = grid.run(results, METHODS, "--seeds", "1", "--timeout", "15", **environment)
    refused = grid.run(results, METHODS, "--seeds", "1")
    grid.model.with_name("away").rename(grid.model)
    records = {record.cell.method: record for record in Store(results).all()[0]}
    return Ran(grid, results, process, refused, records, keeping.finished(results))


def test_each_cell_ends_as_a_record_with_its_reason(ran: Ran) -> None:
    assert ran.process.returncode == 1
    assert "Traceback" not in ran.process.stderr
    well = ("steady", "forks", "follows", "deletes")
    assert {name: (ran.records[name].status, ran.records[name].reason) for name in well} == dict.fromkeys(
        well, ("ok", None)
    )
    assert {name: record.status for name, record in ran.records.items() if name not in well} == {
        "overflows": "error",
        "limited": "oom",
        "killed": "error",
        "stuck": "timeout",
        "chatty": "error",
    }
    assert keeping.twice(ran.results) == keeping.damaged(ran.results) == []


def test_answers_that_are_no_numbers_are_no_score(ran: Ran) -> None:
    """Its losses are all finite: only the answers give it away."""
    record = ran.records["overflows"]
    assert record.reason == "PredictionError: the trained model's predictions for 8 of 8 examples are not numbers"
    assert (record.scores, record.predictions) == ({}, [])


def test_a_process_that_may_not_have_more_memory_is_out_of_memory(ran: Ran) -> None:
    assert "DefaultCPUAllocator: can't allocate memory" in (ran.records["limited"].reason or "")


def test_where_a_worker_died_or_hung_is_in_the_record(ran: Ran) -> None:
    assert ran.records["killed"].reason == "the worker was killed by signal 9 (SIGKILL)"
    assert ran.records["stuck"].reason == "the job ran longer than its limit of 15 s"
    trace = ran.records["stuck"].traceback or ""
    assert "tiny_methods.py" in trace
    assert "in train" in trace


def test_processes_that_a_cell_left_behind_are_ended_before_the_next_one(ran: Ran) -> None:
    started = (ran.grid.folder / "children").read_text().split()
    assert len(started) == 2
    assert not any(keeping.runs(int(pid)) for pid in started)


def test_a_model_that_vanishes_is_the_reason_of_the_cells_that_needed_it(ran: Ran) -> None:
    assert ran.grid.model.name in (ran.records["chatty"].reason or "")
    assert ran.refused.returncode == 2
    assert f"There is no file or folder {ran.grid.model}" in ran.refused.stderr


def test_the_next_run_completes_the_rest_and_touches_nothing_that_was_finished(ran: Ran) -> None:
    assert len(ran.finished) == 4
    done = ran.grid.run(ran.results, METHODS, "--seeds", "1", TINY_CURED="1")
    assert done.returncode == 0, done.stderr
    keeping.assert_kept(ran.finished, ran.results)
    assert len(keeping.finished(ran.results)) == len(METHODS.split(","))
