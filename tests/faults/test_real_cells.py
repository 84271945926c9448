"""Faults within real cells: a model of two layers that trains, in workers that have all the libraries."""

from __future__ import annotations

from pathlib import Path

import keeping
import pytest
import tiny_grid

from bench.records.store import Store

pytestmark = pytest.mark.slow

METHODS = "limited,stuck,deletes,chatty"


def test_each_cell_ends_as_a_record_with_its_reason_and_the_next_run_completes_the_rest(tmp_path: Path) -> None:
    grid, results = tiny_grid.build(tmp_path), tmp_path / "results"
    more = ("--seeds", "1", "--plugin", str(Path(__file__).with_name("faulty_methods.py")))
    process = grid.run(results, METHODS, *more, "--timeout", "15", TINY_MODEL=str(grid.model))
    assert process.returncode == 1
    assert "Traceback" not in process.stderr
    records = {record.cell.method: record for record in Store(results).all()[0]}
    statuses = {name: record.status for name, record in records.items()}
    assert statuses == {"limited": "oom", "stuck": "timeout", "deletes": "ok", "chatty": "error"}
    assert "DefaultCPUAllocator: can't allocate memory" in (records["limited"].reason or "")
    assert records["stuck"].reason == "the job ran longer than its limit of 15 s"
    trace = records["stuck"].traceback or ""
    assert "faulty_methods.py" in trace
    assert "in train" in trace
    assert grid.model.name in (records["chatty"].reason or "")  # the model has vanished
    assert keeping.twice(results) == keeping.damaged(results) == []

    refused = grid.run(results, METHODS, *more)
    assert refused.returncode == 2
    assert f"There is no file or folder {grid.model}" in refused.stderr

    grid.model.with_name("away").rename(grid.model)
    finished = keeping.finished(results)
    assert len(finished) == 1
    done = grid.run(results, METHODS, *more, TINY_CURED="1")
    assert done.returncode == 0, done.stderr
    keeping.assert_kept(finished, results)
    assert len(keeping.finished(results)) == len(METHODS.split(","))
