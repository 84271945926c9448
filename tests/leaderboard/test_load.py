"""Results folders of several machines as one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from made import PROFILE, failed, record

from bench.errors import UsageError
from bench.leaderboard.files import texts
from bench.leaderboard.load import ALL, load_records
from bench.leaderboard.tables import Tables
from bench.records.record import Record
from bench.records.store import Store

OTHER = PROFILE.model_copy(update={"name": "other"})


def folder(path: Path, *records: Record) -> Path:
    for each in records:
        Store(path).write(each)
    return path


def on(cpu: str, **more: Any) -> dict[str, Any]:
    return {"machine": {"cpu_model": cpu, "cpu_cores_allowed": 2, "gpus": [], **more}}


def test_seeds_of_two_machines_make_one_row(tmp_path: Path) -> None:
    first = folder(tmp_path / "a", record("pasta", 0, 0.8), record("pasta", 1, 0.7))
    second = folder(tmp_path / "b", record("pasta", 2, 0.6))
    merged = load_records([first, second])
    assert [r.cell.seed for r in sorted(merged.records, key=lambda r: r.cell.seed)] == [0, 1, 2]
    assert texts(Tables(merged.records)) == texts(Tables(load_records([second, first]).records))
    assert merged.notes == []


def test_a_cell_in_both_counts_once_and_a_finished_one_wins(tmp_path: Path) -> None:
    first = folder(tmp_path / "a", record("pasta", 0, 0.8))
    second = folder(tmp_path / "b", failed("pasta", 0, finished_at="2027-01-01T00:00:00.000+00:00"))
    for folders in ([first, second], [second, first], [first, first]):
        (found,) = load_records(folders).records
        assert found.status == "ok"


def test_profiles_are_not_mixed_without_a_word(tmp_path: Path) -> None:
    first = folder(tmp_path / "a", record("pasta", 0, 0.8))
    second = folder(tmp_path / "b", record("pasta", 0, 0.7, of={"profile": OTHER}))
    with pytest.raises(UsageError, match=r"cells of 2 profiles \(cpu, other\).*--profile NAME.*--profile all"):
        load_records([first, second])
    assert [r.cell.profile.name for r in load_records([first, second], "other").records] == ["other"]
    assert len(load_records([first, second], ALL).records) == 2
    with pytest.raises(UsageError, match=r"profile 'othr'.*other.*There are: cpu, other"):
        load_records([first, second], "othr")


def test_one_folder_may_hold_several_profiles(tmp_path: Path) -> None:
    both = folder(tmp_path / "a", record("pasta", 0, 0.8), record("pasta", 0, 0.7, of={"profile": OTHER}))
    assert len(load_records([both]).records) == 2


def test_one_name_for_two_profiles_is_refused(tmp_path: Path) -> None:
    changed = PROFILE.model_copy(update={"eval_batch_size": 7})
    first = folder(tmp_path / "a", record("pasta", 0, 0.8))
    second = folder(tmp_path / "b", record("lora", 0, 0.7, of={"profile": changed}))
    with pytest.raises(UsageError, match="profile cpu has 2 different settings"):
        load_records([first, second])
    reworded = PROFILE.model_copy(update={"summary": "in other words"})
    assert (
        len(load_records([first, folder(tmp_path / "c", record("lora", 0, 0.7, of={"profile": reworded}))]).records)
        == 2
    )


def test_other_machines_are_told_of(tmp_path: Path) -> None:
    first = folder(tmp_path / "a", record("pasta", 0, 0.8, environment=on("EPYC")))
    second = folder(tmp_path / "b", record("pasta", 1, 0.7, environment=on("Xeon", gpus=[{"name": "L4"}])))
    (note,) = load_records([first, second]).notes
    assert "Profile cpu was run on 2 kinds of machine (EPYC, 2 cores; Xeon, 2 cores, L4)" in note


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    old = record("pasta", 0, 0.1, of={"code": "old"}, finished_at="2025-01-01T00:00:00.000+00:00")
    path = folder(tmp_path / "a", record("pasta", 0, 0.8), old)
    (path / "records" / "bad.json").write_text("{}", encoding="utf-8")
    bad, outdated = load_records([path]).notes
    assert bad.startswith("Left out: ")
    assert "bad.json" in bad
    assert outdated == "Left out: 1 cell of older code or settings than the newest of the row."
