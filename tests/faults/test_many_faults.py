"""Many faults of all kinds against one results folder, in one seeded run; then what was lost, damaged, counted twice.

    FAULTS=200 FAULTS_SEED=0 pytest -m slow tests/faults/test_many_faults.py

Real drivers and worker processes run real cells but for their training (see quick_cells). Before and during each run
some faults are injected; drivers are started again until all have struck and the grid is complete. Full and read-only
disks: test_disks.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keeping
import pytest
import quick_cells
from quick_grid import QuickGrid

from bench.files import STALE_SECONDS
from bench.records.record import Record
from bench.records.store import Store

pytestmark = pytest.mark.slow

METHODS = "steady,steady[width=2],chatty"
SEEDS_A_RUN = 5  # so many more in each run: cells that are new
TIMEOUT = 2.0
ENDED_BY: dict[str, tuple[str, str]] = {  # what a cell's record says of a fault; of the others: nothing, it is ok
    "killed": ("error", "killed by signal 9"),
    "killed while writing": ("error", "killed by signal 9"),
    "segmentation fault": ("error", "killed by signal 11"),
    "exit": ("error", "exited with code 3"),
    "exception": ("error", "an injected error"),
    "out of memory": ("oom", "an injected lack of memory"),
    "hanging": ("timeout", "longer than its limit"),
}


class Campaign:
    """Drivers against faults. injected: how many, by kind. wrong: what they did; empty where all is well."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.drawn = random.Random(seed)
        self.injected: Counter[str] = Counter()
        self.drivers = 0
        self.wrong: list[str] = []
        self.quick = QuickGrid(folder)
        self.results = folder / "results"
        self.seeds = 0
        self.said = ""  # by the last driver
        self.redone: Counter[str] = Counter()  # how often a finished cell had to be computed again: it was damaged

    def go_through(self, faults: int) -> None:
        kinds = [self.killed_driver, self.interrupted_driver, self.two_drivers, self.damaged_records, self.lost_logs,
                 self.left_behind]  # fmt: skip
        while self.injected.total() < faults:
            left = self.drawn.sample(kinds, len(kinds))  # each kind once in a round
            while left and self.injected.total() < faults:
                left.pop()()
            # Otherwise quick_cells does not fit bench.train.cell any more.
            assert any(kind.startswith("worker: ") for kind in self.injected), self.said
        self.run_to_the_end()

    # Faults of drivers and files: each starts at least one driver

    def killed_driver(self) -> None:
        self._cut_short(signal.SIGKILL, -signal.SIGKILL)
        time.sleep(1)  # workers look for their driver twice a second

    def interrupted_driver(self) -> None:
        self._cut_short(self.drawn.choice((signal.SIGINT, signal.SIGTERM)), 130)

    def _cut_short(self, number: signal.Signals, code: int) -> None:
        with self.watched(explained=False):
            self.queue_faults(2)
            driver = self.start()
            self.wait_for_cells(driver, 3)
            time.sleep(self.drawn.random() * 0.3)
            self.count(f"driver: {number.name}")
            driver.send_signal(number)
            self.end(driver, {code, 0, 1})  # it may have been through

    def two_drivers(self) -> None:
        with self.watched():
            self.queue_faults(5)
            self.count("two drivers")
            for driver in [self.start(), self.start(new_cells=False)]:
                self.end(driver, {0, 1})

    def damaged_records(self) -> None:
        records = sorted(keeping.finished(self.results))
        for cell_id in self.drawn.sample(records, min(4, len(records))):
            self.damage(Store(self.results).path(cell_id))
            self.redone[cell_id] += 1
        with self.watched():
            self.queue_faults(6)
            self.end(self.start(), {0, 1})

    def damage(self, path: Path) -> None:
        content = path.read_bytes()
        at = self.drawn.randrange(1, len(content) - 1)
        kind = self.drawn.choice(("truncated", "empty", "zeroed", "garbled", "folder"))
        self.count(f"record {kind}")
        if kind == "folder":
            path.unlink()
            path.mkdir()
        else:
            zeros = content[:at] + bytes(len(content) - at)
            path.write_bytes({"truncated": content[:at], "empty": b"", "zeroed": zeros, "garbled": b"\xff{"}[kind])

    def lost_logs(self) -> None:
        with self.watched():
            self.queue_faults(5)
            self.count("logs deleted under a run")
            driver = self.start()
            self.wait_for_cells(driver, 1)
            shutil.rmtree(self.results / "logs", ignore_errors=True)
            self.end(driver, {0, 1})

    def left_behind(self) -> None:
        """Temporary files of processes that were killed while they wrote, long ago."""
        (self.results / "records").mkdir(parents=True, exist_ok=True)
        old = [self.results / "records" / f".{at}.json.tmp" for at in range(3)]
        for path in old:
            path.write_text('{"schema_version"')
            os.utime(path, (0, time.time() - STALE_SECONDS - 60))
        self.count("temporary file left behind")
        with self.watched():
            self.queue_faults(5)
            self.end(self.start(), {0, 1})
        self.wrong += [f"{path} was not swept" for path in old if path.exists()]

    # Faults of workers: they wait for a cell

    def queue_faults(self, count: int) -> None:
        kinds = sorted(quick_cells.FAULTS)
        self.quick.add((self.drawn.choice(kinds), self.drawn.choice(quick_cells.PHASES)) for _ in range(count))

    # Drivers, and what is looked at after each

    def count(self, kind: str) -> None:
        self.injected[kind] += 1

    def start(self, new_cells: bool = True) -> subprocess.Popen[str]:
        self.seeds += SEEDS_A_RUN * new_cells
        return self._run("--timeout", TIMEOUT)

    def _run(self, *more: object) -> subprocess.Popen[str]:
        self.drivers += 1
        number = {quick_cells.RUN: str(self.drivers)}
        options = ("--seeds", self.seeds, "--workers", 2, *more)
        return self.quick.start(self.results, *options, methods=METHODS, **number)

    def end(self, driver: subprocess.Popen[str], codes: set[int]) -> None:
        """Wait for a driver, and hold it to an exit code without a traceback."""
        try:
            _, said = driver.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            driver.kill()
            _, said = driver.communicate()
            said += "\nthe driver did not end"
        self.said = said
        if driver.returncode not in codes or "Traceback" in said:
            self.wrong.append(f"driver ended with {driver.returncode}, wanted {codes}:\n{said}")

    @contextmanager
    def watched(self, *, explained: bool = True) -> Iterator[None]:
        """Around drivers: what was finished before is the same to the byte afterwards, and who suffered says so."""
        before = keeping.finished(self.results)
        yield
        self.wrong += [f"lost: {key}" for key in keeping.lost(before, self.results)]
        self.wrong += keeping.twice(self.results)
        for kind, phase, cell_id in self.quick.suffered():
            self.count(f"worker: {kind}")
            if explained:
                self.explain(kind, phase, cell_id)

    def explain(self, kind: str, phase: str, cell_id: str) -> None:
        status, reason = ENDED_BY.get(kind, ("ok", ""))
        record: Record | None = Store(self.results).sound(cell_id)
        if record is None or record.status != status or reason not in (record.reason or ""):
            what = "no record" if record is None else f"{record.status}: {record.reason}"
            self.wrong.append(f"{kind} at {phase!r} in {cell_id} left {what}")

    def wait_for_cells(self, driver: subprocess.Popen[str], count: int) -> None:
        """Until so many more have been computed or struck by a fault, or the driver has ended."""

        def reached() -> int:
            return len(self.quick.lines("computed")) + len(list(self.quick.struck.iterdir()))

        began, end = reached(), time.monotonic() + 60
        while reached() - began < count and driver.poll() is None and time.monotonic() < end:
            time.sleep(0.02)

    def run_to_the_end(self) -> None:
        """The last runs suffer nothing more: they complete the grid, and count it."""
        for path in self.quick.waiting.iterdir():
            path.unlink()
        with self.watched():
            self.end(self._run(), {0})
        records, faults = Store(self.results).all()
        self.wrong += faults
        wanted = len(METHODS.split(",")) * self.seeds
        if len(records) != wanted or any(record.status != "ok" for record in records):
            self.wrong.append(f"{len(records)} records of {wanted} cells, not all of them ok")
        computed = Counter(self.quick.lines("computed"))
        self.wrong += [
            f"computed {count} times: {key}" for key, count in computed.items() if count > 1 + self.redone[key]
        ]
        left = [pid for pid in self.quick.lines("children") if keeping.runs(int(pid))]
        self.wrong += [f"process {pid} outlived its cell" for pid in left]


def test_many_injected_faults_lose_damage_and_double_nothing(tmp_path: Path) -> None:
    campaign = Campaign(int(os.environ.get("FAULTS_SEED", "6")), tmp_path)
    faults = int(os.environ.get("FAULTS", "40"))
    campaign.go_through(faults)
    assert campaign.wrong == []
    assert campaign.injected.total() >= faults
    assert len(keeping.finished(campaign.results)) > faults
