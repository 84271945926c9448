"""The local executor, with real processes: its end, whatever ends it."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from local_runs import TARGET, Children, gone, job, until

from bench.executors import Started
from bench.executors.local import LocalExecutor

TARGETS = Path(__file__).parents[1]
ROOT = TARGETS.parents[1]


def test_closing_early_ends_all_workers(children: Children) -> None:
    jobs = [job(str(number), "sleep", 60) for number in range(3)]
    with closing(LocalExecutor(TARGET, workers=2).run(jobs)) as events:
        assert isinstance(next(events), Started)
        assert children()
    assert not children()


def test_closing_ends_what_ignores_a_polite_end_too(children: Children) -> None:
    with closing(LocalExecutor(TARGET).run([job("a", "sleep_and_ignore_sigterm")])) as events:
        next(events)
        time.sleep(0.3)
    assert not children()


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Callable[[tuple[Any, ...]], subprocess.Popen[str]]]:
    """Starts a script, without a main guard, that runs two endless jobs and prints its workers' pids."""
    started: list[subprocess.Popen[str]] = []

    def start(job: tuple[Any, ...]) -> subprocess.Popen[str]:
        script = tmp_path / "driver.py"
        script.write_text(
            textwrap.dedent(
                f"""
                import sys
                sys.path[:0] = {[str(ROOT), str(TARGETS)]!r}
                from contextlib import closing
                import psutil
                from bench.executors import Job, Started
                from bench.executors.local import LocalExecutor

                jobs = [Job("a", {job!r}), Job("b", {job!r})]
                started = 0
                try:
                    with closing(LocalExecutor("executor_targets:run", workers=2).run(jobs)) as events:
                        for event in events:
                            started += isinstance(event, Started)
                            if started == 2:
                                print(*(child.pid for child in psutil.Process().children()), flush=True)
                                started = 0
                except KeyboardInterrupt:
                    print("interrupted, and left:", psutil.Process().children(recursive=True), flush=True)
                    raise
                """
            )
        )
        process = subprocess.Popen(
            [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def pids_of_workers(driver: subprocess.Popen[str]) -> list[int]:
    assert driver.stdout is not None
    return [int(pid) for pid in driver.stdout.readline().split()]


@pytest.mark.parametrize("payload", ["sleep", "report_and_sleep"])
def test_workers_do_not_outlive_a_killed_driver(
    payload: str, driver: Callable[[tuple[Any, ...]], subprocess.Popen[str]]
) -> None:
    process = driver((payload, 60) if payload == "sleep" else (payload, 10, 60))
    pids = pids_of_workers(process)
    assert len(pids) == 2
    process.kill()
    process.wait()
    assert all(until(lambda pid=pid: gone(pid)) for pid in pids)


def test_an_interrupt_ends_the_workers_and_passes_through(
    driver: Callable[[tuple[Any, ...]], subprocess.Popen[str]],
) -> None:
    process = driver(("sleep", 60))
    pids = pids_of_workers(process)
    assert len(pids) == 2
    time.sleep(0.5)  # it waits for events by now; were it slower, closing() would see to the same
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert out == "interrupted, and left: []\n"
    assert "KeyboardInterrupt" in err
    assert all(gone(pid) for pid in pids)
