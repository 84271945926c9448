"""Workers that are killed, run out of memory, hang or misbehave, on quick cells."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import keeping
import pytest
from quick_cells import PHASES
from quick_grid import QuickGrid

from bench.records.record import Record
from bench.records.store import Store

pytestmark = pytest.mark.slow

KILLED = "the worker was killed by signal 9 (SIGKILL)"
# What strikes a cell and when, the status and reason of its record, and what its trace holds.
FAULTS = [
    *(("killed", phase, "error", KILLED, "") for phase in PHASES),
    ("killed while writing", "save", "error", KILLED, ""),
    ("segmentation fault", "train", "error", "the worker was killed by signal 11 (SIGSEGV)", "in crash"),
    ("exit", "train", "error", "the worker exited with code 3", ""),
    ("exception", "test", "error", "ValueError: an injected error", "in fail"),
    ("out of memory", "train", "oom", "MemoryError: an injected lack of memory", "in run_out_of_memory"),
    ("hanging", "read data", "timeout", "the job ran longer than its limit of 3 s", "in hang\n"),
    ("hanging in C", "train", "timeout", "the job ran longer than its limit of 3 s", "in hang_in_c"),
    *((kind, "train", "ok", None, "") for kind in ("forks", "prints", "leaks")),
    ("leaks", "test", "ok", None, ""),
    ("killed before delivering", "save", "ok", None, ""),
]


class Ran(NamedTuple):
    quick: QuickGrid
    results: Path
    code: int
    said: str
    suffered: list[tuple[str, str, str]]
    records: dict[str, Record]
    finished: dict[str, bytes]

    def record(self, kind: str, phase: str) -> Record:
        return next(self.records[cell_id] for *what, cell_id in self.suffered if what == [kind, phase])


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """One run in which each cell but the last suffers something, on one worker, one after the other."""
    folder = tmp_path_factory.mktemp("quick")
    quick, results = QuickGrid(folder), folder / "results"
    faults = [(kind, phase) for kind, phase, *_ in FAULTS]
    quick.add(faults)
    done = quick.run(results, "--seeds", len(faults) + 1, "--timeout", 3, methods="steady")
    records = {record.id: record for record in Store(results).all()[0]}
    assert len(records) == len(faults) + 1
    return Ran(quick, results, done.returncode, done.stderr, quick.suffered(), records, keeping.finished(results))


def test_every_fault_strikes_and_the_run_goes_through(ran: Ran) -> None:
    assert [(kind, phase) for kind, phase, _ in ran.suffered] == [each[:2] for each in FAULTS]
    assert ran.code == 1
    assert "Traceback" not in ran.said
    assert len(ran.finished) == sum(status == "ok" for _, _, status, *_ in FAULTS) + 1
    assert keeping.twice(ran.results) == keeping.damaged(ran.results) == []


@pytest.mark.parametrize(("kind", "phase", "status", "reason", "where"), FAULTS)
def test_what_struck_a_cell_is_its_reason_and_where_is_in_the_trace(
    kind: str, phase: str, status: str, reason: str | None, where: str, ran: Ran
) -> None:
    record = ran.record(kind, phase)
    assert (record.status, record.reason) == (status, reason)
    assert where in f"{record.traceback}\n"


def test_what_a_cell_started_ends_with_it_and_what_it_printed_does_not_fill_the_disk(ran: Ran) -> None:
    assert len(ran.quick.lines("children")) == 2
    assert not any(keeping.runs(int(pid)) for pid in ran.quick.lines("children"))
    assert sum(path.stat().st_size for path in (ran.results / "logs").glob("*.log")) < 16 * 2**20


def test_the_next_run_completes_the_rest_and_touches_nothing_that_was_finished(ran: Ran) -> None:
    left = keeping.temporary(ran.results)
    assert len(left) == 1  # of the worker that was killed while it wrote; it is swept when it is old
    done = ran.quick.run(ran.results, "--seeds", len(ran.records), methods="steady")
    assert done.returncode == 0, done.stderr
    keeping.assert_kept(ran.finished, ran.results)
    assert len(keeping.finished(ran.results)) == len(ran.records)
    assert sorted(ran.quick.lines("computed")) == sorted(ran.records)  # each once


def test_the_kernels_oom_killer_is_a_reason_and_takes_one_cell(quick: QuickGrid, cgroup: Path, tmp_path: Path) -> None:
    """A real one, in a cgroup of 1 GiB; the cells before it leak."""
    results = tmp_path / "results"
    quick.add([("leaks", "train"), ("leaks", "train"), ("takes all memory", "train")])

    def enter() -> None:
        (cgroup / "cgroup.procs").write_text(str(os.getpid()))

    done = quick.run(results, "--seeds", 5, methods="steady", first=enter)
    assert done.returncode == 1
    before, hit = keeping.finished(results), quick.suffered()[2][2]
    record = Store(results).sound(hit)
    assert record is not None
    assert (record.status, record.reason) == ("oom", "the worker ran out of memory: the kernel's OOM killer ended it")
    assert len(before) == 4
    assert quick.run(results, "--seeds", 5, methods="steady", first=enter).returncode == 0
    keeping.assert_kept(before, results)
    assert len(keeping.finished(results)) == 5
