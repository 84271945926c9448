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
from tiny_grid import TinyGrid

from bench.store import Store

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


def start(grid: TinyGrid, results: Path, methods: str, **environment: str) -> subprocess.Popen[str]:
    return grid.start("run", *grid.options(results), "--methods", methods, "--seeds", "3", **environment)


def test_two_drivers_share_the_work_and_nothing_is_done_twice(grid: TinyGrid) -> None:
    results, mark = grid.folder / "shared", grid.folder / "shared-mark"
    mark.touch()
    drivers = [start(grid, results, "once,once_more,steady", TINY_MARK=str(mark)) for _ in range(2)]
    with tiny_grid.ending(drivers[0]), tiny_grid.ending(drivers[1]):
        ended = [finish(driver) for driver in drivers]
    assert [code for code, _ in ended] == [0, 0]
    for _, err in ended:  # each knows of all cells, and shows them
        assert "[9/9]" in err
    computed = mark.read_text().split()
    assert len(computed) == 6
    assert len(set(computed)) == 2  # workers: neither driver was idle
    assert len(keeping.finished(results)) == 9
    assert keeping.twice(results) == keeping.damaged(results) == []


def test_what_a_killed_driver_was_at_another_one_takes_over(grid: TinyGrid) -> None:
    results, mark = grid.folder / "taken-over", grid.folder / "taken-over-mark"
    environment = {"TINY_MARK": str(mark), "TINY_STUCK": "1"}
    with tiny_grid.ending(start(grid, results, "once,steady", **environment)) as first:
        until(mark.exists)  # it is stuck in its first cell
        with tiny_grid.ending(start(grid, results, "once,steady", **environment)) as second:
            until(lambda: len(keeping.finished(results)) == 5)
            time.sleep(2)
            assert second.poll() is None  # it waits
            before = keeping.finished(results)
            first.send_signal(signal.SIGKILL)
            first.communicate()
            code, err = finish(second)
    assert code == 0, err
    assert "[6/6]" in err
    keeping.assert_kept(before, results)
    assert len(keeping.finished(results)) == 6
    assert len(mark.read_text().split()) == 4  # the stuck cell twice, the other two once


def test_a_failure_of_another_driver_is_taken_and_not_tried_again(grid: TinyGrid) -> None:
    results, mark = grid.folder / "failed-elsewhere", grid.folder / "failed-elsewhere-mark"
    with tiny_grid.ending(start(grid, results, "once,raises", TINY_MARK=str(mark), TINY_STUCK="1")) as first:
        until(mark.exists)
        with tiny_grid.ending(start(grid, results, "raises,once", TINY_MARK=str(mark))) as second:
            until(lambda: len(Store(results).all()[0]) == 5)
            first.send_signal(signal.SIGINT)
            assert finish(first)[0] == 130
            code, err = finish(second)
    assert code == 1
    # What the first one was interrupted in is no answer: the second one ran it.
    records = tiny_grid.records(results)
    assert {name: each["status"] for name, each in records.items()} == {
        **{f"once/{seed}": "ok" for seed in range(3)},
        **{f"raises/{seed}": "error" for seed in range(3)},
    }
    assert err.count("ValueError: no such luck") == 2 * 3  # as they end, and in the list of failures
