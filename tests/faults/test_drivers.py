"""Drivers that die, and drivers that share a results folder."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import keeping
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
    drivers = [quick.start(results, "--seeds", 40) for _ in range(2)]
    with tiny_grid.ending(drivers[0]), tiny_grid.ending(drivers[1]):
        ended = [finish(driver) for driver in drivers]
    assert [code for code, _ in ended] == [0, 0]
    for _, err in ended:  # each knows of all cells that were not finished when it began, and shows them
        total = 120 - int(err.partition(" of them finished already")[0].rpartition(" ")[2] if "already" in err else 0)
        assert f"[{total}/{total}]" in err
    assert len(keeping.finished(results)) == len(quick.lines("computed")) == len(set(quick.lines("computed"))) == 120
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
    with tiny_grid.ending(quick.start(results, "--seeds", 2, "--timeout", 20)) as first:
        until(lambda: list(quick.struck.iterdir()))
        with tiny_grid.ending(quick.start(results, "--seeds", 2)) as second:
            ended = [finish(driver) for driver in (first, second)]
    assert [code for code, _ in ended] == [1, 1]
    for _, err in ended:
        assert err.count("the job ran longer than its limit of 20 s") == 2  # as it ends, and in the list of failures
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
