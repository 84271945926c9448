"""Disks that are full or may not be written, and files that vanish under a run."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import time
from pathlib import Path

import keeping
import pytest
import tiny_grid
from quick_grid import QuickGrid

pytestmark = pytest.mark.slow


def assert_refused(process: subprocess.CompletedProcess[str], reason: str) -> None:
    """It ends with 1 and one sentence."""
    assert process.returncode == 1
    errors = [line for line in process.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert f"cannot be written: {reason}. Finished cells are kept" in errors[0]
    assert "Traceback" not in process.stderr


def test_a_full_disk_ends_the_run_and_loses_nothing(quick: QuickGrid, tmp_path: Path) -> None:
    """A limit on the size of files stands for it. Python's own cache would be truncated: it keeps none."""
    results = tmp_path / "results"
    assert quick.run(results, "--seeds", 1).returncode == 0
    before = keeping.finished(results)
    tables = {path: path.read_bytes() for path in results.glob("*.csv")}

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))

    full = quick.run(results, "--seeds", 3, first=limit, PYTHONDONTWRITEBYTECODE="1")
    assert_refused(full, "File too large")
    assert "[1/" not in full.stderr  # soon: not cell after cell
    assert keeping.finished(results) == before
    assert keeping.damaged(results) == keeping.temporary(results) == []
    assert {path: path.read_bytes() for path in results.glob("*.csv")} == tables
    after = quick.run(results, "--seeds", 3)
    assert after.returncode == 0
    assert "9 cells, 3 of them finished already" in after.stderr
    keeping.assert_kept(before, results)
    assert len(keeping.finished(results)) == 9


def test_results_that_may_only_be_read_are_refused_before_anything_runs(quick: QuickGrid, disk: Path) -> None:
    results = disk / "results"
    assert quick.run(results, "--seeds", 1).returncode == 0
    before = keeping.finished(results)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    assert_refused(quick.run(results, "--seeds", 2), "Read-only file system")
    assert_refused(quick.run(disk / "new", "--seeds", 1), "Read-only file system")
    assert len(quick.lines("computed")) == 3
    shown = quick.grid.bench("leaderboard", str(results), "--per-cell")  # what is there can still be looked at
    assert (shown.returncode, [cell in shown.stdout for cell in before]) == (0, [True] * 3)
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    assert quick.run(results, "--seeds", 2).returncode == 0
    keeping.assert_kept(before, results)
    assert len(keeping.finished(results)) == 6


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root; see the read-only disk")
def test_results_of_somebody_else_are_refused(quick: QuickGrid, tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir(mode=0o555)
    assert_refused(quick.run(results, "--seeds", 1), "Permission denied")


def test_results_that_are_deleted_under_a_run_are_there_again_as_far_as_it_goes_on(
    quick: QuickGrid, tmp_path: Path
) -> None:
    """What was finished is gone, since somebody deleted it; the run itself does not stumble over it."""
    results = tmp_path / "results"
    quick.add([("hanging", "train")])
    with tiny_grid.ending(quick.start(results, "--seeds", 2, "--timeout", 4)) as driver:
        while not list(quick.struck.iterdir()):
            time.sleep(0.05)
        shutil.rmtree(results)
        _, err = driver.communicate(timeout=300)
    assert driver.returncode == 1
    assert "Traceback" not in err
    assert keeping.twice(results) == keeping.damaged(results) == []
    assert len(keeping.finished(results)) == 5
    assert quick.run(results, "--seeds", 2).returncode == 0
    assert len(keeping.finished(results)) == 6
