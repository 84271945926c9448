"""What becomes of a model on the hub that was asked for without a revision: with a stand-in for the hub."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
import tiny_grid
from commandline import Bench
from made import PROFILE, record
from tiny_grid import TinyGrid

from bench import lockfile
from bench.runner.options import Options
from bench.runner.plan import Plan, plan
from bench.runner.request import Request
from bench.verify import Inputs

FIRST, SECOND = "0123456789" * 4, "9876543210" * 4


class MovingHub:
    """A hub with one model, whose current commit changes; it keeps the files of every commit."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder, self.current = folder, FIRST
        for commit in (FIRST, SECOND):
            shutil.copytree(model, folder / commit)
            (folder / commit / "notes.txt").write_text(commit)

    def repo_info(self, repo_id: str, *, repo_type: str, revision: str | None) -> SimpleNamespace:
        assert (repo_id, repo_type, revision) == ("owner/name", "model", None)
        return SimpleNamespace(sha=self.current)

    def snapshot_download(self, repo_id: str, *, revision: str | None, **options: object) -> str:
        return str(self.folder / (revision or self.current))


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> TinyGrid:
    return tiny_grid.build(tmp_path_factory.mktemp("grid"))


@pytest.fixture
def hub(grid: TinyGrid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MovingHub:
    made = MovingHub(tmp_path / "hub", grid.model)
    monkeypatch.setattr(huggingface_hub.HfApi, "repo_info", made.repo_info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", made.snapshot_download)
    return made


def planned(grid: TinyGrid, results: Path, **more: Any) -> Plan:
    return plan(
        Request.of(Options("steady", "tiny", [0], model="hub:owner/name", results=results, **grid.keywords, **more))
    )


def test_cells_are_pinned_although_the_user_did_not_pin(grid: TinyGrid, hub: MovingHub, tmp_path: Path) -> None:
    first = planned(grid, tmp_path)
    (cell,) = first.cells
    assert (cell.model_source, cell.model_revision) == (f"hub:owner/name@{FIRST}", f"commit:{FIRST}")
    assert first.notes[0] == f"owner/name: the hub's current commit is {FIRST}."
    hub.current = SECOND
    (moved,) = planned(grid, tmp_path).cells
    assert moved.model_source == f"hub:owner/name@{SECOND}"
    assert moved.model != cell.model  # two rows
    assert moved.id != cell.id


def test_what_is_run_again_is_the_commit_of_the_record(grid: TinyGrid, hub: MovingHub, tmp_path: Path) -> None:
    (cell,) = planned(grid, tmp_path).cells
    hub.current = SECOND
    for source in (cell.model_source, "hub:owner/name", "hub:owner/name@main"):  # the last two: before there were pins
        assert Inputs().path("model", source, cell.model_revision) == hub.folder / FIRST


def test_a_lock_file_holds_the_commit(grid: TinyGrid, hub: MovingHub, tmp_path: Path) -> None:
    (cell,) = planned(grid, tmp_path).cells
    lock = lockfile.freeze([record(of=cell.model_dump(exclude={"method", "seed", "profile"}) | {"profile": PROFILE})])
    assert lock.models == {cell.model: lockfile.PinnedSource(source=cell.model_source, revision=cell.model_revision)}


@pytest.mark.parametrize("command", ["fetch", "plan"])
def test_the_commit_is_said(command: str, bench: Bench, grid: TinyGrid, hub: MovingHub) -> None:
    options = ["--model", "hub:owner/name", "--tasks", "tiny", *grid.plugins]
    methods = ["--methods", "steady"] if command == "plan" else []
    done = bench(command, *options, *methods)
    assert done.code == 0, done.err
    assert f"owner/name: the hub's current commit is {FIRST}." in " ".join(done.err.split())
