"""The kept leaderboard of a large folder: the same as one made of all records, whatever became of them or of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made import failed, record
from test_index import LATER, varied

from bench import kept
from bench.grid import suites
from bench.grid.pscp import Pscp
from bench.index import file
from bench.leaderboard import Boards
from bench.leaderboard.boards import column_names
from bench.leaderboard.csv import csv_of
from bench.leaderboard.merging import merge
from bench.records.record import ExtraTest, Record
from bench.records.store import Store

pytestmark = pytest.mark.usefixtures("every_folder_has_an_index")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("varied")
    for each in (
        *varied()[::3],
        record("other", of={"task": "task-00-b"}),
        record("twin", of={"task": "task-00/harder"}),
    ):
        Store(folder).write(each)
    return folder


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """The tasks of which lines are made anew."""
    seen: list[set[str]] = []
    real = kept._made

    def make(records: list[Record], digest: str, pscp: Pscp | None) -> Any:
        seen.append({each.cell.task for each in records})
        return real(records, digest, pscp)

    monkeypatch.setattr(kept, "_made", make)
    return seen


def same(folder: Store, pscp: Pscp | None = None) -> bool:
    """Whether it says what all records say, to the byte."""
    board = kept.leaderboard(folder, pscp)
    assert board is not None
    merged = merge([folder.root])
    assert board.notes == merged.notes
    names = column_names("leaderboard", pscp)
    return csv_of(board.lines, names) == Boards(merged.records, pscp).csv("leaderboard")


def test_it_is_the_leaderboard_of_all_records_and_made_once(folder: Store, made: list[set[str]]) -> None:
    assert same(folder)
    tasks = {name.split("/")[0] for each in made for name in each}
    assert len(made) == len(tasks) > 3
    assert {"task-00", "task-00/harder"} in made  # what shares a group is made together
    made.clear()
    assert same(folder)
    assert made == []


def test_what_is_added_changed_or_removed_makes_its_task_anew_and_no_other(folder: Store, made: list[set[str]]) -> None:
    assert same(folder)
    done = next(each for each in folder.all()[0] if each.status == "ok" and each.cell.task == "task-02")
    happenings: list[Callable[[], object]] = [
        lambda: folder.write(done.model_copy(update={"scores": {str(done.metric): 0.123}})),
        lambda: folder.path(done.id).unlink(),
        lambda: folder.write(done),
        lambda: folder.write(failed("newest", of={"task": "task-02"})),
        lambda: folder.write(record("x", 7, of={"task": "task-02", "code": "newer"}, finished_at=LATER)),
        lambda: folder.path(done.id).write_text("{"),
    ]
    for happens in happenings:
        made.clear()
        happens()
        assert same(folder)
        assert made == [{"task-02"}]


def test_a_new_extra_test_shows_the_failures_of_its_task(folder: Store) -> None:
    """Which extra tests there are a failed cell does not say: others of its task do."""
    assert same(folder)
    folder.write(failed("sad", of={"task": "task-03"}))
    extra = {"hardest": ExtraTest(scores={"accuracy": 0.1}, constant_score=0.5, predictions=[1], references=[0])}
    folder.write(record("glad", of={"task": "task-03"}, extra_tests=extra))
    assert same(folder)
    board = kept.leaderboard(folder)
    assert board is not None
    assert ("sad", "task-03/hardest") in {(line["method"], line["task"]) for line in board.lines}


def test_other_constants_and_another_program_make_all_anew(
    folder: Store, made: list[set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    constants = suites.load("quick").pscp
    assert same(folder)
    count = len(made)
    assert same(folder, constants)
    assert same(folder)
    assert len(made) == 3 * count
    monkeypatch.setattr(kept, "_program", lambda: "another")
    assert same(folder)
    assert len(made) == 4 * count


def test_what_changed_just_now_is_not_kept(
    folder: Store, made: list[set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file, "FRESH_SECONDS", 3600.0)
    assert same(folder)
    count = len(made)
    assert same(folder)
    assert len(made) == 2 * count


def spoil(file: Path, key: str, value: Any) -> None:
    content = json.loads(file.read_text())
    content["task-02"][key] = value
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "happens",
    [
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(b"[1]"),
        lambda file: file.write_bytes(b"[" * 100_000),
        lambda file: file.write_bytes(file.read_bytes()[:-9]),
        lambda file: file.unlink(),
        lambda file: (file.unlink(), file.mkdir()),
        lambda file: spoil(file, "lines", [["x"]]),
        lambda file: spoil(file, "lines", [["x"] * len(column_names("leaderboard"))]),
        lambda file: spoil(file, "lines", [[None] * len(column_names("leaderboard"))]),
        lambda file: spoil(file, "digest", 7),
        lambda file: spoil(file, "more", 7),
    ],
)
def test_a_file_that_is_none_of_this_is_made_anew(folder: Store, happens: Callable[[Path], Any]) -> None:
    assert same(folder)
    happens(folder.root / kept.FILE)
    assert same(folder)


def test_a_folder_that_cannot_be_written_has_its_leaderboard_too(
    folder: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "open", full)
    assert same(folder)
    assert not (folder.root / kept.FILE).exists()


def test_a_small_folder_has_none(folder: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "LEAST", 10_000)
    assert kept.leaderboard(folder) is None
