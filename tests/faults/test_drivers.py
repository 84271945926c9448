"""Drivers that die, and drivers that share a results folder."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import keeping
import psutil
import pytest
import tiny_grid
from quick_grid import QuickGrid

from bench.records.store import Store

pytestmark = pytest.mark.slow


def until(condition: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.05)


def finish(driver: subprocess.Popen[str]) -> tuple[int, str]:
    _, err = driver.communicate(timeout=300)
    assert "Traceback" not in err
    return driver.returncode, err


def test_two_drivers_share_the_work_and_nothing_is_done_twice(quick: QuickGrid, tmp_path: Path) -> None:
    results = tmp_path / "results"
    drivers = [quick.start(results, "--seeds", 20) for _ in range(2)]
    with tiny_grid.ending(drivers[0]), tiny_grid.ending(drivers[1]):
        ended = [finish(driver) for driver in drivers]
    assert [code for code, _ in ended] == [0, 0]
    for _, err in ended:  # each knows of all cells that were not finished when it began, and shows them
        total = 60 - int(err.partition(" of them finished already")[0].rpartition(" ")[2] if "already" in err else 0)
        assert f"[{total}/{total}]" in err
    assert len(keeping.finished(results)) == len(quick.lines("computed")) == len(set(quick.lines("computed"))) == 60
    assert keeping.twice(results) == keeping.damaged(results) == []


def test_what_a_killed_driver_was_at_another_one_takes_over(quick: QuickGrid, tmp_path: Path) -> None:
    results = tmp_path / "results"
    quick.add([("hanging", "train")])
    with tiny_grid.ending(quick.start(results, "--seeds", 2)) as first:
        until(lambda: list(quick.struck.iterdir()))
        with tiny_grid.ending(quick.start(results, "--seeds", 2)) as second:
            until(lambda: len(keeping.finished(results)) == 5)
            time.sleep(1.5)
            assert second.poll() is None  # it waits
            before = keeping.finished(results)
            first.send_signal(signal.SIGKILL)
            first.communicate()
            code, err = finish(second)
    assert code == 0, err
    assert "[6/6]" in err
    keeping.assert_kept(before, results)
    assert len(quick.lines("computed")) == len(keeping.finished(results)) == 6


def test_another_drivers_failure_is_taken_and_not_tried_again(quick: QuickGrid, tmp_path: Path) -> None:
    results = tmp_path / "results"
    quick.add([("hanging", "train")])
    with tiny_grid.ending(quick.start(results, "--seeds", 2, "--timeout", 10)) as first:
        until(lambda: list(quick.struck.iterdir()))
        with tiny_grid.ending(quick.start(results, "--seeds", 2)) as second:
            ended = [finish(driver) for driver in (first, second)]
    assert [code for code, _ in ended] == [1, 1]
    for _, err in ended:
        assert err.count("the job ran longer than its limit of 10 s") == 2  # as it ends, and in the list of failures
    assert sorted(record.status for record in Store(results).all()[0]) == ["ok"] * 5 + ["timeout"]


def test_what_another_driver_was_interrupted_in_is_run(quick: QuickGrid, tmp_path: Path) -> None:
    results = tmp_path / "results"
    quick.add([("hanging in C", "train")])
    with tiny_grid.ending(quick.start(results, "--seeds", 2)) as first:
        until(lambda: list(quick.struck.iterdir()))
        with tiny_grid.ending(quick.start(results, "--seeds", 2)) as second:
            until(lambda: len(keeping.finished(results)) == 5)
            first.send_signal(signal.SIGINT)
            assert [finish(driver)[0] for driver in (first, second)] == [130, 0]
    assert len(keeping.finished(results)) == len(quick.lines("computed")) == 6


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_driver_that_is_cut_short_keeps_what_is_done_and_leaves_no_process(
    number: signal.Signals, quick: QuickGrid, tmp_path: Path
) -> None:
    """By a user, a scheduler, or the system. The next run goes on where it stopped."""
    results = tmp_path / "results"
    quick.add([("hanging", "train")])
    with tiny_grid.ending(quick.start(results, "--seeds", 1, "--workers", 2)) as driver:
        until(lambda: list(quick.struck.iterdir()) and len(keeping.finished(results)) == 2)
        workers = psutil.Process(driver.pid).children()
        driver.send_signal(number)
        code, err = finish(driver)
    until(lambda: not any(keeping.runs(worker.pid) for worker in workers), 20)
    before = keeping.finished(results)
    assert len(before) == 2
    if number == signal.SIGKILL:
        assert (code, len(list((results / "records").iterdir()))) == (-signal.SIGKILL, 2)
    else:
        assert code == 130
        assert "Interrupted. The same command continues where this one stopped." in err
        assert err.count("interrupted: the run was interrupted") == 1
        assert "Failed: " not in err
        assert (results / "leaderboard.csv").read_text().count("1 interrupted") == 1
    done = quick.run(results, "--seeds", 1, "--workers", 2)
    assert done.returncode == 0
    assert "3 cells, 2 of them finished already." in done.stderr
    keeping.assert_kept(before, results)
    assert len(keeping.finished(results)) == 3


def test_a_finished_grid_starts_no_worker_and_force_runs_its_cells_again(quick: QuickGrid, tmp_path: Path) -> None:
    results = tmp_path / "results"
    assert quick.run(results, "--seeds", 1).returncode == 0
    before, log = keeping.finished(results), results / "logs" / "worker-0.log"
    written = log.stat().st_mtime_ns
    again = quick.run(results, "--seeds", 1)
    assert again.returncode == 0
    assert "3 cells, 3 of them finished already." in again.stderr
    assert "steady" in again.stdout
    assert (keeping.finished(results), log.stat().st_mtime_ns) == (before, written)
    forced = quick.run(results, "--seeds", 1, "--force")
    assert forced.returncode == 0
    assert "finished already" not in forced.stderr
    assert sorted(quick.lines("computed")) == sorted(2 * list(before))
    assert sorted(keeping.lost(before, results)) == sorted(before)  # each has a new record
