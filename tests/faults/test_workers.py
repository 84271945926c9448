"""Workers that are killed, run out of memory, are stuck or misbehave, each for real."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import keeping
import psutil
import pytest
from tiny_grid import TinyGrid

from bench.record import Record
from bench.store import Store

pytestmark = pytest.mark.slow

PHASES = ("load", "train", "validate", "test", "save", "write", "deliver")


class Ran(NamedTuple):
    process: subprocess.CompletedProcess[str]
    results: Path
    records: dict[str, Record]
    finished: dict[str, bytes]


def ran(process: subprocess.CompletedProcess[str], results: Path) -> Ran:
    """What a run left, its records by the cell's label and seed; nothing of it counts twice."""
    assert "Traceback" not in process.stderr
    assert keeping.twice(results) == keeping.damaged(results) == []
    found = {f"{record.cell.label.split()[0]} {record.cell.seed}": record for record in Store(results).all()[0]}
    return Ran(process, results, found, keeping.finished(results))


def completed(grid: TinyGrid, before: Ran, methods: str, *more: str, **environment: str) -> Ran:
    """The next run, without the faults: it keeps what was finished, and finishes the rest."""
    after = ran(grid.run(before.results, methods, *more, TINY_CURED="1", **environment), before.results)
    assert after.process.returncode == 0, after.process.stderr
    assert keeping.lost(before.finished, before.results) == []
    assert {record.status for record in after.records.values()} == {"ok"}
    return after


def outcome(run: Ran, label: str) -> tuple[str, str | None]:
    record = run.records[f"{label} 0"]
    return record.status, record.reason


@pytest.fixture(scope="module")
def killed(grid: TinyGrid) -> Ran:
    """A cell for each phase in which its worker is killed, between two that are well."""
    methods = ["steady", *(f"killed[at={phase}]" for phase in PHASES), "chatty"]
    results = grid.folder / "killed"
    return ran(grid.run(results, ",".join(methods), "--seeds", "1"), results)


def test_a_worker_killed_at_any_phase_is_a_reason_in_its_cells_record_and_no_other(killed: Ran) -> None:
    status = {label: record.status for label, record in killed.records.items()}
    dead = {f"killed[at={phase}] 0" for phase in PHASES[1:-1]} | {"killed 0"}
    assert status == {**dict.fromkeys(dead, "error"), **dict.fromkeys(set(status) - dead, "ok")}
    assert len(status) == len(PHASES) + 2
    for label in dead:
        assert killed.records[label].reason == "the worker was killed by signal 9 (SIGKILL)"
    assert killed.records["killed[at=test] 0"].last_step == 12
    assert killed.process.returncode == 1


def test_a_record_that_was_written_before_the_worker_died_counts(killed: Ran) -> None:
    record = killed.records["killed[at=deliver] 0"]
    assert (record.status, record.reason, len(record.predictions)) == ("ok", None, 12)


def test_the_next_run_completes_what_was_killed_and_touches_nothing_else(grid: TinyGrid, killed: Ran) -> None:
    assert len(killed.finished) == 3
    left = [path.name for path in keeping.temporary(killed.results)]
    assert len(left) == 1  # of the one that was killed while it wrote; it is swept when it is old
    methods = ["steady", *(f"killed[at={phase}]" for phase in PHASES), "chatty"]
    after = completed(grid, killed, ",".join(methods), "--seeds", "1")
    assert len(after.records) == len(killed.records)


@pytest.fixture(scope="module")
def misbehaving(grid: TinyGrid) -> Ran:
    """Cells that spoil their process for those after them, or their own answers."""
    results, mark = grid.folder / "misbehaving", str(grid.folder / "children")
    methods = "forks,follows,prints,overflows,limited,limited[by=python],leaks,steady"
    return ran(grid.run(results, methods, "--seeds", "1", TINY_MARK=mark), results)


def test_processes_that_a_cell_left_behind_are_ended_before_the_next_one(grid: TinyGrid, misbehaving: Ran) -> None:
    assert outcome(misbehaving, "forks") == ("ok", None)
    assert outcome(misbehaving, "follows") == ("ok", None)
    started = [int(pid) for pid in (grid.folder / "children").read_text().split()]
    assert len(started) == 2
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in started)


def test_a_method_that_prints_100_mb_leaves_a_log_that_fits_a_disk(misbehaving: Ran) -> None:
    assert outcome(misbehaving, "prints") == ("ok", None)
    assert sum(path.stat().st_size for path in (misbehaving.results / "logs").glob("*.log")) < 16 * 2**20


def test_answers_that_are_no_numbers_are_no_score(misbehaving: Ran) -> None:
    """The losses are all finite: only the answers give it away."""
    status, reason = outcome(misbehaving, "overflows")
    assert status == "error"
    assert reason == "TrainingFault: the trained model's answers to 8 of 8 examples are not numbers"
    assert misbehaving.records["overflows 0"].scores == {}


@pytest.mark.parametrize("label", ["limited", "limited[by=python]"])
def test_a_process_that_may_not_have_the_memory_is_out_of_memory(label: str, misbehaving: Ran) -> None:
    status, _ = outcome(misbehaving, label)
    assert status == "oom"
    assert "want" in (misbehaving.records[f"{label} 0"].traceback or "")


def test_the_others_are_well_and_the_next_run_completes_the_rest(grid: TinyGrid, misbehaving: Ran) -> None:
    assert outcome(misbehaving, "leaks") == outcome(misbehaving, "steady") == ("ok", None)
    methods = "forks,follows,prints,overflows,limited,limited[by=python],leaks,steady"
    completed(grid, misbehaving, methods, "--seeds", "1")


@pytest.fixture
def cgroup() -> Any:
    """A memory cgroup of 1.5 GiB below this process's own; skips where none can be made."""
    for line in Path("/proc/self/cgroup").read_text().splitlines() if Path("/proc/self/cgroup").exists() else []:
        _, controllers, path = line.split(":", 2)
        version_2 = controllers == ""
        if version_2 or controllers == "memory":
            top = Path("/sys/fs/cgroup") / ("" if version_2 else "memory")
            folder = top / path.lstrip("/") / f"bench-faults-{os.getpid()}"
            limit = folder / ("memory.max" if version_2 else "memory.limit_in_bytes")
            try:
                folder.mkdir()
                limit.write_text(str(1536 * 2**20))
            except OSError:
                if folder.exists():
                    folder.rmdir()
                continue
            yield folder
            folder.rmdir()
            return
    pytest.skip("no memory cgroup can be made here")


def test_the_kernels_oom_killer_is_a_reason_and_takes_one_cell(grid: TinyGrid, cgroup: Path) -> None:
    """A real one: the limit is that of a cgroup, and the method takes what there is."""
    results = grid.folder / "hoards"
    command = ["run", *grid.options(results), "--methods", "steady,hoards,chatty", "--seeds", "1"]
    process = grid.start(*command, first=lambda: (cgroup / "cgroup.procs").write_text(str(os.getpid())))
    out, err = process.communicate(timeout=300)
    before = ran(subprocess.CompletedProcess(command, process.returncode, out, err), results)
    assert outcome(before, "hoards") == ("oom", "the worker ran out of memory: the kernel's OOM killer ended it")
    assert outcome(before, "steady") == outcome(before, "chatty") == ("ok", None)
    completed(grid, before, "steady,hoards,chatty", "--seeds", "1")


@pytest.fixture(scope="module")
def stuck(grid: TinyGrid) -> Ran:
    """A method that hangs, one that hangs and holds the interpreter, and a task whose data never come."""
    text = (grid.folder / "tiny_task.py").read_text(encoding="utf-8")
    text = text.replace("class Tiny", "import os, time\nclass Endless").replace('name = "tiny"', 'name = "endless"')
    text = text.replace(
        "def read(self, path):", 'def read(self, path):\n        "TINY_CURED" in os.environ or time.sleep(600)'
    )
    (grid.folder / "endless_task.py").write_text(text, encoding="utf-8")
    results = grid.folder / "stuck"
    return ran(run_stuck(grid, results, "--timeout", "4"), results)


def run_stuck(grid: TinyGrid, results: Path, *more: str, **environment: str) -> subprocess.CompletedProcess[str]:
    plugin = ("--plugin", str(grid.folder / "endless_task.py"))
    return grid.run(
        results, "stuck,stuck[in_c=true]", "--tasks", "tiny,endless", "--seeds", "1", *plugin, *more, **environment
    )


def test_a_cell_that_hangs_is_ended_and_says_where_it_hung(grid: TinyGrid, stuck: Ran) -> None:
    records = Store(stuck.results).all()[0]
    assert len(records) == 4
    for record in records:
        assert (record.status, record.reason) == ("timeout", "the job ran longer than its limit of 4 s")
        where = "in read" if record.cell.task == "endless" else "in misbehave"
        assert where in (record.traceback or "")


def test_the_next_run_completes_what_hung(grid: TinyGrid, stuck: Ran) -> None:
    done = run_stuck(grid, stuck.results, TINY_CURED="1")
    assert done.returncode == 0, done.stderr
    assert {record.status for record in Store(stuck.results).all()[0]} == {"ok"}


def test_a_clock_that_jumps_costs_no_record_and_no_duration(grid: TinyGrid) -> None:
    """One that goes back makes a finished record look older than the run; its worker dies before it delivers."""
    results = grid.folder / "clock"
    methods = "jumps[hours=-1],killed[at=deliver],jumps,steady"
    run = ran(grid.run(results, methods, "--seeds", "1"), results)
    assert run.process.returncode == 0, run.process.stderr
    assert [outcome(run, label) for label in ("jumps[hours=-1]", "killed[at=deliver]", "jumps", "steady")] == [
        ("ok", None)
    ] * 4
    started = {label: record.started_at for label, record in run.records.items()}
    assert started["killed[at=deliver] 0"] < started["jumps[hours=-1] 0"]  # the clock did go back
    for record in run.records.values():
        assert 0 < record.timeline["total"] < 120
        assert all(seconds >= -1e-6 for seconds in record.timeline.values())
    assert completed(grid, run, methods, "--seeds", "1").finished == run.finished


def test_a_model_that_vanishes_under_a_run_costs_the_cells_that_needed_it(grid: TinyGrid) -> None:
    results, folder = grid.folder / "vanishing", grid.model
    try:
        run = ran(grid.run(results, "deletes,steady", "--seeds", "2", TINY_MODEL=str(folder)), results)
        refused = grid.run(results, "deletes,steady", "--seeds", "2")
    finally:
        folder.with_name("away").rename(folder)
    assert {label: record.status for label, record in run.records.items()} == {
        "deletes 0": "ok", "steady 0": "error", "deletes 1": "error", "steady 1": "error",
    }  # fmt: skip
    reason = run.records["steady 0"].reason or ""
    assert "tiny-bert" in reason
    assert refused.returncode == 2
    assert f"There is no file or folder {folder}" in refused.stderr
    completed(grid, run, "deletes,steady", "--seeds", "2")
