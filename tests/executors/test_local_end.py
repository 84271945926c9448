"""The local executor's end, whatever ends it: no process of it is left."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest
from executor_targets import TARGET, gone, job, until

from bench.executors import Started
from bench.executors.local import LocalExecutor

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("nothing_left")

DRIVER = f"""
import sys
sys.path[:0] = {[str(ROOT), str(Path(__file__).parent)]!r}
from contextlib import closing
import psutil
from bench.executors import Job, Started
from bench.executors.local import LocalExecutor

jobs, started = [Job(key, ("report_and_sleep", 10, 60)) for key in "ab"], 0
try:
    with closing(LocalExecutor({TARGET!r}, workers=2).run(jobs)) as events:
        for event in events:
            started += isinstance(event, Started)
            if started == 2:
                print(*(child.pid for child in psutil.Process().children()), flush=True)
                started = 0
except KeyboardInterrupt:
    print("interrupted, and left:", psutil.Process().children(recursive=True), flush=True)
    raise
"""


@contextmanager
def driver(folder: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A script without a main guard that runs two endless jobs, and its workers' process ids."""
    script = folder / "driver.py"
    script.write_text(DRIVER)
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, str(script)], stdout=pipe, stderr=pipe, text=True)
    try:
        assert process.stdout is not None
        workers = [int(pid) for pid in process.stdout.readline().split()]
        assert len(workers) == 2
        yield process, workers
    finally:
        process.kill()
        process.communicate()


def test_nothing_starts_before_the_first_event_is_asked_for_and_closing_ends_all_workers() -> None:
    me = psutil.Process()
    before = set(me.children())
    with closing(LocalExecutor(TARGET, workers=2).run(job(str(at), "sleep", 60) for at in range(3))) as events:
        assert set(me.children()) == before
        assert isinstance(next(events), Started)
        assert len(set(me.children()) - before) == 2
    assert set(me.children()) == before
    assert list(LocalExecutor(TARGET).run([])) == []


def test_workers_do_not_outlive_a_killed_driver(tmp_path: Path) -> None:
    with driver(tmp_path) as (process, workers):
        process.kill()
        process.wait()
        assert until(lambda: all(map(gone, workers)))


def test_an_interrupt_ends_the_workers_and_passes_through(tmp_path: Path) -> None:
    with driver(tmp_path) as (process, workers):
        time.sleep(0.5)  # it waits for events by now; were it slower, closing() would see to the same
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        assert out == "interrupted, and left: []\n"
        assert "KeyboardInterrupt" in err
        assert all(map(gone, workers))
