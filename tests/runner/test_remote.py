"""A cell on another machine, which here is this one with something missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_grid
from tiny_grid import TinyGrid

from bench.errors import SourceError
from bench.profiles import Profile, load
from bench.records.record import Record, new_record
from bench.records.store import Store
from bench.runner.options import Options
from bench.runner.plan import plan
from bench.runner.request import Request

pytest.importorskip("ray", reason="Ray is not installed: pip install 'pasta-bench[ray]'")

from bench.executors.ray import WORKERS_HERE
from bench.executors.ray.cluster import Share
from bench.runner.remote import RemoteJob, _localized, _path, _reference, marked, run, share_of


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> TinyGrid:
    return tiny_grid.build(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def job(grid: TinyGrid, tmp_path: Path) -> Iterator[RemoteJob]:
    """A cell for a machine that sees the results folder."""
    options = Options("steady", seeds="0,", results=tmp_path / "results", **grid.keywords)
    request = Request.of(options)
    (assignment,) = plan(request).assignments.values()
    with marked(request.results) as token:
        yield RemoteJob.of(assignment, None, token)


def results_of(job: RemoteJob) -> Store:
    assert job.assignment.results is not None
    return Store(job.assignment.results)


def changed(job: RemoteJob, cell: dict[str, Any] | None = None, **assignment: Any) -> RemoteJob:
    """With other fields of the assignment, and of its cell."""
    found = job.assignment.cell.model_copy(update=cell or {})
    return replace(job, assignment=replace(job.assignment, cell=found, **assignment))


def done(job: RemoteJob) -> Record:
    found: Record = run(job, lambda data: None)
    return found


@pytest.mark.slow
def test_a_cell_runs_and_its_record_is_written_where_the_folder_is_shared(job: RemoteJob, tmp_path: Path) -> None:
    """A folder of the same name on another machine is not the driver's: the driver gets the record."""
    result = done(job)
    assert (result.status, result.id) == ("ok", job.assignment.cell.id)
    assert results_of(job).read(job.assignment.cell.id) == result
    (tmp_path / "other").mkdir()
    assert done(changed(job, results=tmp_path / "other")).status == "ok"
    assert list((tmp_path / "other").iterdir()) == []


def test_what_a_machine_lacks_ends_the_cell_with_a_sentence(job: RemoteJob, tmp_path: Path) -> None:
    cell, plugins = job.assignment.cell, job.assignment.plugins
    big = cell.profile.model_copy(update={"min_cores": 4096})
    wrong = {
        "no plugin file /nowhere/method.py: put it on a path that all machines share": changed(
            job, plugins=(*plugins, Path("/nowhere/method.py"))
        ),
        "no plugin file ~/method.py": changed(job, plugins=(Path.home() / "method.py",)),
        f"(code version {cell.code}) than the one that the run was started on (0123)": changed(job, {"code": "0123"}),
        "Profile tiny-cpu cannot be honoured here: needs 4096 cores": changed(job, {"profile": big}),
        "tree-sha256:0: give them the same files": changed(job, {"task_revision": "tree-sha256:0"}),
        "tree-sha256:1: give them the same files": changed(job, {"model_revision": "tree-sha256:1"}),
        "There is no file or folder /nowhere": changed(job, data=Path("/nowhere")),
        "--keep-adapters needs a results folder that all machines": changed(
            job, keep_adapter=True, results=tmp_path / "not shared"
        ),
    }
    for sentence, each in wrong.items():
        result = done(each)
        assert (result.status, result.traceback) == ("error", None)
        assert sentence in (result.reason or "")
        assert result.finished_at >= new_record(cell).started_at[:10]


def test_a_cell_has_the_paths_and_workers_of_its_machine(
    job: RemoteJob, grid: TinyGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(WORKERS_HERE, "3")
    here = _localized(job, None)
    assert (here.data, here.model) == (job.assignment.data, job.assignment.model)
    assert (here.workers, here.results) == (3, None)
    assert _reference("hub:owner/name@main", grid.model) == "hub:owner/name@main"


def test_a_hub_out_of_reach_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The worker itself is offline; the process that it starts to download is not."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(SourceError) as raised:
        _path("hub:owner/name@main", None, "commit:0")
    assert "model owner/name" in str(raised.value)
    assert "HF_HUB_OFFLINE" not in str(raised.value)
    assert "\n" not in str(raised.value)


# What a cell takes


@pytest.mark.parametrize(
    ("profile", "share"),
    [
        (load("cpu-2core"), Share(cpus=2, memory=4000 << 20, most=1)),
        (load("gpu-24gb"), Share(cpus=2, gpus=1.0, memory=8000 << 20)),
        (load("gpu-24gb").with_workers(3), Share(cpus=2 / 3, gpus=0.3333, memory=(8000 << 20) // 3)),
        (load("cpu-2core").with_workers(2), Share(cpus=1, memory=2000 << 20, most=2)),
    ],
)
def test_the_share_of_a_cell(profile: Profile, share: Share) -> None:
    assert share_of(profile) == share
