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
from bench.executors.ray import WORKERS_HERE, Share
from bench.profiles import Profile, load
from bench.records.record import new_record
from bench.records.store import Store
from bench.runner.backend import share_of
from bench.runner.options import Options
from bench.runner.plan import plan
from bench.runner.remote import Errand, _assignment, _here, marked, run
from bench.runner.request import Request


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> TinyGrid:
    return tiny_grid.build(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def errand(grid: TinyGrid, tmp_path: Path) -> Iterator[Errand]:
    """A cell for a machine that sees the results folder."""
    options = Options("steady", seeds="0,", results=tmp_path / "results", **grid.keywords)
    request = Request.of(options)
    (assignment,) = plan(request).assignments.values()
    with marked(request.results) as token:
        yield Errand.of(assignment, None, request.results, token)


def done(errand: Errand) -> dict[str, Any]:
    result: dict[str, Any] = run(errand, lambda data: None)
    return result


@pytest.mark.slow
def test_a_cell_runs_and_its_record_is_written_where_the_folder_is_shared(errand: Errand) -> None:
    result = done(errand)
    assert (result["status"], result["id"]) == ("ok", errand.cell.id)
    written = Store(errand.results).read(errand.cell.id)
    assert written is not None
    assert written.model_dump(mode="json") == result


@pytest.mark.slow
def test_a_folder_of_the_same_name_is_not_the_drivers(errand: Errand, tmp_path: Path) -> None:
    """Another machine may have one: nothing is written there, and the driver gets the record."""
    (tmp_path / "other").mkdir()
    assert done(replace(errand, results=tmp_path / "other"))["status"] == "ok"
    assert list((tmp_path / "other").iterdir()) == []


def test_the_mark_is_gone_afterwards(tmp_path: Path) -> None:
    with marked(tmp_path / "results") as token:
        assert (tmp_path / "results" / token).exists()
    assert list((tmp_path / "results").iterdir()) == []


def changed(errand: Errand, **fields: Any) -> Errand:
    return replace(errand, cell=errand.cell.model_copy(update=fields))


def test_what_a_machine_lacks_ends_the_cell_with_a_sentence(errand: Errand, tmp_path: Path) -> None:
    big = errand.cell.profile.model_copy(update={"min_cores": 4096})
    wrong = {
        "no plugin file /nowhere/method.py: put it on a path that all machines share": replace(
            errand, plugins=(*errand.plugins, Path("/nowhere/method.py"))
        ),
        f"(code version {errand.cell.code}) than the one that the run was started on (0123)": changed(
            errand, code="0123"
        ),
        "Profile tiny-cpu cannot be honoured here: needs 4096 cores": changed(errand, profile=big),
        "tree-sha256:0: give them the same files": changed(errand, task_revision="tree-sha256:0"),
        "tree-sha256:1: give them the same files": changed(errand, model_revision="tree-sha256:1"),
        "There is no file or folder /nowhere": replace(errand, data="/nowhere"),
        "--keep-adapters needs a results folder that all machines": replace(
            errand, keep_adapter=True, results=tmp_path / "not shared"
        ),
    }
    for sentence, each in wrong.items():
        result = done(each)
        assert result["status"] == "error"
        assert sentence in result["reason"]
        assert result["traceback"] is None
    # Those of a shared folder are written by the worker, too.
    written = Store(errand.results).read(changed(errand, code="0123").cell.id)
    assert written is not None
    assert written.status == "error"


def test_a_cell_knows_how_many_workers_share_its_machine(errand: Errand, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _assignment(errand, None).workers == 1
    monkeypatch.setenv(WORKERS_HERE, "3")
    assert _assignment(errand, None).workers == 3


def test_a_path_goes_whole_and_a_reference_as_it_is(errand: Errand, grid: TinyGrid) -> None:
    assert (errand.data, errand.model) == (str(grid.folder / "tiny.tsv"), str(grid.model))
    assignment = _assignment(errand, None)
    pinned = assignment.cell.model_copy(update={"model_source": "hub:owner/name@main"})
    assert Errand.of(replace(assignment, cell=pinned), None, errand.results, "").model == "hub:owner/name@main"


def test_a_hub_out_of_reach_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The worker itself is offline; the process that it starts to download is not."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(SourceError) as raised:
        _here("hub:owner/name@main", None, "commit:0")
    assert "model owner/name" in str(raised.value)
    assert "HF_HUB_OFFLINE" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_error_names_no_folder_of_the_machine(errand: Errand) -> None:
    result = done(replace(errand, plugins=(Path.home() / "method.py",)))
    assert "~/method.py" in result["reason"]
    assert result["finished_at"] >= new_record(errand.cell).started_at[:10]


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
