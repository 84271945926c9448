"""Cells that take a moment, for runs with many injected faults: all of the harness is real but the training.

A cell takes the next fault that waits in a folder and suffers it at the phase that the fault names, once: from then on
it lies among those that have struck, beside the cell's id. Run as a script this is `python -m bench` with such cells.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[2])]

from bench.executors import Report
from bench.grid.cell import Cell
from bench.measure.time import Timeline
from bench.records.record import Record, new_record
from bench.records.store import Store
from bench.train.assignment import Assignment

PHASES = ("set up", "read data", "load model", "train", "validate", "test", "save")
FOLDER, RUN = "QUICK_FAULTS", "QUICK_RUN"  # environment: the folder of faults, and a number that differs in each run
NAP = 0.01
HOARD: list[bytearray] = []


def ready() -> None:
    """The executor's setup."""


def run(assignment: Assignment, report: Report) -> Any:
    """`bench.train.worker.run` without the training; takes down what was computed and written."""
    result = worker_module().run(assignment, report)
    if assignment.results is not None and Store(assignment.results).finished(assignment.cell.id) is not None:
        _append("computed", assignment.cell.id)
    return result


class QuickCell:
    """In the place of `bench.train.cell.CellRun`."""

    def __init__(self, assignment: Assignment, on_progress: Report) -> None:
        self.cell, self.on_progress = assignment.cell, on_progress
        self.record, self.timeline = new_record(self.cell), Timeline()

    def run_steps(self) -> None:
        fault = _next_fault(self.cell)
        self.record.metric, self.record.higher_is_better = "accuracy", True
        for step, phase in enumerate(PHASES, start=1):
            with self.timeline.phase(phase):
                if fault is not None and fault["phase"] == phase:
                    (FAULTS | LIMITED)[fault["kind"]]()
                self.record.last_step = step
                self.on_progress({"step": step, "steps": len(PHASES)})
                time.sleep(NAP)
        drawn = random.Random(self.cell.id)
        self.record.references = [at % 2 for at in range(40)]
        self.record.predictions = [truth if drawn.random() < 0.8 else 1 - truth for truth in self.record.references]
        right = sum(a == b for a, b in zip(self.record.predictions, self.record.references, strict=True))
        self.record.scores = {"accuracy": right / 40}
        self.record.losses = [drawn.random() for _ in range(20)]


@cache
def worker_module() -> Any:
    """`bench.train.worker` with cells that are quick. Called in workers alone: no module of the real steps is imported.

    Loading torch would take most of the time of such cells.
    """
    sys.modules["bench.train.cell"] = ModuleType("bench.train.cell")
    sys.modules["bench.train.cell"].CellRun = QuickCell  # type: ignore[attr-defined]
    return import_module("bench.train.worker")


# What may happen in a worker


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_writing() -> None:
    """Between the temporary file and its name."""
    os.fsync = lambda handle: die()  # type: ignore[assignment]


def die_delivering() -> None:
    """After the record is written and before the driver hears of it."""
    write = Store.write

    def write_and_die(store: Store, record: Record) -> None:
        write(store, record)
        _append("computed", record.id)
        die()

    Store.write = write_and_die  # type: ignore[method-assign]


def crash() -> None:
    ctypes.string_at(0)


def leave() -> None:
    os._exit(3)


def fail() -> None:
    raise ValueError("an injected error")


def run_out_of_memory() -> None:
    raise MemoryError("an injected lack of memory")


def hang() -> None:
    time.sleep(600)


def hang_in_c() -> None:
    """With the interpreter's lock: no other thread of the process runs."""
    ctypes.PyDLL(None).sleep(600)


def fork() -> None:
    """Children that would outlive the cell, one of them in a session of its own."""
    for session in (False, True):
        child = subprocess.Popen(["sleep", "600"], start_new_session=session)
        _append("children", str(child.pid))


def chatter() -> None:
    for _ in range(200):
        print("x" * 100_000)


def leak() -> None:
    HOARD.append(bytearray(200_000_000))


def hoard() -> None:
    """Until the kernel ends it: only where something limits this process."""
    while True:
        HOARD.append(bytearray(os.urandom(1) * 50_000_000))


FAULTS: dict[str, Callable[[], None]] = {  # leave the machine as it is
    "killed": die,
    "killed while writing": die_writing,
    "killed before delivering": die_delivering,
    "segmentation fault": crash,
    "exit": leave,
    "exception": fail,
    "out of memory": run_out_of_memory,
    "hanging": hang,
    "forks": fork,
    "prints": chatter,
    "leaks": leak,
}
# These need somebody who ends them: a limit on memory, a driver that lives.
LIMITED: dict[str, Callable[[], None]] = {"takes all memory": hoard, "hanging in C": hang_in_c}


def _next_fault(cell: Cell) -> dict[str, str] | None:
    """The next fault that waits; where runs have numbers about every second cell is spared."""
    folder = Path(os.environ[FOLDER])
    if RUN in os.environ and random.Random(f"{cell.id} {os.environ[RUN]}").random() < 0.5:
        return None
    for path in sorted((folder / "waiting").iterdir()):
        try:
            return json.loads(path.rename(folder / "struck" / f"{path.stem}.{cell.id}.json").read_text())
        except FileNotFoundError:
            continue  # another worker was quicker
    return None


def _append(name: str, line: str) -> None:
    with (Path(os.environ[FOLDER]) / name).open("a") as file:
        file.write(f"{line}\n")


if __name__ == "__main__":
    from bench import __main__
    from bench.runner import backend, plan

    backend.TARGET, backend.SETUP = "quick_cells:run", "quick_cells:ready"
    plan._check_files = lambda request, built, pending: []  # it loads torch, as no worker here does
    __main__.main()
