"""Grids on a Ray cluster through the command line: the records of a local run, machines that are lost, interrupts."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import tiny_grid
from ray_machines import Machines, machines, wait_until
from tiny_grid import TinyGrid, ending, records

pytestmark = pytest.mark.slow

METHODS = "steady,raises,refuses,killer"

LINGERS = """
import os, time
from pathlib import Path
from bench.plugins.method import Method
from bench.plugins.recipe import Recipe

class Lingers(Method):
    name = "lingers"
    summary = "takes its time where it has not been before"
    paper = "none"

    def recipe(self, task, config):
        return Recipe(learning_rate=1e-2, epochs=2, batch_size=4, chosen_by="nobody")

    def apply(self, model, task):
        mark = Path({mark!r})
        if not mark.exists():
            mark.with_suffix(".tmp").write_text(str(os.getpid()))
            mark.with_suffix(".tmp").rename(mark)
            time.sleep(600)
        return model
"""

# What no two runs of one cell have in common, of all that a record holds.
TIMES = ("started_at", "finished_at", "timeline")
MEASURED = {
    "memory": ("process_peak_mib",),
    "speed": (
        "train_examples_per_second", "train_tokens_per_second", "step_p50_ms", "step_p95_ms",
        "eval_examples_per_second", "machine_gflops",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> TinyGrid:
    return tiny_grid.build(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Machines]:
    with machines(2) as made:
        yield made


def on(cluster: Machines) -> list[str]:
    return ["--executor", "ray", "--ray-address", cluster.address]


def comparable(record: dict[str, Any]) -> dict[str, Any]:
    """A record without what differs from run to run; a float is the same where its bits are."""
    kept = {name: value for name, value in record.items() if name not in TIMES}
    for part, fields in MEASURED.items():
        if record[part] is not None:
            assert all(record[part][field] is not None for field in fields)
            kept[part] = {name: value for name, value in record[part].items() if name not in fields}
    return kept


def test_the_records_are_those_of_the_local_executor(grid: TinyGrid, cluster: Machines) -> None:
    local, remote = grid.folder / "local", grid.folder / "remote"
    assert grid.run(local, METHODS, "--seeds", "1").returncode == 1
    done = grid.run(remote, METHODS, "--seeds", "1", *on(cluster), "--json")
    assert done.returncode == 1
    rows = json.loads(done.stdout)
    assert {row["method"]: row["status"] for row in rows} == {
        "steady": "ok",
        "raises": "1 error",
        "killer": "1 error",
        "refuses": "1 skipped",
    }
    assert "[4/4]" in done.stderr
    assert "raylet" not in done.stderr  # Ray's own news of its machines
    theirs, ours = records(remote), records(local)
    assert set(theirs) == set(ours) == set(METHODS.split(","))
    for method, record in theirs.items():
        assert record.keys() == ours[method].keys()
        if method == "killer":  # Ray does not say which signal
            assert record["reason"].startswith("the worker process died: ")
            record = {**record, "reason": ours[method]["reason"], "traceback": ours[method]["traceback"]}
        assert comparable(record) == comparable(ours[method])
        assert record["retries"] == []
        assert set(record["timeline"]) == set(ours[method]["timeline"])
    steady = theirs["steady"]
    assert steady["losses"]
    assert steady["predictions"]
    assert [each.hex() for each in steady["losses"]] == [each.hex() for each in ours["steady"]["losses"]]
    assert sorted(path.name for path in remote.glob(".run-*")) == []  # no token is left


def test_a_machine_is_lost_and_the_grid_is_complete(grid: TinyGrid, cluster: Machines, tmp_path: Path) -> None:
    results, mark, plugin = tmp_path / "results", tmp_path / "mark", tmp_path / "lingers.py"
    plugin.write_text(LINGERS.format(mark=str(mark)), encoding="utf-8")
    arguments = ["run", *grid.options(results), "--plugin", str(plugin), "--methods", "lingers,steady", "--seeds", "1"]
    with ending(grid.start(*arguments, *on(cluster))) as process:
        wait_until(mark.exists, "the cell's begin")
        pid = int(mark.read_text())
        cluster.lose_that_of(pid)
        out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert not psutil.pid_exists(pid)
    found = records(results)
    assert {name: each["status"] for name, each in found.items()} == {"lingers": "ok", "steady": "ok"}
    (retry,) = found["lingers"]["retries"]
    assert retry.startswith("lost with its machine after ")
    assert found["steady"]["retries"] == []
    assert f"lingers on tiny, seed 0: {retry}; it starts again" in err
    assert "[2/2]" in err
    assert "lingers" in out
    cluster.add()


def test_an_interrupt_leaves_no_process_and_what_was_done(grid: TinyGrid, tmp_path: Path) -> None:
    """On a Ray of its own, as `--executor ray` starts it where there is no cluster."""
    results, mark = tmp_path / "results", tmp_path / "mark"
    arguments = ["run", *grid.options(results), "--methods", "steady,slow", "--seeds", "1", "--executor", "ray"]
    with ending(grid.start(*arguments, TINY_MARK=str(mark), BENCH_TEST_RUN=str(tmp_path))) as process:
        wait_until(mark.exists, "the cell's begin")
        pids = {each.pid for each in psutil.process_iter() if _of(each, str(tmp_path))}
        assert int(mark.read_text()) in pids
        assert len(pids) > 3  # Ray's own among them
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    found = records(results)
    assert {name: each["status"] for name, each in found.items()} == {"steady": "ok", "slow": "interrupted"}
    wait_until(
        lambda: not [each for each in psutil.process_iter() if _of(each, str(tmp_path))], "the end of all processes", 20
    )


def _of(process: psutil.Process, run: str) -> bool:
    """Whether a process belongs to the run whose environment says so."""
    try:
        return process.pid != os.getpid() and process.environ().get("BENCH_TEST_RUN") == run
    except psutil.Error:
        return False
