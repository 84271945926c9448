"""Disks that are full or may not be written, and folders that vanish."""

from __future__ import annotations

import os
import resource
import subprocess
from pathlib import Path

import keeping
import pytest
import tiny_grid
from tiny_grid import TinyGrid

pytestmark = pytest.mark.slow

METHODS = "steady,chatty"


def assert_refused(process: subprocess.CompletedProcess[str], reason: str) -> None:
    """It ends with 1 and one sentence."""
    assert process.returncode == 1
    errors = [line for line in process.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert f"cannot be written: {reason}. What is finished is kept" in errors[0]
    assert "Traceback" not in process.stderr


def run(grid: TinyGrid, results: Path, seeds: int) -> subprocess.CompletedProcess[str]:
    return grid.run(results, METHODS, "--seeds", str(seeds))


def test_a_full_disk_ends_the_run_and_loses_nothing(grid: TinyGrid, disk: Path) -> None:
    results = disk / "results"
    assert run(grid, results, 1).returncode == 0
    before = keeping.finished(results)
    tables = {path: path.read_bytes() for path in results.glob("*.csv")}
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(4096))
    full = run(grid, results, 3)
    assert_refused(full, "No space left on device")
    assert "[2/4]" not in full.stderr  # soon: one cell, and not one after the other
    assert keeping.finished(results) == before
    assert keeping.damaged(results) == keeping.temporary(results) == []
    assert {path: path.read_bytes() for path in results.glob("*.csv")} == tables
    filler.unlink()
    after = run(grid, results, 3)
    assert after.returncode == 0
    assert "6 cells, 2 of them finished already" in after.stderr
    keeping.assert_kept(before, results)
    assert len(keeping.finished(results)) == 6


def test_a_limit_on_the_size_of_files_does_the_same(grid: TinyGrid, tmp_path: Path) -> None:
    """As a quota does, and without the right to mount a disk."""
    results = tmp_path / "results"
    command = ["run", *grid.options(results), "--methods", METHODS, "--seeds", "1"]
    limit = (2000, resource.RLIM_INFINITY)
    with tiny_grid.ending(
        grid.start(*command, first=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
    ) as driver:
        out, err = driver.communicate(timeout=300)
    assert_refused(subprocess.CompletedProcess(command, driver.returncode, out, err), "File too large")
    assert keeping.finished(results) == {}
    assert keeping.damaged(results) == keeping.temporary(results) == []
    assert run(grid, results, 1).returncode == 0
    assert len(keeping.finished(results)) == 2


def test_results_that_may_only_be_read_are_refused_before_anything_runs(grid: TinyGrid, disk: Path) -> None:
    results = disk / "results"
    assert run(grid, results, 1).returncode == 0
    before = keeping.finished(results)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    refused = run(grid, results, 2)
    assert_refused(refused, "Read-only file system")
    assert "[1/" not in refused.stderr
    assert run(grid, disk / "new", 1).returncode == 1
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    assert run(grid, results, 2).returncode == 0
    keeping.assert_kept(before, results)
    assert len(keeping.finished(results)) == 4


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root; see the read-only disk")
def test_results_of_somebody_else_are_refused(grid: TinyGrid, tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir(mode=0o555)
    assert_refused(run(grid, results, 1), "Permission denied")


def test_a_finished_grid_on_a_read_only_disk_can_still_be_read(grid: TinyGrid, disk: Path) -> None:
    results = disk / "results"
    assert run(grid, results, 1).returncode == 0
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    shown = grid.bench("leaderboard", str(results), "--per-cell")
    assert shown.returncode == 0
    assert shown.stdout.count("steady") == 1
